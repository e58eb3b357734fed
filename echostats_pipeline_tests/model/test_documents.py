"""Every field of the EchoStats schema, with its type and default, is a field of our documents."""

import re
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from echostats_pipeline.model.catalog import Album, Artist, Image
from echostats_pipeline.model.collections import COLLECTIONS, ECHOSTATS_COLLECTIONS

SEED = Path(__file__).parents[2] / ".." / "shared" / "seeds" / "echostats-mongodb-schema.md"

NAMES = {
    "spotify_id": ("string", None),
    "name": ("string", None),
}
SCHEMA: dict[str, dict[str, tuple[str, str | None]]] = {
    "users": {
        "spotify_id": ("string", "required"),
        "display_name": ("string", '""'),
        "image_url": ("string", '""'),
        "country": ("string", '""'),
        "product": ("string", '""'),
        "created_at": ("datetime", "utcnow()"),
        "last_synced_at": ("datetime | null", "null"),
    },
    "spotify_tokens": {
        "user_id": ("string", "required"),
        "refresh_token_encrypted": ("string", "required"),
        "expires_at": ("datetime", "required"),
        "scope": ("string", '""'),
    },
    "listening_history": {
        "user_id": ("string", "required"),
        "track": ("embedded object", "required"),
        "played_at": ("datetime", "required"),
        "ms_played": ("int | null", "null"),
        "source": ("string", '"api"'),
        "context_type": ("string", '""'),
        "context_uri": ("string", '""'),
    },
    "listening_history.track": {
        **NAMES,
        "artist_name": ("string", None),
        "album_name": ("string", None),
        "album_image_url": ("string", None),
        "duration_ms": ("int", None),
    },
    "tracks": {
        "spotify_id": ("string", "required"),
        "name": ("string", "required"),
        "artists": ("array of embedded obj", "[]"),
        "album": ("embedded obj | null", "null"),
        "duration_ms": ("int", "0"),
        "popularity": ("int", "0"),
        "explicit": ("bool", "false"),
        "preview_url": ("string | null", "null"),
        "external_url": ("string", '""'),
        "audio_features": ("embedded obj | null", "null"),
        "genres": ("array of string", "[]"),
        "fetched_at": ("datetime", "utcnow()"),
        "updated_at": ("datetime", "utcnow()"),
    },
    "tracks.artists": NAMES,
    "tracks.album": {**NAMES, "image_url": ("string", None), "release_date": ("string", None)},
    "tracks.audio_features": {
        "danceability": ("float", None),
        "energy": ("float", None),
        "key": ("int", None),
        "loudness": ("float", None),
        "mode": ("int", None),
        "speechiness": ("float", None),
        "acousticness": ("float", None),
        "instrumentalness": ("float", None),
        "liveness": ("float", None),
        "valence": ("float", None),
        "tempo": ("float", None),
        "duration_ms": ("int", None),
        "time_signature": ("int", None),
    },
    "artists": {
        "spotify_id": ("string", "required"),
        "name": ("string", "required"),
        "genres": ("array of string", "[]"),
        "popularity": ("int", "0"),
        "followers": ("int", "0"),
        "images": ("array of embedded obj", "[]"),
        "external_url": ("string", '""'),
        "fetched_at": ("datetime", "utcnow()"),
        "updated_at": ("datetime", "utcnow()"),
    },
    "artists.images": {"url": ("string", None), "height": ("int | null", None), "width": ("int | null", None)},
    "albums": {
        "spotify_id": ("string", "required"),
        "name": ("string", "required"),
        "album_type": ("string", '""'),
        "artists": ("array of embedded obj", "[]"),
        "images": ("array of embedded obj", "[]"),
        "release_date": ("string", '""'),
        "total_tracks": ("int", "0"),
        "genres": ("array of string", "[]"),
        "popularity": ("int", "0"),
        "external_url": ("string", '""'),
        "fetched_at": ("datetime", "utcnow()"),
    },
    "albums.artists": NAMES,
    "albums.images": {"url": ("string", None), "height": ("int | null", None), "width": ("int | null", None)},
    "playlists": {
        "spotify_id": ("string", "required"),
        "user_id": ("string", "required"),
        "name": ("string", "required"),
        "description": ("string", '""'),
        "public": ("bool", "true"),
        "collaborative": ("bool", "false"),
        "images": ("array of embedded obj", "[]"),
        "owner_id": ("string", '""'),
        "owner_name": ("string", '""'),
        "total_tracks": ("int", "0"),
        "tracks": ("array of embedded obj", "[]"),
        "snapshot_id": ("string", '""'),
        "external_url": ("string", '""'),
        "fetched_at": ("datetime", "utcnow()"),
    },
    "playlists.tracks": {
        **NAMES,
        "artist_name": ("string", None),
        "album_name": ("string", None),
        "added_at": ("datetime | null", None),
        "duration_ms": ("int", None),
    },
    "daily_rollups": {
        "user_id": ("string", "required"),
        "date": ("string", "required"),
        "day_of_week": ("int", "0"),
        "total_plays": ("int", "0"),
        "total_ms": ("int", "0"),
        "hourly": ("array of embedded obj", "[]"),
        "artist_plays": ("dict (str → int)", "{}"),
        "album_plays": ("dict (str → int)", "{}"),
        "track_plays": ("array of embedded obj", "[]"),
    },
    "daily_rollups.hourly": {"hour": ("int", None), "count": ("int", None), "ms": ("int", None)},
    "daily_rollups.track_plays": {**NAMES, "artist_name": ("string", None), "count": ("int", None)},
    "analytics_snapshots": {
        "user_id": ("string", "required"),
        "period": ("string", "required"),
        "period_start": ("datetime | null", "null"),
        "period_end": ("datetime | null", "null"),
        "total_tracks_played": ("int", "0"),
        "total_ms_played": ("int", "0"),
        "unique_tracks": ("int", "0"),
        "unique_artists": ("int", "0"),
        "unique_albums": ("int", "0"),
        "unique_genres": ("int", "0"),
        "listening_streak_days": ("int", "0"),
        "top_artists": ("array of embedded obj", "[]"),
        "top_tracks": ("array of embedded obj", "[]"),
        "top_genres": ("array of embedded obj", "[]"),
        "top_albums": ("array of embedded obj", "[]"),
        "hourly_distribution": ("array of embedded obj", "[]"),
        "daily_distribution": ("array of embedded obj", "[]"),
        "avg_audio_features": ("embedded obj | null", "null"),
        "computed_at": ("datetime", "utcnow()"),
    },
    "analytics_snapshots.top_artists": {
        **NAMES,
        "play_count": ("int", None),
        "total_ms": ("int", None),
        "image_url": ("string", None),
        "rank": ("int", None),
    },
    "analytics_snapshots.hourly_distribution": {
        "hour": ("int", None),
        "count": ("int", None),
        "total_ms": ("int", None),
    },
    "analytics_snapshots.daily_distribution": {"day": ("int", None), "count": ("int", None), "total_ms": ("int", None)},
    "analytics_snapshots.avg_audio_features": dict.fromkeys(
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
        ("float", None),
    ),
    "sync_jobs": {
        "user_id": ("string", "required"),
        "job_type": ("string", '"periodic"'),
        "status": ("string", '"pending"'),
        "started_at": ("datetime | null", "null"),
        "completed_at": ("datetime | null", "null"),
        "items_processed": ("int", "0"),
        "items_total": ("int", "0"),
        "error_message": ("string", '""'),
        "steps": ("array of embedded obj", "[]"),
        "created_at": ("datetime", "utcnow()"),
    },
    "sync_jobs.steps": {
        "action": ("string", None),
        "status": ("string", None),
        "detail": ("string", None),
        "items": ("int", None),
        "started_at": ("datetime", None),
        "completed_at": ("datetime | null", None),
        "error": ("string", None),
    },
    "api_logs": {
        "user_id": ("string", '""'),
        "service": ("string", '"spotify"'),
        "method": ("string", '""'),
        "endpoint": ("string", '""'),
        "status_code": ("int", "0"),
        "latency_ms": ("float", "0.0"),
        "error": ("string", '""'),
        "request_id": ("string", '""'),
        "timestamp": ("datetime", "utcnow()"),
    },
}
"""Type and default (None: the schema has none) of every field, by collection and embedded object."""

