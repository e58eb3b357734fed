"""Life cycle of a user's consent: request, expiry after six months, resuming a user, change of the time zone.

Not here: tokens (`accounts.connecting`), browsers and pages (`cli.connect`).
"""

import secrets
from collections.abc import Iterator
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
"""Assumed life of a consent: Spotify says six months, and gives no date."""
EXPIRES_SOON, URGENT = timedelta(days=30), timedelta(days=7)
"""Remaining life of a consent at which a first notice and an urgent notice to renew it are due."""


@dataclass(frozen=True)
class ConsentAttempt:
    """One request for a consent: the values that are sent with it, come back, or stay secret.

    Attributes:
        app: The app that requests the consent.
        state: Random value that comes back with the code, and identifies the answer to this request.
        verifier: PKCE verifier; None for an app with a client secret.
        further: Permissions beyond those that everybody is asked for.
    """

    app: SpotifyApp
    state: str
    verifier: str | None
    further: tuple[str, ...] = ()

    @classmethod
    def of(cls, app: SpotifyApp, further: tuple[str, ...] = ()) -> "ConsentAttempt":
        """Start a new request, with PKCE unless the app has a client secret; `further` permissions may be added."""
        verifier = new_verifier() if app.client_secret is None else None
        return cls(app, secrets.token_urlsafe(16), verifier, further)

    @property
    def address(self) -> str:
        """The address at which the user gives the consent."""
        code_challenge = challenge(self.verifier) if self.verifier else None
        return authorize_url(self.app, state=self.state, code_challenge=code_challenge, further=self.further)

    def is_answered_by(self, address: str) -> bool:
        """Return whether a redirect belongs to this request, with or without a code."""
        return parse_qs(urlsplit(address).query).get("state") == [self.state]

    def code(self, address: str) -> str:
        """Return the authorization code in the address of the final redirect.

        Raises:
            ConsentNotGiven: the address has no code, or belongs to another request.
        """
        return code_from_redirect(self.app, address, state=self.state)


def consent_left(user: User, now: datetime) -> timedelta | None:
    """Return the remaining life of a user's consent; negative if it has ended, None if its start is unknown."""
    return None if user.authorized_at is None else user.authorized_at + CONSENT_LIFE - now


def resume(store: Store, user: User) -> None:
    """Set a paused user to active, so that syncs continue.

    Raises:
        EchostatsError: Spotify no longer accepts the consent, so the user must connect again.
    """
    if user.status == "needs_reauth":
        raise EchostatsError(
            f"Spotify no longer accepts the consent of {user.partition_key}. "
            "Let the user connect again with `echostats connect`; that also resumes the user."
        )
    store.users.set_status(user.user_id, "active")


def move_days(store: Store, user: User, timezone: str) -> DayWindow | None:
    """Change a user's time zone, and mark all days of the history and the snapshots for a rebuild.

    Snapshots are marked separately: even if no rollup changes, the midnights that bound their periods do.

    Returns:
        The days that wait for a rebuild: all days from the first to the last play, in the old zone and in the new one.
        None if there is no play.
    """
    span = store.users.history_span(user.user_id)
    if span is None:
        with store.marks.changing(user.user_id, source="users"):
            store.users.set_timezone(user.user_id, timezone)
        return None
    zones = (ZoneInfo(user.timezone), ZoneInfo(timezone))
    first, last = span
    window = DayWindow(min(_dates(first, zones)), max(_dates(last, zones)))
    days, zone = window.dates(), store.marks.changing(user.user_id, source="users")
    with store.marks.changing(user.user_id, days), zone:
        store.users.set_timezone(user.user_id, timezone)
    return window


def _dates(instant: datetime, zones: tuple[ZoneInfo, ...]) -> Iterator[date]:
    return (local_date(instant, zone) for zone in zones)
