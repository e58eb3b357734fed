"""Maps playlists, those synced with Spotify and those that the pipeline has generated, to EchoTune's documents."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from echostats_pipeline.marts.echotune.database import user_object_id
from echostats_pipeline.marts.ids import object_id
from echostats_pipeline.marts.writing import SharedDocument
from echostats_pipeline.model.playlists import GeneratedPlaylist, SpotifyCopy
from echostats_pipeline.model.users import User

ACTIVITIES = ("workout", "study", "party", "sleep", "work")
"""EchoTune's activities; one of them counts if a text names it."""


@dataclass(frozen=True)
class Generated:
    """The generated playlists of a user.

    Attributes:
        apart: Those with a document of their own, the oldest first.
        at_spotify: Those that are at Spotify and were read from there, by Spotify's id: the synced playlist, with what
            the user has changed in it, is their document.
    """

    apart: Sequence[GeneratedPlaylist] = ()
    at_spotify: Mapping[str, GeneratedPlaylist] = field(default_factory=dict)

    @classmethod
    def of(cls, made: Iterable[GeneratedPlaylist], copies: Iterable[SpotifyCopy], synced: Iterable[str]) -> "Generated":
        """Sort the playlists that a user's generators have made.

        Args:
            made: All of them, the oldest first; attempts that failed or found nothing are left out.
            copies: The playlists that are kept at Spotify.
            synced: Spotify's ids of the playlists that were read from there.
        """
        there = {each.playlist_id: each.spotify_id for each in copies}
        found = [each for each in made if each.status == "completed" and each.tracks]
        known = set(synced) - {""}
        at_spotify = {there[each.id]: each for each in found if there.get(each.id) in known}
        return cls([each for each in found if there.get(each.id) not in known], at_spotify)


def synced_documents(
    playlists: Iterable[Mapping[str, Any]], made: Mapping[str, GeneratedPlaylist], user: User
) -> Iterator[SharedDocument]:
    """Playlists that were read from Spotify as `music_documents.EchoTunePlaylist`.

    `spotifyPlaylistId` is unique, so only the owner's document has it; those of followers have `followedPlaylistId`.

    Args:
        playlists: The core's documents.
        made: The generated playlists among them, by Spotify's id.
        user: The user who owns or follows them.
    """
    owner = user_object_id(user.user_id)
    for playlist in playlists:
        key = "spotifyPlaylistId" if playlist.get("owner_id") == user.spotify_id else "followedPlaylistId"
        rows = playlist.get("tracks") or []
        generated = made.get(playlist["spotify_id"])
        added = [row["added_at"] for row in rows if row.get("added_at") is not None]
        created = min(added, default=None) if generated is None else generated.created_at
        yield SharedDocument(
            _id_of_synced(owner, playlist["spotify_id"]),
            {
                "userId": owner,
                "name": playlist.get("name") or "",
                **({"description": playlist["description"]} if playlist.get("description") else {}),
                "playlist_type": "manual" if generated is None else "generated",
                key: playlist["spotify_id"],
                "tracks": [_row(row, position) for position, row in enumerate(rows)],
                **({} if generated is None else {"generation_parameters": _parameters(generated)}),
                "public": bool(playlist.get("public")),
                "collaborative": bool(playlist.get("collaborative")),
                "trackCount": len(rows),
                **({} if created is None else {"createdAt": created}),
            },
        )


def generated_documents(made: Iterable[GeneratedPlaylist], user: User) -> Iterator[SharedDocument]:
    """Generated playlists that are not at Spotify as `music_documents.EchoTunePlaylist`."""
    owner = user_object_id(user.user_id)
    for each in made:
        yield SharedDocument(
            _id_of_generated(owner, each),
            {
                "userId": owner,
                "name": each.name,
                "playlist_type": "generated",
                "tracks": [
                    {
                        "trackId": song.spotify_id,
                        "name": song.name,
                        "artist": song.artist_name,
                        "addedAt": each.created_at,
                        "position": position,
                    }
                    for position, song in enumerate(each.tracks)
                ],
                "generation_parameters": _parameters(each),
                "public": False,
                "collaborative": False,
                "trackCount": len(each.tracks),
                "createdAt": each.created_at,
            },
        )


def ids_of(generated: Generated, owner: ObjectId) -> Iterator[tuple[ObjectId, GeneratedPlaylist]]:
    """All generated playlists with the ids of their documents."""
    for each in generated.apart:
        yield _id_of_generated(owner, each), each
    for spotify_id, each in generated.at_spotify.items():
        yield _id_of_synced(owner, spotify_id), each


def _id_of_synced(owner: ObjectId, spotify_id: str) -> ObjectId:
    return object_id("echotune_playlists", owner, spotify_id)


def _id_of_generated(owner: ObjectId, made: GeneratedPlaylist) -> ObjectId:
    return object_id("echotune_playlists", owner, "generated", str(made.id))


def _parameters(made: GeneratedPlaylist) -> dict[str, Any]:
    """What a playlist was made from as `music_documents.GenerationParameters`."""
    asked = made.understanding
    kind, _, key = made.generator.partition(":")
    moods = [key] if kind == "mood" else asked.moods if asked is not None else []
    words = {word for each in (asked.understood if asked else ()) for word in each.words.split()}
    activity = next((each for each in ACTIVITIES if each in words), None)
    features: dict[str, Any] = {}
    if asked is not None:
        sound = {"energy": asked.energy, "brightness": asked.brightness, "tempo": asked.tempo}
        features = {**(sound if asked.asks_sound else {}), **asked.features}
    return {
        **({"mood": moods[0]} if moods else {}),
        **({"activity": activity} if activity else {}),
        "genres": list(asked.genres) if asked is not None else [],
        **({"audio_features": features} if features else {}),
        **({"originalPrompt": made.text} if kind == "words" else {}),
    }


def _row(row: Mapping[str, Any], position: int) -> dict[str, Any]:
    item = {
        "trackId": row.get("spotify_id") or "",
        "name": row.get("name") or "",
        "artist": row.get("artist_name") or "",
    }
    added = row.get("added_at")
    return {**item, **({} if added is None else {"addedAt": added}), "position": position}
