"""Artists heard again after a long time."""

from collections.abc import Sequence

import polars as pl

from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.frames import collected
from echostats_pipeline.transforms.spans import Rows, by_span, within_spans

AWAY_DAYS = 180
"""So many days without the artist make the next one a comeback: half a year, longer than a season or a tour."""
MOST = 10
STRIDE = 1_000_000
"""More days than there are between two dates."""


def comebacks(heard: pl.DataFrame, artists: pl.DataFrame, shown: pl.DataFrame, spans: Sequence[DayWindow]) -> Rows:
    """The artists who came back in each span, after the longest absence first.

    Args:
        heard: ``date``, ``artist``, as often as they like: all plays of the history that count.
        artists: ``span``, ``artist``, ``plays``.
        shown: How an artist is shown: ``artist``, ``spotify_id``, ``name``, ``image_url``.
        spans: What ``span`` numbers.

    Returns:
        Documents of `model.statistics.Comeback` by span: of an artist the longest absence that ended within it (the
        latest of equals), at most `MOST` artists.
    """
    # An artist and a date as one number: sorted and compared ten times as fast as two.
    day = pl.col("artist").cast(pl.Int64) * STRIDE + pl.col("date").cast(pl.Int32)
    returns = collected(
        heard.lazy()
        .select(day=day)
        .sort("day")
        .with_columns(away_days=pl.col("day").diff(), artist=(pl.col("day") // STRIDE))
        .filter((pl.col("away_days") >= AWAY_DAYS) & (pl.col("artist") == pl.col("artist").shift()))
        .select(
            pl.col("artist").cast(pl.UInt32),
            "away_days",
            date=(pl.col("day") % STRIDE).cast(pl.Int32).cast(pl.Date),
        )
        .sort("away_days", "date", descending=True),
        heard.height,
    )
    # Plays and names decide among few: all others are out by their absence.
    candidates = (
        within_spans(returns, spans)
        .unique(["span", "artist"], keep="first", maintain_order=True)
        .filter(pl.col("away_days") >= pl.col("away_days").top_k(MOST).min().over("span"))
    )
    plays = artists.join(candidates, on=["span", "artist"], how="semi").select("span", "artist", "plays")
    longest = (
        candidates.join(plays, on=["span", "artist"], how="left")
        .join(shown, on="artist", how="left")
        .sort("span", "away_days", "plays", "name", "spotify_id", descending=[False, True, True, False, False])
        .group_by("span", maintain_order=True)
        .head(MOST)
    )
    told = longest.select(
        "span",
        "spotify_id",
        "name",
        "image_url",
        "away_days",
        returned_on=pl.col("date").dt.strftime("%Y-%m-%d"),
        play_count="plays",
    )
    return by_span(told)
