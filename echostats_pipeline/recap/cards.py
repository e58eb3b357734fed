"""Draws the cards of a recap as PNG pictures: 1080 x 1920 for stories, 1200 x 630 for previews of links.

They are drawn as SVG by the renderer of the charts, so that no other library and no font is needed. Here: the layout.
Not here: what stands on a card (`recap.faces`), and letters (`recap.lettering`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from echostats_pipeline.recap import words
from echostats_pipeline.recap.canvas import (
    ACCENT_COLOUR,
    INK_COLOUR,
    MUTED_COLOUR,
    SECOND_COLOUR,
    Canvas,
)
from echostats_pipeline.recap.document import Item, Recap
from echostats_pipeline.recap.faces import Column, Face, Line, faces_of
from echostats_pipeline.recap.lettering import Lettering, readable
from echostats_pipeline.report.formatting import hours, plural, span
from echostats_pipeline.report.page import Picture
from echostats_pipeline.transforms.days import DayWindow

FOOTER = "echostats_pipeline"
NOTE, NOTE_WIDTH, NOTE_LEADING = 0.8, 0.74, 1.35
"""Size of notes in parts of small text, their width in parts of the room, the distance of their lines."""


@dataclass(frozen=True)
class Format:
    """Measures of a card in pixels.

    Attributes:
        width: Width of the card.
        height: Height of the card.
        margin: Space at the left and right.
        top: Baseline of the listener's name.
        bottom: Baseline of the last line.
        small: Size of small text.
        row: Least and largest height of a line with a picture.
        side_by_side: Whether columns stand beside each other.
    """

    width: int
    height: int
    margin: int
    top: int
    bottom: int
    small: int
    row: tuple[int, int]
    side_by_side: bool

    @property
    def inner(self) -> int:
        """The width between the margins."""
        return self.width - 2 * self.margin

    @property
    def name(self) -> str:
        """The measures in a file's name."""
        return f"{self.width}x{self.height}"


NARROW_ROW = 0.42
"""Most height of a line, in parts of its width."""
PICTURE_WIDTH, TITLE_WIDTH, SMALL_WIDTH = 0.24, 0.056, 0.042
"""Most size of a picture, of a title and of other text in a line, in parts of its width."""
LOOSE = 0.35
"""Most space between lines beside a column of bars, in rows."""
LEADING = 1.22
"""Distance of two baselines, in parts of the size."""
BAR_ROW = 0.6
"""Height of a line with a bar, in rows."""
STORY = Format(1080, 1920, 84, 150, 1830, 30, (64, 190), side_by_side=False)
WIDE = Format(1200, 630, 60, 74, 594, 20, (40, 140), side_by_side=True)


@dataclass(frozen=True)
class Card:
    """A card as a PNG picture; `name` is part of the file's name."""

    name: str
    content: bytes


@dataclass(frozen=True)
class DrawnCards:
    """The cards of a recap, and the names of which they leave letters out because no font has them."""

    cards: list[Card]
    undrawable: list[str]


def draw_cards(recap: Recap, pictures: Mapping[str, Picture]) -> DrawnCards:
    """Draw all cards of a recap in both formats."""
    import vl_convert  # noqa: PLC0415 - it contains a JavaScript engine

    letters = lettering_of(recap)
    cards = [
        Card(f"{number}-{name}-{form.name}", vl_convert.svg_to_png(svg))
        for form in (STORY, WIDE)
        for number, (name, svg) in enumerate(drawn_faces(recap, pictures, letters, form), start=1)
    ]
    names = dict.fromkeys(readable(name) for name in _names(recap))
    return DrawnCards(cards, [name for name in names if name and any(name in text for text in letters.undrawable)])


def lettering_of(recap: Recap) -> Lettering:
    """The letters of everything that the cards of a recap may show."""
    return Lettering.of(_names(recap))


def _names(recap: Recap) -> list[str]:
    return [recap.listener, *(name for item in recap.items for name in (item.name, item.by))]


def drawn_faces(
    recap: Recap, pictures: Mapping[str, Picture], letters: Lettering, form: Format
) -> Iterator[tuple[str, str]]:
    """The name and the SVG of each card in a format."""
    yield "overview", _overview(recap, Canvas(form.width, form.height, letters, pictures), form)
    for face in faces_of(recap):
        yield face.name, _listed(recap, face, Canvas(form.width, form.height, letters, pictures), form)


