"""A user's consent: asked for, how long it lasts, and whether and in which days it is used.

Here: one attempt to get a consent, its end after six months, resuming a user, moving a user's days to another zone.
Not here: tokens (`accounts.connecting`), browsers and pages (`cli.connect`).
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.model.users import User
from echostats_pipeline.spotify.oauth import SpotifyApp, authorize_url, challenge, code_from_redirect, new_verifier
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import DayWindow, local_date

CONSENT_LIFE = timedelta(days=182)
"""Half a year: Spotify says six months, and tells no date."""
EXPIRES_SOON, URGENT = timedelta(days=30), timedelta(days=7)
"""With so much left of a consent, its user is told to renew it."""


@dataclass(frozen=True)
class ConsentAttempt:
    """One attempt to get a consent: what is sent with the user, and must come back or stay secret.

    Attributes:
        app: Who asks.
        state: Comes back with the code, and tells this attempt's answer from another's.
        verifier: PKCE verifier; None for an app with a client secret.
    """

    app: SpotifyApp
    state: str
    verifier: str | None

    @classmethod
    def of(cls, app: SpotifyApp) -> "ConsentAttempt":
        """A new attempt: PKCE unless the app has a client secret."""
        return cls(app, secrets.token_urlsafe(16), new_verifier() if app.client_secret is None else None)

    @property
    def address(self) -> str:
        """Where the user gives the consent."""
        return authorize_url(
            self.app, state=self.state, code_challenge=challenge(self.verifier) if self.verifier else None
        )

    def is_answered_by(self, address: str) -> bool:
        """Whether a redirect belongs to this attempt, with or without a code."""
        return parse_qs(urlsplit(address).query).get("state") == [self.state]

    def code(self, address: str) -> str:
        """The authorization code in the address that the attempt ended at.

        Raises:
            ConsentNotGiven: there is none, or it is another attempt's.
        """
        return code_from_redirect(self.app, address, state=self.state)


def consent_left(user: User, now: datetime) -> timedelta | None:
    """How long a user's consent lasts from now, negative if it has ended; None if it is unknown when it was given."""
    return None if user.authorized_at is None else user.authorized_at + CONSENT_LIFE - now


def resume(store: Store, user: User) -> None:
    """Sync a paused user again.

    Raises:
        EchostatsError: it takes more than that: the consent is gone.
    """
    if user.status == "needs_reauth":
        raise EchostatsError(
            f"Spotify no longer accepts the consent of {user.partition_key}. "
            "Let them connect again with `echostats connect`; that resumes them as well."
        )
    store.users.set_status(user.user_id, "active")


def move_days(store: Store, user: User, timezone: str) -> DayWindow | None:
    """Let a user's days begin in another zone, and have every day of the history rebuilt, and the snapshots.

    These would not follow from the days: where no day changes, the midnights between which they lie do.

    Returns:
        The days that wait for a rebuild: all from the first to the last play, in the old zone and in the new one.
        None if there is no play.
    """
    span = store.users.history_span(user.user_id)
    if span is None:
        with _snapshots_changing(store, user):
            store.users.set_timezone(user.user_id, timezone)
        return None
    zones = (ZoneInfo(user.timezone), ZoneInfo(timezone))
    first, last = span
    window = DayWindow(min(_dates(first, zones)), max(_dates(last, zones)))
    with store.rebuilds.changing(user.user_id, window.dates()), _snapshots_changing(store, user):
        store.users.set_timezone(user.user_id, timezone)
    return window


@contextmanager
def _snapshots_changing(store: Store, user: User) -> Iterator[None]:
    store.rebuilds.mark(user.user_id, "analytics_snapshots", opened=True)
    try:
        yield
    finally:
        store.rebuilds.mark(user.user_id, "analytics_snapshots")


def _dates(instant: datetime, zones: tuple[ZoneInfo, ...]) -> Iterator[date]:
    return (local_date(instant, zone) for zone in zones)
