"""Artists heard again after a long time."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import polars as pl

from echostats_pipeline.transforms.days import DayWindow

AWAY_DAYS = 180
"""So many days without the artist make the next one a comeback: half a year, longer than a season or a tour."""
MOST = 10
STRIDE = 1_000_000
"""More days than there are between two dates."""


def comebacks(
    played: pl.DataFrame, artists: pl.DataFrame, shown: pl.DataFrame, spans: Sequence[DayWindow]
) -> dict[int, list[dict[str, Any]]]:
    """The artists who came back in each span, after the longest absence first.

    Args:
        played: ``date``, ``artist``, ``plays``: the whole history.
        artists: ``span``, ``artist``, ``plays``.
        shown: How an artist is shown: ``artist``, ``spotify_id``, ``name``, ``image_url``.
        spans: What ``span`` numbers.

    Returns:
        Documents of `model.statistics.Comeback` by span: of an artist the longest absence that ended within it (the
        latest of equals), at most `MOST` artists.
    """
    # An artist and a date as one number: sorted and compared ten times as fast as two.
    day = pl.col("artist").cast(pl.Int64) * STRIDE + pl.col("date").cast(pl.Int32)
    heard = played.lazy().filter(pl.col("plays") > 0).drop_nulls("artist").select(day=day).unique().sort("day")
    returns = (
        heard.with_columns(away_days=pl.col("day").diff(), artist=(pl.col("day") // STRIDE))
        .filter((pl.col("away_days") >= AWAY_DAYS) & (pl.col("artist") == pl.col("artist").shift()))
        .select(
            pl.col("artist").cast(pl.UInt32),
            "away_days",
            date=(pl.col("day") % STRIDE).cast(pl.Int32).cast(pl.Date),
        )
        .sort("away_days", "date", descending=True)
        .collect()
    )
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for number, span in enumerate(spans):
        within = returns.filter(pl.col("date").is_between(span.first, span.last))
        if within.is_empty():
            continue
        longest = (
            within.unique("artist", keep="first", maintain_order=True)
            .join(artists.filter(pl.col("span") == number), on="artist", how="left")
            .join(shown, on="artist", how="left")
            .sort("away_days", "plays", "name", "spotify_id", descending=[True, True, False, False])
            .head(MOST)
        )
        found[number] = longest.select(
            "spotify_id",
            "name",
            "image_url",
            "away_days",
            returned_on=pl.col("date").dt.strftime("%Y-%m-%d"),
            play_count="plays",
        ).to_dicts()
    return found
