"""What `echostats up` prints while it runs: a line for each sync, import and failure, and nothing else."""

from datetime import datetime, timedelta

import click
import pytest

from echostats_pipeline.cli.happenings import Happenings, first_sentence, tell_once
from echostats_pipeline.model.operations import Incident, JobStatus, JobStep, JobType
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
        tell_once(happenings, lines.append, NOW + timedelta(seconds=after_s))
        return [click.unstyle(line).partition("  ")[2] for line in lines]

    ended(store, ann, NOW - timedelta(seconds=5), run="before", listening_history=3)
    ended(store, ann, NOW + timedelta(seconds=1), run="quiet", listening_history=0)
    ended(store, ann, NOW + timedelta(seconds=1), run="statistics", job_type="rollup_build")
    assert told(5) == []
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
