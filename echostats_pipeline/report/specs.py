"""Builds the Vega-Lite specifications of charts: plain dicts, drawn by `report.drawing`.

Each chart is drawn once for wide and once for narrow screens, because the text of a scaled-down chart is not readable.
The colours are those of `report.palette` for light ground.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

from echostats_pipeline.report.calendar import Cell, WeekHour
from echostats_pipeline.report.document import Month
from echostats_pipeline.report.formatting import HOUR_MS, WEEKDAYS, calendar_date, duration, plural
from echostats_pipeline.report.palette import ACCENT, GRID, LEVELS, MUTED, SECOND, STRIPES, UNKNOWN, Colour

Spec = dict[str, Any]

WIDE, NARROW = 860, 330
"""Pixels across."""
TICK_PX = 40
"""Width that the name of a month needs, in pixels."""
STEPS = (1, 2, 3, 6, 12, 24, 60, 120)
MOST_MARKS = 4
"""Most steps of a scale."""
CELL_PX = 13
WEEKS = 27
"""Most weeks that half a year touches."""
MONTH_NAMES = "['Jan','Feb','Mar','Apr','May','Jun','Jul','Aug','Sep','Oct','Nov','Dec']"
MEASURES: Mapping[str, tuple[Callable[[Month], float], Callable[[Month], str], Colour]] = {
    "hours": (lambda month: month.ms / HOUR_MS, lambda month: duration(month.ms), ACCENT),
    "new songs": (lambda month: month.new_tracks, lambda month: plural(month.new_tracks, "new song"), ACCENT),
    "new artists": (lambda month: month.new_artists, lambda month: plural(month.new_artists, "new artist"), SECOND),
}
"""By measure: the value of a month that is drawn, its text, and its colour."""


def months_chart(months: Sequence[Month], measure: str, *, width: int, height: int = 150) -> Spec:
    """Return a chart with a bar for each month.

    Args:
        months: The months in order.
        measure: One of `MEASURES`.
        width: Width in pixels, including the axis.
        height: Height of the area of the bars, in pixels.
    """
    value, text, colour = MEASURES[measure]
    bars: list[dict[str, Any]] = [
        {
            "month": f"{month.first:%Y-%m}",
            "value": round(value(month), 3),
            "text": f"{month.first:%B %Y}: {text(month) if month.known else 'not known'}",
            "known": month.known,
        }
        for month in months
    ]
    month = f"{MONTH_NAMES}[+substring(datum.value,5)-1]"
    of_one_year = months[0].first.year == months[-1].first.year
    marks = scale_marks(max(bar["value"] for bar in bars))
    ticks = month_ticks(months, width // TICK_PX)
    years = [tick for before, tick in pairwise(["", *ticks]) if before[:4] != tick[:4]]
    year = f"indexof({json.dumps(years)},datum.value)>=0"
    january = f"substring(datum.value,5)=='01'?substring(datum.value,0,4):[{month},substring(datum.value,0,4)]"
    names = month if of_one_year else f"{year}?({january}):{month}"
    axis = {"values": ticks, "labelExpr": names, "labelAngle": 0, "ticks": False, "labelOverlap": False}
    chart = _chart(
        {"type": "bar", "color": colour.light},
        bars,
        {
            "x": {"field": "month", "type": "ordinal", "scale": {"paddingInner": 0.22}, "axis": axis},
            "y": {
                "field": "value",
                "type": "quantitative",
                "scale": {"domain": [0, marks[-1]]},
                "axis": {"values": marks, "ticks": False, "format": ",d"},
            },
        },
        width=width,
        height=height,
    )
    if all(each.known for each in months):
        return chart
    encoding = chart.pop("encoding")
    unknown: Spec = {"mark": {"type": "rect", "color": STRIPES.light}, "transform": [{"filter": "!datum.known"}]}
    unknown["encoding"] = {
        "x": encoding["x"],
        "y": {"datum": 0, "type": "quantitative"},
        "y2": {"datum": marks[-1]},
        "description": encoding["description"],
    }
    return {**chart, "layer": [unknown, {"mark": chart.pop("mark"), "encoding": encoding}]}


def month_ticks(months: Sequence[Month], most: int) -> list[str]:
    """Return the months whose name is written, at most `most`; Januaries are included."""
    for step in STEPS:
        named = [each.first for each in months if (each.first.year * 12 + each.first.month - 1) % step == 0]
        if len(named) <= most:
            break
    return [f"{first:%Y-%m}" for first in named[:most]]


def scale_marks(most: float) -> list[int]:
    """Return whole numbers from 0 to at least the value, in at most four steps of 1, 2 or 5 times a power of 10."""
    steps = (nice * 10**power for power in range(20) for nice in (1, 2, 5))
    step = next(step for step in steps if step * MOST_MARKS >= most)
    return list(range(0, max(math.ceil(most / step), 1) * step + 1, step))


def week_chart(hours: Sequence[WeekHour], *, width: int) -> Spec:
    """Return a chart with a cell for each hour of the week; more time is darker."""
    cells = [
        {
            "hour": each.hour,
            "day": each.day,
            "colour": LEVELS[each.level].light,
            "text": f"{WEEKDAYS[each.day]} {each.hour:02}:00: {duration(each.ms)}, {plural(each.plays, 'play')}",
        }
        for each in hours
    ]
    step = 3 if width >= WIDE else 6
    hour = {"values": list(range(0, 24, step)), "labelExpr": "format(datum.value,'02')+':00'", "labelAngle": 0}
    day = {"labelExpr": "['Mon','Tue','Wed','Thu','Fri','Sat','Sun'][datum.value]"}
    return _cells(
        cells,
        {
            "x": {"field": "hour", "type": "ordinal", "scale": _scale(24), "axis": _bare(hour)},
            "y": {"field": "day", "type": "ordinal", "scale": _scale(7), "axis": _bare(day)},
        },
        width=width,
        height=168,
    )


def half_year_chart(cells: Sequence[Cell]) -> Spec:
    """Return a chart of up to six months: a column per week, Monday at the top; stripes for days with gaps."""
    first = cells[0].day.replace(day=1)
    first -= timedelta(days=first.weekday())
    rows = [
        {
            "week": (cell.day - first).days // 7,
            "day": cell.day.weekday(),
            "colour": (UNKNOWN if cell.state == "unknown" else LEVELS[cell.level]).light,
            "gap": cell.state == "gap",
            "text": said_of(cell),
        }
        for cell in cells
    ]
    starts = {(cell.day - first).days // 7: f"{cell.day:%b}" for cell in cells if cell.day.day == 1}
    months = {
        "orient": "top",
        "values": list(starts),
        "labelExpr": f"{starts}[datum.value]",
        "labelAlign": "left",
        "labelAngle": 0,
    }
    day = {"values": [0, 2, 4], "labelExpr": "['Mon','','Wed','','Fri','',''][datum.value]"}
    chart = _cells(
        rows,
        {
            "x": {
                "field": "week",
                "type": "ordinal",
                "scale": _scale(WEEKS),
                "axis": _bare(months),
            },
            "y": {
                "field": "day",
                "type": "ordinal",
                "scale": _scale(7),
                "axis": _bare(day),
            },
        },
        width=WEEKS * CELL_PX + 30,
        height=7 * CELL_PX,
    )
    if not any(row["gap"] for row in rows):
        return chart
    encoding = chart.pop("encoding")
    stripes = {"mark": {"type": "rect", "color": STRIPES.light}, "transform": [{"filter": "datum.gap"}]}
    stripes["encoding"] = {name: encoding[name] for name in ("x", "y", "description")}
    return {**chart, "layer": [{"mark": chart.pop("mark"), "encoding": encoding}, stripes]}


def said_of(cell: Cell) -> str:
    """Return the tooltip of a day of the calendar."""
    day = f"{cell.day:%a}, {calendar_date(cell.day)}"
    if cell.state == "unknown":
        return f"{day}: not known"
    heard = f"{duration(cell.ms)}, {plural(cell.plays, 'play')}" if cell.level else "no music"
    return f"{day}: {heard}{'; plays may be missing' if cell.state == 'gap' else ''}"


def _cells(rows: Sequence[Mapping[str, Any]], encoding: Mapping[str, Any], *, width: int, height: int) -> Spec:
    colour = {"field": "colour", "type": "nominal", "scale": None, "legend": None}
    return _chart({"type": "rect"}, rows, {**encoding, "color": colour}, width=width, height=height)


def _scale(count: int) -> Spec:
    return {"domain": list(range(count)), "paddingInner": 0.2}


def _bare(axis: Mapping[str, Any]) -> Spec:
    return {"domain": False, "ticks": False, "grid": False, "labelOverlap": False, **axis}


def _chart(
    mark: Spec, rows: Sequence[Mapping[str, Any]], encoding: Mapping[str, Any], *, width: int, height: int
) -> Spec:
    said = {"description": {"field": "text", "type": "nominal"}}
    titled = {name: {**channel, "title": None} for name, channel in encoding.items()}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "background": None,
        "padding": {"left": 0, "right": 4, "top": 4, "bottom": 6},
        "width": width,
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": list(rows)},
        "mark": mark,
        "encoding": {**titled, **said},
        "config": {
            "view": {"stroke": None},
            "axis": {
                "labelColor": MUTED.light,
                "gridColor": GRID.light,
                "domainColor": GRID.light,
                "labelFontSize": 12,
                "labelPadding": 6,
            },
            "axisY": {"domain": False},
        },
    }
