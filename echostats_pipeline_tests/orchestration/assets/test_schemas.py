"""Columns as the UI shows them."""

from typing import Any

import dagster as dg
import pytest

from echostats_pipeline.model.base import UtcDatetime
from echostats_pipeline.model.catalog import ArtistRef
from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.orchestration.assets.schemas import bson_type, collection_metadata, columns_of


def column(collection: str, name: str) -> dg.TableColumn:
    (found,) = (column for column in columns_of(COLLECTIONS[collection]) if column.name == name)
    return found


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (str, "string"),
        (UtcDatetime, "date"),
        (list[str], "array<string>"),
        (list[UtcDatetime], "array<date>"),
        (list[ArtistRef], "array<object>"),
        (ArtistRef, "object"),
        (dict[str, int], "object"),
    ],
)
def test_types_are_named_as_mongodb_does(kind: Any, name: str) -> None:
    assert bson_type(kind) == name


def test_fields_of_sub_documents_are_dotted_as_in_queries() -> None:
    assert column("listening_history", "track.spotify_id").type == "string"
    assert column("playlists", "tracks.added_at").type == "date"
    assert column("listening_history", "playback.offline").constraints.nullable


def test_what_may_be_null_or_is_unique_says_so() -> None:
    assert not column("listening_history", "played_at").constraints.nullable
    assert column("listening_history", "ms_played").constraints.nullable
    assert column("tracks", "spotify_id").constraints.unique
    assert column("tracks", "_id").constraints.unique
    assert not column("tracks", "_id").constraints.nullable
    assert column("daily_rollups", "date").constraints.other == ["unique with user_id"]
    assert "week | month | quarter | year | all_time" in column("analytics_snapshots", "period").constraints.other


def test_part_of_a_collection_is_shown_alone() -> None:
    schema = collection_metadata("tracks", only=("spotify_id", "audio_features"))["dagster/column_schema"]
    names = [found.name for found in schema.columns]
    assert names[:3] == ["spotify_id", "audio_features", "audio_features.danceability"]
    assert {name.split(".")[0] for name in names} == {"spotify_id", "audio_features"}