def _heading(recap: Recap, canvas: Canvas, form: Format, right: str) -> None:
    size = form.small * 1.1
    room = form.inner * 0.62
    canvas.text(form.margin, form.top, recap.listener, size, most=room, weight=700)
    canvas.text(
        form.width - form.margin, form.top, right, size, most=form.inner * 0.34, colour=MUTED_COLOUR, right=True
    )


def _footer(recap: Recap, canvas: Canvas, form: Format, note: str = "") -> None:
    """Write a note, and below it how many days are not fully known."""
    size, most = form.small * NOTE, form.inner * NOTE_WIDTH
    lines = [(line, MUTED_COLOUR) for line in canvas.letters.lines(note, size, most)]
    if recap.totals.holes:
        days = DayWindow(recap.totals.first, recap.totals.last).length
        are = "is" if days == 1 else "are"
        lines.append((f"{recap.totals.holes:,} of {plural(days, 'day')} {are} not fully known.", SECOND_COLOUR))
    for number, (text, colour) in enumerate(reversed(lines)):
        canvas.text(form.margin, form.bottom - number * size * NOTE_LEADING, text, size, most=most, colour=colour)
    canvas.text(
        form.width - form.margin, form.bottom, FOOTER, size, most=form.inner * 0.25, colour=MUTED_COLOUR, right=True
    )


def _overview(recap: Recap, canvas: Canvas, form: Format) -> str:
    firsts = [*recap.artists[:1], *recap.tracks[:1]]
    canvas.ground(next(iter(recap.tracks), None) or next(iter(recap.artists), None))
    _heading(recap, canvas, form, "Recap")
    dates = span(recap.totals.first, recap.totals.last) + ("" if recap.is_over else ", so far")
    if form.side_by_side:
        _wide_overview(recap, canvas, form, firsts, dates)
    else:
        _story_overview(recap, canvas, form, firsts, dates)
    _footer(recap, canvas, form, f"Days as in {recap.zone}")
    return canvas.svg()


def _figures(recap: Recap) -> list[tuple[str, str]]:
    """Names and values of a few totals."""
    totals = recap.totals
    counts = (
        ("play", "plays", totals.plays),
        ("song", "songs", totals.tracks),
        ("artist", "artists", totals.artists),
        ("day with music", "days with music", totals.active_days),
    )
    return [(one if count == 1 else several, f"{count:,}") for one, several, count in counts]


def _story_overview(recap: Recap, canvas: Canvas, form: Format, firsts: Sequence[Item], dates: str) -> None:
    x, inner = form.margin, form.inner
    size = canvas.fitting(recap.title, inner, 330)
    y = form.top + 130 + size * 0.78
    canvas.text(x - size * 0.04, y, recap.title, size, most=inner * 1.1, weight=700)
    y += 74
    canvas.text(x, y, dates, form.small * 1.1, most=inner, colour=MUTED_COLOUR)
    y += 200
    big = canvas.fitting(hours(recap.totals.ms), inner * 0.7, 190)
    width = canvas.text(x - 6, y, hours(recap.totals.ms), big, most=inner, weight=700, colour=ACCENT_COLOUR)
    canvas.text(x + width + 12, y, "hours of music", form.small * 1.5, most=inner - width)
    y += 66
    for comparison in recap.comparisons[:1]:
        y = canvas.lines(x, y, words.compared(comparison), form.small * 1.05, most=inner, colour=MUTED_COLOUR, count=3)
    y = max(y + 60, 960)
    column = inner / 4
    for number, (name, value) in enumerate(_figures(recap)):
        left = x + number * column
        canvas.text(left, y, value, canvas.fitting(value, column - 24, 56), most=column, weight=700)
        canvas.text(left, y + 42, name, form.small * 0.88, most=column - 12, colour=MUTED_COLOUR)
    y += 108
    side, gap = (inner - 40) / 2, 40
    tall = form.bottom - 90 - y
    for number, item in enumerate(firsts):
        left = x + number * (side + gap)
        canvas.panel(left, y, side, tall, 36)
        cover = min(side - 72, tall - 280)
        canvas.picture(item, left + (side - cover) / 2, y + 36, cover)
        _first(canvas, item, left + 36, y + cover + 90, side - 72, form.small, lines=2)


