"""Spotify's objects as our documents. Pure: the instant of reading is an argument.

Parsing is lenient, for Spotify adds and removes fields without notice: unknown ones are ignored, and what is absent,
null or of another type is left to the document's default. It is then not among the document's `model_fields_set`
either, so that a writer can tell "Spotify says 0" from "Spotify does not say". Dates of releases stay as Spotify gives
them: ``1981``, ``1981-12`` or ``1981-12-15``.

Full objects become documents with `enriched_at`; what is embedded in a track becomes stubs without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from echostats_pipeline.model.base import storable_text, to_utc
from echostats_pipeline.model.catalog import (
    Album,
    AlbumRef,
    Artist,
    ArtistRef,
    AudioFeatures,
    Image,
    Track,
    first_image_url,
)
from echostats_pipeline.model.library import (
    Playlist,
    PlaylistTrack,
    RankedItem,
    SavedTrack,
    TimeRange,
    TopItemKind,
    TopItems,
)
from echostats_pipeline.model.plays import RecentlyPlayedItem, TrackSnapshot
from echostats_pipeline.spotify.answers import JsonObject
from echostats_pipeline.transforms.identity import stable_id

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class RecentlyPlayedCounts:
    """What became of the rows of one recently-played answer; `rows` is the sum of the other four.

    Attributes:
        tracks: Plays of tracks, handed on.
        without_track: Rows whose track is null (content that Spotify has withdrawn).
        not_music: Episodes and the like.
        unreadable: Rows whose ``played_at`` is not an instant.
    """

    rows: int
    tracks: int
    without_track: int
    not_music: int
    unreadable: int


def user_profile(profile: JsonObject) -> dict[str, str]:
    """Fields of `users` from ``GET /me``; those that the app may not see are absent, not empty.

    `spotify_id` is Spotify's ``id``, the key that EchoStats uses, and not the newer ``account_id``.
    """
    fields = {
        "spotify_id": _text(profile, "id"),
        "display_name": _text(profile, "display_name") or "",
        "image_url": _image_url(profile),
        "country": _text(profile, "country"),
        "product": _text(profile, "product"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def recently_played_items(page: JsonObject) -> tuple[list[RecentlyPlayedItem], RecentlyPlayedCounts]:
    """Plays of tracks in Spotify's order (newest first), and what became of every row."""
    items: list[RecentlyPlayedItem] = []
    without_track = not_music = unreadable = 0
    rows = page["items"]
    for entry in rows:
        row = entry or {}
        track, played_at = _object(row, "track"), _instant(row, "played_at")
        if track is None:
            without_track += 1
        elif not _is_track(track):
            not_music += 1
        elif played_at is None:
            unreadable += 1
        else:
            context = _object(row, "context") or {}
            fields = {"context_type": _text(context, "type"), "context_uri": _text(context, "uri")}
            items.append(_document(RecentlyPlayedItem, track=_snapshot(track), played_at=played_at, **fields))
    return items, RecentlyPlayedCounts(len(rows), len(items), without_track, not_music, unreadable)


def track_document(track: JsonObject, read_at: datetime, *, spotify_id: str | None = None) -> Track:
    """A full track.

    Args:
        track: Spotify's object.
        read_at: When it was read.
        spotify_id: The id that was asked for; Spotify may answer with the same recording under another one.
    """
    return _document(
        Track,
        spotify_id=spotify_id or track_id(track),
        name=_text(track, "name") or "",
        artists=_artist_refs(track),
        album=_album_ref(track),
        duration_ms=_whole(track, "duration_ms"),
        popularity=_whole(track, "popularity"),
        explicit=_flag(track, "explicit"),
        preview_url=_text(track, "preview_url"),
        external_url=_external_url(track),
        isrc=_text(_object(track, "external_ids") or {}, "isrc"),
        enriched_at=read_at,
        fetched_at=read_at,
        updated_at=read_at,
    )


def artist_document(artist: JsonObject, read_at: datetime, *, spotify_id: str | None = None) -> Artist:
    """A full artist; arguments as in `track_document`."""
    return _document(
        Artist,
        spotify_id=spotify_id or _text(artist, "id") or "",
        name=_text(artist, "name") or "",
        genres=_texts(artist, "genres"),
        popularity=_whole(artist, "popularity"),
        followers=_whole(_object(artist, "followers") or {}, "total"),
        images=_images(artist),
        external_url=_external_url(artist),
        enriched_at=read_at,
        fetched_at=read_at,
        updated_at=read_at,
    )


