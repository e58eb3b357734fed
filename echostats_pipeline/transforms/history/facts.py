"""Defines the terms of merging: facts, where they are found, and the plays composed of them.

A *fact* is one source's report of one play: a row of the extended history, a row of recently-played, or a row of a
source with only names and a rough instant. A stored play holds one fact or several.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from echostats_pipeline.transforms.statistics.plays import UTC_MS

SETTLED_BEYOND = timedelta(days=2)
"""New facts change nothing further away in time than this, because no play lasts longer than a day."""
READ_AROUND = 2 * SETTLED_BEYOND
"""How far around new facts stored plays must be read, to decide about those within `SETTLED_BEYOND`."""

STORED_SCHEMA = {
    "id": pl.String(),
    "track_id": pl.String(),
    "track_name": pl.String(),
    "artist_name": pl.String(),
    "duration_ms": pl.Int64(),
    "played_at": UTC_MS,
    "ms_played": pl.Int64(),
    "api_played_at": UTC_MS,
    "import_key": pl.String(),
    "import_ts": UTC_MS,
    "offline_at": UTC_MS,
    "played_at_estimated": pl.Boolean(),
    "also_imported": pl.List(pl.String()),
    "reason_start": pl.String(),
    "reason_end": pl.String(),
    "shuffle": pl.Boolean(),
}
"""The columns of a stored play that merging needs; ``id`` is the hex of ``_id``.

The names are null unless `named_facts` finds that they matter.
"""


API_STAMP = pl.coalesce("api_played_at", pl.when(pl.col("import_key").is_null()).then("played_at"))
"""When the API reported a stored play. Its end, if only the API reported it; null if the API did not."""


class Source(NamedTuple):
    """Where a fact is: in a stored play (its id), or in a row that is being merged (its number)."""

    play: str | None
    row: int | None


class NamedFact(NamedTuple):
    """A fact of one of `NAMED_KINDS`; its key contains all that identifies it."""

    key: str
    source: Source


@dataclass(frozen=True)
class Composition:
    """A play that at least one fact reports.

    Attributes:
        play: Id of the stored play to change; None for a new document.
        track_id: Spotify's id of the track, or one made of names.
        export: The row of the extended history.
        api: The row of recently-played.
        named: The rows with names only, the most precise first.
        played_at: End of the play.
        played_at_estimated: Whether that instant was laid out.
    """

    play: str | None
    track_id: str
    export: Source | None
    api: Source | None
    named: tuple[NamedFact, ...]
    played_at: datetime
    played_at_estimated: bool

    @property
    def sources(self) -> list[Source]:
        """Where the facts of the play are, the best one first."""
        found = (self.export, self.api, *(fact.source for fact in self.named))
        return [source for source in found if source is not None]

    @property
    def stored(self) -> set[str]:
        """Ids of the stored plays that hold the facts of this play."""
        return {source.play for source in self.sources if source.play is not None}


@dataclass(frozen=True)
class Reconciliation:
    """The differences between the plays that follow from all facts and the stored plays.

    Attributes:
        inserts: New rows of an export that no other fact reports: ``row``, ``track_id``, ``played_at``,
            ``played_at_estimated``.
        changed: All other plays that are new or differ.
        vanished: Ids of stored plays that have lost all of their facts to other plays.
    """

    inserts: pl.DataFrame
    changed: list[Composition]
    vanished: list[str]

    @property
    def stored(self) -> set[str]:
        """Ids of the stored plays whose content is needed to write the changes."""
        return set[str]().union(*(composition.stored for composition in self.changed))
