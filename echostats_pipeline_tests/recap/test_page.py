"""Every number on the page of a recap is what brute force finds in the plays."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest

from echostats_pipeline.recap.build import build_recap
from echostats_pipeline.recap.page import render_recap
from echostats_pipeline.recap.spans import Period
from echostats_pipeline.report.formatting import calendar_date, duration, hours, percent, plural
from echostats_pipeline.report.page import Picture
from echostats_pipeline_tests.recap import histories
from echostats_pipeline_tests.recap.histories import NOW, RELEASED, ZONE, catalogue, given, years_with_holes
from echostats_pipeline_tests.report.page_assertions import assert_loads_nothing, parsed, text_of
from echostats_pipeline_tests.transforms.oracle import OraclePlay

KNOWN = catalogue()
PERIODS = [Period(2025), Period(2026), Period(2020), Period(2026, 11), Period(2012)]


@dataclass(frozen=True)
class Counted:
    """A counted play: local date and hour, id of the track, name of the artist."""

    day: date
    hour: int
    track: str
    artist: str
    title: str


@cache
def history() -> tuple[list[OraclePlay], list[tuple[datetime, datetime]]]:
    return years_with_holes()


@cache
def counted() -> list[Counted]:
    """All counted plays, in order."""
    found = []
    for play in sorted(history()[0], key=lambda each: (each.played_at, each.track_id)):
        if play.ms_played is None or play.ms_played >= 30_000:
            local, known = play.played_at.astimezone(ZoneInfo(ZONE)), KNOWN.tracks[play.track_id]
            found.append(Counted(local.date(), local.hour, play.track_id, known.artist_name, known.name))
    return found


@cache
def time_of_days() -> Counter[date]:
    """Listening time of each local date: what was reported, else at most what has passed since the play before."""
    found: Counter[date] = Counter()
    before: datetime | None = None
    for play in sorted(history()[0], key=lambda each: (each.played_at, each.track_id)):
        ms = play.ms_played
        if ms is None:
            ms = play.duration_ms
            if before is not None:
                ms = min(ms, (play.played_at - before) // timedelta(milliseconds=1))
        before = play.played_at
        found[play.played_at.astimezone(ZoneInfo(ZONE)).date()] += ms
    return found


def ms_between(first: date, last: date) -> int:
    return sum(ms for day, ms in time_of_days().items() if first <= day <= last)


def within(period: Period) -> list[Counted]:
    return between(period.window.first, min(period.window.last, NOW.date()))


def between(first: date, last: date) -> list[Counted]:
    return [play for play in counted() if first <= play.day <= last]


@cache
def page(period: Period) -> str:
    plays, covered = history()
    return render_recap(build_recap(given(plays, period, covered=covered)), {}).html


def section(period: Period, name: str) -> list[ET.Element]:
    return [each for each in parsed(page(period)).iter("section") if each.get("aria-labelledby") == name]


def words(element: ET.Element) -> str:
    return " ".join(" ".join(element.itertext()).split())


def of_class(elements: Iterable[ET.Element], name: str) -> list[ET.Element]:
    return [each for root in elements for each in root.iter() if name in (each.get("class") or "").split()]


def most(plays: Sequence[Counted], key: Callable[[Counted], str]) -> int:
    return max(Counter(map(key, plays)).values())


@pytest.mark.parametrize("period", PERIODS, ids=lambda each: each.key)
def test_the_totals(period: Period) -> None:
    plays, text = within(period), text_of(page(period))
    assert f"{hours(ms_between(period.window.first, period.window.last))} hours" in text
    figures = {words(each[0]): words(each[1]).split()[0] for each in of_class([parsed(page(period))], "figures")[0]}
    earlier = {key for play in counted() if play.day < period.window.first for key in (play.track, play.artist)}
    expected = {
        "plays": len(plays),
        "songs": len({play.track for play in plays}),
        "artists": len({play.artist for play in plays}),
        "days with music": len({play.day for play in plays}),
    }
    if period.year > 2012:
        expected["new songs"] = len({play.track for play in plays} - earlier)
        expected["new artists"] = len({play.artist for play in plays} - earlier)
    assert figures == {name: f"{count:,}" for name, count in expected.items()}


@pytest.mark.parametrize("period", PERIODS, ids=lambda each: each.key)
def test_the_rankings(period: Period) -> None:
    plays = within(period)
    lists = of_class(section(period, "top"), "ranking")
    for lines, key in zip(lists[:2], (lambda play: play.artist, lambda play: play.title), strict=True):
        counts = Counter(map(key, plays))
        shown = [(words(of_class([line], "what")[0][0]), words(of_class([line], "much")[0])) for line in lines]
        assert len(shown) == min(len(counts), 10)
        assert [plays_of.split(" ")[0] for _, plays_of in shown] == [
            f"{count:,}" for _, count in counts.most_common(10)
        ]
        assert all(plays_of.startswith(plural(counts[name], "play") + " ") for name, plays_of in shown)


@pytest.mark.parametrize("period", PERIODS, ids=lambda each: each.key)
def test_each_month_or_week(period: Period) -> None:
    cards = iter(of_class(section(period, "parts"), "parts")[0])
    day, last = period.window.first, min(period.window.last, NOW.date())
    while day <= last:
        following = day + timedelta(days=7 - day.weekday())
        if period.month is None:
            following = (day + timedelta(days=31)).replace(day=1)
        part_last = min(following - timedelta(days=1), last)
        plays = between(day, part_last)
        if plays or period.month:
            card = next(cards)
            text = words(card)
        if plays:
            assert f"{plural(len(plays), 'play')}, {duration(ms_between(day, part_last))}" in text
            artist, track = of_class([card], "line")
            for line, key in ((artist, lambda play: play.artist), (track, lambda play: play.title)):
                name, count = words(of_class([line], "what")[0][0]), most(plays, key)
                assert Counter(map(key, plays))[name] == count
                assert words(line).endswith(plural(count, "play"))
        elif period.month:
            assert "No music" in text
        else:
            assert "Nothing is known of" in words(section(period, "parts")[0])
        day = following
    assert next(cards, None) is None
    assert day > last


@pytest.mark.parametrize("period", PERIODS, ids=lambda each: each.key)
def test_streak_busiest_day_first_play_and_milestones(period: Period) -> None:
    plays, text = within(period), words(section(period, "moments")[0])
    days = sorted({play.day for play in plays})
    runs: list[list[date]] = []
    for day in days:
        if runs and day - runs[-1][-1] == timedelta(days=1):
            runs[-1].append(day)
        else:
            runs.append([day])
    longest = max(runs, key=len)
    assert f"{plural(len(longest), 'day')} {longest[0].day}" in text
    counts = Counter(play.day for play in plays)
    busiest = min(counts, key=lambda day: (-counts[day], -time_of_days()[day], day))
    assert f"Busiest day {calendar_date(busiest)} {plural(counts[busiest], 'play')}, " in text
    first = counted()[0]
    assert f"The first play that is known {calendar_date(first.day)} where the history begins" in text
    assert f"{first.title} {first.artist}" in text
    reached = {
        number: counted()[number - 1]
        for number in (100, 1_000, 5_000, 10_000, 20_000)
        if number <= len(counted()) and counted()[number - 1] in plays
    }
    for number, play in reached.items():
        if period.window.first <= play.day <= period.window.last:
            assert f"Play number {number:,} {calendar_date(play.day)}" in text
    assert text.count("Play number") == sum(
        period.window.first <= play.day <= period.window.last for play in reached.values()
    )


@pytest.mark.parametrize("period", PERIODS, ids=lambda each: each.key)
def test_morning_night_and_decades(period: Period) -> None:
    plays, text = within(period), words(section(period, "when")[0])
    for name, span, among in (
        ("morning", "5:00 to 11:00", range(5, 11)),
        ("night", "22:00 to 4:00", (22, 23, 0, 1, 2, 3)),
    ):
        heard = Counter(play.artist for play in plays if play.hour in among)
        if heard:
            best = min(heard, key=lambda artist: (-heard[artist], artist))
            of_all = plural(sum(heard.values()), "play")
            assert f"{best} your {name} artist: {heard[best]:,} of {of_all} from {span}" in text
    decades = Counter(RELEASED[play.track] // 10 * 10 for play in plays if play.track in RELEASED)
    for first, count in decades.items():
        assert f"{first}s {plural(count, 'play')}, {percent(count / sum(decades.values()))}" in text
    assert f"known for {percent(sum(decades.values()) / len(plays))} of the plays" in text


@pytest.mark.parametrize("period", PERIODS, ids=lambda each: each.key)
def test_what_is_new_and_what_was_left_behind(period: Period) -> None:
    plays, text = within(period), words(section(period, "new")[0])
    if period.year == 2012:
        assert "The history begins in 2012, so nothing in it can be called new." in text
        return
    for what, key in (("artist", lambda play: play.artist), ("song", lambda play: play.title)):
        earlier = {key(play) for play in counted() if play.day < period.window.first}
        new = Counter(key(play) for play in plays if key(play) not in earlier)
        assert (f"{what} played for the first time" in text) == bool(new)
        if new:
            assert f"{what} played for the first time, {plural(max(new.values()), 'play')}" in text
    before = period.before.window
    gone = Counter(play.artist for play in between(before.first, before.last))
    for artist in {play.artist for play in plays}:
        del gone[artist]
    gone = Counter({artist: count for artist, count in gone.items() if count >= 3})
    if period == Period(2026):
        assert "What was left behind is not said: not everything is known of 90 days of 2026." in text
    else:
        for artist, count in gone.items():
            last = max(play.day for play in counted() if play.artist == artist and play.day < period.window.first)
            assert (
                f"{artist} {plural(count, 'play')} in {period.before.name}, the last on {calendar_date(last)}" in text
            )


@pytest.mark.parametrize("period", PERIODS, ids=lambda each: each.key)
def test_this_day_in_other_years(period: Period) -> None:
    cards = of_class(section(period, "today"), "parts")[0]
    assert len(cards) == 14
    for years, card in enumerate(cards, start=1):
        day = NOW.date().replace(year=NOW.year - years)
        plays, text = between(day, day), words(card)
        assert text.startswith(f"{day.year} ")
        said = f"{plural(len(plays), 'play')}, {duration(ms_between(day, day))}" if plays else "No music"
        assert said in text


def test_a_year_is_compared_with_the_year_before() -> None:
    now, before = within(Period(2025)), within(Period(2024))
    text = words(section(Period(2025), "versus")[0])
    assert plural(len(now), "play") in text
    assert plural(len(before), "play") in text
    change = round((len(now) / len(before) - 1) * 100)
    said = f"2025 has {abs(change)} % {'more' if change > 0 else 'fewer'} plays"
    assert text_of(page(Period(2025))).count(said) == 1


def test_a_year_with_a_hole_is_never_less_than_the_year_before() -> None:
    text = words(section(Period(2026), "versus")[0])
    for year in (2025, 2026):
        so_far = between(date(year, 1, 1), date(year, 11, 28))
        assert f"{year} until 28 November {plural(len(so_far), 'play')}" in text
    said = "Not compared with 2025 until 28 November: not everything is known of 90 days of 2026 until 28 November."
    assert said in text_of(page(Period(2026)))
    assert "fewer" not in text_of(page(Period(2026)))
    assert "Not everything is known of 90 days" in words(section(Period(2026), "unknown")[0])
    assert "93 days of 2019" in text_of(page(Period(2020)))


def test_names_are_text_and_the_page_loads_nothing() -> None:
    for period in PERIODS:
        assert_loads_nothing(page(period))
    assert "<b>Fenmarbri</b> & Co" in text_of(page(Period(2026)))


def test_a_cover_is_embedded_once() -> None:
    plays, covered = history()
    recap = build_recap(given(plays, Period(2026), covered=covered))
    url = recap.artists[0].image_url
    html = render_recap(
        recap, {url: Picture("image/jpeg", b"\xff\xd8\xff"), "https://elsewhere": Picture("x", b"")}
    ).html
    assert_loads_nothing(html)
    assert html.count("data:image/") == 1


@pytest.mark.parametrize("plays", [1, 50])
def test_a_short_history_has_a_recap(plays: int) -> None:
    ends = [datetime(2026, 11, 28, 9, tzinfo=UTC) + timedelta(minutes=4 * number) for number in range(plays)]
    heard = [histories.play(end, number % 6) for number, end in enumerate(ends)]
    html = render_recap(build_recap(given(heard, Period(2026))), {}).html
    assert_loads_nothing(html)
    text = text_of(html)
    assert f"plays {plays}" in text
    assert "Longest streak with music at least 1 day 28 November 2026" in text
    assert "The history begins in 2026, so nothing in it can be called new." in text
    assert "The history begins on 28 November 2026: nothing is known of the days before." in text
