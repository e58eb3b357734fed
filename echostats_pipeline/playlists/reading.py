"""Reads the songs that a user's playlists may be made of."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.model.rules import Rule
from echostats_pipeline.model.users import User
from echostats_pipeline.playlists.pool import (
    LIBRARY_SCHEMA,
    OFFERED_SCHEMA,
    TRACKS_SCHEMA,
    PoolInput,
    build_pool,
)
from echostats_pipeline.playlists.words import KnownNames
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.track_credits import primary_artists_for
from echostats_pipeline.transforms.statistics.exclusions import counted_as_one, exclusions, with_exclusions
from echostats_pipeline.transforms.statistics.own_rules import song_pairs
from echostats_pipeline.transforms.statistics.plays import with_listening_time, with_local_day
from echostats_pipeline.transforms.statistics.song_of_track import songs_of
from echostats_pipeline.transforms.statistics.songs import Rules


@dataclass(frozen=True, eq=False)
class Pool:
    """The songs for one user's playlists, as `pool.build_pool` returns them, and their tags and artists."""

    songs: pl.DataFrame
    names: KnownNames

    @classmethod
    def of(cls, songs: pl.DataFrame) -> "Pool":
        """Collect the tags and artists of songs."""
        tags = songs.select(pl.col("tags").explode(empty_as_null=False).drop_nulls().unique()).to_series()
        artists = songs.select(pl.col("artist_name").filter(pl.col("artist_name") != "").unique()).to_series()
        return cls(songs, KnownNames(tags.to_list(), artists.to_list()))


def read_pool(store: Store, user: User, settings: Settings, now: datetime, missed: Mapping[str, int]) -> Pool:
    """The songs that a user has heard, has in the library, or may get to know from others who share their plays.

    Args:
        store: The database.
        user: The user.
        settings: How plays and songs are counted, and whether songs are recommended.
        now: The present instant.
        missed: Skips that no play tells of, by track id.
    """
    rules = store.rules.of(user.user_id)
    library = store.recommendations.library(user.user_id).cast(dict(LIBRARY_SCHEMA.items()))
    offered, named = _offered(store, user) if settings.recommends else (OFFERED_SCHEMA.to_frame(), _named({}))
    played = store.plays.track_ids(user.user_id)
    ids = pl.concat([played, library["track_id"], offered["track_id"]]).drop_nulls().unique().sort().to_list()
    with ThreadPoolExecutor(1) as beside:  # the server sorts plays into columns while this process reads tracks
        reads = store.plays.read if exclusions(rules) else store.plays.read_nameless
        plays = beside.submit(reads, user.user_id)
        known = store.playlists.tracks(ids, TRACKS_SCHEMA)
        heard = heard_plays(store, plays.result(), settings.min_play_ms, user.timezone, rules)
    missing = set(ids) - set(known["track_id"])
    names = {
        each: found for each, found in store.recommendations.library_names(user.user_id).items() if each in missing
    }
    tracks = pl.concat([known, named.filter(pl.col("track_id").is_in(list(missing))), _named(names)])
    song_rules = Rules(*song_pairs(rules)) if settings.same_recording else None
    left_out = [
        artist
        for rule in exclusions(rules)
        if rule.exclusion.artist is not None and rule.exclusion.model_dump(exclude_defaults=True).keys() == {"artist"}
        for artist in counted_as_one(rule.exclusion.artist, rules)
    ]
    given = PoolInput(
        tracks=tracks.unique("track_id", keep="first", maintain_order=True),
        song_of=songs_of(tracks.select("track_id", *_NAMING), song_rules),
        heard=heard,
        library=library,
        offered=offered,
        missed=missed,
        left_out_artists=left_out,
    )
    return Pool.of(build_pool(given, now, ZoneInfo(user.timezone)))


_NAMING = ("name", "artist_id", "artist_name", "album_name", "isrc", "duration_ms")


def heard_plays(store: Store, plays: pl.DataFrame, min_play_ms: int, timezone: str, rules: list[Rule]) -> pl.DataFrame:
    """The plays of a user that count or were left early, as `pool.HEARD_SCHEMA`."""
    primary = primary_artists_for(store.db, rules, plays["track_id"])
    ruled = with_exclusions(with_local_day(plays.lazy(), timezone), rules, primary)
    timed = with_listening_time(ruled.with_columns(listener=pl.lit(0)), min_play_ms)
    return (
        timed.filter(pl.col("counted") | pl.col("left_early"))
        .select(
            "track_id",
            "played_at",
            "date",
            liked=pl.col("counted") & ~pl.col("left_early"),
            left_out=pl.col("rule_ids").is_not_null(),
        )
        .collect()
    )


def _offered(store: Store, user: User) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Songs that others share or that are recommended to a user, and the names of the recommended ones."""
    shared = store.recommendations.shared_songs()
    others = shared.select(
        track_id="spotify_id",
        score=pl.lit(None, pl.Float64),
        reason=pl.lit(None, pl.String),
        recent_plays="recent_plays",
    )
    made = store.recommendations.lists(user.user_id).get("discover")
    tracks = [] if made is None else made.tracks
    recommended = pl.DataFrame(
        [
            {"track_id": each.spotify_id, "score": each.score, "reason": each.reason, "recent_plays": 0.0}
            for each in tracks
        ],
        schema=OFFERED_SCHEMA,
    )
    names = {
        each.spotify_id: {"name": each.name, "artist_name": each.artist_name, "album_name": each.album_name}
        for each in tracks
    }
    return pl.concat([others, recommended]), _named(names)


def _named(names: Mapping[str, Mapping[str, object]]) -> pl.DataFrame:
    """Tracks of which only the names are known, as `pool.TRACKS_SCHEMA`."""
    texts = dict.fromkeys(("artist_id", "isrc"), "")
    rows = [{"track_id": each, **texts, "duration_ms": 0, "tags": [], **found} for each, found in sorted(names.items())]
    return pl.DataFrame(rows, schema=TRACKS_SCHEMA)
