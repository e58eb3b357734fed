"""The warehouse follows the core: after each change its rows are those of a whole load, and its numbers the core's."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from bson import ObjectId

from echostats_pipeline.accounts.consent import move_days
from echostats_pipeline.accounts.removal import remove_user
from echostats_pipeline.cli.warehouse import findings
from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.errors import WarehouseError
from echostats_pipeline.marts.warehouse.audit import loaded_users
from echostats_pipeline.marts.warehouse.build import PARTS, Warehouse, waiting_users
from echostats_pipeline.marts.warehouse.statistics import in_core, in_warehouse
from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring.audit import AuditedUser
from echostats_pipeline.orchestration import mart_checks
from echostats_pipeline.orchestration.automation.alerts import incident_notices
from echostats_pipeline.orchestration.automation.mart_sensors import stale_warehouse
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.settings import load_settings
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.statistics import rebuild_rollups, rebuild_snapshots
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Pipeline
from echostats_pipeline_tests.marts.warehouse.conftest import TestedWarehouse
from echostats_pipeline_tests.orchestration.automation.test_alerts import tick, told_of
from echostats_pipeline_tests.postgres_server import PASSWORD

TABLES = ("plays", "days", "sessions", "tracks", "artists", "track_artists", "albums", "genres", "track_genres", "gaps")


@dataclass(frozen=True)
class Installed:
    """A pipeline whose settings name a warehouse."""

    pipeline: Pipeline
    warehouse: TestedWarehouse

    @property
    def store(self) -> Store:
        return self.pipeline.store

    def update(self, user: User, *, whole: bool = False) -> dict[str, int]:
        user = self.store.users.by_partition_key(user.partition_key)
        with Warehouse.opened(self.store, self.pipeline.installation.settings, NOW) as opened:
            return {part: opened.update(user, part, whole=whole).changed for part in PARTS}

    def content(self, tables: tuple[str, ...] = TABLES) -> dict[str, list[Any]]:
        return {name: sorted(self.warehouse.rows(f"SELECT * FROM {name}"), key=repr) for name in tables}

    def wanted(self) -> Any:
        """The runs that the sensor requests, or why it requests none."""
        definitions = build_definitions(self.pipeline.resources(), settings=self.pipeline.installation.settings)
        with dg.build_sensor_context(
            instance=self.pipeline.instance, resources=self.pipeline.resources(), definitions=definitions
        ) as context:
            return stale_warehouse(context)


@pytest.fixture
def installed(pipeline: Pipeline, warehouse: TestedWarehouse) -> Installed:
    environ = {**pipeline.installation.environ, "ECHOSTATS_POSTGRES": warehouse.url}
    settings = load_settings(environ, env_file=None)
    store = Store.of(pipeline.store.db, databases_of(settings))
    changed = replace(pipeline.installation, environ=environ, settings=settings, store=store)
    return Installed(replace(pipeline, installation=changed), warehouse)


def synced(installed: Installed, number: int = 0) -> User:
    """A user with recent plays and snapshots."""
    user = installed.pipeline.connect(number)
    assert installed.pipeline.run("user_sync", tags=range_tags(NOW.date(), NOW.date(), user.partition_key)).success
    assert installed.pipeline.run(
        "rollup_build", tags=range_tags(NOW.date() - timedelta(days=9), NOW.date(), user.partition_key)
    ).success
    assert installed.pipeline.run("snapshot_build", partition_key=user.partition_key).success
    return user


def test_a_sync_brings_one_run_that_loads_what_the_core_has(installed: Installed) -> None:
    user = synced(installed)
    assert [request.partition_key for request in installed.wanted()] == [user.partition_key]
    run = installed.pipeline.run("warehouse_build", partition_key=user.partition_key)
    assert run.success
    assert {each.check_name: each.passed for each in run.get_asset_check_evaluations()} == {
        "warehouse_plays_match_history": True,
        "warehouse_tracks_have_names": True,
    }
    assert isinstance(installed.wanted(), dg.SkipReason)
    plays = installed.store.db["listening_history"].count_documents({})
    assert installed.warehouse.rows("SELECT count(*) FROM plays") == [(plays,)]
    assert plays > 0
    snapshot = installed.store.statistics.snapshot(user.user_id, "all_time")
    assert installed.warehouse.rows("SELECT plays, unique_artists FROM snapshots WHERE period = 'all_time'") == [
        (snapshot.total_tracks_played, snapshot.unique_artists)
    ]
    assert installed.update(user) == {"plays": 0, "tracks": 0, "profile": 0}
    with installed.warehouse.opened() as connection:
        copied = in_warehouse(connection, user.user_id)
    assert copied == in_core(snapshot)
    assert len(copied) >= 10


def test_each_change_of_the_core_leads_to_the_rows_of_a_whole_load(installed: Installed, progress: Progress) -> None:
    """Plays that come, go and change; another time zone; a database that was emptied or restored from a backup."""
    user, history = synced(installed), installed.store.db["listening_history"]
    installed.update(user)

    def rebuilt(user: User) -> None:
        settings = installed.pipeline.installation.settings
        days = installed.store.marks.pending_days(user.user_id)
        rebuild_rollups(installed.store, user, days, min_play_ms=settings.min_play_ms, progress=progress)
        rebuild_snapshots(installed.store, user, NOW)

    def same(*, expect_change: bool = True) -> None:
        before = installed.content()
        changed = installed.update(user)
        after = installed.content()
        assert (sum(changed.values()) > 0) is expect_change
        assert (after != before) is expect_change
        installed.update(user, whole=True)
        assert installed.content() == after

    some = list(history.find({"user_id": user.user_id}).sort("played_at", 1))
    day = some[3]["played_at"].date()
    with installed.store.marks.changing(user.user_id, [day]):
        history.delete_one({"_id": some[3]["_id"]})
    rebuilt(user)
    same()
    new = {**some[3], "_id": ObjectId(), "ms_played": 5_000, "track": {**some[3]["track"], "spotify_id": "new-one"}}
    with installed.store.marks.changing(user.user_id, [day]):
        history.insert_one(new)
    rebuilt(user)
    same()
    move_days(installed.store, user, "Pacific/Kiritimati")
    moved = installed.store.users.by_partition_key(user.partition_key)
    rebuilt(moved)
    same()
    wanted = installed.content()
    installed.warehouse.rows("UPDATE loads SET load_id = 'of a backup'")
    installed.warehouse.rows("DELETE FROM days")
    with installed.store.marks.changing(user.user_id, [day]):
        pass
    installed.update(user)
    assert installed.content() == wanted
    assert waiting_users(installed.store) == set()


def test_a_core_that_dies_between_commit_and_marks_loads_again(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = synced(installed)
    marks = type(installed.store.marks)
    with monkeypatch.context() as dying:
        dying.setattr(marks, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            installed.update(user)
    assert waiting_users(installed.store) == {user.user_id}
    installed.update(user)
    wanted = installed.content()
    installed.update(user, whole=True)
    assert installed.content() == wanted
    assert waiting_users(installed.store) == set()


def test_postgres_down_leaves_the_core_alone_and_the_warehouse_catches_up(installed: Installed) -> None:
    """From the server's end to its return: an incident opens and ends, and what was synced meanwhile is loaded."""
    up, user = installed.pipeline, installed.pipeline.connect()
    with installed.warehouse.server.down():
        synced(installed)
        run = up.run("warehouse_build", partition_key=user.partition_key)
        assert not run.success
        told_of(up, run.run_id)
        (incident,) = up.store.incidents.open()
        assert incident.subject == f"warehouse_build failed for {user.partition_key}"
        assert "nothing listens there" in incident.cause
        assert PASSWORD not in incident.cause
        assert "echostats warehouse status" in incident.advice
        (finding,) = findings(up.store, up.installation.settings)
        assert (finding.level, "nothing listens there" in finding.text) == ("problem", True)
        assert isinstance(installed.wanted(), dg.SkipReason), "the user's run failed a moment ago"
        assert waiting_users(up.store) == {user.user_id}
    assert up.run("warehouse_build", partition_key=user.partition_key).success
    assert waiting_users(up.store) == set()
    plays = up.store.db["listening_history"].count_documents({})
    assert installed.warehouse.rows("SELECT count(*) FROM plays") == [(plays,)] != [(0,)]
    assert [each.level for each in findings(up.store, up.installation.settings)] == ["ok"]
    tick(up, incident_notices)
    assert up.store.incidents.open() == []


