from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.statistics import AnalyticsSnapshot, CalendarSnapshot, YearlyReview
from echostats_pipeline.transforms.coverage import Stretch, unknown_days
from echostats_pipeline.transforms.statistics import frames
from echostats_pipeline.transforms.statistics.snapshots import PeriodDocuments, build_snapshots
from echostats_pipeline_tests.transforms import oracle_periods
from echostats_pipeline_tests.transforms.document_differences import differences
from echostats_pipeline_tests.transforms.listening_factories import (
    catalogues,
    daily_rollups,
    histories,
    listened,
    quick,
    zones,
)
from echostats_pipeline_tests.transforms.oracle import FEATURES, Catalogue, Known, KnownTrack, OraclePlay

NOON = datetime(2024, 5, 15, 12, tzinfo=UTC)
TODAY = NOON.date()


def build_all(
    plays: list[OraclePlay],
    catalogue: Catalogue | None = None,
    zone: str = "UTC",
    today: date = TODAY,
    covered: Sequence[tuple[datetime, datetime]] = (),
) -> PeriodDocuments:
    """All statistics of periods, built from the rollups."""
    heard = listened(plays, daily_rollups(plays, zone), catalogue or Catalogue())
    unknown = unknown_days([Stretch(*span) for span in covered], today, ZoneInfo(zone))
    return build_snapshots(heard, user_id="u", timezone=zone, today=today, unknown=unknown)


def build(*args: Any, **kwargs: Any) -> dict[str, dict[str, Any]]:
    """Snapshots by period."""
    return {document["period"]: document for document in build_all(*args, **kwargs).snapshots}


@st.composite
def listeners(draw: st.DrawFn) -> tuple[str, list[OraclePlay], date]:
    """A zone, some days of listening, copies of them in earlier months, and a today near their end."""
    zone = draw(zones)
    plays = draw(histories(zone, max_plays=15))
    echoes = [
        OraclePlay(**{**vars(play), "played_at": play.played_at - timedelta(days=draw(st.integers(1, 400)))})
        for play in plays[:5]
    ]
    every = {(play.played_at, play.track_id): play for play in (*plays, *echoes)}
    last = max(play.played_at for play in plays).astimezone(ZoneInfo(zone)).date()
    return zone, list(every.values()), last + timedelta(days=draw(st.sampled_from((-1, 0, 0, 1, 2, 7))))


@quick
@given(listener=listeners(), catalogue=catalogues(), data=st.data())
def test_snapshots_are_what_brute_force_finds(
    listener: tuple[str, list[OraclePlay], date], catalogue: Catalogue, data: st.DataObject
) -> None:
    zone, plays, today = listener
    ends = data.draw(st.lists(st.integers(0, 500), max_size=4, unique=True).map(sorted))
    last = max(play.played_at for play in plays)
    instants = [last - timedelta(hours=18 * hours) for hours in reversed(ends)]
    covered = list(zip(instants[::2], instants[1::2], strict=False))
    found = build_all(plays, catalogue, zone, today, covered)
    of = {"timezone": zone, "today": today, "covered": covered}
    listener = oracle_periods.Listener.of(plays, catalogue, **of)
    for documents, key, expected in (
        (found.snapshots, "period", oracle_periods.snapshots(listener)),
        (found.calendar, "period", oracle_periods.calendar(listener)),
        (found.reviews, "year", oracle_periods.reviews(listener)),
    ):
        assert [document[key] for document in documents] == list(expected)
        assert differences({document[key]: document for document in documents}, expected) == []


@quick
@given(listener=listeners(), catalogue=catalogues(), seed=st.randoms(use_true_random=False))
def test_neither_the_order_of_rollups_and_catalogue_nor_their_number_matters(
    listener: tuple[str, list[OraclePlay], date], catalogue: Catalogue, seed: Any
) -> None:
    zone, plays, today = listener
    shuffled = seed.sample(plays, k=len(plays))
    mixed = Catalogue(*(dict(seed.sample(list(part.items()), k=len(part))) for part in vars(catalogue).values()))
    in_memory = build_all(shuffled, mixed, zone, today)
    with pytest.MonkeyPatch.context() as everything_is_much:
        everything_is_much.setattr(frames, "STREAMED_ABOVE", -1)
        assert build_all(plays, catalogue, zone, today) == in_memory


@quick
@given(listener=listeners(), catalogue=catalogues())
def test_every_snapshot_is_a_valid_document(listener: tuple[str, list[OraclePlay], date], catalogue: Catalogue) -> None:
    zone, plays, today = listener
    found = build_all(plays, catalogue, zone, today)
    for documents, kind in (
        (found.snapshots, AnalyticsSnapshot),
        (found.calendar, CalendarSnapshot),
        (found.reviews, YearlyReview),
    ):
        for document in documents:
            model = kind.model_validate({**document, "computed_at": utc_now()})
            assert {name: value for name, value in model.to_bson().items() if name != "computed_at"} == document


