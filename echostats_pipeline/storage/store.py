"""Gives access to the database: one object with one attribute per family of collections."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from echostats_pipeline.model.collections import ONLY_CORE, Database
from echostats_pipeline.storage.adoption import adopt_users
from echostats_pipeline.storage.api_logs import ApiLogBuffer
from echostats_pipeline.storage.artist_tags import ArtistTagStore
from echostats_pipeline.storage.catalog import CatalogStore
from echostats_pipeline.storage.change_marks import ChangeMarks, consumers_of
from echostats_pipeline.storage.coverage import CoverageStore
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.files import FileStore
from echostats_pipeline.storage.imports import ImportStore
from echostats_pipeline.storage.incidents import IncidentStore
from echostats_pipeline.storage.leases import LeaseStore
from echostats_pipeline.storage.library import LibraryStore
from echostats_pipeline.storage.limits import LimitStore
from echostats_pipeline.storage.mart_states import MartStateStore
from echostats_pipeline.storage.owned import OwnedStore
from echostats_pipeline.storage.pages import PageStore
from echostats_pipeline.storage.playlists import PlaylistStore
from echostats_pipeline.storage.plays import PlayStore
from echostats_pipeline.storage.readings import ReadingStore
from echostats_pipeline.storage.recommendations import RecommendationStore
from echostats_pipeline.storage.removals import RemovalStore
from echostats_pipeline.storage.rules import RuleStore
from echostats_pipeline.storage.scrobbles import ScrobbleStore
from echostats_pipeline.storage.statistics import StatisticsStore
from echostats_pipeline.storage.sync_jobs import JobStore
from echostats_pipeline.storage.users import UserStore


@dataclass(frozen=True)
class Store:
    """Every collection, by family.

    Attributes:
        databases: The databases of the installation.
    """

    db: Db
    databases: tuple[Database, ...]
    users: UserStore
    plays: PlayStore
    pages: PageStore
    coverage: CoverageStore
    catalog: CatalogStore
    artist_tags: ArtistTagStore
    library: LibraryStore
    readings: ReadingStore
    rules: RuleStore
    scrobbles: ScrobbleStore
    statistics: StatisticsStore
    marks: ChangeMarks
    jobs: JobStore
    leases: LeaseStore
    imports: ImportStore
    limits: LimitStore
    incidents: IncidentStore
    recommendations: RecommendationStore
    playlists: PlaylistStore
    mart_states: MartStateStore
    owned: OwnedStore
    removals: RemovalStore
    files: FileStore

    @classmethod
    def of(cls, db: Db, databases: tuple[Database, ...] = ONLY_CORE, former: tuple[Database, ...] = ()) -> "Store":
        """The store over an open database.

        Args:
            db: The core database.
            databases: The databases of the installation.
            former: Databases that are no longer kept up to date. Users are still removed from them and get their data.
        """
        marks = ChangeMarks(db, consumers_of(databases))
        catalog = CatalogStore(db)
        return cls(
            db=db,
            databases=databases,
            users=UserStore(db),
            plays=PlayStore(db),
            pages=PageStore(db),
            coverage=CoverageStore(db),
            catalog=catalog,
            artist_tags=ArtistTagStore(db, catalog),
            library=LibraryStore(db),
            readings=ReadingStore(db),
            rules=RuleStore(db),
            scrobbles=ScrobbleStore(db),
            statistics=StatisticsStore(db, marks),
            marks=marks,
            jobs=JobStore(db),
            leases=LeaseStore(db),
            imports=ImportStore(db),
            limits=LimitStore(db),
            incidents=IncidentStore(db),
            recommendations=RecommendationStore(db, marks, (*databases, *former)),
            playlists=PlaylistStore(db, marks),
            mart_states=MartStateStore(db),
            owned=OwnedStore(db, (*databases, *former)),
            removals=RemovalStore(db, (*databases, *former)),
            files=FileStore(db),
        )

    def adopt_users(self, *, simulated: bool) -> list[str]:
        """Adopt the users whom EchoStats has added to this database; return their partition keys."""
        return adopt_users(self.db, simulated=simulated)

    def mark_all_snapshots(self) -> None:
        """Request new snapshots of all users, because names and genres in the catalogue may have changed."""
        for user in self.users.all():
            self.marks.mark(user.user_id, "catalog")

    def mark_snapshots_of_listeners(self, track_ids: Iterable[str]) -> None:
        """Request new snapshots of users who have played these tracks, which are now shown or counted differently."""
        for user_id in self.plays.listeners(track_ids):
            self.marks.mark(user_id, "catalog")

    def documents_in(self, collection: str) -> int:
        """The number of documents in a collection, as estimated by the server."""
        return self.db[collection].estimated_document_count()

    def close_run(self, dagster_run_id: str, at: datetime, error: str) -> None:
        """Mark the open records of a run that died as failed, and release its leases."""
        self.leases.release_run(dagster_run_id)
        if self.jobs.close_run(dagster_run_id, at, error):
            # The run may have changed the catalogue without marking the snapshots.
            self.mark_all_snapshots()
        self.imports.close_run(dagster_run_id, at, error)

    def condemn_run(self, dagster_run_id: str, user_ids: Iterable[str], at: datetime, error: str) -> None:
        """Mark the records of a run with wrong output as failed: open ones, and completed ones of `user_ids`."""
        self.close_run(dagster_run_id, at, error)
        self.jobs.condemn(dagster_run_id, user_ids, at, error)

    def api_logs(self) -> ApiLogBuffer:
        """A new buffer for the log of calls."""
        return ApiLogBuffer(self.db)
