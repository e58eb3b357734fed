"""A login of one user sees no row of another one, however it asks. The names of another user's rows are canaries."""

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from uuid import UUID

import psycopg
import pytest

from echostats_pipeline.errors import WarehouseError
from echostats_pipeline.marts.warehouse.access import role_name
from echostats_pipeline.marts.warehouse.connection import connected
from echostats_pipeline.marts.warehouse.migrations import migrate
from echostats_pipeline_tests.marts.warehouse.conftest import BEGIN, TestedWarehouse, hourly, played
from echostats_pipeline_tests.marts.warehouse.shared_warehouse import (
    ANN,
    APPLICATION,
    BOB,
    CANARY,
    OWNERS,
    READER,
    TABLES,
    VIEWS,
    Shared,
    shared,
)

__all__ = ["shared"]

HIDDEN = ("loads",)
AUTH_UID = """
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE
AS $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$
"""


def relations(warehouse: TestedWarehouse) -> Iterator[tuple[str, str, bool, bool]]:
    """Every table and view of the schema: name, kind, and whether row-level security is enabled and forced."""
    yield from warehouse.rows(  # type: ignore[misc]
        "SELECT relname, relkind::text, relrowsecurity, relforcerowsecurity FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')"
    )


def test_row_security_is_enabled_and_forced_on_every_table_and_views_ask_as_their_reader(shared: Shared) -> None:
    found = list(relations(shared.warehouse))
    tables = {name: (enabled, forced) for name, kind, enabled, forced in found if kind in "rp"}
    assert set(tables.values()) == {(True, True)}
    assert tables.keys() >= {*TABLES, *HIDDEN, "logins", "schema_migrations"}
    assert {kind for _, kind, _, _ in found} == {"r", "p", "v"}, "no materialized view"
    assert {name for name, kind, *_ in found if kind == "v"} == set(VIEWS)
    options = shared.warehouse.rows(
        "SELECT relname, reloptions FROM pg_class WHERE relkind = 'v' AND relnamespace = 2200"
    )
    assert all(option == ["security_invoker=true"] for _, option in options)


def test_every_table_view_and_column_has_a_comment(shared: Shared) -> None:
    without = shared.warehouse.rows(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition "
        "AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)"
    )
    assert without == []


