"""State of the pipeline: missing plays and tracks, users not synced, errors of Spotify, missing indexes.

A fault found here makes no document wrong, so each one is a warning. The findings have the form of those of
`monitoring.audit`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import get_args

from echostats_pipeline.accounts.consent import EXPIRES_SOON, consent_left
from echostats_pipeline.model.collections import declared
from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.recommendations import Task
from echostats_pipeline.monitoring.audit import MOST_ROWS, AuditedUser, AuditFinding, Row, worst
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.audit import AuditStore
from echostats_pipeline.storage.indexes import REPAIR_COMMAND, index_problems
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.audit import Coverage, call_rates

RECENT = timedelta(days=30)
"""Age up to which an open gap is a finding."""
MISSED_SYNCS = 4
"""Sync intervals after which a user without a sync is a finding."""
LEAST_STALE = timedelta(hours=1)
"""Least time after which a user without a sync is a finding."""
MOST_WAITING = 0.1
"""Accepted share of counted plays with an unread track; after a large import it takes days to get below this."""
MOST_ERRORS = 0.1
"""Accepted share of calls that fail."""
LEAST_CALLS = 10
"""Least number of calls from which an error rate is judged."""
HOUR = timedelta(hours=1)


def gaps_are_closed(store: Store, _: Settings, now: datetime, scope: Sequence[AuditedUser]) -> AuditFinding:
    """The listening history has no open gap in the last 30 days.

    A gap is an interval between two syncs in which there may have been more than 50 plays, or an instant at which a
    play ended whose track Spotify did not name. An import of the streaming history closes a gap.
    """
    rows: list[Row] = []
    for user, _window in scope:
        gaps = AuditStore(store.db).open_gaps(user.user_id)
        recent = [gap for gap in gaps if gap.to >= now - RECENT]
        if gaps:
            rows.append(
                {
                    "user": user.partition_key,
                    "gaps": len(gaps),
                    "hours_not_known": _hours(gaps, gaps[0].from_),
                    "recent_gaps": len(recent),
                    "recent_hours_not_known": _hours(recent, now - RECENT),
                }
            )
    names = ("gaps", "hours_not_known", "recent_gaps", "recent_hours_not_known")
    numbers = {name: round(sum(row[name] for row in rows), 1) for name in names}
    wrong = (
        f"Open gaps of the last 30 days: {numbers['recent_gaps']}, with {numbers['recent_hours_not_known']} hours in "
        "which plays may be missing. Request your extended streaming history from Spotify and import it."
    )
    well = f"No gap of the last 30 days is open; older open gaps: {numbers['gaps']}."
    passed = not numbers["recent_gaps"]
    table = worst(rows, "recent_hours_not_known", "hours_not_known")
    return AuditFinding(passed, "WARN", well if passed else wrong, {"users": len(scope), **numbers}, table)


def tracks_are_enriched(store: Store, settings: Settings, _: datetime, scope: Sequence[AuditedUser]) -> AuditFinding:
    """The catalogue holds the tracks of at least 90 % of the plays that count, as far as Spotify has them."""
    covered = [(each.user, AuditStore(store.db).coverage(each.user.user_id, settings.min_play_ms)) for each in scope]
    total = sum((coverage for _, coverage in covered), Coverage())
    rows = [
        {"user": user.partition_key, "plays": coverage.plays, **vars(coverage), "share": round(coverage.share, 4)}
        for user, coverage in covered
    ]
    passed = total.waiting_share <= MOST_WAITING
    said = f"The tracks of {total.share:.1%} of {total.plays:,} counted plays have been read."
    todo = (
        f" {total.waiting_share:.1%} still wait. After a large import this takes days, because Spotify limits the "
        "calls. If the share does not rise, look at the sensor incomplete_catalog and at spotify_limits."
    )
    numbers = {"plays": total.plays, **vars(total), "share": round(total.share, 4)}
    return AuditFinding(passed, "WARN", said if passed else said + todo, numbers, worst(rows, "waiting", "plays"))


def model_beats_popularity(
    store: Store, settings: Settings, _: datetime, _scope: Sequence[AuditedUser]
) -> AuditFinding:
    """What orders the recommendations is a model that is surely better than popularity and the other simple baselines.

    Otherwise a baseline orders them. With few users this is to be expected, and it is no fault: there is little to
    learn from, and the lists say so.
    """
    if not settings.recommends:
        return AuditFinding(True, "WARN", "Recommendations are off, so there is no model.", {"models": 0})
    last = [each[-1] for task in get_args(Task) if (each := store.recommendations.evaluations(task, most=1))]
    rows = [
        {"list": each.task, "served": each.served, "difference": each.difference, "lower": each.lower, "why": each.why}
        for each in last
    ]
    served = [each for each in last if each.passed and each.served == each.model]
    said = " ".join(f"To {each.task}: {each.why}" for each in last)
    return AuditFinding(
        len(served) == len(last),
        "WARN",
        said or "No model was evaluated yet; the next nightly run does it.",
        {"models": len(served), "kinds_of_lists": len(last)},
        rows,
    )


def users_are_synced(_: Store, settings: Settings, now: datetime, scope: Sequence[AuditedUser]) -> AuditFinding:
    """Every active user was synced within the last four sync intervals, or within the last hour if that is longer."""
    most = max(MISSED_SYNCS * timedelta(minutes=settings.sync_interval_minutes), LEAST_STALE)
    active = [each.user for each in scope if each.user.status == "active" and each.user.simulated == settings.simulated]
    rows: list[Row] = []
    for user in active:
        since = now - (user.last_synced_at or user.created_at)
        if since > most:
            last = f"{user.last_synced_at:%Y-%m-%d %H:%M} UTC" if user.last_synced_at else "never"
            rows.append({"user": user.partition_key, "last_synced_at": last, "hours": round(since / HOUR, 1)})
    wrong = (
        f"{len(rows)} of {len(active)} active users were not synced for more than {most / HOUR:g} h. Look at their "
        "sensors sync_<user> under Automation and at their newest documents in sync_jobs."
    )
    return AuditFinding(
        not rows,
        "WARN",
        wrong if rows else f"All of {len(active)} active users were synced within {most / HOUR:g} h.",
        {"active_users": len(active), "stale_users": len(rows), "most_hours": most / HOUR},
        worst(rows, "hours"),
    )


def consents_last(_: Store, _settings: Settings, now: datetime, scope: Sequence[AuditedUser]) -> AuditFinding:
    """No user's consent has ended or ends within 30 days; at Spotify, a consent expires after six months."""
    rows: list[Row] = []
    unknown = 0
    for user, _window in scope:
        left = consent_left(user, now)
        unknown += left is None
        if user.status == "needs_reauth" or (left is not None and left <= EXPIRES_SOON):
            days = 0 if left is None else round(left / timedelta(days=1), 1)
            rows.append({"user": user.partition_key, "status": user.status, "days_left": days})
    rows.sort(key=lambda row: (row["status"] != "needs_reauth", row["days_left"]))
    wrong = (
        f"The consent of {len(rows)} of {len(scope)} users has ended or ends within {EXPIRES_SOON.days} days. Let "
        "these users connect again with `echostats connect`; their data stays."
    )
    return AuditFinding(
        not rows,
        "WARN",
        wrong if rows else f"Every known consent lasts longer than {EXPIRES_SOON.days} days.",
        {"users": len(scope), "ending": len(rows), "unknown": unknown},
        rows[:MOST_ROWS],
    )


