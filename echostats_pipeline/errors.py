"""Every exception this package raises on purpose.

    EchostatsError
    ├── SettingsError            an environment variable is missing or wrong
    ├── StorageError
    │   ├── EmbeddedServerError  the embedded mongod cannot be found, started or reached
    │   └── IndexConflictError   the database holds an index that contradicts the declared one
    ├── DecryptionError          a stored token cannot be decrypted with the configured key
    ├── SpotifyError                  transient unless its `permanent` says otherwise
    │   ├── SpotifyUnreachable        app, transient: no answer: refused, timed out, not resolved
    │   ├── WaitRequired              family or app, transient: not now, but nothing is wrong
    │   ├── ReauthorizationNeeded     user, permanent: the consent is gone; only the user can renew it
    │   ├── ConsentNotGiven           user, permanent: signing in ended without a code
    │   └── SpotifyResponseError      endpoint, transient: an answer that is not what it must be
    │       ├── SpotifyUnavailable    endpoint, transient: 5xx, after all repetitions
    │       ├── RateLimited           endpoint, transient: 429, where no layer waited for its end
    │       ├── PremiumRequired       app, transient over hours: the subscription of the app's owner has ended
    │       └── RequestRefused        endpoint, permanent: any other 3xx or 4xx
    │           ├── AppRefused            app: client id or secret is wrong
    │           ├── UserNotRegistered     user: not on the app's allow-list in the developer dashboard
    │           ├── InsufficientScope     user: the consent does not cover the call
    │           ├── AccessTokenRejected   user: a fresh access token is not accepted either
    │           ├── EndpointRefused       endpoint: not offered to this app, or not for this object
    │           └── NotFoundOnSpotify     endpoint: the object does not exist, or not for this user
    ├── ExportError              a file is not an export of a known kind, or not one to open
    │   └── BrokenExportError    a file cannot be read to its end; the rows before that could
    ├── UserBusyError            another run is changing the data of this user
    ├── LeaseLostError           a run stood still for so long that another one took its place
    ├── UserRemovedError         the user was removed while a run was working for them
    └── NotFoundError            a user or a document that was named does not exist

Messages are written for the person at the command line: what happened, where, and what to do next.

The words user, app, endpoint and family say how far an error of Spotify reaches (`SpotifyError.affects`).
"""

from datetime import UTC, datetime
from typing import Literal

Affected = Literal["endpoint", "user", "app"]

APP_FAMILY = "app"
"""In the place of a family of endpoints: every call of the app."""


class EchostatsError(Exception):
    """Base of all errors with a message meant for the user."""


class SettingsError(EchostatsError):
    """A setting is missing or malformed; the message names the variable and the fix."""


class StorageError(EchostatsError):
    """MongoDB could not be used."""


class EmbeddedServerError(StorageError):
    """The embedded mongod cannot be found, started or reached."""


class IndexConflictError(StorageError):
    """An index in the database contradicts the declared one of the same name or keys."""


class DecryptionError(EchostatsError):
    """A stored token was encrypted with another key, for another user, or was altered."""


class SpotifyError(EchostatsError):
    """Base of everything that goes wrong between us and Spotify, or ReccoBeats beside it.

    Attributes:
        permanent: Whether repeating is of no use until a person has done something.
        affects: What cannot be read while it lasts: this endpoint, everything of this user, or everything of the app.
    """

    permanent: bool = False
    affects: Affected = "endpoint"


class SpotifyUnreachable(SpotifyError):  # noqa: N818 - a state of the network, named as such
    """No answer arrived: connection refused, name not resolved, or timed out."""

    affects: Affected = "app"


class WaitRequired(SpotifyError):  # noqa: N818 - nothing is wrong: it is an answer, not an error
    """Spotify must not be asked now. What was read before stays read; the rest follows after `until`.

    Attributes:
        family: Which calls have to wait: a family of endpoints, or `APP_FAMILY` for all of them.
        until: When the next call may be made; aware.
        reason: Why, in words.
    """

    def __init__(self, family: str, until: datetime, reason: str) -> None:
        super().__init__(
            f"No {family} calls before {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: {reason}. "
            "What is missing is read after that, by itself."
        )
        self.family = family
        self.until = until
        self.reason = reason
        self.affects = "app" if family == APP_FAMILY else "endpoint"


