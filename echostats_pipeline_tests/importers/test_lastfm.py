"""The formats of a Last.fm history, and the irregularities of each."""

import csv
import json
import random
import zipfile
from datetime import UTC, datetime
from io import BytesIO, StringIO
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline.errors import BrokenExportError, ExportError
from echostats_pipeline.importers.lastfm import read_lastfm
from echostats_pipeline.importers.recognition import recognised
from echostats_pipeline.importers.rows import EXPORT_SCHEMA, RejectedRow
from echostats_pipeline.transforms.history.identity import stable_id

NAME = "recenttracks-someone.csv"
NOW = datetime(2026, 11, 20, tzinfo=UTC)
STARTED = datetime(2023, 11, 14, 22, 13, tzinfo=UTC)
UTS = str(int(STARTED.timestamp()))
HEADER = "uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid"
LINE = f'"{UTS}","14 Nov 2023, 22:13","Björk","","Vespertine","","Hidden Place",""'
TRACK: dict[str, Any] = {
    "artist": {"#text": "Björk", "mbid": ""},
    "album": {"#text": "Vespertine", "mbid": ""},
    "name": "Hidden Place",
    "date": {"uts": UTS, "#text": "14 Nov 2023, 22:13"},
}
LASTFMSTATS = {"track": "Hidden Place", "artist": "Björk", "album": "Vespertine", "albumId": ""}
PLAYING = {key: value for key, value in TRACK.items() if key != "date"} | {"@attr": {"nowplaying": "true"}}


def page(tracks: Any) -> dict[str, Any]:
    return {"recenttracks": {"track": tracks, "@attr": {"page": "1", "totalPages": "1", "user": "canary"}}}


def read(data: str | bytes, chunk_rows: int = 1000) -> tuple[pl.DataFrame, list[RejectedRow]]:
    stream = BytesIO(data.encode() if isinstance(data, str) else data)
    chunks = list(read_lastfm(stream, NAME, NOW, chunk_rows))
    for chunk in chunks:
        assert chunk.plays.height + len(chunk.rejects) == chunk.rows <= chunk_rows
        assert dict(chunk.plays.schema) == EXPORT_SCHEMA
    plays = pl.concat([pl.DataFrame(schema=EXPORT_SCHEMA), *(chunk.plays for chunk in chunks)])
    rejects = [reject for chunk in chunks for reject in chunk.rejects]
    numbers = [*plays["row_number"], *(reject.row_number for reject in rejects)]
    assert sorted(numbers) == list(range(sum(chunk.rows for chunk in chunks)))
    assert plays["import_key"].is_unique().all()
    return plays, rejects


def test_a_row_becomes_a_play_by_name_from_its_start() -> None:
    plays, _ = read(f"{HEADER}\n{LINE}\n")
    known = {name: value for name, value in plays.row(0, named=True).items() if value is not None}
    assert known == {
        "row_number": 0,
        "import_key": f"lastfm|{UTS}|Björk\x1fHidden Place||1",
        "import_ts": STARTED,
        "track_id": stable_id("unresolved", "Björk", "Hidden Place"),
        "track_name": "Hidden Place",
        "artist_name": "Björk",
        "album_name": "Vespertine",
    }


