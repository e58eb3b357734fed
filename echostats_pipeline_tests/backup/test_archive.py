"""The file of a backup is there whole or not at all, and refused if a byte of it is missing or another."""

import errno
import os
import stat
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import bson
import pytest

from echostats_pipeline import __version__
from echostats_pipeline.backup import archive
from echostats_pipeline.backup.archive import ArchiveWriter, new_archive, open_archive, refuse_full_disk
from echostats_pipeline.backup.dumping import count
from echostats_pipeline.backup.manifest import FORMAT, Manifest, StoredCollection, StoredDatabase
from echostats_pipeline.errors import BackupError

DOCUMENTS = [bson.encode({"_id": number, "text": "x" * number}) for number in range(40)]


def fill(target: ArchiveWriter, **changes: object) -> None:
    target.add(archive.NOTE, [b"a backup"])
    part = target.add("echostats/plays.bson", DOCUMENTS)
    stored = StoredCollection(**part.model_dump(), name="plays", documents=len(DOCUMENTS))
    database = StoredDatabase(role="core", name="echostats", declared=("plays",), collections=(stored,))
    at = datetime(2026, 11, 1, tzinfo=UTC)
    manifest = Manifest(format=FORMAT, made_by=__version__, made_at=at, still="pause", databases=(database,))
    target.add(archive.MANIFEST, [manifest.model_copy(update=changes).model_dump_json().encode()])


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "backup.zip"
    with new_archive(path) as target:
        fill(target)
    return path


def test_it_is_read_as_it_was_written(written: Path) -> None:
    with open_archive(written) as source:
        source.verify()
        assert list(source.documents("echostats/plays.bson")) == DOCUMENTS
        assert b"".join(source.chunks("echostats/plays.bson")) == b"".join(DOCUMENTS)
        assert source.manifest.documents == len(DOCUMENTS) == count(b"".join(DOCUMENTS))
    if sys.platform != "win32":
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert list(written.parent.iterdir()) == [written]
    with zipfile.ZipFile(written) as other:  # any tool reads it
        assert other.testzip() is None
        assert other.namelist()[0] == archive.NOTE


def test_a_file_with_a_changed_byte_is_refused(written: Path, tmp_path: Path) -> None:
    content = written.read_bytes()
    changed = tmp_path / "changed.zip"
    for place in {*range(0, len(content), 3), *range(len(content) - 70, len(content))}:
        changed.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(BackupError, match="othing was restored"), open_archive(changed):
            pass


def test_a_file_that_was_cut_or_that_grew_is_refused(written: Path, tmp_path: Path) -> None:
    content = written.read_bytes()
    cut = tmp_path / "cut.zip"
    for length in [0, 1, 29, 45, 50, 60, 100, *range(110, len(content), 7), len(content) - 1]:
        cut.write_bytes(content[:length])
        with pytest.raises(BackupError, match="othing was restored"), open_archive(cut):
            pass
    cut.write_bytes(content + b"\n")
    with pytest.raises(BackupError, match="cut or changed"), open_archive(cut):
        pass


def test_another_file_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "my_spotify_data.zip"
    with zipfile.ZipFile(foreign, "w") as other:
        other.writestr("Spotify Extended Streaming History/Streaming_History_Audio_2020.json", "[]")
    with pytest.raises(BackupError, match="is not a backup of echostats"), open_archive(foreign):
        pass
    with pytest.raises(BackupError, match="No such file"), open_archive(tmp_path / "missing.zip"):
        pass
    with pytest.raises(BackupError, match="cannot be read"), open_archive(tmp_path):
        pass


def test_a_newer_one_is_refused_by_its_version_and_not_by_what_it_has_more(tmp_path: Path) -> None:
    path = tmp_path / "newer.zip"

    def refuse_nothing(*_: object) -> None:
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "refuse_newer", refuse_nothing)
        with new_archive(path) as target:
            fill(target, format=FORMAT + 1, made_by="77.0.0", still="snapshot")
    with pytest.raises(BackupError, match=r"written by echostats_pipeline 77\.0\.0"), open_archive(path):
        pass


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    def full() -> Iterator[bytes]:
        yield b"x"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "backup.zip"
    with pytest.raises(BackupError, match=r"No space left on device\. Make room there"), new_archive(path) as target:
        target.add("echostats/plays.bson", full())
    with pytest.raises(KeyboardInterrupt), new_archive(path) as target:
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BackupError, match="No such file or directory"), new_archive(tmp_path / "no" / "backup.zip"):
        pass


def test_an_error_of_another_file_is_not_told_as_one_of_the_backup(tmp_path: Path) -> None:
    absent = tmp_path / "home" / "mongod"
    with pytest.raises(BackupError) as raised, new_archive(tmp_path / "backup.zip"):
        absent.read_bytes()
    assert str(raised.value).startswith(f"{absent}: No such file")


def test_a_disk_without_room_is_noticed_before_it_is_full(tmp_path: Path) -> None:
    refuse_full_disk(tmp_path, 1)
    with pytest.raises(BackupError, match=r"free, and the backup may take 1\.2 EB\. Make room"):
        refuse_full_disk(tmp_path, 1_234_000_000_000_000_000)


def test_what_cannot_be_read_back_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_digest", lambda file: os.urandom(32).hex().encode())
    with pytest.raises(BackupError, match="cannot be read back"), new_archive(tmp_path / "backup.zip") as target:
        fill(target)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_is_not_replaced(written: Path) -> None:
    before = written.read_bytes()
    with pytest.raises(BackupError, match="already exists"), new_archive(written):
        pass
    assert written.read_bytes() == before


def test_what_a_killed_backup_has_left_is_deleted_by_a_later_one(tmp_path: Path) -> None:
    left, folder, fresh = (tmp_path / f"{archive.UNFINISHED}{name}" for name in ("left", "folder", "fresh"))
    folder.mkdir()
    for each in (left, folder / "runs.db", fresh):
        each.write_bytes(b"x")
    for each in (left, folder):
        os.utime(each, (0, 0))
    with new_archive(tmp_path / "backup.zip") as target:
        fill(target)
    assert not left.exists()
    assert not folder.exists()
    assert fresh.exists(), "another backup may be writing it"
