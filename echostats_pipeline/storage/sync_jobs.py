"""Records jobs (collection ``sync_jobs``): one document per user and Dagster run, open until its last step ends."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

from pymongo import ASCENDING, DESCENDING

from echostats_pipeline.model.operations import JobStatus, JobStep, JobType, SyncJob
from echostats_pipeline.storage.conformity import sound_part, stored_as
from echostats_pipeline.storage.database import TOLERANT, Db, Document
from echostats_pipeline.storage.removals import RemovalStore

ERROR_LENGTH = 500
SILENT_AFTER = timedelta(minutes=2)
"""How long a run may be silent before it counts as dead; eight times the pause between two heartbeats."""
ALIVE = {"$currentDate": {"heartbeat_at": True}}
FORGOTTEN_AT_ONCE = 5_000
"""Most jobs of a user and kind that one night deletes; a sync every minute makes 1,440 a day."""
_KEPT_KINDS = frozenset({"import"})
"""Kinds of jobs that are never deleted: there are few, and they say where plays came from."""
_OPEN: Document = {"status": "running", "dagster_run_id": {"$type": "string"}}
# A new job has no heartbeat yet; its id is as old as the job.
_LAST_SIGN = {"$ifNull": ["$heartbeat_at", {"$toDate": "$_id"}]}


def _ago(span: timedelta) -> Document:
    """The instant so long ago, by the database's clock."""
    return {"$subtract": ["$$NOW", int(span.total_seconds() * 1000)]}


_HEARD: Document = {"$expr": {"$gte": [_LAST_SIGN, _ago(SILENT_AFTER)]}}


@dataclass(frozen=True)
class JobKey:
    """Identifies a job: one user's part of a run."""

    user_id: str
    dagster_run_id: str

    def running(self) -> dict[str, str]:
        """The filter for every change to a job: a job that another process has closed is never reopened."""
        return {"user_id": self.user_id, "dagster_run_id": self.dagster_run_id, "status": "running"}


