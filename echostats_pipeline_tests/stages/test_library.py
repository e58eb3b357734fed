"""Playlists, saved tracks and top items, read from the simulated Spotify and stored as they are read."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.errors import SpotifyError, WaitRequired
from echostats_pipeline.model.users import User
from echostats_pipeline.simulator.catalogue import Track
from echostats_pipeline.spotify.responses import JsonObject
from echostats_pipeline.spotify.transport import Request, Response
from echostats_pipeline.stages.library import (
    TOP_ITEMS_AGE,
    SavedVersion,
    sync_saved_tracks,
    sync_top_items,
)
from echostats_pipeline.stages.playlists import sync_playlists
from echostats_pipeline_tests.conftest import Counted, Installation, documents

STAGES = {"playlists": sync_playlists, "saved_tracks": sync_saved_tracks, "top_items": sync_top_items}


@pytest.fixture
def user(installation: Installation) -> User:
    return installation.connect()


def sync(installation: Installation, user: User, name: str) -> int:
    progress = Counted()
    with installation.client(user) as client:
        count = STAGES[name](installation.store, client, user, installation.now(), progress)
    assert progress.expected == progress.processed
    return count


def outdate(installation: Installation, name: str) -> None:
    """Make stored data differ from Spotify's, so that all of it has to be read again."""
    db = installation.store.db
    match name:
        case "playlists":
            db[name].update_many({}, {"$set": {"snapshot_id": "old"}})
        case "saved_tracks":
            db[name].delete_one({})
        case _:
            installation.clock.advance(timedelta(days=1))


def calls(installation: Installation) -> list[str]:
    found = installation.store.db["api_logs"].find({"service": "spotify"}).sort("_id")
    return [call["endpoint"].partition("?")[0] for call in found if "token" not in call["endpoint"]]


def test_playlists_are_those_of_the_user_with_all_their_tracks(installation: Installation, user: User) -> None:
    person, world = installation.person(user), installation.simulator.world
    true = {playlist.id: playlist for playlist in world.playlists(person)}
    assert sync(installation, user, "playlists") == len(true)
    found = documents(installation.store.db, "playlists")
    assert {playlist["spotify_id"] for playlist in found} == set(true)
    for playlist in found:
        rows = true[playlist["spotify_id"]].rows_at(installation.now())
        tracks = [row.item.id for row in rows if isinstance(row.item, Track)]
        assert [row["spotify_id"] for row in playlist["tracks"] if ":" not in row["spotify_id"]] == tracks
        assert playlist["total_tracks"] == len(rows)
    assert any(len(playlist["tracks"]) > 50 for playlist in found)


def test_saved_tracks_are_those_of_the_user(installation: Installation, user: User) -> None:
    true = installation.simulator.world.saved_tracks(installation.person(user), installation.now())
    assert sync(installation, user, "saved_tracks") == len(true)
    found = {row["spotify_id"]: row["added_at"] for row in documents(installation.store.db, "saved_tracks")}
    assert found == {row.track.id: row.added_at.replace(microsecond=0) for row in true}


def test_top_items_are_spotifys_own_in_order(installation: Installation, user: User) -> None:
    world, person = installation.simulator.world, installation.person(user)
    sync(installation, user, "top_items")
    found = {(top["kind"], top["time_range"]): top["items"] for top in documents(installation.store.db, "top_items")}
    assert len(found) == 6
    true = [track.id for track in world.top_tracks(person, "short_term", installation.now())]
    assert [item["spotify_id"] for item in found["tracks", "short_term"]] == true
    assert [item["rank"] for item in found["tracks", "short_term"]] == list(range(1, len(true) + 1))


@pytest.mark.parametrize("name", STAGES)
def test_twice_is_once(installation: Installation, user: User, name: str) -> None:
    first = sync(installation, user, name)
    before = documents(installation.store.db, name, without=())
    assert sync(installation, user, name) == (0 if name == "top_items" else first)
    assert documents(installation.store.db, name, without=()) == before


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("good", [0, 1])
def test_an_answer_that_fails_removes_nothing(installation: Installation, user: User, name: str, good: int) -> None:
    sync(installation, user, name)
    outdate(installation, name)
    before = documents(installation.store.db, name, without=())
    assert before
    with installation.client(user) as client:
        handler, sent = client._handler, []

        def failing(request: Request) -> Response:
            sent.append(request)
            return handler(request) if len(sent) <= good else Response(500)

        client._handler = failing
        with pytest.raises(SpotifyError):
            STAGES[name](installation.store, client, user, installation.now(), Counted())
    assert identities(installation, name) >= {each["_id"] for each in before}


