"""Maps the core's users, tracks, libraries and generated playlists to Playlist Generator's documents."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from bson import ObjectId

from echostats_pipeline.marts.echotune.tracks import track_document as echotune_track
from echostats_pipeline.marts.ids import object_id
from echostats_pipeline.marts.playlist_generator.database import track_object_id, user_object_id
from echostats_pipeline.marts.writing import SharedDocument
from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.model.playlists import FASTEST, GeneratedPlaylist, PlaylistEdit, Understanding
from echostats_pipeline.model.recommendations import ModelActivation, ModelEvaluation
from echostats_pipeline.model.users import User
from echostats_pipeline.playlists.feedback import ListeningEvent, Said
from echostats_pipeline.playlists.understanding import PARSER
from echostats_pipeline.playlists.vocabulary import BOUNDS, MOODS, PHRASES
from echostats_pipeline.transforms.sound import brightness

CONFIDENCE = 0.8
"""Confidence of audio features with a derived value."""
ALGORITHMS = {"filter": "mood-range-v1", "ranker": "fit-taste-v1", "flow": "greedy2opt-energyarc-v1"}
SEQUENCER = "1.1"
RELEASED = datetime(2026, 11, 29, tzinfo=UTC)
"""Since when the parser and the sequencer are as they are."""
PARSER_METRICS: Mapping[str, Any] = {
    "sentences": 391,
    "understood": 391,
    "gate": "Every sentence of the test table is understood.",
}
"""Of the first sentences in the table of the tests."""
SEQUENCER_METRICS = {
    "smoother_than_shuffled": {"20": 0.444, "30": 0.469, "50": 0.493},
    "smoother_than_greedy": {"20": 0.022, "30": 0.029, "50": 0.034},
    "gate": "At least 40 % smoother than the same songs shuffled, and never rougher than the best greedy walk.",
}
"""By number of songs, as `python -m benchmarks.playlists` prints them."""
ARTIFACTS = {"item_knn": "item_neighbours"}
"""The collection of the core in which a trained model lies; the others are computed anew from the plays."""


def user_document(user: User, *, has_features: bool) -> SharedDocument:
    """A user as `documents.PGUser`."""
    known = {"country": user.country, "product": user.product}
    return SharedDocument(
        user_object_id(user.user_id),
        {
            "spotifyUserId": user.spotify_id,
            "displayName": user.display_name or user.spotify_id,
            **{name: value for name, value in known.items() if value},
            "images": [{"url": user.image_url}] if user.image_url else [],
            "capabilities": {
                "spotifyAudioFeatures": has_features,
                "spotifyAudioAnalysis": False,
                "previewUrlAvailable": False,
            },
        },
        first={
            "preferences": {
                "defaultMoods": [],
                **{f"{axis}Range": [float(value) for value in BOUNDS[axis]] for axis in BOUNDS},
            },
        },
    )


def track_document(track: Mapping[str, Any], album: Mapping[str, Any] | None) -> SharedDocument:
    """A track as `documents.PGTrack`, from the core's documents of the track and of its album."""
    known = echotune_track(track, album).fields
    features = known.get("audioFeatures") or {}
    of_album = known.get("album")
    vector = feature_vector(features)
    sound = _sound(features)
    return SharedDocument(
        track_object_id(track["spotify_id"]),
        {
            "spotifyTrackId": track["spotify_id"],
            "name": known["name"],
            "artists": known["artists"],
            **({} if of_album is None else {"album": {name: of_album[name] for name in ("id", "name", "images")}}),
            **{name: known[name] for name in ("durationMs", "explicit", "popularity") if name in known},
            **({"audioFeatures": sound} if sound else {}),
            **({"featureVector": vector} if vector else {}),
            **({"fetchedAt": track["fetched_at"]} if track.get("fetched_at") else {}),
            "source": "spotify",
        },
        first={"analysis": {"previewAvailable": False, "status": "pending"}},
    )


def _sound(features: Mapping[str, Any]) -> dict[str, Any]:
    names = ("tempo", "energy", "valence", "acousticness", "instrumentalness", "danceability", "key", "mode")
    found = {name: features[name] for name in names if name in features}
    if "time_signature" in features:
        found["timeSignature"] = features["time_signature"]
    if not found:
        return {}
    if all(name in features for name in ("valence", "energy", "acousticness")):
        derived = brightness(features["valence"], features["energy"], features["acousticness"])
        return {"source": "custom", **found, "brightness": derived, "confidence": CONFIDENCE}
    return {"source": "spotify", **found}


