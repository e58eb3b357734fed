"""Rankings: the fifty most played of something, in a total order."""

from typing import Any

import polars as pl

TOP_LENGTH = 50
TOP_COLUMNS = ("spotify_id", "name", "play_count", "total_ms", "image_url", "rank")


def top_items(items: pl.DataFrame) -> list[dict[str, Any]]:
    """The first `TOP_LENGTH` items by plays, then listening time, then name (then id, to leave no tie).

    Args:
        items: One row per item: ``spotify_id``, ``name``, ``image_url`` (strings), ``plays``, ``ms`` (integers).

    Returns:
        Documents of `model.statistics.TopItem`, without the items of which nothing counted.
    """
    return (
        items.filter(pl.col("plays") > 0)
        .sort(["plays", "ms", "name", "spotify_id"], descending=[True, True, False, False])
        .head(TOP_LENGTH)
        .rename({"plays": "play_count", "ms": "total_ms"})
        .with_columns(rank=pl.int_range(1, pl.len() + 1))
        .select(TOP_COLUMNS)
        .to_dicts()
    )
