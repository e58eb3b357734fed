"""After a small run of everything, every field of the EchoStats schema is there, in all 11 collections."""

import typing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import Int64, ObjectId

from echostats_pipeline.model.base import Document, Embedded
from echostats_pipeline.model.collections import COLLECTIONS, ECHOSTATS_COLLECTIONS
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.simulator.exports import write_extended_export
from echostats_pipeline_tests.conftest import NOW, Pipeline

INT, TEXT, FLOAT, DATE, BOOL, NULL = (int, Int64), (str,), (float,), (datetime,), (bool,), (type(None),)
IMAGE = {"url": TEXT, "height": INT + NULL, "width": INT + NULL}
ARTIST = {"spotify_id": TEXT, "name": TEXT}
TOP = {"spotify_id": TEXT, "name": TEXT, "play_count": INT, "total_ms": INT, "image_url": TEXT, "rank": INT}

# The fields that /seeds/echostats-mongodb-schema.md lists, with types: [shape] for arrays, {shape} for sub-documents,
# (shape, None) where it may be null, dict for a dictionary of counts.
SEED: dict[str, dict[str, Any]] = {
    "users": {
        "_id": (ObjectId,),
        "spotify_id": TEXT,
        "display_name": TEXT,
        "image_url": TEXT,
        "country": TEXT,
        "product": TEXT,
        "created_at": DATE,
        "last_synced_at": DATE + NULL,
    },
    "spotify_tokens": {
        "_id": (ObjectId,),
        "user_id": TEXT,
        "refresh_token_encrypted": TEXT,
        "expires_at": DATE,
        "scope": TEXT,
    },
    "listening_history": {
        "_id": (ObjectId,),
        "user_id": TEXT,
        "track": {
            "spotify_id": TEXT,
            "name": TEXT,
            "artist_name": TEXT,
            "album_name": TEXT,
            "album_image_url": TEXT,
            "duration_ms": INT,
        },
        "played_at": DATE,
        "ms_played": INT + NULL,
        "source": TEXT,
        "context_type": TEXT,
        "context_uri": TEXT,
    },
    "tracks": {
        "_id": (ObjectId,),
        "spotify_id": TEXT,
        "name": TEXT,
        "artists": [ARTIST],
        "album": ({"spotify_id": TEXT, "name": TEXT, "image_url": TEXT, "release_date": TEXT}, None),
        "duration_ms": INT,
        "popularity": INT,
        "explicit": BOOL,
        "preview_url": TEXT + NULL,
        "external_url": TEXT,
        "audio_features": (
            {
                "danceability": FLOAT,
                "energy": FLOAT,
                "key": INT,
                "loudness": FLOAT,
                "mode": INT,
                "speechiness": FLOAT,
                "acousticness": FLOAT,
                "instrumentalness": FLOAT,
                "liveness": FLOAT,
                "valence": FLOAT,
                "tempo": FLOAT,
                "duration_ms": INT,
                "time_signature": INT,
            },
            None,
        ),
        "genres": [TEXT],
        "fetched_at": DATE,
        "updated_at": DATE,
    },
    "artists": {
        "_id": (ObjectId,),
        "spotify_id": TEXT,
        "name": TEXT,
        "genres": [TEXT],
        "popularity": INT,
        "followers": INT,
        "images": [IMAGE],
        "external_url": TEXT,
        "fetched_at": DATE,
        "updated_at": DATE,
    },
    "albums": {
        "_id": (ObjectId,),
        "spotify_id": TEXT,
        "name": TEXT,
        "album_type": TEXT,
        "artists": [ARTIST],
        "images": [IMAGE],
        "release_date": TEXT,
        "total_tracks": INT,
        "genres": [TEXT],
        "popularity": INT,
        "external_url": TEXT,
        "fetched_at": DATE,
    },
    "playlists": {
        "_id": (ObjectId,),
        "spotify_id": TEXT,
        "user_id": TEXT,
        "name": TEXT,
        "description": TEXT,
        "public": BOOL,
        "collaborative": BOOL,
        "images": [IMAGE],
        "owner_id": TEXT,
        "owner_name": TEXT,
        "total_tracks": INT,
        "tracks": [
            {
                "spotify_id": TEXT,
                "name": TEXT,
                "artist_name": TEXT,
                "album_name": TEXT,
                "added_at": DATE + NULL,
                "duration_ms": INT,
            }
        ],
        "snapshot_id": TEXT,
        "external_url": TEXT,
        "fetched_at": DATE,
    },
    "daily_rollups": {
        "_id": (ObjectId,),
        "user_id": TEXT,
        "date": TEXT,
        "day_of_week": INT,
        "total_plays": INT,
        "total_ms": INT,
        "hourly": [{"hour": INT, "count": INT, "ms": INT}],
        "artist_plays": dict,
        "album_plays": dict,
        "track_plays": [{"spotify_id": TEXT, "name": TEXT, "artist_name": TEXT, "count": INT}],
    },
    "analytics_snapshots": {
        "_id": (ObjectId,),
        "user_id": TEXT,
        "period": TEXT,
        "period_start": DATE + NULL,
        "period_end": DATE + NULL,
        "total_tracks_played": INT,
        "total_ms_played": INT,
        "unique_tracks": INT,
        "unique_artists": INT,
        "unique_albums": INT,
        "unique_genres": INT,
        "listening_streak_days": INT,
        "top_artists": [TOP],
        "top_tracks": [TOP],
        "top_genres": [TOP],
        "top_albums": [TOP],
        "hourly_distribution": [{"hour": INT, "count": INT, "total_ms": INT}],
        "daily_distribution": [{"day": INT, "count": INT, "total_ms": INT}],
        "avg_audio_features": (
            dict.fromkeys(
                (
                    "danceability",
                    "energy",
                    "valence",
                    "acousticness",
                    "instrumentalness",
                    "liveness",
                    "speechiness",
                    "tempo",
                ),
                FLOAT,
            ),
            None,
        ),
        "computed_at": DATE,
    },
    "sync_jobs": {
        "_id": (ObjectId,),
        "user_id": TEXT,
        "job_type": TEXT,
        "status": TEXT,
        "started_at": DATE + NULL,
        "completed_at": DATE + NULL,
        "items_processed": INT,
        "items_total": INT,
        "error_message": TEXT,
        "steps": [
            {
                "action": TEXT,
                "status": TEXT,
                "detail": TEXT,
                "items": INT,
                "started_at": DATE,
                "completed_at": DATE + NULL,
                "error": TEXT,
            }
        ],
        "created_at": DATE,
    },
    "api_logs": {
        "_id": (ObjectId,),
        "user_id": TEXT,
        "service": TEXT,
        "method": TEXT,
        "endpoint": TEXT,
        "status_code": INT,
        "latency_ms": FLOAT,
        "error": TEXT,
        "request_id": TEXT,
        "timestamp": DATE,
    },
}


