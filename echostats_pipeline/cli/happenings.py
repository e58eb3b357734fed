"""The lines that `echostats up` prints while it runs: one for each sync, import and failure.

Here: which records become a line, and its words. The records are those of jobs (``sync_jobs``) and incidents.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import click
from pymongo.errors import PyMongoError

from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.model.operations import Incident, SyncJob
from echostats_pipeline.monitoring.incidents import one_line
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.storage.store import Store

LOOK_S = 5.0
OVERLAP = timedelta(minutes=1)
"""How far each look goes back behind the one before: a job is stored some time after the instant at which it ended."""
ERROR_NAME = re.compile(r"^[A-Z][A-Za-z]+(?:\.[A-Za-z]+)*: ")
SENTENCE = re.compile(r"(?<=[.!?])\s")


@dataclass(frozen=True)
class Happening:
    """Something that ended well or badly at an instant.

    Attributes:
        user_id: Whom it is about; empty if it is about all users.
        run_id: Its Dagster run.
    """

    at: datetime
    user_id: str
    text: str
    is_failure: bool
    run_id: str


@dataclass
class Happenings:
    """Finds what has happened since the last look.

    Attributes:
        store: The database.
        since: Nothing that ended before is told.
        secrets: Never shown in a line.
    """

    store: Store
    since: datetime
    secrets: Iterable[str] = ()
    _told: dict[str, datetime] = field(default_factory=dict)
    _failed_runs: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Remember when the first look begins."""
        self._begun = self.since

    def new(self, now: datetime) -> list[str]:
        """Return the lines about what has happened since the last look, in order."""
        begin = self.since - OVERLAP
        found = [each for job in self.store.jobs.ended_since(begin) if (each := of_job(job, self.secrets))]
        self._failed_runs |= {each.run_id for each in found if each.is_failure}
        incidents = self.store.incidents.opened_since(begin)
        # The failure of a user's job is told already.
        found += [of_incident(each, self.secrets) for each in incidents if each.run_id not in self._failed_runs]
        keys = {user.user_id: user.partition_key for user in self.store.users.all()} if found else {}
        # Everything is read: nothing that is counted as told from here on can be lost by an error.
        fresh = [each for each in sorted(found, key=lambda each: each.at) if self._is_new(each)]
        self._told = {key: at for key, at in self._told.items() if at >= begin}
        self.since = max(now, self.since)
        return [line_of(each, keys) for each in fresh]

    def _is_new(self, each: Happening) -> bool:
        key = f"{each.run_id} {each.user_id} {each.text}"
        is_new = key not in self._told and each.at >= self._begun
        self._told[key] = max(each.at, self.since)
        return is_new


def of_job(job: SyncJob, secrets: Iterable[str]) -> Happening | None:
    """Return what a job that has ended did, if a person wants to know: new plays, an import, a failure."""
    if job.completed_at is None:
        return None
    if job.status == "failed":
        step = next((step.action for step in job.steps if step.status == "failed"), "run")
        what = {"import": "import", "rollup_build": step}.get(job.job_type, "sync")
        text = f"{what} failed: {first_sentence(job.error_message, secrets)}"
        return Happening(job.completed_at, job.user_id, text, is_failure=True, run_id=job.dagster_run_id)
    added = {step.action: step.counts["plays_added"] for step in job.steps if "plays_added" in step.counts}
    if "streaming_history_import" in added:
        text = f"import: {plural(added['streaming_history_import'], 'new play')}"
    elif plays := added.get("listening_history"):
        text = f"sync: {plural(plays, 'new play')}"
    else:
        return None
    return Happening(job.completed_at, job.user_id, text, is_failure=False, run_id=job.dagster_run_id)


def of_incident(incident: Incident, secrets: Iterable[str]) -> Happening:
    """Return that an incident was opened."""
    text = f"{shown(incident.subject)}: {first_sentence(incident.cause, secrets)}"
    return Happening(incident.opened_at, incident.user_id, text, is_failure=True, run_id=incident.run_id)


def first_sentence(error: str, secrets: Iterable[str]) -> str:
    """Return the first sentence of an error, without the error's name and without secrets."""
    line = ERROR_NAME.sub("", one_line(error, secrets))
    return shown(SENTENCE.split(line, maxsplit=1)[0])


def shown(text: str) -> str:
    """Return a text as a terminal may show it: nothing in it moves the cursor or changes colours."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def line_of(each: Happening, user_keys: dict[str, str]) -> str:
    """Return the line about it; a failure is red where the output is a terminal."""
    who = f"{user_keys.get(each.user_id, 'a user')}  " if each.user_id else ""
    line = f"{each.at.astimezone():%H:%M:%S}  {who}{each.text}"
    return click.style(line, fg="red") if each.is_failure else line


@contextmanager
def telling(happenings: Happenings, say: Callable[[str], None], clock: Callable[[], datetime]) -> Iterator[None]:
    """Print a line for everything that happens while the block runs."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_S):
            with suppress(PyMongoError, EchostatsError):  # a database that is gone is told by those who need it
                tell_once(happenings, say, clock())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=LOOK_S)


def tell_once(happenings: Happenings, say: Callable[[str], None], now: datetime) -> None:
    """Print a line for everything that has happened since the last look."""
    for line in happenings.new(now):
        say(line)
