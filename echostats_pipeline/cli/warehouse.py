"""``echostats warehouse``: the copy in PostgreSQL, its state, its logins, and queries."""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from math import isfinite, isnan
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.lazy import LazyGroup
from echostats_pipeline.cli.users import PIPED_WIDTH
from echostats_pipeline.errors import EchostatsError, SettingsError, WarehouseError
from echostats_pipeline.marts.warehouse import access, querying
from echostats_pipeline.marts.warehouse.audit import loaded_users
from echostats_pipeline.marts.warehouse.build import PARTS, Warehouse, url_of
from echostats_pipeline.marts.warehouse.connection import connected
from echostats_pipeline.marts.warehouse.database import user_uuid
from echostats_pipeline.marts.warehouse.migrations import migrate, newest, version
from echostats_pipeline.marts.warehouse.removal import rows_of
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring.health import HealthFinding, HealthFindings
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.storage.store import Store

START = "echostats warehouse status"
FAILED_BUILD = "run:warehouse_build:{}"
"""The key of the incident of a user whose build has failed."""
user_argument = click.argument("name", metavar="USER")


@click.group(cls=LazyGroup)
def warehouse() -> None:
    """Show and rebuild the copy in PostgreSQL, query it, and give users logins of their own."""


@warehouse.command()
@click.option("--json", "as_json", is_flag=True, help="Print the state as JSON.")
def status(as_json: bool) -> None:
    """Show the server, the version of the tables, and how far each user is loaded."""
    settings, console = load_settings(), Console()
    url_of(settings)
    with open_database(settings, indexes=False) as store, Warehouse.looked_at(store, settings, utc_now()) as seen:
        server = seen.connection.execute("SHOW server_version").fetchone()[0]
        tables = version(seen.connection)
        users, where = loaded_users(seen) if tables else [], seen.address
    if as_json:
        state = {
            "address": where,
            "server_version": server,
            "tables_version": tables,
            "policies": settings.postgres_policies,
            "users": [{name: _plain(value) for name, value in each.__dict__.items()} for each in users],
        }
        click.echo(json.dumps(state, indent=2))
        return
    click.echo(f"PostgreSQL {server} at {where}; the tables have version {tables}.")
    if tables < newest():
        click.echo(f"This version of echostats needs version {newest()}: echostats warehouse rebuild, or echostats up")
    table = Table(Column("user", no_wrap=True), Column("id", no_wrap=True), "plays", "days", "loaded", "", "login")
    for each in users:
        loaded = f"{each.loaded_at:%Y-%m-%d %H:%M}" if each.loaded_at else "never"
        waits = "waits for an update" if each.waits else "up to date" if each.known else "not known here"
        table.add_row(each.user_key, str(each.id), f"{each.plays:,}", f"{each.days:,}", loaded, waits, each.login or "")
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table)


@warehouse.command()
@click.option("--user", "name", help="Only this user: partition key, display name or Spotify id. All users otherwise.")
def rebuild(name: str | None) -> None:
    """Load users again from nothing, beside what is there, and swap. Readers see the old rows until then."""
    settings = load_settings()
    url_of(settings)
    with open_database(settings) as store, Warehouse.opened(store, settings, utc_now()) as opened:
        users = [store.users.find(name)] if name else store.users.all(simulated=settings.simulated)
        for user in users:
            changed = {part: opened.update(user, part, whole=True).changed for part in PARTS}
            store.incidents.close(FAILED_BUILD.format(user.partition_key), utc_now())
            click.echo(f"{user.partition_key}: loaded {changed['plays']:,} plays.")
    if not users:
        click.echo("There are no users yet.")


@warehouse.command()
@click.argument("sql")
@click.option("--user", "name", help="Show only rows of this user, as a login of the user sees them.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@click.option("--json", "form", flag_value="json", help="Print JSON: a list of objects.")
def query(sql: str, name: str | None, form: str | None) -> None:
    """Execute one statement that only reads, and print its rows. `-` reads the statement from the standard input."""
    settings, console = load_settings(), Console()
    statement = sys.stdin.read() if sql == "-" else sql
    if not statement.strip():
        raise click.UsageError(
            'There is no statement. Give one: echostats warehouse query "SELECT count(*) FROM plays"'
        )
    with _opened(settings, name) as (store, connection):
        user = store.users.find(name) if store is not None and name is not None else None
        columns, rows = querying.read(connection, statement, user)
    if form == "json":
        click.echo(json.dumps(_objects(columns, rows), indent=2, ensure_ascii=False))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_text(value) for value in row] for row in rows)
    else:
        if not console.is_terminal:
            console.width = PIPED_WIDTH
        _print(console, columns, rows)


@warehouse.command()
@user_argument
def grant(name: str) -> None:
    """Make a login that reads the rows of one user and no others, or give it a new password.

    The password is printed once and stored nowhere.
    """
    settings = load_settings()
    url_of(settings)
    with open_database(settings) as store, connected(url_of(settings)) as connection:
        user = store.users.find(name)
        migrate(connection, settings.postgres_policies)
        login = access.grant(connection, user)
    what = "A new login reads" if login.is_new else "There is a new password for the login that reads"
    click.echo(f"{what} the rows of {user.partition_key} and no others:\n")
    click.echo(f"  user:     {login.role}\n  password: {login.password}\n  address:  {login.url}\n")
    click.echo("The password is not stored; run this command again for another one.")


