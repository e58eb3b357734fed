"""Examinations of marts, for asset checks: their functions are called like those of `monitoring.audit`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from echostats_pipeline.marts.echotune.audit import MartFault, dangling_ids, wrong_shares, wrong_sums
from echostats_pipeline.marts.echotune.build import EchoTuneMart, waiting_users
from echostats_pipeline.marts.spotify_analytics.build import AnalyticsMart, wrong_counts
from echostats_pipeline.marts.spotify_analytics.build import waiting_users as waiting_for_analytics
from echostats_pipeline.marts.warehouse import audit as warehouse_audit
from echostats_pipeline.marts.warehouse.build import Warehouse
from echostats_pipeline.marts.warehouse.build import waiting_users as waiting_for_warehouse
from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring.audit import MOST_ROWS, AuditedUser, AuditFinding
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.store import Store

WAREHOUSE_REPAIR = "Load these users again: echostats warehouse rebuild --user USER"
REPAIR = (
    "Materialize the asset {} for these users. If that does not help, set layout to 0 in their entries in mart_states: "
    "everything is built again then, and what users have said is kept."
)


def echotune_plays_match_history(
    store: Store, settings: Settings, now: datetime, scope: Sequence[AuditedUser]
) -> AuditFinding:
    """EchoTune's database has as many plays of each user as the history, and the same listening time."""
    return _examined(wrong_sums, "plays and times", store, settings, now, scope)


def echotune_ids_are_known(
    store: Store, settings: Settings, now: datetime, scope: Sequence[AuditedUser]
) -> AuditFinding:
    """Every user and every track that EchoTune's documents name has a document there."""
    return _examined(dangling_ids, "users and tracks", store, settings, now, scope)


def echotune_shares_are_whole(
    store: Store, settings: Settings, now: datetime, scope: Sequence[AuditedUser]
) -> AuditFinding:
    """The parts of each recommended track's score sum up to 1 in EchoTune's database."""
    return _examined(wrong_shares, "recommended tracks", store, settings, now, scope)


def playlist_generator_songs_are_known(
    store: Store, settings: Settings, now: datetime, scope: Sequence[AuditedUser]
) -> AuditFinding:
    """Every song of a playlist or a library in Playlist Generator's database has a document there."""
    from echostats_pipeline.marts.playlist_generator.build import (  # noqa: PLC0415 - needs numpy
        PlaylistGeneratorMart,
        waiting_users,
    )

    mart, waiting = PlaylistGeneratorMart(store, settings, now, ""), waiting_users(store)
    users = [each.user for each in scope if each.user.user_id not in waiting]
    missing = {user.partition_key: count for user in users if (count := mart.unknown_tracks(user))}
    rows = [
        {"user": key, "what": "songs without a document", "found": count, "expected": 0}
        for key, count in missing.items()
    ]
    wrong = frozenset(user.user_id for user in users if user.partition_key in missing)
    well = f"The songs of {len(users)} users are known; {len(scope) - len(users)} users wait for an update."
    bad = f"Songs of {len(wrong)} users have no document. {REPAIR.format('playlist_generator')}"
    numbers = {"users": len(users), "waiting": len(scope) - len(users), "faults": sum(missing.values())}
    return AuditFinding(not missing, "ERROR", bad if missing else well, numbers, rows[:MOST_ROWS], wrong)


def spotify_analytics_plays_match_history(
    store: Store, settings: Settings, _: datetime, scope: Sequence[AuditedUser]
) -> AuditFinding:
    """Both collections of spotify_analytics have as many plays of each user as the history."""
    waiting = waiting_for_analytics(store)
    users = [each.user for each in scope if each.user.user_id not in waiting]
    faults = [MartFault(*each) for each in wrong_counts(AnalyticsMart(store, settings), users)]
    return _finding(faults, "plays", users, scope, REPAIR.format("spotify_analytics"))


def warehouse_plays_match_history(
    store: Store, settings: Settings, now: datetime, scope: Sequence[AuditedUser]
) -> AuditFinding:
    """The warehouse has as many plays of each user as the history, and the same listening time."""
    return _in_warehouse(warehouse_audit.wrong_sums, "plays and times", store, settings, now, scope)


def warehouse_tracks_have_names(
    store: Store, settings: Settings, now: datetime, scope: Sequence[AuditedUser]
) -> AuditFinding:
    """Every played track in the warehouse has a row with its name."""
    return _in_warehouse(warehouse_audit.nameless_tracks, "names of tracks", store, settings, now, scope)


def _in_warehouse(
    examine: Callable[[Warehouse, Iterable[User]], Iterator[warehouse_audit.WarehouseFault]],
    what: str,
    store: Store,
    settings: Settings,
    now: datetime,
    scope: Sequence[AuditedUser],
) -> AuditFinding:
    """Examine the users whose rows are up to date."""
    waiting = waiting_for_warehouse(store)
    users = [each.user for each in scope if each.user.user_id not in waiting]
    with Warehouse.opened(store, settings, now) as warehouse:
        faults = list(examine(warehouse, users))
    return _finding(faults, what, users, scope, WAREHOUSE_REPAIR)


def _examined(
    examine: Callable[[EchoTuneMart, Iterable[User]], Iterator[MartFault]],
    what: str,
    store: Store,
    settings: Settings,
    now: datetime,
    scope: Sequence[AuditedUser],
) -> AuditFinding:
    """Examine the users whose documents are up to date. The others are compared after their next update."""
    waiting = waiting_users(store)
    users = [each.user for each in scope if each.user.user_id not in waiting]
    faults = list(examine(EchoTuneMart(store, settings, now, ""), users))
    return _finding(faults, what, users, scope, REPAIR.format("echotune"))


def _finding(
    faults: Sequence[MartFault | warehouse_audit.WarehouseFault],
    what: str,
    users: Sequence[User],
    scope: Sequence[AuditedUser],
    repair: str,
) -> AuditFinding:
    wrong = {fault.user.user_id for fault in faults}
    rows = [
        {"user": each.user.partition_key, "what": each.what, "found": each.found, "expected": each.expected}
        for each in faults[:MOST_ROWS]
    ]
    well = f"The {what} of {len(users)} users are right; {len(scope) - len(users)} users wait for an update."
    bad = f"The {what} of {len(wrong)} users are wrong. {repair}"
    numbers = {"users": len(users), "waiting": len(scope) - len(users), "faults": len(faults)}
    return AuditFinding(not faults, "ERROR", bad if faults else well, numbers, rows, frozenset(wrong))
