"""The zip files contain what their `ExportTruth` says; the test reads them without the writer's code."""

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from echostats_pipeline.simulator.exports import ExportTruth, write_basic_export, write_extended_export
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.world import World

pytestmark = pytest.mark.scale

START, END = datetime(2020, 6, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
KEYS_OF_AN_EXTENDED_ROW = 23

Row = dict[str, Any]


def read(path: Path, name: str) -> dict[str, list[Row]]:
    """Rows per file, for the files whose name matches."""
    with ZipFile(path) as archive:
        return {entry: json.loads(archive.read(entry)) for entry in archive.namelist() if re.search(name, entry)}


@pytest.fixture(scope="module")
def extended(world: World, user: SimulatedUser, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportTruth]:
    path = tmp_path_factory.mktemp("extended") / "my_spotify_data.zip"
    return path, write_extended_export(world, user, START, END, path)


@pytest.fixture(scope="module")
def rows(extended: tuple[Path, ExportTruth]) -> list[Row]:
    return [row for listed in read(extended[0], r"\.json$").values() for row in listed]


def test_a_second_reading_finds_what_the_truth_says(extended: tuple[Path, ExportTruth], rows: list[Row]) -> None:
    path, truth = extended
    assert {name: len(listed) for name, listed in read(path, r"\.json$").items()} == truth.rows_per_file
    music = [row for row in rows if row["spotify_track_uri"]]
    episodes = [row for row in rows if row["spotify_episode_uri"]]
    assert (len(rows), len(music), len(episodes)) == (truth.rows, truth.music_rows, truth.episode_rows)
    assert len(rows) - len(music) == truth.not_music_rows
    assert sum(row["master_metadata_track_name"] is None for row in music) == truth.nameless_rows
    assert sum(row["ms_played"] for row in rows) == truth.rows_ms
    per_track = Counter(row["spotify_track_uri"].rpartition(":")[2] for row in music)
    assert per_track.keys() == truth.plays_per_track.keys()
    assert (per_track - Counter(truth.plays_per_track)).total() == truth.repeated_rows > 0


def test_the_truth_is_that_of_the_world(extended: tuple[Path, ExportTruth], world: World, user: SimulatedUser) -> None:
    truth, plays = extended[1], world.plays(user, START, END)
    tracks = [play for play in plays if play.track]
    assert Counter(play.track.id for play in tracks) == truth.plays_per_track
    assert sum(play.ms_played for play in tracks) == truth.music_ms
    assert len(plays) == truth.rows - truth.repeated_rows


def test_files_are_named_and_sized_as_spotifys(extended: tuple[Path, ExportTruth]) -> None:
    path, truth = extended
    with ZipFile(path) as archive:
        assert archive.testzip() is None
        folders, names = zip(*(entry.split("/") for entry in archive.namelist()), strict=True)
    assert set(folders) == {"Spotify Extended Streaming History"}
    audio = [name for name in names if "Audio" in name]
    assert len(audio) >= 3
    assert all(re.fullmatch(r"Streaming_History_Audio_\d{4}(-\d{4})?_\d+\.json", name) for name in audio)
    assert sum(bool(re.fullmatch(r"Streaming_History_Video_\d{4}(-\d{4})?\.json", name)) for name in names) == 1
    assert "ReadMeFirst_ExtendedStreamingHistory.pdf" in names
    assert max(truth.rows_per_file.values()) == pytest.approx(16_000, abs=5)


def test_every_row_has_the_documented_keys_and_seconds_in_utc(rows: list[Row]) -> None:
    keys = rows[0].keys()
    assert len(keys) == KEYS_OF_AN_EXTENDED_ROW
    assert all(row.keys() == keys for row in rows)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["ts"]) for row in rows)
    assert all(START <= datetime.fromisoformat(row["ts"]) < END for row in rows)
    assert all(re.fullmatch(r"203\.0\.113\.\d+", row["ip_addr"]) for row in rows)


def test_the_known_dirt_is_in_it(extended: tuple[Path, ExportTruth], rows: list[Row]) -> None:
    path, _ = extended
    first = next(iter(read(path, "Audio").values()))
    assert [row["ts"] for row in first] != sorted(row["ts"] for row in first)
    assert any(row["ms_played"] == 0 for row in rows)
    assert {"ZZ", "DE"} == {row["conn_country"] for row in rows}
    assert {None, ""} < {row["reason_end"] for row in rows}
    bare = [row for row in rows if not (row["spotify_track_uri"] or row["spotify_episode_uri"])]
    assert bare
    assert {row["master_metadata_track_name"] for row in bare} == {None}


def test_offline_sittings_share_one_stamp(rows: list[Row]) -> None:
    stamps = Counter(row["ts"] for row in rows if row["offline"])
    assert max(stamps.values()) > 10
    online = Counter(row["ts"] for row in rows if not row["offline"])
    assert max(online.values()) < 10


