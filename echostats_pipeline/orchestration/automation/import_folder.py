"""The import folder: exports dropped there for a user are imported by themselves.

Belongs here: what lies in the folder, and which of it is new. Not here: reading it (``stages.imports``).
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from echostats_pipeline.importers.files import is_hidden

UNFINISHED = (".part", ".crdownload", ".tmp", ".download")
"""How browsers name what is still being downloaded."""

Versions = Mapping[str, str]
"""Size and time of change by path: another version is another export."""


def make_user_folders(folder: Path, partition_keys: Iterable[str]) -> None:
    """Give every user a folder to drop exports into, where nothing else stands in its place."""
    for key in partition_keys:
        with suppress(OSError):  # a file, a link that leads nowhere: that user has no folder, all others do
            (folder / key).mkdir(mode=0o700, parents=True, exist_ok=True)


def dropped(folder: Path) -> dict[str, str]:
    """Files and folders that lie in a user's folder, with their versions; hidden and unfinished ones are left out."""
    found = {}
    for path in _entries(folder):
        if is_hidden(path.name) or path.suffix.lower() in UNFINISHED:
            continue
        try:
            files = sorted(entry for entry in path.rglob("*") if entry.is_file()) if path.is_dir() else [path]
            stats = [entry.stat() for entry in files]
        except OSError:  # gone meanwhile, a link that leads nowhere or to itself, or not ours to read
            continue
        found[str(path)] = (
            f"{len(stats)}:{sum(stat.st_size for stat in stats)}:{max((s.st_mtime_ns for s in stats), default=0)}"
        )
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # not there, no folder, or not ours to read
        return []


@dataclass(frozen=True)
class Cursor:
    """What the sensor remembers: what it saw when it last looked, and what it has asked to import."""

    seen: Versions
    asked: Versions

    @classmethod
    def read(cls, text: str | None) -> "Cursor":
        """From its JSON; nothing is remembered at first."""
        state = json.loads(text) if text else {}
        return cls(state.get("seen", {}), state.get("asked", {}))

    def write(self) -> str:
        """As JSON."""
        return json.dumps({"seen": self.seen, "asked": self.asked}, sort_keys=True)

    def complete(self, found: Versions) -> list[str]:
        """Paths that have not been asked for and have not changed since the last look: nobody writes them any more."""
        return [path for path, version in found.items() if self.seen.get(path) == version != self.asked.get(path)]

    def after(self, found: Versions, asked: Iterable[str]) -> "Cursor":
        """The cursor after a look at `found` that asked to import some of it; what is gone is forgotten."""
        known = {path: self.asked[path] for path in found if path in self.asked}
        return Cursor(dict(found), known | {path: found[path] for path in asked})
