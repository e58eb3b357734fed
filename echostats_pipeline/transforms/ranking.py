"""Rankings: the fifty first of something, in a total order."""

from collections.abc import Callable

import polars as pl

from echostats_pipeline.transforms.spans import Rows, by_span

TOP_LENGTH = 50
TOP_COLUMNS = ("spotify_id", "name", "play_count", "total_ms", "image_url", "rank")
BY_PLAYS, BY_TIME = ("plays", "ms"), ("ms", "plays")
"""What decides, and what decides among equals before the name does."""


def top_items(items: pl.DataFrame, shown: Callable[[pl.Series], pl.DataFrame], by: tuple[str, str]) -> Rows:
    """The first `TOP_LENGTH` items of each span: by plays, then time (or the reverse), then name (then id).

    Args:
        items: ``span``, the items' number or name, ``plays``, ``ms``.
        shown: Tells how items are shown: their numbers or names, ``spotify_id``, ``name``, ``image_url``.
        by: `BY_PLAYS` or `BY_TIME`.

    Returns:
        Documents of `model.statistics.TopItem` by span, without the items of which nothing counted.
    """
    first, second = by
    (key,) = set(items.columns) - {"span", "plays", "ms"}
    # Names decide among few: all others are out by the number that decides first.
    counted = items.filter(pl.col("plays") > 0)
    least = counted.group_by("span").agg(pl.col(first).top_k(TOP_LENGTH).min().alias("least"))
    candidates = counted.join(least, on="span", how="left").filter(pl.col(first) >= pl.col("least"))
    top = (
        candidates.join(shown(candidates[key].unique()), on=key, how="left")
        .sort("span", first, second, "name", "spotify_id", descending=[False, True, True, False, False])
        .with_columns(rank=pl.int_range(1, pl.len() + 1).over("span"))
        .filter(pl.col("rank") <= TOP_LENGTH)
        .rename({"plays": "play_count", "ms": "total_ms"})
        .select("span", *TOP_COLUMNS)
    )
    return by_span(top)
