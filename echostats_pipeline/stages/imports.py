"""Imports export files into the listening history."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, NamedTuple, get_args
from zoneinfo import ZoneInfo

import polars as pl
from bson import ObjectId

from echostats_pipeline.errors import ExportError
from echostats_pipeline.importers.archives import ArchiveLimits
from echostats_pipeline.importers.chunks import LONGEST_MS
from echostats_pipeline.importers.files import find_export_files
from echostats_pipeline.importers.prefetch import Read, reading_ahead
from echostats_pipeline.importers.reading import read_export
from echostats_pipeline.importers.rows import ExportChunk, ExportFile, RejectedRow
from echostats_pipeline.model.operations import FileImport, ImportReject, RowOutcome
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.coverage import WHOLE_HISTORIES, cover_imports
from echostats_pipeline.stages.merging import Clock, RowMerger, forget_left, resolve_named_plays
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.coverage import NEIGHBOURS

DEFAULT_MIN_PLAY_MS = 30_000
ROW_COUNTS = ("rows", *get_args(RowOutcome))
"""Names of the counts of rows in `FileImport`."""
KEPT_REJECTS = 1_000
"""Most rejected rows of a file that are stored for each reason; further rows are only counted."""
MOST_REASONS, OTHER_REASONS = 50, "other reasons"
"""Most reasons of one file that are counted separately, and the name for all others.

The reasons may contain numbers, so a damaged file could produce any number of them.
"""
LARGE = 32 << 20
"""Size of exports, in bytes, from which a separate process reads them."""


class Span(NamedTuple):
    """The time that the plays of a file span."""

    first: datetime
    last: datetime
    file_name: str


@dataclass
class _Reading:
    """A file that is being imported, with the counts of its rows so far."""

    file: ExportFile
    record: FileImport
    import_id: ObjectId
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    rejected_ms: int = 0
    stamps: list[datetime] = field(default_factory=list)
    min_play_ms: int = DEFAULT_MIN_PLAY_MS

    def count(self, chunk: ExportChunk) -> list[RejectedRow]:
        """Add the counts of a chunk; return its rejected rows that are to be stored."""
        self.counts += Counter(rows=chunk.rows, not_music=chunk.not_music, rejected=len(chunk.rejects))
        kept = [reject for reject in chunk.rejects if self._count_reason(reject) <= KEPT_REJECTS]
        self.rejected_ms += sum(map(_rejected_duration, chunk.rejects))
        self.counts["short"] += int((chunk.plays["ms_played"] < self.min_play_ms).sum())
        if chunk.plays.height:
            ends = chunk.plays.select(first=pl.col("import_ts").min(), last=pl.col("import_ts").max()).row(0)
            self.stamps = [min([*self.stamps, *ends]), max([*self.stamps, *ends])]
        return kept

    def _count_reason(self, reject: RejectedRow) -> int:
        """Return how many rows have been rejected for the same reason, including this one."""
        known = reject.reason in self.reasons or len(self.reasons) < MOST_REASONS
        reason = reject.reason if known else OTHER_REASONS
        self.reasons[reason] += 1
        return self.reasons[reason]

    def outcome(self) -> dict[str, Any]:
        """Return the counts as fields of `FileImport`."""
        first, last = self.stamps or (None, None)
        return {
            **{name: self.counts[name] for name in ROW_COUNTS},
            "short": self.counts["short"],
            "reject_reasons": dict(self.reasons.most_common()),
            "rejected_ms": self.rejected_ms,
            "first_played_at": first,
            "last_played_at": last,
        }


def import_export(
    store: Store,
    user: User,
    paths: Sequence[Path],
    *,
    progress: Progress,
    clock: Clock,
    limits: ArchiveLimits | None = None,
    dagster_run_id: str = "",
    min_play_ms: int = DEFAULT_MIN_PLAY_MS,
) -> list[FileImport]:
    """Import all history files at `paths` for one user: exports of Spotify, EchoTune (CSV) and scrobbling services.

    A repeated import changes nothing. If a file cannot be read to its end, the rows before the fault are imported; its
    record in ``imports`` is ``failed`` and names the position of the fault. All other files are still imported.

    Args:
        store: The database.
        user: The user whose history it is.
        paths: Zips as Spotify sends them, folders, or single files.
        progress: Receives the number of rows; the total is an estimate until a file has been read.
        clock: Returns the present instant.
        limits: Limits on the contents of a zip.
        dagster_run_id: Id of the run that imports.
        min_play_ms: Least length of a play that counts; shorter plays are kept, and counted as short.

    Returns:
        The record of each file, with counts of its rows, in the order in which the files were read.

    Raises:
        ExportError: there is no file to import, or the files are not safe to read.
    """
    found = find_export_files(paths, limits or ArchiveLimits())
    files, merger = [], RowMerger(store, user, clock)
    with _reader(found.files, clock, ZoneInfo(user.timezone)) as read:
        for file in found.files:
            record = FileImport(
                user_id=user.user_id,
                file_name=file.name,
                format=file.format,
                started_at=clock(),
                dagster_run_id=dagster_run_id,
            )
            reading = _Reading(file, record, store.imports.begin(record), min_play_ms=min_play_ms)
            files.append(_read_to_its_end(merger, reading, _one_ahead(read(file)), progress))
    files = _close_gaps(store, user, files, clock())
    files += [_refused(store, user, reason, clock(), dagster_run_id) for reason in found.refused]
    forget_left(store, merger.left | resolve_named_plays(store, user))
    return files


def _refused(store: Store, user: User, reason: str, now: datetime, dagster_run_id: str) -> FileImport:
    """Store and return the record of a file that could not be opened."""
    record = FileImport(
        user_id=user.user_id,
        file_name=reason.split(" ", 1)[0],
        format="",
        status="failed",
        started_at=now,
        completed_at=now,
        error_message=reason,
        dagster_run_id=dagster_run_id,
    )
    return record.model_copy(update={"id": store.imports.begin(record)})


def import_limits(settings: Settings) -> ArchiveLimits:
    """Return the limits on the contents of a zip in the settings."""
    return ArchiveLimits(total_bytes=settings.import_max_gib << 30, ratio=settings.import_max_ratio)


def check_whole(files: Sequence[FileImport]) -> None:
    """Check that every file was read to its end.

    Raises:
        ExportError: a file was not; the rows before the fault are imported.
    """
    broken = [file.error_message for file in files if file.status == "failed"]
    if broken:
        raise ExportError(f"{len(broken)} of {len(files)} files could not be read to the end. {' '.join(broken)}")


@contextmanager
def _reader(files: Sequence[ExportFile], clock: Clock, zone: tzinfo) -> Iterator[Read]:
    """Provide the function that reads a file; for large exports, a separate process does the reading."""
    if sum(file.size for file in files) < LARGE:
        yield lambda file: read_export(file, clock(), zone=zone)
    else:
        with reading_ahead(files, clock(), zone) as read:
            yield read


def _read_to_its_end(
    merger: RowMerger, reading: _Reading, chunks: Iterator[ExportChunk], progress: Progress
) -> FileImport:
    def ended(status: str, error: str = "") -> FileImport:
        fields = {"status": status, "completed_at": merger.clock(), "error_message": error, **reading.outcome()}
        merger.store.imports.update(reading.import_id, **fields)
        return reading.record.model_copy(update={"id": reading.import_id, **fields})

    try:
        _merge_chunks(merger, reading, chunks, progress)
    except ExportError as error:
        return ended("failed", str(error))
    except BaseException as error:
        ended("failed", f"{type(error).__name__}: {error}")
        raise
    return ended("completed")


def _merge_chunks(merger: RowMerger, reading: _Reading, chunks: Iterator[ExportChunk], progress: Progress) -> None:
    imports = merger.store.imports
    expected = 0
    for chunk in chunks:
        kept = reading.count(chunk)
        # Estimate: the other rows of the file are about as long as those read so far.
        estimate = round(reading.counts["rows"] * max(1.0, reading.file.size / max(chunk.bytes_read, 1)))
        progress.expect(estimate - expected)
        expected = estimate
        for changes in merger.merge(chunk.plays):
            reading.counts.update(changes.outcomes)
        imports.keep_rejects(_rejects(reading.record, kept, merger.clock()))
        imports.update(reading.import_id, **reading.outcome())
        progress.advance(chunk.rows)
    progress.expect(reading.counts["rows"] - expected)


def _one_ahead(chunks: Iterator[ExportChunk]) -> Iterator[ExportChunk]:
    """Yield the same chunks; the next chunk is read while the caller works on the present one."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, chunks, None)
            yield chunk


