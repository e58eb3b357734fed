"""What stands on the cards of a recap: faces with a headline and lists of lines. Not here: how they look."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from echostats_pipeline.recap import words
from echostats_pipeline.recap.document import Anniversary, Item, Recap
from echostats_pipeline.report.formatting import calendar_date, percent, plural

TOP, MOST_DECADES, MOST_LEFT_BEHIND, MOST_DAYS = 5, 7, 4, 4
"""Most lines of each list."""
LEAST_LINES = 2
"""A card with fewer lines says nothing that the first one does not say."""


@dataclass(frozen=True)
class Line:
    """A line: a small text above, a title, a note below, a text on the right, a picture, the length of a bar (0 to 1).

    `tile` is a short text in place of the picture.
    """

    title: str
    note: str = ""
    above: str = ""
    right: str = ""
    item: Item | None = None
    share: float | None = None
    tile: str = ""


@dataclass(frozen=True)
class Column:
    """Lines under a heading, which may be empty."""

    heading: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Face:
    """A card: one or two columns of lines under a headline; `name` is part of the file's name."""

    name: str
    headline: str
    columns: Sequence[Column]
    note: str = ""
    pictured: Item | None = field(default=None)
    """Whose picture gives the ground its colours."""


def faces_of(recap: Recap) -> list[Face]:
    """The faces of a recap beside the first, which shows totals; those that would be almost empty are left out."""
    found = []
    for face in (_tops(recap), _parts(recap), _moments(recap), _clock(recap), _past(recap)):
        columns = [column for column in face.columns if column.lines]
        if sum(len(column.lines) for column in columns) >= LEAST_LINES:
            found.append(Face(face.name, face.headline, columns, face.note, face.pictured))
    return found


def _tops(recap: Recap) -> Face:
    columns = [
        Column(heading, [_ranked(item) for item in items[:TOP]])
        for heading, items in (("Artists", recap.artists), ("Songs", recap.tracks))
    ]
    return Face("top", "Played most", columns, pictured=next(iter(recap.artists), None))


def _ranked(item: Item) -> Line:
    return Line(words.shown_name(item), item.by, right=plural(item.plays, "play"), item=item)


def _parts(recap: Recap) -> Face:
    """The months or weeks with plays; the note says of how many nothing is known."""
    lines = [
        Line(
            words.shown_name(part.artist) if part.artist else words.part_text(part),
            words.titled(part.track) if part.track else "",
            above=f"{part.name} \N{MIDDLE DOT} {plural(part.plays, 'play')} in all",
            right=plural(part.artist.plays, "play") if part.artist else "",
            item=part.artist,
        )
        for part in recap.parts
        if part.plays
    ]
    half = (len(lines) + 1) // 2
    part_name, headline = ("month", "Month by month") if recap.kind == "year" else ("week", "Week by week")
    note = " ".join(said for said in (words.unknown_parts(recap), words.silent_parts(recap)) if said)
    note = note or "The artist and the song number one."
    columns = [Column("", lines[:half]), Column("", lines[half:])]
    return Face(f"{part_name}s", headline, columns, note, next(iter(recap.tracks), None))


def _moments(recap: Recap) -> Face:
    moments = [moment for moment in (*recap.milestones[-1:], recap.first_play) if moment is not None]
    plays = [
        Line(words.shown_name(each.track), _dated(each.track, calendar_date(each.day)), words.moment_title(each),
             item=each.track)
        for each in moments
    ]  # fmt: skip
    new = [
        Line(words.shown_name(item), _dated(item, plural(item.plays, "play")), f"New {what}", item=item)
        for what, item in (("artist", recap.new_artist), ("song", recap.new_track))
        if item is not None and item.plays > 1
    ]
    columns = [
        Column("Days", list(_days(recap))),
        Column("Plays", plays),
        Column(f"Discovery of the {recap.kind}", new),
    ]
    shown = recap.new_artist or recap.new_track or (moments[0].track if moments else None)
    return Face("moments", "Moments", columns, pictured=shown)


def _days(recap: Recap) -> Iterator[Line]:
    if recap.streak is not None:
        _, dates = words.streak(recap)
        days = "day with music" if recap.streak.days == 1 else "days in a row with music"
        more = ", or more" if recap.streak.at_least else ""
        yield Line(dates, f"{days}{more}", "Longest streak", tile=f"{recap.streak.days:,}")
    if recap.busiest is not None:
        day = recap.busiest
        most = f"; most of it {words.titled(day.track)}" if day.track else ""
        yield Line(calendar_date(day.day), f"{words.amount(day.plays, day.ms)}{most}", "Busiest day", item=day.track)


def _dated(item: Item, text: str) -> str:
    return f"{item.by}, {text}" if item.by else text


def _clock(recap: Recap) -> Face:
    """Morning, night and decades."""
    hours = [
        Line(words.shown_name(each.artist), words.hours_text(each), f"Your {each.name} artist", item=each.artist)
        for each in recap.hours
    ]
    most = max((each.share for each in recap.decades), default=1.0)
    top = sorted(recap.decades, key=lambda each: (-each.plays, each.first_year))[:MOST_DECADES]
    decades = [
        Line(f"{each.first_year}s", right=percent(each.share), share=each.share / most)
        for each in sorted(top, key=lambda each: each.first_year)
    ]
    columns = [Column("By the clock", hours), Column("Decades of release", decades)]
    note = words.decades_note(recap) if decades else ""
    return Face("times", "Hours and decades", columns, note, recap.hours[-1].artist if recap.hours else None)


def _past(recap: Recap) -> Face:
    """What was left behind, and the same day of other years."""
    gone = [
        Line(words.shown_name(each.item), words.back(recap, each), item=each.item)
        for each in recap.left_behind[:MOST_LEFT_BEHIND]
    ]
    days = [_anniversary(each) for each in recap.on_this_day if each.plays]
    columns = [
        Column("Left behind" if recap.is_over else "Not played so far", gone),
        Column(f"On this day, {recap.made_on.day} {recap.made_on:%B}", days[:MOST_DAYS]),
    ]
    shown = next((line.item for column in columns for line in column.lines), None)
    return Face("past", "Then and now", columns, pictured=shown)


def _anniversary(each: Anniversary) -> Line:
    """The same day of an earlier year, with its song if one stands out."""
    if each.track is None:
        return Line(words.on_this_day(each), "no song twice", str(each.day.year), tile=f"{each.day:%y}")
    above = f"{each.day.year} \N{MIDDLE DOT} {words.on_this_day(each)} in all"
    right = plural(each.track.plays, "play")
    return Line(words.shown_name(each.track), each.track.by, above, right, each.track)
