"""Which songs are chosen, and why not others."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.playlists.candidates import Chosen, choose, learned
from echostats_pipeline.playlists.flow import flowing_songs
from echostats_pipeline.playlists.picking import Wanted
from echostats_pipeline.playlists.pool import with_added
from echostats_pipeline.playlists.reasons import reason_of, source_of
from echostats_pipeline.playlists.understanding import understand
from echostats_pipeline.playlists.words import KnownNames
from echostats_pipeline_tests.playlists.songs import NOW, pool_of, some_tracks, track_id

TRACKS = some_tracks(600)
PLAYS = [(number, 1 + number % 300, True) for number in range(0, 500, 2) for _ in range(1 + number % 7)]


@pytest.fixture(scope="module")
def pool() -> pl.DataFrame:
    return pool_of(TRACKS, PLAYS, saved=range(400, 600, 2))


def chosen(pool: pl.DataFrame, text: str, **wanted: Any) -> Chosen:
    return choose(pool, understand(text), Wanted(**wanted), NOW)


@given(
    st.sampled_from(["calm", "happy", "dark", "fast jazz", "no vocals", "party", "jazz", "80s", "energy 0.2 to 0.5"]),
    st.integers(10, 120),
)
def test_every_song_is_as_asked_unless_something_was_widened(text: str, minutes: int) -> None:
    made = choose(POOL, understand(text), Wanted(minutes=minutes), NOW)
    songs = made.songs
    assert songs["duration_ms"].sum() <= minutes * 60_000
    assert songs["track_id"].is_unique().all()
    assert songs.group_by("artist_name").len()["len"].max() in (None, 1, 2)
    asked = understand(text)
    if not made.widened:
        assert songs["in_ranges"].all()
        for axis in ("energy", "brightness", "tempo"):
            low, high = getattr(asked, axis)
            if asked.asks_sound:
                assert songs[axis].is_between(low, high).all()
    assert bool(made.note) == (songs["duration_ms"].sum() < (minutes - 4) * 60_000)


POOL = pool_of(TRACKS, PLAYS, saved=range(400, 600, 2))


def test_songs_without_features_are_left_out_and_counted_only_where_the_sound_is_asked_for(pool: pl.DataFrame) -> None:
    calm, jazz = chosen(pool, "calm"), chosen(pool, "jazz", minutes=600)
    assert (calm.counts.with_features, calm.counts.without_features, calm.counts.excluded) == (540, 60, 60)
    assert calm.songs["has_features"].all()
    assert (jazz.counts.excluded, jazz.songs["has_features"].all()) == (0, False)


def test_ranges_widen_in_steps_that_are_recorded_and_then_the_playlist_stays_short() -> None:
    few = pool_of(some_tracks(60), [(number, 3, True) for number in range(60)])
    made = chosen(few, "sad, energy below 0.2, tempo 60-62", minutes=240)
    assert list(made.widened)[:2] == ["A tempo of 60 to 62 bpm counts at half or double speed, too.", "Any tempo."]
    assert made.songs.height < 60
    assert made.note.startswith("Shorter than the 240 minutes asked for: only ")
    assert "audio features are unknown" in made.note


def test_words_about_each_song_and_about_years_to_leave_out_choose_songs(pool: pl.DataFrame) -> None:
    short = chosen(pool, "songs under 3 minutes", minutes=600).songs
    assert short.height > 0
    assert short["duration_ms"].to_numpy().max() <= 180_000
    other = chosen(pool, "no 80s", minutes=600).songs
    assert other.height > 0
    assert other.filter(pl.col("year").is_between(1980, 1989)).is_empty()
    assert chosen(pool, "80s", minutes=600).songs.height > 0


def test_a_narrower_tag_may_stay_where_a_wider_one_is_left_out() -> None:
    rock = POOL.with_columns(
        tags=pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit(["indie rock"])).otherwise(["rock"])
    )
    kept = choose(rock, understand("no rock except indie rock", KnownNames(["rock", "indie rock"])), Wanted(), NOW)
    assert kept.songs.height > 0
    assert kept.songs["tags"].to_list() == [["indie rock"]] * kept.songs.height
    assert choose(rock, understand("no rock"), Wanted(), NOW).songs.is_empty()


def test_nothing_fits_gives_nothing_and_says_what_there_is_of_each_thing_asked_for() -> None:
    made = chosen(POOL, "jazz, calm, before 1910", left_out=[track_id(5)])
    assert (made.songs.height, made.counts.fitting) == (0, 0)
    assert made.note.startswith("None of 600 songs fits: 120 are tagged jazz, 0 are from 1900 to 1909, 599 are free to")
    assert "540 are known by their sound, " in made.note
    assert ", 251 are within energy 0 to 0.5," in made.note
    assert chosen(pool_of([]), "jazz").note == "There are no songs to choose from."


def test_why_a_playlist_is_short_is_the_true_reason(pool: pl.DataFrame) -> None:
    assert chosen(pool, "jazz", minutes=1).note == "120 songs fit, but none is as short as 1 minutes."
    contradicting = chosen(pool, "new to me", minutes=60, discover=0.0)
    assert contradicting.note.endswith("No new songs were asked for; 350 of the songs that fit are new.")


def test_ranges_widen_for_a_share_of_new_songs_too() -> None:
    half = pool_of(TRACKS, [(number, 3, True) for number in range(600) if number % 5 < 2])  # quiet songs were played
    made = chosen(half, "energy below 0.15", songs=20, minutes=None, discover=0.5)
    assert list(made.widened)[:1] == ["Wider by 0.1: energy 0 to 0.25."]
    assert made.songs.filter(pl.col("plays") == 0).height >= 8
    assert made.songs.filter(pl.col("plays") > 0)["in_ranges"].all()


def test_each_skip_of_the_last_month_costs_a_fifth() -> None:
    tracks, plays = some_tracks(40, unknown=0), [(number, 40, True) for number in range(40)]
    before, after = (
        dict(choose(each, understand(""), Wanted(minutes=600), NOW).candidates.select("track_id", "score").iter_rows())
        for each in (pool_of(tracks, plays), pool_of(tracks, [*plays, (5, 2, False), (6, 50, False)]))
    )
    assert before[track_id(5)] - after[track_id(5)] == pytest.approx(0.2)
    assert before[track_id(6)] == after[track_id(6)]


def test_a_share_of_new_songs_is_kept(pool: pl.DataFrame) -> None:
    made = chosen(pool, "", songs=20, minutes=None, discover=0.3)
    assert (made.songs.height, made.songs.filter(pl.col("plays") == 0).height) == (20, 6)
    assert chosen(pool, "", songs=20, minutes=None, discover=0.0).songs.filter(pl.col("plays") == 0).height == 0
    timed = chosen(pool, "", minutes=60, discover=0.5).songs
    share = timed.filter(pl.col("plays") == 0)["duration_ms"].to_numpy().sum() / timed["duration_ms"].to_numpy().sum()
    assert share == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("new to me", pl.col("plays") == 0),
        ("my favourites", pl.col("plays") >= 5),
        ("liked songs", pl.col("in_library")),
        ("no explicit", ~pl.col("explicit")),
        ("jazz", pl.col("tags").list.contains("jazz")),
        ("rock", pl.col("tags").list.contains("indie rock")),
        ("no jazz", ~pl.col("tags").list.contains("jazz")),
        ("90s", pl.col("year").is_between(1990, 1999)),
        ("no vocals", pl.col("instrumentalness") >= 0.5),
        ("with vocals", pl.col("instrumentalness") < 0.5),
        ("old favourites", pl.col("last_played_at") < NOW.replace(year=2025, month=9, day=17)),
    ],
)
def test_what_is_asked_beside_the_sound_holds_for_every_song(pool: pl.DataFrame, text: str, holds: pl.Expr) -> None:
    songs = chosen(pool, text, minutes=90).songs
    assert songs.height
    assert songs.select(holds.all()).item()


def test_songs_like_those_of_an_artist_come_first(pool: pl.DataFrame) -> None:
    asked = understand("").model_copy(update={"like_artists": ["Artist 20"]})
    songs = choose(pool, asked, Wanted(minutes=60), NOW).songs
    tags = set(pool.filter(pl.col("artist_name") == "Artist 20").explode("tags")["tags"])
    assert songs.select(pl.col("tags").list.first().is_in(tags).mean()).item() > 0.8


def test_songs_that_sound_like_a_skipped_one_sink_and_those_like_a_liked_one_rise(pool: pl.DataFrame) -> None:
    known = pool.filter("has_features")
    one, other = known.sort("energy")["track_id"][0], known.sort("energy")["track_id"][-1]
    moved = known.with_columns(said=pl.Series(learned(known, pool, {one: -1.0, other: 1.0})))
    assert moved.filter(pl.col("track_id") == one)["said"][0] < -0.3
    assert moved.filter(pl.col("track_id") == other)["said"][0] > 0.3
    calm, wild = (moved.sort("energy", descending=turned).head(40)["said"].mean() for turned in (False, True))
    assert isinstance(calm, float)
    assert isinstance(wild, float)
    assert calm < 0 < wild


def test_pinned_songs_come_and_left_out_ones_do_not(pool: pl.DataFrame) -> None:
    first = chosen(pool, "jazz", songs=10, minutes=None).songs["track_id"].to_list()
    last = chosen(pool, "jazz", songs=50, minutes=None).candidates["track_id"].to_list()[-1]
    again = chosen(pool, "jazz", songs=10, minutes=None, left_out=first[:3], pinned=[last]).songs["track_id"].to_list()
    assert last in again
    assert not set(first[:3]) & set(again)


def test_songs_that_the_user_has_added_stay_whatever_is_asked(pool: pl.DataFrame) -> None:
    loud, unknown = pool.sort("energy", descending=True, nulls_last=True)["track_id"][0], track_id(0)
    added = [
        {"track_id": "x" * 22, "name": "Elsewhere", "artist_name": "Nobody", "album_name": "", "duration_ms": 200_000},
        {"track_id": "y" * 22, "name": "Song 9", "artist_name": "Artist 3", "album_name": "", "duration_ms": 1},
    ]
    pinned = [loud, unknown, *(each["track_id"] for each in added)]
    wider = with_added(pool, added)
    wanted = Wanted(minutes=None, songs=12, discover=0.0, left_out=[loud], pinned=pinned)
    made = choose(wider, understand("calm, energy below 0.4"), wanted, NOW)
    ordered = flowing_songs(made, wanted)
    assert set(pinned) <= set(ordered["track_id"])
    assert (ordered.height, ordered.filter("in_ranges").height) == (12, 12 - len({*pinned} - {"y" * 22}) - 1)
    assert track_id(9) not in wider["track_id"]
    assert wider.height == pool.height + 1
    again = choose(wider, understand("calm"), Wanted(minutes=1, pinned=pinned), NOW).songs
    assert set(again["track_id"]) == set(pinned)
    rows = {row["track_id"]: row for row in ordered.iter_rows(named=True)}
    assert reason_of(rows["x" * 22], understand("")) == "You added it at Spotify."
    assert source_of(rows["x" * 22]) == "added"


def test_the_order_of_rows_does_not_matter(pool: pl.DataFrame) -> None:
    one = chosen(pool, "calm jazz").songs
    other = chosen(pool.sample(fraction=1.0, shuffle=True, seed=3), "calm jazz").songs
    assert one["track_id"].to_list() == other["track_id"].to_list()
