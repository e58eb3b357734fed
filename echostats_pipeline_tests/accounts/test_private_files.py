"""A folder is created completely or not at all, and only its owner can read it."""

import os
import stat
from pathlib import Path

import pytest

from echostats_pipeline.accounts.private_files import UNFINISHED, check_free, new_file, new_folder
from echostats_pipeline.errors import StorageError


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


@pytest.mark.parametrize("exists", [False, True])
def test_it_appears_complete_where_nothing_or_an_empty_folder_was(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "whole"
    if exists:
        target.mkdir()
    with new_folder(target) as folder:
        with new_file(folder / "a") as file:
            file.write(b"text")
        assert UNFINISHED in folder.name
        assert not target.exists() or not any(target.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]
    assert (target / "a").read_bytes() == b"text"
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert modes(target) == {0o600}


def write_and(target: Path, failure: BaseException) -> None:
    """Begin to write a folder, and fail."""
    with new_folder(target) as folder:
        (folder / "a").write_text("text")
        raise failure


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError()])
def test_of_a_block_that_fails_nothing_is_left(tmp_path: Path, failure: BaseException) -> None:
    with pytest.raises(type(failure)):
        write_and(tmp_path / "whole", failure)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="whole cannot be written: No space left on device"):
        write_and(tmp_path / "whole", OSError(28, os.strerror(28)))
    assert list(tmp_path.iterdir()) == []


def write_while_somebody_fills(target: Path) -> None:
    with new_folder(target):
        target.mkdir()
        (target / "theirs").write_text("text")


def test_a_target_that_somebody_filled_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        write_while_somebody_fills(tmp_path / "whole")
    assert [path.name for path in tmp_path.rglob("*")] == ["whole", "theirs"]


def test_a_place_that_is_taken_or_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("text")
    for taken in (tmp_path / "full", tmp_path / "full" / "a"):
        with pytest.raises(StorageError, match="already exists"):
            check_free(taken)
    with pytest.raises(StorageError, match="does not exist"):
        check_free(tmp_path / "missing" / "deep")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(StorageError, match="the current folder"):
        check_free(tmp_path / "here")
