"""Daily rollups and the catalogue to analytics snapshots: one document per user and period."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.model.statistics import PERIOD_DAYS, PERIODS, Period
from echostats_pipeline.transforms.days import local_midnight, streaks
from echostats_pipeline.transforms.ranking import top_items

SnapshotDocument = dict[str, Any]

DAYS_SCHEMA = pl.Schema({"date": pl.Date(), "plays": pl.Int64(), "ms": pl.Int64()})
HOURS_SCHEMA = pl.Schema({"date": pl.Date(), "hour": pl.Int64(), "plays": pl.Int64(), "ms": pl.Int64()})
TRACK_DAYS_SCHEMA = pl.Schema(
    {
        "date": pl.Date(),
        "track_id": pl.String(),
        "name": pl.String(),
        "artist_name": pl.String(),
        "album_name": pl.String(),
        "plays": pl.Int64(),
        "ms": pl.Int64(),
    }
)
CATALOG_TRACKS_SCHEMA = pl.Schema(
    {
        "track_id": pl.String(),
        "name": pl.String(),
        "artist_id": pl.String(),
        "artist_name": pl.String(),
        "album_id": pl.String(),
        "album_name": pl.String(),
        "image_url": pl.String(),
        **dict.fromkeys(AVERAGED_FEATURES, pl.Float64()),
    }
)
"""Known tracks; ids are empty where only names are known, features are all null where there are none."""
CATALOG_ARTISTS_SCHEMA = pl.Schema(
    {"artist_id": pl.String(), "name": pl.String(), "image_url": pl.String(), "genres": pl.List(pl.String)}
)
CATALOG_ALBUMS_SCHEMA = pl.Schema({"album_id": pl.String(), "name": pl.String(), "image_url": pl.String()})

FEATURE_DIGITS = 6
"""Digits kept of an average, so that the order of summation never shows."""


@dataclass(frozen=True)
class RollupFrames:
    """All rollups of one user, taken apart: one row per day, per day and hour, per day and track."""

    days: pl.DataFrame
    hours: pl.DataFrame
    tracks: pl.DataFrame

    def between(self, first: date | None, last: date) -> "RollupFrames":
        """The rollups of the dates from `first` (None: the beginning) to `last`, both included."""
        within = pl.col("date") <= last
        if first is not None:
            within &= pl.col("date") >= first
        return RollupFrames(self.days.filter(within), self.hours.filter(within), self.tracks.filter(within))


@dataclass(frozen=True)
class CatalogFrames:
    """What the catalogue knows of the tracks, artists and albums of a user's plays."""

    tracks: pl.DataFrame
    artists: pl.DataFrame
    albums: pl.DataFrame


def build_snapshots(
    rollups: RollupFrames, catalog: CatalogFrames, *, user_id: str, timezone: str, today: date
) -> list[SnapshotDocument]:
    """Build the snapshots of all periods of one user.

    Args:
        rollups: All rollups of the user; later dates than `today` are left out.
        catalog: At least the tracks the rollups mention, their artists and albums, as far as known.
        user_id: Owner of the rollups.
        timezone: IANA zone whose midnights bound the periods.
        today: The user's local date, the last day of every period.

    Returns:
        Documents of ``analytics_snapshots`` as `model.statistics.AnalyticsSnapshot` describes them, one per period,
        without ``_id`` and ``computed_at``.
    """
    zone = ZoneInfo(timezone)
    played = rollups.days.filter(pl.col("plays") > 0)["date"].to_list()
    current_streak, longest_streak = streaks(played, today)
    known = _identified(rollups.tracks, catalog)
    documents = []
    earliest = min(rollups.days["date"].to_list(), default=today)
    statistics: dict[date, Mapping[str, Any]] = {}
    for period in PERIODS:
        first = _first_date(period, today)
        since = earliest if first is None else max(first, earliest)
        if since not in statistics:  # periods that reach back further than the history are alike
            statistics[since] = _period_statistics(rollups.between(since, today), known, catalog)
        documents.append(
            {
                "user_id": user_id,
                "period": period,
                "period_start": None if first is None else local_midnight(first, zone),
                "period_end": local_midnight(today + timedelta(days=1), zone),
                **statistics[since],
                "listening_streak_days": current_streak,
                "longest_streak_days": longest_streak,
            }
        )
    return documents


def next_period_end(timezone: str, now: datetime) -> datetime:
    """The user's next local midnight: until then the periods of a snapshot built now stay the same."""
    zone = ZoneInfo(timezone)
    return local_midnight(now.astimezone(zone).date() + timedelta(days=1), zone)


def _first_date(period: Period, today: date) -> date | None:
    days = PERIOD_DAYS[period]
    return None if days is None else today - timedelta(days=days - 1)


