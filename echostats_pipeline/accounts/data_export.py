"""Exports a user's data to files: each collection as JSON Lines, and the plays also as a Parquet table."""

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
"""Version of the layout of an export; it changes when readers of the previous layout may fail."""
HISTORY, TABLE, MANIFEST, NOTE = "listening_history", "plays.parquet", "manifest.json", "README.txt"
"""Name of the collection of plays, and names of the files beside the collections."""
ROWS_AT_ONCE = 20_000
"""Number of plays that are held in memory at a time."""
PROGRESS_EVERY = 500
"""Number of documents between two progress reports."""
NOTE_TEXT = """\
All data that {made_by} stored about {whose} on {at}.

{files}

The .jsonl files hold one document per line, as stored in MongoDB, in plain JSON (UTF-8). Instants are ISO 8601 in UTC,
ids of MongoDB are their hexadecimal digits, and numbers that JSON cannot express are null. Tokens are never exported.
{plays}

To read them:  {reading}
"""
PLAYS_TEXT = """\
The original data is in listening_history.jsonl; all statistics can be computed from it. The same {rows:,} plays are the
rows of plays.parquet, in the order in which they were played; there, a value that does not fit the type of its column
is null. All statistics are based on the {counted:,} plays with `counts`: plays of {seconds:g} s or more, and plays of
unknown length. Listening time is the sum of `listened_ms` over all rows: {hours:,.1f} hours. Days (`local_date`) begin
at midnight in {zone}. The columns, without those that have no value in any row:

{columns}"""
NO_PLAYS_TEXT = "There are no plays: plays.parquet has columns, but no rows."
READING = {
    f"{HISTORY}.jsonl": f"jq -s length {HISTORY}.jsonl",
    TABLE: f'polars.read_parquet("{TABLE}")',
    "daily_rollups.jsonl": 'pandas.read_json("daily_rollups.jsonl", lines=True)',
}
"""Command that reads a file, by name of the file."""
IDS = dict.fromkeys(("track_spotify_id", "artist_id", "album_id"), pl.String())
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class ExportedFile:
    """A file of an export: its name, its number of documents or rows, and its size in bytes."""

    name: str
    documents: int
    size: int


def export_user(
    store: Store, user: User, target: Path, *, progress: Progress, at: datetime, min_play_ms: int
) -> list[ExportedFile]:
    """Write all data of a user to a new folder, which appears only when it is complete.

    At most `ROWS_AT_ONCE` plays are held in memory, for a history of any length. If documents change meanwhile, each
    one is exported as it was when it was read.

    Args:
        store: The database; it is only read.
        user: The user whose data is exported.
        target: Path of the folder; it must not exist, or be an empty folder.
        progress: Receives the number of documents.
        at: The present instant.
        min_play_ms: Plays known to be shorter do not count.

    Returns:
        The files with data, in the order of the collections; the table of plays is last.

    Raises:
        StorageError: the folder exists or cannot be written; no part of the export is left behind.
    """
    with new_folder(target) as folder:
        caches = {name for name, each in declared(store.databases).items() if each.is_cache or not each.is_exported}
        counts = {name: count for name, count in store.owned.counts(user).items() if name not in caches}
        progress.expect(sum(counts.values()))
        table = _PlayTable(folder / ".parts", store, user, min_play_ms)
        files = [_write_collection(store, user, name, folder, table, progress) for name in counts]
        files.append(table.write(folder / TABLE))
        for name, text in ((MANIFEST, _manifest(store, user, files, at)), (NOTE, _note(user, files, table, at))):
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
            if count % PROGRESS_EVERY == 0:
                progress.advance(PROGRESS_EVERY)
    progress.advance(count % PROGRESS_EVERY)
    return ExportedFile(path.name, count, path.stat().st_size)


@dataclass
class _PlayTable:
    """Collects plays for one Parquet file: writes parts to the disk, which polars then streams into one file.

    Attributes:
        folder: Folder of the parts.
        store: The database, whose catalogue holds the tracks.
        user: The user whose plays they are.
        min_play_ms: Plays known to be shorter do not count.
        filled: Names of the columns with at least one value.
        counted: Number of plays that count.
        listened_ms: Listening time of all plays.
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
        """Add a stored play."""
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
        """Write all added plays, in their order; without any, a table without rows."""
        if self._held or not self._parts:
            self._keep()
        with new_file(path), _disk_errors():
            pl.scan_parquet(self._parts).sink_parquet(path, maintain_order=True, sync_on_close="all")
        shutil.rmtree(self.folder)
        return ExportedFile(path.name, self.rows, path.stat().st_size)


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Turn errors of polars, such as a full disk, into `OSError`."""
    try:
        yield
    except PolarsError as error:
        raise OSError(str(error)) from error


def _manifest(store: Store, user: User, files: list[ExportedFile], at: datetime) -> str:
    """Return the contents of the export as JSON, for programs."""
    left_out = {name: list(each.secrets) for name, each in declared(store.databases).items() if each.secrets}
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
    """Return the contents of the export as text, for people."""
    width = max(len(each.name) for each in files)
    lines = [f"  {each.name:<{width}}  {each.documents:>9,}  {_description(table.store, each.name)}" for each in files]
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


def _description(store: Store, file_name: str) -> str:
    """Return what the documents of a file are: the first line of the model's docstring."""
    collection = declared(store.databases).get(file_name.removesuffix(".jsonl"))
    if collection is None:
        return "A flat table with one row per play."
    return (inspect.getdoc(collection.document) or "").splitlines()[0].replace("``", "")
