"""Listens of every client: with and without a Spotify id, whole and truncated, as lines and as an array."""

import json
import random
from copy import deepcopy
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline.errors import BrokenExportError
from echostats_pipeline.importers.listenbrainz import read_listenbrainz
from echostats_pipeline.importers.rows import EXPORT_SCHEMA, ExportChunk, RejectedRow
from echostats_pipeline.transforms.history.identity import stable_id

NAME = "listens/2023/11.jsonl"
NOW = datetime(2026, 11, 20, tzinfo=UTC)
TRACK_ID = "2kRFrWaLWifQkBFasAWgMo"
LISTEN: dict[str, Any] = {
    "listened_at": 1_700_000_000,
    "inserted_at": 1_700_000_300,
    "track_metadata": {
        "artist_name": "Björk",
        "track_name": "Hidden Place",
        "release_name": "Vespertine",
        "recording_msid": "7407a60c-ba0e-4fcd-ba47-80194f002b20",
        "additional_info": {"submission_client": "canary", "spotify_id": f"https://open.spotify.com/track/{TRACK_ID}"},
        "mbid_mapping": None,
    },
}


def listen(info: Any = None, **changes: Any) -> dict[str, Any]:
    """A listen with other metadata, and with this additional information instead of an id."""
    changed = deepcopy(LISTEN)
    changed["track_metadata"] |= {"additional_info": info, **changes}
    return changed


def chunks_of(data: bytes, chunk_rows: int = 1000) -> list[ExportChunk]:
    chunks = list(read_listenbrainz(BytesIO(data), NAME, NOW, chunk_rows))
    for chunk in chunks:
        assert chunk.plays.height + chunk.not_music + len(chunk.rejects) == chunk.rows <= chunk_rows
        assert dict(chunk.plays.schema) == EXPORT_SCHEMA
        assert "canary" not in repr(chunk.rejects)
    return chunks


def read(*rows: Any, chunk_rows: int = 1000) -> tuple[pl.DataFrame, list[RejectedRow]]:
    """Read the rows as lines, and check that an array gives the same."""
    lines = joined(chunks_of("\n".join(map(json.dumps, rows)).encode(), chunk_rows))
    array = joined(chunks_of(json.dumps(rows, ensure_ascii=False).encode("utf-8-sig"), chunk_rows))
    assert lines[0].equals(array[0])
    assert [reject.row_number for reject in lines[1]] == [reject.row_number for reject in array[1]]
    return lines


def joined(chunks: list[ExportChunk]) -> tuple[pl.DataFrame, list[RejectedRow]]:
    plays = pl.concat([pl.DataFrame(schema=EXPORT_SCHEMA), *(chunk.plays for chunk in chunks)])
    assert plays["import_key"].is_unique().all()
    return plays, [reject for chunk in chunks for reject in chunk.rejects]


def test_a_listen_becomes_a_play() -> None:
    plays, _ = read(LISTEN)
    known = {name: value for name, value in plays.row(0, named=True).items() if value is not None}
    assert known == {
        "row_number": 0,
        "import_key": f"listenbrainz|1700000000|Björk\x1fHidden Place\x1f{TRACK_ID}||1",
        "import_ts": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        "track_id": TRACK_ID,
        "track_name": "Hidden Place",
        "artist_name": "Björk",
        "album_name": "Vespertine",
    }


@pytest.mark.parametrize(
    "info",
    [
        {"origin_url": f"https://open.spotify.com/track/{TRACK_ID}"},
        {"origin_url": f"https://open.spotify.com/intl-de/track/{TRACK_ID}?si=1", "spotify_id": None},
        {"origin_url": "https://example.org", "spotify_id": f"http://open.spotify.com/track/{TRACK_ID}"},
        {"spotify_id": f"spotify:track:{TRACK_ID}"},
        {"spotify_id": TRACK_ID},
        {"spotify_id": f" open.spotify.com/intl-pt-BR/track/{TRACK_ID}/ "},
        {"origin_url": f"https://open.spotify.com/embed/track/{TRACK_ID}"},
    ],
)
def test_an_address_of_spotify_gives_the_id(info: Any) -> None:
    assert read(listen(info))[0]["track_id"].to_list() == [TRACK_ID]


