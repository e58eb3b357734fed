"""The import folder: exports dropped there for a user are imported automatically.

Belongs here: which files the folder holds, and which are new. Not here: reading them (``stages.imports``).
"""

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from echostats_pipeline.importers.files import is_hidden

WATCHED, WATCHED_S = ".watched", 10 * 60
"""The mark of a folder that is watched, and for how many seconds it is believed."""
UNFINISHED = (".part", ".crdownload", ".tmp", ".download")
"""Name endings that browsers give to unfinished downloads."""

Versions = Mapping[str, str]
"""Size and modification time by path. A file with another version is another export."""


def make_user_folders(folder: Path, partition_keys: Iterable[str]) -> None:
    """Create an import folder for every user, unless something else has its name."""
    for key in partition_keys:
        with suppress(OSError):  # A file or a broken link has the name: this user has no folder, all others do.
            (folder / key).mkdir(mode=0o700, parents=True, exist_ok=True)


def mark_as_watched(folder: Path) -> None:
    """Leave a mark in the import folder: a process looks into it. Every machine that sees the folder sees the mark."""
    with suppress(OSError):
        (folder / WATCHED).touch(mode=0o600)


def is_watched(folder: Path) -> bool:
    """Whether a process has looked into the import folder in the last minutes, on whichever machine."""
    try:
        return time.time() - (folder / WATCHED).stat().st_mtime < WATCHED_S
    except OSError:
        return False


def waiting_files(folder: Path) -> list[str]:
    """Exports in the import folders of all users."""
    return [path for user in _entries(folder) if user.is_dir() for path in dropped(user)]


def dropped(folder: Path) -> dict[str, str]:
    """Files and folders in a user's import folder, with their versions, without hidden and unfinished ones."""
    found = {}
    for path in _entries(folder):
        if is_hidden(path.name) or path.suffix.lower() in UNFINISHED:
            continue
        try:
            files = sorted(entry for entry in path.rglob("*") if entry.is_file()) if path.is_dir() else [path]
            stats = [entry.stat() for entry in files]
        except OSError:  # Deleted meanwhile, a broken or circular link, or not readable for us.
            continue
        found[str(path)] = (
            f"{len(stats)}:{sum(stat.st_size for stat in stats)}:{max((s.st_mtime_ns for s in stats), default=0)}"
        )
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # Missing, no folder, or not readable for us.
        return []


@dataclass(frozen=True)
class Cursor:
    """What the sensor remembers.

    Attributes:
        seen: The files of its last look.
        asked: The files that it has requested to import.
        database: The generation of the database for which it has requested them; empty if it is unknown.
    """

    seen: Versions
    asked: Versions
    database: str = ""

    @classmethod
    def read(cls, text: str | None) -> "Cursor":
        """Read a cursor from its JSON; a new sensor remembers nothing."""
        state = json.loads(text) if text else {}
        return cls(state.get("seen", {}), state.get("asked", {}), state.get("database", ""))

    def at(self, database: str) -> "Cursor":
        """The cursor for a generation of the database: one that was restored may lack what was requested before."""
        was_restored = "" != self.database != database != ""
        return Cursor(self.seen, {} if was_restored else self.asked, database or self.database)

    def write(self) -> str:
        """Return the cursor as JSON."""
        return json.dumps({"seen": self.seen, "asked": self.asked, "database": self.database}, sort_keys=True)

    def complete(self, found: Versions) -> list[str]:
        """Paths that were not requested yet and have not changed since the last look: no program still writes them."""
        return [path for path, version in found.items() if self.seen.get(path) == version != self.asked.get(path)]

    def after(self, found: Versions, asked: Iterable[str]) -> "Cursor":
        """The cursor after a look at `found` that requested some of it; deleted files are forgotten."""
        known = {path: self.asked[path] for path in found if path in self.asked}
        return Cursor(dict(found), known | {path: found[path] for path in asked}, self.database)
