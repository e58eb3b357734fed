"""What a user keeps: playlists, saved tracks, Spotify's own top items. Read whole or not at all."""

from datetime import datetime
from typing import get_args

from echostats_pipeline.model.library import TimeRange, TopItemKind
from echostats_pipeline.model.users import User
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.mapping import playlist_document, saved_track_document, top_items_document
from echostats_pipeline.stages import Progress
from echostats_pipeline.storage.store import Store


def sync_playlists(store: Store, client: SpotifyClient, user: User, now: datetime, progress: Progress) -> int:
    """Make the stored playlists those of Spotify, each with all its tracks; returns how many there are.

    Everything is read before anything is written: an answer that fails deletes nothing.
    """
    listed = client.playlists()
    progress.expect(len(listed))
    documents = []
    for playlist in listed:
        documents.append(playlist_document(playlist, client.playlist_items(playlist["id"]), user.user_id, now))
        progress.advance(1)
    store.library.replace_playlists(user.user_id, documents)
    return len(documents)


def sync_saved_tracks(store: Store, client: SpotifyClient, user: User, now: datetime, progress: Progress) -> int:
    """Make the stored saved tracks those of Spotify; returns how many there are."""
    rows = client.saved_tracks()
    documents = [saved for row in rows if (saved := saved_track_document(row, user.user_id, now)) is not None]
    progress.expect(len(documents))
    store.library.replace_saved_tracks(user.user_id, documents)
    progress.advance(len(documents))
    return len(documents)


def sync_top_items(store: Store, client: SpotifyClient, user: User, now: datetime, progress: Progress) -> int:
    """Store Spotify's rankings of artists and tracks over its three time ranges; returns how many items they hold."""
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
