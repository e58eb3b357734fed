"""Syncs the playlists of users: each playlist is stored as soon as it is read, over several days if needed.

The state of a pass is stored with each page. So the next run continues there if a pass ends early: because the budget
is used up, the process died, or it is another user's turn.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from echostats_pipeline.errors import NotFoundOnSpotify, RateLimited, RequestRefused, SpotifyResponseError
from echostats_pipeline.model.base import known_fields
from echostats_pipeline.model.library import AskedInVain, Playlist, UnreadPlaylist
from echostats_pipeline.model.users import User
from echostats_pipeline.spotify.client import ListPage, SpotifyClient
from echostats_pipeline.spotify.endpoint_access import REMEMBERED_FOR
from echostats_pipeline.spotify.fields import text
from echostats_pipeline.spotify.mapping import playlist_document, playlist_tracks
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.visits import DAILY_CALLS, LibraryVisit, visiting
from echostats_pipeline.storage.store import Store

LISTED_FOR = timedelta(days=7)
"""Age of a list of playlists at which a new list is read, even if not all contents are read yet."""
MOST_FAILURES = 3
"""Failures in a row after which the pass ends: the cause is then not a single playlist."""


def sync_playlists(
    store: Store, client: SpotifyClient, user: User, now: datetime, progress: Progress, daily_calls: int = DAILY_CALLS
) -> int:
    """Store a user's playlists as Spotify has them, each with all its tracks; return the number of stored playlists.

    First the list is read, then the contents, one playlist after the other. Contents are read only if the `snapshot_id`
    has changed. A playlist is replaced when all of it is read. A playlist that cannot be read, or that Spotify does not
    show, keeps its stored contents and does not stop the pass.

    Args:
        store: The database.
        client: Reads Spotify on behalf of the user.
        user: The user whose playlists are read.
        now: The present instant.
        progress: Receives the progress.
        daily_calls: Budget of calls in 24 hours for playlists, of which this user gets a fair share.
    """
    with (
        store.marks.changing(user.user_id, source="playlist_contents"),
        marking_renamed(store, user.user_id),
        visiting(store, user, "playlists", now, progress, daily_calls) as visit,
    ):
        reading = visit.reading()
        if not reading.is_open or (reading.listed_at is not None and reading.listed_at <= now - LISTED_FOR):
            lately = [each for each in reading.in_vain if each.asked_at > now - REMEMBERED_FOR]
            in_vain = [each.model_dump() for each in lately]
            visit.note(is_open=True, place=0, total=0, listed=[], nameless=0, listed_at=None, in_vain=in_vain)
        if (_is_listed(visit) or _list_playlists(store, client, visit)) and _read_contents(store, client, visit):
            visit.finish()
    return store.library.playlist_count(user.user_id)


@contextmanager
def marking_renamed(store: Store, user_id: str) -> Iterator[None]:
    """Run the block; if it changes names of playlists, mark the user's snapshots, which show these names."""
    before = store.library.playlist_names(user_id)
    try:
        yield
    finally:
        if store.library.playlist_names(user_id) != before:
            store.marks.mark(user_id, "playlists")


def _is_listed(visit: LibraryVisit) -> bool:
    return visit.reading().listed_at is not None


def _list_playlists(store: Store, client: SpotifyClient, visit: LibraryVisit) -> bool:
    """Read the list of playlists to its end; return False if there are not enough calls.

    At the end, playlists that Spotify no longer lists are removed. If the list was read with pauses, this is done only
    if every entry was seen, because entries may have moved meanwhile.
    """
    reading, stored = visit.reading(), store.library.snapshot_ids(visit.user_id)
    place, total, in_one_go = reading.place, reading.total, not reading.place
    in_vain = {each.spotify_id: each for each in reading.in_vain}
    while visit.may_call():
        page = client.playlists(place)
        if place and page.total < total:
            place, total, in_one_go = visit.step_back(place, total - page.total), page.total, False
            continue
        sorted_out = _sort_out(visit, page, stored, in_vain)
        store.library.put_playlists(sorted_out.settled)
        store.readings.put_unread(sorted_out.unread)
        place, total = place if page.following is None else page.following, page.total
        store.readings.list_playlists(
            visit.user_id, sorted_out.ids, nameless=sorted_out.nameless, place=place, total=total
        )
        visit.expect(len(sorted_out.ids))
        visit.advance(len(sorted_out.settled))
        if page.following is None:
            reading = visit.reading()
            if in_one_go or len(reading.listed) + reading.nameless >= page.total:
                store.library.keep_playlists(visit.user_id, reading.listed)
                store.readings.drop_unlisted(visit.user_id, reading.listed)
            visit.note(listed_at=visit.now)
            return True
    return False


