"""Every exception this package raises on purpose.

    EchostatsError
    ├── SettingsError            an environment variable is missing or wrong
    ├── StorageError
    │   ├── EmbeddedServerError  the embedded mongod cannot be found, started or reached
    │   └── IndexConflictError   the database holds an index that contradicts the declared one
    ├── DecryptionError          a stored token cannot be decrypted with the configured key
    ├── SpotifyError
    │   ├── SpotifyUnreachable   no answer: refused, timed out, not resolved
    │   ├── SpotifyResponseError an answer other than 2xx, or a body that is not what it must be
    │   └── ReauthorizationNeeded  the user's consent is gone; only the user can renew it
    ├── ExportError              a file is not a Spotify export, or cannot be read to its end
    └── NotFoundError            a user or a document that was named does not exist

Messages are written for the person at the command line: what happened, where, and what to do next.
"""


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
    """Base of everything that goes wrong between us and Spotify."""


class SpotifyUnreachable(SpotifyError):  # noqa: N818 - a state of the network, named as such
    """No answer arrived: connection refused, name not resolved, or timed out."""


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


class ReauthorizationNeeded(SpotifyError):  # noqa: N818 - says what must happen next
    """The refresh token is expired or revoked; the user has to connect the account again."""


class ExportError(EchostatsError):
    """A file is not a Spotify export, or cannot be read to its end."""


class NotFoundError(EchostatsError):
    """Something that was asked for by name does not exist."""
