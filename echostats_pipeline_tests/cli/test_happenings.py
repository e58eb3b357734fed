"""What `echostats up` prints while it runs: a line for each sync, import and failure, and nothing else."""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import cast

import bson
import click
import dagster as dg
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo.errors import AutoReconnect

from echostats_pipeline.cli import happenings as module
from echostats_pipeline.cli.failed_runs import FailedRun, failed_runs
from echostats_pipeline.cli.happenings import Happenings, first_sentence, of_job, telling
from echostats_pipeline.errors import StorageError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.operations import Incident, JobStatus, JobStep, JobType, SyncJob
from echostats_pipeline.orchestration.partitions import PARTITION
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.sync_jobs import JobKey
from echostats_pipeline_tests.conftest import NOW, Installation


def ended(
    store: Store,
    user_id: str,
    at: datetime,
    *,
    run: str = "run",
    job_type: JobType = "periodic",
    status: JobStatus = "completed",
    error: str = "",
    **added: int,
) -> None:
    """Store a job that has ended; `added` are new plays by step."""
    key = JobKey(user_id, run)
    store.jobs.open(key, job_type, at)
    for action, plays in added.items():
        counts = {"plays_added": plays}
        step = {"action": action, "status": "completed", "detail": "", "items": 1, "counts": counts, "started_at": at}
        store.jobs.append_step(key, JobStep.model_validate(step))
    store.jobs.close(key, status, at, error)


def test_syncs_imports_and_failures_have_a_line_each_and_only_once(installation: Installation) -> None:
    store, user, lines = installation.store, installation.connect(), list[str]()
    ann = user.user_id
    happenings = Happenings(store, NOW, ["s3cret-of-ours"])

    def told(after_s: int) -> list[str]:
        lines.clear()
        happenings.tell(lines.append, NOW + timedelta(seconds=after_s))
        return [click.unstyle(line).partition("  ")[2] for line in lines]

    ended(store, ann, NOW - timedelta(seconds=5), run="before", listening_history=3)
    ended(store, ann, NOW + timedelta(seconds=1), run="quiet", recently_played=0, listening_history=0)
    ended(store, ann, NOW + timedelta(seconds=1), run="statistics", job_type="rollup_build", listening_history=0)
    assert told(5) == [f"{user.partition_key}  sync: nothing new"]
    ended(store, ann, NOW + timedelta(seconds=6), run="sync", listening_history=12)
    ended(store, ann, NOW + timedelta(seconds=7), run="import", job_type="import", streaming_history_import=1)
    said = "SpotifyError: Spotify said no\x1b[31m to s3cret-of-ours. Try again later.\nTraceback"
    ended(store, ann, NOW + timedelta(seconds=8), run="failed", status="failed", error=said)
    store.incidents.see(
        Incident(key="run:failed", kind="run", subject="The job x failed", cause=said, run_id="failed",
                 opened_at=NOW + timedelta(seconds=9), last_seen_at=NOW + timedelta(seconds=9))
    )  # fmt: skip
    store.incidents.see(
        Incident(key="check", kind="check", subject="A check failed", cause="Sums differ. See the UI.",
                 opened_at=NOW + timedelta(seconds=9), last_seen_at=NOW + timedelta(seconds=9))
    )  # fmt: skip
    assert told(10) == [
        f"{user.partition_key}  sync: 12 new plays",
        f"{user.partition_key}  import: 1 new play",
        f"{user.partition_key}  sync failed: Spotify said no\N{REPLACEMENT CHARACTER}[31m to •••.",
        "A check failed: Sums differ.",
    ]
    assert [line.startswith("\x1b[31m") for line in lines] == [False, False, True, True]
    assert told(15) == []
    assert told(90) == []
    ended(store, ann, NOW + timedelta(seconds=85), run="late", listening_history=1)
    assert told(95) == [f"{user.partition_key}  sync: 1 new play"]


