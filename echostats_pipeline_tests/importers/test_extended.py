"""Every irregularity of published exports, row by row."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echostats_pipeline.errors import BrokenExportError
from echostats_pipeline.importers.extended import NAMES, RAW_SCHEMA, read_extended, read_video
from echostats_pipeline.transforms.history.identity import stable_id
from echostats_pipeline_tests.importers.whole_files import NOW, Reader, WholeFile, read_whole

NAME = "Streaming_History_Audio_2023_0.json"
TRACK_ID = "2kRFrWaLWifQkBFasAWgMo"
CANARY = "canary"
PERSONAL = ("username", "ip_addr", "ip_addr_decrypted", "user_agent_decrypted", "platform")

Row = dict[str, Any]

ROW: Row = {
    "ts": "2023-03-19T18:31:37Z",
    "username": f"{CANARY}-name",
    "platform": f"Android OS 4.2.2 API 17 (samsung, {CANARY})",
    "ms_played": 245_000,
    "conn_country": "DE",
    "ip_addr": f"{CANARY}-address",
    "ip_addr_decrypted": f"{CANARY}-old-address",
    "user_agent_decrypted": f"{CANARY}-agent",
    "master_metadata_track_name": "Everything In Its Right Place",
    "master_metadata_album_artist_name": "Radiohead",
    "master_metadata_album_album_name": "Kid A",
    "spotify_track_uri": f"spotify:track:{TRACK_ID}",
    "episode_name": None,
    "episode_show_name": None,
    "spotify_episode_uri": None,
    "audiobook_title": None,
    "audiobook_uri": None,
    "audiobook_chapter_uri": None,
    "audiobook_chapter_title": None,
    "reason_start": "clickrow",
    "reason_end": "trackdone",
    "shuffle": False,
    "skipped": None,
    "offline": True,
    "offline_timestamp": 1679249719,
    "incognito_mode": True,
}
NO_MUSIC = dict.fromkeys([key for key in ROW if key.startswith("master_")] + ["spotify_track_uri"])


def read(*rows: Any, reader: Reader = read_extended, chunk_rows: int = 20_000) -> WholeFile:
    export = read_whole(reader, json.dumps(rows).encode(), NAME, chunk_rows)
    assert export.error is None
    assert export.rows == len(rows)
    return export


def play(**changes: Any) -> Row:
    """The single play of a file with one row."""
    return read({**ROW, **changes}).plays.row(0, named=True)


def test_a_row_becomes_a_play() -> None:
    assert play() == {
        "row_number": 0,
        "import_key": f"2023-03-19T18:31:37Z|{TRACK_ID}|245000|1",
        "import_ts": datetime(2023, 3, 19, 18, 31, 37, tzinfo=UTC),
        "ms_played": 245_000,
        "track_id": TRACK_ID,
        "track_name": "Everything In Its Right Place",
        "artist_name": "Radiohead",
        "album_name": "Kid A",
        "duration_ms": None,
        "reason_start": "clickrow",
        "reason_end": "trackdone",
        "shuffle": False,
        "skipped": None,
        "offline": True,
        "offline_at": datetime(2023, 3, 19, 18, 15, 19, tzinfo=UTC),
        "incognito": True,
        "country": "DE",
        "platform": "android",
        "video": None,
    }


def test_older_and_newer_files_have_fewer_and_more_keys() -> None:
    needed = ("ts", "ms_played", "spotify_track_uri", "master_metadata_track_name")
    export = read({key: ROW[key] for key in needed}, {**ROW, "something_new": {"nested": [1]}})
    assert export.plays["track_id"].to_list() == [TRACK_ID] * 2
    assert export.plays["platform"].to_list() == [None, "android"]


@pytest.mark.parametrize("key", [key for key in RAW_SCHEMA if key not in ("ts", "ms_played")])
@pytest.mark.parametrize("value", [None, {"of": "another"}, ["type"], 1.5])
def test_every_value_but_the_instant_and_the_time_may_be_null_or_of_another_type(key: str, value: Any) -> None:
    export = read({**ROW, key: value})
    assert export.plays.height == 1


def test_a_withdrawn_track_keeps_its_id_and_has_no_names() -> None:
    found = play(**{key: None for key in NO_MUSIC if key != "spotify_track_uri"})
    assert (found["track_id"], found["track_name"], found["artist_name"], found["album_name"]) == (TRACK_ID, "", "", "")


@pytest.mark.parametrize("uri", [None, "", "spotify:local:Artist:Album:Title:1", "spotify:track:short"])
def test_a_track_without_a_spotify_id_gets_one_of_its_own(uri: str | None) -> None:
    found = play(spotify_track_uri=uri)
    assert found["track_id"] == stable_id("local", "Radiohead", "Everything In Its Right Place")
    assert found["import_key"].startswith("2023-03-19T18:31:37Z|local:")


@pytest.mark.parametrize(
    "names",
    [
        {"episode_name": "An episode", "spotify_episode_uri": "spotify:episode:512ojhOuo1ktJprKbVcKyQ"},
        {"episode_name": "An episode"},
        {"episode_name": "An episode", "spotify_track_uri": ""},
        {"audiobook_title": "A book", "audiobook_uri": "spotify:show:7iHfbu1YPACw6oZPAFJtqe"},
        {"audiobook_uri": "spotify:show:7iHfbu1YPACw6oZPAFJtqe"},
        {"audiobook_chapter_title": "Chapter 3"},
        {"audiobook_chapter_uri": "spotify:episode:7iHfbu1YPACw6oZPAFJtqe"},
    ],
)
def test_podcasts_and_audiobooks_are_counted_and_not_kept(names: Row) -> None:
    export = read({**ROW, **NO_MUSIC, **names}, ROW)
    assert (export.not_music, export.plays.height) == (1, 1)


def test_videos_of_tracks_are_plays_and_others_are_not() -> None:
    unnamed = {**ROW, **NO_MUSIC, **dict.fromkeys(NAMES.values())}
    export = read(ROW, {**ROW, **NO_MUSIC, "episode_name": "An episode"}, unnamed, None, reader=read_video)
    assert (export.not_music, export.plays["video"].to_list(), len(export.rejects)) == (2, [True], 1)
    assert export.plays.drop("video").equals(read(ROW).plays.drop("video"))


def test_lines_give_what_an_array_gives() -> None:
    rows = [ROW, {**ROW, "ms_played": 1}, {**ROW, "ts": None}]
    lines = read_whole(read_extended, "\n".join(map(json.dumps, rows)).encode())
    array = read(*rows)
    assert lines.plays.equals(array.plays)
    assert lines.rejects == array.rejects


@pytest.mark.parametrize("value", [2**63, 2**128, -(2**128), 10**400])
def test_a_number_that_no_column_holds_costs_its_row_alone(value: int) -> None:
    export = read(ROW, {**ROW, "ms_played": value}, {**ROW, "offline_timestamp": value}, ROW)
    assert (export.plays.height, len(export.rejects)) == (3, 1)


def test_a_name_as_long_as_a_book_is_none() -> None:
    export = read(ROW, {**ROW, "master_metadata_track_name": "x" * 20_000})
    assert (export.plays.height, export.rejects[0].reason) == (1, "a name has more than 2000 bytes")
    assert len(export.rejects[0].row["master_metadata_track_name"]) == 500


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ts": None}, "ts is not an instant"),
        ({"ts": "2023-03-19 18:31"}, "ts is not an instant"),
        ({"ts": "2023-02-30T18:31:37Z"}, "ts is not an instant"),
        ({"ts": 1679249719}, "ts is not an instant"),
        ({"ms_played": None}, "ms_played is not a whole number"),
        ({"ts": "2023-03-19T18:31:60Z"}, "ts is not an instant"),
        ({"ts": "2023-03-19T18:31:37+02:00"}, "ts is not an instant"),
        ({"ts": f"{NOW + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}"}, "in the future"),
        ({"ts": "1970-01-01T00:00:00Z"}, "older than Spotify"),
        ({"ms_played": -1}, "negative length"),
        ({"ms_played": 86_400_001}, "longer than a day"),
        ({"ms_played": 2**70}, "ms_played is not a whole number"),
        ({"ms_played": math.nan}, "ms_played is not a whole number"),
        ({"ms_played": math.inf}, "ms_played is not a whole number"),
        ({"ms_played": 1.5}, "ms_played is not a whole number"),
        ({"ms_played": "245000"}, "ms_played is not a whole number"),
        ({"ms_played": True}, "ms_played is not a whole number"),
        (NO_MUSIC, "names neither a track"),
        ({**NO_MUSIC, "master_metadata_track_name": "Unknown Track"}, "names neither a track"),
        ({**NO_MUSIC, "episode_name": ""}, "names neither a track"),
    ],
)
def test_a_row_that_cannot_be_a_play_is_kept_with_the_reason_and_nothing_personal(changes: Row, reason: str) -> None:
    export = read(ROW, {**ROW, **changes}, ROW)
    (reject,) = export.rejects
    assert reject.row_number == 1
    assert reason in reject.reason
    assert reject.row["conn_country"] == "DE"
    assert set(reject.row).isdisjoint(PERSONAL)
    assert CANARY not in repr(reject)
    assert export.plays["row_number"].to_list() == [0, 2]


def test_what_is_not_an_object_is_rejected() -> None:
    export = read(ROW, None, "text", 7, [1], True)
    assert [reject.row_number for reject in export.rejects] == [1, 2, 3, 4, 5]
    assert {reject.reason for reject in export.rejects} == {"the row is not an object"}


def test_a_list_in_place_of_an_object_leaks_nothing_personal() -> None:
    (reject,) = read([f"{CANARY}-address"]).rejects
    assert CANARY not in repr(reject)


def test_nothing_personal_is_in_a_play() -> None:
    export = read(ROW)
    assert CANARY not in repr(export)
    assert CANARY not in json.dumps(export.plays.to_dicts(), default=str)
    assert set(export.plays.columns).isdisjoint(set(PERSONAL) - {"platform"})


def test_zero_milliseconds_are_a_play() -> None:
    assert play(ms_played=0)["ms_played"] == 0


def test_an_unknown_country_is_none() -> None:
    assert [play(conn_country=code)["country"] for code in ("ZZ", None, "SE")] == [None, None, "SE"]


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        (1679249719, datetime(2023, 3, 19, 18, 15, 19, tzinfo=UTC)),
        (1647540919013, datetime(2022, 3, 17, 18, 15, 19, 13_000, tzinfo=UTC)),
        (0, None),
        (None, None),
        (-1, None),
    ],
)
def test_an_offline_stamp_is_in_seconds_or_milliseconds_by_era(stamp: int | None, expected: datetime | None) -> None:
    assert play(offline_timestamp=stamp)["offline_at"] == expected


@pytest.mark.parametrize(
    ("platform", "family"),
    [
        ("Android OS 4.2.2 API 17 (samsung, GT-I9195)", "android"),
        ("android", "android"),
        ("web_player windows 10;chrome 96.0.4664.45;desktop", "web"),
        ("WebPlayer (websocket RFC6455)", "web"),
        ("iOS 15.1 (iPhone12,8)", "ios"),
        ("ios", "ios"),
        ("iPadOS 17 (iPad7,11)", "ios"),
        ("Windows 10 (10.0.19044; x64; AppX)", "windows"),
        ("OS X 12.0.1 [arm 2]", "macos"),
        ("osx", "macos"),
        ("Linux [x86-64 0]", "linux"),
        ("Partner google cast_tv;Chromecast;;;tpapi", "cast"),
        ("cast", "cast"),
        ("Partner sonos_ppc Sonos", "other"),
        ("not_applicable", None),
        ("", None),
        (None, None),
    ],
)
def test_of_a_platform_only_the_family_is_kept(platform: str | None, family: str | None) -> None:
    assert play(platform=platform)["platform"] == family


def test_exact_repeats_are_told_apart_by_their_occurrence() -> None:
    export = read(ROW, {**ROW, "ms_played": 1}, ROW)
    keys = export.plays["import_key"].to_list()
    assert [key.rsplit("|", 1)[1] for key in keys] == ["1", "1", "2"]
    assert len(set(keys)) == 3


def test_identity_is_raw_content_and_not_what_spotify_relabels() -> None:
    changed = {"conn_country": "FR", "platform": "ios", "shuffle": True, "master_metadata_album_album_name": "Kid B"}
    assert play(**changed)["import_key"] == play()["import_key"]
    for other in ({"ts": "2023-03-19T18:31:38Z"}, {"ms_played": 1}, {"spotify_track_uri": "spotify:track:" + "1" * 22}):
        assert play(**other)["import_key"] != play()["import_key"]


@given(rows=st.lists(st.dictionaries(st.sampled_from(sorted(ROW)), st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.just([]), st.just({})
)).map(lambda changes: {**ROW, **changes}), max_size=5))  # fmt: skip
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_value_of_any_type_breaks_the_reader_or_goes_uncounted(rows: list[Row]) -> None:
    export = read(*rows)
    assert export.plays["import_key"].is_unique().all()


@pytest.mark.parametrize(
    "ts",
    [
        "2023-03-19T18:31:37Z",
        "2023-03-19 18:31:37",
        "2023-03-19 18:31:37+00:00",
        "2023-03-19T18:31:37+0000",
        "2023-03-19T18:31:37.000Z",
        "2023-03-19T18:31:37.0004Z",
        "2023-03-19 18:31:37 UTC",
        "2023-03-19t18:31:37z",
    ],
)
def test_one_instant_in_any_spelling_is_one_row(ts: str) -> None:
    assert play(ts=ts) == play()


def test_fractions_of_a_second_are_cut_off_at_the_millisecond() -> None:
    found = play(ts="2023-03-19 18:31:37.1239+00:00")
    assert found["import_ts"] == datetime(2023, 3, 19, 18, 31, 37, 123_000, tzinfo=UTC)
    assert found["import_key"].startswith("2023-03-19T18:31:37.123Z|")
    assert play(ts="2023-03-19T18:31:37.5Z")["import_ts"].microsecond == 500_000


def test_whole_numbers_may_be_written_as_fractions() -> None:
    assert play(ms_played=245_000.0, offline_timestamp=1679249719.0) == play()


@pytest.mark.parametrize("name", [None, "", "Unknown", "Unknown Track", "Unknown Artist", "Unknown Album"])
def test_a_name_that_says_there_is_none_is_none(name: str | None) -> None:
    found = play(**dict.fromkeys([key for key in ROW if key.startswith("master_")], name))
    assert (found["track_name"], found["artist_name"], found["album_name"]) == ("", "", "")


def test_the_longest_and_the_latest_play_that_can_be() -> None:
    assert play(ms_played=86_400_000, ts=f"{NOW + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}")["ms_played"] == 86_400_000


def test_what_no_database_holds_is_taken_out_of_texts() -> None:
    found = play(master_metadata_track_name="A\0B", master_metadata_album_album_name="\ud800")
    assert (found["track_name"], found["album_name"]) == ("AB", "?")
    (reject,) = read({**ROW, "ts": "\ud800\0", "episode_name": math.inf, "skipped": 2**64}).rejects
    assert (reject.row["ts"], reject.row["episode_name"], reject.row["skipped"]) == ("?", None, None)


ANY_ROW = st.builds(
    lambda minute, track, ms, ts: {
        **ROW,
        "ts": ts or f"2023-03-19T18:0{minute}:00Z",
        "spotify_track_uri": f"spotify:track:{track * 22}",
        "ms_played": ms,
    },
    st.integers(0, 2),
    st.sampled_from("ab"),
    st.sampled_from([0, 1, 1.0, -1]),
    st.sampled_from([None, None, "2023-03-19 18:00:00", "never"]),
)


@given(rows=st.lists(ANY_ROW, max_size=12), chunk_rows=st.integers(1, 13))
@settings(max_examples=60)
def test_the_size_of_chunks_never_matters(rows: list[Row], chunk_rows: int) -> None:
    whole, parts = read(*rows), read(*rows, chunk_rows=chunk_rows)
    assert whole.plays.equals(parts.plays)
    assert (whole.rejects, whole.not_music) == (parts.rejects, parts.not_music)


def test_a_file_that_breaks_off_gives_the_rows_before() -> None:
    data = json.dumps([ROW, {**ROW, "ms_played": 1}, ROW]).encode()
    export = read_whole(read_extended, data[:-300])
    assert export.plays.height == export.rows == 2
    assert isinstance(export.error, BrokenExportError)


def test_an_empty_history_has_no_rows() -> None:
    assert read().plays.is_empty()
