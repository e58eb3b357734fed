"""Maps plays to the documents of ``spotify_analytics``."""

from collections.abc import Mapping
from typing import Any

from echostats_pipeline.marts.spotify_analytics.documents import FlatPlay
from echostats_pipeline.model.users import User
from echostats_pipeline.transforms.history.identity import MADE_UP

Found = Mapping[str, Any]
FEATURES = {
    "danceability": "Danceability",
    "energy": "Energy",
    "key": "Key",
    "loudness": "Loudness",
    "mode": "Mode",
    "speechiness": "Speechiness",
    "acousticness": "Acousticness",
    "instrumentalness": "Instrumentalness",
    "liveness": "Liveness",
    "valence": "Valence",
    "tempo": "Tempo",
    "time_signature": "Time Signature",
}
"""The CSV's names of audio features, in the order of its columns."""
INDEXED = (
    "ts_x",
    "username",
    "master_metadata_track_name_x",
    "master_metadata_album_artist_name_x",
    "master_metadata_album_album_name_x",
    "Danceability",
    "Energy",
    "Valence",
    "Tempo",
)
"""The CSV's fields that nested documents have, too, because the guide indexes them there."""


def flat_document(play: Found, track: Found | None, user: User) -> dict[str, Any]:
    """A play with the columns of the CSV, as `documents.FlatPlay`.

    Args:
        play: A document of the core's ``listening_history``.
        track: The document of its track; None if there is none. A track that only plays mention adds nothing.
        user: Who listened.
    """
    played, said = play.get("track") or {}, play.get("playback") or {}
    track_id = played.get("spotify_id") or ""
    known = track if track is not None and track.get("enriched_at") is not None else {}
    uri = f"spotify:track:{track_id}" if track_id and not track_id.startswith(tuple(MADE_UP)) else None
    album, artists = known.get("album") or {}, known.get("artists") or []
    length = known.get("duration_ms") or played.get("duration_ms") or None
    features = (track or {}).get("audio_features") or {}
    genres = (track or {}).get("genres") or []
    columns = {
        "spotify_track_uri": uri,
        "ts_x": play.get("import_ts") or play["played_at"],
        "username": user.partition_key,
        "platform": said.get("platform") or None,
        "ms_played_x": play.get("ms_played"),
        "conn_country": said.get("country") or None,
        "master_metadata_track_name_x": played.get("name") or None,
        "master_metadata_album_artist_name_x": played.get("artist_name") or None,
        "master_metadata_album_album_name_x": played.get("album_name") or None,
        **{name: said.get(name) for name in ("reason_start", "reason_end", "shuffle", "skipped", "offline")},
        "track_id": track_id if uri else None,
        "Track URI": uri if known else None,
        "Track Name_releases": known.get("name") or None,
        "Artist URI(s)_releases": _joined(_uri("artist", each.get("spotify_id")) for each in artists),
        "Artist Name(s)_releases": _joined(each.get("name") for each in artists),
        "Album URI_releases": _uri("album", album.get("spotify_id")),
        "Album Name_releases": album.get("name") or None,
        "Album Release Date_releases": album.get("release_date") or None,
        "Album Image URL_releases": album.get("image_url") or None,
        "Track Duration (ms)_releases": length,
        "Track Preview URL_releases": known.get("preview_url") or None,
        "Explicit_releases": known.get("explicit"),
        "Popularity_releases": known.get("popularity"),
        "ISRC_releases": known.get("isrc") or None,
        "Artist Genres": _joined(genres),
        **{column: features.get(name) for name, column in FEATURES.items()},
    }
    owned = {"_id": play["_id"], "user_id": play["user_id"], "played_at": play["played_at"], "source": "pipeline"}
    return owned | {name: value for name, value in columns.items() if value is not None and value != ""}


def nested_document(flat: Found, track: Found | None) -> dict[str, Any]:
    """The same play as the guide's loader nests it, as `documents.AnalyticsPlay`.

    Args:
        flat: As `flat_document` returns it.
        track: The document of its track; None if there is none.
    """
    features = {name: flat[column] for name, column in FEATURES.items() if column in flat}
    nested = {
        "user": {"username": "username", "platform": "platform", "country": "conn_country"},
        "track": {
            "name": "master_metadata_track_name_x",
            "artist": "master_metadata_album_artist_name_x",
            "album": "master_metadata_album_album_name_x",
            "duration_ms": "Track Duration (ms)_releases",
            "popularity": "Popularity_releases",
        },
        "listening": {
            "ms_played": "ms_played_x",
            **{name: name for name in ("skipped", "reason_start", "reason_end", "shuffle", "offline")},
        },
        "metadata": {"explicit": "Explicit_releases", "isrc": "ISRC_releases"},
    }
    parts = {
        part: {name: flat[column] for name, column in columns.items() if column in flat}
        for part, columns in nested.items()
    }
    return {
        **{name: flat[name] for name in ("_id", "user_id", "played_at", "source")},
        **({"spotify_track_uri": flat["spotify_track_uri"]} if "spotify_track_uri" in flat else {}),
        "timestamp": flat["ts_x"],
        "user": parts["user"],
        "track": parts["track"],
        "listening": parts["listening"],
        "audio_features": features,
        "metadata": {"genres": list((track or {}).get("genres") or []), **parts["metadata"]},
        "created_at": flat["_id"].generation_time,
        **{name: flat[name] for name in INDEXED if name in flat},
    }


COLUMNS = tuple(info.alias or name for name, info in FlatPlay.model_fields.items())
"""The fields of flat documents: of the pipeline, then columns of the CSV in its order."""


def _uri(kind: str, spotify_id: str | None) -> str | None:
    return f"spotify:{kind}:{spotify_id}" if spotify_id else None


def _joined(parts: Any) -> str | None:
    return ", ".join(filter(None, parts)) or None
