"""Converts Spotify's objects into documents. Pure: the instant of reading is an argument.

Parsing is lenient, because Spotify adds and removes fields without notice. Unknown fields are ignored. A field that is
missing, null or of another type gets the document's default, and is not in the document's `model_fields_set`. So a
writer can distinguish "Spotify says 0" from "Spotify does not say"; `model.base.known_fields` are the fields that may
be written over an older document. Release dates stay as Spotify sends them: ``1981``, ``1981-12`` or ``1981-12-15``.

Full objects become documents with `enriched_at`; objects inside a track become stubs without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

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
from echostats_pipeline.model.recommendations import AlbumOfArtist, AlbumTrack
from echostats_pipeline.spotify.fields import build, flag, instant, json_object, json_objects, text, texts, whole
from echostats_pipeline.spotify.responses import JsonObject
from echostats_pipeline.transforms.history.identity import stable_id


@dataclass(frozen=True)
class RecentlyPlayedCounts:
    """Outcomes of the rows of one recently-played response; `rows` is the sum of the other four.

    Attributes:
        tracks: Plays of tracks, which are returned.
        without_track: Rows whose track is null (content that Spotify has withdrawn).
        not_music: Episodes and other content.
        unreadable: Rows whose ``played_at`` is not an instant.
    """

    rows: int
    tracks: int
    without_track: int
    not_music: int
    unreadable: int


def content(row: JsonObject) -> JsonObject | None:
    """The track or episode of a row of a list: ``item`` since February 2026, ``track`` before; rows may have both.

    None for content that Spotify has withdrawn.
    """
    return json_object(row, "item") or json_object(row, "track")


def user_profile(profile: JsonObject) -> dict[str, str]:
    """Fields of `users` from ``GET /me``; fields that the app may not see are absent, not empty.

    `spotify_id` is Spotify's ``id``, the key that EchoStats uses, not the newer ``account_id``.
    """
    fields = {
        "spotify_id": text(profile, "id"),
        "display_name": text(profile, "display_name") or "",
        "image_url": _image_url(profile),
        "country": text(profile, "country"),
        "product": text(profile, "product"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def recently_played_items(page: JsonObject) -> tuple[list[RecentlyPlayedItem], RecentlyPlayedCounts]:
    """Plays of tracks in Spotify's order (newest first), and the outcomes of all rows."""
    items: list[RecentlyPlayedItem] = []
    without_track = not_music = unreadable = 0
    rows = page["items"]
    for entry in rows:
        row = entry or {}
        track, played_at = content(row), instant(row, "played_at")
        if track is None:
            without_track += 1
        elif not _is_track(track):
            not_music += 1
        elif played_at is None:
            unreadable += 1
        else:
            context = json_object(row, "context") or {}
            fields = {"context_type": text(context, "type"), "context_uri": text(context, "uri")}
            items.append(build(RecentlyPlayedItem, track=_snapshot(track), played_at=played_at, **fields))
    return items, RecentlyPlayedCounts(len(rows), len(items), without_track, not_music, unreadable)


def withheld_stamps(page: JsonObject) -> list[datetime]:
    """The ends of plays whose content Spotify no longer names (``track: null``), in Spotify's order."""
    nameless = [row for row in page["items"] if row and content(row) is None]
    return [played_at for row in nameless if (played_at := instant(row, "played_at")) is not None]


def track_document(track: JsonObject, read_at: datetime, *, spotify_id: str | None = None) -> Track:
    """A full track.

    Args:
        track: Spotify's object.
        read_at: When it was read.
        spotify_id: The requested id; Spotify may return the same recording under another id.
    """
    return build(
        Track,
        spotify_id=spotify_id or track_id(track),
        name=text(track, "name"),
        artists=_artist_refs(track),
        album=_album_ref(track),
        duration_ms=whole(track, "duration_ms"),
        popularity=whole(track, "popularity"),
        explicit=flag(track, "explicit"),
        preview_url=text(track, "preview_url"),
        external_url=_external_url(track),
        isrc=text(json_object(track, "external_ids") or {}, "isrc"),
        enriched_at=read_at,
        fetched_at=read_at,
        updated_at=read_at,
    )


