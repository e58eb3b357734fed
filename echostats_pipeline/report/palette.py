"""The colours of a report, on light and on dark ground.

Charts are drawn in the colours for light ground. The style of the page has a rule for each colour, so that the same
chart is dark on a dark page: see `colour_rules`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """A colour, named by its purpose; all light values differ, because charts identify a colour by this value."""

    name: str
    light: str
    dark: str


INK = Colour("ink", "#1d1c1a", "#ecebe8")
MUTED = Colour("muted", "#65625c", "#a3a19b")
GRID = Colour("grid", "#e3e0da", "#34363a")
ACCENT = Colour("accent", "#157a50", "#5ad19a")
SECOND = Colour("second", "#b4532a", "#f0a27c")
ZERO = Colour("level-0", "#eeece7", "#25282b")
LEVELS = (
    ZERO,
    Colour("level-1", "#c2e5d1", "#1a3f30"),
    Colour("level-2", "#84cba5", "#23694b"),
    Colour("level-3", "#3a9d6c", "#339e6d"),
    Colour("level-4", "#126440", "#78e2b0"),
)
UNKNOWN = Colour("unknown", "#f8f7f4", "#191b1d")
STRIPES = Colour("stripes", "#b4542b", "#f0a27d")
"""Marks days with plays that may be missing: the page replaces this colour by stripes."""
COLOURS = (INK, MUTED, GRID, ACCENT, SECOND, *LEVELS, UNKNOWN, STRIPES)


def custom_properties(*, dark: bool) -> str:
    """Return the colours as CSS custom properties."""
    return "".join(f"--{colour.name}:{colour.dark if dark else colour.light};" for colour in COLOURS)


def colour_rules() -> str:
    """Return CSS that adapts the colours of charts to the page; a border of the same colour rounds the cells."""
    rules = []
    for colour in COLOURS:
        fill = "url(#stripes)" if colour is STRIPES else f"var(--{colour.name})"
        border = ""
        if colour in (*LEVELS, UNKNOWN):
            edge = GRID if colour is UNKNOWN else colour
            border = f";stroke:var(--{edge.name});stroke-width:{1 if colour is UNKNOWN else 2};stroke-linejoin:round"
        rules.append(f'.chart [fill="{colour.light}"]{{fill:{fill}{border}}}')
        rules.append(f'.chart [stroke="{colour.light}"]{{stroke:var(--{colour.name})}}')
    return "\n".join(rules)