def album_document(album: JsonObject, read_at: datetime, *, spotify_id: str | None = None) -> Album:
    """A full album; arguments as in `track_document`."""
    return _album(album, read_at, spotify_id=spotify_id or _text(album, "id") or "", enriched_at=read_at)


def album_stub(track: JsonObject, read_at: datetime) -> Album | None:
    """The simplified album inside a track, which lacks genres and popularity; None where it has no id."""
    album = _object(track, "album") or {}
    spotify_id = _text(album, "id")
    return _album(album, read_at, spotify_id=spotify_id) if spotify_id else None


def artist_stubs(track: JsonObject, read_at: datetime) -> list[Artist]:
    """The simplified artists inside a track, of which only id, name and address are known; none without an id."""
    return [
        _document(
            Artist,
            spotify_id=spotify_id,
            name=_text(artist, "name") or "",
            external_url=_external_url(artist),
            fetched_at=read_at,
            updated_at=read_at,
        )
        for artist in _objects(track, "artists")
        if (spotify_id := _text(artist, "id"))
    ]


def audio_features_document(features: JsonObject) -> AudioFeatures | None:
    """The audio features of one track; None if any is missing: a zero in its place would distort the averages."""
    try:
        return AudioFeatures.model_validate({name: features.get(name) for name in AudioFeatures.model_fields})
    except ValidationError:
        return None


def playlist_document(playlist: JsonObject, items: Sequence[JsonObject], user_id: str, read_at: datetime) -> Playlist:
    """A playlist with its tracks.

    Rows without content (removed) and episodes are left out; `total_tracks` is Spotify's own count and includes them.
    ``public: null`` ("not relevant", says Spotify) becomes False: a reader may show public playlists to others, and
    nothing is shown that Spotify does not call public.

    Args:
        playlist: The simplified or full playlist.
        items: All rows of it.
        user_id: Whose list of playlists it stands in.
        read_at: When it was read.
    """
    owner = _object(playlist, "owner") or {}
    counted = _object(playlist, "items") or _object(playlist, "tracks") or {}
    total = _whole(counted, "total")
    return _document(
        Playlist,
        spotify_id=_text(playlist, "id") or "",
        user_id=user_id,
        name=_text(playlist, "name") or "",
        description=_text(playlist, "description"),
        public=False if playlist.get("public", True) is None else _flag(playlist, "public"),
        collaborative=_flag(playlist, "collaborative"),
        images=_images(playlist),
        owner_id=_text(owner, "id"),
        owner_name=_text(owner, "display_name"),
        total_tracks=len(items) if total is None else total,
        tracks=[row for item in items if (row := _playlist_track(item)) is not None],
        snapshot_id=_text(playlist, "snapshot_id"),
        external_url=_external_url(playlist),
        fetched_at=read_at,
    )


def saved_track_document(row: JsonObject, user_id: str, read_at: datetime) -> SavedTrack | None:
    """A track of the user's library; None where the row holds no track or no instant."""
    track, added_at = _object(row, "track"), _instant(row, "added_at")
    if track is None or added_at is None:
        return None
    return SavedTrack(user_id=user_id, added_at=added_at, fetched_at=read_at, **_listed(track))


def top_items_document(
    items: Sequence[JsonObject], *, user_id: str, kind: TopItemKind, time_range: TimeRange, read_at: datetime
) -> TopItems:
    """Spotify's ranking, numbered from 1 in the order given."""
    ranked = [
        RankedItem(rank=rank, spotify_id=_text(item, "id") or "", name=_text(item, "name") or "")
        for rank, item in enumerate(items, start=1)
    ]
    return TopItems(user_id=user_id, kind=kind, time_range=time_range, items=ranked, fetched_at=read_at)


def track_id(track: JsonObject) -> str:
    """Spotify's id, or for a local file (id null) ``local:`` and 22 characters of its artist and title."""
    return _text(track, "id") or stable_id("local", _artist_name(track), _text(track, "name") or "")


