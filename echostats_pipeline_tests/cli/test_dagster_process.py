"""Dagster's processes under `echostats up`: a process that dies, while it starts or later, is restarted."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from echostats_pipeline.cli import dagster_process
from echostats_pipeline.cli.dagster_process import DagsterDiedError, keep_dagster_running
from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.state_folder import StateFolder

pytestmark = pytest.mark.kill


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"ECHOSTATS_HOME": str(tmp_path / "home")}, env_file=None)


class Scripted:
    """Starts of Dagster that each die while starting (True), or later (False); then a person presses Ctrl-C."""

    def __init__(self, settings: Settings, patch: pytest.MonkeyPatch, *deaths: bool) -> None:
        self.said: list[str] = []
        self.pauses: list[float] = []
        self._settings = settings
        self._deaths = iter(deaths)
        (StateFolder(settings.home).ensure().path / "dagster.log").write_text("the last words\n")
        patch.setattr(dagster_process, "_dagster", self._dagster)
        patch.setattr(dagster_process, "_watch", lambda *_: None)
        patch.setattr(dagster_process, "time", SimpleNamespace(sleep=self.pauses.append, monotonic=time.monotonic))

    @contextmanager
    def _dagster(self, *_: object) -> Iterator[object]:
        died_early = next(self._deaths, None)
        if died_early is None:
            raise KeyboardInterrupt
        if died_early:
            raise DagsterDiedError("Dagster has died while it started")
        yield subprocess.run([sys.executable, "-c", "raise SystemExit(9)"], check=False)

    def run(self) -> None:
        keep_dagster_running(self._settings, 3000, self.said.append, "Welcome")


def test_what_dies_while_it_starts_is_started_again_and_greets_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Scripted(settings, monkeypatch, True, True, False, False)
    with pytest.raises(KeyboardInterrupt):
        script.run()
    assert script.pauses == [0, 1, 2, 5]
    assert [line for line in script.said if "again" not in line] == ["Welcome"]
    assert script.said[-2:] == [
        "Dagster runs again.",
        "Dagster has stopped by itself (exit code 9); starting it again in 5 s.",
    ]


@pytest.mark.parametrize("early", [True, False])
def test_what_dies_again_and_again_ends_with_its_last_words(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    script = Scripted(settings, monkeypatch, *([early] * 9))
    with pytest.raises(EchostatsError, match=r"died 6 times(.|\n)*the last words"):
        script.run()
    assert script.pauses == [0, 1, 2, 5, 10]
