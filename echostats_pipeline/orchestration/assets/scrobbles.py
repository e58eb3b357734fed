"""Asset ``sent_plays``: plays that are sent on to services that take scrobbles."""

from collections.abc import Sequence
from datetime import date
from functools import partial

import dagster as dg

from echostats_pipeline.accounts.scrobbling import open_target
from echostats_pipeline.errors import SpotifyError, WaitRequired
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.assets import OWNER
from echostats_pipeline.orchestration.assets.catalog import tracks
from echostats_pipeline.orchestration.assets.ingestion import listening_history
from echostats_pipeline.orchestration.assets.metadata import by_user, shown
from echostats_pipeline.orchestration.assets.schemas import collection_metadata
from echostats_pipeline.orchestration.partitions import USERS
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.runs import SCROBBLES, Step, SyncJobsResource
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.stages.scrobbles import Scrobbler, ScrobbleResult

REFUSALS_SHOWN = 3


@dg.asset(
    partitions_def=USERS,
    group_name="scrobbles",
    kinds={"mongodb", "polars"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=collection_metadata("sent_plays"),
    deps=[listening_history, tracks],
)
def sent_plays(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """One document per play that was sent to a service of a user: ListenBrainz, Koito, Maloja or multi-scrobbler.

    For this pipeline, which sends each play once. Only plays of users who chose a service with `echostats scrobble` are
    sent: those that count and that no rule leaves out.
    """
    sent = jobs.for_each_user(context, partial(_send, store, clock), SCROBBLES)
    return shown(context, by_user(sent))


def _send(store: StoreResource, clock: ClockResource, user: User, _: Sequence[date], step: Step) -> dict[str, int]:
    """Send the plays of a user to each target. A target that fails does not stop the others."""
    targets = store.get().scrobbles.targets(user.user_id)
    failures: list[SpotifyError] = []
    said: list[str] = []
    for target in targets:
        if target.refusal:
            said.append(f"{target.target}: nothing was sent, because {target.refusal}")
            continue
        scrobbler = Scrobbler(store.get(), user, target, store.settings.min_play_ms, clock.now)
        try:
            with open_target(store.settings, store.get(), user, target, clock.now) as server:
                scrobbler.send(server, step)
        except SpotifyError as failure:
            failures.append(failure)
        said.append(f"{target.target}: {_said(scrobbler.result)}")
        for name, count in scrobbler.result.counts().items():
            step.counts[name] = step.counts.get(name, 0) + count
    step.detail = "; ".join(said) or "The user has chosen no service"
    if failures:  # a wait is no failure, so that it must not hide one
        raise next((each for each in failures if not isinstance(each, WaitRequired)), failures[0])
    return step.counts


def _said(result: ScrobbleResult) -> str:
    """What was sent to a target, in words."""
    text = f"sent {plural(result.sent, 'play')}"
    if result.repeated:
        text += f", {result.repeated:,} of them begun before"
    if result.refused:
        text += f"; {len(result.refused):,} refused: {' | '.join(result.refused[:REFUSALS_SHOWN])}"
    return text
