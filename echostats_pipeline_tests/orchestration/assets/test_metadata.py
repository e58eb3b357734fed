"""Metadata of runs: tables for several users, charts for one."""

from datetime import timedelta

import dagster as dg
import pytest

from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.orchestration.assets.metadata import by_user
from echostats_pipeline.orchestration.partitions import RANGE_END, RANGE_START, range_tags
from echostats_pipeline_tests.conftest import NOW, Pipeline

TODAY = NOW.date()
PICTURES = {"plays_per_day", "plays_by_weekday_and_hour"}


def shown(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dg.MetadataValue]:
    """The metadata with tables, which stand at one partition."""
    return dict(max((each.metadata for each in result.asset_materializations_for_node(asset)), key=len))


def rows(value: dg.MetadataValue) -> list[dict[str, object]]:
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]


@pytest.fixture
def synced(pipeline: Pipeline) -> tuple[str, dg.ExecuteInProcessResult]:
    user = pipeline.connect()
    result = pipeline.run("user_sync", tags=range_tags(TODAY, TODAY, user.partition_key))
    assert result.success
    return user.partition_key, result


def test_a_sync_shows_calls_against_the_budget_and_what_it_did(
    synced: tuple[str, dg.ExecuteInProcessResult],
) -> None:
    _, result = synced
    recent = shown(result, "recently_played")
    calls = {row["endpoints"]: row for row in rows(recent["api_calls"])}
    assert calls["recently-played"]["calls_24h"] == 1
    assert calls["recently-played"]["budget"] == "unlimited"
    assert recent["rows"].value == recent["plays"].value == 50
    assert shown(result, "listening_history")["plays_added"].value == 50
    assert shown(result, "daily_rollups")["plays_read"].value == 50


def test_a_run_for_several_users_has_a_line_for_each_and_one_for_one_user_has_none(
    pipeline: Pipeline, synced: tuple[str, dg.ExecuteInProcessResult]
) -> None:
    first, result = synced
    second = pipeline.connect(1).partition_key
    both = pipeline.run("user_sync", tags=range_tags(TODAY, TODAY, first, second))
    for asset in ("recently_played", "listening_history", "daily_rollups"):
        assert "users" not in shown(result, asset)
        assert [row["user"] for row in rows(shown(both, asset)["users"])] == [first, second]
        found = {str(each.partition): each.metadata for each in both.asset_materializations_for_node(asset)}
        assert not found[f"{TODAY}|{first}"]  # at every day of every user they would be most of what Dagster stores
        assert {"users", "dagster/row_count"} <= found[f"{TODAY}|{second}"].keys()
    assert shown(both, "recently_played")["rows"].value == 100


def test_a_run_over_days_of_one_user_has_numbers_at_each_and_tables_at_the_last(pipeline: Pipeline) -> None:
    key, yesterday = pipeline.connect().partition_key, TODAY - timedelta(days=1)
    result = pipeline.run("user_sync", tags=range_tags(yesterday, TODAY, key))
    for asset in ("recently_played", "listening_history", "daily_rollups"):
        found = {str(each.partition): each.metadata for each in result.asset_materializations_for_node(asset)}
        numbers, complete = found[f"{yesterday}|{key}"], found[f"{TODAY}|{key}"]
        assert numbers
        assert numbers.items() <= complete.items()
        assert not any(isinstance(value, dg.TableMetadataValue) for value in numbers.values())
    assert "api_calls" in shown(result, "recently_played")


def test_users_for_whom_a_run_had_other_work_stand_in_one_table() -> None:
    found = by_user({"ann": {"plays": 2, "playlists": 1}, "bob": {"plays": 3}})
    assert (found["plays"], found["playlists"]) == (5, 1)
    assert rows(found["users"]) == [
        {"user": "ann", "plays": 2, "playlists": 1},
        {"user": "bob", "plays": 3, "playlists": 0},
    ]


def test_snapshots_of_one_user_are_drawn_and_of_several_listed(
    pipeline: Pipeline, synced: tuple[str, dg.ExecuteInProcessResult]
) -> None:
    key, _ = synced
    one = shown(pipeline.run("snapshot_build", partition_key=key), "analytics_snapshots")
    assert one.keys() >= PICTURES
    for name in PICTURES:
        picture = one[name]
        assert isinstance(picture, dg.MarkdownMetadataValue)
        assert len(picture.value or "") < 10_000
    assert [row["period"] for row in rows(one["periods"])] == ["week", "month", "quarter", "year", "all_time"]
    assert len(rows(one["top_artists_of_the_year"])) == len(rows(one["top_tracks_of_the_year"])) == 10
    assert rows(one["periods"])[-1]["plays"] == one["plays_all_time"].value

    second = pipeline.connect(1).partition_key
    tags = {RANGE_START: key, RANGE_END: second}
    several = shown(pipeline.run("snapshot_build", tags=tags), "analytics_snapshots")
    assert several.keys() & PICTURES == set()
    assert [row["user"] for row in rows(several["users"])] == [key, second]


def test_enrichment_shows_how_far_it_is_in_numbers(
    pipeline: Pipeline, synced: tuple[str, dg.ExecuteInProcessResult]
) -> None:
    result = pipeline.run("catalog_enrichment")
    for asset in ("tracks", "artists", "albums", "audio_features"):
        found = shown(result, asset)
        assert found["percent_known"].value == pytest.approx(100 * found["known"].value / found["total"].value, abs=0.1)
        assert found["days_left"].value == 0


def test_a_library_is_counted_for_each_user(pipeline: Pipeline) -> None:
    keys = [pipeline.connect(number).partition_key for number in (0, 1)]
    tags = {RANGE_START: keys[0], RANGE_END: keys[1]}
    result = pipeline.run("library_sync", tags=tags)
    for asset, counted in (("playlists", "playlists"), ("saved_tracks", "saved_tracks"), ("top_items", "items_read")):
        found = shown(result, asset)
        lines = rows(found["users"])
        assert [line["user"] for line in lines] == keys
        assert sum(int(str(line[counted])) for line in lines) == found["dagster/partition_row_count"].value > 0
        assert found["dagster/row_count"].value == pipeline.store.db[asset].count_documents({})


def test_every_run_says_how_many_documents_the_collection_holds(
    pipeline: Pipeline, synced: tuple[str, dg.ExecuteInProcessResult]
) -> None:
    specs = {spec.key.to_user_string(): spec for spec in build_definitions().resolve_all_asset_specs()}
    results = [
        synced[1],
        pipeline.run("user_sync", tags=synced[1].dagster_run.tags),
        pipeline.run("catalog_enrichment"),
        pipeline.run("snapshot_build", partition_key=synced[0]),
    ]
    for result in results[1:]:
        for event in result.get_asset_materialization_events():
            found, name = event.materialization.metadata, event.asset_key.to_user_string() if event.asset_key else ""
            stored = pipeline.store.db[specs[name].metadata["dagster/table_name"]].count_documents({})
            assert found["dagster/row_count"].value == stored, name
            assert stored > 0 or name == "artist_tags", "the tests' settings name no source for it"
            assert found["dagster/partition_row_count"].value <= stored or name == "recently_played"
