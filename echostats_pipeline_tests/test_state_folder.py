import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from echostats_pipeline.errors import StorageError
from echostats_pipeline.state_folder import StateFolder

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX matter")


@pytest.fixture
def home(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "deep" / "home")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix_only
def test_a_new_folder_and_its_sub_folders_are_private(home: StateFolder) -> None:
    assert home.ensure() is home
    folders = [
        home.path,
        home.mongo_dir,
        home.dagster_dir,
        home.imports_dir,
        home.simulated_dir,
        home.reports_dir,
        home.pictures_dir,
    ]
    assert [mode(folder) for folder in folders] == [0o700] * 7


@posix_only
def test_an_own_folder_that_is_too_open_is_tightened(home: StateFolder) -> None:
    home.path.mkdir(parents=True, mode=0o755)
    home.path.chmod(0o755)
    home.ensure().ensure()
    assert mode(home.path) == 0o700


@posix_only
def test_a_folder_of_the_whole_system_is_refused_and_left_as_it_is(home: StateFolder) -> None:
    home.path.mkdir(parents=True)
    home.path.chmod(0o1777)
    with pytest.raises(StorageError, match="Set ECHOSTATS_HOME"):
        home.ensure()
    assert mode(home.path) == 0o1777
    with pytest.raises(StorageError, match="shared by the whole system"):
        StateFolder(Path("/")).ensure()


def test_a_folder_that_cannot_be_made_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    below_a_file = StateFolder(tmp_path / "file" / "home")
    for use in (
        below_a_file.ensure,
        below_a_file.encryption_key,
        lambda: below_a_file.write_private("a", "b"),
        StateFolder(tmp_path / "file").ensure,
    ):
        with pytest.raises(StorageError, match=r"file.*Set ECHOSTATS_HOME"):
            use()


def test_making_a_state_folder_value_touches_nothing(home: StateFolder) -> None:
    assert home.read_json("users.json") is None
    assert home.read_text(home.roster_file) is None
    assert not home.path.exists()


def test_json_comes_back_as_written(home: StateFolder) -> None:
    home.ensure()
    value = {"users": [{"user_id": "anna", "name": "Änne ☂"}], "count": 1}
    assert home.write_json("users.json", value) == home.roster_file
    assert home.read_json(home.roster_file) == value


def test_a_damaged_json_file_is_an_error_and_not_an_absence(home: StateFolder) -> None:
    home.ensure()
    for content in (b'{"users": [', b"\xff\xfe"):
        home.roster_file.write_bytes(content)
        with pytest.raises(StorageError, match=r"users\.json"):
            home.read_json("users.json")


@posix_only
def test_a_private_file_is_private_whatever_the_umask_and_replaces_an_open_one(home: StateFolder) -> None:
    home.ensure()
    home.simulator_file.write_text("old")
    home.simulator_file.chmod(0o666)
    before = os.umask(0)
    try:
        home.write_private("simulator.json", "new")
    finally:
        os.umask(before)
    assert mode(home.simulator_file) == 0o600
    assert home.simulator_file.read_text() == "new"


def test_a_failed_write_keeps_the_old_content_and_leaves_nothing_behind(
    home: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.ensure().write_private("users.json", "old")

    def disk_full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(StorageError, match="No space left on device"):
        home.write_private("users.json", "new")
    assert home.read_text("users.json") == "old"
    assert sorted(path.name for path in home.path.iterdir()) == [
        "dagster",
        "imports",
        "mongo",
        "pictures",
        "reports",
        "simulated",
        "users.json",
    ]


def test_the_key_is_made_once_and_kept(home: StateFolder) -> None:
    key = home.encryption_key()
    assert len(bytes.fromhex(key)) == 32
    assert home.encryption_key() == key
    assert StateFolder(home.path).encryption_key() == key
    if os.name == "posix":
        assert mode(home.encryption_key_file) == 0o600


def test_a_damaged_key_file_is_never_replaced(home: StateFolder) -> None:
    home.ensure().encryption_key_file.write_text("not a key")
    with pytest.raises(StorageError, match="Restore it from a copy"):
        home.encryption_key()
    assert home.encryption_key_file.read_text() == "not a key"


def test_processes_that_ask_at_once_get_the_same_key(home: StateFolder) -> None:
    script = (
        "import sys, pathlib; from echostats_pipeline.state_folder import StateFolder; sys.stdin.readline(); "
        "print(StateFolder(pathlib.Path(sys.argv[1])).encryption_key())"
    )
    command = [sys.executable, "-c", script, str(home.path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    answers = [process.communicate("\n", timeout=60)[0].strip() for process in processes]
    assert set(answers) == {home.encryption_key()}
