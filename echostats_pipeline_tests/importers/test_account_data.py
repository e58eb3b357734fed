"""Rows of the account data: by name, to the minute."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.importers.account_data import read_basic
from echostats_pipeline.importers.extended import read_no_music
from echostats_pipeline.transforms.history.identity import stable_id
from echostats_pipeline_tests.importers.whole_files import NOW, WholeFile, read_whole

SAMPLES = Path(__file__).parents[2] / ".." / "shared" / "samples" / "MyData"
ROW = {"endTime": "2020-05-21 03:09", "artistName": "Radiohead", "trackName": "Kid A", "msPlayed": 107_933}
PODCAST = {"endTime": "2020-05-21 03:09", "podcastName": "A show", "episodeName": "An episode", "msPlayed": 1}


def read(*rows: Any, chunk_rows: int = 20_000) -> WholeFile:
    export = read_whole(read_basic, json.dumps(rows).encode(), chunk_rows=chunk_rows)
    assert export.error is None
    assert export.rows == len(rows)
    return export


def play(**changes: Any) -> dict[str, Any]:
    return read({**ROW, **changes}).plays.row(0, named=True)


def test_a_row_becomes_a_play_without_an_album_or_a_spotify_id() -> None:
    found = play()
    assert {key: value for key, value in found.items() if value is not None} == {
        "row_number": 0,
        "import_key": "basic|2020-05-21 03:09|Radiohead\x1fKid A|107933|1",
        "import_ts": datetime(2020, 5, 21, 3, 9, tzinfo=UTC),
        "ms_played": 107_933,
        "track_id": stable_id("unresolved", "Radiohead", "Kid A"),
        "track_name": "Kid A",
        "artist_name": "Radiohead",
        "album_name": "",
    }


def test_an_end_may_have_seconds() -> None:
    assert play(endTime="2020-05-21 03:09:41")["import_ts"] == datetime(2020, 5, 21, 3, 9, 41, tzinfo=UTC)


def test_repeats_are_told_apart_over_chunks() -> None:
    rows = (ROW, {**ROW, "msPlayed": 0}, ROW, ROW)
    for chunk_rows in (1, 2, 3, 4):
        keys = read(*rows, chunk_rows=chunk_rows).plays["import_key"]
        assert [key.rsplit("|", 1)[1] for key in keys] == ["1", "1", "2", "3"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"endTime": None}, "endTime is not an instant"),
        ({"endTime": "2020-05-21T03:09:00Z"}, "endTime is not an instant"),
        ({"endTime": "2020-02-30 03:09"}, "endTime is not an instant"),
        ({"endTime": f"{NOW + timedelta(days=2):%Y-%m-%d %H:%M}"}, "in the future"),
        ({"endTime": "2005-12-31 23:59"}, "older than Spotify"),
        ({"msPlayed": None}, "msPlayed is not a whole number"),
        ({"msPlayed": "1"}, "msPlayed is not a whole number"),
        ({"msPlayed": -1}, "negative length"),
        ({"msPlayed": 86_400_001}, "longer than a day"),
        ({"artistName": "Unknown Artist", "trackName": "Unknown Track"}, "no longer knows"),
        ({"artistName": "Unknown", "trackName": "Unknown"}, "no longer knows"),
        ({"trackName": ""}, "both artist and track"),
        ({"artistName": None}, "both artist and track"),
    ],
)
def test_a_row_that_cannot_be_a_play_is_kept_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    export = read(ROW, {**ROW, **changes, "userName": "canary"}, ROW)
    (reject,) = export.rejects
    assert (reject.row_number, reject.row) == (1, {**ROW, **changes})
    assert reason in reject.reason


def test_podcasts_and_audiobooks_are_counted_and_not_kept() -> None:
    export = read(PODCAST, ROW, {"endTime": "2020-05-21 03:09", "audiobookName": "A book", "msPlayed": 1})
    assert (export.not_music, export.plays.height) == (2, 1)
    others = read_whole(read_no_music, json.dumps([PODCAST, PODCAST]).encode())
    assert (others.rows, others.not_music) == (2, 2)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real sample is not beside this checkout")
def test_a_real_export_is_read_to_the_last_row() -> None:
    exports = [read_whole(read_basic, path.read_bytes(), path.name) for path in SAMPLES.iterdir()]
    assert [export.error for export in exports] == [None] * 6
    assert sum(export.rows for export in exports) == 52_677
    for export, path in zip(exports, SAMPLES.iterdir(), strict=True):
        rows = json.loads(path.read_bytes())
        assert export.plays["ms_played"].sum() + sum(reject.row["msPlayed"] for reject in export.rejects) == sum(
            row["msPlayed"] for row in rows
        )
