"""Tags of runs: whom a run serves, and how Dagster queues, repeats and ends it."""

USER_TAG = "echostats/user"
"""Partition key of the user that a run serves. Two runs of one user never execute at once."""
USERS_TAG = "echostats/users"
"""Number of users, on a run that serves several."""
FILES_TAG = "echostats/files"
"""Number of exports that a run imports."""
READS_ONLY = {"echostats/reads_only": "true"}
"""Tags of jobs that write nothing to the database, indexes included."""
AFTER_PLAYS = {"dagster/priority": "-1"}
"""Tags of jobs that let a sync pass in Dagster's queue: plays that are not read in time are lost."""
RETRIED = {"dagster/max_retries": "2", "dagster/retry_on_asset_or_op_failure": "true"}
"""Tags of jobs that no sensor requests again after a failure. A permanent failure withdraws the second tag."""


def at_most(minutes: int) -> dict[str, str]:
    """Tags that end a run after this time. The default is an hour."""
    return {"dagster/max_runtime": str(minutes * 60)}
