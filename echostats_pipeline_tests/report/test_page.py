"""The HTML page: for any documents it is well-formed, loads nothing, and names stay text."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings

from echostats_pipeline.model.recommendations import RecommendationWeek
from echostats_pipeline.model.statistics import AnalyticsSnapshot
from echostats_pipeline.report import page
from echostats_pipeline.report.build import build_report
from echostats_pipeline.report.document import ReportInput
from echostats_pipeline.report.page import Picture, hue, render, spotify_link
from echostats_pipeline.report.palette import COLOURS, colour_rules
from echostats_pipeline_tests.report import samples
from echostats_pipeline_tests.report.document_factories import NASTY, materials
from echostats_pipeline_tests.report.page_assertions import assert_loads_nothing, parsed, text_of

PICTURE = Picture("image/png", b"\x89PNG\r\n\x1a\n")


@pytest.fixture(scope="module")
def year() -> str:
    report = build_report(samples.year())
    return render(report, dict.fromkeys(list(report.pictured)[:5], PICTURE)).html


def html_of(material: ReportInput) -> str:
    return render(build_report(material), {}).html


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the charts, which have tests of their own: drawing thousands takes minutes."""
    monkeypatch.setattr(page, "drawn", lambda _, reported: f'<svg role="img" aria-label="{len(reported)}"/>')


@given(material=materials())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_document_becomes_a_page_that_loads_nothing(quick: None, material: ReportInput) -> None:
    report = build_report(material)
    html = render(report, dict.fromkeys(report.pictured, PICTURE)).html
    assert_loads_nothing(html)


@given(material=materials())
@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
def test_any_document_can_be_drawn(material: ReportInput) -> None:
    made = render(build_report(material), {})
    assert_loads_nothing(made.html)
    assert made.html.count('role="img"') >= made.charts


def test_names_are_text_and_nothing_else(quick: None) -> None:
    material = samples.year()
    lines = [line.model_copy(update={"name": NASTY[0]}) for line in material.statistics.top_tracks]
    statistics = material.statistics.model_copy(update={"top_tracks": lines})
    html = html_of(replace(material, user=samples.user(display_name=NASTY[1]), statistics=statistics))
    assert "<script" not in html
    assert NASTY[0] in text_of(html)
    assert NASTY[1] in text_of(html)


def test_a_page_says_in_its_head_that_it_loads_nothing(year: str) -> None:
    policy = next(meta for meta in parsed(year).iter("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.get("content") == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_everything_a_listener_enjoys_is_there(year: str) -> None:
    text = text_of(year)
    for words in (
        "2025", "hours", "8 % more than 2024", "What you played most", "Artists", "Songs", "Albums", "Genres",
        "Day by day", "Hour by hour", "Hours per month", "New songs per month", "Welcome back", "On repeat",
        "as evenly as if there were 119 with equally many plays", "of plays were of songs played before",
        "Streaks and sessions", "61 days", "How it sounds", "83 %", "What is not known",
        "3 May 2025, 18:20", "echostats import my_spotify_data.zip --user ann-123456",
    ):  # fmt: skip
        assert words in text, words


def test_headings_are_in_order_and_charts_are_described(year: str) -> None:
    levels = [int(element.tag[1]) for element in parsed(year).iter() if element.tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    charts = [element for element in parsed(year).iter("svg") if element.get("role") == "img"]
    assert len(charts) >= 8
    assert all(len(chart.get("aria-label", "")) > 15 for chart in charts)
    ids = [element.get("id") for element in parsed(year).iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    targets = [element.get("for") for element in parsed(year).iter("label")]
    assert set(targets) <= set(ids)


def test_a_picture_is_held_once_however_often_it_is_shown(year: str) -> None:
    assert year.count("data:image/png") == 5
    assert year.count('href="#picture-0"') > 1


def test_where_there_is_no_picture_initials_stand_in(year: str) -> None:
    assert ">CT<" in year or ">C<" in year or ">TM<" in year
    assert hue("Velno") == hue("Velno")


def test_every_colour_of_a_chart_follows_the_page(year: str) -> None:
    known = {colour.light for colour in COLOURS}
    used = {
        element.get(name)
        for chart in parsed(year).iter("svg")
        if chart.get("role") == "img"
        for element in chart.iter()
        for name in ("fill", "stroke")
    }
    assert used - {None, "none"} <= known
    assert len(known) == len(COLOURS)
    assert all(f'[fill="{colour.light}"]' in colour_rules() for colour in COLOURS)


def test_nothing_heard_is_a_friendly_page(quick: None) -> None:
    nothing = AnalyticsSnapshot(user_id="5" * 24, period="all_time")
    material = ReportInput(user=samples.user(), statistics=nothing, days=[], now=samples.NOW)
    html = html_of(material)
    assert_loads_nothing(html)
    assert "Nothing has been heard yet" in text_of(html)
    assert "echostats import" in text_of(html)


@pytest.mark.parametrize(
    ("kind", "spotify_id", "address"),
    [
        ("artists", "4uLU6hMCjMI75M1A2tKUQC", "https://open.spotify.com/artist/4uLU6hMCjMI75M1A2tKUQC"),
        ("tracks", "unresolved:6hMCjMI75M1A2tKUQC", ""),
        ("tracks", '4uLU6hMCjMI75M1A2tKU"x', ""),
        ("genres", "4uLU6hMCjMI75M1A2tKUQC", ""),
    ],
)
def test_names_lead_to_spotify_where_the_id_is_spotifys(kind: str, spotify_id: str, address: str) -> None:
    assert spotify_link(kind, spotify_id) == address


@pytest.mark.parametrize("simulated", [True, False])
def test_nothing_simulated_leads_anywhere(quick: None, simulated: bool) -> None:
    html = html_of(replace(samples.year(), user=samples.user(simulated=simulated)))
    assert ("open.spotify.com" in html) is not simulated


def test_three_years_with_pictures_stay_below_a_megabyte() -> None:
    report = build_report(samples.all_time())
    large = Picture("image/jpeg", bytes(10_000))
    assert len(render(report, dict.fromkeys(report.pictured, large)).html.encode()) < 1_000_000 + 100_000


def test_recommended_songs_are_shown_with_their_reasons_and_what_ordered_them(quick: None) -> None:
    week = RecommendationWeek(
        user_id="u",
        task="discover",
        week="2026-W01",
        shown_at=samples.NOW,
        model="content",
        control="popularity",
        shown_ids=["a"] * 30,
        control_ids=["b"] * 30,
        in_both=0,
        hits=4,
        control_hits=1,
    )
    again = samples.recommended("rediscover", is_baseline=True, model="own_most_played")
    html = html_of(replace(samples.all_time(), lists=[samples.recommended(), again], weeks=[week]))
    assert html.count("It sounds like what you play: calm, neutral, slow.") == 4
    assert "Artist &lt;1&gt;" in html
    assert html.count("content is better than the best baseline.") == 2
    assert (
        "Of 30 songs listed in past weeks, 4 were played within 7 days; of 30 on lists that were not shown, 1." in html
    )


def test_without_recommendations_there_is_no_section_of_them(year: str) -> None:
    assert "What to play next" not in year