def _first(canvas: Canvas, item: Item, x: float, y: float, width: float, small: float, lines: int = 1) -> None:
    """The text beside or below the picture of a number one."""
    what = "Artist" if item.kind == "artists" else "Song"
    canvas.text(x, y, f"{what} number one", small * 0.85, most=width, colour=ACCENT_COLOUR, weight=700)
    name = words.shown_name(item)
    size = canvas.shrunk(name, small * 1.3, width, 700)
    y = canvas.lines(x, y + small * 1.45, name, size, most=width, weight=700, count=lines) - small * 0.1
    if item.by:
        canvas.text(x, y, item.by, small, most=width)
        y += small * 1.25
    canvas.text(x, y, words.amount(item.plays, item.ms), small * 0.9, most=width, colour=MUTED_COLOUR)


def _wide_overview(recap: Recap, canvas: Canvas, form: Format, firsts: Sequence[Item], dates: str) -> None:
    x, left_width = form.margin, 560
    size = canvas.fitting(recap.title, left_width - 20, 170)
    y = form.top + 40 + size * 0.78
    canvas.text(x - size * 0.04, y, recap.title, size, most=left_width, weight=700)
    canvas.text(x, y + 38, dates, form.small, most=left_width, colour=MUTED_COLOUR)
    y += 140
    width = canvas.text(x - 3, y, hours(recap.totals.ms), 96, most=left_width, weight=700, colour=ACCENT_COLOUR)
    canvas.text(x + width + 8, y, "hours of music", 28, most=left_width - width)
    for comparison in recap.comparisons[:1]:
        canvas.lines(
            x, y + 40, words.compared(comparison), form.small, most=left_width - 30, colour=MUTED_COLOUR, count=3
        )
    column = left_width / 4
    for number, (name, value) in enumerate(_figures(recap)):
        at = x + number * column
        canvas.text(at, 512, value, canvas.fitting(value, column - 12, 34), most=column, weight=700)
        canvas.text(at, 538, name, 17, most=column - 6, colour=MUTED_COLOUR)
    right, side = x + left_width + 30, form.inner - left_width - 30
    tall = 206
    for number, item in enumerate(firsts):
        top = 118 + number * (tall + 18)
        canvas.panel(right, top, side, tall, 24)
        canvas.picture(item, right + 20, top + 20, tall - 40)
        height = form.small * (4.4 if item.by else 3.2)
        baseline = top + (tall - height) / 2 + form.small * 0.9
        _first(canvas, item, right + tall, baseline, side - tall - 20, form.small)


def _listed(recap: Recap, face: Face, canvas: Canvas, form: Format) -> str:
    canvas.ground(face.pictured)
    _heading(recap, canvas, form, recap.title)
    size = canvas.fitting(face.headline, form.inner, 62 if form.side_by_side else 96)
    y = form.top + (82 if form.side_by_side else 150)
    canvas.text(form.margin - size * 0.03, y, face.headline, size, most=form.inner, weight=700)
    top = y + (34 if form.side_by_side else 70)
    noted = len(canvas.letters.lines(face.note, form.small * NOTE, form.inner * NOTE_WIDTH)) + bool(recap.totals.holes)
    space = form.bottom - form.small * (1.4 + NOTE * NOTE_LEADING * max(noted, 1)) - top
    if form.side_by_side:
        _beside(canvas, face.columns, form, top, space)
    else:
        _below(canvas, face.columns, form, top, space)
    _footer(recap, canvas, form, face.note)
    return canvas.svg()


def _beside(canvas: Canvas, columns: Sequence[Column], form: Format, top: float, space: float) -> None:
    """Draw columns beside each other."""
    gap = 44
    width = (form.inner - gap * (len(columns) - 1)) / len(columns)
    headed = any(column.heading for column in columns)
    row = _row_height(form, space - (form.small * 2.2 if headed else 0), max(map(_rows, columns)))
    row = min(row, width * NARROW_ROW)
    mixed = len({line.share is None for column in columns for line in column.lines}) > 1
    for number, column in enumerate(columns):
        left = form.margin + number * (width + gap)
        spare = space - (form.small * 2.2 if headed else 0) - _rows(column) * row
        apart = min(spare / len(column.lines), row * LOOSE) if mixed and column.lines[0].share is None else 0.0
        _column(canvas, column, form, left, top, width, row, headed=headed, apart=apart)


