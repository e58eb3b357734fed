"""Playlists, saved tracks and top items, read from the simulated Spotify whole or not at all."""

import pytest

from echostats_pipeline.errors import SpotifyError
from echostats_pipeline.model.users import User
from echostats_pipeline.simulator.catalogue import Track
from echostats_pipeline.spotify.transport import Request, Response
from echostats_pipeline.stages.library import sync_playlists, sync_saved_tracks, sync_top_items
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
    assert sync(installation, user, name) == first
    assert documents(installation.store.db, name, without=()) == before


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("good", [0, 1])
def test_an_answer_that_fails_removes_nothing(installation: Installation, user: User, name: str, good: int) -> None:
    sync(installation, user, name)
    before = documents(installation.store.db, name, without=())
    with installation.client(user) as client:
        handler, sent = client._handler, []

        def failing(request: Request) -> Response:
            sent.append(request)
            return handler(request) if len(sent) <= good else Response(500)

        client._handler = failing
        with pytest.raises(SpotifyError):
            STAGES[name](installation.store, client, user, installation.now(), Counted())
    assert documents(installation.store.db, name, without=()) == before
