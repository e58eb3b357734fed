"""Under what a track, its artist and its album are counted and shown."""

import polars as pl

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.transforms.frames import CatalogFrames

NAMES = ("name", "artist_name", "album_name")
IDS_AND_NAMES = ("artist_id", "album_id", *NAMES)
FEATURE_UNIT = 10**9
"""Features are summed as whole parts of this, so that the order of summation never shows."""


def identified_tracks(track_days: pl.DataFrame, catalog: CatalogFrames) -> pl.DataFrame:
    """One row per track ever played, with the keys under which its artist and album are counted.

    An artist or album goes by its id. Where the catalogue does not know the track, its names decide: they mean the one
    known artist (or album of that artist) of that name, and stand for themselves if there is none or more than one.
    Unnamed and unknown ones get no key: nobody is not an artist.

    Args:
        track_days: As `frames.TRACK_DAYS_SCHEMA`, in order of date; a track goes by the names of its last day.
        catalog: What is known of them.

    Returns:
        ``track_id``, ``name``, ``artist_name``, ``album_name``, ``image_url``, ``artist_id``, ``album_id`` (empty if
        unknown), numbers ``track``, ``artist`` and ``album`` (null for nobody), and the features in whole parts of
        `FEATURE_UNIT` (null if unknown).
    """
    known = track_days.select("track_id").unique().join(catalog.tracks, on="track_id", how="left")
    known = known.with_columns(pl.col(IDS_AND_NAMES).replace("", None))
    nameless = known.filter(pl.any_horizontal(pl.col(NAMES).is_null())).select("track_id")
    played = track_days.join(nameless, on="track_id", how="semi").group_by("track_id").agg(pl.col(NAMES).last())
    known = known.join(played, on="track_id", how="left", suffix="_played").with_columns(
        pl.coalesce(name, f"{name}_played", pl.lit("")).alias(name) for name in NAMES
    )
    known = _with_only_id(known, "artist_id", ["artist_name"])
    known = _with_only_id(known, "album_id", ["artist_name", "album_name"])
    artist = pl.coalesce("artist_id", pl.lit("name:") + _non_empty("artist_name"))
    album = pl.coalesce(
        "album_id", pl.concat_str(pl.lit("name:"), "artist_name", pl.lit("\0"), _non_empty("album_name"))
    )
    return known.select(
        "track_id",
        *NAMES,
        pl.col("image_url", "artist_id", "album_id").fill_null(""),
        track=pl.int_range(pl.len(), dtype=pl.UInt32),
        artist=artist.cast(pl.Categorical).to_physical(),
        album=album.cast(pl.Categorical).to_physical(),
        **{name: (pl.col(name) * FEATURE_UNIT).round().cast(pl.Int64) for name in AVERAGED_FEATURES},
    )


def named(known: pl.DataFrame, key: str, catalog: pl.DataFrame) -> pl.DataFrame:
    """How the artists or albums of tracks are shown: one row per number in `key`.

    Args:
        known: As `identified_tracks` returns it.
        key: ``artist`` or ``album``.
        catalog: What is known of them: ``<key>_id``, ``name``, ``image_url``.

    Returns:
        ``key``, ``spotify_id`` and ``image_url`` (empty if unknown), ``name``; what the catalogue does not know goes by
        the last in the alphabet of the names its tracks give it.
    """
    id_column, name_column = f"{key}_id", f"{key}_name"
    return (
        known.drop_nulls(key)
        .group_by(key)
        .agg(pl.col(id_column).first(), pl.col(name_column).max())
        .join(catalog.rename({"name": "catalog_name"}), on=id_column, how="left")
        .select(
            key,
            pl.col(id_column).alias("spotify_id"),
            pl.coalesce("catalog_name", name_column).alias("name"),
            pl.col("image_url").fill_null(""),
        )
    )


def _non_empty(column: str) -> pl.Expr:
    return pl.when(pl.col(column) != "").then(pl.col(column))


def _with_only_id(known: pl.DataFrame, id_column: str, name_columns: list[str]) -> pl.DataFrame:
    """The tracks, those without an id given the one known id that their names bear, if it is the only one."""
    nobody = known.filter(pl.col(id_column).is_null()).select(name_columns).unique()
    ids = pl.col(id_column)
    only = (
        known.filter(ids.is_not_null())
        .join(nobody, on=name_columns, how="semi")
        .group_by(name_columns)
        .agg(ids.n_unique().alias("ids"), ids.first().alias("only"))
        .filter(pl.col("ids") == 1)
        .drop("ids")
    )
    return (
        known.join(only, on=name_columns, how="left")
        .with_columns(pl.coalesce(id_column, "only").alias(id_column))
        .drop("only")
    )
