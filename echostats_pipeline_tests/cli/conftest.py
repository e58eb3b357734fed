"""Fixtures that call the command line, with a state folder in `tmp_path`."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from echostats_pipeline.cli.main import main
from echostats_pipeline.storage import database


@dataclass(frozen=True)
class Ended:
    """Exit code and output of a command that has ended."""

    returncode: int
    stdout: str
    stderr: str


Echostats = Callable[..., Ended]


@pytest.fixture
def echostats(
    tmp_path: Path,
    new_settings: Callable[..., Mapping[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Echostats:
    """Run a command in this process, with the test's settings changed by keyword, and an empty input."""

    def run(*arguments: str, **overrides: str) -> Ended:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            for name, value in new_settings(**overrides).items():
                patch.setenv(name, value)
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", ["echostats", *arguments])
            patch.setattr(sys, "stdin", StringIO())
            if "MONGO_URI" in overrides:  # a server that does not answer; that of the tests may be slow, but answers
                patch.setattr(database, "SERVER_SELECTION_TIMEOUT_MS", 300)
            code = 0
            try:
                main()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 1
        return Ended(code, *capsys.readouterr())

    return run


def refused(ended: Ended) -> str:
    """The message of a command that ended with an error: one line, no traceback."""
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("Error: ")
    return lines[0]
