"""The command: serves until Ctrl-C, or writes exports and leaves."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
import requests
from click.testing import CliRunner

from echostats_pipeline.cli.simulate import simulate
from echostats_pipeline.simulator.world import World


def test_it_serves_until_ctrl_c() -> None:
    code = "from echostats_pipeline.cli.simulate import simulate; simulate()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--port", "0", "--seed", "5", "--users", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Clock:"):
                break
        printed = "".join(lines)
        base_url = re.search(r"http://127\.0\.0\.1:\d+", printed).group()
        page = requests.get(
            f"{base_url}/authorize?client_id=c&response_type=code&redirect_uri=https://example.org/", timeout=10
        )
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
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