@pytest.mark.parametrize(
    "data",
    [
        f"\ufeff{HEADER}\r\n{LINE}\r\n",
        f"{HEADER}\n{LINE}\n".encode("utf-16"),
        f"Track,Artist,UTS,Album\nHidden Place,Björk,{UTS},Vespertine",
        'artist,track,album,utc_time\nBjörk,Hidden Place,Vespertine,"14 Nov 2023, 22:13:00"',
        "Björk,Vespertine,Hidden Place,14 Nov 2023 22:13",
        json.dumps(page([TRACK])),
        json.dumps(page(TRACK)),
        json.dumps([page([TRACK])]),
        json.dumps([{"track": [TRACK], "@attr": {}}]),
        json.dumps([TRACK]),
        json.dumps([{**TRACK, "artist": {"name": "Björk"}}]).encode("utf-8-sig"),
        json.dumps([[], [TRACK]]),
        json.dumps([page(TRACK), page([])], indent=1),
        json.dumps([{**TRACK, "date": {"uts": int(UTS)}}]),
        json.dumps([{**TRACK, "date": {"#text": "14 Nov 2023, 22:13"}}]),
        json.dumps([{"artist": "Björk", "album": "Vespertine", "track": "Hidden Place", "uts": int(UTS)}]),
        json.dumps({"username": "x", "scrobbles": [{**LASTFMSTATS, "date": int(UTS) * 1000}]}),
        f'\ufeffArtist;Album;AlbumId;Track;Date#ann\n"Björk";"Vespertine";"";"Hidden Place";"{UTS}000"\n',
        "Artist,Album,Track,Date\nBjörk,Vespertine,Hidden Place,2023-11-14 22:13",
        "Artist,Album,Track,Date\nBjörk,Vespertine,Hidden Place,2023-11-14T22:13:00Z",
        "Artist,Album,Track,Date\nBjörk,Vespertine,Hidden Place,2023-11-14T23:13:00.000+01:00",
        'Artist,Album,Track,Date\nBjörk,Vespertine,Hidden Place,"14 Nov 2023, 22:13"',
        "Artist,Album,Track,Date\nBjörk,Vespertine,Hidden Place,14 Nov 2023, 22:13",
        "Artist;Album;Track;Date\nBjörk;Vespertine;Hidden Place;14 November 2023, 22:13:00",
        "Artist Name\tAlbum Name\tTrack Name\tScrobble Time\nBjörk\tVespertine\tHidden Place\t14 Nov 2023 22:13",
        f"timestamp,title,artist,release_name\n{UTS},Hidden Place,Björk,Vespertine",
        "Song,Artist,Album,Date,Time\nHidden Place,Björk,Vespertine,2023-11-14,22:13:00",
        "Björk\tVespertine\tHidden Place\t14 Nov 2023 22:13",
    ],
)
def test_every_form_gives_the_same_play(data: str | bytes) -> None:
    assert recognised(data.encode() if isinstance(data, str) else data) == "lastfm"
    assert read(data)[0].equals(read(f"{HEADER}\n{LINE}\n")[0])


def test_what_is_still_playing_has_no_instant() -> None:
    plays, (reject,) = read(json.dumps([page([PLAYING, TRACK]), page([TRACK])]))
    assert (reject.row_number, reject.reason) == (0, "still playing: no time yet")
    assert [key[-2:] for key in plays["import_key"]] == ["|1", "|2"]
    assert "canary" not in repr(reject)


@pytest.mark.parametrize(
    "text",
    [
        "Björk,Vespertine,Now Playing,\nBjörk,Vespertine,Hidden Place,14 Nov 2023 22:13\n",
        f"{HEADER}\n,,Björk,,Vespertine,,Now Playing,\n{LINE}\n",
        "Artist;Album;Track;Date\nBjörk;Vespertine;Now Playing;\nBjörk;Vespertine;Hidden Place;2023-11-14 22:13\n",
    ],
)
def test_a_csv_made_while_a_track_plays_rejects_that_row_only(text: str) -> None:
    plays, (reject,) = read(text)
    assert recognised(text.encode()) == "lastfm"
    assert (reject.row_number, reject.reason, reject.row["track"]) == (0, "still playing: no time yet", "Now Playing")
    assert plays["track_name"].to_list() == ["Hidden Place"]


def test_a_tool_that_writes_day_and_time_apart_and_no_album_is_read() -> None:
    plays, _ = read("2023-11-14,22:13:00,Björk,Hidden Place\n2023-11-14,22:17:00,Björk,Cocoon\n")
    assert plays["import_ts"][0] == STARTED
    assert plays["track_name"].to_list() == ["Hidden Place", "Cocoon"]


def test_quotes_that_a_tool_does_not_double_stay_in_the_name() -> None:
    lines = [
        'a,b,"Heroes" (2017 Remaster),1 Jan 2023 9:05',
        '"a","b","12" Mix","1 Jan 2023 9:15"',
        'a,b,12" Mix,1 Jan 2023 9:25',
    ]
    plays, rejects = read("\n".join(lines))
    assert plays["track_name"].to_list() == ['"Heroes" (2017 Remaster)', '12" Mix', '12" Mix']
    assert rejects == []


@pytest.mark.parametrize(
    "header", ["Name,Artist,Album,Time,Date Added", "artist,title,date", "Artist,Name,Scrobbles,Rank"]
)
def test_a_table_of_music_without_instants_is_no_export_of_lastfm(header: str) -> None:
    data = f"{header}\nA,B,C,3:45,2020\n"
    assert recognised(data.encode()) is None
    with pytest.raises(ExportError, match=NAME):
        read(data)