@warehouse.command()
@user_argument
def revoke(name: str) -> None:
    """Drop the login of a user and end its sessions. The user's rows stay."""
    settings = load_settings()
    url_of(settings)
    with open_database(settings) as store, connected(url_of(settings)) as connection:
        user = store.users.find(name)
        migrate(connection, settings.postgres_policies)
        role, dropped = access.revoke(connection, user)
    if dropped:
        click.echo(f"The login {role} is dropped. The rows of {user.partition_key} stay in the warehouse.")
    else:
        click.echo(
            f"The login {role} lets nobody in any more. PostgreSQL keeps the role, because it owns something in "
            f"another database of the server. There: DROP OWNED BY {role}; then: DROP ROLE {role}"
        )


class _Opened(NamedTuple):
    """The core, if a user has to be looked up, and the connection to PostgreSQL."""

    store: Store | None
    connection: Any


@contextmanager
def _opened(settings: Settings, name: str | None) -> Iterator[_Opened]:
    url = url_of(settings)
    if name is None:
        with connected(url) as connection:
            yield _Opened(None, connection)
        return
    with open_database(settings, indexes=False) as store, connected(url) as connection:
        yield _Opened(store, connection)


def _print(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = Table(*(Column(Text(name)) for name in columns))
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row))
    console.print(table)
    console.print(f"{len(rows):,} {'row' if len(rows) == 1 else 'rows'}")


def _objects(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """Rows as JSON has them.

    Raises:
        WarehouseError: two columns have one name.
    """
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise WarehouseError(
            f"Several columns are called {' and '.join(twice)}; JSON has room for one. Name them with AS.",
            permanent=True,
        )
    return [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    match value:
        case list():
            return [_plain(each) for each in value]
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case None | str() | int():
            return value
        case float() | Decimal():
            return _number(value)
    return str(value)


def _number(value: float | Decimal) -> float | str:
    """A number, or the text for one that JSON does not know."""
    if isfinite(value):
        return int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else float(value)
    return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _text(value: Any) -> str:
    """A value as a cell shows it: arrays and objects as JSON, nothing for NULL."""
    if value is None:
        return ""
    if isinstance(value, list | dict | bool):
        return json.dumps(_plain(value), ensure_ascii=False)
    return str(_plain(value) if isinstance(value, float) else value)


def findings(store: Store, settings: Settings) -> HealthFindings:
    """Whether the warehouse can be used, and how far it is."""
    try:
        with connected(url_of(settings)) as connection:
            have = version(connection)
            if have > newest():
                text = f"The tables of the warehouse have version {have}; this version of echostats knows {newest()}."
                yield HealthFinding("warehouse", "problem", text, "Upgrade echostats")
                return
            if have < newest():
                text = f"The tables of the warehouse have version {have} of {newest()}."
                yield HealthFinding("warehouse", "warning", text, "echostats warehouse rebuild, or echostats up")
                return
            seen = Warehouse(connection, store, settings, utc_now())
            users, gone, others = loaded_users(seen), len(seen.gone()), len(seen.others())
    except (SettingsError, WarehouseError) as error:
        yield HealthFinding("warehouse", "problem", str(error), START)
        return
    ours = [each for each in users if each.known]
    waiting = sum(each.waits for each in ours) + len(store.users.all()) - len(ours)
    text = f"{len(ours)} users are in the warehouse"
    if waiting:
        text += f"; {waiting} wait for an update"
    yield HealthFinding("warehouse", "ok", f"{text}.")
    if gone:
        text = f"{gone} removed users are still in the warehouse, or their logins or empty partitions."
        yield HealthFinding("warehouse", "warning", text, "Nothing to do while echostats up runs; its log says why")
    if others:
        text = f"{others} users in the warehouse are not known here: another installation uses it, or did."
        yield HealthFinding("warehouse", "warning", text, "Give each installation a PostgreSQL database of its own")


def rows_in_warehouse(store: Store, settings: Settings, user: User) -> dict[str, int] | None:
    """The number of a user's rows by table; None if PostgreSQL cannot be asked."""
    if settings.postgres is None:
        return {}
    try:
        with Warehouse.looked_at(store, settings, utc_now()) as seen:
            rows = rows_of(seen.connection, user_uuid(user.user_id)) if version(seen.connection) else {}
    except EchostatsError:
        return None
    return {f"warehouse.{table}": count for table, count in rows.items()}


def left_in_warehouse(store: Store, settings: Settings) -> str:
    """Delete what the warehouse has of removed users; return a sentence about it, or nothing without one."""
    if settings.postgres is None:
        return ""
    try:
        with Warehouse.opened(store, settings, utc_now()) as opened:
            reasons, left = opened.remove_gone(), bool(opened.gone())
    except EchostatsError as error:
        reasons, left = [str(error)], True
    if not left:
        return "Their rows in the warehouse, and their login to it, are deleted."
    if not reasons:
        return (
            "An empty partition of theirs is left in the warehouse; `echostats up` drops it once nobody reads `plays`."
        )
    why = " ".join(reasons)
    return f"The warehouse still has something of theirs: {why} `echostats up` deletes it as soon as it can."
