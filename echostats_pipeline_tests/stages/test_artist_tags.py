"""Genres of artists from the simulated MusicBrainz and Last.fm: who is asked what, what is kept, and what is shown."""

from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from pydantic import SecretStr

from echostats_pipeline.accounts.connecting import user_agent
from echostats_pipeline.model.catalog import Artist, ArtistTag, ArtistTags
from echostats_pipeline.model.users import User
from echostats_pipeline.simulator.behaviour import Fault
from echostats_pipeline.simulator.fame import LISTED_GENRES, NOISE, is_linked
from echostats_pipeline.simulator.lastfm import WRONG_KEY
from echostats_pipeline.stages.artist_tags import TagProgress, enrich_artist_tags, tag_progress
from echostats_pipeline.stages.catalog import EnrichmentResult, enrich_artists, enrich_tracks
from echostats_pipeline.stages.genre_coverage import genre_coverage
from echostats_pipeline.stages.statistics import rebuild_snapshots
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import Counted, Installation, documents
from echostats_pipeline_tests.stages.test_ingestion import sync

BOTH = ("spotify", "musicbrainz")
ALL = (*BOTH, "lastfm")


def enrich(installation: Installation, *order: str) -> EnrichmentResult:
    chosen = installation.with_settings(genres=order, lastfm_api_key=SecretStr("lastfm-key-canary"))
    with chosen.tag_sources() as sources:
        return enrich_artist_tags(chosen.store, sources, order, chosen.now(), Counted())


def paths(store: Store, service: str) -> Counter[str]:
    """How often each path of a service was called."""
    calls = store.db["api_logs"].find({"service": service})
    return Counter(urlsplit(call["endpoint"]).path.removeprefix(f"/{service}/ws/2") for call in calls)


def artists(store: Store) -> dict[str, Any]:
    return {each["spotify_id"]: each for each in documents(store.db, "artists")}


def user_without_genres(installation: Installation) -> User:
    """A user whose artists Spotify has told without genres."""
    installation.simulator.behave(artist_genres="absent")
    user = installation.connect()
    sync(installation, user)
    with installation.client(user) as client:
        enrich_tracks(installation.store, client, installation.now(), Counted())
        enrich_artists(installation.store, client, installation.now(), Counted())
    return user


@pytest.fixture
def user(installation: Installation) -> User:
    return user_without_genres(installation)


def test_musicbrainz_fills_what_spotify_leaves_empty_in_a_few_calls(installation: Installation, user: User) -> None:
    store, world = installation.store, installation.simulator.world
    assert not any(each["genres"] for each in artists(store).values())
    rebuild_snapshots(store, user, installation.now())
    assert store.marks.pending("analytics_snapshots") == {}
    result = enrich(installation, *BOTH)
    linked = {each for each in artists(store) if is_linked(world, world.catalogue.artists[each], 0.84)}
    assert result.completed + result.unavailable == len(artists(store))
    assert 0 < result.completed <= len(linked)
    for spotify_id, artist in artists(store).items():
        assert artist["genres_source"] == ("musicbrainz" if artist["genres"] else "")
        assert set(artist["genres"]) <= set(LISTED_GENRES) - set(NOISE)
        assert spotify_id in linked or not artist["genres"]
    assert paths(store, "musicbrainz") == {"/url": 1, "/artist": 1, "/genre/all": 1}
    for track in documents(store.db, "tracks"):
        assert track["genres"] == artists(store)[track["artists"][0]["spotify_id"]]["genres"]
    (answer,) = store.db["artist_tags"].find({"tags": {"$ne": []}}).limit(1)
    assert (answer["licence"], answer["tags"][0]["weight"]) == ("CC BY-NC-SA 3.0", 1.0)
    assert store.marks.pending("analytics_snapshots").keys() == {user.user_id}


