import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from echostats_pipeline.model.base import Document, to_utc, utc_now
from echostats_pipeline.model.collections import (
    COLLECTIONS,
    ECHOSTATS_COLLECTIONS,
    EXTRA_COLLECTIONS,
    Index,
    by,
)
from echostats_pipeline.model.plays import ListeningGap, Play, TrackSnapshot
from echostats_pipeline.model.users import PARTITION_KEY_PATTERN, RemovedUser, SpotifyTokens, User, partition_key
from echostats_pipeline.spotify.quota import Budget

SEED = Path(__file__).parents[2] / ".." / "shared" / "seeds" / "echostats-mongodb-schema.md"
THIRTY_DAYS_S = 30 * 24 * 60 * 60
QUOTA_WINDOW_S = 24 * 60 * 60

SEED_INDEXES: dict[str, dict[str, bool]] = {
    "users": {"spotify_id_1": True},
    "spotify_tokens": {"user_id_1": True},
    "listening_history": {
        "user_id_1": False,
        "played_at_1": False,
        "track.spotify_id_1": False,
        "user_id_1_played_at_-1": False,
        "user_id_1_track.spotify_id_1_played_at_1": True,
    },
    "tracks": {"spotify_id_1": True, "artists.spotify_id_1": False, "name_1": False},
    "artists": {"spotify_id_1": True, "genres_1": False, "name_1": False},
    "albums": {"spotify_id_1": True},
    "playlists": {"spotify_id_1": False, "user_id_1": False, "user_id_1_spotify_id_1": True},
    "daily_rollups": {
        "user_id_1": False,
        "date_1": False,
        "user_id_1_date_1": True,
        "user_id_1_date_-1": False,
    },
    "analytics_snapshots": {"user_id_1": False, "period_1": False, "user_id_1_period_1": True},
    "sync_jobs": {"user_id_1": False, "status_1": False, "user_id_1_job_type_1_created_at_-1": False},
    "api_logs": {
        "user_id_1": False,
        "timestamp_1": False,
        "user_id_1_timestamp_-1": False,
        "service_1_status_code_1": False,
    },
}
"""Every index of the EchoStats schema and whether it is unique, by that schema or by spec section 2."""


def indexes(name: str) -> dict[str, Index]:
    """The declared indexes by the names that MongoDB would give them."""
    return {index.automatic_name: index for index in COLLECTIONS[name].indexes}


@pytest.mark.parametrize("name", sorted(SEED_INDEXES))
def test_every_index_of_the_seed_is_declared(name: str) -> None:
    declared = indexes(name)
    assert {index: declared[index].unique for index in SEED_INDEXES[name]} == SEED_INDEXES[name]


def test_the_eleven_collections_are_those_of_the_seed() -> None:
    assert [collection.name for collection in ECHOSTATS_COLLECTIONS] == list(SEED_INDEXES)
    assert list(COLLECTIONS) == [collection.name for collection in (*ECHOSTATS_COLLECTIONS, *EXTRA_COLLECTIONS)]


@pytest.mark.skipif(not SEED.exists(), reason="the seed documents are not beside this checkout")
def test_our_table_of_indexes_is_that_of_the_seed() -> None:
    text = SEED.read_text()
    sections = re.findall(r"\nIndexes:\n\| Fields \| Type \| Notes \|\n\|---\|---\|---\|\n((?:.*\|\n)+)", text)
    assert len(sections) == len(SEED_INDEXES)
    for (name, expected), section in zip(SEED_INDEXES.items(), sections, strict=True):
        found = {}
        for line in section.splitlines():
            fields, kind, _ = (cell.strip() for cell in line.rstrip("|").split("|"))
            keys = [key.strip().replace(" DESC", "|-1").replace(" ASC", "") for key in fields.strip("()").split(",")]
            found["_".join(key.replace("|", "_") if "|" in key else f"{key}_1" for key in keys)] = "unique" in kind
        assert list(found) == list(expected)
        assert all(expected[index] for index, unique in found.items() if unique), name


def test_api_logs_live_thirty_days_by_the_one_index_on_timestamp() -> None:
    (index,) = (index for index in COLLECTIONS["api_logs"].indexes if index.keys == (("timestamp", 1),))
    assert index.options == {"expireAfterSeconds": THIRTY_DAYS_S, "sparse": True}


