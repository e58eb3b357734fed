"""`echostats warehouse` at the command line, with a user who was loaded before."""

import json
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from echostats_pipeline.cli.main import echostats
from echostats_pipeline.errors import NotFoundError, SettingsError, WarehouseError
from echostats_pipeline.marts.warehouse import connection as connections
from echostats_pipeline.marts.warehouse.connection import connected
from echostats_pipeline.marts.warehouse.migrations import migrate, newest
from echostats_pipeline.settings import load_settings
from echostats_pipeline_tests.marts.warehouse.conftest import TestedWarehouse
from echostats_pipeline_tests.marts.warehouse.test_build import Installed, installed, synced
from echostats_pipeline_tests.postgres_server import free_port

__all__ = ["installed"]


def run(installed: Installed, *arguments: str, **more: str) -> Result:
    environ = {**installed.pipeline.installation.environ, **more}
    return CliRunner().invoke(echostats, list(arguments), env=environ)


def said(installed: Installed, *arguments: str) -> str:
    result = run(installed, *arguments)
    assert result.exception is None, result.exception
    return result.output


def test_a_user_is_loaded_shown_queried_and_given_a_login(installed: Installed) -> None:
    user = synced(installed)
    refused = run(installed, "warehouse", "grant", user.partition_key)
    assert isinstance(refused.exception, NotFoundError)
    plays = installed.store.db["listening_history"].count_documents({})
    assert f"{user.partition_key}: loaded {plays:,} plays." in said(installed, "warehouse", "rebuild")
    state = json.loads(said(installed, "warehouse", "status", "--json"))
    (loaded,) = state["users"]
    assert (loaded["user_key"], loaded["plays"], loaded["waits"], loaded["login"]) == (
        user.partition_key,
        plays,
        False,
        None,
    )
    assert state["tables_version"] >= 4
    assert "up to date" in said(installed, "warehouse", "status")
    sql = "SELECT count(*) AS plays FROM plays"
    assert json.loads(said(installed, "warehouse", "query", sql, "--json")) == [{"plays": plays}]
    assert said(installed, "warehouse", "query", sql, "--csv") == f"plays\n{plays}\n"
    assert str(plays) in said(installed, "warehouse", "query", sql, "--user", user.partition_key)
    granted = said(installed, "warehouse", "grant", user.partition_key)
    url = next(line.split()[-1] for line in granted.splitlines() if "address:" in line)
    with psycopg.connect(url) as session:
        assert session.execute(sql).fetchone() == (plays,)
    assert "dropped" in said(installed, "warehouse", "revoke", user.partition_key)
    findings = {each["area"]: each for each in json.loads(run(installed, "doctor", "--json").output)["findings"]}
    assert findings["warehouse"]["level"] == "ok"
    assert findings["warehouse"]["text"] == "1 users are in the warehouse."
    removed = said(installed, "users", "remove", user.partition_key, "--yes")
    assert "Their rows in the warehouse, and their login to it, are deleted." in removed
    assert [row.split()[-2] for row in removed.splitlines() if "warehouse.plays " in row] == [f"{plays:,}"] * 2
    assert json.loads(said(installed, "warehouse", "query", sql, "--json")) == [{"plays": 0}]


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("DELETE FROM plays", "only reads"),
        ("SELECT 1; DROP TABLE plays", "more than one statement"),
        ("SELECT nothing FROM plays", 'column "nothing" does not exist'),
        ("SELEC 1", 'syntax error at or near "SELEC" (at character 1).'),
        ("SELECT usr_id FROM plays", "Perhaps you meant"),
        ("SELECT * FROM nope", 'relation "nope" does not exist'),
        ("/* of all */ COPY plays TO STDOUT", "COPY is no query"),
    ],
)
def test_a_query_that_writes_or_is_wrong_is_refused_with_the_reason(installed: Installed, sql: str, word: str) -> None:
    result = run(installed, "warehouse", "query", sql)
    assert isinstance(result.exception, WarehouseError)
    assert word in str(result.exception)


def test_any_value_is_printed_in_each_form(installed: Installed) -> None:
    sql = (
        "SELECT 'Song [feat. Bob] [/x]' AS name, array[date '2020-01-01'] AS dates, sum(2) AS total, "
        "'NaN'::float8 AS nan, 'infinity'::timestamptz AS never, "
        "interval '1 year 2 months' AS span, true AS yes, '{\"a\": [1.5]}'::jsonb AS j"
    )
    assert json.loads(said(installed, "warehouse", "query", sql, "--json")) == [
        {
            "name": "Song [feat. Bob] [/x]",
            "dates": ["2020-01-01"],
            "total": 2,
            "nan": "NaN",
            "never": "infinity",
            "span": "1 year 2 mons",
            "yes": True,
            "j": {"a": [1.5]},
        }
    ]
    row = 'Song [feat. Bob] [/x],"[""2020-01-01""]",2,NaN,infinity,1 year 2 mons,true,"{""a"": [1.5]}"'
    assert said(installed, "warehouse", "query", sql, "--csv").splitlines()[1] == row
    shown = said(installed, "warehouse", "query", sql)
    assert "Song [feat. Bob] [/x]" in shown
    assert shown.rstrip().endswith("1 row")
    twice = run(installed, "warehouse", "query", "SELECT 1 AS a, 2 AS a", "--json")
    assert "Several columns are called a" in str(twice.exception)


