"""Which Dagster instance a command uses: that of DAGSTER_HOME, or else that of the state folder."""

import os
from datetime import date
from pathlib import Path
from typing import cast

import pytest
import yaml
from pydantic import SecretStr
from rich.console import Console

from echostats_pipeline.cli.doctor import diagnosis
from echostats_pipeline.cli.instance import (
    Runner,
    instance_exists,
    open_instance,
    prepare_dagster_home,
    shared_dagster_home,
)
from echostats_pipeline.errors import StorageError
from echostats_pipeline.orchestration.instance.identity import instance_id
from echostats_pipeline.orchestration.partitions import FIRST_DAY
from echostats_pipeline.settings import EMBEDDED_MONGO, Settings
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import KEY

pytestmark = pytest.mark.dagster


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder with the configuration of an instance, as of a deployment."""
    return prepare_dagster_home(StateFolder(tmp_path / "deployment"))


def test_commands_of_two_machines_share_the_instance_of_dagster_home(tmp_path: Path, shared: Path) -> None:
    ids = set()
    for machine in ("a", "b"):
        settings = Settings(home=tmp_path / machine, dagster_home=shared)
        assert instance_exists(settings)
        with open_instance(settings) as instance:
            assert os.environ["DAGSTER_HOME"] == str(shared)
            ids.add(instance_id(instance))
        assert "DAGSTER_HOME" not in os.environ
    assert len(ids) == 1
    assert not (tmp_path / "a").exists()


def test_two_state_folders_have_two_instances(tmp_path: Path) -> None:
    ids = set()
    for machine in ("a", "b", "a"):
        settings = Settings(home=tmp_path / machine, dagster_home=tmp_path)  # holds no dagster.yaml
        assert shared_dagster_home(settings) is None
        with open_instance(settings) as instance:
            assert os.environ["DAGSTER_HOME"] == str(tmp_path / machine / "dagster")
            assert os.environ[EMBEDDED_MONGO] == "1"
            ids.add(instance_id(instance))
    assert len(ids) == 2


def test_the_first_day_of_a_deployment_is_the_same_everywhere_and_in_no_file(tmp_path: Path, shared: Path) -> None:
    settings = Settings(
        home=tmp_path / "empty", dagster_home=shared, mongo_uri=SecretStr("mongodb://db"), encryption_key=SecretStr(KEY)
    )
    with open_instance(settings) as instance:
        runner = Runner(instance, cast("Store", None), settings, Console(quiet=True))
        assert runner.first_day() == FIRST_DAY
        assert runner.first_day(date(2005, 1, 1)) == date(2005, 1, 1)
    assert not settings.home.exists()


@pytest.mark.parametrize(
    "config",
    [
        {"storage": {"sqlite": {"base_dir": ".dagster/storage"}}},
        {
            "run_storage": {
                "module": "dagster._core.storage.runs",
                "class": "SqliteRunStorage",
                "config": {"base_dir": ".dagster/storage"},
            }
        },
    ],
)
def test_a_history_in_a_relative_folder_that_is_not_here_is_refused(
    tmp_path: Path, config: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    settings = Settings(home=tmp_path / "home", dagster_home=tmp_path)
    with pytest.raises(StorageError, match="absolute path"), open_instance(settings):
        pass
    assert not (tmp_path / ".dagster").exists()


def test_an_instance_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("storage: {nonsense: {}}")
    settings = Settings(home=tmp_path / "home", dagster_home=tmp_path)
    with pytest.raises(StorageError, match="DAGSTER_HOME"), open_instance(settings):
        pass


def test_doctor_says_when_there_is_no_instance_and_when_dagster_home_is_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHOSTATS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    found = {each.area: each for each in diagnosis()}
    assert found["daemon"].level == found["instance"].level == "warning"
    assert "DAGSTER_HOME" in found["daemon"].fix
    assert "dagster.yaml" in found["instance"].text
