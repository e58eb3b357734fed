"""The songs that a playlist may be made of, with all that is known of them and of how a user hears them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from echostats_pipeline.model.catalog import AVERAGED_FEATURES, ArtistRef
from echostats_pipeline.transforms.history.identity import made_up
from echostats_pipeline.transforms.rule_checks import is_same_artist
from echostats_pipeline.transforms.sound import BRIGHTNESS
from echostats_pipeline.transforms.statistics.plays import UTC_MS

TRACKS_SCHEMA = pl.Schema(
    {
        "track_id": pl.String(),
        "name": pl.String(),
        "artist_id": pl.String(),
        "artist_name": pl.String(),
        "album_name": pl.String(),
        "isrc": pl.String(),
        "duration_ms": pl.Int64(),
        "explicit": pl.Boolean(),
        "year": pl.Int64(),
        "tags": pl.List(pl.String),
        "key": pl.Int64(),
        "mode": pl.Int64(),
        **dict.fromkeys(AVERAGED_FEATURES, pl.Float64()),
    }
)
"""One row per track. Texts are empty and lengths 0 where unknown; years and features are null."""
HEARD_SCHEMA = pl.Schema(
    {"track_id": pl.String(), "played_at": UTC_MS, "date": pl.Date(), "liked": pl.Boolean(), "left_out": pl.Boolean()}
)
"""One row per play that counts or was left early. `liked` is false for a play that was left early; `left_out` is true
if a rule of the user leaves it out."""
LIBRARY_SCHEMA = pl.Schema({"track_id": pl.String(), "added_at": UTC_MS})
OFFERED_SCHEMA = pl.Schema(
    {"track_id": pl.String(), "score": pl.Float64(), "reason": pl.String(), "recent_plays": pl.Float64()}
)
"""Tracks that others here play, or that were recommended: `score` 0 to 1 and `reason` where recommended, else null;
`recent_plays` by others, 0 if none."""
TASTE_HALF_LIFE_DAYS = 90.0
RECENT_DAYS = 30
DAY_MS = 24 * 60 * 60 * 1000
SEASON_MONTHS = 3


@dataclass(frozen=True, eq=False)
class PoolInput:
    """What a pool is built from.

    Attributes:
        tracks: As `TRACKS_SCHEMA`.
        song_of: ``track_id``, ``song``: which song each track is.
        heard: As `HEARD_SCHEMA`.
        library: As `LIBRARY_SCHEMA`: liked songs and rows of playlists.
        offered: As `OFFERED_SCHEMA`.
        missed: Skips that no play tells of, by track id: a song of a generated playlist that was passed over.
        left_out_artists: Artists whom a rule leaves out altogether.
    """

    tracks: pl.DataFrame
    song_of: pl.DataFrame
    heard: pl.DataFrame
    library: pl.DataFrame
    offered: pl.DataFrame
    missed: Mapping[str, int] = field(default_factory=dict)
    left_out_artists: Collection[ArtistRef] = ()


def build_pool(given: PoolInput, now: datetime, zone: ZoneInfo) -> pl.DataFrame:
    """One row per song that Spotify has and whose name is known, in the order of track ids.

    Returns:
        The columns of `TRACKS_SCHEMA` of the track that the user has played most, and ``song``, ``brightness``,
        ``has_features``, ``plays``, ``skips``, ``skips_30`` (left early in the last 30 days), ``season_plays`` (in this
        season of last year), ``first_played_at``, ``last_played_at``, ``weight`` (plays, recent ones above all),
        ``in_library``, ``added_at``, ``recommended`` (0 to 1, null if not), ``recommended_reason``, ``recent_plays``.
    """
    heard = _heard_by_track(given.heard, now, zone)
    library = given.library.group_by("track_id").agg(pl.col("added_at").min(), in_library=pl.lit(value=True))
    offered = given.offered.group_by("track_id").agg(
        recommended=pl.col("score").max(),
        recommended_reason=pl.col("reason").drop_nulls().first(),
        recent_plays=pl.col("recent_plays").max(),
    )
    missed = pl.DataFrame(
        {"track_id": list(given.missed), "missed": list(given.missed.values())},
        schema={"track_id": pl.String(), "missed": pl.Int64()},
    )
    rows = given.tracks.join(given.song_of, on="track_id", how="left").with_columns(
        song=pl.coalesce("song", "track_id")
    )
    for one in (heard, library, offered, missed):
        rows = rows.join(one, on="track_id", how="left")
    rows = rows.with_columns(
        pl.col("plays", "skips", "skips_30", "season_plays", "missed", "all_plays", "kept_plays").fill_null(0),
        pl.col("weight", "recent_plays").fill_null(0.0),
        pl.col("in_library").fill_null(value=False),
    )
    has = pl.all_horizontal(pl.col(name).is_not_null() for name in AVERAGED_FEATURES)
    ordered = rows.with_columns(has_features=has).sort(
        made_up(pl.col("track_id")), -pl.col("plays"), ~pl.col("has_features"), "track_id"
    )
    described = ordered.group_by("song", maintain_order=True).agg(
        pl.col("track_id").first(),
        *(_known_text(name) for name in ("name", "artist_id", "artist_name", "album_name", "isrc")),
        pl.col("duration_ms").filter(pl.col("duration_ms") > 0).first().fill_null(0),
        pl.col("explicit").any(),
        pl.col("year").min(),
        pl.col("tags").filter(pl.col("tags").list.len() > 0).first(),
        *(pl.col(name).filter("has_features").first() for name in ("key", "mode", *AVERAGED_FEATURES)),
        pl.col("has_features").any(),
        pl.col("plays", "skips", "season_plays", "all_plays", "kept_plays", "weight").sum(),
        skips_30=(pl.col("skips_30") + pl.col("missed")).sum(),
        first_played_at=pl.col("first_played_at").min(),
        last_played_at=pl.col("last_played_at").max(),
        in_library=pl.col("in_library").any(),
        added_at=pl.col("added_at").min(),
        recommended=pl.col("recommended").max(),
        recommended_reason=pl.col("recommended_reason").drop_nulls().first(),
        recent_plays=pl.col("recent_plays").max(),
    )
    derived = 0.2 + pl.sum_horizontal(pl.col(name) * weight for name, weight in BRIGHTNESS.items())
    known = described.filter(
        (pl.col("name") != "")
        & ~made_up(pl.col("track_id"))
        & ~((pl.col("all_plays") > 0) & (pl.col("kept_plays") == 0))
    )
    if given.left_out_artists:
        artists = zip(known["artist_id"], known["artist_name"], strict=True)
        refs = [ArtistRef(spotify_id=spotify_id, name=name) for spotify_id, name in artists]
        stays = [not any(is_same_artist(one, each) for one in given.left_out_artists) for each in refs]
        known = known.filter(pl.Series(stays, dtype=pl.Boolean))
    return (
        known.with_columns(
            brightness=pl.when("has_features").then(derived.clip(0.0, 1.0)),
            tags=pl.col("tags").fill_null(pl.lit([], pl.List(pl.String))),
        )
        .drop("all_plays", "kept_plays")
        .sort("track_id")
    )


def with_added(pool: pl.DataFrame, added: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """A pool with tracks that a user has added to a playlist.

    What the pool has under another id gets the id that was added; other tracks come in with their names alone.

    Args:
        pool: As `build_pool` returns it.
        added: ``track_id``, ``name``, ``artist_name``, ``album_name``, ``duration_ms``.
    """
    known = set(pool["track_id"])
    names = ("track_id", "name", "artist_name", "album_name", "duration_ms")
    schema = {name: pool.schema[name] for name in names}
    rows = [{name: each[name] for name in names} for each in added if each["track_id"] not in known]
    lacking = pl.DataFrame(rows, schema=schema).unique("track_id", keep="first", maintain_order=True)
    if not lacking.height:
        return pool
    same = pool.join(lacking.filter(pl.col("name") != ""), on=["name", "artist_name"], suffix="_added")
    ids = dict(same.select("track_id", "track_id_added").iter_rows())
    renamed = pool.with_columns(pl.col("track_id").replace(ids))
    new = lacking.filter(~pl.col("track_id").is_in(list(ids.values())))
    filled = {
        "artist_id": "",
        "isrc": "",
        "has_features": False,
        "in_library": False,
        "weight": 0.0,
        "recent_plays": 0.0,
    }
    zeros = dict.fromkeys(("plays", "skips", "skips_30", "season_plays"), 0)
    new = new.with_columns(
        *(pl.lit(value).cast(pool.schema[name]).alias(name) for name, value in {**filled, **zeros}.items()),
        tags=pl.lit([], pl.List(pl.String)),
    )
    return pl.concat([renamed, new], how="diagonal").sort("track_id")


def _known_text(name: str) -> pl.Expr:
    return pl.col(name).filter(pl.col(name).fill_null("") != "").first().fill_null("")


def _heard_by_track(heard: pl.DataFrame, now: datetime, zone: ZoneInfo) -> pl.DataFrame:
    age_days = (pl.lit(now).cast(UTC_MS) - pl.col("played_at")).dt.total_milliseconds() / DAY_MS
    liked, kept = pl.col("liked") & ~pl.col("left_out"), ~pl.col("left_out")
    first, last = season_last_year(now.astimezone(zone).date())
    in_season = pl.col("date").is_between(first, last)
    recent = pl.col("played_at") > now - timedelta(days=RECENT_DAYS)
    weight = (pl.lit(2.0).pow(-age_days.clip(0.0) / TASTE_HALF_LIFE_DAYS)).filter(liked)
    return heard.group_by("track_id").agg(
        plays=liked.sum().cast(pl.Int64),
        skips=(~pl.col("liked") & kept).sum().cast(pl.Int64),
        skips_30=(~pl.col("liked") & kept & recent).sum().cast(pl.Int64),
        season_plays=(liked & in_season).sum().cast(pl.Int64),
        first_played_at=pl.col("played_at").filter(liked).min(),
        last_played_at=pl.col("played_at").filter(liked).max(),
        weight=weight.sum(),
        all_plays=pl.len().cast(pl.Int64),
        kept_plays=kept.sum().cast(pl.Int64),
    )


def season_last_year(today: date) -> tuple[date, date]:
    """The first and last day of the three months that were this season a year ago: winter begins in December."""
    begun = (today.month // SEASON_MONTHS * SEASON_MONTHS) or 12
    year = today.year - 1 - (today.month < SEASON_MONTHS)
    first = date(year, begun, 1)
    after = date(year + (begun + SEASON_MONTHS > 12), (begun + SEASON_MONTHS - 1) % 12 + 1, 1)  # noqa: PLR2004
    return first, after - timedelta(days=1)


def features_of(songs: pl.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Songs by `AVERAGED_FEATURES`; NaN where unknown."""
    found: np.ndarray[tuple[int, int], np.dtype[np.float64]] = (
        songs.select(pl.col(AVERAGED_FEATURES).cast(pl.Float64).fill_null(float("nan"))).to_numpy().reshape(-1, 8)
    )
    return found