def _identified(track_days: pl.DataFrame, catalog: CatalogFrames) -> pl.DataFrame:
    """One row per track ever played, with the keys under which its artist and album are counted.

    An artist or album goes by its id. Where the catalogue does not know the track, its names decide: they mean the one
    known artist (or album of that artist) of that name, and stand for themselves if there is none or more than one.
    Unnamed and unknown ones get no key: nobody is not an artist.
    """
    played = (
        track_days.sort("date", "track_id")
        .group_by("track_id", maintain_order=True)
        .agg(pl.col("name", "artist_name", "album_name").last())
    )
    known = played.join(catalog.tracks, on="track_id", how="left", suffix="_known").sort("track_id")
    names = {
        name: pl.coalesce(_non_empty(f"{name}_known"), pl.col(name)) for name in ("name", "artist_name", "album_name")
    }
    known = known.with_columns(
        **names,
        artist_id=_non_empty("artist_id"),
        album_id=_non_empty("album_id"),
        image_url=pl.col("image_url").fill_null(""),
    )
    artist_of_name = _only_id(known, "artist_id", ["artist_name"])
    album_of_name = _only_id(known, "album_id", ["artist_name", "album_name"])
    known = known.join(artist_of_name, on="artist_name", how="left").join(
        album_of_name, on=["artist_name", "album_name"], how="left"
    )
    artist_id = pl.coalesce("artist_id", "only_artist_id")
    album_id = pl.coalesce("album_id", "only_album_id")
    return known.sort("track_id").select(
        "track_id",
        "name",
        "artist_name",
        "album_name",
        "image_url",
        *AVERAGED_FEATURES,
        artist_id=artist_id.fill_null(""),
        album_id=album_id.fill_null(""),
        artist_key=pl.coalesce(artist_id, pl.lit("name:") + _non_empty("artist_name")),
        album_key=pl.coalesce(
            album_id, pl.concat_str(pl.lit("name:"), "artist_name", pl.lit("\0"), _non_empty("album_name"))
        ),
    )


def _non_empty(column: str) -> pl.Expr:
    return pl.when(pl.col(column) != "").then(pl.col(column))


def _only_id(known: pl.DataFrame, id_column: str, name_columns: list[str]) -> pl.DataFrame:
    """For names that one known id alone bears: that id, as ``only_<id_column>``."""
    return (
        known.filter(pl.col(id_column).is_not_null())
        .group_by(name_columns)
        .agg(pl.col(id_column).unique().alias("ids"))
        .filter(pl.col("ids").list.len() == 1)
        .select(*name_columns, pl.col("ids").list.first().alias(f"only_{id_column}"))
    )


def _period_statistics(within: RollupFrames, known: pl.DataFrame, catalog: CatalogFrames) -> Mapping[str, Any]:
    tracks = (
        within.tracks.group_by("track_id")
        .agg(pl.col("plays", "ms").sum())
        .join(known, on="track_id", how="left")
        .sort("track_id")
    )
    artists = _grouped(tracks, "artist_key", "artist_id", "artist_name", catalog.artists)
    albums = _grouped(tracks, "album_key", "album_id", "album_name", catalog.albums)
    genres = (
        tracks.join(catalog.artists.select("artist_id", "genres"), on="artist_id", how="inner")
        .explode("genres", empty_as_null=False)
        .drop_nulls("genres")
        .group_by("genres")
        .agg(pl.col("plays", "ms").sum())
        .select(spotify_id=pl.lit(""), name="genres", image_url=pl.lit(""), plays="plays", ms="ms")
    )
    total_plays = int(within.days["plays"].sum())
    return {
        "total_tracks_played": total_plays,
        "total_ms_played": int(within.days["ms"].sum()),
        "unique_tracks": _counted(tracks),
        "unique_artists": _counted(artists),
        "unique_albums": _counted(albums),
        "unique_genres": _counted(genres),
        "top_artists": top_items(artists),
        "top_tracks": top_items(tracks.rename({"track_id": "spotify_id"})),
        "top_genres": top_items(genres),
        "top_albums": top_items(albums),
        "hourly_distribution": _distribution(within.hours, "hour", pl.col("hour")),
        "daily_distribution": _distribution(within.days, "day", pl.col("date").dt.weekday().cast(pl.Int64) - 1),
        **_audio_features(tracks, total_plays),
    }


def _grouped(tracks: pl.DataFrame, key: str, id_column: str, name_column: str, catalog: pl.DataFrame) -> pl.DataFrame:
    """Tracks of a period summed up by artist or album: ``spotify_id``, ``name``, ``image_url``, ``plays``, ``ms``."""
    return (
        tracks.drop_nulls(key)
        .group_by(key, maintain_order=True)
        .agg(pl.col("plays", "ms").sum(), pl.col(id_column).first(), pl.col(name_column).last())
        .join(catalog.rename({"name": "catalog_name"}), on=id_column, how="left")
        .select(
            pl.col(id_column).alias("spotify_id"),
            pl.coalesce("catalog_name", name_column).alias("name"),
            pl.col("image_url").fill_null(""),
            "plays",
            "ms",
        )
    )


def _counted(items: pl.DataFrame) -> int:
    return items.filter(pl.col("plays") > 0).height


def _distribution(rows: pl.DataFrame, name: str, bucket: pl.Expr) -> list[dict[str, int]]:
    return (
        rows.group_by(bucket.alias(name))
        .agg(count=pl.col("plays").sum(), total_ms=pl.col("ms").sum())
        .sort(name)
        .to_dicts()
    )


def _audio_features(tracks: pl.DataFrame, total_plays: int) -> Mapping[str, Any]:
    """Means weighted by plays over the tracks that have features, and the share of plays they cover."""
    heard = tracks.filter(pl.col(AVERAGED_FEATURES[0]).is_not_null() & (pl.col("plays") > 0))
    plays = int(heard["plays"].sum())
    if plays == 0:
        return {"avg_audio_features": None, "audio_features_coverage": 0.0}
    weighted = heard.select((pl.col(AVERAGED_FEATURES) * pl.col("plays")).sum() / plays).row(0, named=True)
    return {
        "avg_audio_features": {name: round(value, FEATURE_DIGITS) for name, value in weighted.items()},
        "audio_features_coverage": round(plays / total_plays, FEATURE_DIGITS),
    }
