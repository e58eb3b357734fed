"""Writes generated playlists to Spotify: one private playlist per user and generator, overwritten each time.

Nothing is lost and nothing is left over:

- Before a playlist is created, a token is stored that stands in its description. If a process dies before the id is
  stored, the next one finds the playlist by its token instead of creating a second one.
- Before it is overwritten, its contents are read. What differs from what was written last, the user has changed: this
  becomes feedback. What they removed does not come back, and what they added stays.
- After it is written, its length is compared; what died half-way is written again as a whole.
"""

import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from echostats_pipeline.errors import (
    InsufficientScope,
    NotFoundError,
    NotFoundOnSpotify,
    SpotifyError,
    SpotifyResponseError,
    WaitRequired,
)
from echostats_pipeline.model.playlists import GeneratedPlaylist, PlaylistEdit, SpotifyCopy
from echostats_pipeline.model.users import User
from echostats_pipeline.playlists.covers import MOST_BYTES, cover
from echostats_pipeline.storage.store import Store

SCOPE, COVER_SCOPE = "playlist-modify-private", "ugc-image-upload"
LISTED_AFTER = timedelta(days=1)
"""After this time, a playlist that the user has not deleted is surely among the user's playlists."""
LONGEST_DESCRIPTION = 250
MOST_AT_ONCE = 100
URI = "spotify:track:"
NO_CONSENT = (
    "The consent of {} does not cover playlists. Give it with: echostats connect --playlists. Everything else works "
    "without it."
)


logger = logging.getLogger(__name__)


class ClientPage(Protocol):
    """A page of a list at Spotify."""

    @property
    def entries(self) -> Sequence[dict[str, Any] | None]:
        """Its objects."""

    @property
    def following(self) -> int | None:
        """Where the next page begins."""


class PlaylistClient(Protocol):
    """What is needed of the client for Spotify's Web API."""

    def playlists(self, offset: int = 0) -> ClientPage:
        """A page of the user's playlists."""

    def playlist_items(self, playlist_id: str, offset: int = 0) -> ClientPage | None:
        """A page of the rows of a playlist; None if they are not shown."""

    def playlist(self, playlist_id: str) -> dict[str, Any]:
        """A playlist."""

    def create_playlist(self, name: str, description: str) -> dict[str, Any]:
        """Create a private playlist."""

    def change_playlist(self, playlist_id: str, name: str, description: str) -> None:
        """Rename a playlist."""

    def replace_items(self, playlist_id: str, uris: Sequence[str]) -> str:
        """Replace the rows of a playlist; return the version."""

    def add_items(self, playlist_id: str, uris: Sequence[str]) -> str:
        """Add rows to the end of a playlist; return the version."""

    def put_cover(self, playlist_id: str, jpeg: bytes) -> None:
        """Give a playlist a cover."""


def may_write(store: Store, user: User, scope: str = SCOPE) -> bool:
    """Whether a user's consent covers writing playlists."""
    try:
        return scope in store.users.tokens(user.user_id).scope.split()
    except NotFoundError:
        return False


@dataclass(frozen=True)
class Written:
    """A playlist that was made and stored.

    Attributes:
        made: The playlist.
        failure: Why it was not written to Spotify; None if it was, or if it has no songs.
    """

    made: GeneratedPlaylist
    failure: SpotifyError | None = None

    @property
    def said(self) -> str:
        """The failure in sentences; empty if there is none."""
        if self.failure is None:
            return ""
        why = self.failure.wait if isinstance(self.failure, WaitRequired) else str(self.failure)
        return f"It was made and stored, but not written to Spotify. {why}"


def make_and_write(
    store: Store,
    client: AbstractContextManager[PlaylistClient],
    user: User,
    generator: str,
    make: Callable[[], GeneratedPlaylist],
    now: datetime,
) -> Written:
    """Make a playlist that obeys what the user has changed at Spotify, store it, and write it there.

    If Spotify refuses or cannot be reached, it is made and stored all the same. If what the user has changed could not
    be read, nothing is written over it.
    """
    made: GeneratedPlaylist | None = None
    try:
        with client as opened:
            if not may_write(store, user):
                raise InsufficientScope(NO_CONSENT.format(user.partition_key), status_code=403)
            read_edits(store, opened, user, generator, now)
            made = store.playlists.put(make())
            return Written(write_to_spotify(store, opened, user, made, now) if made.tracks else made)
    except SpotifyError as error:
        return Written(made or store.playlists.put(make()), error)