@pytest.mark.parametrize(
    ("isrc", "reported"),
    [
        ("GBAYE0601498", "\x1fGBAYE0601498"),
        (["", 7, "gb-aye-06-01498", "USABC1234567"], "\x1fGBAYE0601498"),
        (" GB AYE 06 01498 ", "\x1fGBAYE0601498"),
        ("isrc:GBAYE0601498", "\x1fGBAYE0601498"),
        ("GBAYE060149", ""),
        ({"GBAYE0601498": 1}, ""),
        ([], ""),
    ],
)
def test_the_code_of_a_recording_is_kept_where_no_id_is_told(isrc: Any, reported: str) -> None:
    frame = read(listen({"isrc": isrc}))[0]
    assert frame["import_key"].to_list() == [f"listenbrainz|1700000000|Björk\x1fHidden Place{reported}||1"]
    assert frame["track_id"][0].startswith("unresolved:")
    frame = read(listen({"isrc": isrc, "spotify_id": TRACK_ID}))[0]
    assert frame["import_key"].to_list() == [f"listenbrainz|1700000000|Björk\x1fHidden Place\x1f{TRACK_ID}||1"]


@pytest.mark.parametrize(
    "info",
    [
        None,
        [],
        "text",
        {"spotify_id": 7},
        {"spotify_id": "https://open.spotify.com/track/short"},
        {"spotify_id": f"https://open.spotify.com/album/{TRACK_ID}"},
        {"origin_url": f"https://example.org/track/{TRACK_ID}"},
    ],
)
def test_without_one_the_track_is_known_by_name(info: Any) -> None:
    assert read(listen(info))[0]["track_id"].to_list() == [stable_id("unresolved", "Björk", "Hidden Place")]


@pytest.mark.parametrize(
    ("info", "duration_ms", "ms_played"),
    [
        ({"duration_ms": 251_000, "ms_played": 245_000}, 251_000, 245_000),
        ({"duration": 170}, 170_000, None),
        ({"duration": 170.25, "duration_ms": 0}, 170_250, None),
        ({"duration_ms": 251_000.4, "ms_played": 1.5}, 251_000, None),
        ({"duration_ms": "251000", "ms_played": "245000"}, None, None),
        ({"duration_ms": True, "ms_played": True}, None, None),
        ({"duration_ms": -1, "ms_played": -1}, None, None),
        ({"duration_ms": 10**30, "duration": 1e300, "ms_played": 10**30}, None, None),
        ({"duration_ms": float("nan"), "duration": float("inf"), "ms_played": 0}, None, 0),
    ],
)
def test_lengths_are_taken_where_they_are_some(info: Any, duration_ms: int | None, ms_played: int | None) -> None:
    (play,) = read(listen(info))[0].to_dicts()
    assert (play["duration_ms"], play["ms_played"]) == (duration_ms, ms_played)
    assert play["import_key"].endswith(f"|{'' if ms_played is None else ms_played}|1")


