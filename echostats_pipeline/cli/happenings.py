"""The lines that `echostats up` prints while it runs: one for each sync, import and failure.

Here: which records become a line, and its words. The records are those of jobs (``sync_jobs``) and incidents, and the
runs that Dagster knows to have failed. An error of one kind of record hides no other kind, and ends nothing.
"""

import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click
from pymongo.errors import PyMongoError

from echostats_pipeline.model.base import to_utc
from echostats_pipeline.model.operations import Incident, SyncJob
from echostats_pipeline.monitoring.incidents import one_line
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.storage.store import Store

if TYPE_CHECKING:
    from echostats_pipeline.cli.failed_runs import FailedRun

LOOK_S = 5.0
OVERLAP = timedelta(minutes=5)
"""How far each look goes back behind the one before: a job is stored some time after the instant at which it ended."""
GRACE = timedelta(minutes=1)
"""How long after its end a failed run waits for a record that says more than Dagster does."""
SETTLED_FOR = timedelta(days=1)
"""How long it is remembered that a run's failure is told: its incident may be recorded much later."""
AWAY_LOOKS = 2
"""After so many looks without an answer, the database counts as gone."""
ASKED, WAITING = "recently_played", "Waiting until"
"""The step that asks Spotify for plays, and how its detail begins if it has to wait."""
ERROR_NAME = re.compile(r"^[A-Z][A-Za-z]+(?:\.[A-Za-z]+)*: ")
SENTENCE = re.compile(r"(?<=[.!?])\s")
FailedRuns = Callable[[datetime, Collection[str]], "list[FailedRun]"]
"""Gives the runs that have failed since an instant, without those whose ids are known."""


@dataclass(frozen=True)
class Happening:
    """Something that ended well or badly at an instant.

    Attributes:
        user_id: Whom it is about; empty if it is about all users.
        key: Nothing with the same key is told twice.
        settled_by: Not told either if this failure is told already, by another record.
        settles: The failures that are told by telling this one.
    """

    at: datetime
    user_id: str
    text: str
    key: str
    settled_by: str = ""
    settles: tuple[str, ...] = ()

    @property
    def is_failure(self) -> bool:
        """Whether it ended badly."""
        return bool(self.settles)


def no_runs(_since: datetime, _known: Collection[str]) -> "list[FailedRun]":
    """Return no run: where there is no Dagster to ask."""
    return []


@dataclass
class Happenings:
    """Finds what has happened since the last look.

    Attributes:
        store: The database.
        since: Nothing that ended before is told.
        secrets: Never shown in a line.
        runs: Gives the runs that Dagster knows to have failed.
    """

    store: Store
    since: datetime
    secrets: Iterable[str] = ()
    runs: FailedRuns = no_runs
    _told: dict[str, datetime] = field(default_factory=dict)
    _settled: dict[str, datetime] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _job_names: dict[str, str] = field(default_factory=dict)
    _troubles: dict[str, str] = field(default_factory=dict)
    """What cannot be read now, and why."""
    _silences: int = 0

    def __post_init__(self) -> None:
        """Remember when the first look begins."""
        self._begun = self.since
        self._read_to = dict.fromkeys(("jobs", "incidents", "runs"), self.since)
        self._open_before: set[str] | None = None

    def tell(self, say: Callable[[str], None], now: datetime) -> None:
        """Print a line for everything that has happened since the last look.

        What cannot be read or printed now is told after a later look.
        """
        # Runs first: the record of a job is stored before its run ends.
        runs = self._looked("runs", self._failed_runs, say, now)
        jobs = self._looked("jobs", self._ended_jobs, say, now)
        # A database that is gone is not asked twice: each question would wait for it.
        incidents = [] if self._silences else self._looked("incidents", self._opened_incidents, say, now)
        if jobs or incidents:
            self._looked("users", self._read_names, say, now)
        self._say_all(sorted(jobs, key=_time), say, now)
        # A failure of a user's job says more than the incident of its run, and that more than Dagster.
        self._say_all(sorted(incidents, key=_time), say, now)
        self._say_all([each for each in sorted(runs, key=_time) if each.at <= now - GRACE], say, now)
        oldest = min(self._read_to.values()) - OVERLAP - GRACE
        self._told = {key: at for key, at in self._told.items() if at >= oldest}
        self._settled = {failure: at for failure, at in self._settled.items() if at >= now - SETTLED_FOR}

    def _looked(
        self,
        kind: str,
        read: Callable[[datetime], list[Happening]],
        say: Callable[[str], None],
        now: datetime,
    ) -> list[Happening]:
        """Read records of a kind. An error is told once, and they are read from the same instant on next time."""
        begin = self._read_to.get(kind, self._begun) - OVERLAP
        try:
            found = read(begin)
        except PyMongoError:
            self._silences += 1
            if self._silences == AWAY_LOOKS:
                say(_warning(now, "The database does not answer. What happens meanwhile is told later."))
            return []
        except Exception as error:  # noqa: BLE001 - the lines must not end
            cause = f"{type(error).__name__}: {first_sentence(str(error), self.secrets)}"
            if self._troubles.get(kind) != cause:
                self._troubles[kind] = cause
                say(_warning(now, f"The {kind} cannot be read for these lines: {cause}"))
            return []
        if kind == "jobs":
            if self._silences >= AWAY_LOOKS:
                say(f"{now.astimezone():%H:%M:%S}  The database answers again.")
            self._silences = 0
        self._troubles.pop(kind, None)
        if kind in self._read_to:
            self._read_to[kind] = max(now, self._read_to[kind])
        return found

    def _ended_jobs(self, begin: datetime) -> list[Happening]:
        found = [
            of_job(job, self.secrets, self._job_names.get(job.dagster_run_id, ""))
            for job in self.store.jobs.ended_since(begin)
        ]
        return [each for each in found if each is not None and each.at >= self._begun]

    def _opened_incidents(self, _begin: datetime) -> list[Happening]:
        found = [of_incident(each, self.secrets) for each in self.store.incidents.open_in_part()]
        if self._open_before is None:
            self._open_before = {each.key for each in found if each.at < self._begun}
        return [each for each in found if each.key not in self._open_before]

    def _failed_runs(self, begin: datetime) -> list[Happening]:
        found = self.runs(begin - GRACE, self._settled.keys())
        self._job_names = {each.run_id: each.job_name for each in found}
        return [of_run(each, self.secrets) for each in found if to_utc(each.at) >= self._begun]

    def _read_names(self, _begin: datetime) -> list[Happening]:
        self._names = {user.user_id: user.partition_key for user in self.store.users.all()}
        return []

    def _say_all(self, found: Iterable[Happening], say: Callable[[str], None], now: datetime) -> None:
        """Print lines that are not told yet. Each counts as told when it is printed."""
        for each in found:
            if each.key not in self._told and not (each.settled_by and each.settled_by in self._settled):
                say(line_of(each, self._names, now))
                self._settled.update(dict.fromkeys(each.settles, now))
            self._told[each.key] = now