class ReauthorizationNeeded(SpotifyError):  # noqa: N818 - says what must happen next
    """The refresh token is expired or revoked; the user has to connect the account again."""

    permanent = True
    affects: Affected = "user"


class ConsentNotGiven(SpotifyError):  # noqa: N818 - says what did not happen
    """Signing in at Spotify ended without a code; the message says what the person can do about it."""

    permanent = True
    affects: Affected = "user"


class SpotifyResponseError(SpotifyError):
    """Spotify answered, but not with what was asked for.

    Attributes:
        status_code: HTTP status of the answer.
        reason: Spotify's machine-readable reason (for example ``QUOTA_EXCEEDED``), or an empty string.
    """

    def __init__(self, message: str, *, status_code: int, reason: str = "") -> None:
        super().__init__(message)
        self.status_code = status_code
        self.reason = reason


class SpotifyUnavailable(SpotifyResponseError):  # noqa: N818 - a state of the service, named as such
    """Spotify answered 5xx, to every repetition as well."""


class RateLimited(SpotifyResponseError):  # noqa: N818 - a state of the app, named as such
    """Spotify answered 429 and no layer waited or postponed."""


class PremiumRequired(SpotifyResponseError):  # noqa: N818 - says what must happen next
    """The owner of the app has no Premium; calls work again some hours after the subscription does."""

    affects: Affected = "app"


class RequestRefused(SpotifyResponseError):  # noqa: N818 - what Spotify did
    """Spotify refused the call and would refuse it again."""

    permanent = True


class AppRefused(RequestRefused):
    """Spotify does not know the app: client id or secret is wrong."""

    affects: Affected = "app"


class UserNotRegistered(RequestRefused):
    """The user is not on the app's allow-list; the app's owner can add them in the developer dashboard."""

    affects: Affected = "user"


class InsufficientScope(RequestRefused):
    """The consent does not cover the call; the user has to connect again."""

    affects: Affected = "user"


class AccessTokenRejected(RequestRefused):
    """The access token is not accepted although it was renewed."""

    affects: Affected = "user"


class EndpointRefused(RequestRefused):
    """Spotify does not offer this to the app (a removed route), or not for this object (contents of a playlist)."""


class NotFoundOnSpotify(RequestRefused):
    """The object does not exist, or is not visible to this user or app."""


class ExportError(EchostatsError):
    """A file is not an export of a known kind, or not one to open."""


class BrokenExportError(ExportError):
    """A file cannot be read to its end; the rows before that were handed on.

    Attributes:
        position: The byte from which on nothing was read; 0 is the first.
    """

    def __init__(self, message: str, *, position: int) -> None:
        super().__init__(message)
        self.position = position


class UserBusyError(EchostatsError):
    """Another run holds the lease of this user, and goes on doing so."""

    def __init__(self, dagster_run_id: str) -> None:
        super().__init__(
            f"Run {dagster_run_id or 'unknown'} is changing the data of this user. "
            "Nothing is lost; try again when it has ended."
        )


class LeaseLostError(EchostatsError):
    """This run stood still until its lease lapsed, and another run took it."""

    def __init__(self, dagster_run_id: str) -> None:
        super().__init__(
            f"This run stood still for more than a minute, and run {dagster_run_id or 'unknown'} took its place. "
            "What it wrote stays; the next run completes the rest."
        )


class UserRemovedError(EchostatsError):
    """Work for a user goes on who was removed meanwhile: nothing is wrong, and nothing of it is kept."""

    def __init__(self) -> None:
        super().__init__("The user was removed meanwhile. Nothing of theirs is kept.")


class NotFoundError(EchostatsError):
    """Something that was asked for by name does not exist."""