def test_a_sync_that_has_to_wait_says_so() -> None:
    waits = {"detail": "Waiting until 2026-11-30 02:16 UTC: Spotify asks to wait", "counts": {}}
    steps = [("recently_played", waits), ("listening_history", {"detail": "", "counts": {"plays_added": 0}})]
    known = {"status": "completed", "items": 0, "started_at": NOW}
    job = SyncJob(
        user_id="ann",
        status="completed",
        completed_at=NOW,
        steps=[JobStep.model_validate({"action": action, **known, **more}) for action, more in steps],
    )
    found = of_job(job, [])
    assert found is not None
    assert found.text == "sync: waiting until 2026-11-30 02:16 UTC: Spotify asks to wait"


def test_a_document_that_does_not_fit_hides_no_failure(installation: Installation) -> None:
    store, user, lines = installation.store, installation.connect(), list[str]()
    happenings, after = Happenings(store, NOW), NOW + timedelta(seconds=1)
    ended(store, user.user_id, after, run="sync", status="failed", error="Spotify said no.")
    jobs, incidents = store.db["sync_jobs"], store.db["incidents"]
    jobs.insert_one({"status": "failed", "completed_at": after, "dagster_run_id": "bare"})
    odd = {"status": "failed", "completed_at": after, "dagster_run_id": "odd", "user_id": user.user_id}
    jobs.insert_one({**odd, "steps": "none", "started_at": "yesterday", "error_message": 7, "job_type": "import"})
    broken = bson.encode({**odd, "dagster_run_id": "broken", "error_message": "Caf@ shut"}).replace(b"@", b"\xe9")
    jobs.insert_one(RawBSONDocument(broken))
    incidents.insert_one({"key": "run:x", "closed_at": None, "opened_at": "now", "last_seen_at": None})
    happenings.tell(lines.append, NOW + timedelta(seconds=5))
    key = user.partition_key
    told = sorted(click.unstyle(line).partition("  ")[2] for line in lines)
    assert told == sorted([
        f"{key}  sync failed: Spotify said no.",
        "sync failed: The reason is not known",
        f"{key}  import failed: The reason is not known",
        f"{key}  sync failed: Caf\N{REPLACEMENT CHARACTER} shut",
        "Something failed: Its record cannot be read",
    ])  # fmt: skip
    happenings.tell(lines.append, NOW + timedelta(seconds=10))
    assert len(lines) == 5


class Jobs:
    """The records of jobs of a database that does what a test says."""

    def __init__(self) -> None:
        self.found: list[SyncJob] = []
        self.error: Exception | None = None

    def ended_since(self, at: datetime) -> list[SyncJob]:
        if self.error is not None:
            raise self.error
        return [job for job in self.found if job.completed_at is not None and job.completed_at >= at]

    def fail(self, run: str, after_s: int) -> None:
        """A sync of Ann fails."""
        at = NOW + timedelta(seconds=after_s)
        job = SyncJob(
            user_id="ann", status="failed", completed_at=at, dagster_run_id=run, error_message=f"{run} ended."
        )
        self.found.append(job)


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def told_store(jobs: Jobs) -> Store:
    """A database of which a test decides what it answers."""
    users = [SimpleNamespace(user_id="ann", partition_key="ann")]
    parts = {"jobs": jobs, "incidents": SimpleNamespace(open_in_part=list), "users": SimpleNamespace(all=lambda: users)}
    return cast("Store", SimpleNamespace(**parts))


def plain(lines: Sequence[str]) -> list[str]:
    """The lines without their colour and time."""
    return [click.unstyle(line).partition("  ")[2] for line in lines]


@pytest.mark.parametrize("error", [AutoReconnect("gone"), ValueError("no such codec"), OverflowError("date value")])
def test_what_happened_while_the_records_could_not_be_read_is_told_later(
    jobs: Jobs, told_store: Store, error: Exception
) -> None:
    happenings, lines = Happenings(told_store, NOW), list[str]()
    jobs.fail("first", 1)
    jobs.error = error
    for after_s in range(5, 905, 5):
        happenings.tell(lines.append, NOW + timedelta(seconds=after_s))
    assert len(lines) == 1, "an error is told once"
    jobs.fail("second", 500)
    jobs.error = None
    lines.clear()
    for after_s in (905, 910):
        happenings.tell(lines.append, NOW + timedelta(seconds=after_s))
    back = ["The database answers again."] if isinstance(error, AutoReconnect) else []
    assert plain(lines) == [*back, "ann  sync failed: first ended.", "ann  sync failed: second ended."]


