"""Loads of the warehouse: against a bare COPY of the same rows, a day's delta, equal numbers, and kills.

Run it with: python -m benchmarks.warehouse [--kills 20] [PLAYS ...]

It starts a PostgreSQL server of its own that waits for the disk. Rows are made once and kept in memory. Timed is all
that happens between ready rows and a committed transaction.
"""

import argparse
import multiprocessing
import random
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import polars as pl

from echostats_pipeline.cli.database import open_database
from echostats_pipeline.marts.warehouse import loading
from echostats_pipeline.marts.warehouse.build import url_of
from echostats_pipeline.marts.warehouse.connection import Connection, connected
from echostats_pipeline.marts.warehouse.migrations import migrate
from echostats_pipeline.marts.warehouse.plays import PLAY_COLUMNS, READ_SCHEMA, copied, play_rows
from echostats_pipeline.marts.warehouse.statistics import in_core, in_warehouse
from echostats_pipeline.settings import load_settings
from echostats_pipeline_tests.postgres_server import PostgresServer, running_postgres

DEFAULT = (208_934, 2_089_340)
"""The guide's history, and ten times as many plays."""
TRACKS, EPOCH = 41_918, datetime(2010, 1, 1, tzinfo=UTC)
SESSION, APART = 25, timedelta(seconds=90)
"""Plays of a session, and the time from one to the next."""
SPAN = timedelta(days=14 * 365)
PART, REPEATS, DELTAS = 20_000, 3, 9
BARE_INDEXES = ("(user_id, local_date)", "(user_id, track_id)")
CONTENT = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t"
TABLES = ("plays", "days", "sessions", "tracks")


def history(plays: int) -> pl.DataFrame:
    """Plays of fourteen years in sessions of equal length."""
    dice = random.Random(plays)
    at, pause = EPOCH, SESSION * (SPAN / plays) - (SESSION - 1) * APART
    rows = []
    for number in range(plays):
        at += pause if number % SESSION == 0 else APART
        track = int(TRACKS * dice.random() ** 2)
        rows.append(
            (at, f"{track:022d}", f"Song {track}", f"Artist {track % 9821}", "Album", 210_000, 180_000 + number % 9)
        )
    columns = ("played_at", "track_id", "track_name", "artist_name", "album_name", "duration_ms", "ms_played")
    frame = pl.DataFrame(rows, schema=columns, orient="row").with_columns(source=pl.lit("import"))
    missing = [pl.lit(None, kind).alias(name) for name, kind in READ_SCHEMA.items() if name not in frame.columns]
    return (
        frame.with_columns(missing)
        .select(READ_SCHEMA.names())
        .cast(READ_SCHEMA)
        .unique(["played_at", "track_id"], maintain_order=True)
    )


def ready(plays: int) -> list[pl.DataFrame]:
    """The rows of a history, in parts."""
    rows = play_rows(history(plays), timezone="UTC", rules=[], min_play_ms=30_000)
    return list(rows.iter_slices(PART))


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
    """Print the ratio of a whole load to a bare COPY, a day's delta, and memory."""
    database, user = server.create(), UUID(int=plays)
    parts = ready(plays)
    with connected(server.url(database, "loader")) as connection:
        migrate(connection)
        bare, whole = [], []
        for _ in range(REPEATS):
            bare.append(bare_copy(connection, user, parts))
            begun = time.perf_counter()
            loading.load_whole(connection, loading.Load(user, "UTC", 30_000), iter(parts))
            whole.append(time.perf_counter() - begun)
        ratio = min(whole) / min(bare)
        print(f"{plays:,} plays: whole load {min(whole):.2f} s, bare COPY {min(bare):.2f} s, ratio {ratio:.2f}")
        connection.execute("ANALYZE")
        day = deltas(connection, user, parts[-1])
        print(f"{plays:,} plays: a delta of two days with 60 plays {day * 1000:.1f} ms (median of {DELTAS})")
    print(f"{plays:,} plays: at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")
    server.drop(database)


def deltas(connection: Connection, user: UUID, last: pl.DataFrame) -> float:
    """Seconds to replace two days with the same number of plays whatever the history."""
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
    seconds = []
    for _ in range(DELTAS):
        begun = time.perf_counter()
        loading.load_days(connection, loading.Load(user, "UTC", 30_000), days, rows)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[2:])


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
    with running_postgres(durable=True) as server:
        print(f"PostgreSQL {server.version}")
        for plays in [] if asked.kills else asked.plays:
            measured(server, plays)
        if asked.kills:
            kills(server, asked.kills)


if __name__ == "__main__":
    main(sys.argv[1:])
