"""Every exception this package raises on purpose.

    EchostatsError
    ├── SettingsError            an environment variable is missing or wrong
    ├── StorageError
    │   ├── EmbeddedServerError  the embedded mongod cannot be found, started or reached
    │   ├── IndexConflictError   the database holds an index that contradicts the declared one
    │   └── UnfinishedRestoreError   a restore into the database has not ended
    ├── WarehouseError           PostgreSQL cannot be used; transient, unless `permanent` is true
    ├── BackupError              a file is no backup, or not a whole one, or it cannot be written or restored here
    ├── DecryptionError          a stored token cannot be decrypted with the configured keys
    ├── SpotifyError                  transient, unless `permanent` is true
    │   ├── SpotifyUnreachable        app, transient: no answer (refused, timed out, not resolved)
    │   ├── WaitRequired              family or app, transient: no call may be made now; nothing is wrong
    │   ├── ReauthorizationNeeded     user, permanent: the consent has ended; only the user can renew it
    │   ├── ConsentNotGiven           user, permanent: signing in ended without a code
    │   └── SpotifyResponseError      endpoint, transient: an unexpected answer
    │       ├── SpotifyUnavailable    endpoint, transient: 5xx, after all retries
    │       ├── RateLimited           endpoint, transient: 429, and no layer waited for its end
    │       ├── PremiumRequired       app, transient for hours: the subscription of the app's owner has ended
    │       └── RequestRefused        endpoint, permanent: any other 3xx or 4xx
    │           ├── AppRefused            app: the client id or the secret is wrong
    │           ├── UserNotRegistered     user: not on the app's allow-list in the developer dashboard
    │           ├── InsufficientScope     user: the consent does not cover the call
    │           ├── AccessTokenRejected   user: a new access token is not accepted either
    │           ├── EndpointRefused       endpoint: not offered to this app, or not for this object
    │           ├── NotFoundOnSpotify     endpoint: the object does not exist, or not for this user
    │           ├── ScrobbleTokenRefused  user: a server for plays sent on does not accept the user's token
    │           └── ListensRefused        endpoint: such a server does not take some of the plays
    ├── ExportError              a file is not a known kind of export, or is not safe to open
    │   └── BrokenExportError    a file cannot be read to its end; the rows before the fault were read
    ├── RuleError                a rule of a user is wrong, or contradicts another one
    ├── PlaylistRulesError       the rules of a playlist cannot be read
    ├── UserBusyError            another run is changing the data of this user
    ├── LeaseLostError           a run stood still until its lease expired, and another run took the lease
    ├── UserRemovedError         the user was removed while a run was changing their data
    └── NotFoundError            the named user or document does not exist

Messages are written for the person at the command line: what happened, where, and what to do next.

The words user, app, endpoint and family say which calls an error of Spotify affects (`SpotifyError.affects`).
"""

from datetime import UTC, datetime
from typing import Literal

Affected = Literal["endpoint", "user", "app"]

APP_FAMILY = "app"
"""Stands in place of a family of endpoints for all calls of the app."""


class EchostatsError(Exception):
    """Base of all errors with a message meant for the user."""


class SettingsError(EchostatsError):
    """A setting is missing or malformed; the message names the variable and the fix."""


class StorageError(EchostatsError):
    """MongoDB, or the storage of a Dagster instance, could not be used."""


class EmbeddedServerError(StorageError):
    """The embedded mongod cannot be found, started or reached."""


class IndexConflictError(StorageError):
    """An index in the database contradicts the declared one of the same name or keys."""


class UnfinishedRestoreError(StorageError):
    """A restore of a backup into the database has not ended, so part of the data is missing."""


class WarehouseError(EchostatsError):
    """PostgreSQL could not be used.

    Attributes:
        permanent: Whether a retry fails until a person has done something.
    """

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


class BackupError(EchostatsError):
    """A backup cannot be written, or a file is not a whole backup, or it does not fit the place of its restore."""


class DecryptionError(EchostatsError):
    """A stored token was encrypted with another key, for another user, or was altered."""


class SpotifyError(EchostatsError):
    """Base of all errors in calls to Spotify, and to ReccoBeats.

    Attributes:
        permanent: Whether a retry fails until a person has done something.
        affects: Which calls fail while the error lasts: this endpoint, all calls of this user, or all calls of the app.
    """

    permanent: bool = False
    affects: Affected = "endpoint"


class SpotifyUnreachable(SpotifyError):  # noqa: N818 - a state of the network, named as such
    """No answer arrived: connection refused, name not resolved, or timed out."""

    affects: Affected = "app"


