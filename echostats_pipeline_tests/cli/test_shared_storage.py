"""A storage of a shared instance that cannot be used is named in a sentence, at once and without noise."""

import logging
import time
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from echostats_pipeline.cli.doctor import RESTORE_FIX, diagnosis
from echostats_pipeline.cli.instance import open_instance
from echostats_pipeline.cli.shared_storage import refuse_unusable, resolved, variables, without_retries_told
from echostats_pipeline.errors import StorageError
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.restores import RestoreStore
from echostats_pipeline_tests.cli.conftest import Echostats
from echostats_pipeline_tests.conftest import KEY, Installation
from echostats_pipeline_tests.docs.pages import CHECKOUT
from echostats_pipeline_tests.postgres_server import free_port

pytestmark = pytest.mark.dagster
SHIPPED = CHECKOUT / "deploy" / "dagster.yaml"
PLACE = {f"DAGSTER_PG_{name}": "canary" for name in ("USERNAME", "PASSWORD", "DB")} | {"DAGSTER_PG_HOST": "127.0.0.1"}


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped configuration in a folder of its own, with a port where no server listens."""
    for name in PLACE:
        monkeypatch.delenv(name, raising=False)
    config = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    config["storage"]["custom"]["config"]["postgres_db"]["port"] = free_port()
    folder = tmp_path / "deployment"
    folder.mkdir()
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config))
    return folder


def opened(folder: Path, home: Path) -> None:
    settings = Settings(
        home=home, dagster_home=folder, mongo_uri=SecretStr("mongodb://db"), encryption_key=SecretStr(KEY)
    )
    with open_instance(settings):
        pass


def test_variables_that_are_not_set_are_named(
    deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_PG_USERNAME", "dagster")
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "")  # a server may ask for none
    with pytest.raises(StorageError, match=r"dagster.yaml reads DAGSTER_PG_DB, DAGSTER_PG_HOST from the environment"):
        opened(deployment, tmp_path)


def test_what_only_the_launcher_reads_is_not_asked_of_commands() -> None:
    reads, storage = {"config": {"broker": {"env": "NOT_SET_ANYWHERE"}}}, {"sqlite": {"base_dir": "/data"}}
    refuse_unusable(SHIPPED, {"run_launcher": reads, "storage": storage})
    with pytest.raises(StorageError, match="NOT_SET_ANYWHERE"):
        refuse_unusable(SHIPPED, {"compute_logs": reads, "storage": storage})


def test_variables_are_found_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"a": [{"env": "ONE"}, {"b": {"env": "TWO"}}], "env": [{"name": "c", "value": "d"}], "e": None}
    assert sorted(variables(config)) == ["ONE", "TWO"]
    monkeypatch.setenv("ONE", "1")
    monkeypatch.setenv("TWO", "2")
    assert resolved(config) == {"a": ["1", {"b": "2"}], "env": [{"name": "c", "value": "d"}], "e": None}


def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in PLACE.items():
        monkeypatch.setenv(name, value)

    def missing(module: str) -> None:
        raise ModuleNotFoundError("No module named 'dagster_postgres'", name="dagster_postgres.utils")

    monkeypatch.setattr("echostats_pipeline.cli.shared_storage.importlib.import_module", missing)
    with pytest.raises(StorageError, match=r"dagster_postgres.*pip install 'echostats-pipeline\[postgres\]'"):
        opened(deployment, tmp_path)


def test_a_postgresql_that_is_down_is_named_at_once_and_without_noise(
    deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("dagster_postgres")
    for name, value in PLACE.items():
        monkeypatch.setenv(name, value)
    began = time.process_time()
    with pytest.raises(StorageError) as refused:
        opened(deployment, tmp_path)
    assert time.process_time() - began < 5
    assert "127.0.0.1" in str(refused.value)
    assert "refused" in str(refused.value)
    assert "canary" not in str(refused.value)
    assert caplog.text == ""


def test_only_the_retries_of_the_storage_are_kept_from_the_terminal(caplog: pytest.LogCaptureFixture) -> None:
    with without_retries_told():
        logging.warning("Retrying failed database connection: %s", "refused")
        logging.warning("Something else")
    assert [each.message for each in caplog.records] == ["Something else"]
    logging.warning("Retrying failed database connection: %s", "refused")
    assert len(caplog.records) == 2


def test_metrics_give_what_the_database_knows_while_the_instance_cannot_be_opened(
    installation: Installation, echostats: Echostats, deployment: Path
) -> None:
    key = installation.connect().partition_key
    printed = echostats("metrics", DAGSTER_HOME=str(deployment))
    assert printed.returncode == 0
    assert f'echostats_plays{{user="{key}"}} 0.0\n' in printed.stdout
    assert "\nechostats_dagster_instance_found 0.0\n" in printed.stdout
    assert "echostats_failed_runs_24h" not in printed.stdout
    assert "DAGSTER_PG_HOST" in printed.stderr
    assert "Traceback" not in printed.stderr


def test_doctor_says_how_to_end_a_restore(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echostats_pipeline.cli.doctor.load_settings", lambda: installation.settings)
    with RestoreStore(installation.store.db).own("digest", "today.zip", installation.now()):
        found = [each for each in diagnosis() if each.area == "database"]
    assert [(each.level, each.fix) for each in found] == [("problem", RESTORE_FIX)]
    assert "today.zip" in found[0].text
