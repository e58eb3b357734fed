"""The declarations that every asset must have, and the assets that lack one."""

import re
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.orchestration.assets import OWNER
from echostats_pipeline.orchestration.partitions import USERS, is_by_day
from echostats_pipeline.orchestration.resources.spotify import SPOTIFY_POOL
from echostats_pipeline.settings import Settings

WITHOUT_A_COLLECTION = {
    # Its rows go into listening_history, whose asset merges the other source; its own records are `imports`.
    "streaming_history_import": "imports",
    # A field of tracks, read from another endpoint.
    "audio_features": "tracks",
}
"""Assets not named after a collection, with the collection they write."""
WRITES_FILES = {"listening_report"}
"""Assets that write no collection."""
FRESH = {"recently_played", "daily_rollups", "analytics_snapshots", "playlists", "saved_tracks", "top_items"}
CALLS_SPOTIFY = {
    "generated_playlists",
    "recently_played",
    "tracks",
    "artists",
    "albums",
    "artist_albums",
    "audio_features",
    "playlists",
    "saved_tracks",
    "top_items",
}
BY_USER_AND_DAY = {"recently_played", "listening_history", "daily_rollups"}

SOURCES = {"spotify", "exports", "feature_sources", "genre_sources"}
"""Assets that this pipeline does not make."""

ASSETS: list[dg.AssetsDefinition] = [
    asset for asset in build_definitions().assets or [] if isinstance(asset, dg.AssetsDefinition)
]
NAMES = [asset.key.to_user_string() for asset in ASSETS]
by_name = dict(zip(NAMES, ASSETS, strict=True))
each_asset = pytest.mark.parametrize("asset", ASSETS, ids=NAMES)


def spec(asset: dg.AssetsDefinition) -> dg.AssetSpec:
    return asset.get_asset_spec()


def test_nothing_was_overlooked() -> None:
    assert len(NAMES) >= 11
    assert set(NAMES) >= CALLS_SPOTIFY | BY_USER_AND_DAY | WITHOUT_A_COLLECTION.keys() | FRESH


@each_asset
def test_an_asset_says_whose_it_is_where_it_belongs_and_what_it_runs_on(asset: dg.AssetsDefinition) -> None:
    declared = spec(asset)
    assert declared.group_name not in (None, "default")
    assert "mongodb" in declared.kinds
    assert declared.owners == [OWNER]
    assert declared.code_version


@each_asset
def test_an_asset_is_described_in_a_sentence_a_user_understands(asset: dg.AssetsDefinition) -> None:
    description = spec(asset).description or ""
    assert len(description) > 30
    assert description.endswith(".")
    assert "asset" not in description.lower()


@each_asset
def test_an_asset_says_whose_data_it_holds_for_whom_and_where_they_come_from(asset: dg.AssetsDefinition) -> None:
    what, _, how = (spec(asset).description or "").partition("\n\n")
    assert how, "a line that says what it is, then for whom, and how it gets there"
    assert re.search(r"\buser|\bAll users share", f"{what} {how}")
    assert re.search(r"\bFor readers|\bFor this pipeline|\bFor the user who started it", how)


@each_asset
def test_an_asset_shows_the_columns_of_its_documents(asset: dg.AssetsDefinition) -> None:
    name = asset.key.to_user_string()
    if name in WRITES_FILES:
        assert "dagster/table_name" not in spec(asset).metadata
        return
    collection = COLLECTIONS[WITHOUT_A_COLLECTION.get(name, name)]
    metadata = spec(asset).metadata
    assert metadata["dagster/table_name"] == collection.name
    columns = [column.name for column in metadata["dagster/column_schema"].columns]
    fields = [field.alias or name for name, field in collection.document.model_fields.items()]
    if name == "audio_features":
        fields = [field for field in fields if field.startswith("audio_features") or field == "spotify_id"]
    assert [column for column in columns if "." not in column] == fields
    assert len(set(columns)) == len(columns)


@each_asset
def test_what_is_read_by_the_clock_must_be_fresh(asset: dg.AssetsDefinition) -> None:
    policy = spec(asset).freshness_policy
    assert (policy is not None) is (asset.key.to_user_string() in FRESH)
    if isinstance(policy, TimeWindowFreshnessPolicy):
        assert policy.warn_window is not None
        assert policy.warn_window.to_timedelta() < policy.fail_window.to_timedelta()


@each_asset
def test_exactly_those_that_call_spotify_share_its_pool(asset: dg.AssetsDefinition) -> None:
    name = asset.key.to_user_string()
    calls = name in CALLS_SPOTIFY
    assert asset.op.pool == (SPOTIFY_POOL if calls else None)
    assert ("spotify" in spec(asset).kinds) is calls
    assert ("spotify" in asset.required_resource_keys) is calls


@each_asset
def test_an_asset_is_named_after_the_collection_it_writes(asset: dg.AssetsDefinition) -> None:
    name = asset.key.to_user_string()
    assert (name in COLLECTIONS) is (name not in WITHOUT_A_COLLECTION.keys() | WRITES_FILES)


@each_asset
def test_a_range_of_days_is_one_run(asset: dg.AssetsDefinition) -> None:
    name = asset.key.to_user_string()
    assert is_by_day(asset.partitions_def) is (name in BY_USER_AND_DAY)
    if name in BY_USER_AND_DAY:
        assert asset.backfill_policy == dg.BackfillPolicy.single_run()
    else:
        assert asset.partitions_def in (USERS, None)


def test_the_stages_follow_each_other() -> None:
    def feeds(name: str) -> set[str]:
        return {dep.asset_key.to_user_string() for dep in spec(by_name[name]).deps}

    assert feeds("recently_played") == {"spotify"}
    assert feeds("streaming_history_import") == {"exports"}
    assert all("spotify" in feeds(name) for name in CALLS_SPOTIFY)
    assert {name for name in NAMES if "spotify" in feeds(name)} == CALLS_SPOTIFY
    every = {each.key.to_user_string(): each for each in build_definitions().resolve_all_asset_specs()}
    assert every.keys() - set(NAMES) == SOURCES
    assert feeds("listening_history") == {"recently_played", "streaming_history_import"}
    assert feeds("daily_rollups") == {"listening_history"}
    assert feeds("listening_report") >= {"analytics_snapshots", "daily_rollups"}
    assert feeds("analytics_snapshots") >= {"daily_rollups", "tracks", "artists", "albums", "audio_features"}


def test_the_code_location_loads_with_a_sensor_per_user() -> None:
    settings = Settings(home=Path(), sync_interval_minutes=7)
    definitions = build_definitions(roster=["ada-123456"], settings=settings)
    dg.Definitions.validate_loadable(definitions)
    (sync,) = (sensor for sensor in definitions.sensors or [] if sensor.name == "sync_ada_123456")
    assert sync.minimum_interval_seconds == 7 * 60