@pytest.mark.parametrize(
    ("uts", "reason"),
    [
        ("", "still playing"),
        ("0", "before 2005"),
        ("1104537599", "before 2005"),
        (str(int(NOW.timestamp()) + 86_401), "in the future"),
        ("1700000000000", "no instant"),
        ("9" * 5000, "no instant"),
        ("-1", "no instant"),
        ("1.7e9", "no instant"),
        ("¹²", "no instant"),
    ],
)
def test_an_instant_that_cannot_be_is_rejected(uts: str, reason: str) -> None:
    plays, (reject,) = read(f"uts,artist,album,track\n{uts},a,b,c\n{UTS},a,b,c")
    assert plays["row_number"].to_list() == [1]
    assert reason in reject.reason


@pytest.mark.parametrize(
    "text", ["31 Feb 2023 10:00", "1 Foo 2023 10:00", "1 Jan 2023 25:00", "2023-01-01", "1 Jan 0000 10:00"]
)
def test_a_written_instant_that_does_not_exist_is_rejected(text: str) -> None:
    plays, (reject,) = read(f"a,b,c,1 Jan 2023 9:05\na,b,c,{text}")
    assert plays["import_ts"].to_list() == [datetime(2023, 1, 1, 9, 5, tzinfo=UTC)]
    assert "no instant" in reject.reason


def test_rows_without_a_name_of_another_width_or_encoding_are_rejected() -> None:
    lines = [f"{UTS},,b,c", f"{UTS},a,b,\0 ", f"{UTS},a,b", f"{UTS},\udcffa,b,c", f"{UTS},a,b,AC&amp;DC"]
    plays, rejects = read("\n".join(["uts,artist,album,track", *lines]).encode("utf-8", "surrogateescape"))
    assert [reject.row_number for reject in rejects] == [0, 1, 2, 3]
    assert plays["track_name"].to_list() == ["AC&amp;DC"]


@pytest.mark.parametrize("data", ["", "a,b,c\n", "artist,track\na,b\n", "a,b,c,not a date\n", "\0", "<html>"])
def test_a_file_of_another_kind_is_refused_by_name(data: str) -> None:
    with pytest.raises(ExportError, match=NAME):
        read(data)


@pytest.mark.parametrize("damage", ["{", "[", '{"recenttracks": {"track": [', '[{"name": "x"'])
def test_json_that_breaks_off_says_where(damage: str) -> None:
    with pytest.raises(BrokenExportError, match=NAME):
        read(damage)


def test_a_file_that_cannot_be_read_says_where() -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NAME, "\n".join([HEADER, *(LINE.replace("Hidden", str(n)) for n in range(20_000))]))
    damaged = bytearray(packed.getvalue())
    damaged[-1000:-900] = bytes(100)
    with zipfile.ZipFile(BytesIO(damaged)) as archive, archive.open(NAME) as stream:
        chunks = read_lastfm(stream, NAME, NOW, 1000)
        assert next(chunks).plays.height == 1000
        with pytest.raises(BrokenExportError, match="cannot be read beyond byte"):
            list(chunks)


@pytest.mark.parametrize("element", [None, 1, "text", [], {"error": 29, "message": "Rate Limit Exceeded"}])
def test_what_is_no_track_is_rejected(element: Any) -> None:
    plays, rejects = read(json.dumps([TRACK, element, page([TRACK, element])]))
    assert plays.height == 2
    assert len(rejects) >= 1


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.sampled_from("aA|\x1f"), st.sampled_from("xy")), max_size=20),
    size=st.integers(1, 7),
)
@settings(max_examples=50, deadline=None)
def test_chunks_do_not_matter_and_repeats_are_numbered(rows: list[tuple[int, str, str]], size: int) -> None:
    text = StringIO()
    csv.writer(text).writerows(
        [["uts", "artist", "album", "track"], *((1_700_000_000 + n, artist, "", track) for n, artist, track in rows)]
    )
    plays, rejects = read(text.getvalue(), size)
    whole, others = read(text.getvalue())
    assert plays.equals(whole)
    assert rejects == others


@pytest.mark.parametrize("form", ["csv", "json"])
def test_ten_thousand_mutated_rows_add_up(form: str) -> None:
    dice = random.Random(4)
    line = LINE if form == "csv" else json.dumps(TRACK)
    lines = []
    for _ in range(10_000):
        row = bytearray(line.encode())
        for _ in range(dice.randrange(3)):
            row[dice.randrange(len(row))] = dice.choice(b'\0\x80\xff,"x9 }{')
        lines.append(bytes(row))
    data = HEADER.encode() + b"\n" + b"\n".join(lines) if form == "csv" else b"[" + b",\n".join(lines) + b"]"
    plays, rejects = read(data, 1000)
    assert plays.height > 3000
    assert len(rejects) > 100
