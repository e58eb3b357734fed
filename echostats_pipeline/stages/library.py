"""What a user keeps: playlists, saved tracks, Spotify's own top items. Read whole or not at all."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
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

    One call tells whether anything has changed: the newest rows and their number are those before the last reading.
    What is stored is no measure of them: local files have no ids, and Spotify counts rows that it does not show.
    """
    newest, total = client.newest_saved_tracks()
    version = _version(newest, total)
    stored = store.library.saved_count(user.user_id)
    if store.users.saved_tracks_version(user.user_id) == f"{version}:{stored}":
        return stored
    documents = [saved for row in client.saved_tracks() if (saved := saved_track_document(row, user.user_id, now))]
    progress.expect(len(documents))
    store.library.replace_saved_tracks(user.user_id, documents)
    progress.advance(len(documents))
    stored = store.library.saved_count(user.user_id)
    store.users.set_saved_tracks_version(user.user_id, f"{version}:{stored}")
    return stored


def _version(newest: Sequence[JsonObject], total: int) -> str:
    """What differs when Spotify's list of saved tracks does."""
    rows = [[text(row, "added_at"), text(content(row) or {}, "uri")] for row in newest]
    return f"{total}:{hashlib.sha256(json.dumps(rows).encode()).hexdigest()}"


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
