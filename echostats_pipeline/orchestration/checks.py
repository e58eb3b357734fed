"""Asset checks: each calls a function of `monitoring` that examines stored data.

If wrong data would spread to later assets, the check blocks: the run fails first, and the job records of its users fail
with the check's reason.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.monitoring import audit, operation
from echostats_pipeline.monitoring.audit import AuditedUser, AuditFinding, Examination
from echostats_pipeline.orchestration import mart_checks
from echostats_pipeline.orchestration.assets.catalog import tracks
from echostats_pipeline.orchestration.assets.ingestion import listening_history
from echostats_pipeline.orchestration.assets.marts import echotune, playlist_generator, spotify_analytics
from echostats_pipeline.orchestration.assets.recommendations import model_evaluation
from echostats_pipeline.orchestration.assets.rollups import daily_rollups
from echostats_pipeline.orchestration.assets.snapshots import analytics_snapshots
from echostats_pipeline.orchestration.assets.sources import spotify
from echostats_pipeline.orchestration.assets.warehouse import warehouse_plays
from echostats_pipeline.orchestration.partitions import windows_of_run
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.settings import Mart
from echostats_pipeline.storage.failover import through_failover

BLOCKING: frozenset[Examination] = frozenset(
    {
        audit.no_play_is_in_the_future,
        audit.plays_are_unique,
        audit.daily_rollups_match_history,
        audit.daily_rollups_are_unique,
    }
)
"""Checks that fail the run, because later assets would build on wrong data."""


def examined_users(context: dg.AssetCheckExecutionContext, store: StoreResource) -> list[AuditedUser]:
    """Users and days of the run, without users removed meanwhile. Without partitions: all users with all their days."""
    users = store.get().users
    asked = windows_of_run(context.run.tags, context.instance.get_dynamic_partitions("users"))
    if asked is None:
        return [AuditedUser(user, None) for user in users.all()]
    scope = []
    for key, window in asked.items():
        try:
            scope.append(AuditedUser(users.by_partition_key(key), window))
        except NotFoundError:
            if not store.get().removals.had_key(key):
                raise
    return scope


def _checks(asset: dg.AssetsDefinition | dg.AssetSpec, *examinations: Examination) -> dg.AssetChecksDefinition:
    """Make the checks of one asset. They share a step, because every step costs a run time; each can be run alone."""
    specs = {
        examine: dg.AssetCheckSpec(
            examine.__name__, asset=asset.key, description=inspect.getdoc(examine), blocking=examine in BLOCKING
        )
        for examine in examinations
    }

    @dg.multi_asset_check(
        name=f"{asset.key.to_user_string()}_{examinations[0].__name__}", specs=list(specs.values()), can_subset=True
    )
    def check(
        context: dg.AssetCheckExecutionContext, store: StoreResource, clock: ClockResource
    ) -> Iterator[dg.AssetCheckResult]:
        scope = through_failover(partial(examined_users, context, store))
        for examine, spec in specs.items():
            if spec.key not in context.selected_asset_check_keys:
                continue
            look = partial(examine, store.get(), store.settings, clock.now(), scope)
            finding = through_failover(look)
            if spec.blocking and not finding.passed:
                reason = f"{spec.name}: {finding.description}"
                store.get().condemn_run(context.run.run_id, finding.user_ids, clock.now(), reason)
            yield _result(spec.name, finding)

    return check


class _Result(dg.AssetCheckResult):
    """A check result that knows what was checked without listing all partitions of the asset.

    Dagster lists them for a check without partitions of its own, to compute a data version that nothing uses. That
    takes a
    tenth of a second for each check and user. This class relies on internals of Dagster 1.13, hence the pinned minor
    version.
    """

    def _get_unpartitioned_target_materialization_data(
        self, step_context: Any, asset_key: dg.AssetKey
    ) -> AssetCheckEvaluationTargetMaterializationData | None:
        for record in step_context.instance.get_asset_records([asset_key]):
            if newest := record.asset_entry.last_materialization_record:
                return AssetCheckEvaluationTargetMaterializationData(
                    run_id=newest.run_id, storage_id=newest.storage_id, timestamp=newest.timestamp
                )
        return None


def _result(name: str, finding: AuditFinding) -> dg.AssetCheckResult:
    table = dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in finding.rows]) if finding.rows else None
    return _Result(
        check_name=name,
        passed=finding.passed,
        severity=dg.AssetCheckSeverity[finding.severity],
        description=finding.description,
        metadata={**finding.numbers, **({"worst": table} if table else {})},
    )


before_rollups = _checks(
    listening_history,
    audit.no_play_is_in_the_future,
    audit.plays_are_unique,
    operation.gaps_are_closed,
    operation.indexes_are_as_declared,
)
of_rollups = _checks(
    daily_rollups, audit.daily_rollups_match_history, audit.no_day_is_overlong, audit.daily_rollups_are_unique
)
of_snapshots = _checks(
    analytics_snapshots, audit.analytics_snapshots_match_rollups, audit.analytics_snapshots_are_unique
)
of_tracks = _checks(tracks, operation.tracks_are_enriched)
of_models = _checks(model_evaluation, operation.model_beats_popularity)
of_spotify = _checks(spotify, operation.users_are_synced, operation.consents_last, operation.spotify_answers)
of_echotune = _checks(echotune, mart_checks.echotune_plays_match_history, mart_checks.echotune_shares_are_whole)
of_playlist_generator = _checks(playlist_generator, mart_checks.playlist_generator_songs_are_known)
ids_of_echotune = _checks(echotune, mart_checks.echotune_ids_are_known)
of_analytics = _checks(spotify_analytics, mart_checks.spotify_analytics_plays_match_history)
of_warehouse = _checks(
    warehouse_plays, mart_checks.warehouse_plays_match_history, mart_checks.warehouse_tracks_have_names
)

CHECKS: Sequence[dg.AssetChecksDefinition] = (
    before_rollups,
    of_rollups,
    of_snapshots,
    of_tracks,
    of_models,
    of_spotify,
)
"""All checks. A run of an asset evaluates all its checks, else the UI would show them as not evaluated until the audit.

The checks of Spotify run only in the nightly audit: no run builds that asset, and its findings are about all users.
"""
MART_CHECKS: Mapping[Mart, Sequence[dg.AssetChecksDefinition]] = {
    "echotune": (of_echotune, ids_of_echotune),
    "playlist_generator": (of_playlist_generator,),
    "spotify_analytics": (of_analytics,),
    "warehouse": (of_warehouse,),
}
"""The checks of marts. Those that read every track of a user run only in the nightly audit."""