def _rejects(record: FileImport, rejects: Iterable[RejectedRow], now: datetime) -> list[ImportReject]:
    return [
        ImportReject(
            user_id=record.user_id,
            file_name=record.file_name,
            row_number=reject.row_number,
            reason=reject.reason,
            row=reject.row,
            rejected_at=now,
        )
        for reject in rejects
    ]


def _rejected_duration(reject: RejectedRow) -> int:
    """Return the length of the play in a rejected row, in milliseconds; 0 if the row has no plausible length."""
    lasted = next((reject.row[name] for name in ("ms_played", "msPlayed") if name in reject.row), None)
    return lasted if isinstance(lasted, int) and 0 < lasted <= LONGEST_MS else 0


def _close_gaps(store: Store, user: User, files: Sequence[FileImport], now: datetime) -> list[FileImport]:
    """Close the gaps that files cover, alone or together with files of adjacent time."""
    covered: list[Span] = []
    for span in sorted(
        Span(*file.span, file.file_name) for file in files if file.format in WHOLE_HISTORIES and file.span
    ):
        if covered and span.first - covered[-1].last <= NEIGHBOURS:
            covered[-1] = Span(covered[-1].first, max(covered[-1].last, span.last), span.file_name)
        else:
            covered.append(span)
    closed: Counter[str] = Counter()
    for span in covered:
        closed[span.file_name] += store.coverage.close_gaps(user.user_id, *span)
    if covered:
        closed[covered[-1].file_name] += cover_imports(store, user, files, now)
    for file in files:
        if file.id is not None and closed[file.file_name]:
            store.imports.update(file.id, gaps_closed=closed[file.file_name])
    return [file.model_copy(update={"gaps_closed": closed[file.file_name]}) for file in files]