NULL_TOO = {("tracks.audio_features", "duration_ms"), ("tracks.audio_features", "time_signature")}
"""Fields that our models allow to be missing, unlike the schema: values that no source reports are not stored."""

DEFAULTS = {'""': "", "null": None, "[]": [], "{}": {}, "true": True, "false": False, "0": 0, "0.0": 0.0}
SCALARS = {str: "string", int: "int", float: "float", bool: "bool", datetime: "datetime"}
OTHER_TOP_LISTS = ("top_tracks", "top_genres", "top_albums")


def seed_type(annotation: Any) -> str:
    """A Python annotation in the terms of the schema."""
    arguments = get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        (inner,) = (argument for argument in arguments if argument is not NoneType)
        return f"{seed_type(inner)} | null"
    if get_origin(annotation) is Annotated:
        return seed_type(arguments[0])
    if get_origin(annotation) is Literal:
        return "string"
    if get_origin(annotation) is list:
        return f"array of {seed_type(arguments[0])}"
    if get_origin(annotation) is dict:
        assert arguments == (str, int)
        return "dict (str → int)"
    return SCALARS.get(annotation) or "embedded obj"


def embedded(annotation: Any) -> type[BaseModel]:
    """The single model within an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    (model,) = (embedded(argument) for argument in get_args(annotation) if argument is not NoneType)
    return model


def model_of(path: str) -> type[BaseModel]:
    collection, *field = path.split(".")
    document = COLLECTIONS[collection].document
    return embedded(document.model_fields[field[0]].annotation) if field else document


@pytest.mark.parametrize("path", SCHEMA)
def test_every_field_of_the_schema_has_its_type(path: str) -> None:
    fields = model_of(path).model_fields
    expected = {name: kind.replace("embedded object", "embedded obj") for name, (kind, _) in SCHEMA[path].items()}
    expected |= {name: f"{kind} | null" for name, kind in expected.items() if (path, name) in NULL_TOO}
    assert {name: seed_type(fields[name].annotation) for name in expected} == expected
    assert {fields[name].alias for name in expected} == {None}


@pytest.mark.parametrize("path", SCHEMA)
def test_every_field_of_the_schema_has_its_default(path: str) -> None:
    fields = model_of(path).model_fields
    for name, (_, default) in SCHEMA[path].items():
        assert_default(fields[name], default, f"{path}.{name}")


def assert_default(field: FieldInfo, default: str | None, where: str) -> None:
    if default is None:
        return
    assert field.is_required() is (default == "required"), where
    found = field.get_default(call_default_factory=True, validated_data={})
    if default == "utcnow()":
        assert abs((datetime.now(UTC) - found).total_seconds()) < 60, where
    elif default != "required":
        wanted = DEFAULTS[default] if default in DEFAULTS else default.strip('"')
        assert (found, type(found)) == (wanted, type(wanted)), where


@pytest.mark.parametrize("name", OTHER_TOP_LISTS)
def test_all_top_lists_hold_the_same_items(name: str) -> None:
    """Albums have a field more."""
    assert issubclass(model_of(f"analytics_snapshots.{name}"), model_of("analytics_snapshots.top_artists"))


def test_what_goes_beyond_the_schema_may_be_missing() -> None:
    """A document that EchoStats wrote is valid here, except that our users also have a partition key."""
    for collection in ECHOSTATS_COLLECTIONS:
        extra = collection.document.model_fields.keys() - SCHEMA[collection.name].keys() - {"id"}
        required = {name for name in extra if collection.document.model_fields[name].is_required()}
        assert required == ({"partition_key"} if collection.name == "users" else set()), collection.name


@pytest.mark.parametrize("document", [Artist, Album])
def test_the_picture_of_an_artist_or_album_is_its_first(document: type[Artist | Album]) -> None:
    assert document(spotify_id="x", name="X").image_url == ""
    images = [Image(url="wide", width=640), Image(url="narrow")]
    assert document(spotify_id="x", name="X", images=images).image_url == "wide"


@pytest.mark.skipif(not SEED.exists(), reason="the seed documents are not beside this checkout")
def test_our_table_is_that_of_the_seed() -> None:
    assert seed_tables() == SCHEMA


def seed_tables() -> dict[str, dict[str, tuple[str, str | None]]]:
    """The tables of fields in the seed document, in the form of `SCHEMA`."""
    tables: dict[str, dict[str, tuple[str, str | None]]] = {}
    collections = iter(collection.name for collection in ECHOSTATS_COLLECTIONS)
    collection = embedded_name = ""
    rows: dict[str, tuple[str, str | None]] | None = None
    has_default = False
    for line in SEED.read_text().splitlines():
        if match := re.match(r"Embedded (\w+)(?:\[\])? object", line):
            embedded_name = "top_artists" if match[1] == "TopItem" else match[1]
        elif match := re.match(r"\| Field \| Type (\| Default )?", line):
            has_default = match[1] is not None
            if has_default:
                collection = path = next(collections)
            else:
                path = f"{collection}.{embedded_name}"
            rows = tables.setdefault(path, {})
        elif rows is not None and line.startswith("|---"):
            continue
        elif rows is not None and (match := re.match(r"(_?\w+) \| (.+) \|$", line)):
            name, rest = match[1], match[2]
            if name != "_id":
                rows[name] = cells(rest, has_default=has_default)
        else:
            rows = None
    return tables


def cells(rest: str, *, has_default: bool) -> tuple[str, str | None]:
    """Type and default of a line; the types contain vertical bars (``int | null``)."""
    nullable = re.match(r"([^|]+?) \| null \| ", rest)
    kind = f"{nullable[1]} | null" if nullable else rest.partition(" | ")[0]
    default = rest[len(kind) + 3 :].partition(" | ")[0] if has_default else None
    return kind, default