@dataclass
class _SortedOut:
    """The playlists on a page of the list, sorted by what is to be done."""

    ids: list[str] = field(default_factory=list)
    settled: list[Playlist] = field(default_factory=list)
    unread: list[UnreadPlaylist] = field(default_factory=list)
    nameless: int = 0


def _sort_out(
    visit: LibraryVisit, page: ListPage, stored: Mapping[str, str], in_vain: Mapping[str, AskedInVain]
) -> _SortedOut:
    found = _SortedOut()
    for number, playlist in enumerate(page.entries, start=page.offset):
        spotify_id = text(playlist or {}, "id")
        asked = in_vain.get(spotify_id or "")
        if playlist is None or not spotify_id or (asked is not None and asked.is_gone):
            found.nameless += 1  # it has no id, so it cannot be stored
            continue
        found.ids.append(spotify_id)
        document, snapshot_id = (
            playlist_document(playlist, None, visit.user_id, visit.now),
            text(playlist, "snapshot_id"),
        )
        if asked is not None:
            found.settled.append(_of_unknown_version(document))
        elif snapshot_id is not None and stored.get(spotify_id) == snapshot_id:
            found.settled.append(document)
        else:
            unread = UnreadPlaylist(
                user_id=visit.user_id,
                spotify_id=spotify_id,
                number=number,
                snapshot_id=snapshot_id or "",
                told=known_fields(document),
                total=document.total_tracks,
            )
            found.unread.append(unread)
    return found


def _of_unknown_version(document: Playlist) -> Playlist:
    """Return the playlist without the version of its contents, because the contents were not read."""
    known = known_fields(document)
    return Playlist.model_validate({name: value for name, value in known.items() if name != "snapshot_id"})


def _read_contents(store: Store, client: SpotifyClient, visit: LibraryVisit) -> bool:
    """Read the contents of changed playlists, one after the other; return False if there are not enough calls.

    Raises:
        SpotifyError: no playlist could be read, or several in a row could not.
    """
    failed: list[str] = []
    in_a_row, was_read, error = 0, False, None
    if not visit.has_announced:
        visit.expect(store.readings.unread_count(visit.user_id))
    while (playlist := store.readings.next_unread(visit.user_id, but=failed)) is not None:
        try:
            if not _read_playlist(store, client, visit, playlist):
                return False
        except SpotifyResponseError as failure:
            if failure.affects != "endpoint" or isinstance(failure, RateLimited):
                raise
            store.readings.fail(playlist)
            failed.append(playlist.spotify_id)
            in_a_row, error = in_a_row + 1, failure
            if in_a_row == MOST_FAILURES:
                break
        else:
            in_a_row, was_read = 0, True
        visit.advance(1)
    if error is not None and (in_a_row == MOST_FAILURES or not was_read):
        raise error
    return True


def _read_playlist(store: Store, client: SpotifyClient, visit: LibraryVisit, playlist: UnreadPlaylist) -> bool:
    """Continue to read the contents of a playlist, then store it; return False if there are not enough calls."""
    tracks, place, total = list(playlist.tracks), playlist.place, playlist.total
    listed = Playlist.model_validate({**playlist.told, "fetched_at": visit.now})
    while visit.may_call():
        try:
            page = client.playlist_items(playlist.spotify_id, place)
        except NotFoundOnSpotify:  # deleted since it was listed, or listed although it is not visible
            store.library.remove_playlist(visit.user_id, playlist.spotify_id)
            _give_up(store, visit, playlist, is_gone=True)
            return True
        except RequestRefused as refusal:
            if refusal.affects != "endpoint":
                raise
            page = None
        if page is None:
            store.library.put_playlists([_of_unknown_version(listed)])
            _give_up(store, visit, playlist, is_gone=False)
            return True
        if place and page.total != total:
            store.readings.start_over(playlist)
            tracks, place = [], 0
            continue
        rows = playlist_tracks([row for row in page.entries if row is not None])
        tracks += rows
        if page.following is None:
            counted = {"total_tracks": page.offset + len(page.entries), **known_fields(listed)}
            store.library.put_playlists([Playlist.model_validate({**counted, "tracks": tracks})])
            store.readings.is_read(playlist)
            return True
        place, total = page.following, page.total
        store.readings.keep_page(playlist, rows, place=place, total=total)
    return False


def _give_up(store: Store, visit: LibraryVisit, playlist: UnreadPlaylist, *, is_gone: bool) -> None:
    """Record that the contents of a playlist cannot be read, so that they are not requested for some time."""
    asked = AskedInVain(spotify_id=playlist.spotify_id, is_gone=is_gone, asked_at=visit.now)
    store.readings.in_vain(visit.user_id, asked)
    store.readings.is_read(playlist)