class JobStore:
    """Opens, advances and closes jobs."""

    def __init__(self, db: Db) -> None:
        self._jobs = db["sync_jobs"]
        self._removals = RemovalStore(db)

    def open(self, key: JobKey, job_type: JobType, at: datetime, dagster_instance_id: str = "") -> None:
        """Record that a job is running; an existing job with this key is left as it is.

        Args:
            key: The job.
            job_type: What the run does.
            at: The present instant.
            dagster_instance_id: The Dagster instance to which the run belongs.

        Raises:
            UserRemovedError: the user was removed.
        """
        if self._jobs.update_one(key.running(), ALIVE).matched_count:
            return  # an earlier step of the run has opened it
        self._removals.refuse(key.user_id)
        job = SyncJob(
            user_id=key.user_id,
            job_type=job_type,
            status="running",
            started_at=at,
            created_at=at,
            dagster_run_id=key.dagster_run_id,
            dagster_instance_id=dagster_instance_id,
        )
        self._jobs.update_one(
            {"user_id": key.user_id, "dagster_run_id": key.dagster_run_id}, {"$setOnInsert": job.to_bson()}, upsert=True
        )
        self._jobs.update_one(key.running(), ALIVE)

    def beat(self, dagster_run_id: str) -> None:
        """Record that a run is alive."""
        self._jobs.update_many({"dagster_run_id": dagster_run_id, "status": "running"}, ALIVE)

    def expect(self, key: JobKey, items: int) -> None:
        """Raise the number of items the job will process."""
        self._jobs.update_one(key.running(), {"$inc": {"items_total": items}})

    def progressed(self, key: JobKey, items: int) -> None:
        """Record items that were not expected before, and are processed already.

        Raises:
            UserRemovedError: the user was removed meanwhile.
        """
        both = {"$inc": {"items_total": items, "items_processed": items}}
        if not self._jobs.update_one(key.running(), both).matched_count:
            self._removals.refuse(key.user_id)

    def advance(self, key: JobKey, items: int) -> None:
        """Record processed items while a step runs.

        Raises:
            UserRemovedError: the user was removed meanwhile.
        """
        if not self._jobs.update_one(key.running(), {"$inc": {"items_processed": items}}).matched_count:
            self._removals.refuse(key.user_id)

    def append_step(self, key: JobKey, step: JobStep) -> dict[str, JobStatus]:
        """Append a step that has ended.

        Returns:
            The status of each step of the job so far, by its action; empty if the job has been closed already.

        Raises:
            UserRemovedError: the user was removed meanwhile.
        """
        document = self._jobs.find_one_and_update(
            key.running(), {"$push": {"steps": step.model_dump()}, **ALIVE}, return_document=True
        )
        if document is None:
            self._removals.refuse(key.user_id)
            return {}
        return {step["action"]: step["status"] for step in document["steps"]}

    def close(self, key: JobKey, status: JobStatus, at: datetime, error: str = "") -> bool:
        """Close a running job; False if another process had closed it."""
        fields = {"status": status, "completed_at": at, "error_message": error[:ERROR_LENGTH]}
        return self._jobs.update_one(key.running(), {"$set": fields}).modified_count == 1

    def complete_earlier(self, key: JobKey, actions: Iterable[str]) -> None:
        """Complete the user's earlier jobs that one of these steps left pending, because a later one has succeeded."""
        waiting = {"user_id": key.user_id, "status": "pending", "steps.action": {"$in": list(actions)}}
        self._jobs.update_many(waiting, {"$set": {"status": "completed"}})

    def close_run(self, dagster_run_id: str, at: datetime, error: str) -> int:
        """Mark all jobs that a run left open as failed; return how many there were."""
        fields = {"status": "failed", "completed_at": at, "error_message": error[:ERROR_LENGTH]}
        return self._jobs.update_many(
            {"dagster_run_id": dagster_run_id, "status": "running"}, {"$set": fields}
        ).modified_count

    def close_all(self, at: datetime, error: str) -> int:
        """Mark all jobs that any run left open as failed; return how many there were."""
        fields = {"status": "failed", "completed_at": at, "error_message": error[:ERROR_LENGTH]}
        return self._jobs.update_many(_OPEN, {"$set": fields}).modified_count

    def condemn(self, dagster_run_id: str, user_ids: Iterable[str], at: datetime, error: str) -> int:
        """Mark completed jobs of a run as failed for these users, because the run wrote wrong data."""
        fields = {"status": "failed", "completed_at": at, "error_message": error[:ERROR_LENGTH]}
        return self._jobs.update_many(
            {"dagster_run_id": dagster_run_id, "user_id": {"$in": list(user_ids)}, "status": "completed"},
            {"$set": fields},
        ).modified_count

    def forget(self, user_ids: Iterable[str], before: datetime) -> int:
        """Delete closed jobs that were created before an instant; return how many there were.

        Of each user and kind, the newest job and the newest completed one stay. So do imports, pending jobs, and those
        of EchoStats, which deletes them itself.

        Args:
            user_ids: The users whose jobs are looked through.
            before: Younger jobs stay.
        """
        kinds = [kind for kind in get_args(JobType) if kind not in _KEPT_KINDS]
        return sum(
            self._forget({"user_id": user_id, "job_type": kind}, before) for user_id in user_ids for kind in kinds
        )

    def _forget(self, kind: Document, before: datetime) -> int:
        """Delete the oldest jobs of a user and kind, in the order of the index on both and `created_at`."""
        ended = {"status": {"$in": ["completed", "failed"]}, "dagster_run_id": {"$gt": ""}}
        old = self._jobs.find({**kind, **ended, "created_at": {"$lt": before}}, {"_id": 1})
        ids = {job["_id"] for job in old.sort("created_at", ASCENDING).limit(FORGOTTEN_AT_ONCE)}
        if not ids:
            return 0
        for which in ({}, {"status": "completed"}):
            newest = self._jobs.find_one({**kind, **which}, {"_id": 1}, sort=[("created_at", DESCENDING)])
            if newest is not None:
                ids.discard(newest["_id"])
        return self._jobs.delete_many({"_id": {"$in": list(ids)}}).deleted_count

    def open_runs(self) -> list[str]:
        """Ids of the Dagster runs with an open job."""
        return list(self.owners())

    def owners(self) -> dict[str, str]:
        """The Dagster instance of each run with an open job, by the run's id and in that order; "" if it is unknown."""
        fields = {"dagster_run_id": 1, "dagster_instance_id": 1}
        jobs = self._jobs.find(_OPEN, fields).sort("dagster_run_id")
        return {job["dagster_run_id"]: job.get("dagster_instance_id") or "" for job in jobs}

    def silent_runs(self, after: timedelta = SILENT_AFTER) -> set[str]:
        """Ids of the Dagster runs with an open job that have been silent for so long."""
        silent = {"$expr": {"$lt": [_LAST_SIGN, _ago(after)]}}
        return {job["dagster_run_id"] for job in self._jobs.find(_OPEN | silent, {"dagster_run_id": 1})}

    def instances(self, since: datetime) -> set[str]:
        """Ids of the Dagster instances with jobs that were created after an instant."""
        named = {"created_at": {"$gt": since}, "dagster_instance_id": {"$gt": ""}}
        return set(self._jobs.distinct("dagster_instance_id", named))

    def busy_users(self) -> set[str]:
        """Ids of the users with an open job.

        EchoStats' own jobs do not count, because they may never be closed. Nor do silent ones: their instance may be
        gone, and no other closes them.
        """
        return {job["user_id"] for job in self._jobs.find(_OPEN | _HEARD, {"user_id": 1})}

    def syncing_together(self) -> set[str]:
        """Ids of the users whose run is still syncing any user."""
        syncs = {**_OPEN, **_HEARD, "job_type": {"$in": ["initial", "periodic"]}}
        runs = {job["dagster_run_id"] for job in self._jobs.find(syncs, {"dagster_run_id": 1})}  # distinct has no $$NOW
        return set(self._jobs.distinct("user_id", {"dagster_run_id": {"$in": sorted(runs)}}))

    def ended_since(self, at: datetime) -> list[SyncJob]:
        """Jobs of Dagster runs that ended at an instant or later, in order of their ends.

        A value that does not fit its field hides no job: the field has its default.
        """
        query = {"completed_at": {"$gte": at}, "dagster_run_id": {"$type": "string"}}
        found = self._jobs.with_options(TOLERANT).find(query).sort("completed_at")
        return [sound_part(SyncJob, job, {"user_id": ""}) for job in found]

    def of_run(self, dagster_run_id: str) -> Sequence[SyncJob]:
        """All jobs of a run."""
        return [stored_as(SyncJob, "sync_jobs", job) for job in self._jobs.find({"dagster_run_id": dagster_run_id})]