def read_edits(store: Store, client: PlaylistClient, user: User, generator: str, now: datetime) -> list[PlaylistEdit]:
    """Read what a user has changed in a playlist at Spotify since it was written, and store it.

    A playlist that was never written, or whose last writing died half-way, tells nothing of the user.
    """
    copy = store.playlists.spotify_copy(user.user_id, generator)
    if copy is None or not copy.spotify_id or copy.playlist_id is None or copy.writing is not None:
        return []
    try:
        if client.playlist(copy.spotify_id).get("snapshot_id") == copy.snapshot_id:
            return []
        rows = _contents(client, copy.spotify_id)
    except NotFoundOnSpotify:
        return []
    if rows is None:
        return []
    present = [str(row["id"]) for row in rows]
    edits = list(_differences(copy, rows, now))
    if edits:
        made = store.playlists.get(copy.playlist_id)
        for each in edits:
            each.generator, each.text = generator, "" if made is None else made.text
        store.playlists.add_edits(user.user_id, edits)
        removed = {each.spotify_id for each in edits if each.event == "remove_from_playlist"}
        added = {each.spotify_id for each in edits if each.event == "add_to_playlist"}
        copy.kept_out = sorted((set(copy.kept_out) | removed) - added)
        copy.kept_in = sorted((set(copy.kept_in) | added) - removed)
    copy.track_ids, copy.snapshot_id = present, ""
    store.playlists.put_copy(copy)
    return edits


def _differences(copy: SpotifyCopy, rows: Sequence[dict[str, Any]], now: datetime) -> Iterator[PlaylistEdit]:
    if copy.playlist_id is None:
        return
    before = {track_id: place for place, track_id in enumerate(copy.track_ids, 1)}
    after = {str(row["id"]): place for place, row in enumerate(rows, 1)}
    tracks = {str(row["id"]): row for row in rows}
    for track_id in sorted(before.keys() ^ after.keys()):
        yield PlaylistEdit(
            user_id=copy.user_id,
            spotify_id=track_id,
            playlist_id=copy.playlist_id,
            event="remove_from_playlist" if track_id in before else "add_to_playlist",
            **({} if track_id in before else _names_of(tracks[track_id])),
            position=before.get(track_id, after.get(track_id)),
            seen_at=now,
        )


def _names_of(track: dict[str, Any]) -> dict[str, Any]:
    artists, album = track.get("artists") or [{}], track.get("album") or {}
    return {
        "name": track.get("name") or "",
        "artist_name": artists[0].get("name") or "",
        "album_name": album.get("name") or "",
        "duration_ms": track.get("duration_ms") or 0,
    }


def _contents(client: PlaylistClient, playlist_id: str) -> list[dict[str, Any]] | None:
    """The tracks of a playlist, in order; None if Spotify does not show them.

    Rows without a track of Spotify's are left out: episodes, and files of the user, which no application can write.
    """
    found: list[dict[str, Any]] = []
    offset: int | None = 0
    while offset is not None:
        page = client.playlist_items(playlist_id, offset)
        if page is None:
            return None
        for row in page.entries:
            item = (row or {}).get("item") or (row or {}).get("track") or {}
            if item.get("id") and item.get("type", "track") == "track":
                found.append(item)
        offset = page.following
    return found


