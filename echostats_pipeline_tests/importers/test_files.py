"""The format of a file, recognised by its name and its beginning, and the order of files."""

import gzip
import json
import re
import zipfile
from pathlib import Path

import pytest

from echostats_pipeline.errors import ExportError
from echostats_pipeline.importers.archives import ArchiveLimits
from echostats_pipeline.importers.files import ExportListing, find_export_files
from echostats_pipeline.importers.recognition import recognised

LIMITS = ArchiveLimits()
EXTENDED = (
    "endsong_2.json",
    "endsong_10.json",
    "Streaming_History_Audio_2019-2020_3.json",
    "Streaming_History_Audio_2020_10.json",
)
BASIC = ("StreamingHistory3.json", "StreamingHistory_music_0.json")
UNCOUNTED = (
    "Streaming_History_Video_2022-2025.json",
    "StreamingHistory_audiobook_0.json",
    "StreamingHistory_podcast_0.json",
)
COMPANIONS = ("Userdata.json", "ReadMeFirst_ExtendedStreamingHistory.pdf", "Playlist1.json", "SearchQueries.json")
EXTENDED_ROW = '[\n {"ts": "2023-03-19T18:31:37Z", "ms_played": 1}]'


def folder_of(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(name.rsplit("/", 1)[-1].encode())
    return path


def zip_of(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name.rsplit("/", 1)[-1])
    return path


def find(*paths: Path) -> ExportListing:
    return find_export_files(paths, LIMITS)


def names(found: ExportListing) -> list[str]:
    return [file.name for file in found.files]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("inside", ["Spotify Extended Streaming History/", "MyData/deep/", ""])
def test_both_packages_are_read_together_the_extended_history_first(tmp_path: Path, zipped: bool, inside: str) -> None:
    members = [f"{inside}{name}" for name in (*COMPANIONS, *reversed((*EXTENDED, *BASIC, *UNCOUNTED)))]
    found = find(zip_of(tmp_path / "MY_DATA.ZIP", *members) if zipped else folder_of(tmp_path, *members))
    assert names(found) == [f"{inside}{name}" for name in (*EXTENDED, *BASIC, *UNCOUNTED)]
    assert [file.format for file in found.files] == [
        *["extended"] * 4,
        *["basic"] * 2,
        "video",
        *["basic_other"] * 2,
    ]
    assert found.ignored == []
    for file in found.files:
        with file.open() as stream:
            assert stream.read().decode() == file.name.rsplit("/", 1)[-1]
        assert file.size == len(file.name.rsplit("/", 1)[-1])


def test_a_file_that_is_named_is_taken_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "renamed.txt").write_text(EXTENDED_ROW)
    (file,) = find(tmp_path / "renamed.txt").files
    assert (file.name, file.format, file.size) == ("renamed.txt", "extended", len(EXTENDED_ROW))


def test_in_a_folder_files_are_known_by_their_beginning_and_strange_ones_are_named(tmp_path: Path) -> None:
    folder_of(tmp_path, "notes.json", "cover.jpg", "YourLibrary.json", "._endsong_0.json")
    (tmp_path / "endsong_0 (1).json").write_text(EXTENDED_ROW)
    found = find(tmp_path)
    assert names(found) == ["endsong_0 (1).json"]
    assert [ignored.name for ignored in found.ignored] == ["notes.json"]


def test_zips_in_a_folder_are_opened(tmp_path: Path) -> None:
    zip_of(tmp_path / "a.zip", EXTENDED[0])
    folder_of(tmp_path, EXTENDED[1])
    assert names(find(tmp_path)) == [f"a.zip/{EXTENDED[0]}", EXTENDED[1]]


