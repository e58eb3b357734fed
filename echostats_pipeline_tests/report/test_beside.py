"""The files beside a report: what each field is, and that other programs can read them."""

import json
import re
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from hypothesis import given, settings

from echostats_pipeline.model.statistics import AnalyticsSnapshot, DayTotal, YearlyReview
from echostats_pipeline.report.badge import build_badge
from echostats_pipeline.report.feed import ATOM, build_feed
from echostats_pipeline.report.public import published
from echostats_pipeline.report.summary import LastPlay, SummaryInput, build_summary
from echostats_pipeline_tests.report import samples
from echostats_pipeline_tests.report.document_factories import NASTY, names

PAGE = Path(__file__).parents[2] / "docs" / "use" / "beside.md"
DAYS = samples.days()
REVIEW = YearlyReview.model_validate(samples.statistics(YearlyReview, DAYS, year=2025).model_dump())
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def snapshot(**changes: Any) -> AnalyticsSnapshot:
    start, end = samples.NOW - timedelta(days=6, hours=10), samples.NOW + timedelta(hours=14)
    known = {"period": "week", "period_start": start, "period_end": end, **changes}
    return AnalyticsSnapshot.model_validate(samples.statistics(AnalyticsSnapshot, DAYS, **known).model_dump())


def material(**changes: Any) -> SummaryInput:
    played = LastPlay(samples.NOW, "Static River", "Velno Kastar", "", "4uLU6hMCjMI75M1A2tKUQC")
    given = SummaryInput(
        user=samples.user(),
        now=samples.NOW,
        snapshots={"week": snapshot(), "all_time": snapshot(period="all_time", period_start=None)},
        gaps=samples.gaps(),
        last=played,
        first_day=DAYS[0].date,
        unknown={date.fromisoformat(DAYS[9].date), date(2001, 1, 1)},
    )
    return replace(given, **changes)


def fields(value: Any, before: str = "") -> set[str]:
    """Every field by its path; those of periods and of lines of lists by their own names."""
    if not isinstance(value, dict):
        return set()
    found = set()
    for name, each in value.items():
        path = name if before in ("periods.week", "line") else f"{before}.{name}".strip(".")
        found |= {path} | fields(each, path)
        if isinstance(each, list):
            found |= fields(each[0], "line")
    return found


def test_the_page_has_every_field_of_the_summary_and_no_other() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = page[page.index("## summary.json") : page.index("Instants are in UTC")]
    documented = set(re.findall(r"`([a-z_.]+)`", table)) - {"summary.json"}
    made = build_summary(material())
    made["periods"]["all_time"] = None  # the fields of a period are listed once
    assert fields(made) - {"user", "periods", "gaps"} == documented


def test_the_summary_holds_what_the_documents_hold() -> None:
    made = json.loads(json.dumps(build_summary(material())))
    assert made["version"] == 1
    assert made["periods"]["month"] is None
    week, all_time = made["periods"]["week"], made["periods"]["all_time"]
    assert (week["days"], week["first_date"], week["last_date"]) == (7, "2026-02-05", "2026-02-11")
    assert (all_time["days"], all_time["first_date"]) == (None, None)
    assert len(week["top_artists"]) == 5
    assert week["top_tracks"][0]["spotify_url"] == f"https://open.spotify.com/track/{'0' * 22}"
    assert made["streak"] == {
        "days": 12, "days_at_least": False, "longest_days": 61, "longest_days_at_least": False,
    }  # fmt: skip
    assert made["gaps"] == {
        "unknown": 0, "unknown_hours": 0.0, "unseen": 1, "unseen_hours": 123.0, "plays_without_track": 1,
        "unknown_days": 1,
    }  # fmt: skip


def test_nothing_simulated_leads_to_spotify() -> None:
    assert "open.spotify.com" not in json.dumps(build_summary(material(user=samples.user(simulated=True))))


def test_before_anything_is_built_the_files_say_so() -> None:
    made = build_summary(material(snapshots={}, last=None, gaps=[]))
    assert set(made["periods"].values()) == {None}
    assert (made["streak"], made["last_played"]) == (None, None)
    assert "not known" in build_badge(None)


def test_the_badge_is_small_loads_nothing_and_says_what_it_shows() -> None:
    badge = build_badge(snapshot(total_ms_played=66_600_000, total_tracks_played=312))
    root = ET.fromstring(badge)
    said = "last 7 days: 18 h 30 min, 312 plays"
    assert root.get("aria-label") == said
    assert len(badge) < 1_200
    assert re.findall(r"url\(([^)]*)\)|href", badge) == ["#round"]
    assert int(root.get("width", "0")) == sum(int(rect.get("width", "0")) for rect in list(root.iter())[5:7])


def feed_of(
    days: list[DayTotal], reviews: list[YearlyReview], name: str = "Ann", pages: Collection[str] = ()
) -> ET.Element:
    return ET.fromstring(build_feed(samples.user(display_name=name), days, reviews, samples.NOW, pages))


def told(feed: ET.Element) -> dict[str, tuple[str, str]]:
    """The time and the text of each entry by its title."""
    parts = ("title", "updated", "content")
    rows = [[entry.findtext(f"{{{ATOM}}}{part}") or "" for part in parts] for entry in feed.iter(f"{{{ATOM}}}entry")]
    return {title: (updated, text) for title, updated, text in rows}


