"""Loads of the warehouse: against a bare COPY of the same rows, a day's delta, equal numbers, and kills.

Run it with: python -m benchmarks.warehouse [--kills 20] [PLAYS ...]

It starts a PostgreSQL server of its own that waits for the disk. Rows are made once and kept in memory. Timed is all
that happens between ready rows and a committed transaction, in rounds of a bare COPY, a first load and a rebuild; the
medians are printed. Memory is that of another process, which maps and loads a year of plays at a time, as an update
does.
"""

import argparse
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl

from benchmarks.measuring import peak_mib
from benchmarks.processes import workplace
from echostats_pipeline.cli.database import open_database
from echostats_pipeline.marts.warehouse import loading
from echostats_pipeline.marts.warehouse.build import url_of
from echostats_pipeline.marts.warehouse.connection import Connection, connected
from echostats_pipeline.marts.warehouse.migrations import migrate
from echostats_pipeline.marts.warehouse.plays import PLAY_COLUMNS, READ_SCHEMA, copied, play_rows
from echostats_pipeline.marts.warehouse.removal import remove_user
from echostats_pipeline.marts.warehouse.statistics import in_core, in_warehouse
from echostats_pipeline.settings import load_settings
from echostats_pipeline_tests.postgres_server import PostgresServer, running_postgres

DEFAULT = (208_934, 2_089_340)
"""The guide's history, and ten times as many plays."""
TRACKS, EPOCH = 41_918, datetime(2010, 1, 1, tzinfo=UTC)
SESSION, APART = 25, timedelta(seconds=90)
"""Plays of a session, and the time from one to the next."""
SPAN = timedelta(days=14 * 365)
ROUNDS, DELTAS = 5, 9
BARE_INDEXES = ("(user_id, local_date)", "(user_id, track_id)")
CONTENT = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t"
TABLES = ("plays", "days", "sessions", "tracks")


def history(plays: int) -> pl.DataFrame:
    """Plays of fourteen years in sessions of equal length."""
    pause = SESSION * (SPAN / plays) - (SESSION - 1) * APART
    numbers = np.arange(plays)
    seconds = np.where(numbers % SESSION == 0, pause.total_seconds(), APART.total_seconds()).cumsum()
    tracks = (TRACKS * np.random.default_rng(plays).random(plays) ** 2).astype(np.int64)
    track, artist = (pl.lit(pl.Series(each)).cast(pl.String) for each in (tracks, tracks % 9821))
    known: dict[str, pl.Expr] = {
        "played_at": pl.lit(EPOCH) + pl.duration(milliseconds=pl.lit(pl.Series((seconds * 1000).astype(np.int64)))),
        "track_id": track.str.zfill(22),
        "track_name": pl.lit("Song ") + track,
        "artist_name": pl.lit("Artist ") + artist,
        "album_name": pl.lit("Album"),
        "duration_ms": pl.lit(210_000),
        "ms_played": pl.lit(pl.Series(180_000 + numbers % 9)),
        "source": pl.lit("import"),
    }
    columns = [known.get(name, pl.lit(None)).cast(kind).alias(name) for name, kind in READ_SCHEMA.items()]
    return pl.select(columns).unique(["played_at", "track_id"], maintain_order=True)


def years(plays: pl.DataFrame) -> list[pl.DataFrame]:
    """Plays as an update reads them: a year at a time."""
    dated = plays.with_columns(year=pl.col("played_at").dt.year())
    return dated.partition_by("year", maintain_order=True, include_key=False)


def ready(plays: int) -> list[pl.DataFrame]:
    """The rows of a history, in parts."""
    return years(play_rows(history(plays), timezone="UTC", rules=[], min_play_ms=30_000))


