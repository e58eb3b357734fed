import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, WriteConcern
from pymongo.errors import OperationFailure

from echostats_pipeline.errors import EmbeddedServerError
from echostats_pipeline.local import mongod, mongod_access
from echostats_pipeline.local.mongod import EmbeddedServer, ensure_running, find_mongod
from echostats_pipeline.local.mongod_process import (
    MongodFiles,
    data_in_use,
    last_error,
    leave_running,
    lock_holder,
    start_mongod,
    wait_until_listening,
)
from echostats_pipeline.state_folder import StateFolder

pytestmark = pytest.mark.kill

fcntl = pytest.importorskip("fcntl", reason="these tests lock files and send signals as POSIX systems do")

ASK = """
import json, pathlib, sys
from echostats_pipeline.local.mongod import ensure_running
from echostats_pipeline.state_folder import StateFolder
server = ensure_running(StateFolder(pathlib.Path(sys.argv[1])))
print(json.dumps([server.pid, server.port, server.started_here]))
"""


@pytest.fixture(scope="session")
def mongod_path() -> Path:
    try:
        return find_mongod()
    except EmbeddedServerError as error:
        pytest.skip(f"no mongod to test with: {error}")


@pytest.fixture
def new_home(tmp_path: Path, mongod_path: Path) -> Iterator[Callable[[str], StateFolder]]:
    """Make state folders. At the end, kill every mongod that still uses one."""
    homes: list[StateFolder] = []

    def make(name: str) -> StateFolder:
        homes.append(StateFolder(tmp_path / name))
        return homes[-1]

    yield make
    for home in homes:
        files = MongodFiles(home.mongo_dir)
        while data_in_use(files) and (holder := lock_holder(files)) not in {None, os.getpid()}:
            os.kill(holder, signal.SIGKILL)
            time.sleep(0.05)


@pytest.fixture
def home(new_home: Callable[[str], StateFolder]) -> StateFolder:
    return new_home("home")


@pytest.fixture
def files(home: StateFolder) -> MongodFiles:
    return MongodFiles(home.mongo_dir)


