"""Builds Spotify's JSON objects, field by field, as an app with extended quota receives them.

Belongs here: one function per object of the Web API. Not here: pages of objects (``call``), access to them (``api``),
fields that other regimes remove (``regimes``).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from echostats_pipeline.simulator.catalogue import Album, Artist, AudioFeatures, Episode, Track
from echostats_pipeline.simulator.habits import Context
from echostats_pipeline.simulator.history import HistoryRow
from echostats_pipeline.simulator.library import LocalFile, Playlist, PlaylistRow, SavedTrack
from echostats_pipeline.simulator.names import image_hash
from echostats_pipeline.simulator.people import SimulatedUser

Json = dict[str, Any]

MARKETS = ("AU", "BR", "DE", "GB", "IN", "SE", "US")
IMAGE_SIZES = (640, 300, 64)


@dataclass(frozen=True, slots=True)
class Bodies:
    """Builds the objects.

    Attributes:
        api: The address of this simulator's Web API, for example ``http://127.0.0.1:1/v1``.
        isrc: The ISRC of a track as Spotify knows it now; None if it knows none.
    """

    api: str
    isrc: Callable[[Track], str | None] = attrgetter("isrc")

    def artist_reference(self, artist: Artist) -> Json:
        """The simplified artist of tracks and albums."""
        return {**self._identity("artist", artist.id), "name": artist.name}

    def artist(self, artist: Artist) -> Json:
        """The full artist."""
        return {
            **self.artist_reference(artist),
            "followers": {"href": None, "total": artist.followers},
            "genres": list(artist.genres),
            "images": _images(artist.id),
            "popularity": artist.popularity,
        }

    def album_reference(self, album: Album) -> Json:
        """The simplified album of tracks."""
        return {
            **self._identity("album", album.id),
            "album_type": album.album_type,
            "artists": [self.artist_reference(artist) for artist in album.artists],
            "available_markets": list(MARKETS),
            "images": _images(album.id),
            "name": album.name,
            "release_date": album.release_date,
            "release_date_precision": album.release_date_precision,
            "total_tracks": album.total_tracks,
        }

    def album(self, album: Album, tracks: Json) -> Json:
        """The full album; `tracks` is the page of its simplified tracks."""
        return {
            **self.album_reference(album),
            "copyrights": [
                {"text": f"{album.release_date[:4]} {album.label}", "type": "C"},
                {"text": f"{album.release_date[:4]} {album.label}", "type": "P"},
            ],
            "external_ids": {"upc": album.upc},
            "genres": [],
            "label": album.label,
            "popularity": album.popularity,
            "tracks": tracks,
        }

    def track_reference(self, track: Track) -> Json:
        """The simplified track of albums."""
        return {
            **self._identity("track", track.id),
            "artists": [self.artist_reference(artist) for artist in track.artists],
            "available_markets": list(MARKETS),
            "disc_number": 1,
            "duration_ms": track.duration_ms,
            "explicit": track.explicit,
            "is_local": False,
            "is_playable": True,
            "name": track.name,
            "preview_url": None,
            "track_number": track.track_number,
        }

    def track(self, track: Track) -> Json:
        """The full track."""
        isrc = self.isrc(track)
        return {
            **self.track_reference(track),
            "album": self.album_reference(track.album),
            "external_ids": {} if isrc is None else {"isrc": isrc},
            "popularity": track.popularity,
        }

    def audio_features(self, track: Track, features: AudioFeatures) -> Json:
        """The audio features of a track."""
        return {
            **asdict(features),
            "analysis_url": f"{self.api}/audio-analysis/{track.id}",
            "duration_ms": track.duration_ms,
            "id": track.id,
            "track_href": f"{self.api}/tracks/{track.id}",
            "type": "audio_features",
            "uri": track.uri,
        }

    def episode(self, episode: Episode) -> Json:
        """A podcast episode, with only the fields that a client needs to distinguish it from a track."""
        return {
            **self._identity("episode", episode.id),
            "duration_ms": episode.duration_ms,
            "explicit": False,
            "images": _images(episode.id),
            "is_playable": True,
            "name": episode.name,
            "show": {**self._identity("show", episode.show_id), "name": episode.show_name},
        }

    def history_row(self, row: HistoryRow) -> Json:
        """A row of recently-played."""
        match row.item:
            case Track() as track:
                item: Json | None = self.track(track)
            case Episode() as episode:
                item = self.episode(episode)
            case None:
                item = None
        return {
            "track": item,
            "played_at": row.played_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "context": None if row.play.context is None else self._context(row.play.context),
        }

    def saved_track(self, saved: SavedTrack) -> Json:
        """A row of the liked songs."""
        return {"added_at": _timestamp(saved.added_at), "track": self.track(saved.track)}

    def playlist_row(self, row: PlaylistRow, playlist: Playlist, keys: tuple[str, ...]) -> Json:
        """A row of a playlist; `keys` are the names under which it holds the track: ``item``, ``track`` or both."""
        match row.item:
            case Track() as track:
                item: Json | None = {**self.track(track), "episode": False, "track": True}
            case LocalFile() as local:
                item = _local_track(local)
            case None:
                item = None
        return {
            "added_at": _timestamp(row.added_at),
            "added_by": self._identity("user", playlist.owner_id),
            "is_local": isinstance(row.item, LocalFile),
            "primary_color": None,
            "video_thumbnail": {"url": None},
            **dict.fromkeys(keys, item),
        }

    def playlist(self, playlist: Playlist, now: datetime) -> Json:
        """The fields that simplified and full playlists have in common."""
        return {
            **self._identity("playlist", playlist.id),
            "collaborative": playlist.collaborative,
            "description": playlist.description,
            "images": _images(playlist.id) if playlist.rows else None,
            "name": playlist.name,
            "owner": {**self._identity("user", playlist.owner_id), "display_name": playlist.owner_name},
            "primary_color": None,
            "public": playlist.public,
            "snapshot_id": playlist.snapshot_id(now),
        }

    def playlist_reference(self, playlist: Playlist, now: datetime) -> Json:
        """The simplified playlist of listings."""
        total, href = len(playlist.rows_at(now)), f"{self.api}/playlists/{playlist.id}"
        return {
            **self.playlist(playlist, now),
            "items": {"href": f"{href}/items", "total": total},
            "tracks": {"href": f"{href}/tracks", "total": total},
        }

    def private_user(self, user: SimulatedUser, scopes: frozenset[str]) -> Json:
        """The user of ``/me``; two scopes add fields."""
        images = [{"url": _image_url(user.id, size), "height": size, "width": size} for size in (300, 64)]
        body: Json = {
            **self._identity("user", user.id),
            "account_id": user.account_id,
            "display_name": user.display_name,
            "followers": {"href": None, "total": user.followers},
            "images": images if user.has_image else [],
        }
        if "user-read-private" in scopes:
            body["country"] = user.country
            body["product"] = user.product
            body["explicit_content"] = {"filter_enabled": False, "filter_locked": False}
        if "user-read-email" in scopes:
            body["email"] = user.email
        return body

    def _identity(self, kind: str, item_id: str) -> Json:
        return {
            "external_urls": {"spotify": f"https://open.spotify.com/{kind}/{item_id}"},
            "href": f"{self.api}/{kind}s/{item_id}",
            "id": item_id,
            "type": kind,
            "uri": f"spotify:{kind}:{item_id}",
        }

    def _context(self, context: Context) -> Json:
        if context.type == "collection":
            href, page = f"{self.api}/me/tracks", "https://open.spotify.com/collection/tracks"
        else:
            item_id = context.uri.rpartition(":")[2]
            href = f"{self.api}/{context.type}s/{item_id}"
            page = f"https://open.spotify.com/{context.type}/{item_id}"
        return {"type": context.type, "href": href, "external_urls": {"spotify": page}, "uri": context.uri}


def _local_track(local: LocalFile) -> Json:
    """A local file as playlists show it: without ids and addresses, and with few other values."""
    nothing: Json = {"external_urls": {}, "href": None, "id": None}
    return {
        **nothing,
        "album": {
            **nothing,
            "album_type": None,
            "artists": [],
            "available_markets": [],
            "images": [],
            "name": local.album_name,
            "release_date": None,
            "release_date_precision": None,
            "type": "album",
            "uri": None,
        },
        "artists": [{**nothing, "name": local.artist_name, "type": "artist", "uri": None}],
        "available_markets": [],
        "disc_number": 0,
        "duration_ms": local.duration_ms,
        "episode": False,
        "explicit": False,
        "external_ids": {},
        "is_local": True,
        "name": local.name,
        "popularity": 0,
        "preview_url": None,
        "track": True,
        "track_number": 0,
        "type": "track",
        "uri": local.uri,
    }


def _images(item_id: str) -> list[Json]:
    return [{"url": _image_url(item_id, size), "height": size, "width": size} for size in IMAGE_SIZES]


def _image_url(item_id: str, size: int) -> str:
    return f"https://i.scdn.co/image/{image_hash(item_id, size)}"


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