def test_fields_change_with_the_years_as_in_real_exports(rows: list[Row]) -> None:
    def values(key: str, since: str, until: str) -> list[Any]:
        return [row[key] for row in rows if since <= row["ts"] < until]

    assert set(values("skipped", "2020", "2021")) == {None}
    assert set(values("skipped", "2021", "2022-11")) == {False}
    assert set(values("skipped", "2022-11", "2025")) == {True, False}
    assert all(len(platform) > 10 for platform in values("platform", "2020", "2023-10"))
    assert set(values("platform", "2023-10", "2025")) == {"ios", "windows", "cast"}
    early, late = values("offline_timestamp", "2020", "2022-10"), values("offline_timestamp", "2022-10", "2025")
    assert {0, None} <= set(early)
    assert {0, None} <= set(late)
    assert {len(str(stamp)) for stamp in early if stamp} == {13}
    assert {len(str(stamp)) for stamp in late if stamp} == {10}


def test_short_private_and_spoken_plays_are_in_it(rows: list[Row]) -> None:
    assert any(row["incognito_mode"] for row in rows)
    assert any(0 < row["ms_played"] < 30_000 for row in rows)
    assert all(row["episode_show_name"] for row in rows if row["spotify_episode_uri"])


def test_the_same_seed_gives_the_same_file(
    extended: tuple[Path, ExportTruth], user: SimulatedUser, tmp_path: Path
) -> None:
    again = tmp_path / "again.zip"
    truth = write_extended_export(World(seed=7), user, START, END, again)
    assert truth == extended[1]
    assert again.read_bytes() == extended[0].read_bytes()


def test_a_shorter_export_is_contained_in_a_longer_one(
    world: World, user: SimulatedUser, rows: list[Row], tmp_path: Path
) -> None:
    start, end = START + timedelta(days=100, hours=13), START + timedelta(days=130, hours=7)
    write_extended_export(world, user, start, end, tmp_path / "month.zip")
    month = [row for listed in read(tmp_path / "month.zip", r"\.json$").values() for row in listed]
    inside = [row for row in rows if start <= datetime.fromisoformat(row["ts"]) < end]
    assert _multiset(month) == _multiset(inside)
    assert len(month) > 500


def _multiset(rows: list[Row]) -> Counter[str]:
    return Counter(json.dumps(row, sort_keys=True) for row in rows)


def test_three_years_of_the_first_user_are_at_least_22000_rows(
    world: World, user: SimulatedUser, tmp_path: Path
) -> None:
    end = datetime(2025, 6, 1, tzinfo=UTC)
    truth = write_extended_export(world, user, end - timedelta(days=1096), end, tmp_path / "three.zip")
    assert truth.music_rows >= 22_000


def test_a_basic_export_holds_names_and_minutes(world: World, user: SimulatedUser, tmp_path: Path) -> None:
    path = tmp_path / "my_spotify_data.zip"
    truth = write_basic_export(world, user, START, END, path)
    music, podcasts = read(path, "StreamingHistory_music_"), read(path, "StreamingHistory_podcast_")
    assert {name: len(listed) for name, listed in (music | podcasts).items()} == truth.rows_per_file
    assert all(name.startswith("Spotify Account Data/") for name in music)
    assert max(map(len, music.values())) == 10_000
    assert len(music) > 3
    played = [row for listed in music.values() for row in listed]
    spoken = [row for listed in podcasts.values() for row in listed]
    assert played[0].keys() == {"endTime", "artistName", "trackName", "msPlayed"}
    assert spoken[0].keys() == {"endTime", "podcastName", "episodeName", "msPlayed"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", row["endTime"]) for row in played)
    assert len(spoken) == truth.episode_rows
    assert sum(row["artistName"] == "" for row in played) == truth.local_rows > 0
    assert sum(row["msPlayed"] for row in (*played, *spoken)) == truth.rows_ms
    with ZipFile(path) as archive:
        assert "Spotify Account Data/Userdata.json" in archive.namelist()


def test_basic_and_extended_export_tell_of_the_same_plays(
    extended: tuple[Path, ExportTruth], world: World, user: SimulatedUser, tmp_path: Path
) -> None:
    basic = write_basic_export(world, user, START, END, tmp_path / "basic.zip")
    assert basic.plays_per_track == extended[1].plays_per_track
    assert basic.music_ms == extended[1].music_ms
    assert basic.repeated_rows == basic.nameless_rows == 0


def test_an_empty_window_gives_an_export_without_history(world: World, user: SimulatedUser, tmp_path: Path) -> None:
    truth = write_extended_export(world, user, START, START, tmp_path / "empty.zip")
    assert truth.rows == 0
    assert read(tmp_path / "empty.zip", r"\.json$") == {}
