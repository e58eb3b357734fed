"""``echostats export``: its output, what it refuses, and what a kill leaves."""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from echostats_pipeline.accounts.private_files import UNFINISHED
from echostats_pipeline.model.users import User
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import NOW, Installation

PLAYS = 20_000
PATIENCE_S = 120


@pytest.fixture
def ann(installation: Installation) -> User:
    return installation.store.users.connect(
        {"spotify_id": "ann", "display_name": "Ann"}, authorized_at=NOW, simulated=True
    )


def listen(installation: Installation, user: User, plays: int) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    installation.store.db["listening_history"].insert_many(
        {
            "user_id": user.user_id,
            "track": {"spotify_id": f"{number % 100:022}", "name": "Mr. Oizo"},
            "played_at": start + timedelta(minutes=number),
        }
        for number in range(plays)
    )


def test_it_says_what_is_where(installation: Installation, ann: User, echostats: Echostats, tmp_path: Path) -> None:
    listen(installation, ann, 3)
    ended = echostats("export", "--user", "Ann", "--output", "out")
    assert ended.returncode == 0, ended.stderr
    for name in ("listening_history.jsonl", "plays.parquet"):
        line = next(line for line in ended.stdout.splitlines() if name in line)
        assert " 3 " in line
    assert f"They are in {tmp_path / 'out'}" in ended.stdout
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["user"]["partition_key"] == ann.partition_key


def test_without_a_folder_it_makes_one_that_is_named_by_user_and_day(
    ann: User, echostats: Echostats, tmp_path: Path
) -> None:
    before = set(tmp_path.iterdir())
    assert echostats("export", "--user", "ann").returncode == 0
    (made,) = set(tmp_path.iterdir()) - before
    assert made.name.startswith(f"echostats-export-{ann.partition_key}-20")
    assert "already exists" in refused(echostats("export", "--user", "ann"))


@pytest.mark.parametrize(
    ("output", "said"),
    [("taken", "already exists"), ("taken/file", "already exists"), ("missing/out", "does not exist")],
)
def test_what_it_cannot_write_to_is_said_before_anything_is_read(
    ann: User, echostats: Echostats, tmp_path: Path, output: str, said: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("theirs")
    assert said in refused(echostats("export", "--user", "ann", "--output", output))
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["file"]


def test_an_unknown_user_is_named_with_who_there_is(ann: User, echostats: Echostats, tmp_path: Path) -> None:
    said = refused(echostats("export", "--user", "nobody", "--output", "out"))
    assert "nobody" in said
    assert ann.partition_key in said
    assert not (tmp_path / "out").exists()


@pytest.mark.kill
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("ending", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_an_export_that_is_interrupted_leaves_nothing_that_looks_complete(
    installation: Installation, ann: User, tmp_path: Path, ending: signal.Signals, code: int
) -> None:
    listen(installation, ann, PLAYS)
    target = tmp_path / "out"
    command = [sys.executable, "-m", "echostats_pipeline.cli.main", "export", "--user", "ann", "--output", str(target)]
    with subprocess.Popen(
        command, env=dict(installation.environ), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not list(tmp_path.glob(f".out{UNFINISHED}*/listening_history.jsonl")):
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(ending)
        assert process.wait(PATIENCE_S) == code
    assert not target.exists()
    left = [path for path in tmp_path.iterdir() if UNFINISHED in path.name]
    assert all(path.name.startswith(".") and not (path / "manifest.json").exists() for path in left)
    assert bool(left) == (ending == signal.SIGKILL)
    again = subprocess.run(command, env=dict(installation.environ), cwd=tmp_path, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    assert f"{PLAYS:,}" in again.stdout.decode()
