"""Stores tracks in the catalogue, and has the days built again on which users played tracks with new credits.

Rollups count plays by credited artist, and rules leave plays out by primary artist. So the days of a track are marked
when the catalogue learns or changes its artists, and only then: most answers of Spotify repeat what is known.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from echostats_pipeline.model.catalog import Track
from echostats_pipeline.storage.change_marks import OpenMarks
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.track_credits import read_credits, read_primary_artists
from echostats_pipeline.transforms.history.identity import MADE_UP
from echostats_pipeline.transforms.statistics.credits import VARIOUS_ARTISTS_ID

NOBODY = ["", ""]
"""Id and name of an unknown primary artist."""


@contextmanager
def storing_tracks(store: Store) -> Iterator["StoredTracks"]:
    """Provide what stores tracks; at the end, also after an error, mark the days that they change.

    The days are marked as changing before each write. So they are marked, too, if the process dies.
    """
    stored = StoredTracks(store)
    try:
        yield stored
    finally:
        stored.mark()


@dataclass
class StoredTracks:
    """The tracks of one run, and the days on which users played those with new credits."""

    store: Store
    _changed: set[str] = field(default_factory=set)
    _opened: list[OpenMarks] = field(default_factory=list)

    def put(self, tracks: Sequence[Track], *, missing: Iterable[str] = (), at: datetime) -> None:
        """Store full documents of tracks, as `CatalogStore.put` does."""
        if changed := self._with_new_credits(tracks):
            self._changed |= changed
            for user_id, days in self._played(changed).items():
                self._opened.append(self.store.marks.open(user_id, "track_credits", days - self._marked(user_id)))
        self.store.catalog.put("tracks", tracks, missing=missing, at=at)

    def mark(self) -> None:
        """Mark all days as changed; some plays may have been stored since their track was."""
        for user_id, days in (self._played(self._changed) if self._changed else {}).items():
            self.store.marks.mark(user_id, "track_credits", days - self._marked(user_id))
        for opened in self._opened:
            self.store.marks.close(opened)

    def _marked(self, user_id: str) -> set[str]:
        return {day for opened in self._opened if opened.user_id == user_id for day in opened.dates}

    def _with_new_credits(self, tracks: Sequence[Track]) -> set[str]:
        """The tracks whose artists, or whose primary artist, are others than those in the catalogue."""
        told = {
            track.spotify_id: track.artists
            for track in tracks
            if "artists" in track.model_fields_set and not track.spotify_id.startswith(MADE_UP)
        }
        if not told:
            return set()
        credited = defaultdict[str, set[str]](set)
        for track_id, artist_id in read_credits(self.store.db, list(told)).iter_rows():
            credited[track_id].add(artist_id)
        primary = {track_id: who for track_id, *who in read_primary_artists(self.store.db, list(told)).iter_rows()}
        return {
            track_id
            for track_id, artists in told.items()
            if {artist.spotify_id for artist in artists} - {"", VARIOUS_ARTISTS_ID} != credited[track_id]
            or next(([artist.spotify_id, artist.name] for artist in artists), NOBODY) != primary.get(track_id, NOBODY)
        }

    def _played(self, track_ids: set[str]) -> dict[str, set[str]]:
        """The local days on which users played any of the tracks, by user id."""
        listeners = self.store.plays.listeners(track_ids)
        zones = {user.user_id: ZoneInfo(user.timezone) for user in self.store.users.all() if listeners}
        return {
            user_id: {str(day) for day in self.store.plays.days_of(user_id, zones[user_id], track_ids)}
            for user_id in sorted(listeners & zones.keys())
        }
