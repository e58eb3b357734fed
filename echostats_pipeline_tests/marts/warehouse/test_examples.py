"""Every SQL statement in `examples` runs as a login of one user, and reads a month by an index."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from echostats_pipeline.marts.warehouse import loading
from echostats_pipeline.marts.warehouse.access import grant
from echostats_pipeline.marts.warehouse.connection import connected
from echostats_pipeline_tests.marts.warehouse.conftest import TestedWarehouse, hourly, person
from echostats_pipeline_tests.postgres_server import PASSWORD, PostgresServer

EXAMPLES = Path(__file__).parents[3] / "examples"
DASHBOARD = json.loads((EXAMPLES / "grafana" / "listening.json").read_text())
ANN, BOB = person("ann", 1), person("bob", 2)
MACROS = {
    r"\$__timeFilter\(([\w.]+)\)": r"\1 BETWEEN '2025-01-01'::timestamptz AND '2025-02-01'::timestamptz",
    r"\$__timeFrom\(\)": "'2025-01-01'::timestamptz",
    r"\$__timeTo\(\)": "'2025-02-01'::timestamptz",
}
DBT = """
import sys
from dbt.cli.main import dbtRunner
sys.exit(not all(dbtRunner().invoke([verb, *sys.argv[1:]]).success for verb in ("parse", "build")))
"""
"""Two commands of dbt in one process, because each start takes seconds."""


def in_grafana(sql: str) -> str:
    """A statement with Grafana's macros replaced for January 2025."""
    for pattern, replacement in MACROS.items():
        sql = re.sub(pattern, replacement, sql)
    return sql


STATEMENTS = {
    **{panel["title"]: in_grafana(panel["targets"][0]["rawSql"]) for panel in DASHBOARD["panels"]},
    **{path.name: path.read_text() for path in sorted((EXAMPLES / "metabase").glob("*.sql"))},
}
OF_A_MONTH = [name for name, sql in STATEMENTS.items() if "plays p" in sql and "2025-01-01" in sql]


def test_the_dashboard_has_ten_panels_and_grafana_knows_their_kinds() -> None:
    assert len(DASHBOARD["panels"]) == 10
    assert {panel["type"] for panel in DASHBOARD["panels"]} <= {"timeseries", "barchart", "table"}
    assert all(panel["description"].endswith(".") for panel in DASHBOARD["panels"])
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == 10
    assert not [name for name, sql in STATEMENTS.items() if "$" in sql]


def test_every_statement_gives_what_the_login_may_see(warehouse: TestedWarehouse, loaded: Callable[..., UUID]) -> None:
    ann = loaded(ANN, hourly(100))
    loaded(BOB, hourly(400, tracks=("other",)))
    warehouse.rows(f"INSERT INTO artists VALUES ('{ann}', 'x', 'Artist')")
    warehouse.rows(f"UPDATE tracks SET artist_id = 'x' WHERE user_id = '{ann}'")
    warehouse.rows(f"INSERT INTO track_genres SELECT user_id, track_id, 'pop' FROM tracks WHERE user_id = '{ann}'")
    with warehouse.opened() as connection:
        login = grant(connection, ANN)
    with psycopg.connect(login.url, autocommit=True) as session:
        found = {name: session.execute(sql.encode()).fetchall() for name, sql in STATEMENTS.items()}
    assert sum(int(str(row[1])) for row in found["Plays per day"]) == 100
    assert [row[1] for row in found["Top artists"]] == [100]
    assert sorted(row[0] for row in found["Top songs"]) == ["Song a", "Song b", "Song c"]
    assert sum(int(str(row[2])) for row in found["Hour by weekday"]) == 100
    assert sum(int(str(row[2])) for row in found["Genres over time"]) == 100
    assert [row[1] for row in found["Songs heard for the first time"]] == [3]
    assert [row[0] for row in found["Health of the syncs"]] == ["ann"]
    assert found["listening_by_month.sql"][0][1] == 100
    empty = {name for name, rows in found.items() if not rows}
    assert empty <= {"Times without certain data", "comebacks.sql", "mood_by_hour.sql", "skips_by_context.sql",
                     "top_artists_of_a_month.sql"}  # fmt: skip


