"""Keeps Dagster from reading all migrations of its databases again with every tick.

Dagster creates its storages for each tick of a sensor, and for each run's file of events, and checks each time whether
the schema is the newest. Alembic then reads and compiles every migration: 55 ms of processor time, half of what the
code server of an idle `echostats up` used.
"""

from alembic.config import Config
from alembic.script import ScriptDirectory

_read = ScriptDirectory.from_config
_known: dict[str | None, ScriptDirectory] = {}


def read_migrations_once() -> None:
    """Make this process keep the migrations that it has read. They change only with an upgrade."""
    ScriptDirectory.from_config = staticmethod(_kept)  # type: ignore[method-assign]


def _kept(config: Config) -> ScriptDirectory:
    place = config.get_main_option("script_location")
    if place not in _known:
        _known[place] = _read(config)
    return _known[place]
