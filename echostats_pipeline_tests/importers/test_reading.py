"""All readers by their formats, with files that a disk, an editor or a stranger has damaged."""

import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest

from echostats_pipeline.errors import ExportError
from echostats_pipeline.importers.archives import ArchiveLimits
from echostats_pipeline.importers.files import find_export_files
from echostats_pipeline.importers.reading import READERS, read_export
from echostats_pipeline.importers.rows import ExportFile, ExportFormat
from echostats_pipeline_tests.hypothesis_profiles import examples
from echostats_pipeline_tests.importers.whole_files import NOW, read_whole

EXTENDED = {
    "ts": "2023-03-19T18:31:37Z",
    "platform": "android",
    "ms_played": 245_000,
    "conn_country": "DE",
    "master_metadata_track_name": "Everything In Its Right Place",
    "master_metadata_album_artist_name": "Radiohead",
    "master_metadata_album_album_name": "Kid A",
    "spotify_track_uri": "spotify:track:2kRFrWaLWifQkBFasAWgMo",
    "spotify_episode_uri": None,
    "episode_name": None,
    "audiobook_uri": None,
    "audiobook_title": None,
    "reason_start": "clickrow",
    "reason_end": "",
    "shuffle": False,
    "skipped": None,
    "offline": True,
    "offline_timestamp": 1679249719,
    "incognito_mode": False,
}
BASIC = {"endTime": "2020-05-21 03:09", "artistName": "Radiohead", "trackName": "Kid A", "msPlayed": 107_933}
LISTEN = {"listened_at": 1700000000, "track_metadata": {"artist_name": "A", "track_name": "B", "release_name": "C"}}
SCROBBLE = {"artist": {"#text": "A"}, "album": {"#text": "C"}, "name": "B", "date": {"uts": "1700000000"}}
KOITO = {
    "listened_at": "2023-11-14T22:13:20Z",
    "track": {"duration": 200, "aliases": [{"alias": "B", "is_primary": True}]},
    "album": {"aliases": [{"alias": "C", "is_primary": True}]},
    "artists": [{"is_primary": True, "aliases": [{"alias": "A", "is_primary": True}]}],
}
MALOJA = {"time": 1700000000, "track": {"artists": ["A"], "title": "B", "album": None, "length": 200}, "duration": 200}
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 1.0, 1.5, 2**31, 2**63, 2**64, -(2**70), 1e300, float("inf"), float("nan"), 10**400),
    *(
        "",
        " ",
        "\0",
        "\ud800",
        "ä" * 50,
        "Unknown",
        "Unknown Track",
        "2023-03-19 18:31:37.5+00:00",
        "9999-12-31T23:59:59Z",
    ),
    *("0000-00-00T00:00:00Z", "1-1-1", "12", "spotify:track:", "spotify:local:a:b:c:1", "_x", "}, {", '"', "\\", "\n"),
    *([], {}, [1], {"a": 1}, [[[]]], {"#text": None}),
]


def mutated_row(dice: random.Random, row: dict[str, Any]) -> Any:
    """The row with some values of any kind, without some keys, or replaced by something else."""
    if dice.random() < 0.02:
        return dice.choice(ODD)
    changed = dict(row)
    for key in dice.sample(sorted(row), dice.randint(0, min(3, len(row)))):
        match dice.randint(0, 5):
            case 0:
                del changed[key]
            case 1:
                changed[key] = dice.choice(list(row.values()))
            case _:
                changed[key] = dice.choice(ODD)
    return changed