@given(names, names)
@settings(max_examples=25)
def test_any_feed_has_what_the_standard_asks_for(name: str, artist: str) -> None:
    top = samples.top((artist,), pictures=False)
    years = [REVIEW.model_copy(update={"year": 2024, "top_artists": top}), REVIEW]
    feed = feed_of(DAYS, years, name)
    assert feed.tag == f"{{{ATOM}}}feed"
    assert feed.findtext(f"{{{ATOM}}}author/{{{ATOM}}}name")
    for each in (feed, *feed.iter(f"{{{ATOM}}}entry")):
        for part in ("id", "title", "updated"):
            assert len(each.findall(f"{{{ATOM}}}{part}")) == 1
        assert each.findtext(f"{{{ATOM}}}title")
        assert RFC_3339.fullmatch(each.findtext(f"{{{ATOM}}}updated") or "")
    ids = [each.text or "" for each in feed.iter(f"{{{ATOM}}}id")]
    assert len(ids) == len(set(ids)) > 2
    assert all(each.startswith("urn:uuid:") for each in ids)
    times = [each.text or "" for each in feed.iter(f"{{{ATOM}}}updated")]
    assert times[0] == times[1]
    assert times[1:] == sorted(times[1:], reverse=True)


def test_an_entry_keeps_its_id_and_time_when_the_feed_is_written_again() -> None:
    days = DAYS
    before = {each.text for each in feed_of(days[:400], []).iter(f"{{{ATOM}}}id")}
    assert len(before) == 5
    assert before < {each.text for each in feed_of(days, [REVIEW]).iter(f"{{{ATOM}}}id")}
    earlier, later = told(feed_of(days[:400], [])), told(feed_of(days, []))
    assert earlier == {title: later[title] for title in earlier}


def test_milestones_are_on_the_days_on_which_the_plays_reached_them() -> None:
    days = DAYS
    made = told(feed_of(days, []))
    for number in (100, 1_000, 5_000, 10_000, 20_000):
        day = next(day for at, day in enumerate(days, start=1) if sum(each.count for each in days[:at]) >= number)
        updated, text = made[f"Play number {number:,}"]
        moment = datetime.fromisoformat(updated).astimezone(UTC)
        assert moment - datetime.fromisoformat(f"{day.date}T00:00:00Z") in (timedelta(hours=22), timedelta(hours=23))
        assert f"There were {day.count} plays on that day." in text
    milestones = [title for title in made if title.startswith("Play number")]
    assert len(milestones) == 3 + sum(day.count for day in days) // 10_000


def test_each_entry_links_the_page_that_says_most_about_it() -> None:
    key = samples.user().partition_key
    names = (".html", "-2025.html", "-recap-2025.html", "-recap-2025-11.html")
    feed = build_feed(samples.user(), DAYS, [REVIEW], samples.NOW, [f"{key}{name}" for name in names])
    for text, start in ((feed, f"{key}-"), (published(key, feed.encode()).decode(), "")):
        whole = f"{key}.html" if start else "report.html"
        links = {
            entry.findtext(f"{{{ATOM}}}title"): [link.attrib["href"] for link in entry.iter(f"{{{ATOM}}}link")]
            for entry in ET.fromstring(text).iter(f"{{{ATOM}}}entry")
        }
        assert links["The year 2025"] == links["October 2025"] == [f"{start}recap-2025.html"]
        assert links["November 2025"] == [f"{start}recap-2025-11.html"]
        assert links["Play number 100"] == [whole]
        assert f'<link rel="self" type="application/atom+xml" href="{start}feed.xml" />' in text
        assert f'<link rel="alternate" type="text/html" href="{whole}" />' in text
    assert len(list(feed_of(DAYS, []).iter(f"{{{ATOM}}}link"))) == 1


def test_the_last_months_that_are_over_have_an_entry_with_their_sums() -> None:
    made = told(feed_of(DAYS, []))
    month = [day for day in DAYS if day.date.startswith("2025-11")]
    plays, days = sum(day.count for day in month), sum(day.count > 0 for day in month)
    updated, text = made["November 2025"]
    assert datetime.fromisoformat(updated).astimezone(UTC).date() == date(2025, 11, 30)
    assert f"of music, {plays:,} plays on {days} days." in text
    assert sum(not title.startswith("Play number") for title in made) == 12


def test_a_day_that_is_not_over_has_no_entry_yet() -> None:
    today = [DayTotal(date=samples.NOW.date().isoformat(), count=500, total_ms=1)]
    assert told(feed_of(today, [])) == {}
    assert told(feed_of([], [])) == {}


def test_what_is_not_known_of_a_year_is_said_in_its_entry() -> None:
    days = [day for day in DAYS if day.date >= "2025-02-03"]
    made = build_feed(samples.user(), days, [REVIEW], samples.NOW, unknown=[date(2025, 3, 1), date(2025, 1, 9)])
    _, text = told(ET.fromstring(made))["The year 2025"]
    assert text.endswith(" The history begins on 3 February 2025. Not everything is known of 1 day.")


def test_names_are_text_in_the_feed() -> None:
    made = told(feed_of([], [REVIEW.model_copy(update={"top_artists": samples.top((NASTY[0],))})]))
    assert NASTY[0] in made["The year 2025"][1]