def test_nothing_else_expires_but_pages_that_were_merged_and_calls_that_no_longer_count() -> None:
    expiring = {
        (name, index.name): index.expire_after_seconds
        for name in COLLECTIONS
        for index in indexes(name).values()
        if index.expire_after_seconds
    }
    assert expiring == {
        ("api_logs", "expire_after_30_days"): THIRTY_DAYS_S,
        ("recently_played", "fetched_at_1"): indexes("recently_played")["fetched_at_1"].expire_after_seconds,
        ("spotify_calls", "at_1"): QUOTA_WINDOW_S,
    }
    assert timedelta(seconds=QUOTA_WINDOW_S) >= Budget().window


def test_an_export_row_is_stored_once_and_api_plays_are_not_bound_by_that() -> None:
    assert indexes("listening_history")["user_id_1_import_key_1"].options == {
        "unique": True,
        "partialFilterExpression": {"import_key": {"$type": "string"}},
    }


def test_no_collection_declares_an_index_twice_and_every_field_indexed_exists() -> None:
    for collection in COLLECTIONS.values():
        assert len(indexes(collection.name)) == len(collection.indexes)
        fields = {info.alias or name for name, info in collection.document.model_fields.items()}
        for index in collection.indexes:
            assert {field.split(".")[0] for field, _ in index.keys} <= fields


def test_what_a_users_removal_must_empty_has_their_id() -> None:
    for collection in COLLECTIONS.values():
        fields = {info.alias or name for name, info in collection.document.model_fields.items()}
        bears_id = collection.owner_field.split(".")[0] in fields and collection.name != "removed_users"
        assert collection.owned_by_user is bears_id


def test_what_a_user_owns_is_found_by_an_index() -> None:
    for collection in COLLECTIONS.values():
        if collection.owned_by_user and collection.name != "users":
            owner = collection.owner_field
            assert any(index.keys[0][0] == owner and not index.partial_filter for index in collection.indexes)


def test_every_field_that_may_hold_a_secret_is_declared_as_one() -> None:
    for collection in COLLECTIONS.values():
        suspects = {name for name in collection.document.model_fields if re.search(r"encrypted|secret|password", name)}
        assert suspects == set(collection.secrets), collection.name


def test_a_removed_user_is_known_by_an_id_and_nothing_else() -> None:
    assert set(RemovedUser.model_fields) == {"id", "user_id", "removed_at"}


def test_an_index_is_named_as_mongodb_names_it() -> None:
    assert by("user_id", "-played_at", "track.spotify_id").name == "user_id_1_played_at_-1_track.spotify_id_1"


def test_what_echostats_declares_otherwise_under_an_automatic_name_has_a_name_of_its_own() -> None:
    own = {
        f"{collection.name}.{index.automatic_name}": index.own_name
        for collection in COLLECTIONS.values()
        for index in collection.indexes
        if index.own_name
    }
    assert own == {
        "users.partition_key_1": "uniq_partition_key",
        "spotify_tokens.user_id_1": "uniq_user",
        "listening_history.user_id_1_track.spotify_id_1_played_at_1": "uniq_user_track_played_at",
        "playlists.user_id_1_spotify_id_1": "uniq_user_playlist",
        "daily_rollups.user_id_1_date_1": "uniq_user_date",
        "analytics_snapshots.user_id_1_period_1": "uniq_user_period",
        "api_logs.timestamp_1": "expire_after_30_days",
        "import_rejects.user_id_1_file_name_1_row_number_1": "rows_of_files",
    }


@given(display_name=st.text(max_size=80), number=st.binary(min_size=12, max_size=12))
def test_a_partition_key_is_safe_in_file_names_and_dagster_and_tells_users_apart(
    display_name: str, number: bytes
) -> None:
    key = partition_key(display_name, number.hex())
    assert re.fullmatch(PARTITION_KEY_PATTERN, key)
    assert key.endswith(f"-{number.hex()[-6:]}")
    assert User(spotify_id="x", partition_key=key).partition_key == key


