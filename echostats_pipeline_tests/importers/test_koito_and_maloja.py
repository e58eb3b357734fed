"""The exports of Koito and Maloja: every field, missing fields, and invalid rows."""

import json
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.errors import BrokenExportError, ExportError
from echostats_pipeline.importers.koito import read_koito
from echostats_pipeline.importers.maloja import read_maloja
from echostats_pipeline.importers.recognition import recognised
from echostats_pipeline.transforms.history.identity import stable_id
from echostats_pipeline_tests.importers.whole_files import NOW, WholeFile, read_whole

CASES = Path(__file__).parents[2] / ".." / "shared" / "cases"
STARTED = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def aliases(*names: str, primary: int = 0) -> list[dict[str, Any]]:
    return [{"alias": name, "source": "x", "is_primary": number == primary} for number, name in enumerate(names)]


LISTEN: dict[str, Any] = {
    "listened_at": "2023-11-14T22:13:20Z",
    "client": "canary",
    "track": {"mbid": None, "duration": 251, "aliases": aliases("hidden place", "Hidden Place", primary=1)},
    "album": {"image_url": "https://canary", "mbid": None, "aliases": aliases("Vespertine"), "various_artists": False},
    "artists": [
        {"image_url": "", "mbid": None, "is_primary": False, "aliases": aliases("Matmos")},
        {"image_url": "", "mbid": None, "is_primary": True, "aliases": aliases("Björk", "Bjork")},
    ],
}
SCROBBLE: dict[str, Any] = {
    "time": 1_700_000_000,
    "track": {
        "artists": ["Matmos", "Björk"],
        "title": "Hidden Place",
        "album": {"artists": ["Björk"], "albumtitle": "Vespertine"},
        "length": 251,
    },
    "duration": 245,
    "origin": "client:canary",
}


def koito(*listens: Any, indent: int | None = None) -> bytes:
    envelope = {"version": "1", "exported_at": "2025-01-01T00:00:00Z", "user": "canary", "listens": listens}
    return json.dumps(envelope, indent=indent, ensure_ascii=False).encode()


def maloja(*scrobbles: Any) -> bytes:
    return json.dumps({"maloja": {"export_time": 1_700_000_000}, "scrobbles": scrobbles}, indent=3).encode()


def known(whole: WholeFile) -> dict[str, Any]:
    assert (whole.rejects, whole.error) == ([], None)
    return {name: value for name, value in whole.plays.row(0, named=True).items() if value is not None}


PLAY = {
    "row_number": 0,
    "import_ts": STARTED,
    "track_id": stable_id("unresolved", "Björk", "Hidden Place"),
    "track_name": "Hidden Place",
    "artist_name": "Björk",
    "album_name": "Vespertine",
    "duration_ms": 251_000,
}


@pytest.mark.parametrize("indent", [None, 2])
def test_a_listen_of_koito_is_a_play_under_its_primary_names(indent: int | None) -> None:
    key = "koito|1700000000|Björk\x1fHidden Place||1"
    assert known(read_whole(read_koito, koito(LISTEN, indent=indent))) == PLAY | {"import_key": key}


def test_a_scrobble_of_maloja_is_a_play_of_the_artist_of_its_album() -> None:
    key = "maloja|1700000000|Björk\x1fHidden Place|245000|1"
    assert known(read_whole(read_maloja, maloja(SCROBBLE))) == PLAY | {"import_key": key, "ms_played": 245_000}