def test_every_finished_year_with_plays_is_reviewed() -> None:
    plays = [OraclePlay(NOON - timedelta(days=365 * back), "t") for back in (0, 1, 2, 4)]
    assert [review["year"] for review in build_all(plays).reviews] == [2020, 2022, 2023]


@pytest.mark.parametrize(("period", "days"), [("week", 7), ("month", 30), ("quarter", 90), ("year", 365)])
def test_a_period_is_exactly_that_many_local_dates_ending_today(period: str, days: int) -> None:
    daily = [OraclePlay(NOON - timedelta(days=back), "t", ms_played=60_000) for back in range(-1, 400)]
    found = build(daily, zone="America/New_York")[period]
    assert found["total_tracks_played"] == days
    start, end = (found[name].astimezone(ZoneInfo("America/New_York")) for name in ("period_start", "period_end"))
    assert (start.hour, end.hour) == (0, 0)
    assert (end.date(), start.date()) == (TODAY + timedelta(days=1), TODAY - timedelta(days=days - 1))
    assert {found[name].tzinfo for name in ("period_start", "period_end")} == {UTC}


def test_all_time_has_no_start_and_the_same_end() -> None:
    found = build([OraclePlay(NOON - timedelta(days=5_000), "t"), OraclePlay(NOON, "t")])
    assert found["all_time"]["period_start"] is None
    assert found["all_time"]["period_end"] == found["week"]["period_end"] == datetime(2024, 5, 16, tzinfo=UTC)
    assert found["all_time"]["total_tracks_played"] == 2


def test_the_period_ends_at_an_exclusive_midnight() -> None:
    midnight = datetime(2024, 5, 16, tzinfo=UTC)
    inside, outside = OraclePlay(midnight - timedelta(milliseconds=1), "t"), OraclePlay(midnight, "t")
    assert [document["total_tracks_played"] for document in build([inside, outside]).values()] == [1] * 5


def test_a_streak_is_not_limited_by_the_period_and_needs_counted_plays() -> None:
    streak = [OraclePlay(NOON - timedelta(days=back), "t", ms_played=60_000) for back in range(1, 41)]
    short = OraclePlay(NOON - timedelta(days=41), "t", ms_played=1)
    found = build([*streak, short])
    assert {document["listening_streak_days"] for document in found.values()} == {40}
    assert {document["longest_streak_days"] for document in found.values()} == {40}


def test_namesakes_with_ids_of_their_own_do_not_merge() -> None:
    catalogue = Catalogue(
        tracks={
            "a": KnownTrack(artist_id="id1", artist_name="Nirvana", album_id="al1", album_name="Greatest Hits"),
            "b": KnownTrack(artist_id="id2", artist_name="Nirvana", album_id="al2", album_name="Greatest Hits"),
        }
    )
    plays = [OraclePlay(NOON - timedelta(hours=n), track, ms_played=60_000) for n, track in enumerate("aab")]
    week = build(plays, catalogue)["week"]
    assert [(top["spotify_id"], top["name"], top["play_count"]) for top in week["top_artists"]] == [
        ("id1", "Nirvana", 2),
        ("id2", "Nirvana", 1),
    ]
    assert [top["spotify_id"] for top in week["top_albums"]] == ["al1", "al2"]
    assert (week["unique_artists"], week["unique_albums"]) == (2, 2)


def test_a_name_alone_means_the_one_known_artist_who_bears_it() -> None:
    known = KnownTrack(artist_id="id1", artist_name="Björk")
    rival = KnownTrack(artist_id="id2", artist_name="Björk")
    plays = [OraclePlay(NOON - timedelta(hours=n), track, artist_name="Björk") for n, track in enumerate("abc")]
    one = build(plays[:2], Catalogue(tracks={"a": known}))["week"]
    assert [(top["spotify_id"], top["play_count"]) for top in one["top_artists"]] == [("id1", 2)]
    three = build(plays, Catalogue(tracks={"a": known, "b": rival}))["week"]
    assert sorted((top["spotify_id"], top["play_count"]) for top in three["top_artists"]) == [
        ("", 1),
        ("id1", 1),
        ("id2", 1),
    ]


