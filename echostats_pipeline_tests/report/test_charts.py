"""Charts as a browser reads them: well-formed, to scale, small, and without external resources."""

import base64
import re
from datetime import date, timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.report.charts import (
    COLOUR,
    PLOT_HEIGHT,
    SHADES,
    bar_chart,
    embedded,
    heat_map,
    interval_chart,
    nice_ceiling,
    shade,
)

SVG = "{http://www.w3.org/2000/svg}"
counts = st.integers(0, 100_000)


def texts(svg: str) -> list[str]:
    return [found.text or "" for found in ET.fromstring(svg).iter(f"{SVG}text")]


def bar_heights(svg: str) -> list[float]:
    return [float(height) for height in re.findall(r"v-([\d.]+)h", svg)]


@given(values=st.lists(counts, max_size=90))
def test_bars_are_as_high_as_their_values(values: list[int]) -> None:
    named = {str(number): value for number, value in enumerate(values)}
    svg = bar_chart(named, ticks={"0": "first"})
    ET.fromstring(svg)
    top = nice_ceiling(max(values, default=0))
    wanted = [PLOT_HEIGHT * value / top for value in values if value]
    assert bar_heights(svg) == pytest.approx(wanted, abs=0.06)
    assert f"{top:,}" in texts(svg)
    assert ("first" in texts(svg)) is bool(values)


@given(rows=st.lists(st.lists(counts, min_size=24, max_size=24), min_size=1, max_size=7))
def test_every_value_is_a_cell_of_its_shade(rows: list[list[int]]) -> None:
    svg = heat_map({str(number): values for number, values in enumerate(rows)}, columns=["h"] * 24)
    most = max(value for values in rows for value in values)
    paths = [path for path in ET.fromstring(svg).iter(f"{SVG}path") if "h10v10h-10z" not in path.attrib["d"]]
    drawn = {float(path.attrib["fill-opacity"]): path.attrib["d"].count("M") for path in paths}
    for number, opacity in enumerate(SHADES):
        assert drawn.get(opacity, 0) == sum(shade(value, most) == number for values in rows for value in values)


@pytest.mark.parametrize(("value", "number"), [(0, 0), (1, 1), (25, 1), (26, 2), (50, 2), (75, 3), (76, 4), (100, 4)])
def test_shades_are_quarters_of_the_most_and_nothing_has_its_own(value: int, number: int) -> None:
    assert shade(value, 100) == number
    assert shade(value, 0) == 0


@pytest.mark.parametrize(
    ("most", "legend"),
    [(0, ["0"]), (1, ["0", "1"]), (3, ["0", "1", "2", "3"]), (4, ["0", "1", "2", "3", "4"])],
)
def test_the_legend_names_each_value_once(most: int, legend: list[str]) -> None:
    assert texts(heat_map({"Mon": [most]}, columns=[""]))[1:] == legend
    assert texts(heat_map({"Mon": [200]}, columns=[""]))[1:] == ["0", "1-50", "51-100", "101-150", "151-200"]


@pytest.mark.parametrize(("value", "ceiling"), [(0, 1), (1, 1), (3, 5), (9, 10), (10, 10), (11, 20), (501, 1000)])
def test_scales_end_at_round_numbers(value: int, ceiling: int) -> None:
    assert nice_ceiling(value) == ceiling


def test_names_are_escaped() -> None:
    assert "a<b & c" in texts(bar_chart({"x": 1}, ticks={"x": "a<b & c"}))


def test_a_picture_stays_small_whatever_it_shows() -> None:
    first = date(2025, 1, 1)
    days = {str(first + timedelta(days=number)): 97_531 + number for number in range(90)}
    bars = bar_chart(days, ticks=dict.fromkeys(list(days)[::7], "01 Jan"))
    cells = heat_map(
        {str(row): [(row * 24 + hour) * 1000 for hour in range(24)] for row in range(7)}, columns=[""] * 24
    )
    assert len(embedded(bars, "bars")) < 6_000
    assert len(embedded(cells, "cells")) < 10_000


def test_embedded_markdown_holds_the_whole_picture_and_nothing_from_outside() -> None:
    svg = bar_chart({"a": 1}, ticks={})
    found = re.fullmatch(r"!\[what it shows\]\(data:image/svg\+xml;base64,([\w+/=]+)\)", embedded(svg, "what it shows"))
    assert found is not None
    assert base64.b64decode(found[1]).decode() == svg
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1)).map(sorted), max_size=90))
def test_intervals_above_zero_have_the_colour(drawn: list[list[float]]) -> None:
    values = {str(number): (low, middle, high) for number, (low, middle, high) in enumerate(drawn)}
    svg = interval_chart(values)
    paths = [path.attrib for path in ET.fromstring(svg).iter(f"{SVG}path")]
    (coloured,) = [path["d"] for path in paths if path["stroke"] == COLOUR]
    assert coloured.count("V") == sum(low > 0 for low, _, _ in values.values())
    assert sum(path["d"].count("V") for path in paths) == len(values)


def test_the_scale_of_intervals_has_room_for_its_signs() -> None:
    """A plus that the edge cuts looks like a minus: a digit of this size is 7 wide."""
    labels = ET.fromstring(interval_chart({"1 May": (0.001, 0.015, 0.031)})).iter(f"{SVG}text")
    ends = {each.text: float(each.attrib["x"]) for each in labels if each.attrib["text-anchor"] == "end"}
    assert all(x - 7 * len(text or "") > 0 for text, x in ends.items())
    assert "+0.034" in ends
