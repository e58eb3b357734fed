"""EchoTune's CSV against the extended history that it was made from: joins, damaged rows, a published part of one."""

import csv
import json
import random
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from io import BytesIO, StringIO
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline.errors import BrokenExportError, ExportError
from echostats_pipeline.importers.echotune import DOUBLED, read_echotune
from echostats_pipeline.importers.extended import read_extended
from echostats_pipeline.importers.rows import EXPORT_SCHEMA, ExportChunk, RejectedRow

NAME = "listening_history.csv"
NOW = datetime(2026, 11, 20, tzinfo=UTC)
SAMPLE = Path(__file__).parents[2] / ".." / "shared" / "samples" / "listening_history_57_columns.csv"
TRACK_ID = "2kRFrWaLWifQkBFasAWgMo"
CANARY = "canary"
Row = dict[str, str]

ROW: Row = {
    "spotify_track_uri": f"spotify:track:{TRACK_ID}",
    "ts_x": "2023-03-19 18:31:37+00:00",
    "username": f"{CANARY}-name",
    "platform": f"Android OS 4.2.2 API 17 (samsung, {CANARY})",
    "ms_played_x": "245000",
    "conn_country": "DE",
    "ip_addr_decrypted": f"{CANARY}-address",
    "user_agent_decrypted": f"{CANARY}-agent",
    "master_metadata_track_name_x": "Everything In Its Right Place",
    "master_metadata_album_artist_name_x": "Radiohead",
    "master_metadata_album_album_name_x": "Kid A",
    "reason_start": "clickrow",
    "reason_end": "",
    "shuffle": "False",
    "skipped": "True",
    "offline": "",
    "track_id": TRACK_ID,
    "master_metadata_track_name_y": "Everything In Its Right Place",
    "ts_y": "2016-08-22 17:19:44+00:00",
    "ms_played_y": "84834.0",
    "Track Duration (ms)_releases": "251000.0",
    "Added By_releases": f"{CANARY}-friend",
    "Added At_releases": "2020-01-01",
}
JSON_ROW = {
    "ts": "2023-03-19T18:31:37Z",
    "ms_played": 245_000,
    "conn_country": "DE",
    "platform": "android",
    "spotify_track_uri": f"spotify:track:{TRACK_ID}",
    "master_metadata_track_name": "Everything In Its Right Place",
    "master_metadata_album_artist_name": "Radiohead",
    "master_metadata_album_album_name": "Kid A",
    "reason_start": "clickrow",
    "shuffle": False,
    "skipped": True,
}


def csv_of(rows: Iterable[Row], header: Sequence[str] = tuple(ROW)) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, header)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def chunks_of(data: str | bytes, chunk_rows: int = 1000) -> list[ExportChunk]:
    stream = BytesIO(data.encode() if isinstance(data, str) else data)
    chunks = list(read_echotune(stream, NAME, NOW, chunk_rows))
    for chunk in chunks:
        assert chunk.plays.height + chunk.not_music + len(chunk.rejects) == chunk.rows <= chunk_rows
        assert dict(chunk.plays.schema) == EXPORT_SCHEMA
        assert CANARY not in repr(chunk.rejects) + chunk.plays.write_csv()
    return chunks


def read(data: str | bytes, chunk_rows: int = 1000) -> tuple[pl.DataFrame, list[RejectedRow]]:
    chunks = chunks_of(data, chunk_rows)
    plays = pl.concat([pl.DataFrame(schema=EXPORT_SCHEMA), *(chunk.plays for chunk in chunks)])
    assert plays["import_key"].is_unique().all()
    return plays, [reject for chunk in chunks for reject in chunk.rejects]


def test_a_row_is_the_row_of_the_extended_history_with_the_length_of_its_track() -> None:
    (from_json,) = read_extended(BytesIO(json.dumps([JSON_ROW, JSON_ROW]).encode()), "endsong_0.json", NOW, 1000)
    plays, rejects = read(csv_of([ROW, ROW]))
    assert rejects == []
    assert plays.drop("duration_ms").equals(from_json.plays.drop("duration_ms"))
    assert plays["duration_ms"].to_list() == [251_000] * 2
    assert plays["import_key"].to_list() == [f"2023-03-19T18:31:37Z|{TRACK_ID}|245000|{n}" for n in (1, 2)]


def test_columns_may_lack_the_suffix_and_stand_in_any_order() -> None:
    plain = {key.removesuffix("_x"): value for key, value in reversed(ROW.items())}
    assert read(csv_of([plain], tuple(plain)))[0].equals(read(csv_of([ROW]))[0])


def test_a_row_that_a_join_has_doubled_is_one_play() -> None:
    joined = [{**ROW, "Added At_releases": day} for day in ("2020-01-01", "2021-01-01", "2022-01-01")]
    plays, rejects = read(csv_of(joined))
    assert plays.height == 1
    assert [(reject.row_number, reject.reason) for reject in rejects] == [(1, DOUBLED), (2, DOUBLED)]


@pytest.mark.parametrize("column", ["reason_start", "shuffle", "platform", "conn_country"])
def test_rows_that_differ_in_a_column_of_the_history_are_plays_of_their_own(column: str) -> None:
    plays, _ = read(csv_of([ROW, {**ROW, column: "other"}]))
    assert [key[-2:] for key in plays["import_key"]] == ["|1", "|2"]


