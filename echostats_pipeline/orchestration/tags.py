"""Tags of runs: which user a run serves, and how Dagster queues, repeats and ends it."""

import dagster as dg

USER_TAG = "echostats/user"
"""Partition key of the user that a run serves. Two runs of one user never execute at once."""
USERS_TAG = "echostats/users"
"""Number of users, on a run that serves several."""
FILES_TAG = "echostats/files"
"""Number of exports that a run imports."""
PROCESS_TAG = "echostats/process"
"""The process of a command that executes a run itself: its host and its id. Dagster launches every other run."""
READS_ONLY = {"echostats/reads_only": "true"}
"""Tags of jobs that write nothing to the database, not even indexes."""
MAX_RUNTIME, MAX_RETRIES = "dagster/max_runtime", "dagster/max_retries"
"""Dagster's own tags: seconds after which a run is ended, and the number of repeats of a failed run."""
FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
"""States of runs that have ended."""
AFTER_PLAYS = {"dagster/priority": "-1"}
"""Tags of jobs that let a sync go first in Dagster's queue: plays that are not read in time are lost."""
RETRIED = {MAX_RETRIES: "2", "dagster/retry_on_asset_or_op_failure": "true"}
"""Tags of jobs that no sensor requests again after a failure. A permanent failure withdraws the second tag."""


def process_of(run: dg.DagsterRun) -> str:
    """The process of the command that executes the run, if any. A run that repeats another has inherited the tag."""
    return "" if run.parent_run_id else run.tags.get(PROCESS_TAG, "")


def at_most(minutes: int) -> dict[str, str]:
    """Tags that end a run after this time, which is an hour by default."""
    return {MAX_RUNTIME: str(minutes * 60)}
