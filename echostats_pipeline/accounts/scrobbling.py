"""Where the plays of a user are sent on to: the token is encrypted like Spotify's, and opened for each run only."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from urllib.parse import urlsplit

from pydantic import SecretStr

from echostats_pipeline.accounts.connecting import (
    Clock,
    budget_of,
    configured_spotify,
    reached,
    token_cipher,
    user_agent,
)
from echostats_pipeline.errors import NotFoundError, SettingsError
from echostats_pipeline.model.scrobbles import ScrobbleTarget
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.spotify.listenbrainz import ListenBrainz
from echostats_pipeline.spotify.retry_after import Sleep
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.scrobbles import LISTENBRAINZ

_ENDPOINT = re.compile(r"/1(/(submit-listens|validate-token)?)?$")
_LISTENBRAINZ_NAMES = ("listenbrainz", "listenbrainz.org")
SIMULATED = "simulated"
"""Target of simulated users: the simulator's own service, wherever it runs now."""


def target_address(text: str) -> str:
    """The address of a service as it is stored: without the endpoint and without a slash at its end.

    Raises:
        SettingsError: the text is no address of a service.
    """
    text = text.strip()
    if text.lower() in _LISTENBRAINZ_NAMES:
        return LISTENBRAINZ
    if text.lower() == SIMULATED:
        return SIMULATED
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise SettingsError(
            f"{text!r} is no address of a service. Use `listenbrainz`, or an address like {LISTENBRAINZ} or "
            "http://koito.local:4110/apis/listenbrainz."
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError("The address of a service has no name, password or query. The token belongs in its file.")
    path = _ENDPOINT.sub("", parts.path.rstrip("/")).rstrip("/")
    address = f"{parts.scheme}://{parts.netloc.lower()}{path}"
    return LISTENBRAINZ if address == "https://listenbrainz.org" else address


@contextmanager
def open_scrobble_server(
    settings: Settings,
    store: Store,
    user: User,
    target: str,
    token: SecretStr,
    clock: Clock,
    sleep: Sleep = time.sleep,
) -> Iterator[ListenBrainz]:
    """Open a service for the length of the block; its calls are logged, limited and repeated like Spotify's."""
    if target == SIMULATED:
        if not settings.simulated:
            raise SettingsError("The simulated service answers only while SPOTIFY_CLIENT_ID is not set.")
        target = configured_spotify(settings).api_url
    with reached(store, budget_of(settings), clock, sleep) as reach:
        yield ListenBrainz(reach.token, target, token, user_agent(settings), user.user_id)


@contextmanager
def open_target(
    settings: Settings, store: Store, user: User, target: ScrobbleTarget, clock: Clock, sleep: Sleep = time.sleep
) -> Iterator[ListenBrainz]:
    """Open the service of a stored target with its stored token."""
    token = SecretStr(token_cipher(settings).decrypt(target.token_encrypted, user.user_id))
    with open_scrobble_server(settings, store, user, target.target, token, clock, sleep) as server:
        yield server


def add_target(
    settings: Settings,
    store: Store,
    user: User,
    *,
    target: str,
    token: SecretStr,
    since: str | None,
    now: datetime,
    sleep: Sleep = time.sleep,
) -> ScrobbleTarget:
    """Check a token at its service, and store both; nothing is stored if the service does not accept the token.

    Args:
        settings: The encryption key.
        store: The database in which the target is stored.
        user: Whose plays are sent.
        target: As `target_address` returns it.
        token: The user's token there.
        since: The first local date whose plays are sent; None keeps that of a target that is stored already.
        now: The present instant.
        sleep: Waits for a number of seconds.

    Raises:
        SpotifyError: the service does not accept the token, or cannot be used.
    """
    with open_scrobble_server(settings, store, user, target, token, lambda: now, sleep) as server:
        account = server.account()
    known = next((each for each in store.scrobbles.targets(user.user_id) if each.target == target), None)
    added = ScrobbleTarget(
        user_id=user.user_id,
        target=target,
        token_encrypted=token_cipher(settings).encrypt(token.get_secret_value(), user.user_id),
        account=account,
        since=since or (known.since if known else None),
        added_at=now,
    )
    store.scrobbles.put_target(added)
    return added


def target_of(store: Store, user: User, target: str) -> ScrobbleTarget:
    """The stored target with an address.

    Raises:
        NotFoundError: nothing is sent there.
    """
    targets = store.scrobbles.targets(user.user_id)
    for each in targets:
        if each.target == target:
            return each
    known = ", ".join(each.target for each in targets) or "nowhere"
    raise NotFoundError(f"Plays of {user.partition_key} are not sent to {target}. They are sent to: {known}")
