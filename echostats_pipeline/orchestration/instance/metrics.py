"""Metrics in Prometheus' text form: the state of the database and of Dagster at the moment of the request.

Here: which metrics there are. Not here: the port at which `echostats up` serves them (`cli.metrics_server`).
Names follow https://prometheus.io/docs/practices/naming/: base units, and no ``_total`` for a number that can fall
again, as a count over 24 hours does.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from math import inf
from typing import Any, get_args

import dagster as dg
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric

from echostats_pipeline import __version__
from echostats_pipeline.accounts.consent import consent_left
from echostats_pipeline.errors import APP_FAMILY
from echostats_pipeline.model.users import User, UserStatus
from echostats_pipeline.monitoring.incidents import one_line
from echostats_pipeline.settings import Settings
from echostats_pipeline.spotify.families import Family
from echostats_pipeline.spotify.quota import Budget
from echostats_pipeline.storage.metric_counts import Measures
from echostats_pipeline.storage.store import Store

logger = logging.getLogger(__name__)
DAY = timedelta(days=1)
REBUILT = ("daily_rollups", "analytics_snapshots")
"""Consumers with runs of their own; `statistics_years` reads its marks when snapshots are built."""
QUEUES = ("tracks", "artists", "albums", "audio-features", "artist-tags")


def exposition(metrics: Iterable[Metric]) -> bytes:
    """The metrics in Prometheus' text form."""
    registry, found = CollectorRegistry(), list(metrics)
    registry.register(_Collected(found))
    return generate_latest(registry)


def measured(store: Store, instance: dg.DagsterInstance | None, settings: Settings, now: datetime) -> Iterator[Metric]:
    """All metrics; without an instance, or if its storage fails, those of the database, and that none was found."""
    users = store.users.all(simulated=settings.simulated)
    yield InfoMetricFamily("echostats", "Which version this is.", {"version": __version__, "database": store.db.name})
    yield from _of_users(store, users, now)
    yield from _of_spotify(store, settings, now)
    yield from _of_work(store, users, settings, now)
    runs = [] if instance is None else _those_of_runs(instance, now)
    found = "1 if the Dagster instance was found and responded, else 0: then nothing is known of runs and daemons."
    yield _gauge("echostats_dagster_instance_found", found, {(): float(bool(runs))})
    yield from runs


def _of_users(store: Store, users: list[User], now: datetime) -> Iterator[Metric]:
    measures = Measures(store.db)
    synced = {each.partition_key: now - each.last_synced_at for each in users if each.last_synced_at}
    lasts = {each.partition_key: left for each in users if (left := consent_left(each, now)) is not None}
    states = {
        (each.partition_key, status): float(each.status == status) for each in users for status in get_args(UserStatus)
    }
    yield _gauge(
        "echostats_sync_age_seconds",
        "Seconds since the last successful sync; users who never had one are left out.",
        {(key,): age.total_seconds() for key, age in synced.items()},
        "user",
    )
    yield _gauge(
        "echostats_consent_remaining_seconds",
        "Seconds until the consent of a user ends.",
        {(key,): left.total_seconds() for key, left in lasts.items()},
        "user",
    )
    yield _gauge("echostats_user_status", "1 for the present status of a user.", states, "user", "status")
    plays = {(each.partition_key,): store.users.plays_stored(each.user_id) for each in users}
    yield _gauge("echostats_plays", "Plays that are stored.", plays, "user")
    gaps = {(each.partition_key,): measures.gaps(each.user_id) for each in users}
    yield _gauge("echostats_open_gaps", "Intervals in which plays may have passed unseen.", gaps, "user")


def _of_spotify(store: Store, settings: Settings, now: datetime) -> Iterator[Metric]:
    attempts = {(family, str(status)): count for (family, status), count in Measures(store.db).calls(now - DAY).items()}
    yield _gauge(
        "echostats_api_attempts_24h",
        "HTTP attempts of the last 24 hours; status 0 is no answer.",
        attempts,
        "family",
        "status",
    )
    made = {(name,): store.limits.calls(name, now - Budget().window)[0] for name in get_args(Family)}
    yield _gauge("echostats_api_budget_used_calls", "Calls of 24 hours that count against the budget.", made, "family")
    budget = "Calls in 24 hours that this installation allows itself for each family."
    yield _gauge("echostats_api_budget_calls", budget, {(): settings.daily_calls})
    waits = store.limits.waiting([*get_args(Family), APP_FAMILY], now)
    left = {(name,): (until - now).total_seconds() for name, (until, _) in waits.items()}
    yield _gauge("echostats_api_wait_seconds", "Seconds until a family that waits may be called.", left, "family")


def _of_work(store: Store, users: list[User], settings: Settings, now: datetime) -> Iterator[Metric]:
    measures = Measures(store.db)
    settled, artists, _ = store.artist_tags.progress(settings.genres, now)
    lacking = {**store.catalog.lacking(now, settings.audio_features), "artist-tags": artists - settled}
    queues = {(kind,): lacking.get(kind, 0) for kind in QUEUES}
    yield _gauge("echostats_enrichment_queue_length", "Entries of the catalogue to be read.", queues, "kind")
    waiting = {(target,): sum(len(dates) for dates in store.marks.pending(target).values()) for target in REBUILT}
    yield _gauge("echostats_pending_rebuilds", "Days and statistics that wait for a rebuild.", waiting, "target")
    yield _gauge("echostats_open_sync_jobs", "Jobs that run.", {(): measures.open_jobs()})
    jobs = measures.jobs([user.user_id for user in users], now - DAY)
    yield _gauge("echostats_sync_jobs_24h", "Jobs begun in the last 24 hours.", jobs, "type", "status")
    kinds = [incident.kind for incident in store.incidents.open()]
    opened = {(kind,): kinds.count(kind) for kind in ("run", "check", "user")}
    yield _gauge("echostats_open_incidents", "What is wrong at present.", opened, "kind")


def _those_of_runs(instance: dg.DagsterInstance, now: datetime) -> list[Metric]:
    """All metrics of runs and daemons, or none."""
    try:
        return list(_of_runs(instance, now))
    except Exception as error:  # noqa: BLE001 - the storage is the deployment's own; the database's metrics are known
        logger.warning("Nothing is known of runs and daemons: %s: %s", type(error).__name__, one_line(str(error)))
        return []


def _of_runs(instance: dg.DagsterInstance, now: datetime) -> Iterator[Metric]:
    failed = failed_runs(instance, now - DAY)
    yield _gauge("echostats_failed_runs_24h", "Dagster runs that failed in the last 24 hours.", {(): failed})
    at_work = instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    queued = instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    beats = instance.get_daemon_heartbeats()
    ages = {(kind.lower(),): inf for kind in instance.get_daemon_statuses()}
    ages |= {(kind.lower(),): now.timestamp() - beat.timestamp for kind, beat in beats.items()}
    heartbeat = "Seconds since the last heartbeat of each of Dagster's daemons; infinite if there was none."
    yield _gauge("echostats_daemon_heartbeat_age_seconds", heartbeat, ages, "daemon")
    states = {("started",): at_work, ("queued",): queued}
    yield _gauge("echostats_unfinished_runs", "Dagster runs at work or waiting.", states, "status")


def _gauge(name: str, documentation: str, values: Mapping[Any, float], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for of, value in sorted(values.items()):
        family.add_metric(list(of), value)
    return family


class _Collected:
    """Metrics that are already measured, as a collector for a Prometheus registry."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def failed_runs(instance: dg.DagsterInstance, since: datetime) -> int:
    """Number of runs that failed since an instant."""
    return instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since))
