"""Measures the import of an extended streaming history against the database alone, and its memory.

The floor is the least work of an import: inserting the finished documents that it writes.

    python -m benchmarks.imports
    python -m benchmarks.imports --memory
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from bson import ObjectId

from benchmarks.exports import ROWS_PER_FILE, write_export
from benchmarks.history import PLAYS, USER_ID
from benchmarks.measuring import NoProgress, Taken, peak_mib, timed
from benchmarks.processes import workplace
from echostats_pipeline.importers.archives import ArchiveLimits
from echostats_pipeline.local.database import open_store
from echostats_pipeline.local.mongod import running
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store

GOAL, GOAL_AGAIN, GOAL_MIB = 1.25, 0.5, 1024
WRITTEN = ("listening_history", "tracks")
BATCH = 2_000

MEMORY_ROWS = (200_000, 2_000_000, 10_000_000)
ONE_FILE_FROM = 10_000_000
BYTES_PER_ROW = 2_000
"""Most bytes of disk that a row takes: in the zip, and in the database with its indexes and its journal."""
LIMITS = ArchiveLimits(total_bytes=64 << 30)


def main() -> None:
    """Measure times, or memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=PLAYS)
    parser.add_argument("--memory", type=int, nargs="*", metavar="ROWS", help="measure memory, once for each number")
    arguments = parser.parse_args()
    if arguments.memory is None:
        measure_times(arguments.rows)
    else:
        for rows in arguments.memory or MEMORY_ROWS:
            measure_memory(rows)


def measure_times(rows: int) -> None:
    """Import twice into an empty database, between two floors."""
    with scene(rows, ROWS_PER_FILE) as (settings, export, server_pid):
        with emptied(settings) as store:
            run_import(store, export)
            ready = {name: list(store.db[name].find({}, {"_id": 0})) for name in WRITTEN}

        def floor() -> Taken:
            with emptied(settings) as store:
                taken, _ = timed(server_pid, lambda: insert_ready(store, ready))
            for document in (document for documents in ready.values() for document in documents):
                del document["_id"]
            return taken

        floors = [floor()]
        with emptied(settings) as store:
            first, outcomes = timed(server_pid, lambda: run_import(store, export))
            before = hashes(store)
            again, outcomes_again = timed(server_pid, lambda: run_import(store, export))
            changed = {name for name, each in hashes(store).items() if each != before[name]}
        floors.append(floor())
    mean = sum(taken.wall for taken in floors) / len(floors)
    print(f"floor: {' and '.join(f'{len(documents):,} of {name}' for name, documents in ready.items())}, ready-made")
    print(f"floor before:  {floors[0]}")
    print(f"floor after:   {floors[1]}")
    print(f"first import:  {first} = {first.wall / mean:.2f} x floor (goal {GOAL}); {outcomes}")
    print(f"second import: {again} = {again.wall / first.wall:.2f} x first (goal {GOAL_AGAIN}); {outcomes_again}")
    print(f"changed by the second import: {', '.join(sorted(changed)) or 'nothing'}")


def measure_memory(rows: int) -> None:
    """Import in a separate process, which reports its peak memory."""
    free, needed = shutil.disk_usage(tempfile.gettempdir()).free, rows * BYTES_PER_ROW
    if free < needed:
        print(f"{rows:,} rows: NOT MEASURED, {tempfile.gettempdir()} has {free >> 30} of {needed >> 30} GiB free")
        return
    spawning = multiprocessing.get_context("spawn")
    with scene(rows, rows if rows >= ONE_FILE_FROM else ROWS_PER_FILE) as (settings, export, server_pid):
        receiver, sender = spawning.Pipe(duplex=False)
        child = spawning.Process(target=import_and_tell, args=(settings, export, sender))
        with emptied(settings):
            child.start()
            sender.close()
            taken_s, mib, outcomes = receiver.recv()
            child.join()
        print(
            f"{rows:,} rows: {mib:,} MiB at most (goal {GOAL_MIB:,}), {rows / taken_s:,.0f} rows/s; {outcomes}; "
            f"mongod {peak_mib(server_pid):,} MiB",
            flush=True,
        )


def import_and_tell(settings: Settings, export: Path, sender: Connection) -> None:
    """Import, and print the seconds it took, the peak memory with the reader's, and the outcome of the rows."""
    with open_store(settings) as store:
        started = time.perf_counter()
        outcomes = run_import(store, export)
        reader_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 2**10
        sender.send((time.perf_counter() - started, peak_mib(os.getpid()) + reader_mib, outcomes))


@contextmanager
def scene(rows: int, rows_per_file: int) -> Iterator[tuple[Settings, Path, int]]:
    """An export, and a separate database server with its process id."""
    with workplace() as folder:
        settings, export = Settings(home=folder / "home"), folder / "my_spotify_data.zip"
        write_export(export, rows, rows_per_file)
        print(f"{rows:,} rows, {export.stat().st_size / 2**20:.0f} MiB packed", flush=True)
        with running(StateFolder(settings.home)) as server:
            yield settings, export, server.pid


@contextmanager
def emptied(settings: Settings) -> Iterator[Store]:
    """Empty the database but keep its indexes."""
    with open_store(settings) as store:
        store.db.client.drop_database(store.db.name)
    with open_store(settings, indexes=True) as store:
        yield store


def run_import(store: Store, export: Path) -> dict[str, int]:
    """Import the export. Return the outcome of its rows."""
    user = User.model_validate(
        {"_id": ObjectId(USER_ID), "spotify_id": "b", "partition_key": "benchmark", "timezone": "Europe/Berlin"}
    )
    files = import_export(store, user, [export], progress=NoProgress(), clock=utc_now, limits=LIMITS)
    return {name: sum(getattr(file, name) for file in files) for name in ("inserted", "merged", "duplicate")}


def insert_ready(store: Store, ready: Mapping[str, list[Document]]) -> None:
    """Insert the documents of each collection."""
    for name, documents in ready.items():
        for start in range(0, len(documents), BATCH):
            store.db[name].insert_many(documents[start : start + BATCH], ordered=False)


def hashes(store: Store) -> dict[str, str]:
    """A hash of the content of each collection that only new rows may change."""
    found: dict[str, str] = store.db.command("dbHash", collections=list(WRITTEN))["collections"]
    return found


if __name__ == "__main__":
    main()
