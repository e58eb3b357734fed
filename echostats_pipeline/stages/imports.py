"""From export files into the listening history."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from echostats_pipeline.exports.extended import read_extended
from echostats_pipeline.exports.files import ExportFile, find_export_files
from echostats_pipeline.exports.rows import ExportRows
from echostats_pipeline.model.catalog import AlbumRef, ArtistRef, Track
from echostats_pipeline.model.operations import FileImport, ImportReject
from echostats_pipeline.model.users import User
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.ingestion import write_changes
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.changes import PlayChanges, merge_export
from echostats_pipeline.transforms.days import LOOK_BACK

Clock = Callable[[], datetime]


def import_export(
    store: Store, user: User, path: Path, *, progress: Progress, clock: Clock, dagster_run_id: str = ""
) -> list[FileImport]:
    """Import every extended-history file at `path` for one user.

    Doing it again changes nothing. A file that cannot be read ends the import; the files before it stay imported.

    `path` is a ``.json`` file, a folder, or the zip from Spotify.

    Returns:
        What became of the rows of each file, in the order of their names.

    Raises:
        ExportError: there is nothing to import, or a file cannot be read to its end.
    """
    files = find_export_files(path)
    return [_import_file(store, user, file, progress, clock, dagster_run_id) for file in files]


def _import_file(
    store: Store, user: User, file: ExportFile, progress: Progress, clock: Clock, dagster_run_id: str
) -> FileImport:
    record = FileImport(
        user_id=user.user_id,
        file_name=file.name,
        format="extended",
        started_at=clock(),
        dagster_run_id=dagster_run_id,
    )
    import_id = store.imports.begin(record)
    try:
        outcome = _imported(store, user, file, progress, clock)
    except BaseException as error:
        failed = {"status": "failed", "completed_at": clock(), "error_message": f"{type(error).__name__}: {error}"}
        store.imports.update(import_id, **failed)
        raise
    finished = {"status": "completed", "completed_at": clock(), **outcome}
    store.imports.update(import_id, **finished)
    return record.model_copy(update=finished)


def _imported(store: Store, user: User, file: ExportFile, progress: Progress, clock: Clock) -> dict[str, Any]:
    """Read and merge one file; returns the fields of `FileImport` that tell its outcome."""
    export = read_extended(file.name, file.read())
    progress.expect(export.rows)
    changes = _merge(store, user, export.plays, clock)
    store.imports.keep_rejects(
        [
            ImportReject(
                user_id=user.user_id,
                file_name=file.name,
                row_number=reject.row_number,
                reason=reject.reason,
                row=reject.row,
                rejected_at=clock(),
            )
            for reject in export.rejects
        ]
    )
    outcome = _outcome(export, changes)
    if outcome["first_played_at"] is not None:
        store.plays.close_gaps(user.user_id, outcome["first_played_at"], outcome["last_played_at"], file.name)
    progress.advance(export.rows)
    return outcome


def _merge(store: Store, user: User, rows: pl.DataFrame, clock: Clock) -> PlayChanges:
    if rows.is_empty():
        return PlayChanges()
    first, last = _span(rows)
    stored = store.plays.stored(user.user_id, first - LOOK_BACK, last + LOOK_BACK)
    changes = merge_export(rows, stored, user.user_id)
    write_changes(store, user, changes)
    store.catalog.add_stubs("tracks", track_stubs(changes.inserts, clock()))
    return changes


def _outcome(export: ExportRows, changes: PlayChanges) -> dict[str, Any]:
    first, last = _span(export.plays) if export.plays.height else (None, None)
    return {
        "rows": export.rows,
        "inserted": changes.outcomes["inserted"],
        "merged": changes.outcomes["merged"],
        "duplicate": changes.outcomes["duplicate"],
        "not_music": export.not_music,
        "rejected": len(export.rejects),
        "first_played_at": first,
        "last_played_at": last,
    }


def _span(rows: pl.DataFrame) -> tuple[datetime, datetime]:
    first, last = rows.select(first=pl.col("import_ts").min(), last=pl.col("import_ts").max()).row(0)
    return first, last


def track_stubs(plays: list[dict[str, Any]], now: datetime) -> list[Track]:
    """Catalogue entries for tracks of which only an export row's names are known, so that statistics have names."""
    tracks = {play["track"]["spotify_id"]: play["track"] for play in plays}
    return [
        Track(
            spotify_id=spotify_id,
            name=track["name"],
            artists=[ArtistRef(spotify_id="", name=track["artist_name"])] if track["artist_name"] else [],
            album=AlbumRef(spotify_id="", name=track["album_name"]) if track["album_name"] else None,
            fetched_at=now,
            updated_at=now,
        )
        for spotify_id, track in tracks.items()
    ]
