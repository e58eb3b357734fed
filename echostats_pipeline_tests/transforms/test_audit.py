"""The audit's second computation equals the first one."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.model.rules import Rule
from echostats_pipeline.model.statistics import PERIOD_DAYS, PERIODS
from echostats_pipeline.transforms.audit import (
    COUNTS,
    TIMES,
    CallRates,
    Coverage,
    PlayFacts,
    RollupSums,
    SnapshotSums,
    call_rates,
    conditions_of,
    day_difference,
    day_length,
    history_sums,
    snapshot_difference,
)
from echostats_pipeline.transforms.days import local_date, local_midnight
from echostats_pipeline.transforms.statistics.rollups import RollupDocument
from echostats_pipeline.transforms.statistics.snapshots import build_snapshots
from echostats_pipeline_tests.transforms import rule_factories
from echostats_pipeline_tests.transforms.listening_factories import (
    catalogues,
    daily_rollups,
    listened,
    quick,
    zoned_histories,
)
from echostats_pipeline_tests.transforms.oracle import Catalogue, Document, OraclePlay
from echostats_pipeline_tests.transforms.oracle_periods import first_instant

thresholds = st.sampled_from((0, 1, 30_000))
History = tuple[str, list[OraclePlay]]


def facts(plays: Sequence[OraclePlay]) -> list[PlayFacts]:
    """The plays as the database returns them: ordered only by their end."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return [
        PlayFacts(
            (play.played_at - epoch) // timedelta(milliseconds=1),
            play.track_id,
            play.duration_ms,
            play.ms_played,
            play.artist_name,
            play.album_name,
            play.context_uri or "",
            private_session=play.private_session is True,
        )
        for play in sorted(plays, key=lambda play: play.played_at)
    ]


def sums_of(document: RollupDocument) -> RollupSums:
    """A rollup summed up, as the server does it."""
    tracks = [*document["track_plays"], *document["uncounted_tracks"]]
    return {
        **{name: document[name] for name in ("total_rows", "excluded_plays", "total_plays", "total_ms")},
        "hourly_plays": sum(bucket["count"] for bucket in document["hourly"]),
        "hourly_ms": sum(bucket["ms"] for bucket in document["hourly"]),
        "artist_plays": sum(document["artist_plays"].values()),
        "album_plays": sum(document["album_plays"].values()),
        "credited_plays": sum(document["credited_artist_plays"].values()),
        "track_plays": sum(track["count"] for track in tracks),
        "track_ms": sum(track["ms"] for track in tracks),
    }


def rollup_sums(
    plays: Sequence[OraclePlay], zone: str, min_play_ms: int, catalogue: Catalogue, rules: Sequence[Rule] = ()
) -> dict[date, RollupSums]:
    documents = daily_rollups(plays, zone, catalogue, min_play_ms=min_play_ms, rules=rules)
    return {date.fromisoformat(document["date"]): sums_of(document) for document in documents}


def snapshot_sums(document: Document) -> SnapshotSums:
    def totals(name: str) -> tuple[int, int]:
        buckets = document[f"{name}_distribution"]
        return sum(bucket["count"] for bucket in buckets), sum(bucket["total_ms"] for bucket in buckets)

    return SnapshotSums(
        document["period_start"],
        document["period_end"],
        document["unique_tracks"],
        document["unique_track_ids"],
        document["counts_songs"],
        (document["total_tracks_played"], document["total_ms_played"]),
        totals("hourly"),
        totals("daily"),
        {line["spotify_id"]: line["play_count"] for line in document["top_artists_credited"]},
    )


def artists_of(catalogue: Catalogue) -> dict[str, list[tuple[str, str]]]:
    """The artists of each track of Spotify's."""
    return {
        track_id: list(zip(track.artist_ids, track.artist_names, strict=True))
        for track_id, track in catalogue.tracks.items()
        if ":" not in track_id
    }


@quick
@given(history=zoned_histories(), catalogue=catalogues(), min_play_ms=thresholds, own=rule_factories.rules)
def test_plain_sums_agree_with_the_rollups_on_every_history(
    history: History, catalogue: Catalogue, min_play_ms: int, own: list[Rule]
) -> None:
    zone, plays = history
    conditions = conditions_of(own)
    found = history_sums(facts(plays), ZoneInfo(zone), min_play_ms, artists_of(catalogue), conditions)
    rollups = rollup_sums(plays, zone, min_play_ms, catalogue, own)
    assert found.keys() == rollups.keys()
    assert [day_difference(day, found[day], rollups[day]) for day in found] == [None] * len(found)


