"""Connects a Spotify account: stores the user with encrypted tokens, and opens a client that uses these tokens."""

import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import requests
from pydantic import SecretStr

from echostats_pipeline import __version__
from echostats_pipeline.errors import ReauthorizationNeeded, SettingsError, SpotifyUnreachable, UserNotRegistered
from echostats_pipeline.model.users import SpotifyTokens, User
from echostats_pipeline.settings import SPOTIFY_ACCOUNTS_URL, SPOTIFY_API_URL, Settings
from echostats_pipeline.spotify.authorised import AccessTokens, AuthorisingHandler
from echostats_pipeline.spotify.call_log import LoggingHandler
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.crypto import TokenCipher
from echostats_pipeline.spotify.lastfm import LASTFM_URL, LastFm
from echostats_pipeline.spotify.mapping import user_profile
from echostats_pipeline.spotify.musicbrainz import MUSICBRAINZ_URL, MusicBrainz
from echostats_pipeline.spotify.oauth import SpotifyApp, TokenGrant, exchange_code, refresh
from echostats_pipeline.spotify.quota import Budget, Quota
from echostats_pipeline.spotify.reccobeats import RECCOBEATS_URL
from echostats_pipeline.spotify.retries import Retrying
from echostats_pipeline.spotify.retry_after import Sleep
from echostats_pipeline.spotify.transport import Handler, RequestsHandler
from echostats_pipeline.stages.artist_tags import TagSource, from_lastfm, from_musicbrainz, genre_list
from echostats_pipeline.stages.audio_features import FeatureSource, from_file, from_reccobeats, from_spotify
from echostats_pipeline.stages.handed_files import feature_file
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.users import UserStore

Clock = Callable[[], datetime]

SIMULATED_CLIENT_ID = "echostats-simulated-app"
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 30.0
REFRESH_PATIENCE_S, REFRESH_POLL_S = 90.0, 0.05
"""Seconds to wait for a refresh by another process, which may itself retry for a minute."""
REFRESH_EARLY = timedelta(seconds=60)
"""An access token that expires this soon is renewed before use, because it could expire during the call."""


@dataclass(frozen=True)
class Spotify:
    """Addresses of the Spotify that this installation uses, and the app's credentials."""

    app: SpotifyApp
    api_url: str
    reccobeats_url: str = RECCOBEATS_URL
    musicbrainz_url: str = MUSICBRAINZ_URL
    lastfm_url: str = LASTFM_URL


def configured_spotify(settings: Settings) -> Spotify:
    """Return the real Spotify if the settings name an app, else the running simulator.

    Raises:
        SettingsError: no app is named, and no simulator is running.
    """
    if settings.spotify_client_id is not None:
        app = SpotifyApp(
            client_id=settings.spotify_client_id,
            client_secret=settings.spotify_client_secret,
            redirect_uri=settings.spotify_redirect_uri,
            accounts_url=SPOTIFY_ACCOUNTS_URL,
        )
        return Spotify(app, SPOTIFY_API_URL)
    url = settings.simulator_url or StateFolder(settings.home).simulator_url()
    if url is None:
        raise SettingsError(
            "SPOTIFY_CLIENT_ID is not set and the simulated Spotify is not running. Start it with `echostats up`, or "
            "with `echostats simulate` and its address in SIMULATOR_URL; or set SPOTIFY_CLIENT_ID to use the real one."
        )
    redirect_uri = settings.spotify_redirect_uri
    app = SpotifyApp(client_id=SIMULATED_CLIENT_ID, redirect_uri=redirect_uri, accounts_url=url)
    return Spotify(
        app, url, reccobeats_url=f"{url}/reccobeats", musicbrainz_url=f"{url}/musicbrainz", lastfm_url=f"{url}/lastfm"
    )


def budget_of(settings: Settings) -> Budget:
    """Return the budget of calls that the settings allow."""
    return Budget(calls=settings.daily_calls, burst=settings.burst_calls)


def token_cipher(settings: Settings) -> TokenCipher:
    """Return the cipher with the configured key, or else the key in the state folder, and with the former keys."""
    key = settings.encryption_key or SecretStr(StateFolder(settings.home).encryption_key())
    return TokenCipher(key, settings.encryption_keys_old)