def _below(canvas: Canvas, columns: Sequence[Column], form: Format, top: float, space: float) -> None:
    """Draw columns below each other; what space is left goes between them."""
    headings = sum(bool(column.heading) for column in columns) * form.small * 2.2
    gaps = len(columns) - 1 if headings else 0
    rows = sum(map(_rows, columns))
    row = _row_height(form, space - headings - gaps * form.small * 1.2, rows)
    gap = min((space - headings - row * rows) / gaps, form.small * 4) if gaps else 0.0
    for column in columns:
        top = gap + _column(canvas, column, form, form.margin, top, form.inner, row, headed=bool(column.heading))


def _rows(column: Column) -> float:
    """The height of the lines of a column, in rows: bars are lower than lines with pictures."""
    return sum(1.0 if line.share is None else BAR_ROW for line in column.lines)


def _row_height(form: Format, space: float, rows: float) -> float:
    least, most = form.row
    return min(max(space / rows, least), most)


def _column(
    canvas: Canvas,
    column: Column,
    form: Format,
    x: float,
    y: float,
    width: float,
    row: float,
    *,
    headed: bool,
    apart: float = 0,
) -> float:
    """Draw a column with so much space between its lines; return where it ends."""
    if headed:
        size = form.small * 1.05
        canvas.text(x, y + size, column.heading, size, most=width, colour=ACCENT_COLOUR, weight=700)
        y += form.small * 2.2
    pictured = any(line.item for line in column.lines)
    for line in column.lines:
        if line.share is None:
            _line(canvas, line, x, y, width, row, pictured=pictured)
        else:
            _bar(canvas, line, line.share, x, y, width, row * BAR_ROW)
        y += (row if line.share is None else row * BAR_ROW) + apart
    return y


def _bar(canvas: Canvas, line: Line, share: float, x: float, y: float, width: float, row: float) -> None:
    """Draw a line with a bar within a height of `row`."""
    size = min(row * 0.42, 38)
    baseline = y + row / 2 + size * 0.35
    canvas.text(x, baseline, line.title, size, most=size * 4, weight=700)
    left, right = x + size * 3.9, size * 3.2
    canvas.bar(left, baseline - size * 0.65, x + width - right - left, size * 0.6, share)
    canvas.text(x + width, baseline, line.right, size * 0.85, most=right, right=True)


def _line(canvas: Canvas, line: Line, x: float, y: float, width: float, row: float, *, pictured: bool) -> None:
    """Draw a line of a column within a height of `row`."""
    title, small = min(row * 0.29, max(width * TITLE_WIDTH, 21), 44), min(row * 0.23, max(width * SMALL_WIDTH, 17), 31)
    side = min(row * 0.82, width * PICTURE_WIDTH)
    if line.item is not None:
        canvas.picture(line.item, x, y + (row - side) / 2, side)
    elif line.tile:
        canvas.tile(line.tile, x, y + (row - side) / 2, side)
    left = x + side * 1.24 if pictured else x
    room = width - (left - x)
    taken = min(canvas.letters.width(line.right, small), room * 0.4) + small if line.right else 0.0
    texts = [
        _Text(line.above, small * 0.88, room, ACCENT_COLOUR, 700),
        _Text(line.title, title, room - taken, INK_COLOUR, 700),
        _Text(line.note, small, room, MUTED_COLOUR, 400),
    ]
    shown = _stacked(canvas, [text for text in texts if text.text], row)
    baseline = y + row / 2 - sum(size * LEADING * len(lines) for _, size, lines in shown) / 2
    for text, size, lines in shown:
        for number, said in enumerate(lines):
            baseline += size * LEADING
            at = baseline - size * 0.28
            canvas.text(left, at, said, size, most=text.most, weight=text.weight, colour=text.colour)
            if line.right and text.colour == INK_COLOUR and not number:
                canvas.text(x + width, at, line.right, small, most=room * 0.4, right=True)


@dataclass(frozen=True)
class _Text:
    """A text of a line, with the size that it should have and the width that it may have."""

    text: str
    size: float
    most: float
    colour: str
    weight: int


def _stacked(canvas: Canvas, texts: Sequence[_Text], row: float) -> list[tuple[_Text, float, list[str]]]:
    """Texts below each other with their sizes and lines: several lines for a long text where there is room."""
    found: list[tuple[_Text, float, list[str]]] = []
    for counts in product((3, 2, 1), repeat=len(texts)):
        found = [
            (text, *canvas.fitted(text.text, text.size, text.most, text.weight, count))
            for text, count in zip(texts, counts, strict=True)
        ]
        if sum(size * LEADING * len(lines) for _, size, lines in found) <= row:
            break
    return found