def artist_document(artist: JsonObject, read_at: datetime, *, spotify_id: str | None = None) -> Artist:
    """A full artist; arguments as in `track_document`."""
    return build(
        Artist,
        spotify_id=spotify_id or text(artist, "id") or "",
        name=text(artist, "name"),
        genres=texts(artist, "genres"),
        genres_source="spotify" if texts(artist, "genres") else None,
        popularity=whole(artist, "popularity"),
        followers=whole(json_object(artist, "followers") or {}, "total"),
        images=_images(artist),
        external_url=_external_url(artist),
        enriched_at=read_at,
        fetched_at=read_at,
        updated_at=read_at,
    )


def album_document(album: JsonObject, read_at: datetime, *, spotify_id: str | None = None) -> Album:
    """A full album; arguments as in `track_document`."""
    return _album(album, read_at, spotify_id=spotify_id or text(album, "id") or "", enriched_at=read_at)


def album_stub(track: JsonObject, read_at: datetime) -> Album | None:
    """The simplified album inside a track, without genres and popularity; None if it has no id."""
    album = json_object(track, "album") or {}
    spotify_id = text(album, "id")
    return _album(album, read_at, spotify_id=spotify_id) if spotify_id else None


def artist_stubs(track: JsonObject, read_at: datetime) -> list[Artist]:
    """The simplified artists inside a track, with only id, name and address; artists without an id are left out."""
    return [
        build(
            Artist,
            spotify_id=spotify_id,
            name=text(artist, "name"),
            external_url=_external_url(artist),
            fetched_at=read_at,
            updated_at=read_at,
        )
        for artist in json_objects(track, "artists")
        if (spotify_id := text(artist, "id"))
    ]


def album_of_artist(album: JsonObject) -> AlbumOfArtist:
    """An album in a list of an artist's albums; its tracks are not part of the list."""
    return build(
        AlbumOfArtist,
        spotify_id=text(album, "id") or "",
        name=text(album, "name"),
        release_date=text(album, "release_date"),
        image_url=_image_url(album),
    )


def album_tracks(album: JsonObject) -> list[AlbumTrack]:
    """The tracks within a full album; those without an id are left out."""
    tracks = json_objects(json_object(album, "tracks") or {}, "items")
    return [
        build(
            AlbumTrack,
            spotify_id=spotify_id,
            name=text(track, "name"),
            artist_id=next((text(artist, "id") for artist in json_objects(track, "artists")), None),
            artist_name=_artist_name(track),
            duration_ms=whole(track, "duration_ms"),
        )
        for track in tracks
        if (spotify_id := text(track, "id"))
    ]


def audio_features_document(features: JsonObject) -> AudioFeatures | None:
    """The audio features of one track; None if any is missing, because a zero would distort the averages."""
    try:
        return AudioFeatures.model_validate({name: features.get(name) for name in AudioFeatures.model_fields})
    except ValidationError:
        return None


def playlist_document(
    playlist: JsonObject, items: Sequence[JsonObject] | None, user_id: str, read_at: datetime
) -> Playlist:
    """A playlist with its tracks, or the known fields of it if Spotify does not show its contents.

    Rows without content (removed) and episodes are left out; `total_tracks` is Spotify's own count and includes them.
    ``public: null`` ("not relevant" in Spotify's words) becomes False: a reader may show public playlists to other
    people, and only playlists that Spotify calls public may be shown.

    Args:
        playlist: The simplified or full playlist.
        items: All rows of the playlist; None if they cannot be read: `tracks` then counts as not set.
        user_id: The user in whose list of playlists it is.
        read_at: When it was read.
    """
    owner = json_object(playlist, "owner") or {}
    totals = [whole(json_object(playlist, name) or {}, "total") for name in ("items", "tracks")]
    if items is not None:
        totals.append(len(items))
    return build(
        Playlist,
        spotify_id=text(playlist, "id") or "",
        user_id=user_id,
        name=text(playlist, "name"),
        # Spotify sends null if there is no description.
        description="" if playlist.get("description", "") is None else text(playlist, "description"),
        public=False if playlist.get("public", True) is None else flag(playlist, "public"),
        collaborative=flag(playlist, "collaborative"),
        images=_images(playlist),
        owner_id=text(owner, "id"),
        owner_name=text(owner, "display_name"),
        total_tracks=next((total for total in totals if total is not None), None),
        tracks=None if items is None else playlist_tracks(items),
        snapshot_id=text(playlist, "snapshot_id"),
        external_url=_external_url(playlist),
        fetched_at=read_at,
    )


