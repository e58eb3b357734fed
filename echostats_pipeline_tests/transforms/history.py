"""A listening history in memory: applies `PlayChanges` as the database would, unique indexes included."""

from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

import polars as pl

from echostats_pipeline.model.plays import RecentlyPlayedItem
from echostats_pipeline.transforms.changes import STORED_SCHEMA, PlayChanges, merge_export, merge_recently_played

Document = dict[str, Any]


class TwoPlaysInOnePlaceError(AssertionError):
    """A unique index of ``listening_history`` would have refused this write."""


class History:
    """Stored plays by id."""

    def __init__(self) -> None:
        self.plays: dict[str, Document] = {}

    def stored(self) -> pl.DataFrame:
        rows = [
            {
                "id": play_id,
                "track_id": play["track"]["spotify_id"],
                **{name: play.get(name) for name in STORED_SCHEMA if name not in ("id", "track_id", "offline_at")},
                "offline_at": (play.get("playback") or {}).get("offline_at"),
            }
            for play_id, play in self.plays.items()
        ]
        return pl.DataFrame(rows, schema=STORED_SCHEMA)

    def apply(self, changes: PlayChanges) -> None:
        """Updates first and one by one, then inserts: no two plays may be equal even on the way."""
        for play_id, fields in changes.updates:
            for name, value in fields.items():
                play, field = self.plays[play_id], name
                if name.startswith("track."):
                    play, field = play["track"], name.removeprefix("track.")
                play[field] = deepcopy(value)
            self._check()
        for play in changes.inserts:
            self.plays[f"{len(self.plays):024x}"] = deepcopy(play)
        self._check()

    def page(self, items: Sequence[RecentlyPlayedItem]) -> PlayChanges:
        """Merge an answer of recently-played."""
        changes = merge_recently_played(items, self.stored(), "u")
        self.apply(changes)
        return changes

    def export(self, rows: pl.DataFrame) -> PlayChanges:
        """Merge the rows of an export file."""
        changes = merge_export(rows, self.stored(), "u")
        self.apply(changes)
        return changes

    def documents(self) -> list[Document]:
        """All plays without their ids, in a total order."""
        return sorted(self.plays.values(), key=lambda play: (play["played_at"], play["track"]["spotify_id"]))

    def ends(self) -> list[tuple[str, datetime]]:
        return [(play["track"]["spotify_id"], play["played_at"]) for play in self.documents()]

    def _check(self) -> None:
        places = [(play["track"]["spotify_id"], play["played_at"]) for play in self.plays.values()]
        keys = [play["import_key"] for play in self.plays.values() if play.get("import_key")]
        for values in (places, keys):
            if len(set(values)) != len(values):
                raise TwoPlaysInOnePlaceError(str(sorted(value for value in values if values.count(value) > 1)))
