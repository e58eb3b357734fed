"""The oracle against examples computed by hand, because all other statistics are checked against it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from echostats_pipeline_tests.transforms import oracle, oracle_periods
from echostats_pipeline_tests.transforms.oracle import Catalogue, KnownTrack, OraclePlay
from echostats_pipeline_tests.transforms.oracle_periods import Listener

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
MIDNIGHT = datetime(2024, 5, 15, tzinfo=UTC)
TODAY = MIDNIGHT.date()


def play(at: timedelta, track: str = "a", ms: int | None = 60_000, **more: Any) -> OraclePlay:
    """A play that ended this long after `MIDNIGHT`."""
    return OraclePlay(MIDNIGHT + at, track, ms_played=ms, artist_name=more.pop("artist_name", f"of {track}"), **more)


def day(plays: list[OraclePlay], day_: date = TODAY, zone: str = "UTC") -> dict[str, Any]:
    return oracle.rollups(plays, zone, 30_000)[day_]


def repeats(plays: list[OraclePlay]) -> list[tuple[str, int, bool]]:
    """The repeats of the day: track, plays, whether it continues."""
    return [(each["spotify_id"], each["count"], each["continues"]) for each in day(plays)["repeats"]]


def week(plays: list[OraclePlay], catalogue: Catalogue | None = None, period: str = "week") -> dict[str, Any]:
    return oracle_periods.snapshots(Listener.of(plays, catalogue or Catalogue(), timezone="UTC", today=TODAY))[period]


def test_half_an_hour_of_silence_is_within_a_session_and_a_millisecond_more_is_not() -> None:
    for pause, sessions in ((30 * MINUTE, 1), (30 * MINUTE + timedelta(milliseconds=1), 2)):
        plays = [play(HOUR), play(HOUR + pause + MINUTE, "b")]
        assert len(day(plays)["sessions"]) == week(plays)["sessions"]["count"] == sessions


def test_a_play_of_almost_a_day_goes_on_only_within_23_hours() -> None:
    for reach, sessions in ((23 * HOUR, 1), (23 * HOUR + timedelta(milliseconds=1), 2)):
        plays = [play(0 * HOUR), play(reach, "b", ms=24 * 3_600_000)]
        assert len(day(plays)["sessions"]) == sessions


def test_a_session_across_midnight_has_a_part_on_each_date_and_is_one() -> None:
    plays = [play(-3 * MINUTE), play(-1 * MINUTE, "b", ms=1_000), play(2 * MINUTE, "b", ms=None, duration_ms=900_000)]
    assert day(plays, TODAY - DAY)["sessions"] == [
        {
            "started_at": MIDNIGHT - 4 * MINUTE,
            "ended_at": MIDNIGHT - 1 * MINUTE,
            "plays": 1,
            "continues": False,
            "tracks": [0],
        }
    ]
    assert day(plays)["sessions"] == [
        {
            "started_at": MIDNIGHT - 1 * MINUTE,
            "ended_at": MIDNIGHT + 2 * MINUTE,
            "plays": 1,
            "continues": True,
            "tracks": [0],
        }
    ]
    assert repeats(plays) == [("b", 1, True)]
    assert week(plays)["sessions"] == {"count": 1, "mean_ms": 360_000, "longest_ms": 360_000}
    calendar = oracle_periods.calendar(Listener.of(plays, Catalogue(), timezone="UTC", today=TODAY + 31 * DAY))
    assert calendar["last_month"]["sessions"]["count"] == 1


def test_a_session_is_cut_at_the_beginning_of_a_span() -> None:
    first = -6 * DAY  # of the week that ends today
    plays = [play(first - MINUTE), play(first + MINUTE), play(first + 2 * MINUTE), play(first + 3 * HOUR)]
    assert week(plays)["sessions"] == {"count": 2, "mean_ms": 90_000, "longest_ms": 120_000}
    assert week(plays, period="month")["sessions"] == {
        "count": 2,
        "mean_ms": (240_000 + 60_000) // 2,
        "longest_ms": 240_000,
    }
    assert week(plays)["most_replayed"]["count"] == 2
    assert week(plays, period="month")["most_replayed"]["count"] == 3


def test_where_a_date_comes_twice_a_session_has_three_parts() -> None:
    # St John's, 7 November 2010: a minute after midnight it was 23:01 of the 6th again.
    first_midnight = datetime(2010, 11, 7, 2, 30, tzinfo=UTC)
    ends = [first_midnight + minutes * MINUTE for minutes in (-0.5, 0.5, 30, 59.5, 60.5)]
    plays = [OraclePlay(end, "t", ms_played=60_000) for end in ends]
    parts = {
        str(found): [(part["plays"], part["continues"]) for part in rollup["sessions"]]
        for found, rollup in oracle.rollups(plays, "America/St_Johns", 30_000).items()
    }
    assert parts == {"2010-11-06": [(1, False), (2, True)], "2010-11-07": [(1, True), (1, True)]}
    listener = Listener.of(plays, Catalogue(), timezone="America/St_Johns", today=date(2010, 11, 7))
    found = oracle_periods.snapshots(listener)
    assert found["week"]["sessions"] == {"count": 1, "mean_ms": 62 * 60_000, "longest_ms": 62 * 60_000}
    assert (found["week"]["most_replayed"]["count"], found["week"]["most_replayed"]["date"]) == (5, "2010-11-07")


def test_of_repeats_the_longest_the_last_and_those_that_continue_are_kept() -> None:
    minutes = iter(range(1, 60))
    plays = [play(-MINUTE)] + [play(next(minutes) * MINUTE, track) for track in "aabcccdeeef"]
    assert repeats(plays) == [("a", 2, True), ("c", 3, False), ("f", 1, False)]
    assert [each["ended_at"] - MIDNIGHT for each in day(plays)["repeats"]] == [2 * MINUTE, 6 * MINUTE, 11 * MINUTE]
    assert week(plays)["most_replayed"] == {
        "spotify_id": "a",
        "name": "Song",
        "artist_name": "of a",
        "count": 3,
        "date": "2024-05-15",
    }


def test_a_short_play_of_another_track_ends_a_repeat_and_one_of_its_own_does_not() -> None:
    own = [play(1 * MINUTE), play(2 * MINUTE, ms=1_000), play(3 * MINUTE)]
    other = [play(1 * MINUTE), play(2 * MINUTE, "b", ms=1_000), play(3 * MINUTE)]
    assert week(own)["most_replayed"]["count"] == 2
    assert week(other)["most_replayed"] is None


def test_it_is_known_of_some_plays_whether_they_were_left_early() -> None:
    ends = [(None, None), (None, ""), (False, None), (True, None), (None, "trackdone"), (None, "fwdbtn")]
    plays = [
        play(number * HOUR, skipped=skipped, reason_end=reason) for number, (skipped, reason) in enumerate(ends, 1)
    ]
    assert (day(plays)["total_skips"], day(plays)["total_skips_known"]) == (2, 4)
    assert week(plays)["skip_rate"] == 0.5
    assert week(plays[:2])["skip_rate"] is None


def test_what_is_new_is_new_in_all_the_history() -> None:
    plays = [play(-40 * DAY), play(-39 * DAY, "b", ms=1), play(-1 * DAY), play(HOUR, "b"), play(2 * HOUR, "c")]
    found = week(plays)
    assert (found["new_tracks"], found["new_artists"], found["repeat_ratio"]) == (2, 2, round(1 / 3, 6))
    assert week(plays, period="quarter")["months"] == [
        {"month": "2024-04", "count": 1, "total_ms": 60_001, "new_tracks": 1, "new_artists": 1},
        {"month": "2024-05", "count": 3, "total_ms": 180_000, "new_tracks": 2, "new_artists": 2},
    ]


def test_four_artists_heard_alike_are_two_bits() -> None:
    found = week([play(number * HOUR, track) for number, track in enumerate("abcd")])
    assert (found["artist_entropy_bits"], found["effective_artists"]) == (2.0, 4.0)
    alone = week([play(number * HOUR) for number in range(3)])
    assert (alone["artist_entropy_bits"], alone["effective_artists"]) == (0.0, 1.0)
    assert week([play(HOUR, artist_name="")])["artist_entropy_bits"] is None


def test_an_artist_away_for_180_days_comes_back_and_one_away_for_179_does_not() -> None:
    plays = [play(-182 * DAY), play(-2 * DAY), play(-1 * DAY), play(-180 * DAY, "b"), play(-1 * DAY, "b")]
    catalogue = Catalogue(tracks={"a": KnownTrack(artist_id="id", artist_name="A")})
    line = {"spotify_id": "id", "name": "A", "image_url": "", "away_days": 180, "returned_on": "2024-05-13"}
    assert week(plays, catalogue)["comebacks"] == [{**line, "play_count": 2}]


def test_rankings_by_time_are_of_what_counted() -> None:
    plays = [play(1 * HOUR, ms=100_000), play(2 * HOUR, ms=100_000), play(3 * HOUR, "b", ms=300_000)]
    plays += [play(5 * HOUR, "c", ms=29_999)]
    assert [top["spotify_id"] for top in week(plays)["top_tracks"]] == ["a", "b"]
    assert [(top["spotify_id"], top["rank"]) for top in week(plays)["top_tracks_by_time"]] == [("b", 1), ("a", 2)]


def test_calendar_periods_are_whole_and_clipped_at_today() -> None:
    plays = [play(days * DAY + HOUR) for days in range(-500, 5)]
    found = oracle_periods.calendar(Listener.of(plays, Catalogue(), timezone="UTC", today=TODAY))  # a Wednesday
    days = {period: each["active_days"] for period, each in found.items()}
    assert days == {
        "this_week": 3,
        "last_week": 7,
        "this_month": 15,
        "last_month": 30,
        "this_year": 136,
        "last_year": 365,
    }
    assert found["this_week"]["period_end"] == datetime(2024, 5, 20, tzinfo=UTC)
    assert found["this_month"]["period_end"] == datetime(2024, 6, 1, tzinfo=UTC)
    assert found["this_year"]["period_end"] == datetime(2025, 1, 1, tzinfo=UTC)
    assert found["last_year"]["period_start"] == datetime(2023, 1, 1, tzinfo=UTC)


def test_a_review_tells_of_its_own_year_alone() -> None:
    silvester = datetime(2023, 12, 31, 12, tzinfo=UTC)
    counted = [OraclePlay(silvester + days * DAY, "a", ms_played=60_000) for days in (-9, -8, -7, -1, 0, 1, 2)]
    louder = OraclePlay(silvester - 8 * DAY + HOUR, "b", ms_played=60_000)
    found = oracle_periods.reviews(Listener.of([*counted, louder], Catalogue(), timezone="UTC", today=TODAY))
    assert list(found) == [2023]
    assert (found[2023]["listening_streak_days"], found[2023]["longest_streak_days"]) == (2, 3)
    assert found[2023]["busiest_day"] == {"date": "2023-12-23", "count": 2, "total_ms": 120_000}
    short = OraclePlay(silvester, "a", ms_played=1)
    listener = Listener.of([short], Catalogue(), timezone="UTC", today=TODAY)
    assert oracle_periods.reviews(listener)[2023]["busiest_day"] is None