@given(
    copies=st.integers(1, 4), joined=st.integers(1, 4), order=st.randoms(use_true_random=False), size=st.integers(1, 20)
)
@settings(max_examples=50, deadline=None)
def test_a_join_changes_neither_how_many_plays_there_are_nor_their_identity(
    copies: int, joined: int, order: random.Random, size: int
) -> None:
    rows = [{**ROW, "Added At_releases": str(n)} for n in range(joined)] * copies
    order.shuffle(rows)
    plays, rejects = read(csv_of(rows), size)
    assert sorted(plays["import_key"]) == sorted(read(csv_of([ROW] * copies))[0]["import_key"])
    assert len(rejects) == copies * (joined - 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ts_x": ""}, "ts is not an instant"),
        ({"ts_x": "yesterday"}, "ts is not an instant"),
        ({"ms_played_x": "84834.5"}, "ms_played is not a whole number"),
        ({"ms_played_x": "9" * 400}, "ms_played is not a whole number"),
        (
            {key: "Unknown" for key in ROW if key.startswith("master_")} | {"spotify_track_uri": ""},
            "names neither a track",
        ),
    ],
)
def test_a_row_that_cannot_be_a_play_is_kept_with_the_reason_and_nothing_personal(changes: Row, reason: str) -> None:
    plays, (reject,) = read(csv_of([ROW, {**ROW, **changes}, ROW]))
    assert (plays.height, reject.row_number) == (2, 1)
    assert reason in reject.reason
    assert reject.row["conn_country"] == "DE"


def test_a_row_of_another_width_or_encoding_costs_only_itself() -> None:
    good = csv_of([ROW]).encode()
    line = good.splitlines()[1]
    damaged = line.replace(b"Kid A", b"Kid \xc4")
    _, rejects = read(good + b"a,b\r\n\r\n" + damaged + b"\r\n" + line + b',"' + b"x" * 200_000 + b"\r\n" + line)
    assert [reject.row_number for reject in rejects] == [1, 2, 3]
    assert [part in reject.reason for part, reject in zip(("2 columns", "UTF-8", "CSV"), rejects, strict=True)] == [
        True
    ] * 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_names_with_line_breaks_quotes_and_accents_are_read_in_every_encoding(encoding: str) -> None:
    name = 'Köln,\n"live"\u2028\0'
    plays, _ = read(csv_of([{**ROW, "master_metadata_track_name_x": name}]).encode(encoding))
    assert plays["track_name"].to_list() == [name.replace("\0", "")]


@pytest.mark.parametrize("data", ["", "\n", "a,b\n1,2\n", "\0\0\0", "[{}]"])
def test_a_file_that_is_no_such_csv_is_refused_by_name(data: str) -> None:
    with pytest.raises(ExportError, match=NAME):
        read(data)


def test_a_line_without_an_end_costs_one_row_and_is_not_held() -> None:
    data = csv_of([ROW] * 5).encode()
    line = data.splitlines()[1]
    plays, (reject,) = read(data + b"\0" * 3_000_000 + b"\n" + line)
    assert plays.height == 6
    assert (reject.row_number, reject.reason) == (5, "the line is longer than 1048576 characters")


def test_the_rows_before_a_break_are_given_first() -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NAME, csv_of({**ROW, "username": str(number)} for number in range(20_000)))
    damaged = bytearray(packed.getvalue())
    damaged[-1000:-900] = bytes(100)
    with zipfile.ZipFile(BytesIO(damaged)) as archive, archive.open(NAME) as stream:
        chunks = read_echotune(stream, NAME, NOW, 1000)
        assert next(chunks).rows == 1000
        with pytest.raises(BrokenExportError, match="cannot be read beyond byte"):
            list(chunks)


def test_ten_thousand_mutated_rows_add_up_whatever_the_chunks() -> None:
    dice = random.Random(57)
    lines = (
        csv_of({**ROW, "ts_x": f"2023-03-{1 + n % 28:02} 18:31:37+00:00"} for n in range(10_000))
        .encode()
        .split(b"\r\n")
    )
    for number in range(1, len(lines) - 1):
        line = bytearray(lines[number])
        for _ in range(dice.randrange(3)):
            line[dice.randrange(len(line))] = dice.choice(b'\0\r\x80\xff,"x9 ')
        lines[number] = bytes(line)
    data = b"\r\n".join(lines)
    whole, rejects = plays_and_rejects(data, 20_000)
    assert whole.height > 3000
    assert len(rejects) > 1000
    parts, others = plays_and_rejects(data, 997)
    assert parts.equals(whole)
    assert others == rejects


def plays_and_rejects(data: bytes, chunk_rows: int) -> tuple[pl.DataFrame, list[RejectedRow]]:
    """Plays and rejects as from `read`; mutated rows may hold their personal values in any column."""
    chunks = list(read_echotune(BytesIO(data), NAME, NOW, chunk_rows))
    assert all(chunk.plays.height + chunk.not_music + len(chunk.rejects) == chunk.rows for chunk in chunks)
    return pl.concat([chunk.plays for chunk in chunks]), [reject for chunk in chunks for reject in chunk.rejects]


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the sample is not beside this checkout")
def test_a_published_part_of_such_a_file_is_read_to_the_last_row() -> None:
    chunks = chunks_of(SAMPLE.read_bytes(), 5000)
    plays = pl.concat([chunk.plays for chunk in chunks])
    rejects = [reject for chunk in chunks for reject in chunk.rejects]
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        named = [row for row in csv.DictReader(file) if row["spotify_track_uri"]]
    assert sum(chunk.rows for chunk in chunks) == 12_409
    assert len(rejects) == 1051
    assert {reject.reason for reject in rejects} == {"the row names neither a track, an episode nor an audiobook"}
    assert plays.height == len(named) == plays["import_key"].n_unique()
    assert plays["ms_played"].sum() == sum(int(row["ms_played_x"]) for row in named)
    assert plays["import_ts"].to_list() == [datetime.fromisoformat(row["ts_x"]) for row in named]
    assert chunks[-1].bytes_read == SAMPLE.stat().st_size
