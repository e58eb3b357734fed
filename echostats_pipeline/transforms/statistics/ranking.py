"""Ranks the fifty top items of each span, in a total order."""

from collections.abc import Callable

import polars as pl

from echostats_pipeline.transforms.statistics.periods import Rows, by_span

TOP_LENGTH = 50
TOP_COLUMNS = ("spotify_id", "name", "play_count", "total_ms", "image_url", "rank")
ORDERS = (("plays", "ms"), ("ms", "plays"))
"""The orders of a ranking, by plays and by time: the deciding number, then the number that decides among equals."""


def top_items(items: pl.DataFrame, shown: Callable[[pl.Series], pl.DataFrame]) -> tuple[Rows, Rows]:
    """The first `TOP_LENGTH` items of each span by plays, then time, then name (then id); and by time, then plays.

    Args:
        items: ``span``, the items' number or name, ``plays``, ``ms``.
        shown: Returns how items are shown: their numbers or names, ``spotify_id``, ``name``, ``image_url``.

    Returns:
        Documents of `model.statistics.TopItem` by span, in both orders, without items that have no counted play.
    """
    (key,) = set(items.columns) - {"span", "plays", "ms"}
    # Names only order the few candidates; the deciding number has excluded all others.
    counted = items.filter(pl.col("plays") > 0)
    least = counted.group_by("span").agg(pl.col("plays", "ms").top_k(TOP_LENGTH).min().name.prefix("least_"))
    reaching = [pl.col(first) >= pl.col(f"least_{first}") for first, _ in ORDERS]
    candidates = counted.join(least, on="span", how="left").filter(pl.any_horizontal(reaching))
    named = candidates.join(shown(candidates[key].unique()), on=key, how="left").lazy()
    by_plays, by_time = pl.collect_all(
        [
            named.filter(reaches)
            .sort("span", *order, "name", "spotify_id", descending=[False, True, True, False, False])
            .with_columns(rank=pl.int_range(1, pl.len() + 1).over("span"))
            .filter(pl.col("rank") <= TOP_LENGTH)
            .rename({"plays": "play_count", "ms": "total_ms"})
            .select("span", *TOP_COLUMNS)
            for reaches, order in zip(reaching, ORDERS, strict=True)
        ],
        engine="in-memory",
    )
    return by_span(by_plays), by_span(by_time)