def identities(installation: Installation, name: str) -> set[object]:
    return {each["_id"] for each in documents(installation.store.db, name, without=())}


def test_only_playlists_that_changed_are_read_again(installation: Installation, user: User) -> None:
    sync(installation, user, "playlists")
    before, made = documents(installation.store.db, "playlists"), len(calls(installation))
    changed = before[0]["spotify_id"]
    installation.store.db["playlists"].update_one(
        {"spotify_id": changed}, {"$set": {"snapshot_id": "old", "tracks": []}}
    )
    sync(installation, user, "playlists")
    read = {path for path in calls(installation)[made:] if path != "/v1/me/playlists"}
    assert read == {f"/v1/playlists/{changed}/items"}
    assert documents(installation.store.db, "playlists") == before


def test_a_playlist_that_spotify_does_not_show_the_contents_of_keeps_those_it_had(
    installation: Installation, user: User
) -> None:
    sync(installation, user, "playlists")
    before = {each["spotify_id"]: each["tracks"] for each in documents(installation.store.db, "playlists")}
    foreign = {
        each["spotify_id"]
        for each in documents(installation.store.db, "playlists")
        if each["owner_id"] != user.spotify_id and not each["collaborative"]
    }
    assert any(before[spotify_id] for spotify_id in foreign)
    outdate(installation, "playlists")
    installation.store.db["playlists"].update_many({}, {"$set": {"name": "old"}})
    installation.simulator.behave(regime="restricted_dev")
    made = len(calls(installation))
    sync(installation, user, "playlists")
    after = documents(installation.store.db, "playlists")
    assert {each["spotify_id"]: each["tracks"] for each in after} == before
    assert not any(each["name"] == "old" for each in after)
    tried = {path.split("/")[3] for path in calls(installation)[made:] if path != "/v1/me/playlists"}
    assert tried == set(before)


def test_a_playlist_that_is_gone_disappears(installation: Installation, user: User) -> None:
    sync(installation, user, "playlists")
    before = documents(installation.store.db, "playlists", without=())
    gone = {**before[0], "spotify_id": "gone"}
    del gone["_id"]
    installation.store.db["playlists"].insert_one(gone)
    others = {**before[0], "spotify_id": "gone", "user_id": "another"}
    del others["_id"]
    installation.store.db["playlists"].insert_one(others)
    sync(installation, user, "playlists")
    left = documents(installation.store.db, "playlists", without=())
    assert [each for each in left if each["user_id"] == user.user_id] == before
    assert [each["spotify_id"] for each in left if each["user_id"] == "another"] == ["gone"]


def test_a_playlist_deleted_between_listing_and_reading_disappears_and_the_others_stay(
    installation: Installation, user: User
) -> None:
    sync(installation, user, "playlists")
    before = documents(installation.store.db, "playlists", without=("_id", "fetched_at"))
    deleted = before[0]["spotify_id"]
    outdate(installation, "playlists")
    with installation.client(user) as client:
        handler = client._handler

        def deleting(request: Request) -> Response:
            missing = re.search(rf"/playlists/{deleted}/", request.endpoint)
            return Response(404, body=b'{"error": {"status": 404}}') if missing else handler(request)

        client._handler = deleting
        sync_playlists(installation.store, client, user, installation.now(), Counted())
    assert documents(installation.store.db, "playlists", without=("_id", "fetched_at")) == before[1:]


def test_unchanged_saved_tracks_cost_one_call(installation: Installation, user: User) -> None:
    count = sync(installation, user, "saved_tracks")
    made = len(calls(installation))
    assert count > 50
    assert sync(installation, user, "saved_tracks") == count
    assert calls(installation)[made:] == ["/v1/me/tracks"]


Answer = Callable[[JsonObject], object]
"""A change of a page of saved tracks."""


def read_otherwise(installation: Installation, user: User, change: Answer) -> int:
    """Sync the saved tracks of a Spotify whose pages are changed."""
    with installation.client(user) as client:
        handler = client._handler

        def changing(request: Request) -> Response:
            response = handler(request)
            page = response.json()
            change(page)
            return replace(response, body=json.dumps(page).encode())

        client._handler = changing
        return sync_saved_tracks(installation.store, client, user, installation.now(), Counted())


def with_local_files(page: JsonObject) -> None:
    """Two equal local files, one row without a date, and one withdrawn row; all are counted."""
    page["total"] += 4
    if page["offset"] == 0:
        local = {"id": None, "uri": "spotify:local:A::T:1", "name": "T", "artists": [{"name": "A"}], "is_local": True}
        added_at = page["items"][0]["added_at"]
        twice = [{"added_at": added_at, "track": local}] * 2
        page["items"] = [*twice, {"added_at": None, "track": local}, {"added_at": added_at, "track": None}] + page[
            "items"
        ]