class WaitRequired(SpotifyError):  # noqa: N818 - it asks to wait; nothing is wrong
    """No call may be made now. Data that was already read is kept; the rest is read after `until`.

    Attributes:
        family: Which calls must wait: those of a family of endpoints, or all calls (`APP_FAMILY`).
        until: When the next call may be made; an aware datetime.
        reason: The reason, in words.
        wait: What must wait until when and why, in a sentence.
    """

    def __init__(self, family: str, until: datetime, reason: str) -> None:
        self.wait = f"No {family} calls before {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: {reason}."
        super().__init__(f"{self.wait} Missing data is read automatically after that.")
        self.family = family
        self.until = until
        self.reason = reason
        self.affects = "app" if family == APP_FAMILY else "endpoint"


class ReauthorizationNeeded(SpotifyError):  # noqa: N818 - says what must happen next
    """The refresh token has expired or was revoked; the user must connect the account again."""

    permanent = True
    affects: Affected = "user"


class ConsentNotGiven(SpotifyError):  # noqa: N818 - says what did not happen
    """The sign-in at Spotify ended without a code; the message says what the user can do."""

    permanent = True
    affects: Affected = "user"


class SpotifyResponseError(SpotifyError):
    """Spotify answered, but not with the requested data.

    Attributes:
        status_code: HTTP status of the answer.
        reason: Spotify's machine-readable reason (for example ``QUOTA_EXCEEDED``), or an empty string.
    """

    def __init__(self, message: str, *, status_code: int, reason: str = "") -> None:
        super().__init__(message)
        self.status_code = status_code
        self.reason = reason


class SpotifyUnavailable(SpotifyResponseError):  # noqa: N818 - a state of the service, named as such
    """Spotify answered 5xx, also to every retry."""


class RateLimited(SpotifyResponseError):  # noqa: N818 - a state of the app, named as such
    """Spotify answered 429, and no layer waited or postponed the call."""


class PremiumRequired(SpotifyResponseError):  # noqa: N818 - says what must happen next
    """The owner of the app has no Premium subscription; calls work again some hours after it is renewed."""

    affects: Affected = "app"


class RequestRefused(SpotifyResponseError):  # noqa: N818 - what Spotify did
    """Spotify refused the call and would refuse it again."""

    permanent = True


class AppRefused(RequestRefused):
    """Spotify does not know the app: the client id or the secret is wrong."""

    affects: Affected = "app"


class UserNotRegistered(RequestRefused):
    """The user is not on the app's allow-list; the app's owner can add them in the developer dashboard."""

    affects: Affected = "user"


class InsufficientScope(RequestRefused):
    """The consent does not cover the call; the user must connect again."""

    affects: Affected = "user"


class AccessTokenRejected(RequestRefused):
    """Spotify rejects the access token, although it was just renewed."""

    affects: Affected = "user"


class EndpointRefused(RequestRefused):
    """Spotify does not offer the endpoint to this app (a removed route), or not for this object (a playlist)."""


class NotFoundOnSpotify(RequestRefused):
    """The object does not exist on Spotify, or is not visible to this user or app."""


class ScrobbleTokenRefused(RequestRefused):
    """A server to which plays are sent on does not accept the token of the user."""

    affects: Affected = "user"


class ListensRefused(RequestRefused):
    """A server to which plays are sent on does not take some of these plays, and took none of them."""


class ExportError(EchostatsError):
    """A file is not a known kind of export, or is not safe to open."""


class BrokenExportError(ExportError):
    """A file cannot be read to its end; the rows before the fault were returned.

    Attributes:
        position: Number of the first byte that was not read; the first byte of the file is 0.
    """

    def __init__(self, message: str, *, position: int) -> None:
        super().__init__(message)
        self.position = position


class RuleError(EchostatsError):
    """A rule of a user is wrong, contradicts another one, or names what the user has never played."""


class PlaylistRulesError(EchostatsError):
    """The rules of a rule playlist cannot be read; the message says where."""


class UserBusyError(EchostatsError):
    """Another run holds the lease of this user, and keeps it."""

    def __init__(self, dagster_run_id: str) -> None:
        super().__init__(
            f"Run {dagster_run_id or 'unknown'} is changing the data of this user. "
            "Nothing is lost; try again when it has ended."
        )


class LeaseLostError(EchostatsError):
    """This run stood still until its lease expired, and another run took the lease."""

    def __init__(self, dagster_run_id: str) -> None:
        super().__init__(
            f"This run stood still for more than a minute, and run {dagster_run_id or 'unknown'} took its place. "
            "The data that this run wrote is kept; the next run completes the rest."
        )


class UserRemovedError(EchostatsError):
    """The user was removed while a run was changing their data: nothing is wrong, and no data of theirs is kept."""

    def __init__(self) -> None:
        super().__init__("The user was removed meanwhile. None of their data is kept.")


class NotFoundError(EchostatsError):
    """The named user, document or object does not exist."""
