"""Counts how often an album was heard in full: every track of it within one session, in any order.

A full listen is complete when its last missing track ends, and counts on that date; its session may have begun on the
date before. An album heard twice in one session was heard in full twice. Only ids of tracks that the catalogue has on
the album belong to it: the same song on another album does not.
"""

from collections.abc import Mapping

import polars as pl

from echostats_pipeline.transforms.statistics.frames import CatalogFrames

LEAST_TRACKS = 2
"""Tracks of the smallest album that can be heard in full; a single of one track is just played."""
PAIRS = 2**32
"""More than there are albums: a session times it plus an album is a number for both."""


def album_sizes(catalog: CatalogFrames) -> dict[str, int]:
    """How many tracks an album has, by id, for albums that can be heard in full."""
    return dict(
        catalog.albums.filter(pl.col("total_tracks") >= LEAST_TRACKS).select("album_id", "total_tracks").iter_rows()
    )


def full_listens(
    heard: pl.DataFrame, sessions: pl.DataFrame, track_ids: pl.Series, catalog: CatalogFrames, sizes: Mapping[str, int]
) -> pl.DataFrame:
    """When albums were heard in full.

    Args:
        heard: ``date``, ``ended_at`` of the part of a session, ``variant``, ``plays``: counted plays of tracks.
        sessions: As `frames.SESSIONS_SCHEMA`, in order of time.
        track_ids: The id of each variant.
        catalog: At least these tracks.
        sizes: As `album_sizes`.

    Returns:
        ``date``, ``album_id``, ``listens``.
    """
    large = pl.DataFrame([list(sizes), list(sizes.values())], schema={"album_id": pl.String, "size": pl.Int64})
    tracks = catalog.tracks.select("track_id", "album_id").collect()
    records = track_ids.to_frame().join(tracks, on="track_id", how="left", maintain_order="left")
    large = large.with_row_index("record")
    record = records.join(large, on="album_id", how="left", maintain_order="left")["record"]
    many = _with_enough_rows(heard, sessions, record, large)
    keys = ("session", "record", "ended_at")
    until = (
        many.select(*keys, "date")
        .unique()
        .join(many.drop("date"), on=["session", "record"], how="inner", suffix="_heard")
        .filter(pl.col("ended_at_heard") <= pl.col("ended_at"))
        .group_by(*keys, "date", "size", "variant")
        .agg(pl.col("plays").sum())
    )
    complete = (
        until.filter(pl.col("plays").rank("ordinal", descending=True).over(keys) == pl.col("size"))
        .sort("ended_at")
        .with_columns(listens=pl.col("plays") - pl.col("plays").shift(fill_value=0).over("session", "record"))
    )
    return (
        complete.filter(pl.col("listens") > 0)
        .join(large, on="record", how="inner")
        .select("date", "album_id", "listens")
    )


def _with_enough_rows(
    heard: pl.DataFrame, sessions: pl.DataFrame, record: pl.Series, large: pl.DataFrame
) -> pl.DataFrame:
    """The rows of albums with as many rows in a session as tracks, with ``session``, ``record``, ``size``.

    They are few, and only they are looked at closely. They are found by one number for each row, because nothing else
    of a long history needs as much memory as its rows with further columns.
    """
    ends = sessions["ended_at"]
    position = ends.search_sorted(heard["ended_at"])
    known = ends.gather(position, null_on_oob=True) == heard["ended_at"]
    session = (~sessions["continues"]).cum_sum().gather(position, null_on_oob=True).cast(pl.UInt64)
    pair = (session * PAIRS + record.gather(heard["variant"])).set(~known, None)
    rows = pair.drop_nulls().sort().rle().struct.unnest().with_columns(record=(pl.col("value") % PAIRS).cast(pl.UInt32))
    enough = rows.join(large, on="record", how="inner").filter(pl.col("len") >= pl.col("size"))
    many = heard.with_columns(pair=pair).join(enough.select("record", "size", pair="value"), on="pair", how="inner")
    return many.with_columns(session=pl.col("pair") // PAIRS).drop("pair")
