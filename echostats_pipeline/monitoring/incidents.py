"""Texts of incidents: the cause in one line, without secrets, and advice on what to do.

Here: the wording, and the choice of the cause. Not here: finding incidents (`orchestration.automation.alerts`), and
sending notices (`monitoring.notifier`).
"""

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from echostats_pipeline import errors
from echostats_pipeline.accounts.consent import EXPIRES_SOON, URGENT, consent_left
from echostats_pipeline.model.operations import Incident
from echostats_pipeline.model.users import User
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.settings import Settings

REMOVED = "•••"
"""Replaces a secret in a text."""
CAUSE_LENGTH = 300
"""Most characters of a cause."""
SHORTEST_SECRET = 6
"""Least length of a text that is redacted as a secret: a shorter text is more often an ordinary word."""
_OWN_ERRORS = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}
_NAMED = (
    r"(?<![A-Za-z0-9])(?:(?:access_?|refresh_?)?token|code_verifier|(?:client_?)?secret|pass(?:word|wd)?|pwd)"
    r"|(?<![A-Za-z0-9_])(?:code|(?:api_?|encryption_?)?key)"
)
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"([A-Za-z][\w+.-]*://)[^\s/@]*(?:/[^\s/@]*)?@"), rf"\1{REMOVED}@"),  # user and password of an address
    (re.compile(r"(?i)\b(authorization['\"]?\s*[:=]\s*)[^\r\n]+"), rf"\1{REMOVED}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w+/=.~-]{6,}"), rf"\1 {REMOVED}"),
    (re.compile(rf"(?i)({_NAMED})(['\"]?\s*[=:]\s*['\"]?)(?=\S{{6}})[^\s'\"&,;)}}]+"), rf"\1\2{REMOVED}"),
    (re.compile(r"\b[0-9a-fA-F]{32,}\b"), REMOVED),
    (re.compile(r"\bv1\.[0-9a-f]{8}\.[\w-]+"), REMOVED),
    (re.compile(r"[\w-]{40,}={0,2}"), REMOVED),  # tokens and codes; an id of Spotify has 22 characters, a run's 36
)
_ADVICE = {
    "ReauthorizationNeeded": "Let the user connect again: echostats connect",
    "ConsentNotGiven": "Let the user connect again: echostats connect",
    "InsufficientScope": "Let the user connect again: echostats connect",
    "AccessTokenRejected": "Let the user connect again: echostats connect",
    "UserNotRegistered": "Add the user under User Management in Spotify's dashboard, then: echostats users resume USER",
    "AppRefused": "Check SPOTIFY_CLIENT_ID and SPOTIFY_CLIENT_SECRET.",
    "PremiumRequired": "Renew the Premium subscription of the app's owner; calls work again some hours later.",
    "DecryptionError": "Compare the configured keys with those in use: echostats keys status",
    "IndexConflictError": "Rebuild the index: echostats indexes --repair",
    "WarehouseError": "Check ECHOSTATS_POSTGRES and its server: echostats warehouse status",
    "ExportError": "Check the file, and import it again: echostats import",
    "BrokenExportError": "Check the file, and import it again: echostats import",
}
_ELSE = "Look at the run in the Dagster UI; `echostats doctor` checks the rest of the installation."


@dataclass(frozen=True)
class Words:
    """The text of a notice.

    Attributes:
        title: What happened, and to which user, job or check.
        body: The cause in the first line, then where to look and what to do.
        good: Whether the notice says that the trouble has ended.
    """

    title: str
    body: str
    good: bool = False


