"""Reads albums of much played artists from Spotify: songs that nobody here has heard yet.

Two or three calls an artist, within the budget, and only once the catalogue of played songs is complete. An artist is
read again after a month; each time, the tracks of a few more albums are read, the newest first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from echostats_pipeline.errors import NotFoundError, NotFoundOnSpotify, WaitRequired
from echostats_pipeline.model.recommendations import AlbumOfArtist, ArtistAlbums
from echostats_pipeline.model.users import User
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.mapping import album_of_artist, album_tracks
from echostats_pipeline.stages import Progress
from echostats_pipeline.storage.store import Store

LOVED = 30
"""Artists of a user whose albums are read and may be recommended: the most played of the last year."""
ALBUMS_AT_ONCE = 2
READ_AGAIN_AFTER = timedelta(days=30)
SHARE_OF_CALLS = 10
"""One call in so many of a day's budget is spent on an artist; the rest stays for songs that are played."""
BEFORE = ("tracks", "artists", "albums")
"""Families whose missing objects are read first."""


@dataclass(frozen=True)
class AlbumReading:
    """The result of reading albums: artists and albums read, artists left for later, and why to wait."""

    artists: int = 0
    albums: int = 0
    left: int = 0
    waiting: WaitRequired | None = None
    postponed: str = ""


def loved_artists(store: Store, user: User) -> dict[str, str]:
    """The artists that a user has played most in the last year, or ever: names by Spotify id, the most played first."""
    found: dict[str, str] = {}
    for period in ("year", "all_time"):
        try:
            top = store.statistics.snapshot(user.user_id, period).top_artists
        except NotFoundError:
            continue
        found |= {artist.spotify_id: artist.name for artist in top[:LOVED] if artist.spotify_id}
        if found:
            break
    return found


def read_artist_albums(
    store: Store, client: SpotifyClient, daily_calls: int, now: datetime, progress: Progress
) -> AlbumReading:
    """Read the albums of artists that active users play much, those never read before first."""
    wanted = _wanted(store, now)
    lacking = store.catalog.lacking(now)
    if waiting := [family for family in BEFORE if lacking.get(family)]:
        return AlbumReading(left=len(wanted), postponed=f"{', '.join(waiting)} of played songs are read first")
    some = dict(list(wanted.items())[: max(1, daily_calls // SHARE_OF_CALLS)])
    progress.expect(len(some))
    read = albums = 0
    for before in some.values():
        try:
            document = _read(client, before, now)
        except WaitRequired as wait:
            return AlbumReading(read, albums, len(wanted) - read, wait)
        store.recommendations.put_albums(document)
        read += 1
        albums += sum(album.read_at == now for album in document.albums)
        progress.advance(1)
    return AlbumReading(read, albums, len(wanted) - read)


def _wanted(store: Store, now: datetime) -> Mapping[str, ArtistAlbums]:
    """What is stored of the artists to read, by their ids: never read ones first, then by the user's order."""
    names: dict[str, str] = {}
    shared: set[str] = set()
    for user in store.users.all():
        if user.status != "active":
            continue
        theirs = loved_artists(store, user)
        names |= {artist: name for artist, name in theirs.items() if artist not in names}
        shared |= theirs.keys() if user.shares else set()
    stored = {each.artist_id: each for each in store.recommendations.albums()}
    wanted: dict[str, ArtistAlbums] = {}
    for artist, name in names.items():
        known = stored.get(artist) or ArtistAlbums(artist_id=artist, name=name, shared=False)
        if known.read_at is None or known.read_at <= now - READ_AGAIN_AFTER:
            wanted[artist] = known.model_copy(update={"name": name, "shared": artist in shared})
    return dict(sorted(wanted.items(), key=lambda each: each[1].read_at is not None))


def _read(client: SpotifyClient, before: ArtistAlbums, now: datetime) -> ArtistAlbums:
    """The albums of an artist as Spotify lists them now, with the tracks of a few more."""
    known = {album.spotify_id: album for album in before.albums}
    try:
        listed = [album_of_artist(album) for album in client.artist_albums(before.artist_id)]
    except NotFoundOnSpotify:
        listed = []
    albums = [known.get(album.spotify_id) or album for album in listed if album.spotify_id]
    albums.sort(key=lambda album: album.release_date, reverse=True)
    unread = [album.spotify_id for album in albums if album.read_at is None][:ALBUMS_AT_ONCE]
    found = client.albums(unread)

    def with_tracks(album: AlbumOfArtist) -> AlbumOfArtist:
        body = found.get(album.spotify_id)
        return album if body is None else album.model_copy(update={"tracks": album_tracks(body), "read_at": now})

    return before.model_copy(update={"albums": [with_tracks(album) for album in albums], "read_at": now})