def test_without_the_setting_or_the_package_it_says_what_to_do(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in ("status", "rebuild"):
        result = run(installed, "warehouse", command, ECHOSTATS_POSTGRES="")
        assert isinstance(result.exception, SettingsError)
        assert "ECHOSTATS_POSTGRES is not set" in str(result.exception)
    with monkeypatch.context() as without:
        without.setitem(__import__("sys").modules, "psycopg", None)
        result = run(installed, "warehouse", "status")
    assert isinstance(result.exception, SettingsError)
    assert connections.INSTALL in str(result.exception)
    with pytest.raises(SettingsError, match="does not start with postgresql://"):
        load_settings({"ECHOSTATS_POSTGRES": "localhost:5432"}, env_file=None)
    with pytest.raises(SettingsError, match="The warehouse needs ECHOSTATS_POSTGRES"):
        load_settings({"ECHOSTATS_MARTS": "warehouse"}, env_file=None)


@pytest.mark.parametrize(
    ("change", "word", "permanent"),
    [
        ({"port": "1"}, "nothing listens there", False),
        ({"host": "no.such.host.invalid"}, "cannot be resolved", True),
        ({"password": "wrong-canary"}, "refuses the password", True),
        ({"user": "nobody_here"}, "refuses the password", True),
        ({"dbname": "no_such_database"}, "has no such database", True),
        ({"sslmode": "require"}, "encrypted connection failed", True),
    ],
)
def test_a_failed_connection_is_told_by_its_cause(
    warehouse: TestedWarehouse, change: dict[str, str], word: str, permanent: bool
) -> None:
    parts: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(warehouse.url) | change
    user, password = parts.pop("user"), str(parts.pop("password")).replace(" ", "%20")
    mode = f"?sslmode={parts['sslmode']}" if "sslmode" in parts else ""
    url = f"postgresql://{user}:{password}@{parts['host']}:{parts['port']}/{parts['dbname']}{mode}"
    with pytest.raises(WarehouseError) as failed, connected(url):
        pass
    assert word in str(failed.value)
    assert failed.value.permanent is permanent
    assert "canary" not in str(failed.value)


@pytest.mark.parametrize(
    ("theirs", "name"),
    [
        ("CREATE TABLE users (name text)", "users"),
        ("CREATE VIEW listening AS SELECT 1 AS one", "listening"),
        ("CREATE TABLE schema_migrations (version bigint, dirty boolean)", "schema_migrations"),
    ],
)
def test_a_database_of_another_application_is_refused(warehouse: TestedWarehouse, theirs: str, name: str) -> None:
    """Also with the table of versions that other tools make. Nothing is created."""
    database = warehouse.server.create()
    warehouse.server.execute(theirs, database)
    with (
        pytest.raises(WarehouseError, match=f"table '{name}' already"),
        connected(warehouse.server.url(database, "loader")) as connection,
    ):
        migrate(connection)
    made = warehouse.server.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 2200 AND relkind <> 'i'", database
    )
    warehouse.server.drop(database)
    assert made == [(name,)]


def test_tables_that_are_gone_are_made_again(warehouse: TestedWarehouse) -> None:
    warehouse.rows("INSERT INTO loads VALUES (gen_random_uuid(), 1, 'UTC', 0, 'last', now(), 'digest', now())")
    warehouse.rows("DROP TABLE days CASCADE")
    with warehouse.opened() as connection:
        assert len(migrate(connection)) == newest()
        assert migrate(connection) == []
    assert warehouse.rows("SELECT load_id, tracks_digest FROM loads") == [("", None)]
    with warehouse.as_role("echostats_application") as session:
        assert session.execute("SELECT count(*) FROM days").fetchone() == (0,)


@pytest.mark.parametrize(
    ("before", "sql", "needs"),
    [
        ("ALTER ROLE loader NOCREATEROLE", "CREATE ROLE somebody", "needs CREATEROLE"),
        ("CREATE TABLE other (a int)", "ALTER TABLE other ADD b int", "must own the tables"),
        ("CREATE SCHEMA theirs", "CREATE TABLE theirs.mine (a int)", "CREATE and USAGE on the schema"),
    ],
)
def test_a_missing_right_is_named(warehouse: TestedWarehouse, before: str, sql: str, needs: str) -> None:
    warehouse.rows(before)
    try:
        with pytest.raises(WarehouseError) as failed, warehouse.opened() as connection:
            connection.execute(sql)
    finally:
        warehouse.rows("ALTER ROLE loader CREATEROLE")
    assert needs in str(failed.value)
    assert failed.value.permanent


def test_doctor_says_that_the_server_does_not_answer(installed: Installed) -> None:
    url = f"postgresql://loader:secret-canary@127.0.0.1:{free_port()}/gone"
    result = run(installed, "doctor", "--json", ECHOSTATS_POSTGRES=url)
    finding = next(each for each in json.loads(result.output)["findings"] if each["area"] == "warehouse")
    assert finding["level"] == "problem"
    assert "nothing listens there" in finding["text"]
    assert "canary" not in result.output
