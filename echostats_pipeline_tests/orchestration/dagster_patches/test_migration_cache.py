"""Migrations of Dagster's databases: read once, with the same result."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from echostats_pipeline.orchestration.dagster_patches import migration_cache
from echostats_pipeline_tests.orchestration.instance_factories import OURS, instance_with


def test_however_often_dagster_opens_its_databases_migrations_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, stock = list[Config](), migration_cache._read

    def reading(config: Config) -> ScriptDirectory:
        read.append(config)
        return stock(config)

    monkeypatch.setattr(migration_cache, "_known", {})
    monkeypatch.setattr(migration_cache, "_read", reading)
    for _ in range(3):
        with instance_with(OURS, tmp_path / "instance") as instance:
            assert instance.get_runs_count() == 0
    (config,), (known,) = read, migration_cache._known.values()
    assert known.as_revision_number("head") == stock(config).as_revision_number("head")
