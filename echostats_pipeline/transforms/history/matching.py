"""Finds the reported rows that are one play: pairs them one to one, the nearest in time first.

Here: distances and the choice among candidates. Not here: what happens with matched rows (``reconciling``).
"""

from collections.abc import Sequence

import polars as pl

from echostats_pipeline.transforms.statistics.plays import UTC_MS

API_TOLERANCE_MS = 30_000
"""Two API rows of one track at most this far apart are one play that was reported twice."""
EXPORT_TOLERANCE_MS = 90_000
"""An export row and an API row of one track at most this far apart are one play."""
MINUTE_MS = 60_000
"""Account data have the minute in which a play ended; the exact instant lies anywhere within it."""


def lay_out(rows: pl.DataFrame) -> pl.DataFrame:
    """Give every export row an end of its own.

    Rows that share one ``ts`` were uploaded together. They are laid out backwards from it: each ends where the next one
    began, at least a millisecond apart. If two uploads would let one track end twice at the same instant, the play of
    the later upload is moved back by as many milliseconds as needed.

    Args:
        rows: ``import_ts`` (UTC ms), ``offline_at`` (UTC ms, nullable), ``import_key``, ``ms_played`` (nullable),
            ``track_id``; other columns are kept. All rows of a ``ts`` must be present, because the result depends on
            them.

    Returns:
        The same rows with ``played_at`` and ``played_at_estimated`` (whether ``ts`` was shared).
    """
    lasted = pl.max_horizontal(pl.col("ms_played").fill_null(1), 1)
    later = lasted.cum_sum(reverse=True).shift(-1, fill_value=0).over("import_ts")
    laid_out = rows.sort("import_ts", "offline_at", "import_key", nulls_last=False).with_columns(
        played_at=(pl.col("import_ts") - pl.duration(milliseconds=later)).cast(UTC_MS),
        played_at_estimated=pl.len().over("import_ts") > 1,
    )
    return _apart(laid_out)


def _apart(rows: pl.DataFrame) -> pl.DataFrame:
    """Move laid-out rows back so that no two plays of one track end at the same instant."""
    place = ["track_id", "played_at"]
    shared = rows.filter(pl.struct(place).is_duplicated())
    if shared.is_empty():
        return rows
    at_ms = pl.col("played_at").dt.epoch("ms")
    tracks = rows.filter(pl.col("track_id").is_in(shared["track_id"].unique().implode()))
    # Rows that end exactly at their ts stay there; the others move, in an order that does not depend on files.
    movable = tracks.filter(pl.col("played_at") != pl.col("import_ts")).sort(
        [*place, "import_ts", "import_key"], descending=[False, True, False, False]
    )
    taken = set(tracks.filter(pl.col("played_at") == pl.col("import_ts")).select("track_id", at_ms).iter_rows())
    places = {}
    for track, end, key in movable.select("track_id", at_ms, "import_key").iter_rows():
        free = end
        while (track, free) in taken:
            free -= 1
        taken.add((track, free))
        places[key] = free
    moved = pl.DataFrame({"import_key": list(places), "moved_to": list(places.values())}).cast({"moved_to": UTC_MS})
    return (
        rows.join(moved, on="import_key", how="left", maintain_order="left")
        .with_columns(played_at=pl.coalesce("moved_to", "played_at"))
        .drop("moved_to")
    )