def test_of_several_paths_every_file_has_a_name_of_its_own(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        zip_of(tmp_path / place / "x.zip", EXTENDED[0])
        folder_of(tmp_path / place, EXTENDED[0])
    paths = [tmp_path / place / name for place in ("one", "two") for name in ("x.zip", EXTENDED[0])]
    found = names(find(*paths, paths[0], zip_of(tmp_path / "y.zip", EXTENDED[0])))
    assert len(found) == len(set(found)) == 5
    assert f"y.zip/{EXTENDED[0]}" in found


@pytest.mark.parametrize("name", ["missing", "missing.zip", "missing.json"])
def test_what_does_not_exist_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError, match="does not exist; nothing was imported"):
        find(tmp_path / name)


@pytest.mark.parametrize("content", ["", "[]", "<html>", "\x00\x01", "just text", '{"ts": 1, "ms_played": 2}'])
def test_a_file_of_another_kind_is_refused_with_what_to_give(tmp_path: Path, content: str) -> None:
    (tmp_path / "history.dat").write_text(content)
    with pytest.raises(ExportError, match=r"history\.dat holds no listening history .* endsong_0\.json"):
        find(tmp_path / "history.dat")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_package_without_a_history_is_refused_and_holds_up_no_other(tmp_path: Path, zipped: bool) -> None:
    good = zip_of(tmp_path / "good.zip", *EXTENDED)
    path = zip_of(tmp_path / "x.zip", *COMPANIONS) if zipped else folder_of(tmp_path / "x", *COMPANIONS)
    found = find(good, path)
    assert {file.name for file in found.files} == {f"good.zip/{name}" for name in EXTENDED}
    (reason,) = found.refused
    assert re.search(r"x.* holds no listening history", reason)
    with pytest.raises(ExportError, match=r"x.* holds no listening history"):
        find(path)


def test_what_cannot_be_read_in_a_folder_holds_up_nothing_else(tmp_path: Path) -> None:
    folder_of(tmp_path / "x", *EXTENDED)
    (tmp_path / "x" / "broken.zip").write_bytes(b"PK\x03\x04 cut off")
    (tmp_path / "x" / "nowhere.json").symlink_to(tmp_path / "gone.json")
    (tmp_path / "x" / "itself.json").symlink_to(tmp_path / "x" / "itself.json")
    found = find(tmp_path / "x")
    assert {file.name for file in found.files} == set(EXTENDED)
    assert sorted(reason.split("/x/")[1].split(" ")[0] for reason in found.refused) == [
        "broken.zip",
        "itself.json",
        "nowhere.json",
    ]


@pytest.mark.parametrize("suffix", [".json.gz", ".jsonl.gz"])
@pytest.mark.parametrize("zipped", [False, True])
def test_what_is_packed_by_gzip_is_unpacked(tmp_path: Path, zipped: bool, suffix: str) -> None:
    data = gzip.compress(EXTENDED_ROW.encode())
    name = f"Streaming_History_Audio_2024_0{suffix}"
    if zipped:
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr(name, data)
    else:
        (tmp_path / name).write_bytes(data)
    (file,) = find(tmp_path / ("x.zip" if zipped else name)).files
    assert (file.format, file.name) == ("extended", name.removesuffix(".gz"))
    with file.open() as stream:
        assert stream.read() == EXTENDED_ROW.encode()
        stream.seek(0)
        assert stream.read(1) == b"["


def test_no_more_is_unpacked_than_a_limit_allows(tmp_path: Path) -> None:
    path = tmp_path / "endsong_0.json.gz"
    path.write_bytes(gzip.compress(b" " * 100_000))
    (file,) = find_export_files([path], ArchiveLimits(total_bytes=50_000)).files
    with file.open() as stream, pytest.raises(OSError, match="more than 50000 bytes"):
        stream.read()