def feature_vector(features: Mapping[str, Any]) -> list[float] | None:
    """The eight features as Playlist Generator orders them; None if one is unknown."""
    if any(features.get(name) is None for name in AVERAGED_FEATURES):
        return None
    *shares, tempo = (float(features[name]) for name in AVERAGED_FEATURES)
    return [*(round(value, 6) for value in shares), round(min(tempo / FASTEST, 1.0), 6)]


def library_documents(
    owner: ObjectId, rows: Iterable[Mapping[str, Any]], departed: Mapping[str, datetime], said: Said
) -> Iterator[SharedDocument]:
    """The tracks of a user as `documents.PGLibraryTrack`.

    Args:
        owner: The user's id in Playlist Generator's database.
        rows: ``track_id``, ``added_at`` (null if not in the library or unknown), ``first_played_at``,
            ``last_played_at``, ``skips``.
        departed: When tracks have left the library.
        said: Tracks that the user has liked or disliked in an application.
    """
    likes = {**dict.fromkeys(said.liked, True), **dict.fromkeys(said.disliked, False)}
    for row in rows:
        saved = row["added_at"] or row["first_played_at"] or departed.get(row["track_id"])
        if saved is None:
            continue
        last, gone = row["last_played_at"], departed.get(row["track_id"])
        yield SharedDocument(
            object_id("playlist_generator_userlibraries", owner, row["track_id"]),
            {
                "userId": owner,
                "trackId": track_object_id(row["track_id"]),
                "savedAt": saved,
                **({} if gone is None else {"removedAt": gone}),
                "skipCount": row["skips"],
                **({} if last is None else {"lastHeardAt": last}),
                **({"like": likes[row["track_id"]]} if row["track_id"] in likes else {}),
            },
            first={} if row["track_id"] in likes else {"like": True},
        )


def query_id_of(made: GeneratedPlaylist) -> ObjectId:
    """The id of the text that asked for a playlist: the application's, or one that the pipeline gives."""
    return made.query_id or object_id("playlist_generator_moodqueries", made.id)


def session_id_of(made: ObjectId | None) -> ObjectId:
    """The id of the session that made a playlist."""
    return object_id("playlist_generator_generationsessions", made)


def playlist_id_of(made: ObjectId | None) -> ObjectId:
    """The id of a generated playlist."""
    return object_id("playlist_generator_playlists", made)


def parsed(asked: Understanding) -> dict[str, Any]:
    """What a text asks for as `documents.PGParsed`."""
    return {
        "tempoRange": list(asked.tempo),
        "energyRange": list(asked.energy),
        "brightnessRange": list(asked.brightness),
        "instrumentalOnly": asked.instrumental is True,
        **({} if asked.minutes is None else {"durationMsMax": round(asked.minutes * 60_000)}),
    }


def query_document(made: GeneratedPlaylist, owner: ObjectId) -> SharedDocument:
    """The text that a playlist was made from as `documents.PGMoodQuery`."""
    asked = made.understanding
    return SharedDocument(
        query_id_of(made),
        {
            "userId": owner,
            "rawText": made.text,
            **({} if asked is None else {"parsed": parsed(asked), "modelVersion": asked.parser}),
            "createdAt": made.created_at,
        },
    )


def made_id_of(query_id: ObjectId) -> ObjectId:
    """The id of the generated playlist that answers a text of an application: each attempt replaces the last."""
    return object_id("playlist_generator_answers", query_id)


def session_document(
    made: GeneratedPlaylist, owner: ObjectId, status: Literal["pending", "processing"] | None = None
) -> SharedDocument:
    """The making of a playlist as `documents.PGSession`; `status` says how far it is before it is made."""
    widened = [f"Widened: {step}" for step in made.widened]
    return SharedDocument(
        session_id_of(made.id),
        {
            "userId": owner,
            "moodQueryId": query_id_of(made),
            "candidates": [
                {"trackId": track_object_id(each.spotify_id), "score": each.score, "reasons": [*each.reasons, *widened]}
                for each in made.candidates
            ],
            "ordering": [track_object_id(each.spotify_id) for each in made.tracks],
            "algorithms": ALGORITHMS,
            "durationMs": made.took_ms,
            "status": status or made.status,
            **({"error": made.error} if made.error else {}),
            "createdAt": made.created_at,
        },
    )


def playlist_document(made: GeneratedPlaylist, owner: ObjectId, snapshot_id: str) -> SharedDocument:
    """A generated playlist as `documents.PGPlaylist`; `snapshot_id` is empty unless it was written last."""
    return SharedDocument(
        playlist_id_of(made.id),
        {
            "userId": owner,
            **({"spotifyPlaylistId": made.spotify_id} if made.spotify_id else {}),
            "name": made.name,
            "description": made.text,
            "tracks": [
                {"trackId": track_object_id(each.spotify_id), "position": each.position - 1} for each in made.tracks
            ],
            **({"snapshotId": snapshot_id} if snapshot_id else {}),
            "sourceSessionId": session_id_of(made.id),
            "createdAt": made.created_at,
            "updatedAt": max(made.written_at or made.created_at, made.created_at),
        },
    )