def without_repeats(items: pl.DataFrame) -> pl.DataFrame:
    """Drop the rows of one recently-played response that report a play a second time.

    Two rows of a track less than half its length apart (and less than the tolerance) cannot both be real plays.

    Args:
        items: ``track_id``, ``played_at``, ``duration_ms``; other columns are kept.
    """
    closest_ms = pl.min_horizontal(API_TOLERANCE_MS, pl.col("duration_ms") // 2).clip(lower_bound=1)
    since_same_track = pl.col("played_at").diff().dt.total_milliseconds().over("track_id")
    return items.sort("played_at", "track_id").filter((since_same_track >= closest_ms).fill_null(value=True))


def match_api_rows(items: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Find the rows of a recently-played response that the API has reported before.

    Args:
        items: ``track_id``, ``played_at`` (UTC ms), without repeats.
        known: Rows that the API has reported: ``track_id``, ``api_played_at``.

    Returns:
        ``left`` (position in `items`), ``right`` (position in `known`).
    """
    pairs = _candidates(items, ("played_at",), known, ("api_played_at",), API_TOLERANCE_MS, on="track_id")
    return one_to_one(pairs, "distance_ms", "played_at", "api_played_at")


def match_export_rows(rows: pl.DataFrame, api_rows: pl.DataFrame) -> pl.DataFrame:
    """Find the rows of an export that the API has reported, too; some clients report the start of a play.

    Args:
        rows: ``track_id``, ``played_at`` (laid out), ``ms_played``, ``import_key``.
        api_rows: ``track_id``, ``api_played_at``.

    Returns:
        ``left`` (position in `rows`), ``right`` (position in `api_rows`).
    """
    pairs = _candidates(
        rows.with_columns(started_at=_started_at("played_at", "ms_played")),
        ("played_at", "started_at"),
        api_rows,
        ("api_played_at",),
        EXPORT_TOLERANCE_MS,
        on="track_id",
    ).with_columns(to_end_ms=_apart_ms("played_at", "api_played_at"))
    # Ends first: a row that ends exactly when an API play does must get that play, or both would end there.
    return one_to_one(pairs, "distance_ms", "to_end_ms", "import_key", "api_played_at")


def match_named_rows(rows: pl.DataFrame, plays: pl.DataFrame, *, precision_ms: int) -> pl.DataFrame:
    """Find the rows with only names and a rough instant whose play a better source has reported.

    Args:
        rows: The columns of `name_keys.COMPARED`, ``track_ids`` (Spotify's ids, one of which is the track's),
            ``ms_played`` (null if unknown), ``import_ts``, ``import_key``.
        plays: The columns of `name_keys.COMPARED`, ``track_ids``, ``ms_played`` (null if unknown), ``told_by``
            (distinguishes plays with the same name and end), and the instants that ``import_ts`` may mean: ``ended_at``
            and ``started_at``. A row that began at ``reported_at`` is the same play, too. An instant is null where it
            cannot be meant.
        precision_ms: The length of the interval that begins at ``import_ts`` and contains the exact instant.

    Returns:
        ``left`` (position in `rows`), ``right`` (position in `plays`).
    """
    rows = rows.with_columns(began_at=_started_at("import_ts", "ms_played"))
    ends, starts = ("ended_at", "started_at", "reported_at"), ("import_ts", "began_at")
    rows, plays = (side.with_columns(key=_KEYS) for side in (rows, plays))
    pairs = _candidates(rows, starts, plays, ends, EXPORT_TOLERANCE_MS + precision_ms, on="key")
    distances = [
        _outside_ms("ended_at", "import_ts", precision_ms),
        _outside_ms("started_at", "import_ts", precision_ms),
        _outside_ms("reported_at", "began_at", precision_ms),
    ]
    same_length = (pl.col("ms_played") == pl.col("ms_played_right")).fill_null(value=True)
    lengths_known = pl.col("ms_played").is_not_null() & pl.col("ms_played_right").is_not_null()
    tolerance_ms = pl.when((pl.col("unlike") == OTHER_EDITION) & ~lengths_known).then(API_TOLERANCE_MS)
    near = pairs.with_columns(distance_ms=pl.min_horizontal(*distances), unlike=_UNLIKE).filter(
        same_length,
        _SAME_ARTIST | (pl.col("unlike") <= SAME_NAMES),
        pl.col("distance_ms") <= tolerance_ms.otherwise(EXPORT_TOLERANCE_MS),
    )
    # Tracks with similar names are kept apart by the names where these differ.
    return one_to_one(near, "unlike", "distance_ms", "import_key", "ended_at", "told_by")


SAME_ID, SAME_NAMES, SPELT_OTHERWISE, OTHER_EDITION = range(4)
"""How a row and a play agree about the track, from the best agreement to the worst."""
_KEYS = pl.concat_list("titles", "bare_title", "track_ids").list.drop_nulls().list.unique(maintain_order=True)
_UNLIKE = (
    pl.when(pl.col("track_ids").list.set_intersection("track_ids_right").list.len() > 0)
    .then(SAME_ID)
    .when(pl.col("identity") == pl.col("identity_right"))
    .then(SAME_NAMES)
    .when(pl.col("titles").list.set_intersection("titles_right").list.len() > 0)
    .then(SPELT_OTHERWISE)
    .otherwise(OTHER_EDITION)
)
_SAME_ARTIST = (
    (pl.col("artist") == pl.col("artist_right"))
    | (pl.col("artist_words").list.set_difference("artist_words_right").list.len() == 0)
    | (pl.col("artist_words_right").list.set_difference("artist_words").list.len() == 0)
)
"""The artists are spelt alike, or one side credits guests that the other leaves out."""


def one_to_one(pairs: pl.DataFrame, *order: str) -> pl.DataFrame:
    """Choose among candidate pairs: each side at most once, the first in `order` first.

    Args:
        pairs: ``left``, ``right`` and the columns of `order`.
        *order: Columns that give the pairs a total order.
    """
    left = pairs.sort(order).with_row_index("rank").select("left", "right", "rank")
    chosen = [left.clear()]
    while left.height:
        first = [pl.col("rank") == pl.col("rank").min().over(side) for side in ("left", "right")]
        best = left.filter(first)
        chosen.append(best)
        left = left.join(best, on="left", how="anti").join(best, on="right", how="anti")
    return pl.concat(chosen).select("left", "right")


def _candidates(
    left: pl.DataFrame,
    left_instants: Sequence[str],
    right: pl.DataFrame,
    right_instants: Sequence[str],
    tolerance_ms: int,
    *,
    on: str,
) -> pl.DataFrame:
    """Pairs with equal `on` and instants within the tolerance of each other, with the least distance of these.

    Lists are equal if they have an element in common. Instants are put into slots as long as the tolerance, so that
    only neighbouring slots are compared, however often a track was played.
    """
    left, right = left.with_row_index("left"), right.with_row_index("right")
    by_key, others_by_key = ((side.explode(on) if side[on].dtype == pl.List else side) for side in (left, right))
    lefts = _slots(by_key.join(others_by_key, on=on, how="semi"), "left", left_instants, tolerance_ms, on, (-1, 0, 1))
    rights = _slots(others_by_key, "right", right_instants, tolerance_ms, on, (0,))
    pairs = lefts.join(rights, on=[on, "slot"]).select("left", "right").unique()
    distances = [_apart_ms(one, other) for one in left_instants for other in right_instants]
    return (
        pairs.join(left, on="left")
        .join(right, on="right")
        .with_columns(distance_ms=pl.min_horizontal(*distances))
        .filter(pl.col("distance_ms") <= tolerance_ms)
    )


def _slots(
    rows: pl.DataFrame, number: str, instants: Sequence[str], tolerance_ms: int, on: str, around: Sequence[int]
) -> pl.DataFrame:
    slots = [pl.col(instant).dt.epoch("ms") // tolerance_ms + neighbour for instant in instants for neighbour in around]
    return rows.select(number, on, slot=pl.concat_list(*slots)).explode("slot").drop_nulls("slot")


def _started_at(end: str, lasted_ms: str) -> pl.Expr:
    return (pl.col(end) - pl.duration(milliseconds=pl.col(lasted_ms))).cast(UTC_MS)


def _apart_ms(one: str, other: str) -> pl.Expr:
    return (pl.col(one) - pl.col(other)).dt.total_milliseconds().abs()


def _outside_ms(instant: str, start: str, precision_ms: int) -> pl.Expr:
    """How far an instant lies outside the interval of `precision_ms` that begins at `start`; 0 inside."""
    after = (pl.col(instant) - pl.col(start)).dt.total_milliseconds()
    return pl.when(after.is_not_null()).then(pl.max_horizontal(-after, after - precision_ms, 0))
