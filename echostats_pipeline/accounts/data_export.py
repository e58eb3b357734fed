"""Everything that is a user's own, as files: JSON Lines of each collection, and their plays as a table besides."""

import inspect
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from echostats_pipeline import __version__
from echostats_pipeline.accounts.json_lines import iso, json_line
from echostats_pipeline.accounts.private_files import new_file, new_folder
from echostats_pipeline.model.collections import declared
from echostats_pipeline.model.users import User
from echostats_pipeline.stages import Progress
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.plays_table import DERIVED_COLUMNS, PLAY_COLUMNS, flat_plays, with_derived

FORMAT_VERSION = 1
"""Of the layout of an export: another one means that a reader of the former may stumble."""
HISTORY, TABLE, MANIFEST, NOTE = "listening_history", "plays.parquet", "manifest.json", "README.txt"
ROWS_AT_ONCE = 20_000
"""Plays that are held in memory at a time."""
TOLD_EVERY = 500
NOTE_TEXT = """\
Everything that {made_by} kept of {whose} on {at}.

{files}

The .jsonl files hold one document a line, as MongoDB has it, in plain JSON (UTF-8). Instants are ISO 8601 in UTC, ids
of MongoDB their hexadecimal digits, numbers that JSON has no word for are null. Tokens are never exported.
{plays}

To read them:  {reading}
"""
PLAYS_TEXT = """\
What cannot be computed anew is in listening_history.jsonl. The same {rows:,} plays are rows of plays.parquet, as they
were played; a value of another type than its column's is null there. The {counted:,} with `counts` are the plays of all
statistics: those of {seconds:g} s and more, and those of which nobody knows how long they lasted. Listening time is
that of all rows: the {hours:,.1f} hours of `listened_ms`. Days begin in {zone} (`local_date`). Its columns, but for
those without any value:

{columns}"""
NO_PLAYS_TEXT = "There are no plays: plays.parquet has its columns and no rows."
READING = {
    f"{HISTORY}.jsonl": f"jq -s length {HISTORY}.jsonl",
    TABLE: f'polars.read_parquet("{TABLE}")',
    "daily_rollups.jsonl": 'pandas.read_json("daily_rollups.jsonl", lines=True)',
}
"""How to read a file, by its name."""
IDS = dict.fromkeys(("track_spotify_id", "artist_id", "album_id"), pl.String())
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class ExportedFile:
    """A file of an export: its name, how many documents or rows it holds, and in how many bytes."""

    name: str
    documents: int
    size: int


def export_user(
    store: Store, user: User, target: Path, *, progress: Progress, at: datetime, min_play_ms: int
) -> list[ExportedFile]:
    """Write everything that is a user's own to a new folder, which is there only once it is complete.

    Holds so many plays at once as `ROWS_AT_ONCE`, however long the history is. What changes meanwhile is in it as each
    document was when it was read.

    Args:
        store: The database; it is only read.
        user: Whose.
        target: The folder; nothing or an empty folder is there.
        progress: Told of documents.
        at: The present.
        min_play_ms: Plays known to be shorter do not count.

    Returns:
        The files with data, in the order of the collections, the table of plays last.

    Raises:
        StorageError: the folder is taken or cannot be written; nothing is left of it then.
    """
    with new_folder(target) as folder:
        counts = {name: count for name, count in store.owned.counts(user).items() if not declared()[name].is_cache}
        progress.expect(sum(counts.values()))
        table = _PlayTable(folder / ".parts", store, user, min_play_ms)
        files = [_write_collection(store, user, name, folder, table, progress) for name in counts]
        files.append(table.write(folder / TABLE))
        for name, text in ((MANIFEST, _manifest(user, files, at)), (NOTE, _note(user, files, table, at))):
            with new_file(folder / name) as file:
                file.write(text.encode())
    return files


def _write_collection(
    store: Store, user: User, name: str, folder: Path, table: "_PlayTable", progress: Progress
) -> ExportedFile:
    path, count = folder / f"{name}.jsonl", 0
    with new_file(path) as file:
        for count, document in enumerate(store.owned.documents(user, name), start=1):
            file.write(json_line(document))
            if name == HISTORY:
                table.add(document)
            if count % TOLD_EVERY == 0:
                progress.advance(TOLD_EVERY)
    progress.advance(count % TOLD_EVERY)
    return ExportedFile(path.name, count, path.stat().st_size)


