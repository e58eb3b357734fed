"""Draws the charts in the metadata of runs: bar charts and heat maps as SVG text of a few kilobytes.

They are drawn here and not by a library, because each run would pay for it (decision 0011). Shapes of one colour
are one path. The colours are readable on light and on dark ground, because an embedded picture cannot know its ground.
"""

import base64
import math
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

WIDTH = 680
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 10, 20
SIGN = 20
"""Additional width at the left for numbers with sign and decimals."""
PLOT_HEIGHT = 130
CELL_HEIGHT, GAP = 20, 2
INK, COLOUR = "#808790", "#1db954"
SHADES = (0.08, 0.3, 0.5, 0.75, 1.0)
"""Opacity of the cells: first for the value 0, then for each quarter up to the largest value."""
NICE = (1, 2, 5, 10)


def bar_chart(values: Mapping[str, int], *, ticks: Mapping[str, str], unknown: Collection[str] = ()) -> str:
    """Draw a bar chart with one bar per value, in order.

    Args:
        values: Heights of the bars by name.
        ticks: Labels below some of the bars, by name.
        unknown: Names of unknown values: these get a grey band in place of a bar, and a legend explains it.
    """
    top = nice_ceiling(max(values.values(), default=0))
    step = (WIDTH - LEFT - RIGHT) / max(len(values), 1)
    base = TOP + PLOT_HEIGHT
    bars, bands, labels = [], [], []
    for position, (name, value) in enumerate(values.items()):
        x, height = LEFT + position * step, PLOT_HEIGHT * value / top
        if name in unknown and not value:
            bands.append(f"M{x:.1f} {base}v-{PLOT_HEIGHT}h{step:.1f}v{PLOT_HEIGHT}z")
        if value:
            bars.append(f"M{x:.1f} {base}v-{height:.1f}h{step * 0.8:.1f}v{height:.1f}z")
        if name in ticks:
            labels.append(_text(x + step * 0.4, base + 15, ticks[name], "middle"))
    lines = "".join(f"M{LEFT} {base - PLOT_HEIGHT * part:g}H{WIDTH - RIGHT}" for part in (0, 0.5, 1))
    scale = [_text(LEFT - 5, base - PLOT_HEIGHT * part + 4, f"{top * part:,g}", "end") for part in (0, 0.5, 1)]
    return _svg(
        base + BOTTOM,
        f'<path d="{lines}" stroke="{INK}" stroke-opacity=".35"/>',
        *([f'<path d="{"".join(bands)}" fill="{INK}" fill-opacity=".25"/>'] if bands else []),
        f'<path d="{"".join(bars)}" fill="{COLOUR}"/>',
        *([_text(WIDTH - RIGHT, TOP + 2, "grey: not known", "end")] if bands else []),
        *scale,
        *labels,
    )


def interval_chart(values: Mapping[str, tuple[float, float, float]]) -> str:
    """Draw intervals with their middle, in order, and the line of zero; an interval above zero is coloured.

    Args:
        values: Lower end, middle and upper end by name; the first and the last name are labels.
    """
    ends = [end for low, _, high in values.values() for end in (low, high)]
    top = max(map(abs, ends), default=0) * 1.1 or 1.0
    left = LEFT + SIGN  # a sign that is cut off looks like the other one
    step = (WIDTH - left - RIGHT) / max(len(values), 1)
    middle, half = TOP + PLOT_HEIGHT / 2, PLOT_HEIGHT / 2
    above: list[str] = []
    others: list[str] = []
    for position, (low, value, high) in enumerate(values.values()):
        x = left + (position + 0.5) * step
        y = [middle - half * each / top for each in (low, value, high)]
        (above if low > 0 else others).append(f"M{x:.1f} {y[0]:.1f}V{y[2]:.1f}M{x - 4:.1f} {y[1]:.1f}h8")
    names, below = list(values), TOP + PLOT_HEIGHT + 15
    if len(names) > 1:
        labels = [_text(left, below, names[0], "start"), _text(WIDTH - RIGHT, below, names[-1], "end")]
    else:
        labels = [_text(left + step / 2, below, name, "middle") for name in names]
    scale = [_text(left - 5, middle - half * part + 4, f"{top * part:+.2g}", "end") for part in (-1, 0, 1)]
    return _svg(
        TOP + PLOT_HEIGHT + BOTTOM,
        f'<path d="M{left} {middle}H{WIDTH - RIGHT}" stroke="{INK}" stroke-opacity=".6"/>',
        f'<path d="{"".join(others)}" stroke="{INK}" stroke-width="2"/>',
        f'<path d="{"".join(above)}" stroke="{COLOUR}" stroke-width="2"/>',
        *scale,
        *labels,
    )