@pytest.mark.parametrize(
    "stamp", ["2023-11-14T23:13:20+01:00", "2023-11-14T22:13:20.5Z", "2023-11-14T22:13:20.123456789Z"]
)
def test_an_instant_of_koito_may_have_an_offset_and_fractions(stamp: str) -> None:
    assert read_whole(read_koito, koito({**LISTEN, "listened_at": stamp})).plays["import_ts"].to_list() == [STARTED]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"listened_at": None}, "not an instant"),
        ({"listened_at": 1_700_000_000}, "not an instant"),
        ({"listened_at": "2023-11-14"}, "not an instant"),
        ({"listened_at": "2023-13-14T22:13:20Z"}, "not an instant"),
        ({"listened_at": "0001-01-01T00:00:00+10:00"}, "not an instant"),
        ({"listened_at": "1970-01-01T00:00:00Z"}, "before 2005"),
        ({"artists": []}, "does not name"),
        ({"artists": None}, "does not name"),
        ({"artists": [{"aliases": [{"alias": 1}, None]}]}, "does not name"),
        ({"track": {"aliases": None}}, "does not name"),
        ({"track": "Hidden Place"}, "does not name"),
    ],
)
def test_a_listen_that_cannot_be_a_play_is_rejected(changes: dict[str, Any], reason: str) -> None:
    whole = read_whole(read_koito, koito(LISTEN, {**LISTEN, **changes}, 7, LISTEN))
    assert whole.plays["row_number"].to_list() == [0, 3]
    assert reason in whole.rejects[0].reason
    assert "canary" not in repr(whole.rejects)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"time": None}, "not a whole number"),
        ({"time": "1700000000"}, "not a whole number"),
        ({"time": 0}, "before 2005"),
        ({"time": 10**40}, "in the future"),
        ({"track": None}, "does not name"),
        ({"track": {"artists": [], "title": "x"}}, "does not name"),
        ({"track": {"artists": "Björk", "title": "x"}}, "does not name"),
        ({"track": {"artists": ["Björk"], "title": None}}, "does not name"),
    ],
)
def test_a_scrobble_that_cannot_be_a_play_is_rejected(changes: dict[str, Any], reason: str) -> None:
    whole = read_whole(read_maloja, maloja(SCROBBLE, {**SCROBBLE, **changes}, SCROBBLE))
    assert whole.plays["row_number"].to_list() == [0, 2]
    assert reason in whole.rejects[0].reason
    assert "canary" not in repr(whole.rejects)


@pytest.mark.parametrize(
    ("reported", "known_ms"), [(200, 200_000), (0, None), (None, None), (-1, None), ("200", None), (1e9, None)]
)
def test_lengths_are_taken_where_they_are_some(reported: Any, known_ms: int | None) -> None:
    listen = {**LISTEN, "track": {**LISTEN["track"], "duration": reported}}
    assert read_whole(read_koito, koito(listen)).plays["duration_ms"].to_list() == [known_ms]
    scrobble = {**SCROBBLE, "duration": reported, "track": {**SCROBBLE["track"], "length": reported, "album": None}}
    (play,) = read_whole(read_maloja, maloja(scrobble)).plays.to_dicts()
    assert (play["ms_played"], play["duration_ms"]) == (known_ms, known_ms)
    assert (play["artist_name"], play["album_name"]) == ("Matmos", "")


@pytest.mark.parametrize("reader", [read_koito, read_maloja])
def test_an_export_without_plays_or_without_an_end_says_so(reader: Any) -> None:
    data = koito(LISTEN, LISTEN) if reader is read_koito else maloja(SCROBBLE, SCROBBLE)
    empty = koito() if reader is read_koito else maloja()
    assert read_whole(reader, empty).rows == 0
    cut = read_whole(reader, data[:-40])
    assert cut.plays.height == 1
    assert isinstance(cut.error, BrokenExportError)
    with pytest.raises(ExportError, match=r"F holds no list of plays"):
        list(reader(BytesIO(b'{"user": "x"}'), "F", NOW, 10))
    assert recognised(data) == recognised(empty) == reader.__name__.removeprefix("read_")


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside this checkout")
def test_the_cases_of_bug_reports_are_read_whole() -> None:
    for name in ("koito_export.json", "koito_pretty.json"):
        data = (CASES / name).read_bytes()
        assert recognised(data) == "koito"
        later = read_whole(lambda *given: read_koito(given[0], given[1], datetime(2026, 1, 1, tzinfo=UTC), 10), data)
        assert later.plays["track_name"].to_list() == ["K0", "K1", "K2"]
    data = (CASES / "maloja_export.json").read_bytes()
    assert recognised(data) == "maloja"
    assert read_whole(read_maloja, data).plays["track_name"].to_list() == ["M0", "M1", "M2"]