class StoredTokens:
    """The access tokens of one user, stored in the database, so that all processes use the same token.

    Implements `spotify.authorised.AccessTokens`.
    """

    def __init__(
        self, users: UserStore, cipher: TokenCipher, handler: Handler, app: SpotifyApp, user: User, clock: Clock
    ) -> None:
        self._users = users
        self._cipher = cipher
        self._handler = handler
        self._app = app
        self._user = user
        self._clock = clock

    def access_token(self) -> str:
        """Return the stored token if it is valid for another minute, else a new one."""
        return self._token(rejected="")

    def renewed_token(self, rejected: str) -> str:
        """Return the token that another process has stored meanwhile, else a new one."""
        return self._token(rejected)

    def _token(self, rejected: str) -> str:
        """Return a usable stored token; if there is none, exactly one thread of all processes refreshes it.

        A refresh may use up the refresh token, so two refreshes at the same time could lose the consent. The other
        threads wait, and then read the stored token again.
        """
        deadline = time.monotonic() + REFRESH_PATIENCE_S
        while time.monotonic() < deadline:
            stored = self._users.tokens(self._user.user_id)
            if stored.access_is_fresh(self._clock() + REFRESH_EARLY):
                token = self._decrypted(stored.access_token_encrypted)
                if token != rejected:
                    return token
            if self._users.lease_refresh(stored):
                try:
                    with self._users.refresh_held(stored):
                        return self._refreshed(stored)  # storing the new tokens releases the lease
                except BaseException:
                    self._users.release_refresh(self._user.user_id)
                    raise
            time.sleep(REFRESH_POLL_S)
        raise SpotifyUnreachable(
            f"Another process has been refreshing the access token of {self._user.partition_key} for "
            f"{REFRESH_PATIENCE_S:.0f} seconds and has not finished. The next sync tries again."
        )

    def _refreshed(self, stored: SpotifyTokens) -> str:
        refresh_token = self._decrypted(stored.refresh_token_encrypted)
        try:
            grant = refresh(self._handler, self._app, refresh_token=refresh_token, user_id=self._user.user_id)
        except ReauthorizationNeeded:
            self._users.set_status(self._user.user_id, "needs_reauth")
            raise
        store_grant(self._users, self._cipher, self._user, grant, self._clock(), previous=stored)
        return grant.access_token.get_secret_value()

    def _decrypted(self, value: str) -> str:
        return self._cipher.decrypt(value, self._user.user_id)


def store_grant(
    users: UserStore,
    cipher: TokenCipher,
    user: User,
    grant: TokenGrant,
    now: datetime,
    previous: SpotifyTokens | None = None,
) -> None:
    """Store granted tokens; if Spotify sent no refresh token, the stored one is kept.

    Raises:
        ReauthorizationNeeded: there is no refresh token, neither sent nor stored.
    """
    # EchoStats reads both tokens, also after a renewal and after a new consent.
    form = users.stored_refresh_token(user.user_id) if previous is None else previous.refresh_token_encrypted
    if grant.refresh_token is not None:
        plain = grant.refresh_token.get_secret_value()
        encrypted = cipher.encrypt_like(form, plain, user.user_id)
    elif previous is not None:
        encrypted = previous.refresh_token_encrypted
    else:
        raise ReauthorizationNeeded(
            f"Spotify sent no refresh token for {user.display_name or user.spotify_id}. Connect the account again."
        )
    users.store_tokens(
        SpotifyTokens(
            user_id=user.user_id,
            refresh_token_encrypted=encrypted,
            access_token_encrypted=cipher.encrypt_like(form, grant.access_token.get_secret_value(), user.user_id),
            expires_at=now + timedelta(seconds=grant.expires_in),
            scope=grant.scope or (previous.scope if previous else ""),
            updated_at=now,
        ),
        renewed=previous is not None,
    )


@dataclass(frozen=True)
class SpotifyHandlers:
    """The handlers of every call to Spotify: logging, limits, retries, and state that all processes share.

    Attributes:
        token: Handler for the accounts service, and for services other than Spotify: logged, within limits, with
            retries.
        authorised: The same handler for the Web API, with the access token of a user.
    """

    token: Handler
    authorised: Callable[[AccessTokens], Handler]