@dataclass
class _PlayTable:
    """Plays on their way into one Parquet file: kept on the disk in parts, which polars then streams into one.

    Attributes:
        folder: Where the parts are kept.
        store: Whose catalogue knows the tracks.
        user: Whose plays they are.
        min_play_ms: Plays known to be shorter do not count.
        filled: Names of the columns in which there is any value.
        counted: How many plays count.
        listened_ms: How long all of them lasted.
    """

    folder: Path
    store: Store
    user: User
    min_play_ms: int
    rows: int = 0
    filled: set[str] = field(default_factory=set)
    counted: int = 0
    listened_ms: int = 0
    _previous: datetime | None = None
    _held: list[Document] = field(default_factory=list)
    _parts: list[Path] = field(default_factory=list)

    def add(self, play: Document) -> None:
        """Add a play as it is stored."""
        self._held.append(play)
        if len(self._held) >= ROWS_AT_ONCE:
            self._keep()

    def _keep(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._parts.append(self.folder / f"{len(self._parts):06}.parquet")
        with _disk_errors():
            self._rows_held().write_parquet(self._parts[-1], compression="lz4")
        self.rows += len(self._held)
        self._held = []

    def _rows_held(self) -> pl.DataFrame:
        plays = flat_plays(self._held)
        known = self.store.catalog.artist_and_album(plays["track_spotify_id"].drop_nulls().unique().to_list())
        rows = with_derived(
            plays,
            pl.DataFrame([(track, *ids) for track, ids in known.items()], schema=IDS, orient="row"),
            previous=self._previous,
            min_play_ms=self.min_play_ms,
            timezone=self.user.timezone,
        )
        if self._held:
            self._previous = plays["played_at"][-1]
        self.filled |= {column.name for column in rows if column.null_count() < len(column)}
        self.counted += int(rows["counts"].sum())
        self.listened_ms += int(rows["listened_ms"].sum())
        return rows

    def write(self, path: Path) -> ExportedFile:
        """Write all plays that were added, in their order; a table without rows if there were none."""
        if self._held or not self._parts:
            self._keep()
        with new_file(path), _disk_errors():
            pl.scan_parquet(self._parts).sink_parquet(path, maintain_order=True, sync_on_close="all")
        shutil.rmtree(self.folder)
        return ExportedFile(path.name, self.rows, path.stat().st_size)


@contextmanager
def _disk_errors() -> Iterator[None]:
    """What polars says of a disk that is full is an error of the disk."""
    try:
        yield
    except PolarsError as error:
        raise OSError(str(error)) from error


def _manifest(user: User, files: list[ExportedFile], at: datetime) -> str:
    """What the export holds, for programs."""
    left_out = {name: list(each.secrets) for name, each in declared().items() if each.secrets}
    content = {
        "format_version": FORMAT_VERSION,
        "made_by": f"echostats_pipeline {__version__}",
        "exported_at": iso(at),
        "user": {"user_id": user.user_id, "spotify_id": user.spotify_id, "partition_key": user.partition_key},
        "files": [{"name": each.name, "documents": each.documents, "bytes": each.size} for each in files],
        "left_out": left_out,
    }
    return f"{json.dumps(content, indent=2, ensure_ascii=False)}\n"


def _note(user: User, files: list[ExportedFile], table: _PlayTable, at: datetime) -> str:
    """What the export holds, for people."""
    width = max(len(each.name) for each in files)
    lines = [f"  {each.name:<{width}}  {each.documents:>9,}  {_told(each.name)}" for each in files]
    there = {each.name for each in files}
    filled = [column for column in (*PLAY_COLUMNS, *DERIVED_COLUMNS) if column.name in table.filled]
    names = max((len(column.name) for column in filled), default=0)
    columns = [f"  {column.name:<{names}}  {column.dtype!s:<38}  {column.meaning}" for column in filled]
    plays = PLAYS_TEXT.format(
        rows=table.rows,
        counted=table.counted,
        hours=table.listened_ms / HOUR_MS,
        zone=user.timezone,
        seconds=table.min_play_ms / 1000,
        columns="\n".join(columns),
    )
    whose = f"{user.display_name or user.spotify_id} ({user.partition_key})"
    return NOTE_TEXT.format(
        made_by=f"echostats_pipeline {__version__}",
        whose=whose,
        at=iso(at),
        files="\n".join(lines),
        plays=plays if table.rows else NO_PLAYS_TEXT,
        reading="\n".join(f"               {how}" for name, how in READING.items() if name in there).lstrip(),
    )


def _told(file_name: str) -> str:
    """What the documents of a file are, in the words of the model."""
    collection = declared().get(file_name.removesuffix(".jsonl"))
    if collection is None:
        return "One row for each play, flat."
    return (inspect.getdoc(collection.document) or "").splitlines()[0].replace("``", "")