def test_a_line_that_could_not_be_printed_is_printed_later_and_the_others_once(jobs: Jobs, told_store: Store) -> None:
    happenings, lines = Happenings(told_store, NOW), list[str]()
    for run in ("a", "b", "c"):
        jobs.fail(run, 1)

    def full(line: str) -> None:
        if len(lines) == 1:
            raise BlockingIOError
        lines.append(line)

    with pytest.raises(BlockingIOError):
        happenings.tell(full, NOW + timedelta(seconds=5))
    happenings.tell(lines.append, NOW + timedelta(seconds=10))
    assert plain(lines) == [f"ann  sync failed: {run} ended." for run in ("a", "b", "c")]


def test_a_run_that_left_no_record_is_told_as_dagster_knows_it(jobs: Jobs, told_store: Store) -> None:
    at = NOW + timedelta(seconds=1)
    known = [FailedRun(run, "sync", "ann", at, "StorageError: No database. Start it.") for run in ("with", "without")]
    happenings = Happenings(
        told_store, NOW, runs=lambda since, told: [run for run in known if run.at >= since and run.run_id not in told]
    )
    lines = list[str]()
    for after_s in range(5, 100, 5):
        if after_s == 50:
            jobs.fail("with", 2)
        happenings.tell(lines.append, NOW + timedelta(seconds=after_s))
    assert plain(lines) == ["ann  sync failed: with ended.", "sync failed for ann: No database."]


def test_a_run_that_was_killed_is_told_by_the_name_of_its_job(jobs: Jobs, told_store: Store) -> None:
    at, lines = NOW + timedelta(seconds=1), list[str]()
    killed = FailedRun("killed", "scrobble_build", "ann", at, "")
    jobs.fail("killed", 1)
    jobs.found[0].job_type = "rollup_build"
    Happenings(told_store, NOW, runs=lambda *_: [killed]).tell(lines.append, NOW + timedelta(seconds=5))
    assert plain(lines) == ["ann  scrobble_build failed: killed ended."]


def test_the_thread_outlives_every_error_and_looks_once_more_at_the_end(
    jobs: Jobs, told_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.001)
    lines, looks, enough = list[str](), count(), threading.Event()

    def say(line: str) -> None:
        if next(looks) < 3:
            raise OSError("no terminal")
        lines.append(line)
        enough.set()

    jobs.fail("first", 1)
    with telling(Happenings(told_store, NOW), say, lambda: NOW + timedelta(seconds=5)):
        assert enough.wait(10)
        monkeypatch.setattr(module, "LOOK_S", 10)
        jobs.fail("last", 2)
    assert plain(lines) == ["ann  sync failed: first ended.", "ann  sync failed: last ended."]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("SpotifyUnavailable: Spotify does not answer. Retry later.", "Spotify does not answer."),
        ("The file a.zip is broken", "The file a.zip is broken"),
        ("Bearer BQDxxxxxxxxxxxxxxxxxxxx was refused", "Bearer ••• was refused"),
        ("", "The reason is not known"),
    ],
)
def test_a_failure_is_told_in_its_first_sentence(error: str, sentence: str) -> None:
    assert first_sentence(error, []) == sentence


def test_dagster_says_which_runs_have_failed_and_why() -> None:
    @dg.op
    def broken() -> None:
        raise StorageError("No database answers.")

    @dg.job
    def sync() -> None:
        broken()

    with dg.DagsterInstance.ephemeral() as instance:
        run = sync.execute_in_process(instance=instance, raise_on_error=False, tags={PARTITION: "ann"})
        (found,) = failed_runs(instance, utc_now() - timedelta(minutes=1), ())
        assert failed_runs(instance, utc_now() - timedelta(minutes=1), {run.run_id}) == []
    assert (found.run_id, found.job_name, found.user_key) == (run.run_id, "sync", "ann")
    assert found.cause.endswith("StorageError: No database answers.")
