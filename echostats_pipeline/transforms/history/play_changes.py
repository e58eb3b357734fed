"""What a merge changes: new plays, changed plays and removed plays."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl

from echostats_pipeline.model.operations import RowOutcome
from echostats_pipeline.transforms.history.named_rows import kind_of_key
from echostats_pipeline.transforms.statistics.plays import UTC_MS

Document = dict[str, Any]

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
TRACK_COLUMNS = ("track_id", "track_name", "artist_name", "album_name", "duration_ms")


class KnownTrack(NamedTuple):
    """What the catalogue knows of a track."""

    name: str
    artist_name: str
    album_name: str
    album_image_url: str
    duration_ms: int


UNKNOWN = KnownTrack("", "", "", "", 0)


class Rewrite(NamedTuple):
    """New content of a stored play, or of a new play (`play` is None) that takes over facts of stored ones."""

    play: str | None
    document: Document


@dataclass(frozen=True)
class PlainPlays:
    """Plays that a single row of an export reports and nothing else: nearly all plays of a first import.

    They are turned into documents one by one while earlier ones are being sent to the database.

    Attributes:
        rows: Frame of `importers.rows.EXPORT_SCHEMA`, with the ``track_id``, ``played_at`` and ``played_at_estimated``
            of the plays.
        user_id: Owner of the plays.
        known: What the catalogue knows, by track id.
    """

    rows: pl.DataFrame = field(default_factory=pl.DataFrame)
    user_id: str = ""
    known: Mapping[str, KnownTrack] = field(default_factory=dict)

    def __len__(self) -> int:
        """The number of plays."""
        return self.rows.height

    def tracks(self) -> Iterator[Document]:
        """The tracks of the plays, each once, as plays embed them."""
        if self.rows.height:
            for names in self.rows.unique("track_id", maintain_order=True).select(TRACK_COLUMNS).iter_rows():
                yield self._track(*names)

    def __iter__(self) -> Iterator[Document]:
        """New documents of ``listening_history``."""
        if self.rows.is_empty():
            return
        kind = kind_of_key(self.rows["import_key"][0])
        rest: Callable[[Any], Document] = (lambda playback: {"playback": playback}) if kind is None else lambda _: {}
        precision = {"played_at_precision": "minute"} if kind == "basic" else {}
        fields = ("played_at", "ms_played", "import_key", "import_ts", "played_at_estimated")
        columns = (*TRACK_COLUMNS, *fields, "video", pl.struct(PLAYBACK))
        for track_id, name, artist, album, duration_ms, *values in self.rows.select(columns).iter_rows():
            played_at, ms_played, import_key, import_ts, estimated, video, playback = values
            if video:
                playback["video"] = True
            yield {
                "user_id": self.user_id,
                "track": self._track(track_id, name, artist, album, duration_ms),
                "played_at": played_at,
                "ms_played": ms_played,
                "source": "import",
                "context_type": "",
                "context_uri": "",
                "played_at_estimated": estimated,
                "import_key": import_key,
                "import_ts": import_ts,
                **precision,
                **rest(playback),
            }

    def _track(self, track_id: str, name: str, artist: str, album: str, duration_ms: int | None) -> Document:
        known = self.known.get(track_id, UNKNOWN)
        return {
            "spotify_id": track_id,
            "name": name or known.name,
            "artist_name": artist or known.artist_name,
            "album_name": album or known.album_name,
            "album_image_url": known.album_image_url,
            "duration_ms": known.duration_ms or duration_ms or 0,
        }


@dataclass
class PlayChanges:
    """What a merge has to write. `rewrites` and `deletes` must be written together, because facts move between plays.

    Attributes:
        rewrites: Plays that change.
        deletes: Stored plays that have lost all of their facts to other plays.
        plain: New plays that a single row reports.
        inserts: Other new documents of ``listening_history`` that take over nothing from stored plays.
        touched: Ends of plays that disappear, change in a field that statistics use, or have several facts.
        inserted_at: The ends of all other new plays, UTC.
        left: Ids of tracks that plays no longer have, because a better id is known.
        outcomes: The number of reported rows by outcome.
    """

    rewrites: list[Rewrite] = field(default_factory=list)
    deletes: list[str] = field(default_factory=list)
    plain: PlainPlays = field(default_factory=PlainPlays)
    inserts: list[Document] = field(default_factory=list)
    touched: set[datetime] = field(default_factory=set)
    inserted_at: pl.Series = field(default_factory=lambda: pl.Series(dtype=UTC_MS))
    left: set[str] = field(default_factory=set)
    outcomes: Counter[RowOutcome] = field(default_factory=Counter)

    @property
    def ends(self) -> pl.Series:
        """Ends of all plays that appear, disappear, or change in a field that statistics use, UTC."""
        return pl.concat([pl.Series(sorted(self.touched), dtype=UTC_MS), self.inserted_at])

    def tracks(self) -> dict[str, Document]:
        """The tracks of new and changed plays by id, as plays embed them."""
        composed = [*self.inserts, *(rewrite.document for rewrite in self.rewrites)]
        tracks = [*self.plain.tracks(), *(play["track"] for play in composed)]
        return {track["spotify_id"]: track for track in tracks}

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.plain or self.rewrites or self.deletes or self.inserts)
