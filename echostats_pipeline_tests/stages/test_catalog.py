"""The catalogue, completed from the simulated Spotify."""

from collections.abc import Sequence

import pytest

from echostats_pipeline.model.catalog import Track
from echostats_pipeline.model.users import User
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.transport import Request, Response
from echostats_pipeline.stages.catalog import (
    Enriched,
    enrich_albums,
    enrich_artists,
    enrich_audio_features,
    enrich_tracks,
)
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Counted, Installation, documents

from .test_ingestion import sync

STAGES = (enrich_tracks, enrich_artists, enrich_albums, enrich_audio_features)


def enrich(installation: Installation, user: User) -> list[Enriched]:
    with installation.client(user) as client:
        return [stage(installation.store, client, installation.now(), Counted()) for stage in STAGES]


def add_stubs(store: Store, ids: Sequence[str]) -> None:
    store.catalog.add_stubs("tracks", [Track(spotify_id=spotify_id, name="stub") for spotify_id in ids])


@pytest.fixture
def user(installation: Installation) -> User:
    return installation.connect()


def test_everything_that_plays_mention_becomes_complete(installation: Installation, user: User) -> None:
    world, db = installation.simulator.world.catalogue, installation.store.db
    add_stubs(installation.store, list(world.tracks)[:130])
    sync(installation, user)
    first = enrich(installation, user)
    assert all(each.unavailable == 0 for each in first[:3])
    assert not installation.store.catalog.lacks_anything()
    for track in documents(db, "tracks"):
        true = world.tracks[track["spotify_id"]]
        assert (track["name"], track["duration_ms"]) == (true.name, true.duration_ms)
        assert track["enriched_at"] == installation.now()
        assert track["audio_features"] is not None or track["audio_features_checked_at"] is not None
        assert track["album"]["spotify_id"] == true.album.id
    genres = {artist["spotify_id"]: artist["genres"] for artist in documents(db, "artists")}
    assert any(genres.values())
    for track in documents(db, "tracks"):
        assert track["genres"] == genres[track["artists"][0]["spotify_id"]]
    assert {album["spotify_id"] for album in documents(db, "albums")} == {
        track["album"]["spotify_id"] for track in documents(db, "tracks")
    }


def test_a_second_time_asks_spotify_for_nothing(installation: Installation, user: User) -> None:
    sync(installation, user)
    enrich(installation, user)
    calls = installation.store.db["api_logs"].count_documents({})
    before = [documents(installation.store.db, name) for name in ("tracks", "artists", "albums")]
    assert enrich(installation, user) == [Enriched()] * 4
    assert installation.store.db["api_logs"].count_documents({}) == calls
    assert [documents(installation.store.db, name) for name in ("tracks", "artists", "albums")] == before


def test_what_spotify_does_not_know_is_remembered(installation: Installation, user: User) -> None:
    unknown = "0" * 22
    add_stubs(installation.store, [unknown, "local:abc"])
    assert enrich(installation, user)[0] == Enriched(0, 1)
    found = {track["spotify_id"]: track for track in documents(installation.store.db, "tracks")}
    assert (found[unknown]["unavailable_at"], found[unknown]["enriched_at"]) == (installation.now(), None)
    assert found["local:abc"]["unavailable_at"] is None
    assert not installation.store.catalog.lacks_anything()
    calls = [call["endpoint"] for call in documents(installation.store.db, "api_logs")]
    assert not any("local" in endpoint for endpoint in calls)


def test_lengths_and_covers_reach_the_plays(installation: Installation, user: User) -> None:
    sync(installation, user)
    history = installation.store.db["listening_history"]
    history.update_many({}, {"$set": {"track.duration_ms": 0, "track.album_image_url": ""}})
    installation.store.db["tracks"].update_many({}, {"$set": {"enriched_at": None}})
    enrich(installation, user)
    assert history.count_documents({"track.duration_ms": 0}) == 0


def test_progress_counts_what_was_stored(installation: Installation, user: User) -> None:
    add_stubs(installation.store, list(installation.simulator.world.catalogue.tracks)[:130])
    progress = Counted()
    with installation.client(user) as client:
        enrich_tracks(installation.store, client, NOW, progress)
    assert progress.expected == progress.processed == 130


def test_a_refused_endpoint_of_audio_features_means_none_for_all(store: Store) -> None:
    def refusing(_: Request) -> Response:
        return Response(403, body=b'{"error": {"status": 403, "message": "Forbidden"}}')

    add_stubs(store, ["4uLU6hMCjMI75M1A2tKUQC"])
    store.db["tracks"].update_many({}, {"$set": {"enriched_at": NOW}})
    client = SpotifyClient(refusing)
    assert enrich_audio_features(store, client, NOW, Counted()) == Enriched(0, 1)
    (track,) = documents(store.db, "tracks")
    assert (track["audio_features"], track["audio_features_checked_at"]) == (None, NOW)
    assert not store.catalog.lacks_anything()


def test_a_failure_half_way_keeps_what_was_stored_and_goes_on_from_there(
    installation: Installation, user: User
) -> None:
    ids = list(installation.simulator.world.catalogue.tracks)[:230]
    add_stubs(installation.store, ids)
    with installation.client(user) as client:
        handler, sent = client._handler, []

        def failing(request: Request) -> Response:
            sent.append(request)
            return handler(request) if len(sent) <= 3 else Response(500)

        client._handler = failing
        with pytest.raises(Exception, match="500"):
            enrich_tracks(installation.store, client, NOW, Counted())
    assert installation.store.catalog.wanting("tracks") == ids[100:]
    assert enrich(installation, user)[0] == Enriched(130, 0)
