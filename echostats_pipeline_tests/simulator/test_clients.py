"""Two Spotify libraries that do not know of the simulator use it through both sign-in flows and every endpoint."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import spotipy
import tekore
from spotipy.cache_handler import MemoryCacheHandler
from spotipy.oauth2 import SpotifyOAuth, SpotifyOauthError, SpotifyPKCE

from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline_tests.simulator.conftest import REDIRECT_URI, SCOPE, connect

FEATURES_ARE_DEPRECATED = "ignore:You're using `audio_features:DeprecationWarning"


@pytest.fixture(params=[SpotifyOAuth, SpotifyPKCE])
def manager(
    request: pytest.FixtureRequest, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> SpotifyOAuth | SpotifyPKCE:
    flow = request.param
    monkeypatch.setattr(flow, "OAUTH_TOKEN_URL", f"{simulator.base_url}/api/token")
    monkeypatch.setattr(flow, "OAUTH_AUTHORIZE_URL", f"{simulator.base_url}/authorize")
    secret = {"client_secret": "secret"} if flow is SpotifyOAuth else {}
    return flow(
        client_id="client",
        redirect_uri=REDIRECT_URI,
        scope=SCOPE,
        cache_handler=MemoryCacheHandler(),
        requests_session=True,
        **secret,
    )


def sign_in(manager: SpotifyOAuth | SpotifyPKCE, user: SimulatedUser) -> None:
    page = requests.get(f"{manager.get_authorize_url()}&login_as={user.id}", allow_redirects=False, timeout=10)
    code = manager.parse_response_code(page.headers["Location"])
    if isinstance(manager, SpotifyPKCE):
        manager.get_access_token(code, check_cache=False)
    else:
        manager.get_access_token(code, as_dict=False, check_cache=False)


@pytest.fixture
def spotify(
    manager: SpotifyOAuth | SpotifyPKCE, simulator: RunningSimulator, user: SimulatedUser
) -> Iterator[spotipy.Spotify]:
    sign_in(manager, user)
    with requests.Session() as session:
        client = spotipy.Spotify(auth_manager=manager, requests_session=session)
        client.prefix = f"{simulator.base_url}/v1/"
        yield client


def all_items(client: spotipy.Spotify, page: dict[str, Any]) -> list[Any]:
    rows = list(page["items"])
    while page["next"]:
        page = client.next(page)
        rows += page["items"]
    return rows


def test_spotipy_reads_everything(spotify: spotipy.Spotify, world: World, user: SimulatedUser) -> None:
    assert spotify.me()["id"] == user.id
    assert len(spotify.current_user_recently_played(limit=50)["items"]) == 50
    assert spotify.current_user_recently_played(limit=50, before=1)["items"] == []
    assert len(spotify.current_user_top_artists(limit=50, time_range="long_term")["items"]) == 50
    assert len(spotify.current_user_top_tracks(limit=50, time_range="short_term")["items"]) == 50
    saved = all_items(spotify, spotify.current_user_saved_tracks(limit=50))
    assert len(saved) > 50
    playlists = all_items(spotify, spotify.current_user_playlists(limit=5))
    longest = max(playlists, key=lambda playlist: playlist["items"]["total"])
    assert len(all_items(spotify, spotify.playlist_items(longest["id"]))) == longest["items"]["total"]
    assert len(all_items(spotify, spotify.playlist(longest["id"])["items"])) == longest["items"]["total"]


@pytest.mark.filterwarnings(FEATURES_ARE_DEPRECATED)
def test_spotipy_reads_the_catalogue(spotify: spotipy.Spotify, world: World) -> None:
    tracks = list(world.catalogue.tracks)[:50]
    artists, albums = list(world.catalogue.artists)[:50], list(world.catalogue.albums)[:20]
    assert [item["id"] for item in spotify.tracks(tracks)["tracks"]] == tracks
    assert [item["id"] for item in spotify.artists(artists)["artists"]] == artists
    assert [item["id"] for item in spotify.albums(albums)["albums"]] == albums
    assert spotify.track(tracks[0])["album"]["id"] == spotify.album(albums[0])["id"]
    assert spotify.artist(artists[0])["followers"]["total"] >= 0
    measured = [item["id"] for item in spotify.audio_features(tracks) if item]
    assert measured == [track for track in tracks if track in world.catalogue.audio_features]


def test_spotipy_refreshes_and_keeps_its_refresh_token(
    manager: SpotifyOAuth | SpotifyPKCE, user: SimulatedUser
) -> None:
    sign_in(manager, user)
    before = manager.cache_handler.get_cached_token()
    manager.refresh_access_token(before["refresh_token"])
    after = manager.cache_handler.get_cached_token()
    assert after["refresh_token"] == before["refresh_token"]
    assert after["access_token"] != before["access_token"]


def test_spotipy_learns_that_a_grant_is_invalid(manager: SpotifyOAuth | SpotifyPKCE) -> None:
    with pytest.raises(SpotifyOauthError) as caught:
        manager.refresh_access_token("AQgarbled")
    assert caught.value.error == "invalid_grant"


def test_spotipy_reports_a_bad_token(simulator: RunningSimulator) -> None:
    client = spotipy.Spotify(auth="garbled", retries=0)
    client.prefix = f"{simulator.base_url}/v1/"
    with pytest.raises(spotipy.SpotifyException) as caught:
        client.me()
    assert caught.value.http_status == 401


class Rewriting(tekore.SyncSender):
    """Sends requests for Spotify to the simulator."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self.base_url = base_url

    def send(self, request: tekore.Request) -> tekore.Response:
        for origin in ("https://api.spotify.com", "https://accounts.spotify.com"):
            request.url = request.url.replace(origin, self.base_url)
        return super().send(request)


