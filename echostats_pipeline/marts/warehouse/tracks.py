"""Maps what a user has heard to rows of ``tracks``, ``artists``, ``albums``, ``genres`` and what joins them."""

import hashlib
from collections.abc import Mapping

import polars as pl

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.transforms.statistics.listening import FEATURE_UNIT, ListeningFrames

TRACK_COLUMNS = {
    "track_id": "text",
    "song_id": "text",
    "name": "text",
    "artist_id": "text",
    "artist_name": "text",
    "album_id": "text",
    "album_name": "text",
    "duration_ms": "int4",
    "isrc": "text",
    "image_url": "text",
    **dict.fromkeys(AVERAGED_FEATURES, "float8"),
}
TABLES: Mapping[str, tuple[dict[str, str], int]] = {
    "tracks": (TRACK_COLUMNS, 1),
    "artists": ({"artist_id": "text", "name": "text", "image_url": "text"}, 1),
    "track_artists": ({"track_id": "text", "artist_id": "text"}, 2),
    "albums": ({"album_id": "text", "name": "text", "image_url": "text"}, 1),
    "genres": ({"genre": "text"}, 1),
    "track_genres": ({"track_id": "text", "genre": "text"}, 2),
}
"""The columns of each table after the user's id, and how many of them are its key."""
LONGEST_MS = 2**31 - 1


def track_tables(heard: ListeningFrames, facts: pl.LazyFrame) -> dict[str, pl.DataFrame]:
    """The rows of `TABLES` as the user's statistics count and show them.

    Args:
        heard: What the user has heard, with the user's rules.
        facts: As `frames.CATALOG_TRACKS_SCHEMA`: lengths and ISRCs.
    """
    shown = {kind: _identified(heard, kind) for kind in ("artist", "album")}
    variants = heard.known.with_row_index("variant").with_columns(song_id=_song_ids(heard))
    first = variants.sort("variant").unique("track_id", keep="first", maintain_order=True)
    names = heard.names.unique("track_id", keep="first").collect()
    known = facts.select("track_id", "duration_ms", "isrc").unique("track_id", keep="first").collect()
    features = [(pl.col(name) / FEATURE_UNIT).alias(name) for name in AVERAGED_FEATURES]
    joined = (
        first.join(names, on="track_id", how="left")
        .join(known, on="track_id", how="left")
        .join(shown["artist"].select("artist", "artist_id"), on="artist", how="left")
        .join(shown["album"].select("album", "album_id"), on="album", how="left")
        .with_columns(
            *features,
            pl.col("name", "artist_name", "album_name").fill_null(""),
            *(_known(name) for name in ("isrc", "image_url")),
            pl.when(pl.col("duration_ms") > 0).then(pl.col("duration_ms").clip(0, LONGEST_MS)),
        )
    )
    credited = _identified(heard, "credited")
    track_artists = (
        heard.credits.join(credited.select("credited", "artist_id"), on="credited", how="inner")
        .join(variants.select("variant", "track_id"), on="variant", how="inner")
        .select("track_id", "artist_id")
    )
    genres = (
        heard.genres.join(joined.select("artist", "track_id"), on="artist", how="inner")
        .select("track_id", "genre")
        .unique()
    )
    artists = pl.concat([each.select("artist_id", "name", "image_url") for each in (shown["artist"], credited)])
    tables = {
        "tracks": joined,
        "artists": artists,
        "track_artists": track_artists,
        "albums": shown["album"],
        "genres": genres.select("genre"),
        "track_genres": genres,
    }
    return {name: _table(frame, *TABLES[name]) for name, frame in tables.items()}


def digest(tables: Mapping[str, pl.DataFrame]) -> str:
    """Identifies the content of tables as `track_tables` returns them."""
    found = hashlib.sha256()
    for name, frame in tables.items():
        hashes = frame.hash_rows(seed=1)
        found.update(f"{name}|{frame.height}|".encode())
        found.update(hashes.to_numpy().tobytes())
    return found.hexdigest()


def _table(frame: pl.DataFrame, columns: Mapping[str, str], keys: int) -> pl.DataFrame:
    """The columns of a table, a row per key, in the order of keys, without NUL, which PostgreSQL refuses."""
    key = list(columns)[:keys]
    texts = [name for name, kind in columns.items() if kind == "text"]
    return (
        frame.select(*columns)
        .with_columns(pl.col(texts).str.replace_all("\0", " ", literal=True))
        .drop_nulls(key)
        .unique(key, keep="first", maintain_order=True)
        .sort(key)
    )


def _song_ids(heard: ListeningFrames) -> pl.Series:
    """The id of the track that stands for the song of each variant."""
    return heard.known["track_id"].gather(heard.known["track"])


def _identified(heard: ListeningFrames, kind: str) -> pl.DataFrame:
    """The artists, credited artists or albums with an id: that of Spotify, or else one made of the name."""
    frame = {"artist": heard.artists, "album": heard.albums, "credited": heard.credited}[kind]
    column = "album_id" if kind == "album" else "artist_id"
    named = pl.lit("name:") + pl.col("name").fill_null("")
    if kind == "album":  # albums of different artists may have one name
        artists = heard.known.drop_nulls("album").group_by("album").agg(pl.col("artist").drop_nulls().first())
        of = artists.join(heard.artists.select("artist", of="name"), on="artist", how="left").select("album", "of")
        frame = frame.join(of, on="album", how="left")
        named = pl.lit("name:") + pl.col("of").fill_null("") + pl.lit(" - ") + pl.col("name").fill_null("")
    return frame.with_columns(
        pl.when(pl.col("spotify_id").fill_null("") != "").then("spotify_id").otherwise(named).alias(column),
        pl.col("name").fill_null(""),
        _known("image_url"),
    )


def _known(name: str) -> pl.Expr:
    return pl.when(pl.col(name) != "").then(pl.col(name)).alias(name)