def test_local_files_do_not_make_saved_tracks_look_changed(installation: Installation, user: User) -> None:
    first = read_otherwise(installation, user, with_local_files)
    made = len(calls(installation))
    assert made > 2
    assert installation.store.db["saved_tracks"].count_documents({}) == first
    assert read_otherwise(installation, user, with_local_files) == first
    assert calls(installation)[made:] == ["/v1/me/tracks"]


def test_tracks_that_are_added_cost_one_call(installation: Installation, user: User) -> None:
    count = sync(installation, user, "saved_tracks")
    made = len(calls(installation))
    row = {"added_at": "2030-01-01T00:00:00Z", "track": {"type": "track", "id": "0" * 22, "uri": "spotify:track:new"}}

    def one_more(page: JsonObject) -> None:
        page["total"] += 1
        page["items"] = [row, *page["items"]]

    for _ in range(2):
        assert read_otherwise(installation, user, one_more) == count + 1
    assert calls(installation)[made:] == ["/v1/me/tracks"] * 2
    assert installation.store.db["saved_tracks"].count_documents({"spotify_id": "0" * 22}) == 1


@given(
    before=st.lists(st.sampled_from("abcdef"), max_size=5, unique=True),
    after=st.lists(st.sampled_from("abcdef"), max_size=5, unique=True),
)
def test_what_was_added_is_told_only_where_nothing_else_changed(before: list[str], after: list[str]) -> None:
    earlier = SavedVersion(len(before), tuple(before[:3]), len(before))
    added = SavedVersion(len(after), tuple(after[:3]), len(before)).added_since(SavedVersion.read(earlier.write()))
    grown = after[len(after) - len(before) :][: len(before)] if len(after) >= len(before) else None
    if added is not None:
        assert after[added : added + 3 - added] == before[: 3 - added]
        assert added == len(after) - len(before)
    elif before and grown == before:
        assert len(after) - len(before) >= 3


def another_newest(page: JsonObject) -> None:
    page["items"][0]["track"]["uri"] = "spotify:track:another"


def added_later(page: JsonObject) -> None:
    page["items"][0]["added_at"] = "2030-01-01T00:00:00Z"


def one_less(page: JsonObject) -> None:
    page["total"] -= 1


@pytest.mark.parametrize("change", [another_newest, added_later, one_less])
def test_saved_tracks_that_changed_on_spotify_are_read_again(
    installation: Installation, user: User, change: Answer
) -> None:
    sync(installation, user, "saved_tracks")
    made = len(calls(installation))
    read_otherwise(installation, user, change)
    assert len(calls(installation)) - made > 2
    made = len(calls(installation))
    read_otherwise(installation, user, change)
    assert len(calls(installation)) - made == 1


@pytest.mark.parametrize("change", ["one less", "one more"])
def test_saved_tracks_of_which_not_all_are_stored_are_read_again(
    installation: Installation, user: User, change: str
) -> None:
    sync(installation, user, "saved_tracks")
    before, saved = documents(installation.store.db, "saved_tracks"), installation.store.db["saved_tracks"]
    oldest = saved.find_one(sort=[("added_at", 1)])
    assert oldest is not None
    if change == "one less":
        saved.delete_one({"_id": oldest["_id"]})
    else:
        saved.insert_one({**{k: v for k, v in oldest.items() if k != "_id"}, "spotify_id": "removed-since"})
    sync(installation, user, "saved_tracks")
    assert documents(installation.store.db, "saved_tracks") == before


def test_top_items_are_read_at_most_once_a_day(installation: Installation, user: User) -> None:
    sync(installation, user, "top_items")
    made = len(calls(installation))
    installation.clock.advance(TOP_ITEMS_AGE - timedelta(milliseconds=1))
    assert sync(installation, user, "top_items") == 0
    assert len(calls(installation)) == made
    installation.clock.advance(timedelta(milliseconds=1))
    assert sync(installation, user, "top_items") > 0
    assert len(calls(installation)) > made


def test_a_quota_between_two_lists_is_no_shorter_list(installation: Installation, user: User) -> None:
    for name in STAGES:
        sync(installation, user, name)
        outdate(installation, name)
    before = [identities(installation, name) for name in STAGES]
    installation.clock.advance(timedelta(days=2))
    installation.simulator.behave(quota={"playlists": 2, "saved-tracks": 2, "top-items": 2})
    for name in STAGES:
        with pytest.raises(WaitRequired):
            sync(installation, user, name)
    assert all(identities(installation, name) >= kept for name, kept in zip(STAGES, before, strict=True))
