"""A canvas for cards: text that fits, pictures with round corners, bars, and a ground in the colours of a picture."""

from collections.abc import Mapping
from functools import lru_cache
from html import escape

from echostats_pipeline.recap.document import Item
from echostats_pipeline.recap.lettering import ELLIPSIS, FAMILY, NAMELESS, SYMBOLS, Lettering, marked_up
from echostats_pipeline.recap.words import shown_name
from echostats_pipeline.report.formatting import initials
from echostats_pipeline.report.page import Picture, data_uri, hue
from echostats_pipeline.report.palette import ACCENT, INK, SECOND

GROUND, PANEL, DEEP = "#111214", "#ffffff", "#0d3424"
INK_COLOUR, MUTED_COLOUR, ACCENT_COLOUR, SECOND_COLOUR = INK.dark, "#b4b2ab", ACCENT.dark, SECOND.dark
TIGHT = -0.03
"""Letter spacing of large text, in parts of its size."""
SOFT_PX = 64
"""Width of a blurred picture."""
SHRUNK = 0.78
"""How much smaller than wanted a text may become before it is cut."""
SLIGHTLY = 0.92
"""How much smaller a text becomes before it takes another line."""
LARGE = 60
"""From this size on, text is set tightly."""


class Canvas:
    """An SVG picture under construction.

    Attributes:
        width: Width in pixels.
        height: Height in pixels.
        letters: The letters of everything that is drawn.
    """

    def __init__(self, width: int, height: int, letters: Lettering, pictures: Mapping[str, Picture]) -> None:
        self.width = width
        self.height = height
        self.letters = letters
        self._pictures = pictures
        self._defs: list[str] = []
        self._parts: list[str] = []

    def svg(self) -> str:
        """The whole picture."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" font-family="{FAMILY}">'
            f"<defs>{''.join(self._defs)}</defs>{''.join(self._parts)}</svg>"
        )

    def ground(self, item: Item | None) -> None:
        """Fill the canvas: dark, with the blurred picture of an item behind, or with rings if there is none."""
        width, height, size = self.width, self.height, max(self.width, self.height)
        self._defs.append(
            '<linearGradient id="shade" x1="0" y1="0" x2="0.35" y2="1">'
            f'<stop offset="0" stop-color="{DEEP}"/><stop offset="0.62" stop-color="{GROUND}"/></linearGradient>'
            '<linearGradient id="veil" x1="0" y1="0" x2="0" y2="1">'
            f'<stop offset="0" stop-color="{GROUND}" stop-opacity="0.62"/>'
            f'<stop offset="0.8" stop-color="{GROUND}" stop-opacity="0.95"/></linearGradient>'
        )
        self._parts.append(f'<rect width="{width}" height="{height}" fill="url(#shade)"/>')
        picture = self._pictures.get(item.image_url) if item is not None else None
        if picture is not None:
            left, top = (width - size) / 2, (height - size) / 2
            self._parts.append(
                f'<image href="{data_uri(_blurred(picture))}" x="{left:.0f}" y="{top:.0f}" width="{size}" '
                f'height="{size}"/><rect width="{width}" height="{height}" fill="url(#veil)"/>'
            )
            return
        for radius in (0.2, 0.32, 0.44):
            self._parts.append(
                f'<circle cx="{width}" cy="0" r="{size * radius:.0f}" fill="none" stroke="{INK_COLOUR}" '
                'stroke-opacity="0.07" stroke-width="2"/>'
            )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        *,
        most: float,
        colour: str = INK_COLOUR,
        weight: int = 400,
        right: bool = False,
    ) -> float:
        """Write one line with its baseline at `y`, cut to a width; return the width that it has at most."""
        spacing = TIGHT * size if size >= LARGE else 0.0
        shown = self.letters.cut(self.letters.drawable(text), size, most, weight, spacing)
        tight = f' letter-spacing="{spacing:.1f}"' if spacing else ""
        anchor = ' text-anchor="end"' if right else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}" font-weight="{weight}" fill="{colour}"{tight}'
            f"{anchor}>{marked_up(shown)}</text>"
        )
        return self.letters.width(shown, size, weight, spacing)

    def lines(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        *,
        most: float,
        colour: str = INK_COLOUR,
        weight: int = 400,
        count: int = 2,
        leading: float = 1.25,
    ) -> float:
        """Write a text in at most so many lines, the first one with its baseline at `y`; return the next baseline."""
        for line in self.letters.lines(self.letters.drawable(text), size, most, weight, count):
            self.text(x, y, line, size, most=most, colour=colour, weight=weight)
            y += size * leading
        return y

    def fitting(self, text: str, most: float, largest: float, weight: int = 700) -> float:
        """The largest size up to a limit in which a text fits into a width."""
        shown = self.letters.drawable(text)
        size = min(largest, most / max(self.letters.width(shown, 1.0, weight, TIGHT), 0.1))
        return size if size >= LARGE else min(size, most / max(self.letters.width(shown, 1.0, weight), 0.1))

    def fitted(self, text: str, size: float, most: float, weight: int, count: int) -> tuple[float, list[str]]:
        """A size and a text in at most so many lines; a little smaller than wanted if only that shows all of it."""
        shown = self.letters.drawable(text)
        for smaller, most_lines in ((1.0, 1), (SLIGHTLY, 1), (1.0, count), (SLIGHTLY, count), (SHRUNK, count)):
            lines = self.letters.lines(shown, size * smaller, most, weight, most_lines)
            if not lines or not lines[-1].endswith(ELLIPSIS) or shown.endswith(ELLIPSIS):
                return size * smaller, lines
        return size, self.letters.lines(shown, size, most, weight, count)

    def shrunk(self, text: str, size: float, most: float, weight: int = 400) -> float:
        """The size at which a text fits into a width, but not much less than the wanted one: then it is cut."""
        wanted = self.letters.width(self.letters.drawable(text), size, weight)
        return size if wanted <= most else max(size * most / wanted, size * SHRUNK)

    def picture(self, item: Item, x: float, y: float, size: float) -> None:
        """Draw the picture of an item, or its initials: artists in a circle, others with round corners."""
        radius = size / 2 if item.kind == "artists" else size * 0.08
        number = len(self._defs)
        box = f'x="{x:.1f}" y="{y:.1f}" width="{size:.1f}" height="{size:.1f}"'
        self._defs.append(f'<clipPath id="clip{number}"><rect {box} rx="{radius:.1f}"/></clipPath>')
        picture = self._pictures.get(item.image_url)
        if picture is not None:
            self._parts.append(
                f'<image href="{data_uri(picture)}" {box} preserveAspectRatio="xMidYMid slice" '
                f'clip-path="url(#clip{number})"/>'
            )
            return
        name = shown_name(item)
        shown = self.letters.drawable(name)
        short = initials("" if shown in (NAMELESS, SYMBOLS) else shown)
        tint = hue(name)
        self._parts.append(
            f'<rect {box} rx="{radius:.1f}" fill="hsl({tint},22%,26%)"/>'
            f'<text x="{x + size / 2:.1f}" y="{y + size * 0.63:.1f}" font-size="{size * 0.36:.1f}" font-weight="700" '
            f'fill="hsl({tint},42%,80%)" text-anchor="middle">{escape(short)}</text>'
        )

    def bar(self, x: float, y: float, width: float, height: float, share: float) -> None:
        """Draw a bar of which a share is filled."""
        for length, colour, opacity in ((width, PANEL, 0.1), (max(width * share, height), ACCENT_COLOUR, 1.0)):
            self._parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{length:.1f}" height="{height:.1f}" rx="{height / 2:.1f}" '
                f'fill="{colour}" fill-opacity="{opacity}"/>'
            )

    def tile(self, text: str, x: float, y: float, size: float) -> None:
        """Draw a short text on a panel of the size of a picture."""
        self.panel(x, y, size, size, size * 0.08)
        large = self.fitting(text, size * 0.8, size * 0.42)
        self._parts.append(
            f'<text x="{x + size / 2:.1f}" y="{y + size / 2 + large * 0.36:.1f}" font-size="{large:.1f}" '
            f'font-weight="700" fill="{ACCENT_COLOUR}" text-anchor="middle">{escape(text)}</text>'
        )

    def panel(self, x: float, y: float, width: float, height: float, radius: float) -> None:
        """Draw a panel that is a little lighter than the ground."""
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.1f}" '
            f'fill="{PANEL}" fill-opacity="0.07"/>'
        )


@lru_cache(maxsize=64)
def _blurred(picture: Picture) -> Picture:
    """A picture as a few soft colours; it is small, because blurring a large one takes seconds."""
    import vl_convert  # noqa: PLC0415 - it contains a JavaScript engine

    soft = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SOFT_PX}" height="{SOFT_PX}"><defs>'
        '<filter id="soft" x="0" y="0" width="1" height="1"><feGaussianBlur stdDeviation="7"/>'
        '<feColorMatrix type="saturate" values="1.5"/></filter></defs><g filter="url(#soft)">'
        f'<image href="{data_uri(picture)}" x="-24" y="-24" width="{SOFT_PX + 48}" height="{SOFT_PX + 48}"/></g></svg>'
    )
    return Picture("image/png", vl_convert.svg_to_png(soft))