@quick
@given(history=zoned_histories(), catalogue=catalogues(), data=st.data())
def test_whatever_sum_of_a_rollup_is_changed_is_named(
    history: History, catalogue: Catalogue, data: st.DataObject
) -> None:
    zone, plays = history
    rollups = rollup_sums(plays, zone, 30_000, catalogue)
    day = data.draw(st.sampled_from(sorted(rollups)))
    field = data.draw(st.sampled_from(("total_rows", "credited_plays", "excluded_plays", *COUNTS, *TIMES)))
    changed = {**rollups[day], field: rollups[day][field] + data.draw(st.integers(1, 9))}
    sums = history_sums(facts(plays), ZoneInfo(zone), 30_000, artists_of(catalogue))
    difference = day_difference(day, sums[day], changed)
    assert difference is not None
    assert (difference.key, difference.fields) == (str(day), (field,))


@quick
@given(history=zoned_histories(), catalogue=catalogues(), later=st.integers(-1, 40))
def test_plain_sums_agree_with_the_snapshots(history: History, catalogue: Catalogue, later: int) -> None:
    zone, plays = history
    documents = daily_rollups(plays, zone, catalogue)
    days = {date.fromisoformat(document["date"]): sums_of(document) for document in documents}
    # On an existing date: Apia had no 2011-12-30.
    today = local_date(local_midnight(max(days) + timedelta(days=later), ZoneInfo(zone)), ZoneInfo(zone))
    last: dict[str, date] = {}
    for document in documents:
        if (day := date.fromisoformat(document["date"])) <= today:
            last |= {track["spotify_id"]: day for track in document["track_plays"]}
    heard = {day: list(last.values()).count(day) for day in last.values()}
    built = build_snapshots(listened(plays, documents, catalogue), user_id="u", timezone=zone, today=today)
    for snapshot in built.snapshots:
        stored, credited = snapshot_sums(snapshot), Counter[str]()
        length = PERIOD_DAYS[snapshot["period"]]
        for document in documents:
            day = date.fromisoformat(document["date"])
            if day <= today and (length is None or day > today - timedelta(days=length)):
                credited.update(document["credited_artist_plays"])
        assert snapshot_difference(snapshot["period"], stored, days, heard, ZoneInfo(zone), credited) is None
        more = {artist_id: 1 + stored.credited.get(artist_id, 0) for artist_id in credited} if stored.credited else {}
        found = snapshot_difference(snapshot["period"], stored, days, heard, ZoneInfo(zone), more)
        assert (found.fields if found else ()) == (("top_artists_credited",) if more else ())


def test_a_day_is_as_long_as_its_clocks_say() -> None:
    new_york = ZoneInfo("America/New_York")
    lengths = [day_length(day, new_york) for day in (date(2024, 3, 10), date(2024, 6, 1), date(2024, 11, 3))]
    assert lengths == [timedelta(hours=hours) for hours in (23, 24, 25)]
    assert day_length(date(2011, 12, 30), ZoneInfo("Pacific/Apia")) == timedelta(0)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Cairo"])
def test_the_days_of_a_year_fill_it(zone: str) -> None:
    days = [date(2018, 1, 1) + timedelta(days=number) for number in range(365)]
    whole = first_instant(date(2019, 1, 1), zone) - first_instant(date(2018, 1, 1), zone)
    assert sum((day_length(day, ZoneInfo(zone)) for day in days), timedelta(0)) == whole


def test_a_missing_document_and_one_too_many_are_told_apart() -> None:
    day, rollup = date(2025, 1, 1), {"total_plays": 3, "total_ms": 9}
    missing = day_difference(
        day, history_sums([PlayFacts(0, "t", 5, None)], ZoneInfo("UTC"), 0)[date(1970, 1, 1)], None
    )
    extra = day_difference(day, None, rollup)
    assert missing is not None
    assert extra is not None
    assert (missing.fields, missing.expected, missing.found, missing.size) == (("no document",), 1, None, (1, 5))
    assert (extra.fields, extra.expected, extra.found, extra.size) == (("no plays",), 0, 3, (3, 9))
    assert day_difference(day, None, None) is None


def test_a_user_without_days_needs_no_snapshots() -> None:
    assert [snapshot_difference(period, None, {}, {}, ZoneInfo("UTC")) for period in PERIODS] == [None] * len(PERIODS)


def test_errors_of_calls_are_counted_apart_from_limits() -> None:
    statuses = {("tracks", 200): 6, ("tracks", 500): 1, ("tracks", 0): 1, ("tracks", 429): 3, ("token", 401): 1}
    assert call_rates(statuses) == [
        CallRates("token", calls=1, errors=1, too_many=0, not_found=0),
        CallRates("tracks", calls=11, errors=2, too_many=3, not_found=0),
    ]
    assert call_rates({("artists", 404): 4, ("artists", 403): 1})[0].error_rate == 0.2


def test_coverage_of_nothing_is_whole() -> None:
    assert (Coverage().share, Coverage().waiting_share) == (1.0, 0.0)
    half = Coverage(enriched=1, unavailable=1) + Coverage(enriched=1, waiting=1)
    assert (half.plays, half.share, half.waiting_share) == (4, 0.5, 0.25)
