"""Writes the zip files that a user can request from Spotify, and returns the truth about their content.

Belongs here: files, their names, their order, and `ExportTruth`. Not here: single rows (``export_rows``).
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from echostats_pipeline.simulator.catalogue import Episode, Track
from echostats_pipeline.simulator.dice import happens
from echostats_pipeline.simulator.export_rows import REPEAT_RATE, Row, basic_row, extended_row, uploaded_at
from echostats_pipeline.simulator.habits import SimulatedPlay
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.world import World

EXTENDED_FOLDER = "Spotify Extended Streaming History"
BASIC_FOLDER = "Spotify Account Data"
EXTENDED_ROWS_PER_FILE = 16_000
BASIC_ROWS_PER_FILE = 10_000

_DISORDER_ROWS = 400  # rows move about within stretches of this length
_READ_ME = b"%PDF-1.4\n% A placeholder: the simulated Spotify explains nothing.\n%%EOF\n"
_ZIP_DATE = (2026, 1, 1, 0, 0, 0)  # fixed, so that equal content is an equal file


@dataclass(frozen=True, slots=True)
class ExportTruth:
    """The content of an export, known from the world and not read from the file.

    Attributes:
        rows_per_file: Rows by name inside the zip, history files only.
        music_rows: Rows of tracks of the catalogue, exact repeats included.
        episode_rows: Rows of podcast episodes.
        local_rows: Rows of local files: the extended export does not identify them, the basic one gives a title.
        nameless_rows: Number of music rows without names, but with the track's address.
        repeated_rows: Number of music rows that exactly repeat another row of the same file.
        plays_per_track: True plays by track id, repeats not counted.
        music_ms: Listening time of the true plays of tracks, milliseconds.
        rows_ms: ``ms_played`` of all rows of all files, repeats included, milliseconds.
    """

    rows_per_file: Mapping[str, int]
    music_rows: int
    episode_rows: int
    local_rows: int
    nameless_rows: int
    repeated_rows: int
    plays_per_track: Mapping[str, int]
    music_ms: int
    rows_ms: int

    @property
    def not_music_rows(self) -> int:
        """Rows that are not a track of the catalogue."""
        return self.episode_rows + self.local_rows

    @property
    def rows(self) -> int:
        """All rows of all history files."""
        return sum(self.rows_per_file.values())


@dataclass(frozen=True, slots=True)
class _Line:
    """A row that is to be written to a file."""

    row: Row
    play: SimulatedPlay
    ended_at: datetime


def write_extended_export(world: World, user: SimulatedUser, start: datetime, end: datetime, path: Path) -> ExportTruth:
    """Write the extended streaming history of the plays that ended in [start, end) to the zip file `path`.

    Holds every play, including short ones, private ones and podcasts. Video episodes are in a file of their own. All
    plays of an offline session have the end of its last play. The content of a row does not depend on the window.
    """
    audio, video = [], []
    repeated = 0
    for play, ended_at in _ended_within(world, user, start, end):
        rng = Random(f"{world.seed}/{user.id}/{play.started_at}/{play.item.uri}")  # the same faults in every export
        line = _Line(extended_row(rng, play, ended_at, user.country), play, ended_at)
        if isinstance(play.item, Episode) and play.item.is_video:
            video.append(line)
            continue
        audio.append(line)
        if isinstance(play.item, Track) and happens(rng, REPEAT_RATE):
            audio.append(line)
            repeated += 1
    files = {
        f"Streaming_History_Audio_{_years(lines)}_{number}.json": lines
        for number, lines in enumerate(_chunks(audio, EXTENDED_ROWS_PER_FILE))
    }
    if video:
        files[f"Streaming_History_Video_{_years(video)}.json"] = video
    order = Random(f"{world.seed}/{user.id}/order")
    content = {f"{EXTENDED_FOLDER}/{name}": _disordered(order, lines) for name, lines in files.items()}
    extras = {f"{EXTENDED_FOLDER}/ReadMeFirst_ExtendedStreamingHistory.pdf": _READ_ME}
    _write_zip(path, content, extras)
    return _truth(content, repeated)


def write_basic_export(world: World, user: SimulatedUser, start: datetime, end: datetime, path: Path) -> ExportTruth:
    """Write the account data of ``start <= played_at < end`` to the zip file `path`; Spotify gives the last year."""
    plays = world.plays(user, start, end)
    lines = [_Line(basic_row(play), play, play.played_at) for play in plays]
    podcasts = [line for line in lines if isinstance(line.play.item, Episode)]
    music = [line for line in lines if not isinstance(line.play.item, Episode)]
    content = {
        f"{BASIC_FOLDER}/StreamingHistory_{kind}_{number}.json": chunk
        for kind, of_kind in (("music", music), ("podcast", podcasts))
        for number, chunk in enumerate(_chunks(of_kind, BASIC_ROWS_PER_FILE))
    }
    account = {"username": user.id, "email": user.email, "country": user.country}
    _write_zip(path, content, {f"{BASIC_FOLDER}/Userdata.json": json.dumps(account, indent=2).encode()})
    return _truth(content, repeated=0)


def _ended_within(
    world: World, user: SimulatedUser, start: datetime, end: datetime
) -> Iterator[tuple[SimulatedPlay, datetime]]:
    """Return plays whose exported end is in the window: an offline session is completely in it or out of it."""
    first, last = (moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) for moment in (start, end))
    plays = world.plays(user, first, last + timedelta(days=1))
    return ((play, ended_at) for play, ended_at in uploaded_at(plays) if start <= ended_at < end)


def _chunks(lines: Sequence[_Line], size: int) -> Iterator[list[_Line]]:
    """Split the lines into files of about `size` lines; an exact repeat is in the same file as its original."""
    start = 0
    while start < len(lines):
        end = min(start + size, len(lines))
        while end < len(lines) and lines[end] is lines[end - 1]:
            end += 1
        yield list(lines[start:end])
        start = end


def _years(lines: Sequence[_Line]) -> str:
    years = sorted({line.ended_at.year for line in lines})
    return f"{years[0]}" if len(years) == 1 else f"{years[0]}-{years[-1]}"


def _disordered(rng: Random, lines: Sequence[_Line]) -> list[_Line]:
    """Return the same lines, shuffled within each stretch."""
    stretches = (list(lines[start : start + _DISORDER_ROWS]) for start in range(0, len(lines), _DISORDER_ROWS))
    return [line for stretch in stretches for line in rng.sample(stretch, k=len(stretch))]


def _truth(content: Mapping[str, Sequence[_Line]], repeated: int) -> ExportTruth:
    lines = [line for listed in content.values() for line in listed]
    distinct = {id(line): line.play for line in lines}.values()
    tracks = [(play.track.id, play.ms_played) for play in distinct if play.track]
    music_rows = sum(line.play.track is not None for line in lines)
    episode_rows = sum(isinstance(line.play.item, Episode) for line in lines)
    return ExportTruth(
        rows_per_file={name: len(listed) for name, listed in content.items()},
        music_rows=music_rows,
        episode_rows=episode_rows,
        local_rows=len(lines) - music_rows - episode_rows,
        nameless_rows=sum(line.play.track is not None and _is_nameless(line.row) for line in lines),
        repeated_rows=repeated,
        plays_per_track=dict(Counter(track_id for track_id, _ in tracks)),
        music_ms=sum(ms_played for _, ms_played in tracks),
        rows_ms=sum(line.play.ms_played for line in lines),
    )


def _is_nameless(row: Row) -> bool:
    return row.get("master_metadata_track_name", "") is None


def _write_zip(path: Path, content: Mapping[str, Sequence[_Line]], extras: Mapping[str, bytes]) -> None:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, lines in content.items():
            text = json.dumps([line.row for line in lines], indent=1, ensure_ascii=False)
            archive.writestr(_entry(name), text.encode(), ZIP_DEFLATED)
        for name, data in extras.items():
            archive.writestr(_entry(name), data, ZIP_DEFLATED)


def _entry(name: str) -> ZipInfo:
    return ZipInfo(name, _ZIP_DATE)
