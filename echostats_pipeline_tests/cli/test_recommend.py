"""``echostats recommend``, ``echostats models`` and ``echostats users sharing``."""

import json
from datetime import timedelta

import pytest

from echostats_pipeline.cli.recommend import without
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.recommendations import FurtherList, ModelActivation, RecommendationList, RecommendedTrack
from echostats_pipeline.model.users import User
from echostats_pipeline.recommender.building import Recommender, build_neighbours
from echostats_pipeline.recommender.models import evaluate_models
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import Installation
from echostats_pipeline_tests.recommender.listeners import household, play

pytestmark = pytest.mark.mongo


@pytest.fixture
def people(installation: Installation) -> dict[str, User]:
    return household(installation.store, until=utc_now())


def test_each_song_stands_with_its_reason_source_and_plays(
    installation: Installation, people: dict[str, User], echostats: Echostats
) -> None:
    ended = echostats("recommend", "--user", "ann", "--limit", "4")
    assert ended.returncode == 0, ended.stderr
    assert "New to ann" in ended.stdout
    assert "To hear again, for ann: nothing." in ended.stdout
    assert ended.stdout.count("others here") >= 4
    assert "(popularity, a simple baseline): no model was tested yet." in " ".join(ended.stdout.split())
    whole = json.loads(echostats("recommend", "--user", "ann", "--json").stdout)
    assert list(whole) == ["discover", "rediscover"]
    assert json.loads(echostats("recommend", "--user", "ann", "--discover", "--rediscover", "--json").stdout) == whole
    assert [track["rank"] for track in whole["discover"]["tracks"]] == list(range(1, 11))
    one = json.loads(echostats("recommend", "--user", "ann", "--discover", "--limit", "2", "--json").stdout)
    assert one == {"discover": {**whole["discover"], "tracks": whole["discover"]["tracks"][:2]}}
    assert set(one["discover"]["tracks"][0]) >= {"name", "score", "reason", "sources", "heard_before"}
    assert "user_id" not in one["discover"]


def test_a_list_of_the_night_leaves_out_what_was_disliked_since() -> None:
    tracks = [
        RecommendedTrack(
            rank=rank,
            spotify_id=track_id,
            name=track_id,
            artist_name="A",
            score=0.5,
            sources=["library"],
            heard_before=0,
            reason="It fits.",
            reason_kind="tags",
        )
        for rank, track_id in enumerate("abc", start=1)
    ]
    made = RecommendationList(
        user_id="u",
        task="discover",
        strategy="hybrid",
        model="hybrid",
        is_baseline=False,
        why="",
        plays=9,
        tracks=tracks,
        expires_at=utc_now(),
    )
    made.further = [
        FurtherList(strategy="collaborative", model="basket_knn", is_active=False, confidence=0.5, tracks=tracks)
    ]
    left = without(made, {"b"})
    for kept in (left.tracks, left.further[0].tracks):
        assert [(track.rank, track.spotify_id) for track in kept] == [(1, "a"), (2, "c")]


def test_while_they_are_off_the_commands_say_how_to_switch_them_on(
    installation: Installation, people: dict[str, User], echostats: Echostats
) -> None:
    for command in (("recommend", "--user", "ann"), ("models",), ("models", "rollback", "discover")):
        said = refused(echostats(*command, ECHOSTATS_RECOMMENDATIONS="off"))
        assert "ECHOSTATS_RECOMMENDATIONS=on" in said
        assert "developer policy" in said
    real = refused(echostats("recommend", "--user", "ann", SPOTIFY_CLIENT_ID="mine"))
    assert "Recommendations are off" in real


def test_what_rests_on_plays_no_longer_shared_is_gone_at_once(
    installation: Installation, people: dict[str, User], echostats: Echostats
) -> None:
    store, settings, now = installation.store, installation.settings, utc_now()
    build_neighbours(store, settings, now)
    for user in people.values():
        Recommender(store, settings, now).rebuild_lists(user)
    ended = echostats("users", "sharing", "bob", "off")
    assert ended.returncode == 0, ended.stderr
    assert "serve nobody else. Lists of others were deleted" in ended.stdout
    assert not store.users.find("bob").shares
    assert store.db["item_neighbours"].count_documents({}) == 0
    assert store.db["recommendations"].distinct("user_id") == [people["bob"].user_id]
    users = " ".join(echostats("users").stdout.split())
    shared = ", ".join(people[name].partition_key for name in ("ann", "cay"))
    assert f"Plays that serve recommendations for others: those of {shared}." in users
    again = echostats("users", "sharing", "bob", "on")
    assert "may serve others" in again.stdout
    assert store.users.find("bob").shares


def test_the_models_are_shown_with_how_they_did_and_may_be_rolled_back(
    installation: Installation, people: dict[str, User], echostats: Echostats
) -> None:
    assert "nothing was evaluated yet" in echostats("models").stdout
    for day in range(1, 8):
        play(installation.store, people["ann"], [10, 11, 12, 13], utc_now() - timedelta(days=day))
    found = evaluate_models(installation.store, installation.settings, utc_now()).evaluations["discover"]
    other = "content" if found.served != "content" else "hybrid"
    installation.store.recommendations.activate(
        ModelActivation(task="discover", name=other, version="1", by="evaluation", why="It is new.")
    )
    back = echostats("models", "rollback", "discover")
    assert f"discover is ordered by {found.served}" in back.stdout, back.stderr
    shown = echostats("models").stdout
    for said in ("NDCG@20", "popularity (baseline)", found.why, f"A person went back from {other}"):
        assert said in " ".join(shown.split()), said
    assert "evaluations decide again" in echostats("models", "resume", "discover").stdout