def test_a_login_sees_all_of_its_user_and_nothing_of_others_in_any_table_or_view(shared: Shared) -> None:
    with shared.session() as session:
        for name in (*TABLES, *VIEWS):
            owner = OWNERS.get(name, "user_id")
            found = session.execute(f"SELECT {owner}, t::text FROM {name} t".encode()).fetchall()
            every = shared.warehouse.rows(f"SELECT count(*) FROM {name} WHERE {owner} = '{shared.ann}'")
            assert {row[0] for row in found} == {shared.ann}, name
            assert [(len(found),)] == every, name
            assert not any(CANARY in str(row) or str(shared.bob) in str(row) for row in found), name
        assert session.execute("SELECT role_name FROM logins").fetchall() == [(shared.login.role,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT * FROM loads")
        partition = shared.warehouse.rows(f"SELECT tableoid::regclass::text FROM plays WHERE user_id = '{shared.bob}'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(f"SELECT * FROM {partition[0][0]}".encode())


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM plays p JOIN plays q USING (played_at) WHERE q.user_id <> p.user_id",
        "SELECT count(*) FROM plays p JOIN tracks t ON t.track_id = p.track_id WHERE t.name LIKE '%canary%'",
        "SELECT count(*) FROM plays p FULL JOIN tracks t USING (track_id) WHERE t.track_id LIKE '%canary%'",
        "SELECT count(*) FROM users WHERE username LIKE '%canary%'",
        "WITH t AS MATERIALIZED (SELECT * FROM tracks) SELECT count(*) FROM t WHERE name LIKE '%canary%'",
        "SELECT count(*) FROM pg_stats WHERE array_to_string(most_common_vals::text::text[], ' ') LIKE '%canary%'",
        "SELECT count(*) FROM pg_stats WHERE tablename IN ('plays', 'tracks', 'users', 'days')",
    ],
)
def test_joins_and_statistics_show_nothing_of_others(shared: Shared, sql: str) -> None:
    with shared.session() as session:
        assert session.execute(sql.encode()).fetchone() == (0,)


def test_copy_gives_only_the_rows_of_the_login(shared: Shared) -> None:
    with shared.session() as session:
        for name in TABLES:
            with session.cursor().copy(f"COPY (SELECT * FROM {name}) TO STDOUT".encode()) as copy:
                text = b"".join(bytes(block) for block in copy).decode()
            assert text, name
            assert CANARY not in text, name
            assert str(shared.bob) not in text, name
        with pytest.raises(psycopg.errors.InsufficientPrivilege), session.cursor().copy("COPY loads TO STDOUT"):
            pass


def test_a_prepared_statement_asks_again_who_reads(shared: Shared) -> None:
    """A plan that was made as one role is executed as another one, as in a pool of connections."""
    ann, bob = role_name(ANN), role_name(BOB)
    with psycopg.connect(shared.warehouse.server.url(shared.warehouse.name), autocommit=True) as session:
        session.execute("SET plan_cache_mode = force_generic_plan")
        session.execute(f'SET ROLE "{bob}"'.encode())
        session.execute("PREPARE mine AS SELECT DISTINCT user_id FROM public.plays")
        assert session.execute("EXECUTE mine").fetchall() == [(shared.bob,)]
        session.execute(f'SET ROLE "{ann}"'.encode())
        assert session.execute("EXECUTE mine").fetchall() == [(shared.ann,)]
        session.execute(f"SET ROLE {READER}".encode())
        assert session.execute("EXECUTE mine").fetchall() == []


def test_a_login_cannot_become_another_or_name_another_user(shared: Shared) -> None:
    with shared.session() as session:
        for role in (role_name(BOB), APPLICATION, "loader", "postgres"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f'SET ROLE "{role}"'.encode())
        session.execute(f"SET echostats.user_id = '{shared.bob}'".encode())
        assert session.execute("SELECT DISTINCT user_id FROM plays").fetchall() == [(shared.ann,)]
        session.execute(f"SET ROLE {READER}".encode())
        assert session.execute("SELECT count(*) FROM plays").fetchone() == (0,)


def test_functions_run_after_the_policy_and_with_the_rights_of_the_login(shared: Shared) -> None:
    """A function that tells of each row it gets, cheap enough to be called first, gets no row of others."""
    shared.warehouse.rows(
        "CREATE FUNCTION of_owner() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.plays'"
    )
    shared.warehouse.rows(f"GRANT TEMPORARY ON DATABASE {shared.warehouse.name} TO PUBLIC")
    told: list[str] = []
    with shared.session() as session:
        session.add_notice_handler(lambda notice: told.append(str(notice.message_primary)))
        assert session.execute("SELECT of_owner()").fetchone() == (30,)
        session.execute("SET default_transaction_read_only = off")
        session.execute(
            "CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 "
            "AS $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
        )
        for name in (*TABLES, *VIEWS):
            session.execute(f"SELECT count(*) FROM {name} t WHERE pg_temp.tell(t::text)".encode())
    assert len(told) > 30
    assert not any(CANARY in each or str(shared.bob) in each for each in told)


def test_errors_tell_nothing_of_others(shared: Shared) -> None:
    with shared.session() as session:
        session.execute("SET default_transaction_read_only = off")
        assert session.execute(
            "SELECT sum(1 / (CASE WHEN artist_name = 'canary' THEN 0 ELSE 1 END)) FROM tracks"
        ).fetchone() == (1,)
        assert session.execute(
            "SELECT sum((CASE WHEN name LIKE '%canary%' THEN name ELSE '1' END)::int) FROM tracks"
        ).fetchone() == (1,)
        for sql in (
            f"INSERT INTO users (id) VALUES ('{shared.bob}')",
            f"INSERT INTO playlists (user_id, name) VALUES ('{shared.bob}', 'x')",
            f"UPDATE users SET username = 'x' WHERE id = '{shared.bob}'",
            "DELETE FROM plays",
            "TRUNCATE plays",
            "CREATE TABLE public.mine ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege) as error:
                session.execute(sql.encode())
            assert CANARY not in str(error.value)


def test_plans_show_no_value_of_others(shared: Shared) -> None:
    with shared.session() as session:
        for name in (*TABLES, *VIEWS):
            for options in ("VERBOSE", "ANALYZE, VERBOSE, BUFFERS"):
                plan = session.execute(f"EXPLAIN ({options}) SELECT * FROM {name}".encode()).fetchall()
                assert CANARY not in str(plan), name
                assert str(shared.bob) not in str(plan), name
        plan = session.execute("EXPLAIN (ANALYZE) SELECT * FROM plays WHERE track_id LIKE '%canary%'").fetchall()
        assert "rows=0" in str(plan)
        assert "actual rows=7" not in str(plan)


def test_estimates_do_not_tell_what_others_hear(shared: Shared, loaded: Callable[..., UUID]) -> None:
    """Whatever a login asks for, the planner expects the same number of rows of a loved song and of an unheard one."""
    bob = loaded(BOB, played(*((BEGIN + timedelta(hours=n), "loved" if n % 9 else f"s{n}") for n in range(3000))))
    for sql in (
        f"UPDATE tracks SET name = 'loved', artist_id = 'loved' WHERE user_id = '{bob}' AND track_id LIKE 's%'",
        f"INSERT INTO track_genres SELECT '{bob}', 't' || n, 'loved' FROM generate_series(1, 500) n",
        "ANALYZE",
    ):
        shared.warehouse.rows(sql)
    assert shared.warehouse.rows("SELECT tablename, attname FROM pg_stats WHERE schemaname = 'public'") == []
    asked = [
        ("plays", "track_id", "loved", "never"),
        ("plays", "local_date", BEGIN.date(), date(1999, 1, 1)),
        ("plays", "local_hour", 8, 77),
        ("days", "local_date", BEGIN.date(), date(1999, 1, 1)),
        ("tracks", "name", "loved", "never"),
        ("tracks", "artist_id", "loved", "never"),
        ("track_genres", "genre", "loved", "never"),
    ]
    with shared.session() as session:

        def expected(table: str, user: UUID, more: str = "") -> list[str]:
            plan = session.execute(f"EXPLAIN SELECT 1 FROM {table} WHERE user_id = '{user}'{more}".encode()).fetchall()
            return re.findall(r"\(cost=.*?\)", str(plan))

        for table, column, *values in asked:
            heard, unheard = (expected(table, bob, f" AND {column} = '{value}'") for value in values)
            assert heard == unheard != [], (table, column)
        for table in ("tracks", "days", "track_genres"):
            assert expected(table, bob) == expected(table, UUID(int=99)) != [], table


def test_without_a_setting_an_application_sees_nothing_and_with_one_that_user_alone(shared: Shared) -> None:
    with shared.warehouse.as_role(APPLICATION) as session:
        assert session.execute("SELECT count(*) FROM plays").fetchone() == (0,)
        session.execute(f"SET echostats.user_id = '{shared.ann}'".encode())
        for name in (*TABLES, *VIEWS):
            owner = OWNERS.get(name, "user_id")
            assert session.execute(f"SELECT DISTINCT {owner} FROM {name}".encode()).fetchall() == [(shared.ann,)], name
        session.execute(f"INSERT INTO playlists (user_id, name) VALUES ('{shared.ann}', 'new')".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(f"INSERT INTO playlists (user_id, name) VALUES ('{shared.bob}', 'new')".encode())
        assert session.execute(f"DELETE FROM playlists WHERE user_id = '{shared.bob}'".encode()).rowcount == 0
        shared.warehouse.rows("UPDATE playlists SET source = 'pipeline' WHERE name = 'own'")
        assert session.execute("UPDATE playlists SET name = 'mine', source = 'application'").rowcount == 1, "new"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("DELETE FROM plays")
        session.execute("RESET echostats.user_id")
        assert session.execute("SELECT count(*) FROM playlists").fetchone() == (0,)


def test_supabase_lets_an_account_see_its_own_rows(shared: Shared, loaded: Callable[..., UUID]) -> None:
    """With the function and the roles of Supabase, which grants all on new tables by itself."""
    server, name = shared.warehouse.server, shared.warehouse.name
    for role in ("anon", "authenticated"):
        if not server.execute(f"SELECT FROM pg_roles WHERE rolname = '{role}'"):
            server.execute(f"CREATE ROLE {role} NOLOGIN")
    with pytest.raises(WarehouseError, match="no database of Supabase"), connected(shared.warehouse.url) as connection:
        migrate(connection, "supabase")
    for sql in (
        "CREATE SCHEMA auth",
        "GRANT USAGE ON SCHEMA auth TO PUBLIC",
        AUTH_UID,
        "ALTER DEFAULT PRIVILEGES FOR ROLE loader GRANT ALL ON TABLES TO anon, authenticated",
    ):
        server.execute(sql, name)
    with connected(shared.warehouse.url) as connection:
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO anon, authenticated")
        connection.execute("DELETE FROM schema_migrations WHERE version > 4")
        migrate(connection, "supabase")
        migrate(connection, "supabase")
    loaded(ANN, hourly(30, tracks=("own",)))  # into a new partition
    granted = shared.warehouse.rows(
        "SELECT DISTINCT privilege_type FROM information_schema.role_table_grants WHERE grantee = 'anon' OR "
        "grantee = 'authenticated' AND (table_name LIKE 'plays%' OR table_name IN ('loads', 'logins'))"
    )
    assert granted == [("SELECT",)]
    with shared.warehouse.as_role("authenticated") as session:
        assert session.execute("SELECT count(*) FROM plays").fetchone() == (0,)
        session.execute(f"SET request.jwt.claim.sub = '{shared.ann}'".encode())
        for table in (*TABLES, *VIEWS):
            owner = OWNERS.get(table, "user_id")
            assert session.execute(f"SELECT DISTINCT {owner} FROM {table}".encode()).fetchall() == [(shared.ann,)], (
                table
            )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("DELETE FROM plays")
    with shared.warehouse.as_role("anon") as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("SELECT count(*) FROM plays")
    with connected(shared.warehouse.url) as connection:
        migrate(connection, "logins")
    with shared.warehouse.as_role("authenticated") as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("SELECT count(*) FROM plays")
