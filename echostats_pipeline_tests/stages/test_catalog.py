"""The catalogue, completed from the simulated Spotify."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import unquote

import pytest

from echostats_pipeline.model.catalog import Track
from echostats_pipeline.model.users import User
from echostats_pipeline.simulator.behaviour import Regime
from echostats_pipeline.spotify.client import batch_route
from echostats_pipeline.spotify.endpoint_access import REMEMBERED_FOR
from echostats_pipeline.spotify.transport import Request, Response
from echostats_pipeline.stages.catalog import (
    EnrichmentResult,
    enrich_albums,
    enrich_artists,
    enrich_audio_features,
    enrich_tracks,
    objects_a_day,
)
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Counted, Installation, documents
from echostats_pipeline_tests.stages.test_ingestion import sync

STAGES = (enrich_tracks, enrich_artists, enrich_albums)


def enrich(installation: Installation, user: User) -> list[EnrichmentResult]:
    store = installation.store
    with installation.client(user) as client:
        done = [stage(store, client, installation.now(), Counted()) for stage in STAGES]
    with installation.feature_sources(user) as sources:
        return [*done, enrich_audio_features(store, sources, installation.now(), Counted())]


def asked(installation: Installation, family: str) -> list[str]:
    """The ids of one family that were requested from Spotify, in order, one call after the other."""
    ids: list[str] = []
    for call in installation.store.db["api_logs"].find({"family": family}).sort("_id"):
        path, _, query = call["endpoint"].partition("?")
        ids += unquote(query.removeprefix("ids=")).split(",") if query else [path.rpartition("/")[2]]
    return ids


def calls(installation: Installation, family: str) -> int:
    return installation.store.db["api_logs"].count_documents({"family": family})


def forget_enrichment(store: Store) -> None:
    for name in ("tracks", "artists", "albums"):
        store.db[name].update_many({}, {"$set": {"enriched_at": None}})


def add_stubs(store: Store, ids: Sequence[str]) -> None:
    store.catalog.add_stubs("tracks", [Track(spotify_id=spotify_id, name="stub") for spotify_id in ids])


@pytest.fixture
def user(installation: Installation) -> User:
    return installation.connect()


def test_everything_that_plays_mention_becomes_complete(installation: Installation, user: User) -> None:
    world, db = installation.simulator.world.releases, installation.store.db
    add_stubs(installation.store, list(world.tracks)[:130])
    sync(installation, user)
    first = enrich(installation, user)
    assert all(each.unavailable == 0 for each in first[:3])
    assert installation.store.catalog.lacking(installation.now()) == {}
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
    made = installation.store.db["api_logs"].count_documents({})
    before = [documents(installation.store.db, name) for name in ("tracks", "artists", "albums")]
    assert enrich(installation, user) == [EnrichmentResult()] * 4
    assert installation.store.db["api_logs"].count_documents({}) == made
    assert [documents(installation.store.db, name) for name in ("tracks", "artists", "albums")] == before


def test_what_spotify_does_not_know_is_remembered(installation: Installation, user: User) -> None:
    unknown = "0" * 22
    add_stubs(installation.store, [unknown, "local:abc"])
    assert enrich(installation, user)[0] == EnrichmentResult(0, 1)
    found = {track["spotify_id"]: track for track in documents(installation.store.db, "tracks")}
    assert (found[unknown]["unavailable_at"], found[unknown]["enriched_at"]) == (installation.now(), None)
    assert found["local:abc"]["unavailable_at"] is None
    assert installation.store.catalog.lacking(installation.now()) == {}
    endpoints = [call["endpoint"] for call in documents(installation.store.db, "api_logs")]
    assert not any("local" in endpoint for endpoint in endpoints)


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


def test_a_refusal_of_audio_features_is_asked_for_once_and_ends_with_itself(
    installation: Installation, user: User
) -> None:
    alone = installation.with_settings(audio_features=("spotify",))
    add_stubs(installation.store, sorted(installation.simulator.world.catalogue.tracks)[:130])
    installation.simulator.behave(regime="restricted_dev")
    for _ in range(2):
        assert enrich(alone, user)[3] == EnrichmentResult(left=130)
    assert calls(installation, "audio-features") == 1
    assert {each["audio_features_checked_at"] for each in documents(installation.store.db, "tracks")} == {None}
    installation.clock.advance(REMEMBERED_FOR)
    installation.simulator.behave(regime="extended")
    features = enrich(alone, user)[3]
    assert (features.completed + features.unavailable, features.left) == (130, 0)
    assert features.completed > 0


def test_a_source_that_is_added_is_asked_at_once_and_the_others_not_again(
    installation: Installation, user: User
) -> None:
    add_stubs(installation.store, sorted(installation.simulator.world.catalogue.tracks)[:50])
    installation.simulator.behave(regime="restricted_dev", reccobeats_share=0.5)
    enrich(installation.with_settings(audio_features=("spotify",)), user)
    some = enrich(installation, user)[3]
    assert some.completed > 0
    assert some.unavailable > 0
    made = calls(installation, "reccobeats")
    installation.clock.advance(REMEMBERED_FOR)
    installation.simulator.behave(regime="extended")
    assert enrich(installation, user)[3].completed > 0, "Spotify knows more, now that it may be asked"
    assert calls(installation, "reccobeats") == made


def test_while_spotify_waits_the_others_are_asked_once_and_spotify_later(
    installation: Installation, user: User
) -> None:
    add_stubs(installation.store, sorted(installation.simulator.world.catalogue.tracks)[:130])
    installation.simulator.behave(reccobeats_share=0.5)
    installation.store.limits.postpone("audio-features", installation.now() + timedelta(hours=20), "used up")
    first, second = enrich(installation, user)[3], enrich(installation, user)[3]
    assert first.waiting is not None
    assert 0 < first.completed < 130
    assert (first.unavailable, first.left) == (0, 130 - first.completed)
    assert (second.completed, second.left) == (0, first.left)
    made = calls(installation, "reccobeats")
    installation.clock.advance(timedelta(hours=20))
    third = enrich(installation, user)[3]
    assert (third.completed + third.unavailable, third.left) == (first.left, 0)
    assert third.completed > 0
    assert calls(installation, "reccobeats") == made, "it has said already what it does not know"


def test_of_several_sources_that_wait_each_is_known_to(installation: Installation, user: User) -> None:
    add_stubs(installation.store, sorted(installation.simulator.world.catalogue.tracks)[:250])
    with installation.client(user) as client:
        enrich_tracks(installation.store, client, installation.now(), Counted())
    with installation.with_settings(daily_calls=1).feature_sources(user) as sources:
        enriched = enrich_audio_features(installation.store, sources, installation.now(), Counted())
    assert enriched.left > 0
    families = ("audio-features", "reccobeats")
    assert [calls(installation, family) for family in families] == [1, 1]
    assert installation.store.limits.waiting(families, installation.now()).keys() == set(families)


def test_a_days_objects_are_calls_times_what_a_call_reads(installation: Installation) -> None:
    def a_day(family: str, *sources: str) -> int:
        settings = installation.settings.model_copy(update={"daily_calls": 10, "audio_features": sources})
        return objects_a_day(settings, installation.store, family, NOW)

    assert [a_day(family) for family in ("tracks", "artists", "albums")] == [500, 500, 200]
    assert a_day("audio-features", "spotify") == a_day("audio-features", "spotify", "mine.csv") == 1000
    assert a_day("audio-features", "spotify", "reccobeats") == 400
    for kind in ("albums", "audio-features"):
        installation.store.limits.remember_refused(batch_route(kind), NOW + REMEMBERED_FOR)
    assert [a_day(family) for family in ("tracks", "albums")] == [500, 10]
    assert a_day("audio-features", "spotify", "reccobeats") == 400
    assert a_day("audio-features", "spotify") == a_day("audio-features") == 0


def play(store: Store, user: User, track_id: str) -> None:
    song = {"spotify_id": track_id, "name": "Name", "artist_name": "Artist", "album_name": "Album", "duration_ms": 1}
    store.db["listening_history"].insert_one({"user_id": user.user_id, "played_at": NOW, "track": song})


def snapshots_wait_of(store: Store) -> set[str]:
    """Ids of users whose snapshots wait; clears the marks."""
    waiting = set(store.marks.pending("analytics_snapshots"))
    store.db["change_marks"].delete_many({})
    return waiting


def test_whatever_is_read_snapshots_wait_of_its_listeners(installation: Installation, user: User) -> None:
    store, other = installation.store, installation.connect(1)
    heard, *more = installation.simulator.world.catalogue.tracks.values()
    unlike = next(track for track in more if track.album != heard.album and not {*track.artists} & {*heard.artists})
    play(store, user, heard.id)
    play(store, other, unlike.id)
    add_stubs(store, [heard.id])
    with installation.client(user) as client:
        for stage in STAGES:
            assert stage(store, client, NOW, Counted()).completed
            assert snapshots_wait_of(store) == {user.user_id}
            assert stage(store, client, NOW, Counted()).completed == 0
            assert snapshots_wait_of(store) == set()
    with installation.feature_sources(user) as sources:
        assert enrich_audio_features(store, sources, NOW, Counted()).completed
    assert snapshots_wait_of(store) == {user.user_id}


def test_a_failure_half_way_keeps_what_was_stored_and_goes_on_from_there(
    installation: Installation, user: User
) -> None:
    ids = sorted(list(installation.simulator.world.catalogue.tracks)[:230])
    add_stubs(installation.store, ids)
    play(installation.store, user, ids[0])
    with installation.client(user) as client:
        handler, sent = client._handler, []

        def failing(request: Request) -> Response:
            sent.append(request)
            return handler(request) if len(sent) <= 3 else Response(500)

        client._handler = failing
        with pytest.raises(Exception, match="500"):
            enrich_tracks(installation.store, client, NOW, Counted())
    assert installation.store.catalog.wanting("tracks", NOW) == ids[100:]
    assert snapshots_wait_of(installation.store) == {user.user_id}
    assert enrich(installation, user)[0] == EnrichmentResult(130, 0)


def test_a_quota_in_the_middle_loses_nothing_that_was_read(installation: Installation, user: User) -> None:
    ids = sorted(list(installation.simulator.world.catalogue.tracks)[:130])
    add_stubs(installation.store, ids)
    installation.simulator.behave(quota={"tracks": 1})
    progress = Counted()
    with installation.client(user) as client:
        first = enrich_tracks(installation.store, client, installation.now(), progress)
    assert (first.completed, first.unavailable, first.left) == (50, 0, 80)
    assert (progress.expected, progress.processed) == (130, 50)
    assert first.waiting is not None
    assert first.waiting.family == "tracks"
    assert first.waiting.until == installation.now() + timedelta(hours=24)
    assert installation.store.catalog.wanting("tracks", installation.now()) == ids[50:]
    with installation.client(user) as client:  # the response is stored: the second time makes no call
        again = enrich_tracks(installation.store, client, installation.now(), Counted())
    assert (again.completed, again.left) == (0, 80)
    assert calls(installation, "tracks") == 2
    installation.simulator.behave(quota=None)
    installation.clock.advance(timedelta(hours=24))
    assert enrich(installation, user)[0] == EnrichmentResult(80, 0)


@pytest.mark.parametrize("regime", ["legacy_dev", "restricted_dev"])
def test_every_regime_completes_the_same_catalogue(installation: Installation, user: User, regime: Regime) -> None:
    installation.simulator.behave(regime=regime)
    sync(installation, user)
    tracks, artists, albums, features = enrich(installation, user)
    assert (tracks.left, artists.left, albums.left, features.left) == (0, 0, 0, 0)
    assert artists.completed > 0
    assert albums.completed > 0
    assert (artists.unavailable, albums.unavailable) == (0, 0)
    assert installation.store.catalog.lacking(installation.now()) == {}
    world = installation.simulator.world.releases
    for album in documents(installation.store.db, "albums"):
        assert album["name"] == world.albums[album["spotify_id"]].name


def test_where_batches_are_refused_objects_are_read_one_by_one(installation: Installation, user: User) -> None:
    installation.simulator.behave(regime="restricted_dev")
    sync(installation, user)
    wanted = installation.store.catalog.wanting("artists", installation.now())
    enrich(installation, user)
    assert calls(installation, "artists") == 1 + len(wanted)
    assert asked(installation, "artists")[-len(wanted) :] == wanted
    add_stubs(installation.store, sorted(installation.simulator.world.catalogue.tracks)[:3])
    before = calls(installation, "artists")
    enrich(installation, user)  # the next client knows the refusal
    endpoints = [call["endpoint"] for call in installation.store.db["api_logs"].find({"family": "artists"})]
    assert len([endpoint for endpoint in endpoints if "?ids=" in endpoint]) == 1
    assert calls(installation, "artists") >= before


def test_a_daily_budget_goes_to_the_most_played_first_and_no_id_is_asked_for_twice(
    installation: Installation, user: User
) -> None:
    installation.simulator.behave(regime="restricted_dev")
    sync(installation, user)
    forget_enrichment(installation.store)
    frugal = installation.with_settings(daily_calls=20)
    catalog = installation.store.catalog
    wanted = catalog.wanting("tracks", installation.now())
    plays = Counter(play["track"]["spotify_id"] for play in documents(installation.store.db, "listening_history"))
    assert [plays[spotify_id] for spotify_id in wanted] == sorted(plays.values(), reverse=True)
    assert 40 < len(wanted) < plays.total()
    stubs = {name: len(catalog.wanting(name, installation.now())) for name in ("artists", "albums")}
    first = enrich(frugal, user)
    # One of the twenty calls has found that batches are refused.
    assert (first[0].completed, first[0].left) == (19, len(wanted) - 19)
    assert asked(installation, "tracks")[-19:] == wanted[:19]
    assert calls(installation, "tracks") == 20
    for family, count in stubs.items():
        assert calls(installation, family) == min(20, count + 1)
    assert [each.waiting is not None for each in first[:2]] == [True, True]
    assert catalog.wanting("tracks", installation.now()) == wanted[19:]
    again = enrich(frugal, user)
    assert all(each.completed == 0 and each.left for each in again[:2])
    assert calls(installation, "tracks") == 20
    installation.clock.advance(timedelta(hours=24))
    second = enrich(frugal, user)
    assert second[0].completed == 20
    assert calls(installation, "tracks") == 40
    for _ in range(8):
        installation.clock.advance(timedelta(hours=24))
        enrich(frugal, user)
    for family in ("tracks", "artists", "albums"):
        singles = installation.store.db["api_logs"].find({"family": family, "endpoint": {"$not": {"$regex": "ids="}}})
        endpoints = [call["endpoint"] for call in singles]
        assert len(set(endpoints)) == len(endpoints) > 0
    assert catalog.lacking(installation.now()).keys() <= {"audio-features"}


def test_what_a_regime_does_not_tell_never_overwrites_what_is_known(installation: Installation, user: User) -> None:
    store = installation.store
    sync(installation, user)
    enrich(installation, user)
    reported = {
        "tracks": ("popularity", "genres", "audio_features"),
        "artists": ("popularity", "genres", "followers", "images"),
        "albums": ("popularity", "images"),
    }

    def known() -> dict[str, list[object]]:
        return {
            name: [[each["spotify_id"], *(each[field] for field in fields)] for each in documents(store.db, name)]
            for name, fields in reported.items()
        }

    before = known()
    assert any(artist[1] and artist[2] for artist in before["artists"])  # type: ignore[index]
    store.db["artists"].update_many({}, {"$set": {"name": "Old"}})
    forget_enrichment(store)
    installation.simulator.behave(regime="restricted_dev")
    enrich(installation, user)
    assert store.db["artists"].count_documents({"name": "Old"}) == 0
    assert sorted(map(repr, known()["artists"])) == sorted(map(repr, before["artists"]))
    assert sorted(map(repr, known()["tracks"])) == sorted(map(repr, before["tracks"]))
    assert sorted(map(repr, known()["albums"])) == sorted(map(repr, before["albums"]))


def test_where_spotify_refuses_features_reccobeats_gives_what_it_knows(installation: Installation, user: User) -> None:
    installation.simulator.behave(regime="restricted_dev", reccobeats_share=0.5)
    sync(installation, user)
    *_, features = enrich(installation, user)
    assert features.completed > 0
    assert features.unavailable > 0
    assert features.waiting is None
    tracks = documents(installation.store.db, "tracks")
    assert sum(track["audio_features"] is not None for track in tracks) == features.completed
    assert {track["audio_features_checked_at"] for track in tracks} == {installation.now()}
    assert calls(installation, "audio-features") == 1, "asked once, then known to be refused"


def test_while_reccobeats_asks_to_wait_tracks_stay_open_and_nothing_is_lost(
    installation: Installation, user: User
) -> None:
    ids = sorted(list(installation.simulator.world.catalogue.tracks)[:130])
    add_stubs(installation.store, ids)
    installation.simulator.behave(regime="restricted_dev", reccobeats_limit=1, reccobeats_share=1.0)
    with installation.client(user) as client:
        enrich_tracks(installation.store, client, installation.now(), Counted())
    rounds = 0
    while installation.store.catalog.lacking(installation.now()).get("audio-features"):
        with installation.feature_sources(user) as sources:
            enrich_audio_features(installation.store, sources, installation.now(), Counted())
        installation.clock.advance(timedelta(minutes=10))
        rounds += 1
        assert rounds < 20
    found = documents(installation.store.db, "tracks")
    assert {track["audio_features"] is not None for track in found} == {True}
