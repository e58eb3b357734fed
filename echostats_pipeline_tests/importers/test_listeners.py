"""The complete extended histories of a simulated and of a real listener."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from echostats_pipeline.importers.archives import ArchiveLimits
from echostats_pipeline.importers.files import find_export_files
from echostats_pipeline.importers.reading import READERS
from echostats_pipeline.importers.rows import ExportFile
from echostats_pipeline.simulator.exports import ExportTruth, write_extended_export
from echostats_pipeline.simulator.world import World
from echostats_pipeline_tests.importers.whole_files import WholeFile, read_whole

SAMPLES = Path(__file__).parents[2] / ".." / "shared" / "samples" / "Spotify Extended Streaming History"

Row = dict[str, Any]


def read_file(file: ExportFile) -> WholeFile:
    with file.open() as stream:
        return read_whole(READERS[file.format], stream, file.name)


def bytes_of(file: ExportFile) -> bytes:
    with file.open() as stream:
        return stream.read()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportTruth]:
    world = World(seed=11)
    path = tmp_path_factory.mktemp("export") / "my_spotify_data.zip"
    window = datetime(2023, 6, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
    return path, write_extended_export(world, world.users[0], *window, path)


def test_a_simulated_export_is_read_to_the_last_row(simulated: tuple[Path, ExportTruth]) -> None:
    path, truth = simulated
    files = find_export_files([path], ArchiveLimits()).files
    exports = [read_file(file) for file in files]
    assert all(export.error is None for export in exports)
    plays = pl.concat([export.plays for export in exports])
    assert sum(export.rows for export in exports) == truth.rows > 1000
    assert sum(export.not_music for export in exports) == truth.episode_rows > 0
    # The export does not name the local file, so only the row can be stored.
    assert sum(len(export.rejects) for export in exports) == truth.local_rows > 0
    assert plays.height == truth.music_rows
    assert plays.filter(pl.col("track_name") == "").height == truth.nameless_rows
    originals = pl.concat(
        export.plays.filter(pl.col("row_number").is_in(originals_of(bytes_of(file))))
        for file, export in zip(files, exports, strict=True)
    )
    assert plays.height - originals.height == truth.repeated_rows > 0
    assert dict(originals["track_id"].value_counts().iter_rows()) == truth.plays_per_track
    assert originals["ms_played"].sum() == truth.music_ms


def originals_of(data: bytes) -> list[int]:
    """Numbers of the rows that repeat no earlier row of their file."""
    first: dict[str, int] = {}
    for number, row in enumerate(json.loads(data)):
        first.setdefault(json.dumps(row, sort_keys=True), number)
    return list(first.values())


def test_nothing_personal_of_a_simulated_export_is_kept(simulated: tuple[Path, ExportTruth]) -> None:
    path, _ = simulated
    for file in find_export_files([path], ArchiveLimits()).files:
        export = read_file(file)
        assert "203.0.113." not in repr(export.rejects)
        assert "203.0.113." not in export.plays.write_csv()
        assert set(export.plays["platform"].unique()) <= {"ios", "android", "windows", "web", "linux", "macos", "cast"}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real sample is not beside this checkout")
def test_a_real_export_gives_what_a_plain_reading_of_it_gives() -> None:
    for file in find_export_files([SAMPLES], ArchiveLimits()).files:
        rows: Sequence[Row] = json.loads(bytes_of(file))
        export = read_file(file)
        music = [row for row in rows if row["spotify_track_uri"]]
        assert export.plays.height + export.not_music + len(export.rejects) == export.rows == len(rows)
        assert export.plays.height == len(music) > 0
        assert export.plays["ms_played"].sum() == sum(row["ms_played"] for row in music)
        artists = Counter(row["master_metadata_album_artist_name"] or "" for row in music)
        assert dict(export.plays["artist_name"].value_counts().iter_rows()) == artists
        ends = export.plays.sort("row_number")["import_ts"].to_list()
        assert ends == [datetime.fromisoformat(row["ts"]) for row in music]
        assert export.rows == 2831
        assert export.plays["import_key"].str.ends_with("|2").sum() == 2
