"""Whether the storage of a shared Dagster instance can be used, before Dagster opens it.

Dagster itself looks for a PostgreSQL that does not respond for a quarter of a minute, writes a warning at each try, and
names neither the server nor a variable that is not set.
"""

import importlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from echostats_pipeline.errors import StorageError
from echostats_pipeline.monitoring.incidents import one_line
from echostats_pipeline.settings import environment_value

EXTRAS = {"dagster_postgres": "postgres", "psycopg2": "postgres"}
"""Which extra of this project brings a module."""
CONNECT_S = 5
POSTGRES = "DagsterPostgresStorage"


def refuse_unusable(file: Path, config: Mapping[str, Any]) -> None:
    """Refuse a configuration whose storage cannot be used from here.

    Args:
        file: The ``dagster.yaml``, for messages.
        config: Its content.

    Raises:
        StorageError: a variable that it reads is not set, a package is not installed, or PostgreSQL lets nobody in.
    """
    # Commands start no runs with the launcher, so they can do without what it reads.
    of_commands = {section: value for section, value in config.items() if section != "run_launcher"}
    missing = sorted({name for name in variables(of_commands) if environment_value(name) is None})
    if missing:
        are = "is" if len(missing) == 1 else "are"
        raise StorageError(f"{file} reads {', '.join(missing)} from the environment, where it {are} not set.")
    storage = config.get("storage") or {}
    custom = storage.get("custom") or {}
    kind = _imported(file, str(custom["module"]), str(custom.get("class"))) if "module" in custom else None
    if any(each.__name__ == POSTGRES for each in getattr(kind, "__mro__", ())):
        _connect(file, resolved(custom.get("config") or {}))


def variables(config: Any) -> Iterator[str]:
    """Names of the environment variables that a configuration reads, like ``{env: DAGSTER_PG_HOST}``."""
    if isinstance(config, Mapping):
        if config.keys() == {"env"} and isinstance(config["env"], str):
            yield config["env"]
            return
        config = list(config.values())
    if isinstance(config, list):
        for each in config:
            yield from variables(each)


def resolved(config: Any) -> Any:
    """A configuration with the values of its variables."""
    if isinstance(config, Mapping):
        if config.keys() == {"env"} and isinstance(config["env"], str):
            return environment_value(config["env"])
        return {name: resolved(value) for name, value in config.items()}
    return [resolved(each) for each in config] if isinstance(config, list) else config


def root_cause(error: BaseException) -> str:
    """What an error at opening an instance began with; the storage wraps that of its driver."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {one_line(str(error))}"


@contextmanager
def without_retries_told() -> Iterator[None]:
    """Keep the storage's warnings about each try from the terminal until the block ends."""

    def is_other(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Retrying failed database")

    root = logging.getLogger()
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeFilter(is_other)


def _imported(file: Path, module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        extra = EXTRAS.get(package)
        fix = f": pip install 'echostats-pipeline[{extra}]'" if extra else ""
        raise StorageError(f"{file} needs the package {package}, which is not installed here{fix}") from error


def _connect(file: Path, config: Mapping[str, Any]) -> None:
    """Connect once, with the driver and the address that the storage uses."""
    from dagster_postgres.utils import pg_url_from_config  # noqa: PLC0415 - only with the extra

    from echostats_pipeline.orchestration.dagster_patches.postgres_storage import with_driver  # noqa: PLC0415

    if "auth_provider" in config:
        return  # the storage gets its password elsewhere
    try:
        url = sa.make_url(with_driver(pg_url_from_config(config)))
        waits = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_S}
        sa.create_engine(url, connect_args=waits, poolclass=sa.NullPool).connect().close()
    except sa.exc.DBAPIError as error:
        raise StorageError(
            f"PostgreSQL, in which {file} keeps Dagster's history, cannot be used: {one_line(str(error.orig))}"
        ) from error
