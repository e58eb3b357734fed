"""Which song each track is, for lists of songs that no user has to have played."""

import polars as pl

from echostats_pipeline.transforms.history.identity import made_up
from echostats_pipeline.transforms.statistics.songs import NO_RULES, Rules, alike
from echostats_pipeline.transforms.statistics.songs import songs as joined_songs


def songs_of(tracks: pl.DataFrame, rules: Rules | None = NO_RULES) -> pl.DataFrame:
    """The song that each track is a recording of, by the rules of `statistics.songs`.

    Args:
        tracks: ``track_id``, ``name``, ``artist_id``, ``artist_name``, ``album_name``, ``isrc`` and
            ``duration_ms``; a track may have several rows, of which the first that knows a value counts.
        rules: Tracks that are one song, and that are not, whatever else says so. With None, every track is a song.

    Returns:
        ``track_id``, ``song``: the smallest of Spotify's ids among the song's tracks. It does not depend on who has
        played which of them.
    """
    texts = ("name", "artist_id", "artist_name", "album_name", "isrc")
    known = tracks.group_by("track_id").agg(
        *(pl.col(name).filter(pl.col(name) != "").first().fill_null("") for name in texts),
        pl.col("duration_ms").filter(pl.col("duration_ms") > 0).first().fill_null(0),
    )
    alone = known.select("track_id", song="track_id").sort("track_id")
    found = known.clear() if rules is None else alike(known, rules)
    if rules is None or found.is_empty():
        return alone
    joined = joined_songs(found.with_columns(plays=pl.lit(0, pl.Int64), ms=pl.lit(0, pl.Int64)), rules)
    first = joined.sort(made_up(pl.col("track_id")), "track_id").group_by("song").agg(pl.col("track_id").first())
    shown = joined.select("track_id", "song").join(first.rename({"track_id": "shown"}), on="song", how="left")
    return alone.join(shown.select("track_id", "shown"), on="track_id", how="left").select(
        "track_id", song=pl.coalesce("shown", "song")
    )