def connected(uri: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(uri, serverSelectionTimeoutMS=3000)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill(server: EmbeddedServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while alive(server.pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_server_starts_once_is_shared_and_stops_cleanly(home: StateFolder, files: MongodFiles) -> None:
    assert mongod.status(home) is None
    assert mongod.stop(home) is False
    assert not home.path.exists()
    first = ensure_running(home)
    assert first.started_here
    again = ensure_running(home)
    assert (again.pid, again.port, again.uri, again.started_here) == (first.pid, first.port, first.uri, False)
    assert mongod.status(home) == again
    state = json.loads(files.state.read_text())
    assert (state["pid"], state["port"]) == (first.pid, first.port)
    assert mongod.stop(home) is True
    assert not alive(first.pid)
    assert not files.state.exists()
    assert mongod.stop(home) is False
    assert mongod.status(home) is None


def test_only_the_password_opens_the_database(home: StateFolder) -> None:
    server = ensure_running(home)
    with connected(f"mongodb://127.0.0.1:{server.port}/") as stranger, pytest.raises(OperationFailure):
        stranger.list_database_names()
    with connected(server.uri_for("echostats")) as client:
        assert client.get_default_database().name == "echostats"
        assert "admin" in client.list_database_names()


def test_the_address_is_percent_encoded_and_its_password_not_shown() -> None:
    server = EmbeddedServer(port=1, pid=2, started_here=True, password="a/b@c:d")
    assert server.uri == "mongodb://echostats:a%2Fb%40c%3Ad@127.0.0.1:1/?authSource=admin&directConnection=true"
    assert server.uri_for("my db").endswith("@127.0.0.1:1/my%20db?authSource=admin&directConnection=true")
    assert "a/b" not in repr(server)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_server_is_private_and_detached(home: StateFolder, files: MongodFiles) -> None:
    server = ensure_running(home)
    process = Path(f"/proc/{server.pid}")
    listening = [
        line.split()[1].split(":")
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    ]
    assert {address for address, port in listening if int(port, 16) == server.port} == {"0100007F"}
    assert server.password not in process.joinpath("cmdline").read_text()
    assert server.password not in files.log.read_text() + files.output.read_text()
    assert os.getsid(server.pid) == server.pid
    assert str((process / "fd" / "0").readlink()) == os.devnull
    kept = [home.path, *home.path.rglob("*")]
    assert [path for path in kept if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_eight_processes_at_once_get_one_server(home: StateFolder) -> None:
    command = [sys.executable, "-c", ASK, str(home.path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert len({(pid, port) for pid, port, _ in answers}) == 1
    assert sum(started for _, _, started in answers) == 1
    server = ensure_running(home)
    assert ([server.pid, server.port], server.started_here) == (answers[0][:2], False)


def test_a_killed_server_comes_back_with_its_data_and_port(home: StateFolder, files: MongodFiles) -> None:
    first = ensure_running(home)
    with connected(first.uri) as client:
        client.get_database("echostats").get_collection("t", write_concern=WriteConcern(w=1, j=True)).insert_one(
            {"_id": 7}
        )
    kill(first)
    assert files.state.exists()
    second = ensure_running(home)
    assert second.started_here
    assert (second.port, second.pid == first.pid) == (first.port, False)
    with connected(second.uri) as client:
        assert client["echostats"]["t"].find_one() == {"_id": 7}
    assert files.previous_log.exists()


def test_a_killed_starter_leaves_a_server_that_the_next_one_uses(home: StateFolder, files: MongodFiles) -> None:
    starter = subprocess.Popen([sys.executable, "-c", ASK, str(home.path)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while lock_holder(files) is None and time.monotonic() < deadline:
        time.sleep(0.005)
    starter.kill()
    starter.wait()
    orphan = lock_holder(files)
    server = ensure_running(home)
    assert (server.pid, server.started_here) == (orphan, False)
    assert mongod.stop(home)


def test_a_first_start_without_its_user_is_completed(home: StateFolder, files: MongodFiles, mongod_path: Path) -> None:
    home.ensure().write_private(files.password, "secret\n")
    process = start_mongod(mongod_path, files, mongod.free_port(), 0.25)
    assert wait_until_listening(process, files, 30) is None
    leave_running(process)
    server = ensure_running(home)
    assert (server.pid, server.started_here, server.password) == (process.pid, False, "secret")


@pytest.mark.parametrize(
    "state", ['{"pid": PID, "port": 1, "started_at": ""}', '{"pid": PID, "po', "[]", '{"pid": []}']
)
def test_a_stale_or_damaged_state_file_is_only_a_hint(home: StateFolder, files: MongodFiles, state: str) -> None:
    home.ensure().write_private(files.state, state.replace("PID", str(os.getpid())))
    server = ensure_running(home)
    assert server.started_here
    assert server.pid != os.getpid()


def test_a_running_server_is_found_without_its_state_file(home: StateFolder, files: MongodFiles) -> None:
    first = ensure_running(home)
    files.state.unlink()
    assert ensure_running(home).pid == first.pid
    assert json.loads(files.state.read_text())["port"] == first.port


def test_a_copied_state_folder_gets_a_server_of_its_own(new_home: Callable[[str], StateFolder]) -> None:
    original = new_home("original")
    first = ensure_running(original)
    copy = new_home("copy")
    shutil.copytree(original.mongo_dir, copy.mongo_dir, ignore=shutil.ignore_patterns("data"))
    second = ensure_running(copy)
    assert second.started_here
    assert (second.pid != first.pid, second.port != first.port) == (True, True)
    assert mongod.stop(copy)
    assert mongod.status(original) is not None


def test_a_taken_port_is_replaced_by_another(home: StateFolder) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], mongod.free_port()])
        server = ensure_running(home, choose_port=lambda: next(ports))
        assert server.port != taken.getsockname()[1]


def test_running_stops_what_it_started_and_nothing_else(home: StateFolder) -> None:
    with mongod.running(home) as outer:
        with mongod.running(home) as inner:
            assert (inner.pid, inner.started_here) == (outer.pid, False)
        assert mongod.status(home) is not None
    assert mongod.status(home) is None


def test_a_long_log_is_rotated_and_the_server_still_found(
    home: StateFolder, files: MongodFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ensure_running(home)
    monkeypatch.setattr(mongod_access, "LOG_LIMIT_BYTES", 1)
    for _ in range(3):
        ensure_running(home)
    files.state.unlink()
    assert ensure_running(home).pid == server.pid
    assert sorted(path.name for path in files.folder.glob("mongod.log*")) == ["mongod.log", "mongod.log.1"]


def test_a_server_that_ignores_the_command_is_ended_by_signal(
    home: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ensure_running(home)
    monkeypatch.setattr(mongod, "_STOP_TIMEOUT_S", 0.5)
    monkeypatch.setattr(mongod, "ask_to_stop", lambda port, password: os.kill(server.pid, signal.SIGSTOP))
    assert mongod.stop(home)
    assert not alive(server.pid)


def test_a_wrong_or_missing_password_file_says_which(home: StateFolder, files: MongodFiles) -> None:
    ensure_running(home)
    password = files.password.read_text()
    for stopped in (False, True):
        for damage in (lambda: home.write_private(files.password, "wrong"), files.password.unlink):
            damage()
            with pytest.raises(EmbeddedServerError, match=str(files.password)):
                ensure_running(home)
            home.write_private(files.password, password)
        assert data_in_use(files) is not stopped
        mongod.stop(home)
    assert ensure_running(home).started_here


def test_damaged_data_files_are_reported_in_the_words_of_mongod(home: StateFolder, files: MongodFiles) -> None:
    ensure_running(home)
    mongod.stop(home)
    with (files.data / "WiredTiger.wt").open("r+b") as file:
        file.write(b"\xa5" * 4096)
    with pytest.raises(EmbeddedServerError, match=r"WiredTiger\.wt is corrupted.*mongod\.log"):
        ensure_running(home)
    assert not data_in_use(files)


def test_an_unknown_holder_of_the_data_is_named_and_left_alone(home: StateFolder, files: MongodFiles) -> None:
    home.ensure().write_private(files.password, "secret")
    files.data.mkdir()
    with (files.data / "mongod.lock").open("w") as lock:
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        for use in (lambda: ensure_running(home, timeout_s=0.2), lambda: mongod.stop(home)):
            with pytest.raises(EmbeddedServerError, match=f"Process {os.getpid()} holds the database"):
                use()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'Error parsing command line: no --quiet'; exit 2", "exit code 2.*Error parsing command line"),
        ("exec sleep 60", "did not start in 1 seconds"),
    ],
)
def test_a_mongod_that_does_not_come_up_is_quoted_and_ended(
    tmp_path: Path, home: StateFolder, files: MongodFiles, script: str, said: str
) -> None:
    binary = tmp_path / "mongod"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    with pytest.raises(EmbeddedServerError, match=said) as error:
        ensure_running(home, mongod=binary, timeout_s=1)
    assert str(files.log) in str(error.value)
    assert not files.state.exists()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"s": "F", "id": 21404, "msg": "UPGRADE PROBLEM", "attr": {"error": "BadVersion: 7.0"}}, "BadVersion: 7.0"),
        ({"s": "E", "id": 1, "msg": "Listen", "attr": {"error": {"errmsg": "in use"}}}, "Listen: in use"),
        ({"s": "E", "id": 1, "msg": "Odd", "attr": {"left": 3}}, 'Odd: {"left": 3}'),
    ],
)
def test_the_last_error_is_the_cause_and_not_the_noise_after_it(
    tmp_path: Path, entry: dict[str, Any], said: str
) -> None:
    files = MongodFiles(tmp_path)
    noise = {"s": "F", "id": 23090, "msg": "\n\n***aborting after fassert() failure\n\n"}
    files.log.write_text(f'{{"cut": \n{json.dumps({"s": "I", "msg": "x"})}\n{json.dumps(entry)}\n{json.dumps(noise)}\n')
    assert (
        last_error(files)
        == f"Its last error: {entry['msg']}: {said.removeprefix(entry['msg'] + ': ')}. Its log: {files.log}"
    )


def test_what_mongod_prints_is_quoted_where_its_log_says_nothing(tmp_path: Path) -> None:
    files = MongodFiles(tmp_path)
    assert last_error(files) == f"It logged no error. Its log: {files.log}"
    applied = json.dumps({"s": "I", "msg": "Applied --setParameter options"})
    files.output.write_text(f"{applied}\n\nError parsing command line\ntry --help\n")
    assert last_error(files) == f"It printed: Error parsing command line. Its log: {files.log}"
    files.output.write_text(
        f"{applied}\n{json.dumps({'s': 'F', 'msg': 'Log', 'attr': {'error': 'disk full'}})}\nBACKTRACE"
    )
    assert last_error(files) == f"Its last error: Log: disk full. Its log: {files.log}"