def test_genres_use_all_artists_and_not_the_top_ones_alone() -> None:
    number_of_artists = 120
    plays = [OraclePlay(NOON - timedelta(minutes=5 * n), f"t{n}") for n in range(number_of_artists)]
    catalogue = Catalogue(
        tracks={f"t{n}": KnownTrack(artist_id=f"ar{n}", artist_name=f"A{n}") for n in range(number_of_artists)},
        artists={f"ar{n}": Known(f"A{n}", genres=("all", f"g{n}")) for n in range(number_of_artists)},
    )
    week = build(plays, catalogue)["week"]
    assert len(week["top_artists"]) == len(week["top_genres"]) == 50
    assert week["unique_artists"] == number_of_artists
    assert week["unique_genres"] == number_of_artists + 1
    assert (week["top_genres"][0]["name"], week["top_genres"][0]["play_count"]) == ("all", number_of_artists)
    assert {top["spotify_id"] for top in week["top_genres"]} == {""}


def test_what_the_catalogue_knows_is_filled_in() -> None:
    catalogue = Catalogue(
        tracks={
            "t": KnownTrack("Song", artist_id="ar", artist_name="A", album_id="al", album_name="B", image_url="i/t")
        },
        artists={"ar": Known("Artist of now", "i/ar")},
        albums={"al": Known("Album of now", "i/al")},
    )
    week = build([OraclePlay(NOON, "t", ms_played=60_000)], catalogue)["week"]
    for kind, spotify_id, name, image_url in (
        ("top_tracks", "t", "Song", "i/t"),
        ("top_artists", "ar", "Artist of now", "i/ar"),
        ("top_albums", "al", "Album of now", "i/al"),
    ):
        assert week[kind] == [
            {
                "spotify_id": spotify_id,
                "name": name,
                "play_count": 1,
                "total_ms": 60_000,
                "image_url": image_url,
                "rank": 1,
                **({"full_listens": None} if kind == "top_albums" else {}),
            }
        ]


def test_nobody_is_not_an_artist() -> None:
    week = build([OraclePlay(NOON, "local:x", artist_name="", album_name="")])["week"]
    assert (week["unique_tracks"], week["unique_artists"], week["unique_albums"]) == (1, 0, 0)
    assert week["top_artists"] == week["top_albums"] == week["top_genres"] == []


def test_an_average_is_weighted_by_plays_and_leaves_out_what_is_unknown() -> None:
    catalogue = Catalogue(
        tracks={"a": KnownTrack(features=(1.0,) * 8), "b": KnownTrack(features=(0.0,) * 8), "c": KnownTrack()}
    )
    tracks = ["a", "a", "a", "b", "c", "unknown"]
    plays = [
        OraclePlay(NOON - timedelta(hours=n), track, track_name=track, ms_played=60_000)
        for n, track in enumerate(tracks)
    ]
    skipped = OraclePlay(NOON - timedelta(hours=20), "b", track_name="b", ms_played=1)
    week = build([*plays, skipped], catalogue)["week"]
    assert week["avg_audio_features"] == dict.fromkeys(FEATURES, 0.75)
    assert week["audio_features_coverage"] == pytest.approx(4 / 6, abs=1e-6)


def test_there_is_no_average_of_nothing() -> None:
    for plays in ([], [OraclePlay(NOON, "unknown")], [OraclePlay(NOON, "a", ms_played=1)]):
        week = build(plays, Catalogue(tracks={"a": KnownTrack(features=(1.0,) * 8)}))["week"]
        assert (week["avg_audio_features"], week["audio_features_coverage"]) == (None, 0.0)


def test_ids_of_one_song_count_as_one_and_lend_each_other_what_they_know() -> None:
    minutes = {"album": (0, 4, 60, 90, 120), "single": (8, 12, 16)}
    plays = [
        OraclePlay(NOON - timedelta(minutes=minute), track_id, ms_played=40_000)
        for track_id, ended in minutes.items()
        for minute in ended
    ]
    entry = {"artist_id": "a", "artist_name": "Artist", "name": "Song", "duration_ms": 200_000}
    catalogue = Catalogue(
        tracks={
            "album": KnownTrack(**entry, album_id="long", album_name="Album"),
            "single": KnownTrack(**entry, album_id="short", album_name="Song", features=(0.5,) * len(FEATURES)),
        }
    )
    week = build(plays, catalogue)["week"]
    assert [(top["spotify_id"], top["play_count"]) for top in week["top_tracks"]] == [("album", 8)]
    assert [(top["spotify_id"], top["play_count"]) for top in week["top_albums"]] == [("long", 5), ("short", 3)]
    assert (week["unique_tracks"], week["unique_track_ids"], week["counts_songs"]) == (1, 2, True)
    assert (week["new_tracks"], week["months"][0]["new_tracks"], week["repeat_ratio"]) == (1, 1, 0.875)
    assert (week["avg_audio_features"]["energy"], week["audio_features_coverage"]) == (0.5, 1.0)
    assert (week["most_replayed"]["spotify_id"], week["most_replayed"]["count"]) == ("album", 3)