def spotify_answers(store: Store, _: Settings, now: datetime, _scope: Sequence[AuditedUser]) -> AuditFinding:
    """Spotify answered at least 90 % of the calls of each family of endpoints in the last 24 hours.

    An error is a 5xx, a 401, a 403 or no answer at all. Requests to wait (429) and unknown objects (404) are counted
    separately. Families with fewer than ten calls are shown, but not judged.
    """
    rates = call_rates(AuditStore(store.db).call_statuses(now - timedelta(hours=24)))
    bad = [rate for rate in rates if rate.calls >= LEAST_CALLS and rate.error_rate > MOST_ERRORS]
    rows = [{**vars(rate), "error_rate": round(rate.error_rate, 4)} for rate in rates[:MOST_ROWS]]
    names = ("calls", "errors", "too_many", "not_found")
    numbers = {name: sum(getattr(rate, name) for rate in rates) for name in names}
    well = f"{numbers['errors']} of {numbers['calls']} calls of the last 24 hours failed."
    wrong = "; ".join(f"{rate.errors} of {rate.calls} calls to {rate.family} failed" for rate in bad)
    todo = (
        " in the last 24 hours. Read `error` and `status_code` in api_logs. 401 and 403 are caused by consents and by "
        "the app's rights; 5xx and 0 are temporary."
    )
    return AuditFinding(not bad, "WARN", wrong + todo if bad else well, {"families": len(rates), **numbers}, rows)


def indexes_are_as_declared(store: Store, _: Settings, _now: datetime, _scope: Sequence[AuditedUser]) -> AuditFinding:
    """Every declared index exists in the database with its options: unique keys, and expiry times of logs."""
    total, lacking = (
        sum(len(collection.indexes) for collection in declared(store.databases).values()),
        index_problems(store.db, store.databases),
    )
    rows: list[Row] = [
        {
            "collection": each.collection,
            "index": each.index,
            "problem": "missing" if each.found is None else f"has {each.found or 'no options'}",
        }
        for each in lacking
    ]
    wrong = (
        f"{len(lacking)} of {total} indexes are missing or have other options. A run that writes creates the "
        f"missing ones; for the others run: {REPAIR_COMMAND}"
    )
    return AuditFinding(
        not lacking,
        "WARN",
        wrong if lacking else f"All {total} indexes are as declared.",
        {"declared": total, "lacking": len(lacking)},
        rows[:MOST_ROWS],
    )


def _hours(gaps: Sequence[ListeningGap], since: datetime) -> float:
    """Return the hours of the gaps after an instant."""
    spans = (gap.to - max(gap.from_, since) for gap in gaps)
    return round(sum(spans, timedelta(0)) / HOUR, 1)