@pytest.fixture
def sender(simulator: RunningSimulator) -> Iterator[Rewriting]:
    rewriting = Rewriting(simulator.base_url)
    yield rewriting
    rewriting.close()


def test_tekore_reads_everything(
    sender: Rewriting, simulator: RunningSimulator, world: World, user: SimulatedUser
) -> None:
    credentials = tekore.Credentials("client", "secret", REDIRECT_URI, sender=sender)
    code = simulator.consent(user.id, client_id="client", redirect_uri=REDIRECT_URI, scope=SCOPE)
    token = credentials.request_user_token(code)
    client = tekore.Spotify(credentials.refresh(token), sender=sender)
    assert client.current_user().account_id == user.account_id
    recent = client.playback_recently_played(limit=50)
    assert len(recent.items) == 50
    assert client.playback_recently_played(before=1).cursors is None
    assert len(client.current_user_top_artists(limit=50).items) == 50
    assert len(client.current_user_top_tracks(limit=50).items) == 50
    assert len(list(client.all_items(client.saved_tracks(limit=50)))) == len(
        world.saved_tracks(user, simulator.clock.now())
    )
    # The first own playlist and the neighbour's contain local files: tekore 6.2.0 fails on the null of their album
    # type.
    _, *others, _ = client.followed_playlists().items
    for playlist in others:
        assert len(list(client.all_items(client.playlist_items(playlist.id)))) == playlist.items.total
        assert client.playlist(playlist.id).snapshot_id == playlist.snapshot_id
    tracks, albums = list(world.catalogue.tracks)[:50], list(world.catalogue.albums)[:20]
    assert [track.id for track in client.tracks(tracks)] == tracks
    assert [album.id for album in client.albums(albums)] == albums
    assert [artist.id for artist in client.artists(list(world.catalogue.artists)[:50])]
    measured = [track_id for track_id in tracks if track_id in world.catalogue.audio_features]
    assert [features.id for features in client.tracks_audio_features(measured)] == measured


def test_tekore_signs_in_with_pkce(sender: Rewriting, simulator: RunningSimulator, user: SimulatedUser) -> None:
    credentials = tekore.Credentials("client", redirect_uri=REDIRECT_URI, sender=sender)
    url, verifier = credentials.pkce_user_authorisation(SCOPE)
    page = requests.get(
        f"{url.replace('https://accounts.spotify.com', simulator.base_url)}&login_as={user.id}",
        allow_redirects=False,
        timeout=10,
    )
    token = credentials.request_pkce_token(tekore.parse_code_from_url(page.headers["Location"]), verifier)
    assert tekore.Spotify(token, sender=sender).current_user().id == user.id
    assert credentials.refresh_pkce_token(token.refresh_token).access_token != token.access_token


def test_tekore_learns_that_a_refresh_token_is_dead(
    sender: Rewriting, simulator: RunningSimulator, world: World
) -> None:
    other = world.users[2].id
    refresh_token = connect(simulator, other)["refresh_token"]
    simulator.tokens.revoke(other)
    credentials = tekore.Credentials("client", "secret", REDIRECT_URI, sender=sender)
    with pytest.raises(tekore.RefreshTokenInvalid):
        credentials.refresh_user_token(refresh_token)
