"""Assets of a user's library on Spotify: playlists, saved tracks, Spotify's own rankings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

import dagster as dg

from echostats_pipeline.errors import WaitRequired
from echostats_pipeline.model.library import LibraryPart
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.assets import OWNER
from echostats_pipeline.orchestration.assets.metadata import by_user, row_counts, shown
from echostats_pipeline.orchestration.assets.schemas import collection_metadata
from echostats_pipeline.orchestration.assets.sources import spotify
from echostats_pipeline.orchestration.partitions import USERS
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.spotify import SPOTIFY_POOL, SpotifyResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.runs import LIBRARY, Step, SyncJobsResource
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.library import sync_saved_tracks, sync_top_items
from echostats_pipeline.stages.library_progress import demand, free_calls, progress_of
from echostats_pipeline.stages.playlists import sync_playlists
from echostats_pipeline.storage.store import Store

Sync = Callable[[Store, SpotifyClient, User, datetime, Progress, int], int]


class _ReadUser(NamedTuple):
    """Counts of what was read for a user, and how much of that part of their library is read."""

    counts: dict[str, int]
    progress: str


@dataclass(frozen=True)
class _PartOfLibrary:
    """Reads one part of users' libraries. `counted` names what `sync` counts."""

    name: LibraryPart
    sync: Sync
    counted: str
    store: StoreResource
    spotify: SpotifyResource
    clock: ClockResource

    def of(self, user: User, _: Sequence[date], step: Step) -> _ReadUser | None:
        """Read this part for a user until the calls are used up. Return None if the user is not active."""
        if user.status != "active":
            step.done(0, f"Not read: the user is {user.status}")
            return None
        store, daily_calls = self.store.get(), self.store.settings.daily_calls
        now, count, why = self.clock.now(), 0, ""
        with self.spotify.client(user) as client:
            try:
                count = self.sync(store, client, user, now, step, daily_calls)
            except WaitRequired as wait:
                store.limits.postpone(wait.family, wait.until, wait.reason)
                why = f"waiting until {wait.until:%Y-%m-%d %H:%M} UTC: {wait.reason}"
        left = free_calls(store, self.name, daily_calls, now)
        why = why or ("the rest of the calls is for other users" if left else "the calls of 24 hours are used up")
        progress = progress_of(store, user, daily_calls, demand(store, self.name, now, of=user))
        step.counts = {self.counted: progress.done if self.counted == self.name else count, "left": progress.left}
        step.is_unfinished = not progress.is_complete
        step.detail = f"{progress.text}; {why}" if progress.is_under_way else f"Synced {progress.text}"
        return _ReadUser(step.counts, progress.text)


def _library_asset(name: LibraryPart, description: str, sync: Sync, *, counted: str) -> dg.AssetsDefinition:
    """Make one of the three library assets. They differ only in what they read; `counted` names what `sync` counts."""

    @dg.asset(
        name=name,
        description=description,
        partitions_def=USERS,
        group_name="library",
        kinds={"spotify", "mongodb"},
        owners=[OWNER],
        code_version="1",
        backfill_policy=dg.BackfillPolicy.single_run(),
        freshness_policy=dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(days=3)),
        metadata=collection_metadata(name),
        deps=[spotify],
        pool=SPOTIFY_POOL,
    )
    def library_asset(
        context: dg.AssetExecutionContext,
        store: StoreResource,
        spotify: SpotifyResource,
        jobs: SyncJobsResource,
        clock: ClockResource,
    ) -> dg.MaterializeResult:
        read = _PartOfLibrary(name, sync, counted, store, spotify, clock)
        served = jobs.for_each_user(context, read.of, LIBRARY)
        counts = by_user({key: each.counts for key, each in served.items()})
        said = [each.progress for each in served.values()]
        rows = row_counts(store.get(), name, counts.get(counted, 0))
        return shown(context, {**rows, **counts, **({"progress": said[0]} if len(said) == 1 else {})})

    return library_asset


playlists = _library_asset(
    "playlists",
    "The playlists each user owns or follows, with all their tracks.\n\nFor readers. Read from Spotify once a day. "
    "Only changed playlists are read again; large libraries take several days, within the budget of calls.",
    sync_playlists,
    counted="playlists",
)
saved_tracks = _library_asset(
    "saved_tracks",
    "The tracks in each user's library (liked songs).\n\nFor readers. Read from Spotify once a day, as far as they "
    "have changed. Large libraries take several days, within the budget of calls.",
    sync_saved_tracks,
    counted="saved_tracks",
)
top_items = _library_asset(
    "top_items",
    "Spotify's own top artists and tracks of each user, over about four weeks, six months and a year.\n\nFor readers "
    "who want to compare them with analytics_snapshots. Read from Spotify once a day.",
    sync_top_items,
    counted="items_read",
)