MILLION = """
INSERT INTO plays (user_id, played_at, track_id, local_date, local_hour, local_weekday, listened_ms, counts, excluded,
    source)
SELECT '{user}', at, 't' || n % 40000, at::date, extract(hour FROM at), extract(isodow FROM at) - 1, 200000, true,
    false, 'import'
FROM (
    SELECT n, '2025-02-01'::timestamptz - n * interval '7 minutes' AS at FROM generate_series(1, 1000000) n
) AS plays
"""
TRACKS = """
INSERT INTO tracks (user_id, track_id, song_id, name, artist_id, artist_name, album_name)
SELECT '{user}', 't' || n, 't' || n, 'n', 'a' || n % 9000, 'a', 'b' FROM generate_series(0, 39999) n
"""


@pytest.fixture(scope="module")
def million(postgres: PostgresServer, template: str) -> Iterator[TestedWarehouse]:
    """A million plays of one user, and a login of this user."""
    big = TestedWarehouse(postgres, postgres.create(template))
    user = UUID(int=1)
    partition = f"plays_{user.hex}_000000"
    for sql in (
        f"INSERT INTO users (id, user_key, username) VALUES ('{user}', 'ann', 'ann')",
        f"CREATE TABLE {partition} PARTITION OF plays FOR VALUES IN ('{user}')",
        MILLION.format(user=user),
        TRACKS.format(user=user),
        f"INSERT INTO artists SELECT '{user}', 'a' || n, 'a' || n FROM generate_series(0, 8999) n",
        f"INSERT INTO track_genres SELECT '{user}', 't' || n, 'g' || n % 50 FROM generate_series(0, 39999) n",
        "CREATE ROLE echostats_million LOGIN IN ROLE echostats_reader",
        f"INSERT INTO logins VALUES ('echostats_million', '{user}')",
    ):
        big.rows(sql)
    with connected(postgres.url(big.name)) as connection:
        loading.close_partition(connection, partition)
    big.rows("ANALYZE")
    yield big
    postgres.drop(big.name)
    postgres.execute("DROP ROLE IF EXISTS echostats_million")


@pytest.mark.scale
@pytest.mark.parametrize("name", OF_A_MONTH)
def test_a_month_among_a_million_plays_is_read_by_an_index(million: TestedWarehouse, name: str) -> None:
    with million.as_role("echostats_million") as session:
        plan = "\n".join(str(row[0]) for row in session.execute(f"EXPLAIN {STATEMENTS[name]}".encode()))
    assert "Seq Scan on plays" not in plan, plan
    assert re.search(r"Index (Only )?Scan .*on plays_|Bitmap Index Scan on plays_", plan), plan


@pytest.mark.scale
def test_a_days_delta_looks_for_one_play_of_a_track_however_many_there_are(million: TestedWarehouse) -> None:
    values = {"user": UUID(int=1), "ids": [f"t{number}" for number in range(60)]}
    with million.opened() as connection, connection.transaction():
        explained = f"EXPLAIN (ANALYZE, TIMING OFF) {loading.FORGOTTEN.format(table='tracks')}"
        plan = "\n".join(str(row[0]) for row in connection.execute(explained, values))
    assert [float(rows) for rows in re.findall(r" on plays_.*\(actual rows=([\d.]+)", plan)] == [1.0], plan


@pytest.mark.scale
@pytest.mark.skipif(find_spec("dbt") is None, reason="dbt-postgres is not installed: pip install '.[dbt]'")
def test_dbt_parses_builds_and_tests_on_the_warehouse(
    warehouse: TestedWarehouse, loaded: Callable[..., UUID], tmp_path: Path
) -> None:
    user = loaded(ANN, hourly(100))
    warehouse.rows(f"INSERT INTO artists VALUES ('{user}', 'x', 'Artist')")
    warehouse.rows("UPDATE tracks SET artist_id = 'x'")
    warehouse.server.execute(f"GRANT CREATE ON DATABASE {warehouse.name} TO loader")
    project = tmp_path / "dbt"
    shutil.copytree(EXAMPLES / "dbt", project)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ECHOSTATS_DBT_PORT": str(warehouse.server.port),
        "ECHOSTATS_DBT_USER": "loader",
        "ECHOSTATS_DBT_PASSWORD": PASSWORD,
        "ECHOSTATS_DBT_DATABASE": warehouse.name,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_VERSION_CHECK": "false",
    }
    command = [sys.executable, "-c", DBT, "--project-dir", project, "--profiles-dir", project]
    done = subprocess.run(command, env=environment, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "PASS=" in done.stdout
    assert warehouse.rows("SELECT sum(plays) FROM dbt.monthly_artists") == [(100,)]
    assert warehouse.rows("SELECT reloptions FROM pg_class WHERE relname = 'monthly_artists'") == [
        (["security_invoker=true"],)
    ]
