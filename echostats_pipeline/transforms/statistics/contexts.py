"""Counts what tracks were played from: playlists, albums, artists, the liked songs.

Only Spotify's API says so, and not for every play. A context is identified by its URI; its name is that of the user's
playlist, or of an album or artist of the user's tracks.
"""

from collections.abc import Mapping

import polars as pl

from echostats_pipeline.transforms.statistics.periods import Rows
from echostats_pipeline.transforms.statistics.ranking import top_items

LIKED_SONGS = "Liked Songs"
KIND = r"^spotify:(?:user:[^:]+:)?([a-z]+)"
"""The kind of a context in its URI. Old URIs of playlists, and those of liked songs, have a user before it."""
KIND_AND_ID = r"^spotify:(?:user:[^:]+:)?([a-z]+:[^:]+)$"
NAMES_SCHEMA = pl.Schema({"spotify_id": pl.String(), "name": pl.String()})


def context_type(uri: pl.Expr) -> pl.Expr:
    """The kind of a context, such as ``playlist`` or ``collection`` (liked songs); empty if the URI does not say it."""
    return uri.str.extract(KIND).fill_null("")


def played_contexts(timed: pl.LazyFrame) -> pl.LazyFrame:
    """Contexts of each ``bucket``: ``uri``, ``type``, ``count``, ``ms``; most played first, then by time and URI."""
    return (
        timed.filter(pl.col("context_uri").fill_null("") != "")
        .group_by("bucket", uri="context_uri")
        .agg(count=pl.col("counted").sum(), ms=pl.col("ms").sum())
        .with_columns(type=context_type(pl.col("uri")))
        .sort(["bucket", "count", "ms", "uri"], descending=[False, True, True, False])
    )


def context_names(playlists: Mapping[str, str], albums: pl.DataFrame, *artists: pl.DataFrame) -> pl.LazyFrame:
    """The names of contexts: ``address`` (kind, colon, id) and ``name``.

    Args:
        playlists: The names of the user's playlists by id.
        albums: How albums of the user's tracks are shown: ``spotify_id``, ``name``.
        artists: The same of artists.
    """
    own = pl.DataFrame([list(playlists), list(playlists.values())], schema=NAMES_SCHEMA)
    kinds = [("playlist", own), ("album", albums), *(("artist", frame) for frame in artists)]
    address = {kind: pl.format(f"{kind}:{{}}", "spotify_id").alias("address") for kind, _ in kinds}
    return pl.concat(
        [frame.lazy().filter(pl.col("spotify_id") != "").select(address[kind], "name") for kind, frame in kinds]
    ).unique("address")


def top_contexts(contexts: pl.DataFrame, names: pl.LazyFrame) -> tuple[Rows, Rows]:
    """The first fifty contexts of each span, by plays and by time.

    Args:
        contexts: ``span``, ``uri``, ``plays``, ``ms``.
        names: As `context_names`.

    Returns:
        Documents of `model.statistics.TopContext` by span, in both orders, without contexts that have no counted play.
    """

    def shown(uris: pl.Series) -> pl.DataFrame:
        found = pl.DataFrame({"uri": uris}).with_columns(
            address=pl.col("uri").str.extract(KIND_AND_ID), spotify_id="uri", image_url=pl.lit("")
        )
        of_kind = found.lazy().join(names, on="address", how="left").collect()
        liked = pl.when(context_type(pl.col("uri")) == "collection").then(pl.lit(LIKED_SONGS))
        return of_kind.select("uri", "spotify_id", "image_url", name=pl.coalesce(liked, "name", pl.lit("")))

    by_plays, by_time = top_items(contexts, shown)
    return _as_contexts(by_plays), _as_contexts(by_time)


def _as_contexts(rows: Rows) -> Rows:
    kinds = {row["spotify_id"] for every in rows.values() for row in every}
    uris = pl.Series(sorted(kinds), dtype=pl.String)
    types = dict(zip(uris, pl.select(context_type(pl.lit(uris))).to_series(), strict=True)) if len(uris) else {}
    return {
        span: [
            {
                "uri": row["spotify_id"],
                "type": types[row["spotify_id"]],
                "name": row["name"],
                "play_count": row["play_count"],
                "total_ms": row["total_ms"],
                "rank": row["rank"],
            }
            for row in every
        ]
        for span, every in rows.items()
    }