def test_nobody_is_asked_twice_before_the_answer_expires(installation: Installation, user: User) -> None:
    enrich(installation, *ALL)
    made = installation.store.db["api_logs"].count_documents({})
    before = documents(installation.store.db, "artist_tags")
    assert enrich(installation, *ALL) == EnrichmentResult()
    assert installation.store.db["api_logs"].count_documents({}) == made
    assert documents(installation.store.db, "artist_tags") == before
    unknown = sum(each["genres_source"] != "musicbrainz" for each in artists(installation.store).values())
    installation.clock.advance(timedelta(days=31))
    again = enrich(installation, *BOTH)
    assert (again.completed, again.unavailable) == (0, unknown)
    assert user.partition_key


def test_lastfm_is_asked_only_for_what_musicbrainz_does_not_know(installation: Installation, user: User) -> None:
    first = enrich(installation, *BOTH)
    second = enrich(installation, *ALL)
    store = installation.store
    calls = paths(store, "lastfm")
    assert second.completed > 0
    assert first.unavailable <= calls.total() <= 2 * first.unavailable  # by MusicBrainz id, then by name
    assert {each["genres_source"] for each in artists(store).values() if each["genres"]} == {"musicbrainz", "lastfm"}
    coverage = genre_coverage(store, user, 30_000)
    assert coverage.artists["lastfm"] <= second.completed
    assert coverage.plays_covered > 0.9
    assert not any("lastfm-key-canary" in str(call) for call in documents(store.db, "api_logs"))


def test_the_order_of_the_settings_decides_and_no_genre_is_lost(installation: Installation) -> None:
    user = installation.connect()
    sync(installation, user)
    with installation.client(user) as client:
        enrich_tracks(installation.store, client, installation.now(), Counted())
        enrich_artists(installation.store, client, installation.now(), Counted())
    store = installation.store
    told = {spotify_id: each["genres"] for spotify_id, each in artists(store).items() if each["genres"]}
    enrich(installation, "musicbrainz", "spotify")
    first = artists(store)
    assert all(first[spotify_id]["genres"] for spotify_id in told)
    assert any(first[spotify_id]["genres_source"] == "musicbrainz" for spotify_id in told)
    enrich(installation, *BOTH)
    second = artists(store)
    assert {spotify_id: second[spotify_id]["genres"] for spotify_id in told} == told
    assert {second[spotify_id]["genres_source"] for spotify_id in told} == {"spotify"}


@pytest.mark.parametrize("form", ["empty", "null", "absent"])
def test_what_spotify_leaves_out_never_empties_what_is_known(installation: Installation, form: str) -> None:
    user = installation.connect()
    sync(installation, user)
    store = installation.store
    for later in ("filled", form):
        installation.simulator.behave(artist_genres=later)
        store.db["artists"].update_many({}, {"$set": {"enriched_at": None}})
        with installation.client(user) as client:
            enrich_tracks(store, client, installation.now(), Counted())
            enrich_artists(store, client, installation.now(), Counted())
        genres = {spotify_id: each["genres"] for spotify_id, each in artists(store).items()}
        assert genres == {each: list(installation.simulator.world.catalogue.artists[each].genres) for each in genres}


def test_spotifys_genres_win_when_they_come_later(installation: Installation, user: User) -> None:
    store, world = installation.store, installation.simulator.world
    enrich(installation, *BOTH)
    installation.simulator.behave(artist_genres="filled")
    store.db["artists"].update_many({}, {"$set": {"enriched_at": None}})
    with installation.client(user) as client:
        enrich_artists(store, client, installation.now(), Counted())
    for spotify_id, artist in artists(store).items():
        if true := list(world.catalogue.artists[spotify_id].genres):
            assert (artist["genres"], artist["genres_source"]) == (true, "spotify")


def test_a_call_a_second_is_kept_also_by_several_processes(installation: Installation, user: User) -> None:
    limits = installation.store.limits
    now, pace = installation.now(), timedelta(seconds=1.1)
    places = [limits.reserve("musicbrainz", now, pace) for _ in range(4)]
    assert places == [now + number * pace for number in range(4)]
    begun = installation.now()
    enrich(installation, *BOTH)
    assert installation.now() - begun >= 6 * pace  # four places before, and two pauses between three calls
    calls = documents(installation.store.db, "api_logs")
    assert [call["status_code"] for call in calls if call["service"] == "musicbrainz"] == [200] * 3
    assert user.partition_key