LISTEN = {"listened_at": 1700000000, "track_metadata": {"artist_name": "A", "track_name": "B"}}
SCROBBLE = {"artist": {"#text": "A"}, "name": "B", "date": {"uts": "1700000000", "#text": "14 Nov 2023, 22:13"}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (EXTENDED_ROW, "extended"),
        ('[{"endTime": "2020-05-21 03:09", "artistName": "A", "trackName": "B", "msPlayed": 1}]', "basic"),
        ('[{"endTime": "2020-05-21 03:09", "podcastName": "A", "episodeName": "B", "msPlayed": 1}]', "basic"),
        (json.dumps([LISTEN]), "listenbrainz"),
        (json.dumps(LISTEN) + "\n" + json.dumps(LISTEN), "listenbrainz"),
        (json.dumps({"recenttracks": {"track": [SCROBBLE]}}), "lastfm"),
        (json.dumps([{"recenttracks": {"track": [SCROBBLE]}}]), "lastfm"),
        (json.dumps([SCROBBLE]), "lastfm"),
        ("uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid\n", "lastfm"),
        ('A,"An album, live",B,14 Nov 2023 22:13\n', "lastfm"),
        ('"spotify_track_uri","ts_x","username","ms_played_x"\n', "echotune"),
        ("ts,ms_played,spotify_track_uri\r\n", "echotune"),
        ("artist,album,title,date\n", None),
        ("A,B,C,1234567890\n", None),
        ('[{"listened_at": "2023-01-01", "track": "A", "artist": "B"}]', None),
        ('{"plays": [{"listened_at": 1, "artists": ["A"], "title": "B", "time": 1}]}', None),
        ('{"tracks": [{"artist": "A", "name": "B", "date": "2020"}]}', None),
        ('{"scrobbles": [{"when": 1, "artist": "A", "track": "B"}]}', None),
        (json.dumps({"payload": {"count": 1, "listens": [LISTEN]}}), "listenbrainz"),
        ('[{"searchQuery": "A", "searchTime": "2023"}]', None),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_recognised_by_its_beginning(content: str, expected: str | None, encoding: str) -> None:
    assert recognised(content.encode(encoding)) == expected


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b'{"plays": [{"when": 1}]}', "a JSON object with the keys plays, when"),
        (b'[{"a": 1, "b": 2}]', "a JSON array with the keys a, b"),
        (b"Name;Rank\nA;1\n", "a table with the columns Name, Rank"),
        (b"<html>", "a web page or XML"),
        (b"\0\0\0\0", "empty"),
        (b"\x89PNG\0\0", "no text"),
        (b"some words", "a text"),
        (b"[%s]" % b",".join(b'{"k%d": 1}' % number for number in range(12)), "k7 and others"),
    ],
)
def test_a_file_of_no_known_kind_is_refused_with_what_it_looks_like(tmp_path: Path, content: bytes, looks: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    for given in (tmp_path / "x.json", tmp_path):
        with pytest.raises(ExportError, match=f"x.json is {looks}|x.json is .*{looks}; nothing was imported"):
            find(given)
    (tmp_path / "endsong_0.json").write_text(EXTENDED_ROW)
    assert next(ignored.reason for ignored in find(tmp_path).ignored).endswith(looks)


@pytest.mark.parametrize("name", [".scrobbler.log", "scrobbler.log", "player/.scrobbler.log", "history.tsv", "x.txt"])
def test_logs_and_tables_are_found_under_the_names_they_have(tmp_path: Path, name: str) -> None:
    row = "A\tB\tC\t1\t200\tL\t1700000000\t\n" if "log" in name else "A\tB\tC\t14 Nov 2023 22:13\n"
    for place in (name, "._.scrobbler.log"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(row)
    assert names(find(tmp_path)) == [name]


def test_the_lines_of_listenbrainz_are_known_by_their_place(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", "user.json", "listens/2023/1.jsonl", "listens/2023/10.jsonl", "feedback.jsonl")
    found = find(path)
    assert names(found) == ["listens/2023/1.jsonl", "listens/2023/10.jsonl"]
    assert {file.format for file in found.files} == {"listenbrainz"}
    assert found.ignored == []
