"""The recommender and EchoTune's database: lists become sets, and what users say there changes the next lists."""

from dataclasses import replace
from datetime import timedelta

from bson import ObjectId

from echostats_pipeline.marts.echotune.build import waiting_users
from echostats_pipeline.marts.echotune.database import user_object_id
from echostats_pipeline.marts.echotune.recommending import recommender_of
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.mart_sensors import outdated_recommendations
from echostats_pipeline.settings import load_settings
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Pipeline
from echostats_pipeline_tests.marts.echotune.conftest import Installed
from echostats_pipeline_tests.marts.echotune.stored import TRACKS, play
from echostats_pipeline_tests.marts.echotune.test_runs import wanted
from echostats_pipeline_tests.orchestration.assets.test_recommendations import listened


def with_marts(pipeline: Pipeline, echotune: Installed) -> Pipeline:
    """The installation with EchoTune's database."""
    environ = {**pipeline.installation.environ, **echotune.environ()}
    settings = load_settings(environ, env_file=None)
    store = Store.of(pipeline.store.db, databases_of(settings))
    return replace(
        pipeline, installation=replace(pipeline.installation, environ=environ, settings=settings, store=store)
    )


def night(pipeline: Pipeline, user: User) -> None:
    """Make the lists of a user, and bring EchoTune's database up to date."""
    assert pipeline.run("recommendation_build", partition_key=user.partition_key).success
    assert user.user_id in waiting_users(pipeline.store)
    run = pipeline.run("echotune_build", partition_key=user.partition_key)
    assert run.success
    assert all(check.passed for check in run.get_asset_check_evaluations())


def test_a_track_that_a_user_dislikes_in_echotune_leaves_the_next_list(pipeline: Pipeline, echotune: Installed) -> None:
    installed = with_marts(pipeline, echotune)
    user, other = (listened(installed, number) for number in range(2))
    assert installed.run("model_build").success
    night(installed, user)
    sets, owner = echotune.collection("recommendations"), user_object_id(user.user_id)
    made = sets.find_one({"userId": owner, "parameters.context": "discover"})
    assert made is not None
    disliked = made["tracks"][0]["trackId"]
    lists = installed.store.recommendations.lists(user.user_id)
    assert disliked in {track.spotify_id for track in lists["discover"].tracks}
    sets.update_one({"_id": made["_id"]}, {"$push": {"user_feedback.disliked_tracks": disliked}})
    night(installed, user)
    after = installed.store.recommendations.lists(user.user_id)["discover"].tracks
    assert after
    assert disliked not in {track.spotify_id for track in after}
    assert disliked in (sets.find_one({"_id": made["_id"]}) or {})["user_feedback"]["disliked_tracks"]
    # An older night's set, in which nothing was said, and one with a dislike: both may rest on the other's plays.
    sets.insert_one({**made, "_id": ObjectId(), "createdAt": made["createdAt"] - timedelta(days=2)})
    installed.store.recommendations.forget_shared(other.user_id)
    assert user.user_id in waiting_users(installed.store)
    assert [each["tracks"] for each in sets.find({"userId": owner})] == [[]], "only what the user has said is left"
    echotune.update(user, NOW)
    assert sets.count_documents({"userId": owner}) == 0
    assert echotune.mart(NOW).read_feedback(user).disliked == {disliked}
    again = recommender_of(installed.store, installed.installation.settings, NOW).rebuild_lists(user).lists
    assert disliked not in {track.spotify_id for track in again["discover"].tracks}
    assert wanted(installed, outdated_recommendations) == []
    plays = [play(user, TRACKS[number], NOW + timedelta(minutes=number + 1)) for number in range(5)]
    installed.store.db["listening_history"].insert_many(plays[:4])
    assert wanted(installed, outdated_recommendations) == []
    installed.store.db["listening_history"].insert_one(plays[4])
    assert [each.partition_key for each in wanted(installed, outdated_recommendations)] == [user.partition_key]