def test_a_removed_user_is_deleted_by_the_next_look(installed: Installed) -> None:
    ann, bob = synced(installed), synced(installed, 1)
    for user in (ann, bob):
        installed.update(user)
    remove_user(installed.store, ann, NOW)
    installed.wanted()
    assert installed.warehouse.rows("SELECT user_key FROM users") == [(bob.partition_key,)]
    assert installed.warehouse.rows("SELECT count(DISTINCT user_id) FROM plays") == [(1,)]


def test_a_core_that_does_not_know_the_users_deletes_nobody(installed: Installed) -> None:
    """As when the address of the warehouse is set for the demo, or before a backup of the core is restored."""
    user = synced(installed)
    installed.update(user)
    before = installed.content()
    stored = installed.store.db["users"].find_one_and_delete({}) or {}
    settings = installed.pipeline.installation.settings
    knows_none = pytest.raises(WarehouseError, match="has 1 users, and this installation knows none of them")
    with knows_none as refused, Warehouse.opened(installed.store, settings, NOW):
        pass
    assert refused.value.permanent
    with Warehouse.looked_at(installed.store, settings, NOW) as seen:
        assert [(each.user_key, each.known) for each in loaded_users(seen)] == [(user.partition_key, False)]
    installed.store.db["users"].insert_one(stored)
    installed.update(user)
    assert installed.content() == before


def test_the_checks_see_what_is_missing(installed: Installed) -> None:
    user = synced(installed)
    installed.update(user)
    scope, settings = [AuditedUser(user, None)], installed.pipeline.installation.settings
    checks = (mart_checks.warehouse_plays_match_history, mart_checks.warehouse_tracks_have_names)
    assert [check(installed.store, settings, NOW, scope).passed for check in checks] == [True, True]
    installed.warehouse.rows("DELETE FROM days WHERE local_date = (SELECT max(local_date) FROM days)")
    installed.warehouse.rows("DELETE FROM tracks")
    found = [check(installed.store, settings, NOW, scope) for check in checks]
    assert [each.passed for each in found] == [False, False]
    assert found[0].rows[0]["what"] == "rows"
