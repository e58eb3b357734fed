"""Protocol of a run: job records around the work of assets, one per user and run, with one step per asset."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import TypeVar

import dagster as dg
from pymongo.errors import PyMongoError

from echostats_pipeline.errors import (
    APP_FAMILY,
    LeaseLostError,
    SpotifyError,
    UserBusyError,
    UserRemovedError,
    WaitRequired,
    WarehouseError,
)
from echostats_pipeline.model.operations import JobStatus, JobStep, JobType, LeaseScope
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.instance.identity import instance_id
from echostats_pipeline.orchestration.instance.user_cleanup import remove_files_of_removed
from echostats_pipeline.orchestration.partitions import days_by_user
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.spotify import SPOTIFY_POOL
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.storage.failover import through_failover
from echostats_pipeline.storage.heartbeat import beating
from echostats_pipeline.storage.leases import Lease
from echostats_pipeline.storage.mongo_errors import UNKNOWN, MongoAddress, explanation
from echostats_pipeline.storage.sync_jobs import ERROR_LENGTH, JobKey, JobStore

READ_OVER_DAYS = {"playlists", "saved_tracks", "top_items"}
"""Steps that a job may leave unfinished if the calls are used up. It stays pending until a later run finishes them."""
NEEDED_FOR_PLAYS = ("recently-played", "token", APP_FAMILY)
"""Families of endpoints. While one waits, plays are not read and no user is synced."""
Result = TypeVar("Result")
RETRY_TAG = "dagster/retry_on_asset_or_op_failure"
"""Whether Dagster's run retries apply to a run whose step has failed."""


@dataclass(frozen=True)
class Exclusive:
    """Data that an asset changes and that no two runs may change at once.

    Attributes:
        scope: Which of a user's data.
        patience_s: Seconds to wait for another run to end.
        needed: Whether it is a failure if the other run does not end. If False, the step is left to the other run.
    """

    scope: LeaseScope
    patience_s: float = 10
    needed: bool = False


HISTORY = Exclusive("history")
WHOLE_HISTORY = Exclusive("history", patience_s=15 * 60, needed=True)
LIBRARY = Exclusive("library")
MARTS = Exclusive("marts")
SCROBBLES = Exclusive("scrobbles")


@dataclass
class Step:
    """A running step, as its asset sees it; satisfies `stages.Progress`.

    Attributes:
        store: Where the step is recorded.
        key: The key of its job.
        detail: What the step did, in one sentence.
        items: Number of items it has processed.
        counts: The numbers in `detail`.
        is_unfinished: Whether a later run has to continue the step.
    """

    store: JobStore
    key: JobKey
    detail: str = ""
    items: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    is_unfinished: bool = False
    _expected: int = 0

    def expect(self, items: int) -> None:
        """Announce items that will be processed."""
        self._expected += items
        self.store.expect(self.key, items)

    def attempted(self, work: Callable[[], Result]) -> Result:
        """Do the work of the step. It is repeated if the primary of the database was lost meanwhile."""
        return through_failover(work, self._begin_again)

    def _begin_again(self) -> None:
        """Take back what the interrupted work has reported."""
        self.store.expect(self.key, -self._expected)
        self.store.advance(self.key, -self.items)
        self.detail, self.items, self.counts, self.is_unfinished, self._expected = "", 0, {}, False, 0

    def advance(self, items: int) -> None:
        """Report items as processed."""
        self.items += items
        self.store.advance(self.key, items)

    def done(self, items: int, detail: str) -> None:
        """Report in one sentence what the step did."""
        self._expected += items
        self.items += items
        self.store.progressed(self.key, items)
        self.detail = detail


