"""Logs of portable players: their times, ratings and gaps."""

from datetime import UTC, datetime, tzinfo
from typing import BinaryIO
from zoneinfo import ZoneInfo

import pytest

from echostats_pipeline.importers.recognition import recognised
from echostats_pipeline.importers.scrobblerlog import read_scrobbler_log
from echostats_pipeline.transforms.history.identity import stable_id
from echostats_pipeline_tests.importers.whole_files import WholeFile, read_whole

BERLIN = ZoneInfo("Europe/Berlin")
ROW = "Björk\tVespertine\tHidden Place\t1\t328\tL\t1700000000\t8a5bd9ab-0fd1-4bd2-9b4f-1a5d5e5a2d2b"
STARTED = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def read(*lines: str, zone: tzinfo = UTC, head: str = "#AUDIOSCROBBLER/1.1\n#TZ/UTC\n#CLIENT/Rockbox\n") -> WholeFile:
    def reader(stream: BinaryIO, name: str, now: datetime, chunk_rows: int) -> object:
        return read_scrobbler_log(stream, name, now, chunk_rows, zone)

    return read_whole(reader, (head + "\n".join(lines)).encode("utf-8", "surrogateescape"))  # type: ignore[arg-type]


def test_a_row_is_a_play_from_its_start() -> None:
    (play,) = read(ROW).plays.to_dicts()
    assert {name: value for name, value in play.items() if value is not None} == {
        "row_number": 0,
        "import_key": "scrobblerlog|1700000000|Björk\x1fHidden Place||1",
        "import_ts": STARTED,
        "track_id": stable_id("unresolved", "Björk", "Hidden Place"),
        "track_name": "Hidden Place",
        "artist_name": "Björk",
        "album_name": "Vespertine",
        "duration_ms": 328_000,
    }


@pytest.mark.parametrize(
    ("reported", "stamp", "started"),
    [
        ("UTC", 1_700_000_000, STARTED),
        ("utc", 1_700_000_000, STARTED),
        ("UNKNOWN", 1_700_000_000, datetime(2023, 11, 14, 21, 13, 20, tzinfo=UTC)),
        ("", 1_700_000_000, datetime(2023, 11, 14, 21, 13, 20, tzinfo=UTC)),
        # In July Berlin is two hours ahead.
        ("UNKNOWN", 1_690_000_000, datetime(2023, 7, 22, 2, 26, 40, tzinfo=UTC)),
    ],
)
def test_local_times_are_those_of_the_users_zone_unless_the_log_says_utc(
    reported: str, stamp: int, started: datetime
) -> None:
    head = f"#AUDIOSCROBBLER/1.1\n#TZ/{reported}\n"
    row = ROW.replace("1700000000", str(stamp))
    assert read(row, zone=BERLIN, head=head).plays["import_ts"].to_list() == [started]
    # If another player continues a log, its zone changes.
    plays = read(row, "#TZ/UTC", row, zone=BERLIN, head=head).plays
    assert plays["import_ts"][-1] == datetime.fromtimestamp(stamp, UTC)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ROW.replace("\tL\t", "\tS\t"), "skipped"),
        (ROW.replace("\tL\t", "\tX\t"), "neither L nor S"),
        (ROW.replace("1700000000", "0"), "no clock"),
        (ROW.replace("1700000000", "978307200"), "before 2005"),
        (ROW.replace("1700000000", ""), "no instant"),
        (ROW.replace("1700000000", "999999999999"), "no instant"),
        (ROW.replace("Björk", "<Untagged>"), "does not name"),
        (ROW.replace("Hidden Place", ""), "does not name"),
        (ROW.replace("Björk", "Bj\udcffrk"), "UTF-8"),
        ("# FAILED - " + ROW, "could not write"),
        ("junk", "1 columns"),
    ],
)
def test_what_is_no_play_is_rejected_with_the_reason(row: str, reason: str) -> None:
    whole = read(ROW, row, ROW)
    assert whole.plays["row_number"].to_list() == [0, 2]
    assert reason in whole.rejects[0].reason


@pytest.mark.parametrize("length", ["0", "", "-1", "x", "99999999"])
def test_a_length_that_is_none_is_unknown(length: str) -> None:
    assert read(ROW.replace("\t328\t", f"\t{length}\t")).plays["duration_ms"].to_list() == [None]


def test_comments_are_no_rows_and_an_artist_may_begin_like_one() -> None:
    whole = read("# a comment", "#ARTIST #ALBUM #TITLE #TRACKNUM", ROW.replace("Björk", "#1 Dads"), "", ROW[:-37])
    assert whole.plays["artist_name"].to_list() == ["#1 Dads", "Björk"]
    assert whole.rows == 2


def test_a_log_is_known_by_its_first_line_or_by_its_rows() -> None:
    assert recognised(b"#AUDIOSCROBBLER/1.0\n") == recognised(f"{ROW}\n".encode()) == "scrobblerlog"
    assert recognised(b"a\tb\tc\n1\t2\t3\n") is None