def feedback_documents(
    owner: ObjectId, events: Iterable[ListeningEvent], edits: Iterable[PlaylistEdit]
) -> Iterator[SharedDocument]:
    """Plays, skips and edits as `documents.PGFeedback`."""
    for event in events:
        key = (event.track_id, event.playlist_id, event.event, event.at.isoformat(), event.position)
        context = {"derived": True, **({"inferred": True} if event.is_inferred else {})}
        yield SharedDocument(
            object_id("playlist_generator_feedbackevents", owner, *key),
            {
                "userId": owner,
                "trackId": track_object_id(event.track_id),
                "playlistId": playlist_id_of(event.playlist_id),
                "event": event.event,
                "position": event.position - 1,
                **({} if event.elapsed_ms is None else {"elapsedMs": event.elapsed_ms}),
                "contextJson": json.dumps(context),
                "createdAt": event.at,
            },
        )
    for edit in edits:
        yield SharedDocument(
            object_id("playlist_generator_feedbackevents", owner, edit.spotify_id, edit.playlist_id, edit.event),
            {
                "userId": owner,
                "trackId": track_object_id(edit.spotify_id),
                "playlistId": playlist_id_of(edit.playlist_id),
                "event": edit.event,
                **({} if edit.position is None else {"position": edit.position - 1}),
                "contextJson": json.dumps({"derived": True}),
                "createdAt": edit.seen_at,
            },
        )


def mood_documents() -> list[dict[str, Any]]:
    """The six moods as `documents.PGMood`, without their ids."""
    return [
        {
            "key": key,
            "label": mood.label,
            "defaults": {f"{axis}Range": [float(value) for value in span] for axis, span in mood.ranges.items()},
            "icon": mood.icon,
            "order": mood.order,
        }
        for key, mood in MOODS.items()
    ]


def model_documents(
    activations: Sequence[ModelActivation], evaluations: Sequence[ModelEvaluation]
) -> Iterator[SharedDocument]:
    """Everything that makes playlists and lists as `documents.PGModel`.

    Of the models, these are all that were ever in force, and all that the last evaluation of each kind of list has
    judged. Those that did not pass their gate have no `activatedAt`.
    """
    yield _model("mood_parser", PARSER, {"phrases": len(PHRASES), **PARSER_METRICS}, {"activatedAt": RELEASED})
    flow = {"algorithm": ALGORITHMS["flow"], **SEQUENCER_METRICS}
    yield _model("sequencer", SEQUENCER, flow, {"activatedAt": RELEASED})
    by_time = {(each.task, each.evaluated_at): each for each in evaluations}
    for each in activations:
        found = by_time.get((each.task, each.evaluated_at)) if each.evaluated_at is not None else None
        metrics: dict[str, Any] = {"task": each.task, "gate": each.why, "by": each.by}
        if found is not None:
            metrics["evaluation"] = found.model_dump(mode="json", exclude={"id"})
        version = f"{each.version}-{each.task}-{_digest(each.task, each.activated_at.isoformat())}"
        yield _model(_registered(each.name), version, metrics, {"activatedAt": each.activated_at})
    in_force = {(each.task, each.name, each.evaluated_at) for each in activations}
    for last in {each.task: each for each in sorted(evaluations, key=lambda each: each.evaluated_at)}.values():
        for result in last.results:
            if result.is_baseline or (last.task, result.name, last.evaluated_at) in in_force:
                continue
            metrics = {"task": last.task, "gate": last.why, "passed": last.passed and result.name == last.model}
            metrics |= {"evaluation": last.model_dump(mode="json", exclude={"id"})}
            version = f"{last.task}-{_digest(last.task, last.evaluated_at.isoformat())}"
            yield _model(_registered(result.name), version, metrics)


def _registered(name: str) -> str:
    """The name in Playlist Generator's registry of a model."""
    return {"basket_knn": "item_knn"}.get(name, name)


def _model(
    name: str,
    version: str,
    metrics: Mapping[str, Any],
    fields: Mapping[str, Any] | None = None,
) -> SharedDocument:
    return SharedDocument(
        object_id("playlist_generator_modelregistries", name, version),
        {
            "name": name,
            "version": version,
            **({"artifact": ARTIFACTS[name]} if name in ARTIFACTS else {}),
            "metricsJson": json.dumps(metrics, sort_keys=True),
            **(fields or {}),
        },
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:8]