def violations(value: Any, shape: Any, place: str, seen: set[str]) -> list[str]:
    """List where a value does not have its shape; collect the places with a value, those with null apart."""
    match shape:
        case (inner, None):
            found = [] if value is None else violations(value, inner, place, seen)
        case dict() if isinstance(value, dict):
            missing = {f"{place}.{name}" for name in shape if name not in value}
            found = [f"{each} is missing" for each in sorted(missing - MAY_BE_MISSING)]
            for name in shape.keys() & value.keys():
                found += violations(value[name], shape[name], f"{place}.{name}", seen)
        case [inner] if isinstance(shape, list) and isinstance(value, list):
            found = [each for item in value for each in violations(item, inner, f"{place}[]", seen)]
        case type() if isinstance(value, dict):  # a dictionary of counts
            seen |= {place} if value else set()
            found = [f"{place} is {value!r}" for count in value.values() if type(count) not in INT]
        case tuple():
            seen |= set() if value is None else {place}
            found = [] if type(value) in shape else [f"{place} is {value!r}"]
        case _:
            found = [f"{place} is {value!r}"]
    return found


def leaves(shape: Any, place: str) -> set[str]:
    if isinstance(shape, tuple) and len(shape) == 2 and shape[1] is None:
        return leaves(shape[0], place)
    if isinstance(shape, dict):
        return {leaf for name, part in shape.items() for leaf in leaves(part, f"{place}.{name}")}
    return leaves(shape[0], f"{place}[]") if isinstance(shape, list) else {place}