@pytest.mark.parametrize("fault", ["server-error", "disconnect", "truncated-json", "rate-limit"])
def test_a_source_that_fails_waits_with_a_reason_and_the_rest_comes_later(
    installation: Installation, user: User, fault: str
) -> None:
    installation.simulator.behave(faults={fault: Fault(rate=1, families=("musicbrainz",))})
    stopped = enrich(installation, *BOTH)
    assert stopped.waiting is not None
    assert stopped.waiting.family == "musicbrainz"
    assert (stopped.completed, stopped.left) == (0, len(artists(installation.store)))
    assert "musicbrainz" in installation.store.limits.waiting(["musicbrainz"], installation.now())
    installation.simulator.behave(faults={})
    installation.clock.advance(timedelta(hours=1))
    assert enrich(installation, *BOTH).left == 0
    assert user.partition_key


def test_a_wrong_key_is_told_and_stops_nobody_else(installation: Installation, user: User) -> None:
    chosen = installation.with_settings(genres=ALL, lastfm_api_key=SecretStr(WRONG_KEY))
    with chosen.tag_sources() as sources:
        result = enrich_artist_tags(chosen.store, sources, ALL, chosen.now(), Counted())
    assert result.completed > 0
    assert result.waiting is not None
    assert "LASTFM_API_KEY" in result.waiting.reason
    assert result.waiting.until - chosen.now() > timedelta(hours=23)
    assert user.partition_key


def test_artists_with_one_name_are_not_asked_by_name(store: Store) -> None:
    store.catalog.add_stubs(
        "artists",
        [Artist(spotify_id=each, name=name) for each, name in (("a", "Same"), ("b", "Same"), ("c", "Own"), ("d", ""))],
    )
    assert store.artist_tags.names(["a", "b", "c", "d"]) == {"c": "Own"}


def test_an_answer_without_genres_does_not_replace_one_with_genres(store: Store) -> None:
    known = ArtistTags(spotify_id="a", source="musicbrainz", tags=[ArtistTag(name="rock", weight=1.0)], mbid="m")
    store.artist_tags.put([known])
    store.artist_tags.put([ArtistTags(spotify_id="a", source="musicbrainz")])
    (kept,) = documents(store.db, "artist_tags")
    assert (kept["tags"], kept["mbid"]) == ([{"name": "rock", "weight": 1.0}], "m")


def test_progress_tells_how_many_artists_are_known_and_how_long_the_rest_takes(
    installation: Installation, user: User
) -> None:
    store, now = installation.store, installation.now()
    count = len(artists(store))
    begun = tag_progress(store, BOTH, now)
    assert begun.text == f"0 of {count} artists asked about, ready in about 1 minute"
    assert tag_progress(store, ("spotify",), now).seconds_left is None
    enrich(installation, *BOTH)
    assert tag_progress(store, BOTH, installation.now()).text == f"{count} of {count} artists asked about"
    assert (
        TagProgress(1_000, 10_000, 3 * 24 * 3600.0).text == "1,000 of 10,000 artists asked about, ready in about 3 days"
    )
    assert user.partition_key


def test_musicbrainz_gets_a_user_agent_with_the_app_and_a_contact(installation: Installation) -> None:
    agent = user_agent(installation.with_settings(contact="me@example.org").settings)
    assert agent.startswith("echostats_pipeline/")
    assert agent.endswith("( me@example.org )")
    url = f"{installation.simulator.base_url}/musicbrainz/ws/2/genre/all?fmt=txt"
    assert requests.get(url, timeout=10).status_code == 403
    assert requests.get(url, headers={"User-Agent": agent}, timeout=10).ok
