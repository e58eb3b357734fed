"""``echostats mongo``: the embedded server, managed by hand."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from echostats_pipeline.cli.mongo import mongo
from echostats_pipeline.errors import EmbeddedServerError, SettingsError
from echostats_pipeline.local import mongod
from echostats_pipeline.local.mongod import ensure_running
from echostats_pipeline.state_folder import StateFolder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateFolder]:
    """A state folder whose server, if one is started, is stopped afterwards."""
    monkeypatch.chdir(tmp_path)
    try:
        mongod.find_mongod()
    except EmbeddedServerError as error:
        pytest.skip(f"no mongod to test with: {error}")
    folder = StateFolder(tmp_path / "home")
    yield folder
    mongod.stop(folder)


def test_the_command_line_prints_only_the_address(home: StateFolder) -> None:
    run = CliRunner(env={"ECHOSTATS_HOME": str(home.path), "MONGO_URI": "", "MONGO_DB": "plays"})
    assert run.invoke(mongo, ["status"]).exit_code == 1
    first = run.invoke(mongo, ["uri"], catch_exceptions=False)
    assert "echostats mongo stop" in first.stderr
    server = ensure_running(home)
    for answer in (first, run.invoke(mongo, ["uri"])):
        assert answer.stdout == f"{server.uri_for('plays')}\n"
    assert server.password not in first.stderr + run.invoke(mongo, ["status"]).output
    assert str(server.pid) in run.invoke(mongo, ["status"]).output
    assert "Already running" in run.invoke(mongo, ["start"]).output
    assert "Stopped" in run.invoke(mongo, ["stop"]).output
    assert "not running" in run.invoke(mongo, ["stop"]).output


def test_the_command_line_leaves_a_server_of_the_user_alone(home: StateFolder) -> None:
    uri = "mongodb://me:pw@example.net/db"
    run = CliRunner(env={"ECHOSTATS_HOME": str(home.path), "MONGO_URI": uri, "ENCRYPTION_KEY": "0" * 64})
    assert run.invoke(mongo, ["uri"]).output == f"{uri}\n"
    assert "pw" not in run.invoke(mongo, ["status"]).output
    for command in ("start", "stop"):
        refused = run.invoke(mongo, [command])
        assert refused.exit_code != 0
        assert isinstance(refused.exception, SettingsError)
    assert not home.path.exists()
