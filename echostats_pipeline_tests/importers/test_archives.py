"""Malformed zips: each is refused with a reason, or read up to its damage."""

import io
import json
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from echostats_pipeline.errors import BrokenExportError, ExportError
from echostats_pipeline.importers.archives import ArchiveLimits, archive_files
from echostats_pipeline.importers.arrays import read_objects

LIMITS = ArchiveLimits()
NAME = "MyData/endsong_0.json"


def zip_of(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            # Written unchanged; writestr would correct the name.
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, compression
            archive.writestr(info, data)
    return path


def refusal(path: Path, limits: ArchiveLimits = LIMITS) -> str:
    with pytest.raises(ExportError) as caught:
        archive_files(path, limits)
    message = str(caught.value)
    assert str(path) in message
    assert "nothing of it was imported" in message.lower()
    return message


def test_members_are_read_in_place_and_again_from_the_beginning(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    (file,) = archive_files(zip_of(tmp_path / "x.zip", {"MyData/": b"", NAME: data}), LIMITS)
    assert (file.name, file.size) == (NAME, len(data))
    with file.open() as stream:
        assert stream.read(10) == data[:10]
        assert stream.tell() == 10
        assert stream.seek(0) == 0
        assert stream.read() == data
        assert stream.read() == b""
        with pytest.raises(io.UnsupportedOperation):
            stream.seek(5)
    with file.open() as stream, io.TextIOWrapper(stream, "latin-1", newline="") as text:
        assert text.read() == data.decode("latin-1")
    assert [found.name for found in tmp_path.iterdir()] == ["x.zip"]


@pytest.mark.parametrize(
    "name",
    [
        "../endsong_0.json",
        "a/../../endsong_0.json",
        "/etc/passwd",
        "C:/endsong_0.json",
        "c:endsong_0.json",
        "a\\..\\..\\b.json",
        "\\b.json",
    ],
)
def test_a_member_that_would_lie_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    message = refusal(zip_of(tmp_path / "x.zip", {NAME: b"[]", name: b"[]"}))
    assert "outside the zip" in message
    assert repr(name) in message


def test_dots_in_a_name_are_no_danger(tmp_path: Path) -> None:
    names = ["a..b/endsong_0.json", "...json", "a/.hidden"]
    files = archive_files(zip_of(tmp_path / "x.zip", dict.fromkeys(names, b"[]")), LIMITS)
    assert [file.name for file in files] == names


def test_a_zip_in_a_zip_is_refused(tmp_path: Path) -> None:
    assert "another zip" in refusal(zip_of(tmp_path / "x.zip", {"inner.ZIP": b"PK"}))


def test_a_password_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", {NAME: b"[]"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "password" in refusal(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_rare_compression_is_refused(tmp_path: Path, compression: int) -> None:
    assert "compression" in refusal(zip_of(tmp_path / "x.zip", {NAME: b"[]"}, compression))


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", {f"{number}.json": b"" for number in range(5)})
    assert "has 5 entries, more than 4" in refusal(path, replace(LIMITS, entries=4))
    assert len(archive_files(path, replace(LIMITS, entries=5))) == 5


def test_too_many_bytes_are_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", {"a.json": b"x" * 60, "b.json": b"x" * 60})
    assert "120 bytes, more than 100" in refusal(path, replace(LIMITS, total_bytes=100))


def test_a_bomb_is_refused_and_a_tight_small_file_is_not(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", {NAME: b" " * (10 << 20) + b" "})
    assert "less than 1/200" in refusal(path)
    assert len(archive_files(zip_of(tmp_path / "y.zip", {NAME: b" " * (10 << 20)}), LIMITS)) == 1


def test_a_member_listed_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(NAME, "[]")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(NAME, "[]")
    assert "2 times" in refusal(path)


def test_a_bomb_that_lies_about_its_size_gives_no_more_than_it_says(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", {NAME: b"[" + b"{}," * (20 << 20) + b"{}]"})
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 100)
    path.write_bytes(data)
    (file,) = archive_files(path, LIMITS)
    with file.open() as stream:
        assert len(stream.read(1000)) == 100
        with pytest.raises(zipfile.BadZipFile, match="checksum"):
            stream.read(1)


def test_what_is_no_zip_is_told_from_one_that_was_cut_off(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", {NAME: b"[]" * 100})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        expected = "cut off in the download" if length >= 4 else "is not a zip"
        assert expected in refusal(path)
    path.write_bytes(b"<html>the download has expired</html>")
    assert "is not a zip" in refusal(path)


ROWS = [{"a": number, "b": f"{zlib.crc32(str(number).encode()):x}" * 4} for number in range(10_000)]


def rows_before_the_error(path: Path) -> list[dict[str, int]]:
    (file,) = archive_files(path, LIMITS)
    rows: list[dict[str, int]] = []
    with file.open() as stream:
        chunks = read_objects(stream, file.name, chunk_rows=100)
        with pytest.raises(BrokenExportError):
            rows.extend(row for chunk in chunks for row in chunk.objects)
    return rows


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damage_in_the_middle_gives_the_rows_before_it(tmp_path: Path, compression: int) -> None:
    path = zip_of(tmp_path / "x.zip", {NAME: json.dumps(ROWS).encode()}, compression)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = b"\0" * 40
    path.write_bytes(data)
    rows = rows_before_the_error(path)
    assert len(rows) > 4_000
    assert rows[:4_000] == ROWS[:4_000]


def test_a_wrong_checksum_is_found_after_all_rows(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", {NAME: json.dumps(ROWS).encode()})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 16] ^= 1
    path.write_bytes(data)
    assert rows_before_the_error(path) == ROWS
