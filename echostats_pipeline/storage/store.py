"""The database as the rest of the code sees it: one object, one attribute per family of collections."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from echostats_pipeline.storage.adoption import adopt_users
from echostats_pipeline.storage.api_logs import ApiLogBuffer
from echostats_pipeline.storage.catalog import CatalogStore
from echostats_pipeline.storage.coverage import CoverageStore
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.imports import ImportStore
from echostats_pipeline.storage.incidents import IncidentStore
from echostats_pipeline.storage.leases import LeaseStore
from echostats_pipeline.storage.library import LibraryStore
from echostats_pipeline.storage.limits import LimitStore
from echostats_pipeline.storage.owned import OwnedStore
from echostats_pipeline.storage.plays import PlayStore
from echostats_pipeline.storage.readings import ReadingStore
from echostats_pipeline.storage.rebuilds import RebuildQueue
from echostats_pipeline.storage.removals import RemovalStore
from echostats_pipeline.storage.statistics import StatisticsStore
from echostats_pipeline.storage.sync_jobs import JobStore
from echostats_pipeline.storage.users import UserStore


@dataclass(frozen=True)
class Store:
    """Every collection, by family."""

    db: Db
    users: UserStore
    plays: PlayStore
    coverage: CoverageStore
    catalog: CatalogStore
    library: LibraryStore
    readings: ReadingStore
    statistics: StatisticsStore
    rebuilds: RebuildQueue
    jobs: JobStore
    leases: LeaseStore
    imports: ImportStore
    limits: LimitStore
    incidents: IncidentStore
    owned: OwnedStore
    removals: RemovalStore

    @classmethod
    def of(cls, db: Db) -> "Store":
        """The store over an open database."""
        return cls(
            db=db,
            users=UserStore(db),
            plays=PlayStore(db),
            coverage=CoverageStore(db),
            catalog=CatalogStore(db),
            library=LibraryStore(db),
            readings=ReadingStore(db),
            statistics=StatisticsStore(db),
            rebuilds=RebuildQueue(db),
            jobs=JobStore(db),
            leases=LeaseStore(db),
            imports=ImportStore(db),
            limits=LimitStore(db),
            incidents=IncidentStore(db),
            owned=OwnedStore(db),
            removals=RemovalStore(db),
        )

    def adopt_users(self, *, simulated: bool) -> list[str]:
        """Take over the users whom EchoStats has added to this database; returns their partition keys."""
        return adopt_users(self.db, simulated=simulated)

    def mark_all_snapshots(self) -> None:
        """Ask for new snapshots of everyone: the catalogue they take names and genres from may have changed."""
        for user in self.users.all():
            self.rebuilds.mark(user.user_id, "analytics_snapshots")

    def mark_snapshots_of_listeners(self, track_ids: Iterable[str]) -> None:
        """Ask for new snapshots of whoever has played one of these tracks: they are shown or counted otherwise."""
        for user_id in self.plays.listeners(track_ids):
            self.rebuilds.mark(user_id, "analytics_snapshots")

    def documents_in(self, collection: str) -> int:
        """How many documents a collection holds, as the server keeps count of them."""
        return self.db[collection].estimated_document_count()

    def close_run(self, dagster_run_id: str, at: datetime, error: str) -> None:
        """Fail what a run left open that died without a chance to close it itself, and free what it held."""
        self.leases.release_run(dagster_run_id)
        if self.jobs.close_run(dagster_run_id, at, error):
            # It may have changed the catalogue, and has told nobody.
            self.mark_all_snapshots()
        self.imports.close_run(dagster_run_id, at, error)

    def condemn_run(self, dagster_run_id: str, user_ids: Iterable[str], at: datetime, error: str) -> None:
        """Fail the records of a run whose output is wrong: all that are open, and those of `user_ids` it completed."""
        self.close_run(dagster_run_id, at, error)
        self.jobs.condemn(dagster_run_id, user_ids, at, error)

    def api_logs(self) -> ApiLogBuffer:
        """A new buffer for the log of calls."""
        return ApiLogBuffer(self.db)