@contextmanager
def reached(store: Store, budget: Budget, clock: Clock, sleep: Sleep = time.sleep) -> Iterator[SpotifyHandlers]:
    """Open the handlers for the length of the block; at its end, also after an error, calls are in ``api_logs``."""
    with store.api_logs() as log, requests.Session() as session:
        transport = RequestsHandler(session, CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        logged = LoggingHandler(transport, log.add, time.monotonic, lambda: f"req-{secrets.token_hex(8)}")

        def layered(inner: Handler) -> Handler:
            quota = Quota(inner, store.limits, budget, clock, sleep)
            return Retrying(quota, sleep, clock, jitter=lambda: random.uniform(0, 1))  # noqa: S311 - not a secret

        yield SpotifyHandlers(layered(logged), lambda tokens: layered(AuthorisingHandler(logged, tokens)))


@contextmanager
def open_client(
    settings: Settings, store: Store, user: User, clock: Clock, sleep: Sleep = time.sleep
) -> Iterator[SpotifyClient]:
    """Open a client that reads for a user; the user is paused if the app's allow-list does not contain them."""
    with reached(store, budget_of(settings), clock, sleep) as reach, _paused_if_not_registered(store, user):
        yield _client(settings, store, user, clock, reach)


@contextmanager
def open_feature_sources(
    settings: Settings, store: Store, user: User, clock: Clock, sleep: Sleep = time.sleep
) -> Iterator[dict[str, FeatureSource]]:
    """Open the sources of audio features, in the order of the settings; Spotify is called with a user's token."""
    with (
        reached(store, budget_of(settings), clock, sleep) as reach,
        _paused_if_not_registered(store, user),
        ExitStack() as opened,
    ):

        def source(name: str) -> FeatureSource:
            if name == "spotify":
                return from_spotify(_client(settings, store, user, clock, reach))
            if name == "reccobeats":
                return from_reccobeats(reach.token, configured_spotify(settings).reccobeats_url, clock)
            return from_file(opened.enter_context(feature_file(store.files, Path(name))))

        yield {name: source(name) for name in settings.audio_features}


@contextmanager
def open_tag_sources(
    settings: Settings, store: Store, clock: Clock, sleep: Sleep = time.sleep
) -> Iterator[dict[str, TagSource]]:
    """Open the sources of genres besides Spotify; they are called for the installation and not for a user."""
    spotify, agent = configured_spotify(settings), user_agent(settings)
    with reached(store, budget_of(settings), clock, sleep) as reach:
        service = MusicBrainz(reach.token, spotify.musicbrainz_url, agent)
        genres = genre_list(store, service, clock)
        sources: dict[str, TagSource] = {}
        if "musicbrainz" in settings.genres:
            sources["musicbrainz"] = from_musicbrainz(service, genres, clock)
        if "lastfm" in settings.genres and settings.lastfm_api_key is not None:
            last = LastFm(reach.token, spotify.lastfm_url, settings.lastfm_api_key, agent, clock)
            sources["lastfm"] = from_lastfm(last, genres, store.artist_tags.names, clock)
        yield sources


def user_agent(settings: Settings) -> str:
    """The User-Agent by which MusicBrainz and Last.fm recognise this app, and whom they can write to about it."""
    return f"echostats_pipeline/{__version__} ( {settings.contact or 'self-hosted, no contact given'} )"


@contextmanager
def _paused_if_not_registered(store: Store, user: User) -> Iterator[None]:
    """Pause a user whom the allow-list lacks: every sync would fail until the owner of the app adds them."""
    try:
        yield
    except UserNotRegistered as error:
        store.users.set_status(user.user_id, "paused", str(error))
        raise


def _client(settings: Settings, store: Store, user: User, clock: Clock, reach: SpotifyHandlers) -> SpotifyClient:
    spotify, cipher = configured_spotify(settings), token_cipher(settings)
    tokens = StoredTokens(store.users, cipher, reach.token, spotify.app, user, clock)
    return SpotifyClient(
        reach.authorised(tokens), spotify.api_url, user_id=user.user_id, regimes=store.limits, clock=clock
    )


def connect_account(
    settings: Settings, store: Store, *, code: str, verifier: str | None, timezone: str, now: datetime
) -> User:
    """Exchange the code of a consent for tokens and store the user; for a known account, the tokens are replaced.

    Args:
        settings: Which Spotify to use, and the encryption key.
        store: The database in which the user is stored.
        code: The authorization code in the redirect.
        verifier: PKCE verifier of the consent; None for an app with a client secret.
        timezone: IANA time zone for a new user; a known user keeps their zone.
        now: When the consent was given.

    Raises:
        SpotifyError: Spotify refused the code or the profile.
    """
    spotify, cipher = configured_spotify(settings), token_cipher(settings)
    with reached(store, budget_of(settings), lambda: now) as reach:
        grant = exchange_code(reach.token, spotify.app, code=code, verifier=verifier)
        client = SpotifyClient(reach.authorised(_GrantedToken(grant)), spotify.api_url)
        profile = user_profile(client.me())
    store.removals.sweep()  # finish an interrupted removal first: a removed user must start again as a new one
    user = store.users.connect(profile, authorized_at=now, simulated=settings.simulated, timezone=timezone)
    store_grant(store.users, cipher, user, grant, now)
    return user


class _GrantedToken:
    """The access token of an account whose user is not stored yet."""

    def __init__(self, grant: TokenGrant) -> None:
        self._token = grant.access_token.get_secret_value()

    def access_token(self) -> str:
        return self._token

    def renewed_token(self, rejected: str) -> str:  # noqa: ARG002 - there is only this token
        raise ReauthorizationNeeded(
            "Spotify does not accept the access token that it has just granted. Connect the account again."
        )
