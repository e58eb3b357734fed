"""The colours of a report, on light and on dark ground.

Charts are drawn in the colours for light ground. The style of the page has a rule for each of them, so that the same
chart is dark on a dark page: see `colour_rules`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """One colour by what it is for; no two light ones are equal, for charts know them by that."""

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
"""What plays may be missing of: the page draws it as stripes, not as a colour."""
COLOURS = (INK, MUTED, GRID, ACCENT, SECOND, *LEVELS, UNKNOWN, STRIPES)


def custom_properties(*, dark: bool) -> str:
    """The colours as CSS custom properties."""
    return "".join(f"--{colour.name}:{colour.dark if dark else colour.light};" for colour in COLOURS)


def colour_rules() -> str:
    """CSS that lets the colours of charts follow the page; cells get rounded corners from a border of their colour."""
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