class SyncJobsResource(dg.ConfigurableResource):
    """Opens a job before its first step and closes it after its last."""

    store: dg.ResourceDependency[StoreResource]
    clock: dg.ResourceDependency[ClockResource]

    @contextmanager
    def step(self, context: dg.AssetExecutionContext, user: User) -> Iterator[Step]:
        """Record the work of one asset for one user. If the user is removed meanwhile, keep nothing.

        Raises:
            UserRemovedError: the user was removed before the step, or while it still had something to do.
        """
        with self._sweeping([user.user_id]), self._recorded(context, user) as step:
            yield step

    @contextmanager
    def _sweeping(self, user_ids: Sequence[str]) -> Iterator[None]:
        """At the end of the block, delete what it has written of users who were removed meanwhile.

        `user_ids` may grow in the block.
        """
        try:
            yield
        finally:
            with suppress(PyMongoError):  # the work reports a database that is gone
                self.store.get().removals.sweep(user_ids)

    @contextmanager
    def _recorded(self, context: dg.AssetExecutionContext, user: User) -> Iterator[Step]:
        """Record the work of one asset for one user.

        The last asset of the run completes the job, and the first exception fails it, with two exceptions. A limit of
        Spotify
        is no failure: it is stored, so that every process respects it, and the step ends. Another run that does the
        same work
        is no failure either: the step stays ``pending``.
        """
        jobs = self.store.get().jobs
        key = JobKey(user.user_id, context.run.run_id)
        action, wanted = context.asset_key.to_user_string(), _assets_of_run(context)
        kind = job_type(wanted, user, calls_spotify=_calls_spotify(context, wanted))
        jobs.open(key, kind, self.clock.now(), instance_id(context.instance))
        started_at = self.clock.now()
        step = Step(jobs, key)

        def ended(status: JobStatus, error: str = "") -> JobStep:
            return JobStep.model_validate(
                {
                    "action": action,
                    "status": status,
                    "detail": step.detail,
                    "items": step.items,
                    "counts": step.counts,
                    "started_at": started_at,
                    "completed_at": self.clock.now(),
                    "error": error[:ERROR_LENGTH],
                }
            )

        outcome: JobStatus = "completed"
        try:
            with beating(lambda: jobs.beat(key.dagster_run_id)):
                yield step
        except WaitRequired as wait:  # no failure: a later run reads what is missing
            self.store.get().limits.postpone(wait.family, wait.until, wait.reason)
            step.detail = f"Waiting until {wait.until:%Y-%m-%d %H:%M} UTC: {wait.reason}"
        except _LeftToAnotherRun as left:
            outcome, step.detail = "pending", str(left)
        except BaseException as failure:
            error = f"{type(failure).__name__}: {self._said(failure)}"
            with suppress(UserRemovedError):  # the record no longer exists
                jobs.append_step(key, ended("failed", error))
                jobs.close(key, "failed", self.clock.now(), error)
            raise
        try:
            steps = jobs.append_step(key, ended("pending" if step.is_unfinished else outcome))
        except UserRemovedError:
            return
        if not steps:
            raise dg.Failure(f"The job of run {context.run.run_id} was closed while {action} still ran.")
        if wanted <= set(steps):
            self._close(key, steps)
            waits = self.store.get().limits.waiting(NEEDED_FOR_PLAYS, started_at)
            read = "recently_played" in wanted and "pending" not in steps.values() and not waits
            if read and user.status == "active":
                self.store.get().users.synced(user.user_id, started_at)

    def _close(self, key: JobKey, steps: Mapping[str, JobStatus]) -> None:
        """Close a job whose last step has ended. An unfinished library leaves it pending."""
        jobs, through = self.store.get().jobs, READ_OVER_DAYS & steps.keys()
        if any(steps[action] == "pending" for action in through):
            jobs.close(key, "pending", self.clock.now())
            return
        jobs.close(key, "completed", self.clock.now())
        if through:
            jobs.complete_earlier(key, through)

    def _said(self, failure: BaseException) -> str:
        """The message of a failure. The driver's own messages name neither host nor remedy."""
        if not isinstance(failure, PyMongoError):
            return str(failure)
        uri = self.store.settings.mongo_uri
        return explanation(failure, MongoAddress.of(uri.get_secret_value()) if uri else UNKNOWN)

    @contextmanager
    def _alone(self, step: Step, changes: Exclusive | None) -> Iterator[None]:
        """Keep other runs from changing the same data for the length of the block."""
        if changes is None:
            yield
            return
        leases, lease = self.store.get().leases, Lease(step.key.user_id, changes.scope, step.key.dagster_run_id)
        with ExitStack() as stack:
            try:
                renew = stack.enter_context(leases.held(lease, patience_s=changes.patience_s))
            except UserBusyError as busy:
                if changes.needed:
                    raise
                raise _LeftToAnotherRun(str(busy)) from busy
            stack.enter_context(beating(renew))
            yield

    def for_each_user(
        self,
        context: dg.AssetExecutionContext,
        work: Callable[[User, Sequence[date], Step], Result | None],
        changes: Exclusive | None = None,
        at_once: int = 1,
    ) -> dict[str, Result]:
        """Do the work of an asset for every user of its partitions, with one step per user.

        A failure of one user does not stop the work for the others. The run may be retried only if every failure may
        pass by
        itself. A user who was removed meanwhile is no failure.

        Args:
            context: Context of the asset.
            work: Function that works for one user on these days; called in threads if `at_once` is more than one.
            changes: Data that no other run may change meanwhile.
            at_once: Number of users served at the same time.

        Returns:
            What `work` returned, by partition key in the order of the partitions; None is left out.

        Raises:
            dg.Failure: the work failed for at least one user; the message names these users and their errors.
        """
        failures: dict[str, Exception] = {}
        details: dict[str, str] = {}
        results: dict[str, Result] = {}
        served: list[str] = []

        def serve(key: str, days: Sequence[date]) -> None:
            try:
                user = self.store.get().users.by_partition_key(key)
                served.append(user.user_id)
                result = None  # a wait for Spotify ends the step without one
                with self._recorded(context, user) as step, self._alone(step, changes):
                    result = step.attempted(partial(work, user, days, step))
                details[key] = step.detail
                if result is not None:
                    results[key] = result
            except Exception as failure:
                if self.store.get().removals.had_key(key):
                    details[key] = "Removed meanwhile; nothing is kept"
                    return
                context.log.exception("%s", key)
                failures[key] = failure

        if not self.store.settings.one_machine:  # where else would a machine learn that a user was removed?
            remove_files_of_removed(self.store.settings, self.store.get())
        instance_id(context.instance)  # remembered: an instance in memory does not serve several threads
        asked = days_by_user(context.partition_keys)
        with self._sweeping(served), _in_turn(at_once if len(asked) > 1 else 1) as in_turn:
            in_turn(serve, asked.keys(), asked.values())
        # One entry for all users, because an entry is a transaction of Dagster's: 20 ms.
        if details:
            context.log.info("%s", "\n".join(f"{key}: {details[key]}" for key in asked if key in details))
        if failures:
            summary = "; ".join(f"{key}: {type(failure).__name__}: {failure}" for key, failure in failures.items())
            transient = all(_is_transient(failure) for failure in failures.values())
            if not transient:
                context.instance.add_run_tags(context.run.run_id, {RETRY_TAG: "false"})
            raise dg.Failure(summary, allow_retries=transient) from next(iter(failures.values()))
        return {key: results[key] for key in asked if key in results}


