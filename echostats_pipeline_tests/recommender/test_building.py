"""Lists in a database: whose plays they rest on, whether their reasons are true, and what a person may change."""

from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.catalog import ArtistRef, Track
from echostats_pipeline.model.recommendations import ItemNeighbours, ModelActivation, RecommendationList, Scorer, Task
from echostats_pipeline.model.rules import Exclusion, Rule
from echostats_pipeline.model.users import User
from echostats_pipeline.recommender.building import Feedback, Recommender, build_neighbours
from echostats_pipeline.recommender.models import evaluate_models, resume, roll_back, verdict_in_force
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, documents
from echostats_pipeline_tests.recommender.listeners import SONGS_A_GROUP, connect, household, play, track_id

SETTINGS = Settings(home=Path())


@pytest.fixture
def people(store: Store) -> dict[str, User]:
    return household(store)


def serve(store: Store, name: Scorer, task: Task = "discover") -> None:
    store.recommendations.activate(
        ModelActivation(task=task, name=name, version="1", activated_at=NOW, by="person", why="A person decided.")
    )


def lists_of(store: Store, user: User, now: datetime = NOW, **feedback: Any) -> dict[Task, RecommendationList]:
    build_neighbours(store, SETTINGS, now)
    made = Recommender(store, SETTINGS, now, lambda _: Feedback(**feedback)).rebuild_lists(user)
    assert store.recommendations.lists(user.user_id) == {
        task: each.model_copy(update={"id": store.recommendations.lists(user.user_id)[task].id})
        for task, each in made.lists.items()
    }
    return dict(made.lists)


def heard_together(store: Store, others: list[User]) -> set[tuple[str, str]]:
    """Pairs of tracks that one of these users has heard on one day."""
    days: dict[tuple[str, object], set[str]] = defaultdict(set)
    for row in store.db["listening_history"].find({"user_id": {"$in": [each.user_id for each in others]}}):
        days[row["user_id"], row["played_at"].date()].add(row["track"]["spotify_id"])
    return {(one, other) for songs in days.values() for one in songs for other in songs}


@pytest.mark.mongo
def test_what_others_play_is_recommended_with_a_reason_that_is_true(store: Store, people: dict[str, User]) -> None:
    serve(store, "basket_knn")
    made = lists_of(store, people["ann"])["discover"]
    pairs = heard_together(store, [people["bob"], people["cay"]])
    assert made.strategy == "collaborative"
    assert not made.is_baseline
    assert len(made.tracks) >= 8
    for track in made.tracks:
        assert track.reason_kind == "collaborative"
        assert track.sources == ["other_users"]
        assert track.heard_before == 0
        assert 1 <= len(track.supporting) <= 2
        for support in track.supporting:
            assert (support.spotify_id, track.spotify_id) in pairs
            assert f"“{support.name}”" in track.reason
        assert sum(track.score_shares.values()) == pytest.approx(1.0, abs=0.01)
    assert [track.score for track in made.tracks] == sorted((track.score for track in made.tracks), reverse=True)
    artists = [track.artist_name for track in made.tracks]
    assert max(map(artists.count, artists)) <= 2


@pytest.mark.mongo
def test_the_plays_of_a_user_who_does_not_share_serve_nobody_else(store: Store, people: dict[str, User]) -> None:
    build_neighbours(store, SETTINGS, NOW)
    of_dee = {track_id(2 * SONGS_A_GROUP + song) for song in range(SONGS_A_GROUP)}
    stored = [ItemNeighbours.stored(each) for each in store.db["item_neighbours"].find()]
    assert stored
    assert not of_dee & {each.spotify_id for each in stored}
    for name in ("ann", "bob", "cay"):
        made = lists_of(store, people[name])
        assert not of_dee & {track.spotify_id for each in made.values() for track in each.tracks}
    alone = lists_of(store, people["dee"])["discover"]
    # Dee may still be recommended what others share.
    assert {source for track in alone.tracks for source in track.sources} <= {"other_users"}


@pytest.mark.mongo
def test_a_song_heard_under_another_id_is_not_new(store: Store, people: dict[str, User]) -> None:
    serve(store, "basket_knn")
    made = lists_of(store, people["ann"])["discover"]
    single, album = made.tracks[0].spotify_id, track_id(900)
    store.catalog.put(
        "tracks",
        [
            Track(spotify_id=each, name="Song", artists=[ArtistRef(spotify_id="a1", name="A")], isrc="GBAAA0000001")
            for each in (single, album)
        ],
        missing=[],
        at=NOW,
    )
    play(store, people["ann"], [900], NOW - timedelta(days=40))
    store.db["saved_tracks"].insert_one(
        {"user_id": people["ann"].user_id, "spotify_id": album, "added_at": NOW - timedelta(days=60)}
    )
    after = lists_of(store, people["ann"])["discover"]
    assert {single, album}.isdisjoint(track.spotify_id for track in after.tracks)