@pytest.mark.parametrize(
    "address", ["https://open.spotify.com/episode/512ojhOuo1ktJprKbVcKyQ", "spotify:episode:512ojh"]
)
@pytest.mark.parametrize("key", ["spotify_id", "origin_url"])
def test_podcasts_are_counted_and_not_kept(key: str, address: str) -> None:
    data = json.dumps([listen({key: address}), LISTEN]).encode()
    (chunk,) = chunks_of(data)
    assert (chunk.not_music, chunk.plays["row_number"].to_list()) == (1, [1])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (None, "not an object"),
        ([LISTEN], "not an object"),
        ({}, "still playing"),
        ({**LISTEN, "listened_at": None}, "still playing"),
        ({**LISTEN, "listened_at": "1700000000"}, "not a whole number"),
        ({**LISTEN, "listened_at": True}, "not a whole number"),
        ({**LISTEN, "listened_at": 0}, "before 2002-10-01"),
        ({**LISTEN, "listened_at": 10**40}, "in the future"),
        ({**LISTEN, "listened_at": -(10**40)}, "before 2002-10-01"),
        ({**LISTEN, "track_metadata": None}, "does not name"),
        (listen(artist_name=["Björk"]), "does not name"),
        (listen(track_name="\0 "), "does not name"),
    ],
)
def test_a_row_that_cannot_be_a_play_is_rejected(row: Any, reason: str) -> None:
    plays, (reject,) = read(LISTEN, row, LISTEN)
    assert plays["row_number"].to_list() == [0, 2]
    assert reject.row_number == 1
    assert reason in reject.reason


def test_a_broken_line_costs_only_itself() -> None:
    line = json.dumps(LISTEN, ensure_ascii=False).encode()
    data = b"\n".join([line, line[:-1], b"", b"[" * 5000, b"1" * 5000, line.replace(b"\xc3", b""), line, b""])
    plays, rejects = joined(chunks_of(data))
    assert plays["row_number"].to_list() == [0, 5]
    assert [reject.reason[:20] for reject in rejects] == ["the line is not vali"] * 3 + ["the line is not UTF-8"[:20]]


def test_a_last_line_that_breaks_off_is_rejected_and_then_reported() -> None:
    line = json.dumps(LISTEN).encode()
    chunks = read_listenbrainz(BytesIO(line + b"\n" + line[:50]), NAME, NOW, 10)
    chunk = next(chunks)
    assert (chunk.plays.height, len(chunk.rejects)) == (1, 1)
    with pytest.raises(BrokenExportError, match=NAME) as caught:
        next(chunks)
    assert caught.value.position == len(line) + 1


def test_an_array_that_breaks_off_gives_its_rows_first() -> None:
    chunks = read_listenbrainz(BytesIO(json.dumps([LISTEN] * 3).encode()[:-60]), NAME, NOW, 10)
    assert next(chunks).plays.height == 2
    with pytest.raises(BrokenExportError, match=NAME):
        list(chunks)


def test_a_month_without_listens_has_no_rows() -> None:
    assert chunks_of(b"") == chunks_of(b"\n\n") == chunks_of(b"[]") == []


@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.sampled_from([None, 1])), max_size=20),
    size=st.integers(1, 7),
)
@settings(max_examples=50, deadline=None)
def test_chunks_do_not_matter_and_repeats_are_numbered(rows: list[tuple[int, str, int | None]], size: int) -> None:
    listens = [{**listen({"ms_played": ms}, track_name=name), "listened_at": 1_700_000_000 + n} for n, name, ms in rows]
    assert read(*listens, chunk_rows=size)[0].equals(read(*listens)[0])


@pytest.mark.parametrize("form", ["lines", "array"])
def test_ten_thousand_mutated_rows_add_up(form: str) -> None:
    dice = random.Random(9)
    lines = []
    for _ in range(10_000):
        row = bytearray(json.dumps(LISTEN).encode())
        for _ in range(dice.randrange(3)):
            row[dice.randrange(len(row))] = dice.choice(b'\0\x80\xff,"x9 }{')
        lines.append(bytes(row))
    data = b"\n".join([*lines, b""]) if form == "lines" else b"[" + b",".join(lines) + b"]"
    chunks = list(read_listenbrainz(BytesIO(data), NAME, NOW, 1000))
    assert all(chunk.plays.height + chunk.not_music + len(chunk.rejects) == chunk.rows for chunk in chunks)
    assert sum(chunk.rows for chunk in chunks) == 10_000 or form == "array"
    assert sum(chunk.plays.height for chunk in chunks) > 3000
