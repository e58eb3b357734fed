"""Assets of the recommender: neighbours of songs, evaluation of the models, tastes, and the lists of each user.

The recommender is imported when an asset runs: numpy and scipy would cost the code location a quarter of a second.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from echostats_pipeline.model.recommendations import ModelEvaluation, RecommendationList, Task, TasteVector
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.assets import OWNER
from echostats_pipeline.orchestration.assets.catalog import albums, artists, audio_features, tracks
from echostats_pipeline.orchestration.assets.ingestion import listening_history
from echostats_pipeline.orchestration.assets.library import playlists, saved_tracks
from echostats_pipeline.orchestration.assets.metadata import (
    by_user,
    evaluation_overview,
    list_overview,
    row_counts,
    shown,
)
from echostats_pipeline.orchestration.assets.schemas import collection_metadata
from echostats_pipeline.orchestration.assets.snapshots import analytics_snapshots
from echostats_pipeline.orchestration.assets.sources import spotify as spotify_source
from echostats_pipeline.orchestration.partitions import USERS
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.spotify import SPOTIFY_POOL, SpotifyResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.runs import Step, SyncJobsResource

if TYPE_CHECKING:
    from echostats_pipeline.recommender.building import Recommender

GROUP = "recommendations"
OFF = "Recommendations are off: set ECHOSTATS_RECOMMENDATIONS=on"


@dg.asset(
    group_name=GROUP,
    kinds={"mongodb", "python"},
    owners=[OWNER],
    code_version="1",
    metadata=collection_metadata("item_neighbours"),
    deps=[listening_history, tracks],
)
def item_neighbours(store: StoreResource, clock: ClockResource) -> dg.MaterializeResult:
    """One document per song: which songs are heard along with it, and how popular it is.

    For this pipeline, which recommends songs by it. Computed every night from the sessions of users who share their
    plays; it names no user.
    """
    from echostats_pipeline.recommender.building import build_neighbours  # noqa: PLC0415

    if not store.settings.recommends:
        return dg.MaterializeResult(metadata={"state": OFF})
    built = build_neighbours(store.get(), store.settings, clock.now())
    return dg.MaterializeResult(
        metadata={
            **row_counts(store.get(), "item_neighbours", built.songs),
            "users": built.users,
            "pairs": built.pairs,
            "plays": built.plays,
        }
    )


@dg.asset(
    group_name=GROUP,
    kinds={"spotify", "mongodb"},
    owners=[OWNER],
    code_version="1",
    pool=SPOTIFY_POOL,
    metadata=collection_metadata("artist_albums"),
    deps=[spotify_source, analytics_snapshots, artists, albums],
)
def artist_albums(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    spotify: SpotifyResource,
    jobs: SyncJobsResource,
    clock: ClockResource,
) -> dg.MaterializeResult:
    """One document per much played artist: their newest albums, with songs that users may not know yet.

    For this pipeline, which recommends these songs. Read every night with calls that nothing else needs: only when the
    catalogue of played songs is complete, and a few albums of each artist a month.
    """
    from echostats_pipeline.recommender.albums import read_artist_albums  # noqa: PLC0415

    if not store.settings.recommends:
        return dg.MaterializeResult(metadata={"state": OFF})
    reader = spotify.catalog_reader()
    with jobs.step(context, reader) as step, spotify.client(reader) as client:
        read = read_artist_albums(store.get(), client, store.settings.daily_calls, clock.now(), step)
        step.detail = f"Read {read.albums} albums of {read.artists} artists"
        if read.postponed:
            step.detail += f"; {read.left} artists wait: {read.postponed}"
        elif read.left and read.waiting is None:
            step.detail += f"; {read.left} artists wait for the next night"
        if (wait := read.waiting) is not None:
            store.get().limits.postpone(wait.family, wait.until, wait.reason)
            step.detail += f"; {read.left} left, waiting until {wait.until:%Y-%m-%d %H:%M} UTC: {wait.reason}"
    rows = row_counts(store.get(), "artist_albums", read.artists)
    return dg.MaterializeResult(metadata={**rows, "albums": read.albums, "left": read.left, "detail": step.detail})


@dg.asset(
    group_name=GROUP,
    kinds={"mongodb", "python"},
    owners=[OWNER],
    code_version="1",
    metadata=collection_metadata("model_evaluation"),
    deps=[listening_history, saved_tracks, playlists, tracks, artists, audio_features],
)
def model_evaluation(store: StoreResource, clock: ClockResource) -> dg.MaterializeResult:
    """One document per night and kind of list: how well the models foretell the plays of the last weeks.

    For readers, and to decide what orders the lists of all users: a model is activated only if it is surely better than
    the best simple baseline. The whole history is kept, and drawn here.
    """
    from echostats_pipeline.recommender.models import evaluate_models  # noqa: PLC0415

    if not store.settings.recommends:
        return dg.MaterializeResult(metadata={"state": OFF})
    found = evaluate_models(store.get(), store.settings, clock.now()).evaluations
    kept: Mapping[Task, Sequence[ModelEvaluation]] = {
        task: store.get().recommendations.evaluations(task) for task in found
    }
    weeks = store.get().recommendations.weeks()
    return dg.MaterializeResult(
        metadata={**row_counts(store.get(), "model_evaluation", len(found)), **evaluation_overview(kept, weeks)}
    )


@dg.asset(
    partitions_def=USERS,
    group_name=GROUP,
    kinds={"mongodb", "python"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=collection_metadata("taste_vectors"),
    deps=[listening_history, tracks, artists, audio_features],
)
def taste_vectors(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """One document per user: the average sound and the strongest tags of the songs played lately.

    For readers and for recommendations. Computed every night from the user's plays of the last months.
    """
    if not store.settings.recommends:
        return dg.MaterializeResult(metadata={"state": OFF})
    made = jobs.for_each_user(context, partial(_taste, _recommender(store, clock)))
    rows = row_counts(store.get(), "taste_vectors", len(made))
    counted = {user: {"songs": taste.songs, "tags": len(taste.tags)} for user, taste in made.items()}
    return shown(context, {**rows, **by_user(counted)})


@dg.asset(
    partitions_def=USERS,
    group_name=GROUP,
    kinds={"mongodb", "python"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=collection_metadata("recommendations"),
    deps=[
        listening_history,
        saved_tracks,
        playlists,
        artist_albums,
        item_neighbours,
        taste_vectors,
        model_evaluation,
    ],
)
def recommendations(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """Two lists per user: songs not heard yet, and songs played often but not for half a year, each with its reason.

    For readers, in `echostats recommend` and the report. Made every night from the user's plays and library and
    the plays that others share.
    """
    if not store.settings.recommends:
        return dg.MaterializeResult(metadata={"state": OFF})
    made = jobs.for_each_user(context, partial(_lists, _recommender(store, clock)))
    rows = row_counts(store.get(), "recommendations", sum(map(len, made.values())))
    return shown(context, {**rows, **list_overview(made)})


def _recommender(store: StoreResource, clock: ClockResource) -> "Recommender":
    from echostats_pipeline.marts.echotune.recommending import recommender_of  # noqa: PLC0415

    return recommender_of(store.get(), store.settings, clock.now())


def _taste(recommender: "Recommender", user: User, _: Sequence[date], step: Step) -> TasteVector:
    """Compute the taste of a user."""
    taste = recommender.rebuild_taste(user)
    step.done(1, f"Summed up the sound of {taste.songs} songs")
    return taste


def _lists(recommender: "Recommender", user: User, _: Sequence[date], step: Step) -> Mapping[Task, RecommendationList]:
    """Make the lists of a user."""
    built = recommender.rebuild_lists(user)
    said = ", ".join(f"{len(made.tracks)} to {task} by {made.model}" for task, made in built.lists.items())
    step.done(len(built.lists), f"Listed {said}")
    return built.lists