def _snapshot(track: JsonObject) -> TrackSnapshot:
    listed = _listed(track)
    return TrackSnapshot(**listed, album_image_url=_image_url(_object(track, "album") or {}) or "")


def _listed(track: JsonObject) -> dict[str, Any]:
    """The fields that every list of tracks repeats for its readers' sake."""
    return {
        "spotify_id": track_id(track),
        "name": _text(track, "name") or "",
        "artist_name": _artist_name(track),
        "album_name": _text(_object(track, "album") or {}, "name") or "",
        "duration_ms": _whole(track, "duration_ms") or 0,
    }


def _playlist_track(row: JsonObject) -> PlaylistTrack | None:
    # "item" since February 2026, "track" before; transitional answers carry either or both.
    track = _object(row, "item") or _object(row, "track")
    if track is None or not _is_track(track):
        return None
    return PlaylistTrack(added_at=_instant(row, "added_at"), **_listed(track))


def _album(album: JsonObject, read_at: datetime, **fields: Any) -> Album:
    return _document(
        Album,
        name=_text(album, "name") or "",
        album_type=_text(album, "album_type"),
        artists=_artist_refs(album),
        images=_images(album),
        release_date=_text(album, "release_date"),
        total_tracks=_whole(album, "total_tracks"),
        genres=_texts(album, "genres"),
        popularity=_whole(album, "popularity"),
        external_url=_external_url(album),
        fetched_at=read_at,
        **fields,
    )


def _album_ref(track: JsonObject) -> AlbumRef | None:
    album = _object(track, "album")
    if album is None:
        return None
    return AlbumRef(
        spotify_id=_text(album, "id") or "",
        name=_text(album, "name") or "",
        image_url=_image_url(album) or "",
        release_date=_text(album, "release_date") or "",
    )


def _artist_refs(parent: JsonObject) -> list[ArtistRef]:
    return [
        ArtistRef(spotify_id=_text(artist, "id") or "", name=_text(artist, "name") or "")
        for artist in _objects(parent, "artists")
    ]


def _artist_name(track: JsonObject) -> str:
    """The primary artist, who is the first."""
    return next((_text(artist, "name") or "" for artist in _objects(track, "artists")), "")


def _is_track(item: JsonObject) -> bool:
    return (_text(item, "type") or "track") == "track"


def _images(parent: JsonObject) -> list[Image] | None:
    if not isinstance(parent.get("images"), list):
        return None
    return [
        _document(Image, url=url, height=_whole(image, "height"), width=_whole(image, "width"))
        for image in _objects(parent, "images")
        if (url := _text(image, "url"))
    ]


def _image_url(parent: JsonObject) -> str | None:
    """The first image, the widest; empty when there is none, None when Spotify does not say."""
    images = _images(parent)
    return None if images is None else first_image_url(images)


def _external_url(parent: JsonObject) -> str | None:
    return _text(_object(parent, "external_urls") or {}, "spotify")


def _document(model: type[T], **fields: Any) -> T:
    """The model from the fields that are known, so that the others keep their defaults and count as not set."""
    return model(**{name: value for name, value in fields.items() if value is not None})


def _text(parent: Mapping[str, Any], name: str) -> str | None:
    value = parent.get(name)
    return storable_text(value) if isinstance(value, str) else None


def _texts(parent: Mapping[str, Any], name: str) -> list[str] | None:
    value = parent.get(name)
    return [storable_text(text) for text in value if isinstance(text, str)] if isinstance(value, list) else None


def _whole(parent: Mapping[str, Any], name: str) -> int | None:
    value = parent.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _flag(parent: Mapping[str, Any], name: str) -> bool | None:
    value = parent.get(name)
    return value if isinstance(value, bool) else None


def _object(parent: Mapping[str, Any], name: str) -> JsonObject | None:
    value = parent.get(name)
    return value if isinstance(value, dict) else None


def _objects(parent: Mapping[str, Any], name: str) -> list[JsonObject]:
    value = parent.get(name)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _instant(parent: Mapping[str, Any], name: str) -> datetime | None:
    """An RFC 3339 instant; None where it is missing, malformed or names no zone."""
    try:
        return to_utc(datetime.fromisoformat(_text(parent, name) or ""))
    except (ValueError, OverflowError):
        return None