def playlist_tracks(items: Sequence[JsonObject]) -> list[PlaylistTrack]:
    """The tracks among rows of a playlist, in their order."""
    return [row for item in items if (row := _playlist_track(item)) is not None]


def saved_track_document(row: JsonObject, user_id: str, read_at: datetime) -> SavedTrack | None:
    """A track of the user's library; None if the row has no track or no instant."""
    track, added_at = content(row), instant(row, "added_at")
    if track is None or added_at is None:
        return None
    return build(SavedTrack, user_id=user_id, added_at=added_at, fetched_at=read_at, **_listed(track))


def top_items_document(
    items: Sequence[JsonObject], *, user_id: str, kind: TopItemKind, time_range: TimeRange, read_at: datetime
) -> TopItems:
    """Spotify's ranking, numbered from 1 in the given order."""
    ranked = [
        RankedItem(rank=rank, spotify_id=text(item, "id") or "", name=text(item, "name") or "")
        for rank, item in enumerate(items, start=1)
    ]
    return TopItems(user_id=user_id, kind=kind, time_range=time_range, items=ranked, fetched_at=read_at)


def track_id(track: JsonObject) -> str:
    """Spotify's id, or for a local file (id null) ``local:`` and 22 characters made of its artist and title."""
    return text(track, "id") or stable_id("local", _artist_name(track), text(track, "name") or "")


def _snapshot(track: JsonObject) -> TrackSnapshot:
    image_url = _image_url(json_object(track, "album") or {})
    return build(TrackSnapshot, album_image_url=image_url, **_listed(track))


def _listed(track: JsonObject) -> dict[str, Any]:
    """The fields of a track that every list of tracks repeats for its readers."""
    return {
        "spotify_id": track_id(track),
        "name": text(track, "name"),
        "artist_name": _artist_name(track) or None,
        "album_name": text(json_object(track, "album") or {}, "name"),
        "duration_ms": whole(track, "duration_ms"),
    }


def _playlist_track(row: JsonObject) -> PlaylistTrack | None:
    track = content(row)
    if track is None or not _is_track(track):
        return None
    return build(PlaylistTrack, added_at=instant(row, "added_at"), **_listed(track))


def _album(album: JsonObject, read_at: datetime, **fields: Any) -> Album:
    return build(
        Album,
        name=text(album, "name"),
        album_type=text(album, "album_type"),
        artists=_artist_refs(album),
        images=_images(album),
        release_date=text(album, "release_date"),
        total_tracks=whole(album, "total_tracks"),
        genres=texts(album, "genres"),
        popularity=whole(album, "popularity"),
        external_url=_external_url(album),
        fetched_at=read_at,
        **fields,
    )


def _album_ref(track: JsonObject) -> AlbumRef | None:
    album = json_object(track, "album")
    if album is None:
        return None
    return AlbumRef(
        spotify_id=text(album, "id") or "",
        name=text(album, "name") or "",
        image_url=_image_url(album) or "",
        release_date=text(album, "release_date") or "",
    )


def _artist_refs(parent: JsonObject) -> list[ArtistRef] | None:
    if not isinstance(parent.get("artists"), list):
        return None
    return [
        ArtistRef(spotify_id=text(artist, "id") or "", name=text(artist, "name") or "")
        for artist in json_objects(parent, "artists")
    ]


def _artist_name(track: JsonObject) -> str:
    """The primary artist, who is the first."""
    return next((text(artist, "name") or "" for artist in json_objects(track, "artists")), "")


def _is_track(item: JsonObject) -> bool:
    return (text(item, "type") or "track") == "track"


def _images(parent: JsonObject) -> list[Image] | None:
    if not isinstance(parent.get("images"), list):
        return None
    return [
        build(Image, url=url, height=whole(image, "height"), width=whole(image, "width"))
        for image in json_objects(parent, "images")
        if (url := text(image, "url"))
    ]


def _image_url(parent: JsonObject) -> str | None:
    """The first image, which is the widest; empty if there is none, None if Spotify does not say."""
    images = _images(parent)
    return None if images is None else first_image_url(images)


def _external_url(parent: JsonObject) -> str | None:
    return text(json_object(parent, "external_urls") or {}, "spotify")
