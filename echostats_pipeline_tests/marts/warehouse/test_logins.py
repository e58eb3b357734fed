"""Logins of single users: made, renewed and dropped, and what they cannot hold up."""

from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest

from echostats_pipeline.errors import NotFoundError, WarehouseError
from echostats_pipeline.marts.warehouse import loading
from echostats_pipeline.marts.warehouse.access import grant, revoke
from echostats_pipeline.marts.warehouse.migrations import migrate
from echostats_pipeline.marts.warehouse.removal import known_users, remove_user
from echostats_pipeline_tests.marts.warehouse.conftest import TestedWarehouse, hourly, person
from echostats_pipeline_tests.marts.warehouse.shared_warehouse import ANN, Shared, shared

__all__ = ["shared"]


def test_a_login_that_has_made_something_is_dropped_with_it(shared: Shared) -> None:
    with shared.session() as session:
        session.execute("SET default_transaction_read_only = off")
        session.execute("SELECT lo_create(0)")
        session.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    with shared.warehouse.opened() as connection:
        assert revoke(connection, ANN) == (shared.login.role, True)
    assert shared.warehouse.rows(f"SELECT FROM pg_roles WHERE rolname = '{shared.login.role}'") == []
    assert shared.warehouse.rows("SELECT FROM pg_largeobject_metadata") == []


def test_a_login_that_owns_something_elsewhere_lets_nobody_in_any_more(shared: Shared) -> None:
    """The rows of a removed user go in any case, and nobody else is held up."""
    role, server = shared.login.role, shared.warehouse.server
    server.execute(f"CREATE SCHEMA theirs AUTHORIZATION {role}")
    try:
        with shared.session() as session, shared.warehouse.opened() as connection:
            remove_user(connection, shared.ann)
            with pytest.raises(psycopg.OperationalError, match="terminat"):
                session.execute("SELECT 1")
        assert shared.warehouse.rows("SELECT user_id FROM logins") == [(shared.bob,)]
        assert shared.warehouse.rows(f"SELECT rolcanlogin FROM pg_roles WHERE rolname = '{role}'") == [(False,)]
        with shared.warehouse.as_role(role) as after, pytest.raises(psycopg.errors.InsufficientPrivilege):
            after.execute("SELECT count(*) FROM plays")
    finally:
        server.execute(f"DROP OWNED BY {role}")


def test_a_copy_of_the_database_leaves_the_login_of_the_original_alone(shared: Shared) -> None:
    copy = TestedWarehouse(shared.warehouse.server, shared.warehouse.server.create(shared.warehouse.name))
    try:
        with copy.opened() as connection:
            with pytest.raises(WarehouseError, match="perhaps for another database"):
                grant(connection, ANN)
            assert revoke(connection, ANN) == (shared.login.role, True)
            remove_user(connection, shared.bob)
    finally:
        shared.warehouse.server.drop(copy.name)
    with shared.session() as session:
        assert session.execute("SELECT count(*) FROM plays").fetchone() == (30,)


def test_readers_do_not_hold_up_removals_and_migrations(shared: Shared) -> None:
    """A login that leaves a transaction open, and takes every lock that a role may take."""
    with shared.session() as session, shared.warehouse.opened() as connection:
        for key in ("echostats warehouse", f"echostats {shared.bob}", f"echostats {shared.ann}"):
            session.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (key,))
        session.execute("BEGIN")
        session.execute("SELECT count(*) FROM plays")
        connection.execute("SET lock_timeout = '2s'")
        remove_user(connection, shared.bob)
        assert shared.warehouse.rows(f"SELECT FROM plays WHERE user_id = '{shared.bob}'") == []
        assert known_users(connection) == {shared.ann, shared.bob}, "an empty partition is left"
        session.execute("COMMIT")
        remove_user(connection, shared.bob)
        assert known_users(connection) == {shared.ann}
        connection.execute("DELETE FROM schema_migrations WHERE version > 5")
        assert migrate(connection) == ["0006_words_and_rights.sql"]


def test_a_swap_ends_transactions_of_logins_in_which_nothing_happens(
    shared: Shared, loaded: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "SWAP_PATIENCE", "100ms")
    session = shared.session()
    session.execute("BEGIN")
    session.execute("SELECT count(*) FROM plays")
    loaded(ANN, hourly(7))
    assert shared.warehouse.rows(f"SELECT count(*) FROM plays WHERE user_id = '{shared.ann}'") == [(7,)]
    with pytest.raises(psycopg.OperationalError, match="terminat"):
        session.execute("SELECT 1")
    session.close()


def test_a_login_is_made_renewed_and_taken_back(shared: Shared) -> None:
    with shared.warehouse.opened() as connection:
        again = grant(connection, ANN)
    assert (again.role, again.is_new) == (shared.login.role, False)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        shared.session()
    with psycopg.connect(again.url, autocommit=True) as session:
        assert session.execute("SELECT count(*) FROM plays").fetchone() == (30,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            session.execute("CREATE TEMPORARY TABLE mine ()")
        session.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="temporary"):
            session.execute("CREATE TEMPORARY TABLE mine ()")
        with shared.warehouse.opened() as connection:
            assert revoke(connection, ANN) == (again.role, True)
            with pytest.raises(NotFoundError, match="has no login"):
                revoke(connection, ANN)
        with pytest.raises(psycopg.Error):
            session.execute("SELECT count(*) FROM plays")
    assert shared.warehouse.rows(f"SELECT FROM pg_roles WHERE rolname = '{again.role}'") == []


def test_a_removed_user_has_no_login_any_more(shared: Shared) -> None:
    with shared.warehouse.opened() as connection:
        remove_user(connection, shared.ann)
    assert shared.warehouse.rows("SELECT user_id FROM logins") == [(shared.bob,)]
    with pytest.raises(psycopg.OperationalError):
        shared.session()


def test_a_login_needs_a_loaded_user_and_a_free_name(shared: Shared) -> None:
    with shared.warehouse.opened() as connection:
        with pytest.raises(NotFoundError, match="not in the warehouse yet"):
            grant(connection, person("cat", 3))
        connection.execute("DELETE FROM logins")
        with pytest.raises(WarehouseError, match="has a role"):
            grant(connection, ANN)