MAY_BE_MISSING = {"tracks.audio_features.duration_ms", "tracks.audio_features.time_signature"}
"""ReccoBeats has neither field; EchoStats then uses its own defaults. It does not accept null."""
NEVER_SAID = {
    "tracks.preview_url",  # Spotify has returned none since 2024
    "albums.genres[]",  # and has always left this empty
}


@pytest.fixture
def filled(pipeline: Pipeline, tmp_path: Path) -> Pipeline:
    """Do every work of the pipeline once: a sync, an import of 60 days, the library, the catalogue, the statistics."""
    user = pipeline.connect()
    end = NOW - timedelta(hours=12)
    person = pipeline.installation.person(user)
    export = tmp_path / "my_spotify_data.zip"
    write_extended_export(pipeline.installation.simulator.world, person, end - timedelta(days=60), end, export)
    key = user.partition_key
    config = {"ops": {"streaming_history_import": {"config": {"paths": [str(export)]}}}}
    runs = [
        pipeline.run("user_sync", tags=range_tags(NOW.date(), NOW.date(), key)),
        pipeline.run("history_import", partition_key=key, run_config=config),
        pipeline.run("library_sync", partition_key=key),
        pipeline.run("catalog_enrichment"),
        pipeline.run("rollup_build", tags=range_tags(NOW.date() - timedelta(days=62), NOW.date(), key)),
        pipeline.run("snapshot_build", partition_key=key),
    ]
    assert all(run.success for run in runs)
    return pipeline


def test_every_field_of_the_schema_is_there_and_of_its_type(filled: Pipeline) -> None:
    assert set(SEED) == {collection.name for collection in ECHOSTATS_COLLECTIONS}
    for name, shape in SEED.items():
        seen: set[str] = set()
        stored = list(filled.store.db[name].find())
        assert stored, name
        wrong = [each for document in stored for each in violations(document, shape, name, seen)]
        assert wrong == [], wrong[:5]
        assert leaves(shape, name) - seen <= NEVER_SAID, "always empty"


def test_every_document_is_what_its_model_says(filled: Pipeline) -> None:
    looked_at = set()
    for name in COLLECTIONS.keys() - {"change_marks"}:
        for document in filled.store.db[name].find().limit(200):
            COLLECTIONS[name].document.model_validate(document)
            looked_at.add(name)
    assert looked_at >= set(SEED)


def test_the_models_have_every_field_of_the_schema() -> None:
    def compare(model: type[Document | Embedded], shape: dict[str, Any], place: str) -> None:
        for name, part in shape.items():
            if name == "_id":
                continue
            assert name in model.model_fields, f"{place}.{name}"
            inner = part[0] if isinstance(part, list) or (isinstance(part, tuple) and part[-1] is None) else part
            if isinstance(inner, dict):
                compare(embedded(model.model_fields[name].annotation), inner, f"{place}.{name}")

    for collection in ECHOSTATS_COLLECTIONS:
        compare(collection.document, SEED[collection.name], collection.name)


def embedded(annotation: Any) -> type[Embedded]:
    """The sub-document inside ``X``, ``X | None`` or ``list[X]``."""
    if isinstance(annotation, type) and issubclass(annotation, Embedded):
        return annotation
    return next(embedded(part) for part in typing.get_args(annotation) if part is not type(None))
