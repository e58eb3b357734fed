"""``echostats doctor`` survives the problems it finds, and reports them in one table or as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline_tests.cli.conftest import Echostats, Ended
from echostats_pipeline_tests.conftest import Installation

pytestmark = pytest.mark.dagster

PASSWORD = "s3cret-canary"


def by_area(ended: Ended) -> dict[str, list[dict[str, Any]]]:
    assert "Traceback" not in ended.stdout + ended.stderr
    report = json.loads(ended.stdout)
    areas: dict[str, list[dict[str, Any]]] = {}
    for finding in report["findings"]:
        assert finding["fix"] or finding["level"] == "ok", finding
        areas.setdefault(finding["area"], []).append(finding)
    assert ended.returncode == (1 if report["level"] == "problem" else 0)
    return areas


def levels(areas: dict[str, list[dict[str, Any]]], area: str) -> set[str]:
    return {finding["level"] for finding in areas[area]}


def test_everything_is_looked_at(installation: Installation, echostats: Echostats) -> None:
    installation.connect()
    found = by_area(echostats("doctor", "--json"))
    areas = {"versions", "disk", "alerts", "database", "indexes", "key", "users", "quota", "clock", "daemon"}
    assert areas <= found.keys()
    assert levels(found, "key") == levels(found, "indexes") == levels(found, "versions") == {"ok"}
    shown = echostats("doctor")
    assert "what to do" in shown.stdout


def test_what_dagster_has_done_is_looked_at(installation: Installation, echostats: Echostats) -> None:
    user = installation.connect()
    echostats("users", "remove", user.partition_key)  # opens the instance, asks, and is aborted
    found = by_area(echostats("doctor", "--json"))
    assert {"daemon", "sensors", "runs"} <= found.keys()
    assert levels(found, "runs") == {"ok"}


def test_a_wrong_key_is_a_finding(installation: Installation, echostats: Echostats) -> None:
    installation.connect()
    assert levels(by_area(echostats("doctor", "--json", ENCRYPTION_KEY="ab" * 32)), "key") == {"problem"}
    malformed = by_area(echostats("doctor", "--json", ENCRYPTION_KEY="canary"))
    assert levels(malformed, "settings") == {"problem"}
    assert "canary" not in json.dumps(malformed)


@pytest.mark.parametrize("uri", [f"mongodb://me:{PASSWORD}@127.0.0.1:1/", f"mongodb://me:{PASSWORD}@127.0.0.1:99999/"])
def test_a_database_that_is_down_is_a_finding_without_its_password(
    installation: Installation, echostats: Echostats, uri: str
) -> None:
    ended = echostats("doctor", "--json", MONGO_URI=uri)
    found = by_area(ended)
    assert levels(found, "database") == {"problem"}
    assert "daemon" in found
    assert PASSWORD not in ended.stdout + ended.stderr


def test_nothing_there_yet_is_a_warning_and_nothing_is_made(echostats: Echostats, tmp_path: Path) -> None:
    found = by_area(echostats("doctor", "--json", MONGO_URI="", ENCRYPTION_KEY=""))
    assert levels(found, "disk") == levels(found, "database") == {"warning"}
    assert not (tmp_path / "home").exists()


def test_a_state_folder_that_is_a_file_and_a_broken_history_are_findings(
    installation: Installation, echostats: Echostats, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert by_area(echostats("doctor", "--json", ECHOSTATS_HOME=str(tmp_path / "file")))
    history = StateFolder(installation.settings.home).dagster_dir / "storage"
    history.mkdir()
    (history / "runs.db").write_text("this is no database")
    found = by_area(echostats("doctor", "--json"))
    assert levels(found, "Dagster") == {"problem"}
    assert levels(found, "indexes") == {"ok"}
