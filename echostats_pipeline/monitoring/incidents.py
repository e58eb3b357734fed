"""What is to be told about trouble: its cause in one line, without secrets, and what can be done about it.

Here: words, and the choice of the cause. Not here: who sees trouble (`alerts`), and how notices travel (`notices`).
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
from echostats_pipeline.settings import Settings

REMOVED = "•••"
CAUSE_LENGTH = 300
SHORTEST_SECRET = 6
"""What is shorter is a word more often than a secret."""
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
    "ExportError": "Check the file, and import it again: echostats import",
    "BrokenExportError": "Check the file, and import it again: echostats import",
}
_ELSE = "Look at the run in the Dagster UI; `echostats doctor` says whether something is wrong around it."


@dataclass(frozen=True)
class Words:
    """A notice as it is sent.

    Attributes:
        title: What has happened to whom.
        body: The cause in the first line, then where to look and what to do.
        good: Whether something is right again.
    """

    title: str
    body: str
    good: bool = False


def configured_secrets(settings: Settings) -> list[str]:
    """Every secret that the settings hold, and the parts of addresses that may be one."""
    values = [
        settings.encryption_key,
        settings.spotify_client_secret,
        *settings.encryption_keys_old,
        *settings.alerts,
    ]
    whole = [value.get_secret_value() for value in values if value is not None]
    parts = [part for address in settings.alerts for part in re.split(r"[/:@?&=#]+", address.get_secret_value())[1:]]
    password = urlsplit(settings.mongo_uri.get_secret_value()).password if settings.mongo_uri else None
    return [*whole, *parts, *([password, unquote(password)] if password else [])]


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given secrets, and without whatever looks like one."""
    for secret in sorted({secret for secret in secrets if len(secret) >= SHORTEST_SECRET}, key=len, reverse=True):
        text = text.replace(secret, REMOVED)
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def one_line(text: str, secrets: Iterable[str] = ()) -> str:
    """The first line that says something, redacted and of bounded length."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "The reason is not known")
    line = redacted(first, secrets)
    return line if len(line) <= CAUSE_LENGTH else f"{line[: CAUSE_LENGTH - 1]}…"


def root_cause(recorded: Sequence[str], chain: Sequence[tuple[str, str]], said: str) -> str:
    """Why a run failed.

    Args:
        recorded: Errors in the records of its jobs.
        chain: Class and message of the error that ended it and of its causes, the outermost first.
        said: What Dagster says about the failure.

    Returns:
        What its jobs have recorded; else the innermost error of this package, whose messages are written for people;
        else the innermost of all.
    """
    if recorded:
        return "; ".join(dict.fromkeys(recorded))
    for name, message in reversed(chain):
        if name in _OWN_ERRORS:
            return message.strip().removeprefix(f"{errors.__name__}.")
    return chain[-1][1] if chain else said


def advice_for(cause: str) -> str:
    """What a person can do about a failure, told by the name of the error at the beginning of its cause."""
    return next((advice for name, advice in _ADVICE.items() if cause.startswith(name)), _ELSE)


def user_trouble(user: User, now: datetime) -> Incident | None:
    """The gravest of what keeps a user from being synced, or soon will; None for one who is well or paused at will."""
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
        cause = f"The consent of {name} ends in {max(left.days, 0)} days; after that nothing can be read"
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
    """The notice that an incident still owes.

    Args:
        incident: What is wrong, or was.
        ui_url: Where the Dagster UI answers, if it runs.
    """
    run = f"{ui_url}/runs/{incident.run_id}" if ui_url else incident.run_id
    facts = {"User": incident.user_key, "Job": incident.job_name, "Run": run if incident.run_id else ""}
    where = [f"{name}: {value}" for name, value in facts.items() if value]
    if incident.closed_at is not None:
        lasted = f"From {_minute(incident.opened_at)} to {_minute(incident.closed_at)}, seen {times(incident.count)}."
        body = "\n".join([f"Over: {incident.cause}", "", lasted, *where])
        return Words(f"Resolved: {incident.subject}", body, good=True)
    since = f"Since: {_minute(incident.opened_at)}, seen {times(incident.count)}; this is told once."
    body = "\n".join([incident.cause, "", f"What to do: {incident.advice}", *where, since])
    return Words(incident.subject, body)


def _minute(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def times(count: int) -> str:
    """How often, in words."""
    return "once" if count == 1 else f"{count:,} times"
