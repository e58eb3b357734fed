"""Playlists that clients create and change: the part of users' libraries that is written over the Web API.

Belongs here: `OwnPlaylists`, their rows and versions. Not here: HTTP (``playlist_writes``), generated libraries.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from echostats_pipeline.simulator.catalogue import Track
from echostats_pipeline.simulator.library import Playlist, PlaylistRow
from echostats_pipeline.simulator.names import base62_id
from echostats_pipeline.simulator.people import SimulatedUser


@dataclass(frozen=True)
class OwnPlaylist(Playlist):
    """A playlist that was created over the Web API; each change gives it another version."""

    version: int = 0

    def snapshot_id(self, now: datetime) -> str:  # noqa: ARG002 - its version does not depend on the time
        """Return the opaque version, which differs after every change."""
        return base62_id(self.id, "version", self.version) + "=="


@dataclass
class OwnPlaylists:
    """All playlists that were created over the Web API, by id."""

    by_id: dict[str, OwnPlaylist] = field(default_factory=dict)
    covers: dict[str, bytes] = field(default_factory=dict)
    """JPEG files, by id of the playlist."""
    unfollowed: set[str] = field(default_factory=set)
    """Ids of playlists that their owner has deleted: Spotify still answers for them, but lists them no longer."""

    def of(self, user: SimulatedUser) -> tuple[OwnPlaylist, ...]:
        """Return the playlists of a user, the newest first."""
        return tuple(
            each
            for each in reversed(self.by_id.values())
            if each.owner_id == user.id and each.id not in self.unfollowed
        )

    def create(self, user: SimulatedUser, name: str, description: str, *, public: bool) -> OwnPlaylist:
        """Create an empty playlist."""
        made = OwnPlaylist(
            id=base62_id(user.id, "own playlist", len(self.by_id)),
            name=name,
            description=description,
            owner_id=user.id,
            owner_name=user.display_name,
            public=public,
            collaborative=False,
            rows=(),
        )
        self.by_id[made.id] = made
        return made

    def rename(self, found: OwnPlaylist, name: str, description: str | None) -> None:
        """Change name and description."""
        self.by_id[found.id] = replace(found, name=name, description=description, version=found.version + 1)

    def put(self, found: OwnPlaylist, tracks: list[Track], now: datetime, position: int | None = None) -> OwnPlaylist:
        """Replace all rows, or insert rows at a position."""
        rows = tuple(PlaylistRow(now, track) for track in tracks)
        if position is not None:
            rows = (*found.rows[:position], *rows, *found.rows[position:])
        changed = replace(found, rows=rows, version=found.version + 1)
        self.by_id[found.id] = changed
        return changed

    def move(self, found: OwnPlaylist, start: int, length: int, before: int) -> OwnPlaylist:
        """Move some rows before another one."""
        moved, rows = found.rows[start : start + length], found.rows
        rest = [*rows[:start], *rows[start + length :]]
        at = before if before <= start else before - len(moved)
        changed = replace(found, rows=(*rest[:at], *moved, *rest[at:]), version=found.version + 1)
        self.by_id[found.id] = changed
        return changed

    def remove(self, found: OwnPlaylist, track_ids: set[str]) -> OwnPlaylist:
        """Remove all rows of some tracks."""
        rows = tuple(row for row in found.rows if not (isinstance(row.item, Track) and row.item.id in track_ids))
        changed = replace(found, rows=rows, version=found.version + 1)
        self.by_id[found.id] = changed
        return changed