def configured_secrets(settings: Settings) -> list[str]:
    """Return every secret in the settings, and the parts of addresses that may be secrets."""
    values = [
        settings.encryption_key,
        settings.spotify_client_secret,
        *settings.encryption_keys_old,
        *settings.alerts,
    ]
    whole = [value.get_secret_value() for value in values if value is not None]
    parts = [part for address in settings.alerts for part in re.split(r"[/:@?&=#]+", address.get_secret_value())[1:]]
    servers = [url.get_secret_value() for url in (settings.mongo_uri, settings.postgres) if url is not None]
    passwords = [password for server in servers if (password := urlsplit(server).password)]
    return [*whole, *parts, *(each for password in passwords for each in (password, unquote(password)))]


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text without the given secrets, and without anything that looks like a secret."""
    for secret in sorted({secret for secret in secrets if len(secret) >= SHORTEST_SECRET}, key=len, reverse=True):
        text = text.replace(secret, REMOVED)
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def one_line(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the first line that is not empty, redacted and at most `CAUSE_LENGTH` characters long."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "The reason is not known")
    line = redacted(first, secrets)
    return line if len(line) <= CAUSE_LENGTH else f"{line[: CAUSE_LENGTH - 1]}…"


def root_cause(recorded: Sequence[str], chain: Sequence[tuple[str, str]], said: str) -> str:
    """Return the cause of a failed run.

    Args:
        recorded: Errors in the run's records in ``sync_jobs``.
        chain: Class and message of the error that ended the run, and of the causes of this error; the outermost first.
        said: Dagster's message about the failure.

    Returns:
        The recorded errors; else the innermost error of this package, because its messages are written for people; else
        the innermost error.
    """
    if recorded:
        return "; ".join(dict.fromkeys(recorded))
    for name, message in reversed(chain):
        if name in _OWN_ERRORS:
            return message.strip().removeprefix(f"{errors.__name__}.")
    return chain[-1][1] if chain else said


def advice_for(cause: str) -> str:
    """Return what a person can do about a failure; the error's name at the beginning of the cause decides."""
    return next((advice for name, advice in _ADVICE.items() if cause.startswith(name)), _ELSE)


def user_trouble(user: User, now: datetime) -> Incident | None:
    """Return what keeps a user from being synced now or soon; None if nothing does, or a person paused the user."""
    left, name = consent_left(user, now), user.display_name or user.partition_key
    again = "Let the user connect again: echostats connect"
    if user.status == "needs_reauth":
        what, cause, advice = "consent", user.status_reason or "Spotify no longer accepts the consent", again
        subject = f"{name} has to connect again"
    elif user.status == "paused" and user.status_reason:
        what, cause = "paused", user.status_reason
        advice = f"When that is done: echostats users resume {user.partition_key}"
        subject = f"{name} is paused"
    elif user.status == "active" and left is not None and left <= EXPIRES_SOON:
        what = "consent-7" if left <= URGENT else "consent-30"
        cause = f"The consent of {name} ends in {plural(max(left.days, 0), 'day')}; after that, nothing can be read"
        subject, advice = f"The consent of {name} ends soon", again
    else:
        return None
    return Incident(
        key=f"user:{user.partition_key}:{what}",
        kind="user",
        subject=subject,
        cause=one_line(cause),
        advice=advice,
        user_key=user.partition_key,
        user_id=user.user_id,
        opened_at=now,
        last_seen_at=now,
    )


def words(incident: Incident, ui_url: str | None) -> Words:
    """Return the notice that still has to be sent for an incident.

    Args:
        incident: The incident, open or closed.
        ui_url: Address of the Dagster UI, if it runs.
    """
    run = f"{ui_url}/runs/{incident.run_id}" if ui_url else incident.run_id
    facts = {"User": incident.user_key, "Job": incident.job_name, "Run": run if incident.run_id else ""}
    where = [f"{name}: {value}" for name, value in facts.items() if value]
    if incident.closed_at is not None:
        lasted = f"From {_minute(incident.opened_at)} to {_minute(incident.closed_at)}, seen {times(incident.count)}."
        body = "\n".join([f"Over: {incident.cause}", "", lasted, *where])
        return Words(f"Resolved: {incident.subject}", body, good=True)
    since = f"Since: {_minute(incident.opened_at)}, seen {times(incident.count)}; this notice is sent once."
    body = "\n".join([incident.cause, "", f"What to do: {incident.advice}", *where, since])
    return Words(incident.subject, body)


def _minute(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def times(count: int) -> str:
    """Return how often, in words."""
    return "once" if count == 1 else f"{count:,} times"