@pytest.mark.mongo
def test_what_a_rule_leaves_out_is_no_taste_and_not_new_either(store: Store, people: dict[str, User]) -> None:
    """Ann's children play the songs of cay."""
    serve(store, "basket_knn")
    before = lists_of(store, people["ann"])["discover"]
    assert {track.artist_name for track in before.tracks} >= {"Artist 11"}
    artists = [f"Artist {number}" for number in range(SONGS_A_GROUP // 2, SONGS_A_GROUP)]
    for name in artists:
        store.rules.add(
            Rule(
                user_id=people["ann"].user_id,
                kind="exclude",
                exclude=Exclusion(artist=ArtistRef(spotify_id="", name=name)),
            )
        )
    after = lists_of(store, people["ann"])["discover"]
    assert after.tracks
    heard = set(store.db["listening_history"].distinct("track.spotify_id", {"user_id": people["ann"].user_id}))
    assert heard.isdisjoint(track.spotify_id for track in after.tracks)
    named = [each.artist_name for track in after.tracks for each in (track, *track.supporting)]
    assert set(named).isdisjoint(artists)


@pytest.mark.mongo
def test_where_nobody_plays_anything_the_library_is_ordered_by_spotifys_popularity(store: Store) -> None:
    user = connect(store, "hal", shares=False)
    for number, popularity in ((1, 30), (2, 70)):
        saved = {"spotify_id": track_id(number), "name": f"Song {number}", "artist_name": "A", "album_name": "B"}
        store.db["saved_tracks"].insert_one({"user_id": user.user_id, "added_at": NOW, **saved})
        store.db["tracks"].insert_one({**saved, "popularity": popularity})
    made = lists_of(store, user)["discover"]
    assert [track.spotify_id for track in made.tracks] == [track_id(2), track_id(1)]
    assert made.tracks[0].reason == "Its popularity on Spotify is 70 of 100."
    assert "without plays nothing is known of a taste yet" in made.why
    assert made.is_baseline


@pytest.mark.mongo
def test_an_own_habit_is_not_called_collaborative(store: Store) -> None:
    user = connect(store, "eve", shares=False)
    rng = np.random.default_rng(1)
    for day in range(300, 200, -2):
        play(store, user, rng.choice(12, size=6, replace=False).tolist(), NOW - timedelta(days=day))
    for day in range(20):
        play(store, user, [0, 1, 2], NOW - timedelta(days=day, hours=3))
    serve(store, "basket_knn", "rediscover")
    made = lists_of(store, user)["rediscover"]
    assert made.strategy == "own_listening"
    assert {track.reason_kind for track in made.tracks} == {"own_listening"}
    assert all(track.sources == ["own_history"] and track.heard_before >= 5 for track in made.tracks)
    assert all(track.last_played_at and track.last_played_at <= NOW - timedelta(days=180) for track in made.tracks)
    assert not lists_of(store, user)["discover"].tracks
    assert "no new songs" in lists_of(store, user)["discover"].note
    # Alone here, even who shares is nobody's "other": the user's own plays make songs popular.
    store.users.set_sharing(user.user_id, shares=True)
    user = store.users.find("eve")
    serve(store, "recent_popularity", "rediscover")
    alone = lists_of(store, user)["rediscover"].tracks
    assert {track.reason.split(" times, ")[1] for track in alone} == {"but not for 7 months."}
    assert all(track.reason.startswith(f"You have heard it {track.heard_before}") for track in alone)


@pytest.mark.mongo
def test_a_few_plays_are_said_to_be_little(store: Store, people: dict[str, User]) -> None:
    user = connect(store, "fay", shares=True)
    play(store, user, [0, 1], NOW - timedelta(days=1))
    made = lists_of(store, user)["discover"]
    assert made.model == "recent_popularity"
    assert made.is_baseline
    assert "with 2 plays nothing is known of a taste yet" in made.why
    assert all("by others here" in track.reason for track in made.tracks)
    # Of Fay's favourite genres, what is popular comes first; the reason names the genre.
    jazz = made.tracks[-1].spotify_id
    store.db["tracks"].insert_one({"spotify_id": jazz, "name": "J", "genres": ["Jazz", "bop"], "popularity": 40})
    first = lists_of(store, user, genres=["jazz", "polka"])["discover"].tracks
    assert first[0].spotify_id == jazz
    assert first[0].genres == ["Jazz"]
    assert first[0].reason.endswith("You have named Jazz as what you like.")
    assert len(first) == len(made.tracks)
    assert not any(track.genres for track in first[1:])
    play(store, user, [0, 1], NOW - timedelta(days=2))
    assert "and with 4 plays little is known of a taste" in lists_of(store, user)["discover"].why
    nobody = connect(store, "gil", shares=False)
    assert lists_of(store, nobody)["rediscover"].tracks == []


@pytest.mark.mongo
def test_disliked_tracks_leave_the_list_and_liked_ones_weigh_more(store: Store, people: dict[str, User]) -> None:
    serve(store, "basket_knn")
    before = [track.spotify_id for track in lists_of(store, people["ann"])["discover"].tracks]
    after = [track.spotify_id for track in lists_of(store, people["ann"], disliked=[before[0]])["discover"].tracks]
    assert before[0] not in after
    group = SONGS_A_GROUP  # cay's
    liked = [track_id(group + song) for song in range(SONGS_A_GROUP // 2)]
    swayed = [track.spotify_id for track in lists_of(store, people["ann"], liked=liked)["discover"].tracks]
    of_cay = {track_id(group + song) for song in range(SONGS_A_GROUP)}

    def place(ids: list[str]) -> float:
        return float(np.mean([at for at, each in enumerate(ids) if each in of_cay]))

    assert place(swayed) < place(before)


@pytest.mark.mongo
def test_a_list_made_again_is_the_same_and_one_user_changes_no_other(store: Store, people: dict[str, User]) -> None:
    serve(store, "basket_knn")
    one, other = (lists_of(store, people["ann"]) for _ in range(2))
    assert one == other
    play(store, people["dee"], [1, 2, 3], NOW - timedelta(hours=1))
    assert lists_of(store, people["ann"]) == one


@pytest.mark.mongo
def test_a_week_later_what_was_played_is_counted_against_a_list_not_shown(
    store: Store, people: dict[str, User]
) -> None:
    serve(store, "basket_knn")
    made = lists_of(store, people["ann"])["discover"]
    lists_of(store, people["ann"])  # a second list in the same week is not kept
    (week,) = documents(store.db, "recommendation_weeks", without=("_id",))
    assert week["shown_ids"] == [track.spotify_id for track in made.tracks]
    assert week["control"] == "popularity"
    assert len(week["control_ids"]) <= len(week["shown_ids"])
    numbers = [int(made.tracks[at].spotify_id[1:]) for at in (0, 1)]
    play(store, people["ann"], numbers, NOW + timedelta(days=2))
    lists_of(store, people["ann"], NOW + timedelta(days=6))
    assert store.recommendations.weeks() == []
    lists_of(store, people["ann"], NOW + timedelta(days=8))
    (counted,) = store.recommendations.weeks(people["ann"].user_id)
    assert counted.hits == 2
    in_control = len(set(week["control_ids"]) & {track_id(number) for number in numbers})
    assert counted.control_hits == in_control


@pytest.mark.mongo
def test_a_person_overrules_the_evaluations_until_they_may_decide_again(store: Store, people: dict[str, User]) -> None:
    with pytest.raises(NotFoundError, match="nothing was evaluated yet"):
        roll_back(store, "discover", NOW)
    first = evaluate_models(store, SETTINGS, NOW)
    assert set(first.activated) == {"discover", "rediscover"}
    assert evaluate_models(store, SETTINGS, NOW + timedelta(days=1)).activated == {}
    with pytest.raises(NotFoundError, match="was ever in force"):
        roll_back(store, "rediscover", NOW)
    by_evaluation = first.evaluations["discover"].served
    other: Scorer = "content" if by_evaluation != "content" else "hybrid"
    store.recommendations.activate(
        ModelActivation(
            task="discover", name=other, version="1", activated_at=NOW + timedelta(days=2), by="evaluation", why="New."
        )
    )
    back = roll_back(store, "discover", NOW + timedelta(days=3))
    assert (back.name, back.by) == (by_evaluation, "person")
    assert verdict_in_force(store, "discover").served == by_evaluation
    store.recommendations.activate(back.model_copy(update={"name": other, "activated_at": NOW + timedelta(days=4)}))
    held = evaluate_models(store, SETTINGS, NOW + timedelta(days=5)).evaluations["discover"]
    assert held.served == other
    assert "A person has decided" in held.why
    assert resume(store, "discover", NOW + timedelta(days=6)).name == by_evaluation
    assert [each.served for each in store.recommendations.evaluations("discover")][-1] == other
