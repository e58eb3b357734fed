"""Keeps the data still while it is read: by a snapshot of the server, or by a pause of all runs.

A replica set shows all databases as they were at one instant. Nothing waits, and what is read is what a power cut at
that instant would have left. A standalone server cannot do that. There, a backup takes the leases under which runs
change a user's history, library, marts and sent plays, so that it waits for runs and runs wait for it.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import get_args

from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from echostats_pipeline.backup.manifest import Stillness
from echostats_pipeline.errors import BackupError, UserRemovedError
from echostats_pipeline.model.operations import LeaseScope
from echostats_pipeline.storage.leases import Lease
from echostats_pipeline.storage.store import Store

SNAPSHOT_UNAVAILABLE, SNAPSHOT_TOO_OLD = 246, 239
SNAPSHOT_TRIES = 30
POLL_S = 0.5
RENEW_S = 15.0
HOLD_S = 60.0
"""How long runs of other users wait because a backup waits for one run."""
HOLDER = "backup "
"""How the name begins that stands in leases in place of a run."""
TOO_OLD = (
    "The server does not keep a snapshot for as long as this backup takes (minSnapshotHistoryWindowInSeconds, 300 by "
    "default). Raise it there, or pause all runs instead: echostats backup --pause FILE"
)


@dataclass(frozen=True)
class Moment:
    """The moment at which the data is read.

    Attributes:
        still: How it is kept still.
        session: The session to read in, of a snapshot.
        keep: Must be called every few seconds while reading.
    """

    still: Stillness
    session: ClientSession | None
    keep: Callable[[], None]


def has_snapshots(store: Store) -> bool:
    """Whether the server can show all databases as they were at one instant."""
    hello = store.db.client.admin.command("hello")
    return "setName" in hello or hello.get("msg") == "isdbgrid"


@contextmanager
def snapshot(store: Store, names: list[str], sleep: Callable[[float], None] = time.sleep) -> Iterator[Moment]:
    """Show all databases as they were at one instant, for as long as the block runs.

    Args:
        store: The database.
        names: Collections of the core's database. One whose indexes have just changed is in no snapshot for a moment.
        sleep: Waits for a number of seconds.

    Raises:
        BackupError: the server does not keep the snapshot for so long.
    """
    try:
        with _readable_session(store, names, sleep) as session:
            yield Moment("snapshot", session, lambda: None)
    except OperationFailure as error:
        if error.code not in (SNAPSHOT_TOO_OLD, SNAPSHOT_UNAVAILABLE):
            raise
        raise BackupError(TOO_OLD) from error


@contextmanager
def _readable_session(store: Store, names: list[str], sleep: Callable[[float], None]) -> Iterator[ClientSession]:
    for left in reversed(range(SNAPSHOT_TRIES)):
        with store.db.client.start_session(snapshot=True) as session:
            try:
                for name in names:
                    store.db[name].find_one({}, {"_id": 1}, session=session)
            except OperationFailure as error:
                if error.code != SNAPSHOT_UNAVAILABLE:
                    raise
                if not left:
                    reason = (error.details or {}).get("errmsg", "no reason given")
                    raise BackupError(
                        f"The server shows no snapshot of {store.db.name}.{name}: {reason}. "
                        "Pause all runs instead: echostats backup --pause FILE"
                    ) from error
                sleep(POLL_S)
                continue
            yield session
            return


def named(run: str) -> str:
    """Who holds a lease, as a reader knows it."""
    if run.startswith(HOLDER):
        return "another backup"
    return f"run {run}" if run else "a run"


@dataclass
class _Pause:
    """The leases of all users.

    Attributes:
        store: The database.
        deadline: Until when to wait for runs.
        waiting: Called with who is waited for.
        sleep: Waits for a number of seconds.
        holder: Stands in the leases in place of a run.
        held: The leases that were taken.
    """

    store: Store
    deadline: float
    waiting: Callable[[str], None]
    sleep: Callable[[float], None]
    holder: str = field(default_factory=lambda: f"{HOLDER}{uuid.uuid4().hex}")
    held: set[Lease] = field(default_factory=set)
    _renewed: float = field(default_factory=time.monotonic)
    _told: str = ""

    def take_all(self) -> None:
        """Take the leases of all users.

        While a long run is waited for, no lease is held, so that other users are synced meanwhile.
        """
        first: list[Lease] = []
        while (busy := self._first_busy([*first, *self._leases()])) is not None:
            self.release()
            first = [busy]

    def _leases(self) -> Iterator[Lease]:
        scopes: tuple[LeaseScope, ...] = get_args(LeaseScope)
        for user in self.store.users.all():
            yield from (Lease(user.user_id, scope, self.holder) for scope in scopes)

    def _first_busy(self, leases: Iterable[Lease]) -> Lease | None:
        """Take leases one after another; return the first one that a run keeps while others have to wait too long."""
        until = self.deadline
        for lease in leases:
            if not self._take(lease, until):
                return lease
            if len(self.held) == 1:
                until = min(self.deadline, time.monotonic() + HOLD_S)
        return None

    def _take(self, lease: Lease, until: float) -> bool:
        """Wait for a lease and take it, if its user is still there."""
        try:
            while not self.store.leases.take(lease):
                self._wait(named(self.store.leases.holder(lease)))
                if time.monotonic() > until:
                    return False
                self.keep()
                self.sleep(POLL_S)
        except UserRemovedError:
            return True
        self.held.add(lease)
        self.keep()
        return True

    def _wait(self, run: str) -> None:
        if run != self._told:
            self.waiting(run)
            self._told = run
        if time.monotonic() > self.deadline:
            raise BackupError(
                f"{run[0].upper()}{run[1:]} still changes data that the backup needs to be still. Try again when it "
                "has ended, or give it more time with --wait. Nothing was written."
            )

    def keep(self) -> None:
        """Renew the leases if it is time."""
        if time.monotonic() - self._renewed < RENEW_S:
            return
        self._renewed = time.monotonic()
        if self.store.leases.renew_run(self.holder) == len(self.held):
            return
        removed = set(self.store.removals.ids())  # their leases are gone with them
        self.held = {each for each in self.held if each.user_id not in removed}
        if self.store.leases.renew_run(self.holder) < len(self.held):
            raise BackupError(
                "The backup stood still for more than a minute, and runs have gone on meanwhile. Run it again; no part "
                "of it is left behind."
            )

    def release(self) -> None:
        """Give all leases back."""
        self.store.leases.release_run(self.holder)
        self.held.clear()


@contextmanager
def pause(
    store: Store, patience_s: float, waiting: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> Iterator[Moment]:
    """Let no run change data of any user for as long as the block runs. Leases of a killed backup end within a minute.

    Args:
        store: The database.
        patience_s: How many seconds to wait for runs that are under way.
        waiting: Called with who is waited for.
        sleep: Waits for a number of seconds.

    Raises:
        BackupError: a run is still under way after that time.
    """
    held = _Pause(store, time.monotonic() + patience_s, waiting, sleep)
    try:
        held.take_all()
        yield Moment("pause", None, held.keep)
    finally:
        held.release()