@pytest.mark.parametrize(
    ("display_name", "key"),
    [
        ("Atul", "atul-8f9012"),
        ("Björk Guðmundsdóttir", "bjork-gumundsdottir-8f9012"),
        ("  Mr. X  ", "mr-x-8f9012"),
        ("片岡", "user-8f9012"),
        ("", "user-8f9012"),
        ("a" * 47 + " " + "b" * 40, "a" * 47 + "-8f9012"),
    ],
)
def test_a_partition_key_can_be_read(display_name: str, key: str) -> None:
    assert partition_key(display_name, "682a3b1f2e4a5c6d7e8F9012") == key


@pytest.mark.parametrize("key", ["", "UPPER", "a/b", "a b", "a|b", "ä", "a" * 65, "a\n"])
def test_an_unsafe_partition_key_is_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        User(spotify_id="x", partition_key=key)


@given(
    at=st.datetimes(
        datetime(1980, 1, 1),
        datetime(2100, 1, 1),
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    )
)
def test_an_instant_becomes_utc_cut_to_the_millisecond(at: datetime) -> None:
    found = to_utc(at)
    assert found.tzinfo is UTC
    assert found.microsecond % 1000 == 0
    assert timedelta(0) <= at - found < timedelta(milliseconds=1)
    assert to_utc(found) == found


def test_now_has_the_precision_of_bson() -> None:
    assert utc_now().tzinfo is UTC
    assert utc_now().microsecond % 1000 == 0


def test_a_naive_datetime_is_refused_by_every_document_that_has_an_instant() -> None:
    naive = datetime(2025, 1, 1)
    for collection in COLLECTIONS.values():
        for name, field in collection.document.model_fields.items():
            if "datetime" not in str(field.annotation):
                continue
            shapes: list[tuple[str, object, tuple[object, ...]]] = [
                ("list[", [naive], (0,)),
                ("dict[", {"a": naive}, ("a",)),
                ("", naive, ()),
            ]
            value, within = next(each[1:] for each in shapes if each[0] in str(field.annotation))
            with pytest.raises(ValidationError) as caught:
                collection.document.model_validate({field.alias or name: value})
            place = (field.alias or name, *within)
            errors = [error["msg"] for error in caught.value.errors() if error["loc"] == place]
            assert errors == ["Value error, a naive datetime has no meaning here; give it a time zone"]


@pytest.mark.parametrize("document", [collection.document for collection in COLLECTIONS.values()])
def test_no_document_takes_fields_it_does_not_know(document: type[Document]) -> None:
    with pytest.raises(ValidationError) as caught:
        document.model_validate({"surprise": 1})
    assert ("surprise",) in [error["loc"] for error in caught.value.errors() if error["type"] == "extra_forbidden"]


def test_an_api_play_is_stored_without_the_fields_of_imports() -> None:
    play = Play(user_id="u", track=TrackSnapshot(spotify_id="t"), played_at=utc_now())
    assert {"api_played_at", "import_key", "import_ts", "playback"}.isdisjoint(play.to_bson())
    assert play.to_bson()["ms_played"] is None
    imported = play.model_copy(update={"import_key": "k"})
    assert imported.to_bson()["import_key"] == "k"


def test_a_gap_is_stored_as_from_and_to() -> None:
    now = utc_now()
    stored = ListeningGap.model_validate({"user_id": "u", "from": now, "to": now}).to_bson()
    assert (stored["from"], "from_" in stored, "_id" in stored) == (now, False, False)


def test_a_user_has_no_id_before_being_stored() -> None:
    with pytest.raises(ValueError, match="not been stored"):
        _ = User(spotify_id="x", partition_key="x").user_id


@pytest.mark.parametrize(("token", "seconds", "fresh"), [("t", 1, True), ("t", 0, False), ("", 1, False)])
def test_an_access_token_is_fresh_until_it_expires(token: str, seconds: int, fresh: bool) -> None:
    now = utc_now()
    fields: dict[str, Any] = {"access_token_encrypted": token, "expires_at": now + timedelta(seconds=seconds)}
    assert SpotifyTokens(user_id="u", refresh_token_encrypted="r", **fields).access_is_fresh(now) is fresh