def mutated_bytes(dice: random.Random, data: bytes) -> bytes:
    """The file with bytes flipped, removed, doubled or inserted, or truncated."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, 6)):
        at, end = sorted((dice.randrange(len(changed) + 1), dice.randrange(len(changed) + 1)))
        end = min(end, at + dice.choice([1, 2, 10, 300]))
        match dice.randint(0, 6):
            case 0:
                changed[at:end] = b""
            case 1:
                changed[at:at] = changed[at:end]
            case 2:
                changed[at:at] = dice.randbytes(dice.randint(1, 20))
            case 3:
                changed[at:at] = dice.choice([b'"', b"{", b"}", b"[", b"]", b",", b"\\", b"\0", b"},{", b"\n", b"\xff"])
            case 4:
                del changed[max(at, len(changed) - 500) :]
            case _:
                changed[at:end] = bytes(byte ^ 1 << dice.randrange(8) for byte in changed[at:end])
    return bytes(changed)


def test_every_format_has_a_reader() -> None:
    assert set(READERS) == set(get_args(ExportFormat))


@pytest.mark.parametrize(
    ("found", "row"), [("koito", KOITO), ("maloja", MALOJA), ("lastfm", SCROBBLE), ("listenbrainz", LISTEN)]
)
def test_no_row_of_a_service_is_lost_or_an_error_however_odd(found: ExportFormat, row: dict[str, Any]) -> None:
    dice = random.Random(f"rows of {found}")
    rows = [mutated_row(dice, row) for _ in range(5_000)]
    envelope: dict[str, Any] = {
        "koito": {"listens": rows},
        "maloja": {"scrobbles": rows},
        "lastfm": {"recenttracks": {"track": rows}},
    }
    export = read_whole(READERS[found], json.dumps(envelope.get(found, rows)).encode())
    assert export.error is None
    assert export.rows == len(rows)
    json.dumps([reject.row for reject in export.rejects], allow_nan=False).encode()


@pytest.mark.parametrize(("found", "row"), [("extended", EXTENDED), ("basic", BASIC), ("video", EXTENDED)])
def test_no_row_of_a_hundred_thousand_odd_ones_is_lost_or_an_error(found: ExportFormat, row: dict[str, Any]) -> None:
    dice = random.Random(f"rows of {found}")
    rows = [mutated_row(dice, row) for _ in range(40_000)]
    export = read_whole(READERS[found], json.dumps(rows).encode())
    assert export.error is None
    assert export.rows == len(rows)
    assert found == "video" or export.plays.height > 10_000
    assert found == "video" or len(export.rejects) > 1_000
    assert export.not_music > 0 or found == "basic"
    json.dumps([reject.row for reject in export.rejects], allow_nan=False).encode()
    assert not any(
        export.plays[name].str.contains("\0").any() for name in export.plays.select(pl.col(pl.String)).columns
    )


def lines(*rows: Any) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def array(*rows: Any) -> bytes:
    return json.dumps(rows, indent=1).encode()


CSV = b"spotify_track_uri,ts_x,ms_played_x,master_metadata_track_name_x,master_metadata_album_artist_name_x\n" + (
    b'spotify:track:2kRFrWaLWifQkBFasAWgMo,2016-12-06 06:32:04+00:00,150715,"Kid, A",Radiohead\n' * 5
)
FILES: list[tuple[ExportFormat, bytes]] = [
    ("extended", array(*[EXTENDED] * 5)),
    ("extended", json.dumps([EXTENDED] * 5).encode("utf-16")),
    ("video", array(*[EXTENDED] * 5)),
    ("basic", array(*[BASIC] * 9)),
    ("echotune", CSV),
    ("lastfm", json.dumps([{"recenttracks": {"track": [SCROBBLE] * 5}}]).encode()),
    ("lastfm", b"uts,utc_time,artist,album,track\n" + b'1700000000,"14 Nov 2023, 22:13",A,C,B\n' * 6),
    ("listenbrainz", lines(*[LISTEN] * 6)),
    ("listenbrainz", array(*[LISTEN] * 6)),
    ("koito", json.dumps({"version": "1", "listens": [KOITO] * 6}, indent=2).encode()),
    ("maloja", json.dumps({"maloja": {}, "scrobbles": [MALOJA] * 6}).encode()),
    ("scrobblerlog", b"#AUDIOSCROBBLER/1.1\n#TZ/UTC\n" + b"A\tC\tB\t1\t200\tL\t1700000000\t\n" * 6),
]


@pytest.mark.parametrize(("found", "data"), FILES)
def test_a_whole_file_is_read_alike_in_chunks_of_any_size(found: ExportFormat, data: bytes) -> None:
    whole = read_whole(READERS[found], data)
    assert whole.error is None
    assert whole.rows >= 5
    for chunk_rows in (1, 2, 5):
        assert read_whole(READERS[found], data, chunk_rows=chunk_rows).plays.equals(whole.plays)


@pytest.mark.parametrize(("found", "data"), FILES)
def test_of_many_damaged_files_none_is_more_than_an_export_error(found: ExportFormat, data: bytes) -> None:
    dice = random.Random(f"files of {found}")
    whole = 0
    for _ in range(examples(60)):
        read = read_whole(READERS[found], mutated_bytes(dice, data), chunk_rows=dice.choice([1, 3, 20_000]))
        whole += read.error is None
    assert whole > 0, "not all were damaged beyond reading"
    assert whole < examples(60) or found == "scrobblerlog", "and some were, where there is something to break"


def test_a_damaged_zip_is_no_more_than_an_export_error(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MyData/endsong_0.json", array(*[EXTENDED] * 50))
        archive.writestr("MyData/StreamingHistory0.json", array(*[BASIC] * 50))
    dice = random.Random("zips")
    outcomes = set()
    for number in range(200):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(mutated_bytes(dice, packed.getvalue()))
        try:
            files = find_export_files([path], ArchiveLimits()).files
            for file in files:
                rows = sum(chunk.rows for chunk in read_export(file, NOW))
                outcomes.add(rows)
        except ExportError as error:
            outcomes.add(type(error).__name__)
    assert {50, "ExportError", "BrokenExportError"} <= outcomes


def test_a_file_is_opened_once_and_closed() -> None:
    stream = io.BytesIO(array(BASIC))
    opened: list[int] = []
    open_once: Callable[[], io.BytesIO] = lambda: opened.append(1) or stream  # type: ignore[func-returns-value] # noqa: E731
    (chunk,) = read_export(ExportFile("F", "basic", 1, open_once), NOW)
    assert (chunk.rows, len(opened), stream.closed) == (1, 1, True)


def test_a_file_that_has_gone_is_an_export_error(tmp_path: Path) -> None:
    path = tmp_path / "endsong_0.json"
    path.write_bytes(array(EXTENDED))
    (file,) = find_export_files([path], ArchiveLimits()).files
    path.unlink()
    with pytest.raises(ExportError, match="cannot be opened"):
        list(read_export(file, NOW))
