import zipfile
from pathlib import Path

import pytest

from echostats_pipeline.errors import ExportError
from echostats_pipeline.exports.files import find_export_files

EXTENDED = (
    "Streaming_History_Audio_2019-2020_3.json",
    "Streaming_History_Audio_2024_16.json",
    "Streaming_History_Video_2022-2025.json",
    "endsong_0.json",
)
OTHERS = (
    "Userdata.json",
    "ReadMeFirst_ExtendedStreamingHistory.pdf",
    "StreamingHistory_music_0.json",
    "Playlist1.json",
)


def folder_of(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(name.encode())
    return path


def zip_of(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name.rsplit("/", 1)[-1])
    return path


def test_a_folder_is_searched_to_its_depth_and_only_histories_are_taken(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"MyData/deep/{name}" for name in reversed((*EXTENDED, *OTHERS))))
    files = find_export_files(folder)
    assert [file.name for file in files] == list(EXTENDED)
    assert [file.read().decode() for file in files] == [f"MyData/deep/{name}" for name in EXTENDED]


@pytest.mark.parametrize("name", ["my_spotify_data.zip", "MY_SPOTIFY_DATA.ZIP"])
@pytest.mark.parametrize("inside", ["Spotify Extended Streaming History/", "MyData/", ""])
def test_a_zip_is_read_as_spotify_sends_it(tmp_path: Path, name: str, inside: str) -> None:
    both = [f"{inside}{member}" for member in (*OTHERS, *EXTENDED)]
    files = find_export_files(zip_of(tmp_path / name, *both))
    assert [(file.name, file.read().decode()) for file in files] == [(member, member) for member in EXTENDED]
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_a_file_that_is_named_is_taken_whatever_its_name(tmp_path: Path) -> None:
    folder_of(tmp_path, "renamed.json")
    (file,) = find_export_files(tmp_path / "renamed.json")
    assert (file.name, file.read()) == ("renamed.json", b"renamed.json")


@pytest.mark.parametrize("name", ["missing", "missing.zip", "missing.json"])
def test_what_does_not_exist_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError, match="does not exist"):
        find_export_files(tmp_path / name)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, "history.csv")
    with pytest.raises(ExportError, match=r"neither a folder, a \.zip nor a \.json file"):
        find_export_files(tmp_path / "history.csv")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("Userdata.json",), "endsong_0.json"),
        ((), "holds no extended streaming history"),
        (("StreamingHistory_music_0.json", "Userdata.json"), "ask Spotify for the extended streaming history"),
        (("StreamingHistory3.json",), "account data, which has no track ids"),
    ],
)
def test_a_wrong_export_is_refused_with_what_to_do(
    tmp_path: Path, zipped: bool, names: tuple[str, ...], message: str
) -> None:
    path = zip_of(tmp_path / "x.zip", *names) if zipped else folder_of(tmp_path, *names)
    with pytest.raises(ExportError, match=message):
        find_export_files(path)


def test_a_zip_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", *EXTENDED)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ExportError, match="cannot be read as a zip"):
        find_export_files(path)


def test_a_damaged_member_of_a_zip_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", EXTENDED[0])
    data = path.read_bytes()
    path.write_bytes(data.replace(EXTENDED[0].encode() * 2, EXTENDED[0].encode() + b"x" * len(EXTENDED[0])))
    (file,) = find_export_files(path)
    with pytest.raises(ExportError, match=r"cannot be read \(Bad CRC-32"):
        file.read()
