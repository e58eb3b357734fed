"""What is known of the songs that may be recommended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.recommender.content import Content
from echostats_pipeline.recommender.scoring import Songs
from echostats_pipeline.recommender.tracks import Names
from echostats_pipeline.transforms.history.identity import made_up

TEXTS = ("name", "artist_name", "artist_id", "album_name", "image_url")


@dataclass(frozen=True, eq=False)
class Catalogue:
    """What is known of the songs of a `Listening`, in the order of their numbers."""

    songs: Songs
    names: Names


def described(songs: Sequence[str], tracks: pl.DataFrame, song_of: pl.DataFrame) -> Catalogue:
    """Describe songs by the tracks that are recordings of them; what one track lacks, another may have.

    Args:
        songs: The songs, in the order of their numbers.
        tracks: As `storage.recommendations.SONGS_SCHEMA`; a track may have several rows, of which the first counts
            most.
        song_of: As `songs_of` returns it.
    """
    ordered = (
        tracks.with_row_index("place")
        .join(song_of, on="track_id", how="inner")
        .sort(pl.col("track_id") != pl.col("song"), "track_id", "place")
    )
    known = ordered.group_by("song", maintain_order=True).agg(
        *(pl.col(name).filter(pl.col(name).fill_null("") != "").first().fill_null("") for name in TEXTS),
        *(pl.col(name).drop_nulls().first() for name in AVERAGED_FEATURES),
        tags=pl.col("tags").filter(pl.col("tags").list.len() > 0).first(),
        popularity=pl.col("popularity").drop_nulls().first(),
    )
    table = pl.DataFrame({"song": pl.Series(songs, dtype=pl.String)}).join(known, on="song", how="left")
    texts: dict[str, list[str]] = {name: table[name].fill_null("").to_list() for name in TEXTS}
    features = table.select(pl.col(AVERAGED_FEATURES).cast(pl.Float64)).fill_null(np.nan).to_numpy()
    # Values are compared only as a whole: a song with some of them counts as one without.
    features = np.where(np.isnan(features).any(axis=1)[:, None], np.nan, features)
    tags: list[list[str]] = [list(each) if each is not None else [] for each in table["tags"].to_list()]
    # By name where it is known: tracks of an artist may have the id or only the name.
    artist: Any = pl.coalesce(
        *(
            pl.when(pl.col(name).fill_null("") != "").then(pl.lit(f"{name}:") + pl.col(name).str.to_lowercase())
            for name in ("artist_name", "artist_id")
        ),
        pl.lit("song:") + pl.col("song"),
    )
    artists = table.select(artist.rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()
    is_listable = table.select((pl.col("name").fill_null("") != "") & ~made_up(pl.col("song"))).to_series().to_numpy()
    names = Names(
        list(songs),
        texts["name"],
        texts["artist_name"],
        texts["artist_id"],
        texts["album_name"],
        texts["image_url"],
        features,
    )
    popularity = table["popularity"].cast(pl.Float64).fill_null(0.0).to_numpy()
    return Catalogue(Songs(artists, Content.of(features, tags), is_listable, popularity), names)
