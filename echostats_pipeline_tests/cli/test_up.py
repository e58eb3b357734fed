"""``echostats up``: one process for each state folder, and ports in use."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from echostats_pipeline.cli.dagster_process import orphan_file, stop_orphan
from echostats_pipeline.cli.only_up import only_up
from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.local.processes import command_of
from echostats_pipeline.local.webserver import webserver_file
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline_tests.cli.conftest import Echostats, refused

pytestmark = pytest.mark.kill

HOLD = """
import pathlib, time
from echostats_pipeline.cli.only_up import only_up
from echostats_pipeline.state_folder import StateFolder
with only_up(StateFolder(pathlib.Path({home!r})).ensure(), "http://127.0.0.1:3000"):
    print("held", flush=True)
    time.sleep(60)
"""


def holding(home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD.format(home=str(home))], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == "held\n"
    return process


def test_a_second_one_says_who_runs_and_touches_nothing(tmp_path: Path, echostats: Echostats) -> None:
    home = tmp_path / "home"
    first = holding(home)
    try:
        left = webserver_file(home)
        left.write_text("{}")
        before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
        for port in ("3000", "3001"):
            said = refused(echostats("up", "--port", port, ECHOSTATS_HOME=str(home)))
            assert f"process {first.pid}, http://127.0.0.1:3000, since 20" in said
            assert "--port of its own" in said
        assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    finally:
        first.kill()
        first.wait()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    home = StateFolder(tmp_path / "home")
    first = holding(home.path)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    with only_up(home, "http://127.0.0.1:3001"):
        assert json.loads((home.path / "up.json").read_text())["pid"] == os.getpid()
        with pytest.raises(EchostatsError, match=f"process {os.getpid()}, http://127.0.0.1:3001"):
            only_up(home, "http://127.0.0.1:3002").__enter__()
    assert not (home.path / "up.json").exists()


def test_folders_of_their_own_do_not_disturb_each_other(tmp_path: Path) -> None:
    one, other = (StateFolder(tmp_path / name).ensure() for name in ("one", "other"))
    with only_up(one, "http://127.0.0.1:3000"), only_up(other, "http://127.0.0.1:3001"):
        assert (one.path / "up.json").exists()
        assert (other.path / "up.json").exists()


def test_a_taken_port_is_told_with_one_that_is_free(tmp_path: Path, echostats: Echostats) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(echostats("up", "--port", str(port), ECHOSTATS_HOME=str(tmp_path / "home")))
    assert f"Port {port} of 127.0.0.1 cannot be used: Address already in use." in said
    free = int(said.rpartition("echostats up --port ")[2])
    assert free != port
    assert "another `echostats up`" not in said


def test_a_process_id_that_now_is_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    home = StateFolder(tmp_path / "home").ensure()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        until = time.monotonic() + 30
        while "input()" not in command_of(other.pid):  # it has none before it is executed
            assert time.monotonic() < until
            time.sleep(0.01)
        home.write_json(orphan_file(home), {"url": "http://127.0.0.1:1", "dagster": other.pid})
        assert not stop_orphan(home)
        assert other.poll() is None
        assert not orphan_file(home).exists()
    finally:
        other.kill()
        other.communicate()