@contextmanager
def _in_turn(at_once: int) -> Iterator[Callable[..., object]]:
    """Give a function that calls another with each of some arguments, in turn or in `at_once` threads."""
    if at_once == 1:
        yield lambda call, *arguments: deque(map(call, *arguments), maxlen=0)
        return
    with ThreadPoolExecutor(at_once) as threads:
        try:
            yield lambda call, *arguments: deque(threads.map(call, *arguments), maxlen=0)
        except BaseException:  # Ctrl-C or a cancelled run: users not begun yet are not begun any more
            threads.shutdown(cancel_futures=True)
            raise


class _LeftToAnotherRun(Exception):  # noqa: N818 - nothing is wrong
    """Another run does the work of this step."""


def _is_transient(failure: Exception) -> bool:
    """Whether the same work may succeed later without anyone changing anything."""
    if isinstance(failure, SpotifyError):
        return not failure.permanent
    if isinstance(failure, WarehouseError):
        return not failure.permanent
    return isinstance(failure, UserBusyError | LeaseLostError | PyMongoError)


def job_type(assets: frozenset[str], user: User, *, calls_spotify: bool) -> JobType:
    """The type of job that a run of these assets is for a user."""
    if "streaming_history_import" in assets:
        return "import"
    if calls_spotify:
        return "initial" if "recently_played" in assets and user.last_synced_at is None else "periodic"
    return "rollup_build"


def _assets_of_run(context: dg.AssetExecutionContext) -> frozenset[str]:
    selection = context.run.asset_selection or context.job_def.asset_layer.executable_asset_keys
    return frozenset(key.to_user_string() for key in selection)


def _calls_spotify(context: dg.AssetExecutionContext, assets: frozenset[str]) -> bool:
    """Whether one of these assets calls Spotify, that is, belongs to Spotify's pool."""
    nodes = (context.job_def.asset_layer.get(dg.AssetKey(name)) for name in assets)
    return any(SPOTIFY_POOL in (node.pools or ()) for node in nodes)
