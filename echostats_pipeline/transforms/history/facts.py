"""What sources tell of plays, and what follows from it: the words of merging.

A *fact* is what one source told of one play: a row of the extended history, a row of recently-played, or a row of a
source that knows names and a rough instant only. A stored play holds one fact or several.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from echostats_pipeline.transforms.statistics.plays import UTC_MS

SETTLED_BEYOND = timedelta(days=2)
"""New facts change nothing further away in time than this: no play lasts longer than a day."""
READ_AROUND = 2 * SETTLED_BEYOND
"""How far around new facts the stored plays must be known to decide about those within `SETTLED_BEYOND`."""

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
"""A stored play as far as merging has to know it; ``id`` is the hex of ``_id``.

The names are null unless `named_facts` says that they matter.
"""


API_STAMP = pl.coalesce("api_played_at", pl.when(pl.col("import_key").is_null()).then("played_at"))
"""When the API reported a stored play; one that only it told of has no stamp but its end; null if it did not."""


class Source(NamedTuple):
    """Where a fact is: in a stored play (its id), or in a row of what is being merged (its number)."""

    play: str | None
    row: int | None


class NamedFact(NamedTuple):
    """A fact of `NAMED_KINDS`; its key holds all that identifies it."""

    key: str
    source: Source


@dataclass(frozen=True)
class Composition:
    """A play, told by at least one fact.

    Attributes:
        play: Id of the stored play that becomes it; None for a new document.
        track_id: Spotify's id of the track, or one made of names.
        export: The row of the extended history.
        api: The row of recently-played.
        named: The rows that know names only, the most precise first.
        played_at: Its end.
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
        """Where its facts are, the best one first."""
        found = (self.export, self.api, *(fact.source for fact in self.named))
        return [source for source in found if source is not None]

    @property
    def stored(self) -> set[str]:
        """Ids of the stored plays that hold its facts."""
        return {source.play for source in self.sources if source.play is not None}


@dataclass(frozen=True)
class Reconciliation:
    """What differs from what is stored.

    Attributes:
        inserts: New rows of an export that nothing else tells of: ``row``, ``track_id``, ``played_at``,
            ``played_at_estimated``.
        changed: All other plays that are new or differ.
        vanished: Ids of stored plays whose facts have all gone to others.
    """

    inserts: pl.DataFrame
    changed: list[Composition]
    vanished: list[str]

    @property
    def stored(self) -> set[str]:
        """Ids of the stored plays whose content is needed to write this."""
        return set[str]().union(*(composition.stored for composition in self.changed))
