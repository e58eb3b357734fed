"""Chooses one name for each track without a Spotify id, from the spellings in one user's plays.

The spelling with the most plays wins, then the one with the most time, then the first in the alphabet. Neither other
users nor the order of imports matter.
"""

from collections.abc import Sequence

import polars as pl

from echostats_pipeline.transforms.history.identity import folded
from echostats_pipeline.transforms.statistics.frames import TRACK_NAMES

NAMED = pl.col("name").is_not_null()
"""Whether a variant has names of its own."""


def own_names(variants: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """The names under which variants are shown.

    Args:
        variants: ``variant``, ``track_id`` and `TRACK_NAMES`, as plays have them.
        days: ``variant``, ``plays``, ``ms``; a variant may have any number of rows.

    Returns:
        The same rows with one spelling of each name: of the title per track, of the artist among spellings of the same
        artist, of the album among those of the same album of one artist. Plays without any name get those of their
        track. ``first`` is true for one variant of each track: the most played.
    """
    if variants.is_empty():
        return variants.with_columns(first=pl.lit(value=True))
    heard = days.join(variants, on="variant", how="semi").group_by("variant").agg(pl.col("plays", "ms").sum())
    named = variants.join(heard, on="variant", how="left").with_columns(
        pl.col("plays", "ms").fill_null(0),
        nameless=pl.all_horizontal(pl.col(TRACK_NAMES) == ""),
        artist=folded("artist_name"),
        album=folded("album_name"),
    )
    named = _most_played(named, "name", ["track_id"])
    named = _most_played(named, "artist_name", ["artist"])
    named = _most_played(named, "album_name", ["artist", "album"])
    named = named.sort(
        "nameless", "plays", "ms", *TRACK_NAMES, "variant", descending=[False, True, True, False, False, False, False]
    )
    artist = pl.when("nameless").then(pl.col("artist_name").first().over("track_id")).otherwise("artist_name")
    first = pl.int_range(pl.len()).over("track_id") == 0
    return named.select("variant", "track_id", "name", artist.alias("artist_name"), "album_name", first=first)


def _most_played(named: pl.DataFrame, column: str, of: Sequence[str]) -> pl.DataFrame:
    """The rows, with each name replaced by its most played spelling."""
    spellings = named.group_by(*of, column).agg(pl.col("plays", "ms").sum())
    ranked = spellings.sort(pl.col(column) == "", "plays", "ms", column, descending=[False, True, True, False])
    best = ranked.unique(of, keep="first", maintain_order=True)
    return named.drop(column).join(best.select(*of, column), on=of, how="left")
