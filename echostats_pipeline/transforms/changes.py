"""From reported rows and stored plays to what has to be written: spec section 5 as pure functions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from echostats_pipeline.model.operations import RowOutcome
from echostats_pipeline.model.plays import RecentlyPlayedItem
from echostats_pipeline.transforms.merging import (
    apart_from,
    lay_out,
    match_api_rows,
    match_export_rows,
    without_repeats,
)
from echostats_pipeline.transforms.plays import UTC_MS

Document = dict[str, Any]

STORED_SCHEMA = {
    "id": pl.String(),
    "track_id": pl.String(),
    "played_at": UTC_MS,
    "ms_played": pl.Int64(),
    "source": pl.String(),
    "api_played_at": UTC_MS,
    "import_key": pl.String(),
    "import_ts": UTC_MS,
    "offline_at": UTC_MS,
    "played_at_estimated": pl.Boolean(),
}
"""A stored play as far as merging has to know it; ``id`` is the hex of ``_id``."""

PLAYBACK = (
    "reason_start",
    "reason_end",
    "shuffle",
    "skipped",
    "offline",
    "offline_at",
    "incognito",
    "country",
    "platform",
)


@dataclass
class PlayChanges:
    """What a merge wants written.

    Attributes:
        inserts: New documents of ``listening_history``.
        updates: Fields to set on stored plays, by the hex of their ``_id``, in an order that never makes two plays
            equal on the way.
        touched: Every end of a play that appears, disappears, or changes what it is worth.
        outcomes: What became of the reported rows.
    """

    inserts: list[Document] = field(default_factory=list)
    updates: list[tuple[str, Document]] = field(default_factory=list)
    touched: set[datetime] = field(default_factory=set)
    outcomes: Counter[RowOutcome] = field(default_factory=Counter)


def merge_recently_played(items: Sequence[RecentlyPlayedItem], stored: pl.DataFrame, user_id: str) -> PlayChanges:
    """Merge one answer of recently-played into the history.

    Args:
        items: The whole answer; single rows would be matched to the wrong one of two plays of a short song.
        stored: Frame of `STORED_SCHEMA` that reaches a day further than `items` on both sides.
        user_id: Whose plays they are.
    """
    reported = pl.DataFrame(
        {
            "item": range(len(items)),
            "track_id": [item.track.spotify_id for item in items],
            "played_at": [item.played_at for item in items],
            "duration_ms": [item.track.duration_ms for item in items],
        },
        schema={"item": pl.UInt32, "track_id": pl.String, "played_at": UTC_MS, "duration_ms": pl.Int64},
    )
    reported = without_repeats(reported)
    matches = match_api_rows(reported, stored)
    changes = PlayChanges()
    changes.outcomes["duplicate"] += len(items) - reported.height
    known = dict(matches.select("left", "right").iter_rows())
    for position, number in enumerate(reported["item"]):
        item = items[number]
        if position not in known:
            changes.inserts.append(_api_play(item, user_id))
            changes.touched.add(item.played_at)
            changes.outcomes["inserted"] += 1
            continue
        play = stored.row(known[position], named=True)
        if play["source"] == "import" and play["api_played_at"] is None:
            changes.updates.append((play["id"], _api_facts(item)))
            changes.touched.add(play["played_at"])
            changes.outcomes["merged"] += 1
        else:
            changes.outcomes["duplicate"] += 1
    return changes


def merge_export(rows: pl.DataFrame, stored: pl.DataFrame, user_id: str) -> PlayChanges:
    """Merge rows of an export into the history.

    Rows that are stored already (by `import_key`) are duplicates. New rows are laid out together with the stored ones
    of the same ``ts``, so that it does not matter which file they came in; then they replace what the API reported.

    Args:
        rows: Frame of `exports.rows.EXPORT_SCHEMA`.
        stored: Frame of `STORED_SCHEMA` that reaches a day further than `rows` on both sides.
        user_id: Whose plays they are.
    """
    new = rows.join(stored.drop_nulls("import_key"), on="import_key", how="anti")
    changes = PlayChanges()
    changes.outcomes["duplicate"] += rows.height - new.height
    neighbours = stored.filter(pl.col("import_ts").is_in(new["import_ts"].unique().implode()))
    others = stored.filter(pl.col("source") == "import").join(neighbours, on="id", how="anti")
    new = _laid_out(new, neighbours, others, changes)
    api_plays = stored.filter(pl.col("source") == "api")
    replaced = dict(match_export_rows(new, api_plays).select("left", "right").iter_rows())
    for position, row in enumerate(new.iter_rows(named=True)):
        changes.touched.add(row["played_at"])
        if position in replaced:
            play = api_plays.row(replaced[position], named=True)
            changes.updates.append((play["id"], {**_export_facts(row), "api_played_at": play["played_at"]}))
            changes.touched.add(play["played_at"])
            changes.outcomes["merged"] += 1
        else:
            changes.inserts.append(_export_play(row, user_id))
            changes.outcomes["inserted"] += 1
    return changes


def _laid_out(new: pl.DataFrame, neighbours: pl.DataFrame, others: pl.DataFrame, changes: PlayChanges) -> pl.DataFrame:
    """Lay out new rows and stored ones of the same ``ts``; stored ones that move become updates, earliest first."""
    columns = ["import_ts", "offline_at", "import_key", "ms_played", "track_id"]
    together = apart_from(others, lay_out(pl.concat([new.select(columns), neighbours.select(columns)])))
    places = together.select("import_key", "played_at", "played_at_estimated")
    moved = neighbours.join(places, on="import_key", suffix="_new").filter(
        (pl.col("played_at") != pl.col("played_at_new"))
        | (pl.col("played_at_estimated") != pl.col("played_at_estimated_new"))
    )
    for play in moved.sort("played_at").iter_rows(named=True):
        place = {"played_at": play["played_at_new"], "played_at_estimated": play["played_at_estimated_new"]}
        changes.updates.append((play["id"], place))
        changes.touched |= {play["played_at"], play["played_at_new"]}
    return new.join(places, on="import_key", how="left").sort("played_at", "track_id", "import_key")


def _api_play(item: RecentlyPlayedItem, user_id: str) -> Document:
    return {
        "user_id": user_id,
        "track": item.track.model_dump(),
        "played_at": item.played_at,
        "ms_played": None,
        "source": "api",
        "context_type": item.context_type,
        "context_uri": item.context_uri,
        "played_at_estimated": False,
    }


def _api_facts(item: RecentlyPlayedItem) -> Document:
    """What the API knows better of a play that came from an export, which names the album's artist, not the track's."""
    known = {f"track.{name}": value for name, value in item.track.model_dump().items() if value}
    return {
        **known,
        "context_type": item.context_type,
        "context_uri": item.context_uri,
        "api_played_at": item.played_at,
    }


def _export_facts(row: Document) -> Document:
    """What an export row knows better than the API."""
    return {
        "played_at": row["played_at"],
        "ms_played": row["ms_played"],
        "source": "import",
        "import_key": row["import_key"],
        "import_ts": row["import_ts"],
        "played_at_estimated": row["played_at_estimated"],
        "playback": {name: row[name] for name in PLAYBACK},
    }


def _export_play(row: Document, user_id: str) -> Document:
    track = {
        "spotify_id": row["track_id"],
        "name": row["track_name"],
        "artist_name": row["artist_name"],
        "album_name": row["album_name"],
        "album_image_url": "",
        "duration_ms": 0,
    }
    return {"user_id": user_id, "track": track, "context_type": "", "context_uri": "", **_export_facts(row)}