def bare_copy(connection: Connection, user: UUID, parts: Sequence[pl.DataFrame]) -> float:
    """Seconds of a COPY of the rows into a table of the same columns and indexes, and nothing else."""
    connection.execute("DROP TABLE IF EXISTS bare")
    connection.execute("CREATE TABLE bare (LIKE plays, PRIMARY KEY (user_id, played_at, track_id))")
    for columns in BARE_INDEXES:
        connection.execute(f"CREATE INDEX ON bare {columns}")
    begun = time.perf_counter()
    with connection.cursor().copy("COPY bare FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(list(PLAY_COLUMNS.values()))
        for part in parts:
            for row in copied(part).iter_rows():
                copy.write_row((user, *row))
    seconds = time.perf_counter() - begun
    connection.execute("DROP TABLE bare")
    return seconds


def measured(server: PostgresServer, plays: int) -> None:
    """Print the ratios of whole loads to a bare COPY, a day's delta, and memory."""
    database, parts = server.create(), ready(plays)
    with connected(server.url(database, "loader")) as connection:
        migrate(connection)
        taken: dict[str, list[float]] = {"bare COPY": [], "first load": [], "rebuild": []}
        for number in range(ROUNDS):
            user = UUID(int=number + 1)
            taken["bare COPY"].append(bare_copy(connection, user, parts))
            for name in ("first load", "rebuild"):
                begun = time.perf_counter()
                loading.load_whole(connection, loading.Load(user, "UTC", 30_000), iter(parts))
                taken[name].append(time.perf_counter() - begun)
            if number < ROUNDS - 1:
                remove_user(connection, user)
        floor = taken["bare COPY"]
        for name, seconds in taken.items():
            ratio = statistics.median(each / least for each, least in zip(seconds, floor, strict=True))
            print(f"{plays:,} plays: {name} {statistics.median(seconds):.2f} s, ratio {ratio:.2f} (median of {ROUNDS})")
        connection.execute("ANALYZE")
        day, pages = deltas(connection, user, parts[-1])
        print(
            f"{plays:,} plays: a delta of two days with 60 plays {day * 1000:.1f} ms, {pages:,.0f} pages "
            f"(medians of {DELTAS})"
        )
    server.drop(database)
    before, peak = memory(server, plays)
    print(f"{plays:,} plays: at most {peak} MiB, {before} of them before the load")


def memory(server: PostgresServer, plays: int) -> tuple[int, int]:
    """The most memory in MiB of a process that maps and loads all plays: before that, and at the end."""
    database = server.create()
    with connected(server.url(database, "loader")) as connection:
        migrate(connection)
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(years(history(plays))):
            part.write_ipc(Path(folder) / f"{number:02}.arrow")
        here, there = multiprocessing.Pipe()
        worker = multiprocessing.Process(target=_map_and_load, args=(server.url(database, "loader"), folder, there))
        worker.start()
        there.close()
        before, peak = here.recv()
        worker.join()
    server.drop(database)
    return before, peak


def _map_and_load(url: str, folder: str, pipe: Any) -> None:
    plays = (pl.read_ipc(file) for file in sorted(Path(folder).iterdir()))
    parts = (play_rows(each, timezone="UTC", rules=[], min_play_ms=30_000) for each in plays)
    with connected(url) as connection:
        before = peak_mib(os.getpid())
        loading.load_whole(connection, loading.Load(UUID(int=1), "UTC", 30_000), parts)
    pipe.send((before, peak_mib(os.getpid())))


def deltas(connection: Connection, user: UUID, last: pl.DataFrame) -> tuple[float, float]:
    """Replace two days with the same number of plays whatever the history; the seconds, and the pages looked at.

    The pages are those of the server's cache, of catalogues too: unlike the seconds, they do not depend on other load.
    """
    first: date = (EPOCH + SPAN).date() + timedelta(days=30)
    days = [first, first + timedelta(days=1)]
    names = last["track_id"].unique().sort().head(60)
    rows = last.sort("track_id").unique("track_id", keep="first", maintain_order=True).head(60)
    begin = datetime(first.year, first.month, first.day, 8, tzinfo=UTC)
    stamps = [begin + timedelta(minutes=20 * number) for number in range(names.len())]
    rows = rows.with_columns(
        pl.Series("played_at", stamps, dtype=rows.schema["played_at"]),
        pl.Series("local_date", [each.date() for each in stamps]),
    )
    seconds, pages = [], []
    for _ in range(DELTAS):
        before, begun = pages_read(connection), time.perf_counter()
        loading.load_days(connection, loading.Load(user, "UTC", 30_000), days, rows)
        seconds.append(time.perf_counter() - begun)
        pages.append(pages_read(connection) - before)
    return statistics.median(seconds[2:]), statistics.median(pages[2:])


def pages_read(connection: Connection) -> int:
    """The pages that all sessions have read in this database, from the server's cache or not."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    sql = "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()"
    found: int = connection.execute(sql).fetchone()[0]
    return found


def kills(server: PostgresServer, count: int) -> None:
    """Kill loads at random moments; after each, the rows are those of before or after, and a rerun gives the latter."""
    database, user = server.create(), UUID(int=7)
    url, dice = server.url(database, "loader"), random.Random(1)
    parts = ready(40_000)
    days = sorted(set(parts[0]["local_date"].unique()))[:200]
    with connected(url) as connection:
        migrate(connection)
        load = loading.Load(user, "UTC", 30_000)
        since = time.perf_counter()
        loading.load_whole(connection, load, iter(parts))
        lasts = time.perf_counter() - since
        wanted = content(connection)
        outcomes = {"before": 0, "after": 0, "torn": 0}
        for number in range(count):
            empty = number % 2 == 0
            if empty:
                loading.load_whole(connection, loading.Load(user, "UTC", 30_000), [])
            else:
                loading.load_days(connection, loading.Load(user, "UTC", 30_000), days, parts[0].clear())
            before = content(connection)
            begun = multiprocessing.Event()
            worker = multiprocessing.Process(target=_load, args=(url, user, parts, None if empty else days, begun))
            worker.start()
            begun.wait()
            worker.join(timeout=dice.random() * lasts)
            worker.kill()
            worker.join()
            found = settled(connection, before, wanted)
            outcomes[found] += 1
            _load(url, user, parts, None if empty else days)
            if content(connection) != wanted:
                raise SystemExit(f"Kill {number}: the rerun gave other rows.")
        left = connection.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'plays\\_%' AND relkind = 'r'")
        print(f"{count} kills: {outcomes}; every rerun equal; {left.fetchone()[0]} partition")
    server.drop(database)
    if outcomes["torn"]:
        raise SystemExit(1)


def settled(connection: Connection, before: Sequence[str], after: Sequence[str]) -> str:
    """Whether the rows are those of before a load or after it, once the server has noticed that its client died."""
    while connection.execute(
        "SELECT FROM pg_stat_activity WHERE usename = 'loader' AND pid <> pg_backend_pid()"
    ).fetchone():
        time.sleep(0.05)
    found = content(connection)
    return "before" if found == before else "after" if found == after else "torn"


def content(connection: Connection) -> list[str]:
    """A hash of each table."""
    return [connection.execute(CONTENT.format(name)).fetchone()[0] for name in TABLES]


def _load(url: str, user: UUID, parts: Sequence[pl.DataFrame], days: Sequence[date] | None, begun: Any = None) -> None:
    with connected(url) as connection:
        if begun is not None:
            begun.set()
        load = loading.Load(user, "UTC", 30_000)
        if days is None:
            loading.load_whole(connection, load, iter(parts))
        else:
            rows = pl.concat(parts).filter(pl.col("local_date").is_in(list(days)))
            loading.load_days(connection, load, days, rows)


def compare_statistics() -> None:
    """Compare statistics in MongoDB and in SQL for every user of the installation that the environment names."""
    chosen = load_settings()
    with open_database(chosen) as store, connected(url_of(chosen)) as connection:
        for user in store.users.all():
            core = in_core(store.statistics.snapshot(user.user_id, "all_time"))
            copy = in_warehouse(connection, user.user_id)
            wrong = {name: (core[name], copy[name]) for name in core if core[name] != copy[name]}
            print(f"{user.partition_key}: {len(core) - len(wrong)} of {len(core)} statistics are equal {wrong or ''}")
            if wrong:
                raise SystemExit(1)


def main(arguments: Sequence[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plays", nargs="*", type=int, default=list(DEFAULT))
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--statistics", action="store_true", help="compare the users of this installation, then stop")
    asked: Any = parser.parse_args(arguments)
    if asked.statistics:
        compare_statistics()
        return
    multiprocessing.set_start_method("spawn")
    with workplace(), running_postgres(durable=True) as server:
        print(f"PostgreSQL {server.version}")
        for plays in [] if asked.kills else asked.plays:
            measured(server, plays)
        if asked.kills:
            kills(server, asked.kills)


if __name__ == "__main__":
    main(sys.argv[1:])
