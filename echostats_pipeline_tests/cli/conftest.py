"""The command line in a process of its own, with a state folder in `tmp_path`."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Echostats = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def echostats(tmp_path: Path, new_settings: Callable[..., Mapping[str, str]]) -> Echostats:
    """Runs a command with the settings of the test, changed by keyword; its exit code is up to the test."""

    def run(*arguments: str, typed: str = "", **overrides: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "echostats_pipeline.cli.main", *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **new_settings(**overrides)},
            cwd=tmp_path,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def refused(ended: subprocess.CompletedProcess[str]) -> str:
    """The message of a command that ended with an error: one line, no traceback."""
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("Error: ")
    return lines[0]
