"""Finds export files in the paths that the user gives: files, folders, and zips as they were downloaded."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from echostats_pipeline.errors import ExportError
from echostats_pipeline.importers.archives import ArchiveLimits, ArchiveMember, archive_files, open_gzip
from echostats_pipeline.importers.arrays import READ_FAILURES
from echostats_pipeline.importers.recognition import looks_like, recognised
from echostats_pipeline.importers.rows import ExportFile, ExportFormat

NAMES: tuple[tuple[ExportFormat, re.Pattern[str]], ...] = tuple(
    (cast(ExportFormat, found), re.compile(rf"(.*/)?{pattern}", re.IGNORECASE))
    for found, pattern in (
        ("extended", r"(Streaming_History_Audio_[^/]*|endsong_\d+)\.(json|jsonl|ndjson)"),
        ("video", r"Streaming_History_Video_[^/]*\.(json|jsonl|ndjson)"),
        ("basic", r"StreamingHistory(_music_)?\d*\.json"),
        ("basic_other", r"StreamingHistory_(podcast|audiobook)_?\d*\.json"),
        ("listenbrainz", r"listens/[^/]+/[^/]+\.jsonl"),
    )
)
COMPANIONS = re.compile(
    r"(DuoNewFamily|FamilyPlan|feedback|Follow|Identifiers|Inferences|Marquee|MessageData|Payments|pinned_recording"
    r"|Playlist\d*|Playlist_\w*|PodcastInteractivity\w*|SearchQueries|SpotifyConnect\w*|user|Userdata|UserPrompts"
    r"|VoiceInput|Wrapped\d*|YourLibrary|YourSoundCapsule)\.jsonl?",
    re.IGNORECASE,
)
"""Other files in the packages of Spotify and ListenBrainz."""
MEANT = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".scrobbler.log")
"""Suffixes of files that the user most probably wants to import."""
SUFFIXES = (*MEANT, ".txt", ".log")
GZIP = ".gz"
LOOKED_AT = 1 << 16
"""Bytes at the beginning of a file from which its format is recognised."""
STRANGE_NAMED = 3
"""How many unknown files a message names if there are no known ones."""
RANKS: dict[ExportFormat, int] = {"extended": 0, "basic": 1}
EXPECTED = (
    "Give the zip from Spotify, its folder, or files like Streaming_History_Audio_2019-2020_3.json, endsong_0.json or "
    "StreamingHistory_music_0.json; or what EchoTune, Last.fm tools, ListenBrainz, Koito, Maloja or Rockbox exported."
)


@dataclass(frozen=True)
class IgnoredFile:
    """A file that looks like an export but has no known format, and a description of it."""

    name: str
    what: str

    @property
    def reason(self) -> str:
        """Why the file is not read."""
        return f"it is not a listening history of a known kind but {self.what}"


@dataclass(frozen=True)
class ExportListing:
    """The files to read, in this order, and the files left out.

    Attributes:
        files: Files to read.
        ignored: Files of no known format.
        refused: Why some files cannot be read, or some paths hold nothing to read, while others can be read.
    """

    files: list[ExportFile]
    ignored: list[IgnoredFile]
    refused: list[str]


def find_export_files(paths: Sequence[Path], limits: ArchiveLimits) -> ExportListing:
    """The files of known formats at `paths`: the extended history first, then the account data, then the others.

    Args:
        paths: Files, zips, and folders, which are searched with their subfolders.
        limits: How large a zip may be.

    Raises:
        ExportError: none of the paths holds a file that is known and safe to read.
    """
    files: list[ExportFile] = []
    ignored: list[IgnoredFile] = []
    refused: list[str] = []
    distinct = list(dict.fromkeys(paths))
    names = Counter(path.name for path in distinct)
    for path in distinct:
        label = path.name if names[path.name] == 1 else path.as_posix()
        known, strange, unread = len(files), len(ignored), len(refused)
        for stored in _stored(path, label, limits, prefix=f"{label}/" if len(distinct) > 1 else "", refused=refused):
            found, what = _format(stored, given=stored.name == label)
            if found:
                files.append(ExportFile(stored.name, found, stored.size, stored.open))
            elif stored.name == label or _looks_meant(stored.name):
                ignored.append(IgnoredFile(stored.name, what))
        if len(files) == known and len(refused) == unread:
            looks = ", ".join(f"{file.name} is {file.what}" for file in ignored[strange:][:STRANGE_NAMED])
            refused.append(
                f"{path} holds no listening history of a known kind{': ' if looks else ''}{looks}; "
                f"nothing was imported. {EXPECTED}"
            )
    if refused and not files:
        raise ExportError(" ".join(refused))
    files.sort(key=lambda file: (RANKS.get(file.format, 2), _natural(file.name)))
    return ExportListing(files, ignored, refused)


def _stored(path: Path, label: str, limits: ArchiveLimits, prefix: str, refused: list[str]) -> Iterator[ArchiveMember]:
    """The files at a path. Errors are added to `refused` and do not affect other files."""
    try:
        if path.is_dir():
            for found in sorted(path.rglob("*")):
                if found.is_symlink() or found.is_file():
                    name = prefix + found.relative_to(path).as_posix()
                    yield from _stored(found, name, limits, prefix=f"{name}/", refused=refused)
        elif not path.is_file():
            refused.append(f"{path} does not exist; nothing was imported. {EXPECTED}")
        elif path.suffix.lower() == ".zip":
            for stored in archive_files(path, limits):
                yield _unpacked(ArchiveMember(prefix + stored.name, stored.size, stored.open), limits)
        else:
            yield _unpacked(ArchiveMember(label, path.stat().st_size, partial(_open, path)), limits)
    except ExportError as error:
        refused.append(str(error))
    except OSError as error:
        refused.append(f"{path} cannot be read ({error.strerror or error}); nothing of it was imported.")


def _unpacked(stored: ArchiveMember, limits: ArchiveLimits) -> ArchiveMember:
    """The content of a gzip file; any other file as it is."""
    if not stored.name.lower().endswith(GZIP):
        return stored
    return ArchiveMember(stored.name[: -len(GZIP)], stored.size, partial(open_gzip, stored.open, limits.total_bytes))


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _format(stored: ArchiveMember, *, given: bool) -> tuple[ExportFormat | None, str]:
    """The format of the file, by its name or else by its beginning, and a description in case the format is unknown.

    Only a file that the user named may have any name.
    """
    base = PurePosixPath(stored.name).name
    if is_hidden(base):
        return None, ""
    named = next((found for found, pattern in NAMES if pattern.fullmatch(stored.name)), None)
    if named or not (given or base.lower().endswith(SUFFIXES)):
        return named, ""
    try:
        with stored.open() as stream:
            head = stream.read(LOOKED_AT)
    except READ_FAILURES as error:
        return None, f"a file that cannot be read ({error})"
    return recognised(head), looks_like(head)


def is_hidden(base: str) -> bool:
    """Whether to skip a hidden file, like the ._x that macOS adds to every x; hidden logs of players are read."""
    return base.startswith(".") and (base.startswith("._") or not base.lower().endswith(".log"))


def _looks_meant(name: str) -> bool:
    base = PurePosixPath(name).name
    return base.lower().endswith(MEANT) and not is_hidden(base) and not COMPANIONS.fullmatch(base)


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A sort key in natural order: 2 before 10."""
    parts = re.findall(r"\d+|\D+", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name
