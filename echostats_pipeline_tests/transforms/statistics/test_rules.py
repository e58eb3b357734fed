"""Rules of a user, against the oracle."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from pydantic import ValidationError

from echostats_pipeline.model.catalog import ArtistRef
from echostats_pipeline.model.rules import Exclusion, Renaming, Rule
from echostats_pipeline.model.statistics import AnalyticsSnapshot, DailyRollup
from echostats_pipeline.transforms.statistics.own_rules import song_pairs
from echostats_pipeline.transforms.statistics.snapshots import PeriodDocuments, build_snapshots
from echostats_pipeline_tests.transforms import oracle, oracle_periods
from echostats_pipeline_tests.transforms.document_differences import differences
from echostats_pipeline_tests.transforms.listening_factories import catalogues, daily_rollups, listened, quick
from echostats_pipeline_tests.transforms.oracle import VARIOUS, Catalogue, Known, KnownTrack, OraclePlay
from echostats_pipeline_tests.transforms.oracle_rules import rules_that_leave_out
from echostats_pipeline_tests.transforms.rule_factories import documents, numbered, rules
from echostats_pipeline_tests.transforms.statistics.test_snapshots import listeners

NOON = datetime(2024, 5, 15, 12, tzinfo=UTC)
TODAY = NOON.date()


def build(
    plays: Sequence[OraclePlay],
    found: Sequence[Rule],
    catalogue: Catalogue | None = None,
    zone: str = "UTC",
    today: date = TODAY,
) -> PeriodDocuments:
    rollups = daily_rollups(plays, zone, catalogue, rules=found)
    heard = listened(plays, rollups, catalogue or Catalogue(), found)
    return build_snapshots(heard, user_id="u", timezone=zone, today=today)


def all_time(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return next(each for each in build(*args, **kwargs).snapshots if each["period"] == "all_time")


def play(minutes: float = 0, track: str = "a", artist: str = "Artist", **more: Any) -> OraclePlay:
    """A play that ended this long after noon."""
    at = NOON + timedelta(minutes=minutes)
    return OraclePlay(at, track, artist_name=artist, ms_played=more.pop("ms", 60_000), **more)


def excluding(**conditions: Any) -> list[Rule]:
    return numbered([{"kind": "exclude", "exclude": Exclusion(**conditions)}])


@quick
@given(listener=listeners(), catalogue=catalogues(), found=rules)
def test_statistics_with_rules_are_what_brute_force_finds(
    listener: tuple[str, list[OraclePlay], date], catalogue: Catalogue, found: list[Rule]
) -> None:
    zone, plays, today = listener
    stored = documents(found)
    left_out = partial(rules_that_leave_out, rules=stored, catalogue=catalogue)
    wanted = list(oracle.rollups(plays, zone, 30_000, catalogue=catalogue, left_out=left_out).values())
    rollups = daily_rollups(plays, zone, catalogue, rules=found)
    assert differences(rollups, wanted) == []
    for rollup in rollups:
        assert list(DailyRollup.model_validate(rollup).to_bson().keys() ^ rollup.keys()) == []
    built = build(plays, found, catalogue, zone, today)
    of = {"timezone": zone, "today": today, "rules": stored}
    listener = oracle_periods.Listener.of(plays, catalogue, **of)
    for made, key, expected in (
        (built.snapshots, "period", oracle_periods.snapshots(listener)),
        (built.calendar, "period", oracle_periods.calendar(listener)),
        (built.reviews, "year", oracle_periods.reviews(listener)),
    ):
        assert differences({document[key]: document for document in made}, expected) == []


def test_a_play_that_is_left_out_is_a_row_and_its_time_has_passed() -> None:
    asleep = play(10, "b", "Sleep Sounds")
    plays = [play(0), asleep, play(12, "c", ms=None, duration_ms=600_000)]
    (rollup,) = daily_rollups(plays, "UTC", rules=excluding(artist=ArtistRef(spotify_id="", name="sleep  SOUNDS")))
    assert (rollup["total_rows"], rollup["total_plays"], rollup["excluded_plays"]) == (3, 2, 1)
    assert rollup["total_ms"] == 60_000 + 120_000  # no more than has passed since the play that is left out
    assert rollup["artist_plays"] == {"Artist": 2}
    assert rollup["excluded_by"] == [{"rule_id": f"{0:024x}", "plays": 1}]


def test_sessions_and_repeats_are_those_of_the_plays_that_stay() -> None:
    plays = [play(0), play(20, "b", "Sleep Sounds"), play(40), play(45)]
    sessions = {
        len(found["sessions"]): found["repeats"][0]["count"]
        for found in (
            *daily_rollups(plays, "UTC"),
            *daily_rollups(plays, "UTC", rules=excluding(artist=ArtistRef(spotify_id="", name="Sleep Sounds"))),
        )
    }
    assert sessions == {1: 2, 2: 2}


def test_a_day_all_of_whose_plays_are_left_out_has_a_rollup_and_is_no_active_day() -> None:
    plays = [play(-24 * 60), play(0, "b", "Sleep Sounds"), play(1, "b", "Sleep Sounds", ms=1_000)]
    found = excluding(artist=ArtistRef(spotify_id="", name="Sleep Sounds"))
    rollup = daily_rollups(plays, "UTC", rules=found)[-1]
    assert (rollup["total_rows"], rollup["total_plays"], rollup["hourly"], rollup["sessions"]) == (2, 0, [], [])
    assert (rollup["excluded_plays"], rollup["excluded_rows"], rollup["excluded_ms"]) == (1, 2, 61_000)
    statistics = all_time(plays, found)
    AnalyticsSnapshot.model_validate(statistics)
    assert statistics["active_days"] == statistics["listening_streak_days"] == 1
    assert statistics["excluded_plays"] == 1


@pytest.mark.parametrize(("hour", "out"), [(22, False), (23, True), (0, True), (6, True), (7, False)])
def test_hours_across_midnight_end_before_the_last_one(hour: int, *, out: bool) -> None:
    at = datetime(2024, 5, 15, hour, 30, tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)
    (rollup,) = daily_rollups(
        [OraclePlay(at, "a", ms_played=60_000)], "America/New_York", rules=excluding(from_hour=23, to_hour=7)
    )
    assert rollup["excluded_plays"] == out


def test_an_older_uri_of_a_playlist_is_the_same_playlist() -> None:
    plays = [play(0, context_uri="spotify:user:someone:playlist:p"), play(5, context_uri="spotify:album:p"), play(9)]
    (rollup,) = daily_rollups(plays, "UTC", rules=excluding(context_uri="spotify:playlist:p"))
    assert rollup["excluded_plays"] == 1


def test_only_what_is_known_as_a_private_session_is_one() -> None:
    plays = [play(number, private_session=private) for number, private in enumerate((True, False, None))]
    (rollup,) = daily_rollups(plays, "UTC", rules=excluding(private_session=True))
    assert rollup["excluded_plays"] == 1


def test_a_play_that_two_rules_leave_out_is_left_out_once() -> None:
    found = numbered(
        [
            {"kind": "exclude", "exclude": Exclusion(track_ids=["a"])},
            {"kind": "exclude", "exclude": Exclusion(from_hour=12, to_hour=13)},
        ]
    )
    statistics = all_time([play(0), play(5, "b"), play(90, "c")], found)
    assert (statistics["excluded_plays"], statistics["total_tracks_played"]) == (2, 1)
    assert [each["plays"] for each in statistics["excluded_by"]] == [2, 1]


def test_artists_of_a_rule_are_one_shown_as_the_most_played_with_the_genres_of_all() -> None:
    tracks = {
        name: KnownTrack(name, f"id-{artist}", artist, "album", "Album")
        for name, artist in (("a", "Prince"), ("b", "The Artist"), ("c", "Other"))
    }
    artists = {
        "id-Prince": Known("Prince", "p", ("funk",)),
        "id-The Artist": Known("The Artist", "t", ("pop",)),
        "id-Other": Known("Other"),
    }
    plays = [play(0, "a"), play(5, "b"), play(10, "b"), play(15, "c")]
    joined = [ArtistRef(spotify_id=f"id-{name}", name=name) for name in ("Prince", "The Artist")]
    statistics = all_time(plays, numbered([{"kind": "same_artist", "artists": joined}]), Catalogue(tracks, artists))
    assert [(top["name"], top["play_count"]) for top in statistics["top_artists"]] == [("The Artist", 3), ("Other", 1)]
    assert (statistics["unique_artists"], statistics["new_artists"]) == (2, 2)
    assert {top["name"]: top["play_count"] for top in statistics["top_genres"]} == {"funk": 3, "pop": 3}
    renamed = numbered(
        [
            {"kind": "same_artist", "artists": joined},
            {"kind": "rename", "rename": Renaming(what="artist", spotify_id="id-Prince", shown_name="Symbol")},
        ]
    )
    assert all_time(plays, renamed, Catalogue(tracks, artists))["top_artists"][0]["name"] == "Symbol"


def _joined(plays: dict[str, int], *, names: tuple[str, ...] = ("A", "B")) -> dict[str, dict[str, int]]:
    """The rankings of all time if a rule joins artists of these names; `plays` are by who is credited, in order."""
    credited = {track: track.split(" & ") for track in plays}
    ids = {name: f"id-{name}" for each in credited.values() for name in each} | {"Various Artists": VARIOUS}
    tracks = {
        track: KnownTrack(
            track,
            ids[each[0]],
            each[0],
            "album",
            "Album",
            artist_ids=tuple(ids[name] for name in each),
            artist_names=tuple(each),
        )
        for track, each in credited.items()
    }
    every = [track for track, count in plays.items() for _ in range(count)]
    refs = [ArtistRef(spotify_id="", name=name) for name in names]
    found = numbered([{"kind": "same_artist", "artists": refs}])
    statistics = all_time([play(5 * number, track) for number, track in enumerate(every)], found, Catalogue(tracks))
    return {
        kind: {top["name"]: top["play_count"] for top in statistics[f"top_{kind}"]}
        for kind in ("artists", "artists_credited")
    }


def test_an_artist_of_a_rule_has_one_name_in_every_ranking() -> None:
    """That of the one with most plays as primary artist, also where another one is credited more often."""
    assert _joined({"A": 2, "B": 1, "C & B": 3}) == {"artists": {"A": 3, "C": 3}, "artists_credited": {"A": 6, "C": 3}}
    assert _joined({"C & B": 2, "A": 1}) == {"artists": {"C": 2, "A": 1}, "artists_credited": {"A": 3, "C": 2}}


def test_artists_joined_through_a_guest_are_one_in_every_ranking() -> None:
    found = _joined({"A": 2, "B": 1, "C & G": 1}, names=("A", "G", "B"))
    assert found == {"artists": {"A": 3, "C": 1}, "artists_credited": {"A": 4, "C": 1}}


def test_various_artists_are_shown_as_the_artist_with_whom_a_rule_joins_them() -> None:
    found = _joined({"Various Artists": 3, "A": 1}, names=("A", "Various Artists"))
    assert found == {"artists": {"A": 4}, "artists_credited": {"A": 1}}


def test_a_rule_that_joins_or_separates_tracks_gives_pairs() -> None:
    found = numbered(
        [
            {"kind": "same_song", "track_ids": ["a", "b", "c"]},
            {"kind": "different", "track_ids": ["x", "y", "z"]},
            {"kind": "exclude", "exclude": Exclusion(track_ids=["q"])},
        ]
    )
    assert song_pairs(found) == ([("a", "b"), ("b", "c")], [("x", "y"), ("x", "z"), ("y", "z")])


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "exclude"},
        {"kind": "exclude", "exclude": {}},
        {"kind": "exclude", "exclude": {"from_hour": 5}},
        {"kind": "exclude", "exclude": {"from_hour": 5, "to_hour": 5}},
        {"kind": "exclude", "exclude": {"from_hour": 5, "to_hour": 24}},
        {"kind": "exclude", "exclude": {"weekdays": [7]}},
        {"kind": "exclude", "exclude": {"from_date": "2024-05-02", "to_date": "2024-05-01"}},
        {"kind": "exclude", "exclude": {"from_date": "yesterday"}},
        {"kind": "exclude", "exclude": {"track_ids": ["a"]}, "track_ids": ["a", "b"]},
        {"kind": "same_song", "track_ids": ["a"]},
        {"kind": "same_artist", "track_ids": ["a", "b"]},
        {"kind": "rename", "rename": {"what": "track", "spotify_id": "a", "shown_name": ""}},
    ],
)
def test_a_rule_that_makes_no_sense_cannot_be_stored(content: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Rule(user_id="u", **content)
