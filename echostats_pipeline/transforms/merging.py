"""One play, one document: which reported rows are plays we already hold (spec section 5).

Three sources of rows meet here: stored plays, pages of recently-played, and rows of an export.
Matching is one-to-one and nearest first, so that two real plays of a short song stay two.
"""

import polars as pl

from echostats_pipeline.transforms.plays import UTC_MS

API_TOLERANCE_MS = 30_000
"""Two API rows of one track this close are one play reported twice."""
EXPORT_TOLERANCE_MS = 90_000
"""An export row and an API row of one track this close are one play."""


def lay_out(rows: pl.DataFrame) -> pl.DataFrame:
    """Give every export row an end of its own.

    Rows that share one ``ts`` were uploaded together: they are laid out backwards from it, each ending where the next
    one began, at least a millisecond apart.

    Args:
        rows: ``import_ts`` (UTC ms), ``offline_at`` (UTC ms, nullable), ``import_key``, ``ms_played``; any more.
            All rows of a ``ts`` must be present, for the result depends on them all.

    Returns:
        The same rows with ``played_at`` and ``played_at_estimated`` (whether ``ts`` was shared).
    """
    order = ["import_ts", "offline_at", "import_key"]
    later = pl.max_horizontal("ms_played", 1).cum_sum(reverse=True).shift(-1, fill_value=0).over("import_ts")
    return rows.sort(order, nulls_last=False).with_columns(
        played_at=(pl.col("import_ts") - pl.duration(milliseconds=later)).cast(UTC_MS),
        played_at_estimated=pl.len().over("import_ts") > 1,
    )


def apart_from(others: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Move laid-out rows back by the milliseconds that keep two plays of one track from ending at one instant.

    Args:
        others: ``track_id`` and ``played_at`` of plays that stay where they are.
        rows: What `lay_out` gives, with ``track_id``.
    """
    taken = set(others.select("track_id", pl.col("played_at").dt.epoch("ms")).iter_rows())
    ends = []
    for track, laid_out_at in rows.select("track_id", pl.col("played_at").dt.epoch("ms")).iter_rows():
        end = laid_out_at
        while (track, end) in taken:
            end -= 1
        taken.add((track, end))
        ends.append(end)
    moved_to = pl.Series(ends, dtype=pl.Int64).cast(UTC_MS)
    return rows.with_columns(
        played_at=moved_to, played_at_estimated=pl.col("played_at_estimated") | (pl.col("played_at") != moved_to)
    )


def without_repeats(items: pl.DataFrame) -> pl.DataFrame:
    """Drop the rows of one recently-played answer that report a play a second time.

    Two rows of a track less than half its length apart (and less than the tolerance) cannot both be real plays.

    Args:
        items: ``track_id``, ``played_at``, ``duration_ms``; any more columns.
    """
    closest_ms = pl.min_horizontal(API_TOLERANCE_MS, pl.col("duration_ms") // 2).clip(lower_bound=1)
    since_same_track = pl.col("played_at").diff().dt.total_milliseconds().over("track_id")
    return items.sort("played_at", "track_id").filter((since_same_track >= closest_ms).fill_null(value=True))


def match_api_rows(items: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Which rows of a recently-played answer are stored already.

    Args:
        items: ``track_id``, ``played_at`` (UTC ms), without repeats.
        stored: Plays of the same user around them: ``track_id``, ``played_at``, ``ms_played`` (null from the API),
            ``api_played_at`` (null unless the API reported a play that an export row has since replaced).

    Returns:
        ``left`` (position in `items`), ``right`` (position in `stored`), ``distance_ms``.
    """
    pairs = _same_track(items, stored)
    imported = pl.col("ms_played").is_not_null()
    to_api_stamp = _apart("played_at", pl.coalesce("api_played_at", pl.when(~imported).then("played_at_right")))
    to_export_row = _export_distance("played_at", "played_at_right", "ms_played")
    return _match(
        pairs.with_columns(
            distance_ms=pl.min_horizontal(
                pl.when(to_api_stamp <= API_TOLERANCE_MS).then(to_api_stamp),
                pl.when(imported & (to_export_row <= EXPORT_TOLERANCE_MS)).then(to_export_row),
            )
        )
    )


def match_export_rows(rows: pl.DataFrame, api_plays: pl.DataFrame) -> pl.DataFrame:
    """Which rows of an export the API has reported before.

    Args:
        rows: ``track_id``, ``played_at`` (laid out), ``ms_played``.
        api_plays: Stored plays that no export row has replaced yet: ``track_id``, ``played_at``.

    Returns:
        ``left`` (position in `rows`), ``right`` (position in `api_plays`), ``distance_ms``.
    """
    distance = _export_distance("played_at_right", "played_at", "ms_played")
    to_end = _apart("played_at_right", "played_at")
    within = _same_track(rows, api_plays).with_columns(distance_ms=distance, to_end_ms=to_end)
    # Ends first: a row that ends exactly where an API play does must take that one, or both would end there.
    return _match(within.filter(pl.col("distance_ms") <= EXPORT_TOLERANCE_MS), "to_end_ms")


def _same_track(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    return left.with_row_index("left").join(right.with_row_index("right"), on="track_id", how="inner")


def _apart(one: str, other: pl.Expr | str) -> pl.Expr:
    other = pl.col(other) if isinstance(other, str) else other
    return (pl.col(one) - other).dt.total_milliseconds().abs()


def _export_distance(api_stamp: str, export_stamp: str, ms_played: str) -> pl.Expr:
    """How far an API stamp lies from an export row's end, or from its start, for some clients report the start."""
    start = pl.col(export_stamp) - pl.duration(milliseconds=pl.col(ms_played))
    return pl.min_horizontal(_apart(api_stamp, export_stamp), _apart(api_stamp, start))


def _match(pairs: pl.DataFrame, *ties: str) -> pl.DataFrame:
    """Choose among candidate pairs one-to-one, nearest first; ties go to the lower `ties`, then positions."""
    taken_left: set[int] = set()
    taken_right: set[int] = set()
    chosen = []
    candidates = pairs.drop_nulls("distance_ms").sort("distance_ms", *ties, "left", "right")
    for left, right, distance in candidates.select("left", "right", "distance_ms").iter_rows():
        if left not in taken_left and right not in taken_right:
            taken_left.add(left)
            taken_right.add(right)
            chosen.append((left, right, distance))
    schema = {"left": pl.UInt32, "right": pl.UInt32, "distance_ms": pl.Int64}
    return pl.DataFrame(chosen, schema=schema, orient="row")
