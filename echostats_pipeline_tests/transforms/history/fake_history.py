"""A fake listening history in memory: applies `PlayChanges` like the database, including its unique indexes."""

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

import polars as pl

from echostats_pipeline.model.plays import RecentlyPlayedItem
from echostats_pipeline.transforms.history.changes import merge_export, merge_recently_played
from echostats_pipeline.transforms.history.facts import STORED_SCHEMA
from echostats_pipeline.transforms.history.play_changes import KnownTrack, PlayChanges, Rewrite
from echostats_pipeline.transforms.history.repeats import DETAILS

Document = dict[str, Any]


class TwoPlaysInOnePlaceError(AssertionError):
    """A unique index of ``listening_history`` would have refused this write."""


@dataclass
class Memory:
    """The reads of the database, from memory."""

    stored: Mapping[str, Document]
    catalogue: Mapping[str, KnownTrack]

    def plays(self, ids: Collection[str]) -> dict[str, Document]:
        return {play: self.stored[play] for play in ids}

    def tracks(self, ids: Collection[str]) -> dict[str, KnownTrack]:
        return {track: known for track, known in self.catalogue.items() if track in ids}

    def resolved(self, _: Collection[str]) -> dict[str, str]:
        return {}

    def recordings(self, _: Collection[str]) -> dict[str, list[str]]:
        return {}


class History:
    """Stored plays by id."""

    def __init__(self) -> None:
        self.plays: dict[str, Document] = {}
        self.numbers = count()
        self.catalogue: dict[str, KnownTrack] = {}

    def stored(self) -> pl.DataFrame:
        rows = [
            {
                **{name: play.get(name) for name in STORED_SCHEMA},
                "id": play_id,
                "track_id": play["track"]["spotify_id"],
                "track_name": play["track"]["name"],
                "artist_name": play["track"]["artist_name"],
                "duration_ms": play["track"]["duration_ms"],
                **{name: (play.get("playback") or {}).get(name) for name in ("offline_at", *DETAILS)},
            }
            for play_id, play in self.plays.items()
        ]
        return pl.DataFrame(rows, schema=STORED_SCHEMA)

    def apply(self, changes: PlayChanges) -> None:
        """Apply all changes at once. How a database avoids two equal plays meanwhile is not part of this fake."""
        new = [Rewrite(None, play) for play in [*changes.inserts, *changes.plain]]
        for play_id, play in [*changes.rewrites, *new]:
            self.plays[play_id or f"{next(self.numbers):024x}"] = deepcopy(play)
        for play_id in changes.deletes:
            del self.plays[play_id]
        self._check()

    def page(self, items: Sequence[RecentlyPlayedItem]) -> PlayChanges:
        """Merge a response of recently-played."""
        for track in (item.track for item in items):
            self.catalogue[track.spotify_id] = KnownTrack(track.name, track.artist_name, track.album_name, "", 0)
        changes = merge_recently_played(items, self.stored(), "u", Memory(self.plays, self.catalogue))
        self.apply(changes)
        return changes

    def export(self, rows: pl.DataFrame) -> PlayChanges:
        """Merge the rows of an export file."""
        changes = merge_export(rows, self.stored(), "u", Memory(self.plays, self.catalogue))
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