def _time(each: Happening) -> datetime:
    return each.at


def _warning(now: datetime, text: str) -> str:
    return click.style(f"{now.astimezone():%H:%M:%S}  {text}", fg="yellow")


def of_job(job: SyncJob, secrets: Iterable[str], job_name: str = "") -> Happening | None:
    """Return what a job that has ended did, if a person wants to know: a sync of plays, an import, a failure.

    Args:
        job: The record.
        secrets: Never shown.
        job_name: Dagster's name of the job, if it is known: it names a failure in none of the steps.
    """
    if job.completed_at is None:
        return None
    if job.status == "failed":
        step = next((step.action for step in job.steps if step.status == "failed"), job_name or "run")
        what = {"import": "import", "rollup_build": step}.get(job.job_type, "sync")
        text = f"{what} failed: {first_sentence(job.error_message, secrets)}"
        return _of_job(job, job.completed_at, text, is_failure=True)
    added = {step.action: step.counts["plays_added"] for step in job.steps if "plays_added" in step.counts}
    if "streaming_history_import" in added:
        text = f"import: {plural(added['streaming_history_import'], 'new play')}"
    elif plays := added.get("listening_history"):
        text = f"sync: {plural(plays, 'new play')}"
    elif "listening_history" in added and any(step.action == ASKED for step in job.steps):
        waits = next((step.detail for step in job.steps if step.detail.startswith(WAITING)), "")
        text = f"sync: {waits[0].lower()}{shown(one_line(waits[1:], secrets))}" if waits else "sync: nothing new"
    else:
        return None
    return _of_job(job, job.completed_at, text)


def _of_job(job: SyncJob, at: datetime, text: str, *, is_failure: bool = False) -> Happening:
    run, key = job.dagster_run_id, f"job {job.dagster_run_id} {job.user_id} {is_failure}"
    if not is_failure:
        return Happening(at, job.user_id, text, key)
    return Happening(at, job.user_id, text, key, f"{run} {job.user_id}", (run, f"job {run}"))


def of_incident(incident: Incident, secrets: Iterable[str]) -> Happening:
    """Return that an incident was opened, or that the run of an open one has failed again."""
    subject = incident.subject
    if incident.user_id and incident.user_key:  # the line begins with the user
        subject = subject.replace(f" for {incident.user_key}", "")
    text = f"{shown(subject)}: {first_sentence(incident.cause, secrets)}"
    run, key = incident.run_id, f"incident {incident.key}"
    if incident.kind == "run":
        settles = (run, f"{run} {incident.user_id}")
        return Happening(incident.last_seen_at, incident.user_id, text, f"{key} {run}", f"job {run}", settles)
    return Happening(incident.opened_at, incident.user_id, text, f"{key} {incident.opened_at}", f"job {run}", (run,))


def of_run(run: "FailedRun", secrets: Iterable[str]) -> Happening:
    """Return that a run has failed, as Dagster knows it."""
    whom = f" for {shown(run.user_key)}" if run.user_key else ""
    text = f"{run.job_name} failed{whom}: {first_sentence(run.cause, secrets)}"
    return Happening(to_utc(run.at), "", text, f"run {run.run_id}", run.run_id, (run.run_id,))


def first_sentence(error: str, secrets: Iterable[str]) -> str:
    """Return the first sentence of an error, without the error's name and without secrets."""
    line = ERROR_NAME.sub("", one_line(error, secrets))
    return shown(SENTENCE.split(line, maxsplit=1)[0])


def shown(text: str) -> str:
    """Return a text as a terminal may show it: nothing in it moves the cursor or changes colours."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def line_of(each: Happening, user_keys: dict[str, str], now: datetime) -> str:
    """Return the line about it; a failure is red where the output is a terminal."""
    who = f"{user_keys.get(each.user_id, 'a user')}  " if each.user_id else ""
    line = f"{min(each.at, now).astimezone():%H:%M:%S}  {who}{each.text}"
    return click.style(line, fg="red") if each.is_failure else line


@contextmanager
def telling(happenings: Happenings, say: Callable[[str], None], clock: Callable[[], datetime]) -> Iterator[None]:
    """Print a line for everything that happens while the block runs."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_S):
            with suppress(Exception):  # a terminal that takes nothing now: the same lines come next time
                happenings.tell(say, clock())
        with suppress(Exception):
            happenings.tell(say, clock())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=LOOK_S)