def write_to_spotify(
    store: Store,
    client: PlaylistClient,
    user: User,
    made: GeneratedPlaylist,
    now: datetime,
    new_token: Callable[[], str] = lambda: secrets.token_hex(6),
) -> GeneratedPlaylist:
    """Write a stored playlist to Spotify, over the last one of its generator; returns it with Spotify's id.

    Raises:
        InsufficientScope: the user has not given the consent for playlists.
        SpotifyError: Spotify could not be reached, or refused.
    """
    if not may_write(store, user):
        raise InsufficientScope(NO_CONSENT.format(user.partition_key), status_code=403)
    copy = _existing(store, client, made, now, new_token)
    copy.writing = [track.spotify_id for track in made.tracks]
    store.playlists.put_copy(copy)
    client.change_playlist(copy.spotify_id, made.name, _description(made, copy.token))
    copy.snapshot_id = _written(client, copy.spotify_id, [URI + each for each in copy.writing])
    copy.track_ids, copy.writing, copy.playlist_id, copy.written_at = copy.writing, None, made.id, now
    store.playlists.put_copy(copy)
    if made.tracks and may_write(store, user, COVER_SCOPE):
        _put_cover(client, copy.spotify_id, made)
    made.spotify_id, made.written_at = copy.spotify_id, now
    return store.playlists.put(made)


def _existing(
    store: Store, client: PlaylistClient, made: GeneratedPlaylist, now: datetime, new_token: Callable[[], str]
) -> SpotifyCopy:
    """The playlist at Spotify; it is created if there is none, or if the user has deleted it.

    Spotify goes on answering for a playlist that its owner has deleted; but it is no longer among their playlists.
    """
    copy = store.playlists.spotify_copy(made.user_id, made.generator)
    if copy is not None and copy.spotify_id:
        try:
            client.playlist(copy.spotify_id)
        except NotFoundOnSpotify:
            copy.spotify_id = ""
        else:
            present = copy.spotify_id
            is_old = copy.written_at is not None and copy.written_at < now - LISTED_AFTER
            if not is_old or _found(client, lambda each: each["id"] == present):
                return copy
            copy.spotify_id = ""
    is_first = copy is None
    copy = copy or SpotifyCopy(user_id=made.user_id, generator=made.generator, token=new_token())
    store.playlists.put_copy(copy)
    copy.spotify_id = "" if is_first else _found(client, lambda each: copy.token in str(each.get("description") or ""))
    if not copy.spotify_id:
        copy.spotify_id = client.create_playlist(made.name, _description(made, copy.token))["id"]
    copy.track_ids, copy.snapshot_id = [], ""
    store.playlists.put_copy(copy)
    return copy


def _found(client: PlaylistClient, is_it: Callable[[dict[str, Any]], bool]) -> str:
    """The id of a playlist among those of the user; empty if it is not among them."""
    offset: int | None = 0
    while offset is not None:
        page = client.playlists(offset)
        for each in page.entries:
            if each is not None and is_it(each):
                return str(each["id"])
        offset = page.following
    return ""


def _put_cover(client: PlaylistClient, playlist_id: str, made: GeneratedPlaylist) -> None:
    """Give a playlist its cover. Without one, the playlist is none the worse: a failure is only logged."""
    jpeg = cover(made)
    try:
        if len(jpeg) <= MOST_BYTES:
            client.put_cover(playlist_id, jpeg)
    except SpotifyError as error:
        logger.warning("The playlist %s has no new cover: %s", made.name, error)


def _written(client: PlaylistClient, playlist_id: str, uris: Sequence[str]) -> str:
    """Write all rows; return the version. The length is compared, because a page may be written twice or not at all.

    Raises:
        SpotifyResponseError: Spotify has other rows than it was given, twice in a row.
    """
    for _ in range(2):
        snapshot = client.replace_items(playlist_id, uris[:MOST_AT_ONCE])
        for start in range(MOST_AT_ONCE, len(uris), MOST_AT_ONCE):
            snapshot = client.add_items(playlist_id, uris[start : start + MOST_AT_ONCE])
        if len(uris) <= MOST_AT_ONCE or _length(client, playlist_id) in (None, len(uris)):
            return snapshot
    raise SpotifyResponseError("Spotify has other songs in the playlist than it was given.", status_code=200)


def _length(client: PlaylistClient, playlist_id: str) -> int | None:
    rows = _contents(client, playlist_id)
    return None if rows is None else len(rows)


def _description(made: GeneratedPlaylist, token: str) -> str:
    """What is asked for, and the token; as long as Spotify allows, and without line breaks, which it refuses."""
    said = " ".join(made.text.split())
    ending = f" Made by echostats ({token})."
    return f"{said[: LONGEST_DESCRIPTION - len(ending)]}{ending}"
