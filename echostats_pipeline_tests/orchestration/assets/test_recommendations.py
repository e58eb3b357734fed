"""The assets of the recommender, from a night's runs to the lists, and nothing at all while they are off."""

from dataclasses import replace
from pathlib import Path

import dagster as dg

from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.schedules import (
    daily_recommendations,
    nightly_albums,
    nightly_models,
)
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline_tests.conftest import NOW, Pipeline
from echostats_pipeline_tests.orchestration.instance_factories import OURS, instance_with

COLLECTIONS = ("recommendations", "taste_vectors", "item_neighbours", "model_evaluation", "artist_albums")


def listened(pipeline: Pipeline, number: int) -> User:
    """A user with the plays of one sync."""
    user = pipeline.connect(number)
    assert pipeline.run("user_sync", tags=range_tags(NOW.date(), NOW.date(), user.partition_key)).success
    assert pipeline.run("snapshot_build", partition_key=user.partition_key).success
    return user


def test_a_night_makes_lists_and_says_what_ordered_them(pipeline: Pipeline) -> None:
    users = [listened(pipeline, number) for number in range(2)]
    for name in ("tracks", "artists", "albums"):
        pipeline.store.db[name].update_many({}, {"$set": {"enriched_at": NOW}})
    albums = pipeline.run("album_reading")
    (read,) = albums.asset_materializations_for_node("artist_albums")
    assert int(str(read.metadata["albums"].value)) > 5
    models = pipeline.run("model_build")
    assert models.success
    (evaluated,) = models.asset_materializations_for_node("model_evaluation")
    for task in ("discover", "rediscover"):
        assert "orders the lists" in str(evaluated.metadata[f"{task}_verdict"].value)
        assert "data:image/svg+xml" in str(evaluated.metadata[f"{task}_history"].value)
    (check,) = models.get_asset_check_evaluations()
    assert (check.check_name, check.severity) == ("model_beats_popularity", dg.AssetCheckSeverity.WARN)
    for user in users:
        result = pipeline.run("recommendation_build", partition_key=user.partition_key)
        assert result.success
        lists = pipeline.store.recommendations.lists(user.user_id)
        assert len(lists["discover"].tracks) >= 10
        assert all(track.reason and track.name and track.sources for track in lists["discover"].tracks)
        (made,) = result.asset_materializations_for_node("recommendations")
        assert "discover" in made.metadata
        (job,) = pipeline.store.jobs.of_run(result.run_id)
        assert [step.action for step in job.steps] == ["taste_vectors", "recommendations"]
        assert job.status == "completed"


def test_while_they_are_off_nothing_is_computed_or_read(pipeline: Pipeline, tmp_path: Path) -> None:
    user = pipeline.connect()
    environ = {**pipeline.installation.environ, "ECHOSTATS_RECOMMENDATIONS": "off"}
    off = Pipeline(replace(pipeline.installation, environ=environ), pipeline.instance)
    for job in ("model_build", "album_reading"):
        assert off.run(job).success
    assert off.run("recommendation_build", partition_key=user.partition_key).success
    assert {name: pipeline.store.db[name].count_documents({}) for name in COLLECTIONS} == dict.fromkeys(COLLECTIONS, 0)
    assert ticked(off, user, tmp_path / "off") == [0, 0, 0]
    assert ticked(pipeline, user, tmp_path / "on") == [1, 1, 1]


def ticked(pipeline: Pipeline, user: User, folder: Path) -> list[int]:
    """How many runs each schedule of the recommender requests."""
    with instance_with(OURS, folder) as stored:
        stored.add_dynamic_partitions("users", [user.partition_key])
        repository = build_definitions(pipeline.resources()).get_repository_def()
        found = []
        for schedule in (nightly_models, nightly_albums, daily_recommendations):
            with dg.build_schedule_context(
                instance=stored, resources=pipeline.resources(), repository_def=repository
            ) as context:
                found.append(len(schedule.evaluate_tick(context).run_requests or []))
        return found


def test_albums_are_read_after_everything_else(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    assert pipeline.run("user_sync", tags=range_tags(NOW.date(), NOW.date(), user.partition_key)).success
    (read,) = pipeline.run("album_reading").asset_materializations_for_node("artist_albums")
    assert "artists, albums of played songs are read first" in str(read.metadata["detail"].value)
    assert pipeline.store.recommendations.albums() == []
