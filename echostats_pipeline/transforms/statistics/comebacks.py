"""Finds artists that a user heard again after a long time."""

from collections.abc import Collection, Sequence
from datetime import date

import polars as pl

from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.statistics.frames import collected
from echostats_pipeline.transforms.statistics.periods import Rows, by_span, within_spans

AWAY_DAYS = 180
"""Days without an artist after which a play is a comeback: half a year, longer than a season or a tour."""
MOST = 10
STRIDE = 1_000_000
"""Larger than the number of days between any two dates."""


def comebacks(
    heard: pl.DataFrame,
    shown: pl.DataFrame,
    spans: Sequence[DayWindow],
    unknown: Collection[date] = (),
) -> Rows:
    """The artists who came back in each span, the longest absence first.

    Args:
        heard: ``date``, ``artist``, ``plays`` of all counted plays of the history; a pair may have several rows.
        shown: How an artist is shown: ``artist``, ``spotify_id``, ``name``, ``image_url``.
        spans: The spans that ``span`` numbers.
        unknown: Dates of which nothing is known. An absence across such a date is not reported: the artist may have
            been heard on it.

    Returns:
        Documents of `model.statistics.Comeback` by span, for at most `MOST` artists: for each the longest absence that
        ended within the span (the latest of equals).
    """
    # An artist and a date as one number, which sorts and compares ten times as fast as two.
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
        .filter(_known_throughout(unknown))
        .sort("away_days", "date", descending=True),
        heard.height,
    )
    # Plays and names only order the few candidates; the length of the absence has excluded all others.
    candidates = (
        within_spans(returns, spans)
        .unique(["span", "artist"], keep="first", maintain_order=True)
        .filter(pl.col("away_days") >= pl.col("away_days").top_k(MOST).min().over("span"))
    )
    plays = _plays_since(heard, candidates, spans)
    longest = (
        candidates.join(plays, on=["span", "artist"], how="left")
        .join(shown, on="artist", how="left")
        .sort("span", "away_days", "plays", "name", "spotify_id", descending=[False, True, True, False, False])
        .group_by("span", maintain_order=True)
        .head(MOST)
    )
    documents = longest.select(
        "span",
        "spotify_id",
        "name",
        "image_url",
        "away_days",
        returned_on=pl.col("date").dt.strftime("%Y-%m-%d"),
        play_count="plays",
    )
    return by_span(documents)


def _known_throughout(unknown: Collection[date]) -> pl.Expr:
    """Whether every date between ``date`` and ``away_days`` before it is known."""
    dates = pl.lit(pl.Series(sorted(unknown), dtype=pl.Date))
    left = pl.col("date") - pl.duration(days=pl.col("away_days"))
    return dates.search_sorted(pl.col("date"), side="left") == dates.search_sorted(left.cast(pl.Date), side="right")


def _plays_since(heard: pl.DataFrame, candidates: pl.DataFrame, spans: Sequence[DayWindow]) -> pl.DataFrame:
    """``span``, ``artist``, ``plays``: the plays of each candidate from the return to the end of the span."""
    ends = pl.Series([span.last for span in spans], dtype=pl.Date)
    since = candidates.select("span", "artist", returned="date").with_columns(last=pl.lit(ends).gather(pl.col("span")))
    theirs = heard.join(since.select("artist").unique(), on="artist", how="semi").join(since, on="artist", how="inner")
    within = theirs.filter(pl.col("date").is_between(pl.col("returned"), pl.col("last")))
    return within.group_by("span", "artist").agg(pl.col("plays").sum())