def curve_chart(series: Mapping[str, Sequence[float | None]]) -> str:
    """Draw curves over the same places, with a legend; unknown values leave a gap.

    Args:
        series: At most two curves by name, of values from 0 to 1.
    """
    places = max(map(len, series.values()), default=0)
    step = (WIDTH - LEFT - RIGHT) / max(places - 1, 1)
    base = TOP + PLOT_HEIGHT
    parts = [_text(LEFT - 4, TOP + 4, "1", "end"), _text(LEFT - 4, base, "0", "end")]
    parts.append(f'<path d="M{LEFT} {base}H{WIDTH - RIGHT}" stroke="{INK}" fill="none"/>')
    for number, (name, values) in enumerate(series.items()):
        colour, dash = ((COLOUR, ""), (INK, ' stroke-dasharray="5 3"'))[number % 2]
        path, is_begun = "", False
        for place, value in enumerate(values):
            if value is not None:
                height = base - PLOT_HEIGHT * min(max(value, 0.0), 1.0)
                path += f"{'L' if is_begun else 'M'}{LEFT + place * step:.0f} {height:.0f}"
            is_begun = value is not None
        parts.append(f'<path d="{path}" stroke="{colour}" stroke-width="2" fill="none"{dash}/>')
        x = LEFT + number * 160
        parts.append(f'<path d="M{x} {base + 14}h20" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(_text(x + 26, base + 18, name, "start"))
    return _svg(base + BOTTOM + 4, *parts)


def heat_map(rows: Mapping[str, Sequence[int]], *, columns: Sequence[str]) -> str:
    """Draw a grid of cells; larger values are darker.

    Args:
        rows: Values from left to right, by the label of their row.
        columns: Labels above the columns; an empty text for none.
    """
    most = max((value for values in rows.values() for value in values), default=0)
    step = (WIDTH - LEFT - RIGHT) / max(len(columns), 1)
    shades: list[list[str]] = [[] for _ in SHADES]
    labels = [_text(LEFT + (at + 0.5) * step, TOP + 5, name, "middle") for at, name in enumerate(columns) if name]
    for line, (name, values) in enumerate(rows.items()):
        y = TOP + 12 + line * (CELL_HEIGHT + GAP)
        labels.append(_text(LEFT - 5, y + 14, name, "end"))
        for column, value in enumerate(values):
            cell = f"M{LEFT + column * step:.1f} {y}h{step - GAP:.1f}v{CELL_HEIGHT}h-{step - GAP:.1f}z"
            shades[shade(value, most)].append(cell)
    cells = [
        f'<path d="{"".join(paths)}" fill="{COLOUR if opacity > SHADES[0] else INK}" fill-opacity="{opacity}"/>'
        for opacity, paths in zip(SHADES, shades, strict=True)
        if paths
    ]
    height = TOP + 12 + len(rows) * (CELL_HEIGHT + GAP)
    return _svg(height + 18, *cells, *labels, *_legend(height, most))


def shade(value: int, most: int) -> int:
    """Return the index in `SHADES` of a value: the first is for 0, the last for the quarter of the largest values."""
    return math.ceil((len(SHADES) - 1) * value / most) if most else 0


def nice_ceiling(value: int) -> int:
    """Return the least of 1, 2, 5, 10, 20, 50 … that is not below the value."""
    magnitude = int(f"1{'0' * (len(str(value)) - 1)}")
    return next(nice * magnitude for nice in NICE if nice * magnitude >= value)


def embedded(svg: str, description: str) -> str:
    """Return the picture as Markdown that contains all of it."""
    return f"![{description}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _legend(y: int, most: int) -> list[str]:
    """Draw the legend of the shades, at the right below a heat map."""
    bounds = [0, *(most * part // (len(SHADES) - 1) for part in range(len(SHADES)))]
    found, x = [], WIDTH - RIGHT - 75 * len(SHADES)
    for opacity, (low, high) in zip(SHADES, pairwise(bounds), strict=True):
        if low == high and opacity > SHADES[0]:
            continue
        name = f"{low + 1:,}-{high:,}" if low + 1 < high else f"{high:,}"
        colour = COLOUR if opacity > SHADES[0] else INK
        found.append(f'<path d="M{x} {y + 3}h10v10h-10z" fill="{colour}" fill-opacity="{opacity}"/>')
        found.append(_text(x + 14, y + 12, name, "start"))
        x += 75
    return found


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, *parts: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:g}" viewBox="0 0 {WIDTH} {height:g}">'
        f'<g font-family="sans-serif" font-size="11" fill="{INK}">{"".join(parts)}</g></svg>'
    )
