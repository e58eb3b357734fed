"""What a user keeps: playlists, saved tracks, Spotify's own top items. Read whole or not at all."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import get_args

from echostats_pipeline.errors import NotFoundOnSpotify
from echostats_pipeline.model.library import TimeRange, TopItemKind
from echostats_pipeline.model.users import User
from echostats_pipeline.spotify.answers import JsonObject
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.fields import text
from echostats_pipeline.spotify.mapping import content, playlist_document, saved_track_document, top_items_document
from echostats_pipeline.stages import Progress
from echostats_pipeline.storage.store import Store

TOP_ITEMS_AGE = timedelta(hours=20)
"""A little less than a day, or a daily schedule would skip every other day."""


def sync_playlists(store: Store, client: SpotifyClient, user: User, now: datetime, progress: Progress) -> int:
    """Make the stored playlists those of Spotify, each with all its tracks; returns how many there are.

    Contents are read only of playlists whose `snapshot_id` is not the stored one. Everything is read before anything
    is written, and a playlist that Spotify does not show the contents of keeps those it had: an answer that fails
    deletes nothing.
    """
    listed = client.playlists()
    stored = store.library.snapshot_ids(user.user_id)
    progress.expect(len(listed))
    documents = []
    for playlist in listed:
        unchanged = playlist.get("snapshot_id") is not None and stored.get(playlist["id"]) == playlist["snapshot_id"]
        with suppress(NotFoundOnSpotify):  # deleted since it was listed
            items = None if unchanged else client.playlist_items(playlist["id"])
            if items is None and not unchanged:  # the version of contents that were not read is not known
                playlist = {name: value for name, value in playlist.items() if name != "snapshot_id"}  # noqa: PLW2901
            documents.append(playlist_document(playlist, items, user.user_id, now))
        progress.advance(1)
    store.library.replace_playlists(user.user_id, documents)
    return len(documents)


def sync_saved_tracks(store: Store, client: SpotifyClient, user: User, now: datetime, progress: Progress) -> int:
    """Make the stored saved tracks those of Spotify; returns how many there are.

    One call tells what has changed, as long as tracks were only added: the newest rows and their number, compared with
    those at the last reading. What is stored is no measure of them: local files have no ids, and Spotify counts rows
    that it does not show.
    """
    newest, total = client.newest_saved_tracks()
    stored = store.library.saved_count(user.user_id)
    version = SavedVersion(total, tuple(_row_id(row) for row in newest), stored)
    added = version.added_since(SavedVersion.read(store.users.saved_tracks_version(user.user_id)))
    if added == 0:
        return stored
    rows = client.saved_tracks() if added is None else newest[:added]
    documents = [saved for row in rows if (saved := saved_track_document(row, user.user_id, now))]
    progress.expect(len(documents))
    store.library.put_saved_tracks(user.user_id, documents, all_of_them=added is None)
    progress.advance(len(documents))
    stored = store.library.saved_count(user.user_id)
    store.users.set_saved_tracks_version(user.user_id, replace(version, stored=stored).write())
    return stored


@dataclass(frozen=True)
class SavedVersion:
    """Which state of a user's saved tracks was read.

    Attributes:
        total: How many there are, says Spotify.
        newest: Short ids of the newest rows.
        stored: How many are stored.
    """

    total: int
    newest: tuple[str, ...]
    stored: int

    @classmethod
    def read(cls, text: str) -> "SavedVersion | None":
        """From its text; None where nothing was read yet."""
        if not text:
            return None
        total, stored, newest = text.split(":")
        return cls(int(total), tuple(newest.split(",")), int(stored))

    def write(self) -> str:
        """As text."""
        return f"{self.total}:{self.stored}:{','.join(self.newest)}"

    def added_since(self, earlier: "SavedVersion | None") -> int | None:
        """How many of the newest rows are new, if nothing else has changed; None if it may have."""
        if earlier is None or earlier.stored != self.stored:
            return None
        added = self.total - earlier.total
        same = self.newest[added:] == earlier.newest[: len(self.newest) - added] if added >= 0 else False
        return added if same and added < max(len(self.newest), 1) else None


def _row_id(row: JsonObject) -> str:
    told = [text(row, "added_at"), text(content(row) or {}, "uri")]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def sync_top_items(store: Store, client: SpotifyClient, user: User, now: datetime, progress: Progress) -> int:
    """Store Spotify's rankings of artists and tracks over its three time ranges; returns how many items they hold.

    Spotify computes them once a day at most, so those younger than `TOP_ITEMS_AGE` are not read again.
    """
    if store.library.top_items_are_younger_than(now - TOP_ITEMS_AGE, user.user_id):
        return 0
    wanted: list[tuple[TopItemKind, TimeRange]] = [
        (kind, time_range) for kind in get_args(TopItemKind) for time_range in get_args(TimeRange)
    ]
    progress.expect(len(wanted))
    rankings = []
    for kind, time_range in wanted:
        items = client.top_items(kind, time_range)
        rankings.append(top_items_document(items, user_id=user.user_id, kind=kind, time_range=time_range, read_at=now))
        progress.advance(1)
    store.library.put_top_items(user.user_id, rankings)
    return sum(len(ranking.items) for ranking in rankings)
