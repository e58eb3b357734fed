"""Counts the plays of every artist whom a track credits, not only those of its primary artist.

Each credited artist of a track gets the whole play and its full time. "Various Artists" is no artist: it stands on
compilations, and nobody who is played from one is called so.
"""

import polars as pl

from echostats_pipeline.transforms.history.identity import made_up
from echostats_pipeline.transforms.statistics.frames import CatalogFrames

CREDITS_SCHEMA = pl.Schema({"track_id": pl.String(), "artist_id": pl.String()})
"""A row for each credited artist of a track; an artist who is known only by name has an empty id, or no row."""
NO_CREDITS = CREDITS_SCHEMA.to_frame()

VARIOUS_ARTISTS_ID = "0LyfQWJT6nXafLPZqxe9Of"
"""Spotify's id of "Various Artists"."""
VARIOUS_ARTISTS = (
    "various artists",
    "various",
    "various artist",
    "artistes divers",
    "artistes variés",
    "artisti vari",
    "artistas varios",
    "artistas vários",
    "blandade artister",
    "çeşitli sanatçılar",  # noqa: RUF001
    "diverse artiesten",
    "diverse artister",
    "diverse kunstnere",
    "diverse künstler",
    "eri esittäjiä",
    "různí interpreti",
    "różni wykonawcy",
    "varios artistas",
    "vários artistas",
    "vários intérpretes",
    "varios intérpretes",
    "verschiedene interpreten",
    "verschiedene künstler",
    "разные исполнители",
    "різні виконавці",
    "ヴァリアス・アーティスト",
    "群星",
)
"""Names of "Various Artists" in the languages of Spotify's exports and stores, in small letters."""


def known_credits(track_credits: pl.DataFrame) -> pl.DataFrame:
    """The credits that count, each once: those with an id, of tracks with a Spotify id, without "Various Artists".

    Args:
        track_credits: As `CREDITS_SCHEMA`.
    """
    has_id = (pl.col("artist_id") != "") & (pl.col("artist_id") != VARIOUS_ARTISTS_ID)
    return track_credits.filter(has_id, ~made_up(pl.col("track_id"))).unique()


def credited_plays(tracks: pl.DataFrame, track_credits: pl.DataFrame) -> pl.LazyFrame:
    """Counted plays per credited artist: ``bucket``, ``artist_id``, ``count``; most played first, then by id.

    Args:
        tracks: ``bucket``, ``spotify_id``, ``count``: counted plays of tracks.
        track_credits: As `known_credits` returns them.
    """
    return (
        tracks.lazy()
        .join(track_credits.lazy(), left_on="spotify_id", right_on="track_id", how="inner")
        .group_by("bucket", "artist_id")
        .agg(pl.col("count").sum())
        .sort(["bucket", "count", "artist_id"], descending=[False, True, False])
    )


def credited_artists(
    known: pl.DataFrame, artists: pl.DataFrame, catalog: CatalogFrames
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Who is credited on each variant; where the catalogue does not know it, the artist it is counted under.

    Args:
        known: ``track_id``, ``artist`` and ``artist_id`` of all variants in order, as in `listening.ListeningFrames`.
        artists: How these artists are shown, as in `listening.ListeningFrames`.
        catalog: At least the tracks of the variants, and the artists they credit.

    Returns:
        ``variant``, ``credited`` (a number); and how these are shown: ``credited``, ``spotify_id``, ``name``,
        ``image_url``. Artists without an entry in the catalogue get the alphabetically last of their names.
    """
    spotify_tracks = catalog.tracks.filter(~made_up(pl.col("track_id")))
    by_track = (
        spotify_tracks.select("track_id", "artist_ids", "artist_names")
        .explode("artist_ids", "artist_names", empty_as_null=False)
        .filter(pl.col("artist_ids") != "")
        .collect()
    )
    variants = known.with_row_index("variant").select("variant", "track_id", "artist", "artist_id")
    by_id = variants.select("variant", "track_id").join(by_track, on="track_id", how="inner")
    with_primary = spotify_tracks.filter(pl.col("artist_id") != "").select("track_id").collect()
    by_name = variants.join(with_primary, on="track_id", how="anti").drop_nulls("artist")
    every = pl.concat(
        [by_id.select("variant", key="artist_ids"), by_name.select("variant", key=_key("artist_id"))]
    ).unique()
    names = by_id.group_by(key="artist_ids").agg(pl.col("artist_names").max())
    shown = (
        every.select("key")
        .unique()
        .join(artists.select("spotify_id", "name", "image_url", key=_key("spotify_id")), on="key", how="left")
        .join(catalog.artists.rename({"artist_id": "key"}), on="key", how="left", suffix="_known")
        .join(names, on="key", how="left")
        .select(
            "key",
            spotify_id=pl.when(pl.col("key").str.starts_with(NAMED)).then(pl.lit("")).otherwise("key"),
            name=pl.coalesce("name", "name_known", "artist_names", pl.lit("")),
            image_url=pl.coalesce("image_url", "image_url_known", pl.lit("")),
        )
        .filter(~_is_various())
        .with_row_index("credited")
    )
    numbered = every.join(shown.select("key", "credited"), on="key", how="inner").select("variant", "credited")
    return numbered, shown.drop("key")


NAMED = "name:"
"""Begins the key of an artist without an id."""


def _key(artist_id: str) -> pl.Expr:
    """What identifies an artist: the id, else the number under which the name is counted."""
    number = pl.format(NAMED + "{}", "artist")
    return pl.when(pl.col(artist_id) != "").then(artist_id).otherwise(number)


def _is_various() -> pl.Expr:
    name = pl.col("name").str.strip_chars().str.to_lowercase()
    return (pl.col("spotify_id") == VARIOUS_ARTISTS_ID) | name.is_in(VARIOUS_ARTISTS)
