"""The command: serves until Ctrl-C, or writes exports and exits."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest
import requests
from click.testing import CliRunner

from echostats_pipeline.cli.simulate import simulate
from echostats_pipeline.simulator.behaviour import FAULTS, Behaviour, parse_faults
from echostats_pipeline.simulator.world import World

pytestmark = pytest.mark.kill


@contextmanager
def serving(options: list[str]) -> Iterator[tuple[str, str]]:
    """Run the command in a process. Give its address and output; Ctrl-C must end it without output."""
    code = "from echostats_pipeline.cli.simulate import simulate; simulate()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Clock:"):
                break
        printed = "".join(lines)
        yield re.search(r"http://127\.0\.0\.1:\d+", printed).group(), printed
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_it_serves_until_ctrl_c() -> None:
    with serving(["--seed", "5", "--users", "2"]) as (base_url, printed):
        page = requests.get(
            f"{base_url}/authorize?client_id=c&response_type=code&redirect_uri=https://example.org/", timeout=10
        )
    users = World(seed=5, user_count=2).users
    assert all(user.id in printed and user.id in page.text for user in users)


def test_it_writes_two_exports_and_leaves(tmp_path: Path) -> None:
    result = CliRunner().invoke(simulate, ["--export", str(tmp_path / "exports"), "--users", "1"])
    assert result.exit_code == 0, result.output
    written = sorted((tmp_path / "exports").iterdir())
    assert [path.stem.rpartition("-")[2] for path in written] == ["basic", "extended"]
    for path in written:
        assert ZipFile(path).testzip() is None
        assert str(path) in result.output


def test_a_busy_port_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = CliRunner().invoke(simulate, ["--port", str(listener.getsockname()[1])])
    assert result.exit_code == 1
    assert result.output.startswith("Error: the simulated Spotify cannot listen on 127.0.0.1:")


@pytest.mark.parametrize("option", [["--users", "0"], ["--port", "70000"]])
def test_nonsense_is_refused_by_the_option(option: list[str]) -> None:
    assert CliRunner().invoke(simulate, option).exit_code == 2


def test_an_unknown_fault_is_answered_with_the_names() -> None:
    result = CliRunner().invoke(simulate, ["--faults", "sever-error=0.1"])
    assert result.exit_code == 2
    assert "there is no fault 'sever-error'" in result.output
    assert all(name in result.output for name in FAULTS)


@pytest.mark.parametrize(
    "option",
    [["--regime", "free"], ["--rotate", "often"], ["--quota", "-1"], ["--faults", "server-error@1:505-json"]],
)
def test_a_behaviour_that_cannot_be_is_refused(option: list[str]) -> None:
    assert CliRunner().invoke(simulate, option).exit_code == 2


def test_the_help_lists_every_fault() -> None:
    output = CliRunner().invoke(simulate, ["--help"]).output
    assert all(f"\n  {name}: " in output for name in FAULTS)


def test_it_serves_the_behaviour_of_its_options() -> None:
    options = ["--regime", "restricted_dev", "--quota", "7", "--rotate", "always"]
    faults = "server-error=0.1,late-rows=0.05,rate-limit@2+3:zero"
    with serving([*options, "--rate-limit", "9", "--faults", faults]) as (base_url, _):
        behaviour = requests.get(f"{base_url}/simulator/behaviour", timeout=10).json()
    assert Behaviour().changed(behaviour) == Behaviour(
        regime="restricted_dev", quota=7, rate_limit=9, rotation="always", faults=parse_faults(faults)
    )
