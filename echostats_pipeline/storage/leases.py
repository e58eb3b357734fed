"""Leases on a user's data (collection ``user_leases``): only one run at a time may change it.

Dagster's limit of one run per user relies on a tag that backfills of the UI lack, and does not include the command
line. A lease is renewed while its holder lives and expires when the holder has died. All times are by the database's
clock, which all processes share.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from echostats_pipeline.errors import LeaseLostError, UserBusyError
from echostats_pipeline.model.operations import LeaseScope
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.removals import RemovalStore

LASTS = timedelta(seconds=60)
"""How long a lease lasts without renewal; four times the pause between two renewals."""
POLL_S = 0.5
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Lease:
    """The right of a run to change one scope of a user's data."""

    user_id: str
    scope: LeaseScope
    dagster_run_id: str


class LeaseStore:
    """Takes, renews and releases leases."""

    def __init__(self, db: Db) -> None:
        self._leases = db["user_leases"]
        self._removals = RemovalStore(db)

    @contextmanager
    def held(
        self, lease: Lease, *, patience_s: float, sleep: Callable[[float], None] = time.sleep
    ) -> Iterator[Callable[[], bool]]:
        """Hold a lease for the duration of the block, which must call the yielded function every few seconds.

        Args:
            lease: The lease to hold.
            patience_s: How many seconds to wait for another run's lease to end.
            sleep: Waits for a number of seconds.

        Raises:
            UserBusyError: another run holds the lease and keeps it.
            LeaseLostError: the block has ended, but the lease had expired meanwhile and another run has taken it.
        """
        waited = 0.0
        while not self.take(lease):
            if waited >= patience_s:
                raise UserBusyError(self.holder(lease))
            sleep(POLL_S)
            waited += POLL_S
        try:
            yield lambda: self.renew(lease)
        except BaseException:
            self.release(lease)
            raise
        if not self.release(lease):
            raise LeaseLostError(self.holder(lease))

    def take(self, lease: Lease) -> bool:
        """Take a lease that is free, has expired, or belongs to this run; False if another run holds it.

        Raises:
            UserRemovedError: the user was removed.
        """
        self._removals.refuse(lease.user_id)
        of_user = {"user_id": lease.user_id, "scope": lease.scope}
        self._leases.update_one(
            of_user, {"$setOnInsert": {"dagster_run_id": "", "renewed_at": NEVER}}, upsert=True
        )  # an upsert cannot compare with the database's clock
        lapsed = {"$lt": ["$renewed_at", {"$subtract": ["$$NOW", int(LASTS.total_seconds() * 1000)]}]}
        free = {"$or": [{"$expr": lapsed}, {"dagster_run_id": lease.dagster_run_id}]}
        taken = [{"$set": {"dagster_run_id": lease.dagster_run_id, "renewed_at": "$$NOW"}}]
        return self._leases.update_one({**of_user, **free}, taken).matched_count == 1

    def renew(self, lease: Lease) -> bool:
        """Renew a lease; False if another run has it."""
        return self._leases.update_one(_owned(lease), {"$currentDate": {"renewed_at": True}}).matched_count == 1

    def release(self, lease: Lease) -> bool:
        """Release a lease; False if another run has it."""
        return self._leases.delete_one(_owned(lease)).deleted_count == 1

    def renew_run(self, dagster_run_id: str) -> int:
        """Renew all leases of a run; return how many it has."""
        return self._leases.update_many(
            {"dagster_run_id": dagster_run_id}, {"$currentDate": {"renewed_at": True}}
        ).matched_count

    def release_run(self, dagster_run_id: str) -> None:
        """Release all leases of a run that has died or ended."""
        self._leases.delete_many({"dagster_run_id": dagster_run_id})

    def holder(self, lease: Lease) -> str:
        """The run that holds a user's lease of this scope; empty if it has just been released."""
        found = self._leases.find_one({"user_id": lease.user_id, "scope": lease.scope})
        return "" if found is None else found["dagster_run_id"]


def _owned(lease: Lease) -> Document:
    return {"user_id": lease.user_id, "scope": lease.scope, "dagster_run_id": lease.dagster_run_id}
