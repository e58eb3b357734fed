"""A deployment as `deploy` ships it: PostgreSQL, Redis, a replica set, two Celery workers; each on a host of its own.

The tests walk through one deployment in their order, and each can be run alone. Their figures are printed at the end.
"""

import json
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import dagster as dg
import pytest

from echostats_pipeline.model.base import utc_now
from echostats_pipeline_tests.cluster import looking as look
from echostats_pipeline_tests.cluster.conftest import Figure
from echostats_pipeline_tests.cluster.deployment import BUDGET, Deployment
from echostats_pipeline_tests.cluster.plain_exports import write_plain_export
from echostats_pipeline_tests.cluster.waiting import eventually
from echostats_pipeline_tests.fake_receivers import Webhook

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

SYNC_WITHIN_S, CREATED_WITHIN_S, CHILD_WITHIN_S, HOST_WITHIN_S = 60, 10, 30, 180
IMPORT_LASTS_S = 62
YEARS_FROM, DAYS_OF_14_YEARS = datetime(2011, 1, 1, 12, tzinfo=UTC), 5_114
HOUR = timedelta(hours=1)
PLAYS = "recently-played"
"""The family of calls that every sync makes."""
COMMANDS = (
    ["users"],
    ["doctor"],
    ["metrics"],
    ["keys", "status"],
    ["alerts", "list"],
    ["indexes"],
    ["genres", "--user", "{}"],
    ["rules", "list", "--user", "{}"],
    ["songs", "duplicates", "--user", "{}"],
    ["report", "--user", "{}", "--no-pictures"],
    ["export", "--user", "{}", "--output", "../exported"],
    ["backfill", "--user", "{}", "--no-snapshots"],
)
"""Commands of an operator; a user stands in place of the braces."""


def test_the_shipped_files_start_with_the_versions_that_an_install_resolves_to(
    deployed: Deployment, figure: Figure
) -> None:
    assert "sync_everybody" in deployed.ui.sensors()
    assert deployed.instance.get_runs_count() == 0
    assert look.rights(deployed) == [{"role": "readWrite", "db": "echostats"}]
    names = ("dagster", "dagster-postgres", "dagster-celery", "celery", "redis", "sqlalchemy", "psycopg2-binary")
    figure("13: started with " + ", ".join(f"{name} {version(name)}" for name in names))
    figure("12: the deployment's user of MongoDB has readWrite on the database echostats and no other right")


def test_users_are_synced_without_a_human(deployed: Deployment, figure: Figure) -> None:
    since = utc_now()
    took_s = look.await_sync(deployed, deployed.connect(0, 1, 2), since)
    figure(f"1: three users synced after {took_s:.0f} s")
    assert took_s < look.on_a_busy_machine(SYNC_WITHIN_S)


def test_users_are_synced_after_the_code_server_has_lost_its_folder(deployed: Deployment, figure: Figure) -> None:
    code, known = deployed.hosts["code"], len(look.users(deployed))
    code.kill()
    code.wipe()
    process, watch = deployed.start("code"), look.Stopwatch()
    eventually("ticks", lambda: look.ticked_since(deployed, "sync_everybody", watch.began), process)
    ticks_s, since = watch.seconds, utc_now()
    again_s = look.await_sync(deployed, deployed.connect(known, known + 1, known + 2), since)
    figure(
        f"1: the code server killed and its folder wiped, sensors tick again after {ticks_s:.0f} s, and three more "
        f"users are synced after {again_s:.0f} s"
    )
    assert again_s < look.on_a_busy_machine(SYNC_WITHIN_S)


def test_doctor_and_metrics_tell_the_truth_on_a_host_of_their_own(deployed: Deployment, figure: Figure) -> None:
    doctor, metrics = deployed.echostats("doctor", "--json"), deployed.echostats("metrics")
    assert doctor.returncode == 0, doctor.stdout
    found = {each["area"]: each["level"] for each in json.loads(doctor.stdout)["findings"]}
    assert (found["daemon"], found["sensors"]) == ("ok", "ok")
    names = look.metric_names(metrics.stdout)
    assert {"echostats_failed_runs_24h", "echostats_daemon_heartbeat_age_seconds", "echostats_unfinished_runs"} < names
    assert "echostats_dagster_instance_found 1.0" in metrics.stdout
    figure(f"10: on a third host, doctor ends with 0 and metrics has {len(names)} metrics")


def test_commands_of_another_host_leave_imports_alone_whatever_their_host(
    deployed: Deployment, figure: Figure, tmp_path: Path
) -> None:
    of_worker, of_laptop, other = look.users(deployed, 6)[3:6]
    rows, first, apart = 2_000, datetime(2015, 1, 1, tzinfo=UTC), timedelta(minutes=7)
    export = write_plain_export(tmp_path / "endsong_0.json", rows=rows, first=first, apart=apart)
    laptop = deployed.hosts["laptop"]
    with look.held(deployed, of_worker, of_laptop):
        look.drop(deployed, of_worker, export)
        look.give(laptop, export)
        command = laptop.start(["echostats", "import", export.name, "--user", of_laptop.partition_key])
        began = time.monotonic()
        runs = {
            user.user_id: eventually("import", lambda user=user: look.open_job(deployed, user, "import"))
            for user in (of_worker, of_laptop)
        }
        for arguments in COMMANDS:
            ended = deployed.echostats(*(part.format(other.partition_key) for part in arguments))
            assert ended.returncode == 0, (arguments, ended.stdout, ended.stderr)
            assert [look.open_job(deployed, user, "import") for user in (of_worker, of_laptop)] == list(runs.values())
        time.sleep(max(IMPORT_LASTS_S - (time.monotonic() - began), 0))
    assert command.wait(240) == 0, laptop.said()
    lasted_s = time.monotonic() - began
    for user in (of_worker, of_laptop):
        assert deployed.ended(runs[user.user_id]) == "SUCCESS"
        assert look.jobs_of(deployed, user, "import") == [("completed", "")]
        assert deployed.store.plays.count(user.user_id, first, first + rows * apart) == rows
    figure(
        f"2: {len(COMMANDS)} commands left two imports alone; that by command lasted {lasted_s:.0f} s and is in the UI"
    )


def test_an_export_dropped_on_one_host_is_imported_on_another(
    deployed: Deployment, figure: Figure, tmp_path: Path
) -> None:
    user, rows, apart = look.users(deployed)[0], 500, timedelta(hours=12)
    export, watch = (
        write_plain_export(tmp_path / "endsong_0.json", rows=rows, first=YEARS_FROM, apart=apart),
        look.Stopwatch(),
    )
    look.drop(deployed, user, export)
    eventually("import", lambda: look.jobs_of(deployed, user, "import") == [("completed", "")])
    imported_s, run = watch.seconds, look.newest(deployed, "history_import")
    assert run is not None
    assert deployed.store.plays.count(user.user_id, YEARS_FROM, YEARS_FROM + rows * apart) == rows
    assert list(deployed.store.db["stored.files"].find({"metadata.user_id": user.user_id})) == []
    figure(
        f"4: an export dropped on the host code was imported on {deployed.executed_on(run)} after {imported_s:.0f} s"
    )


def test_14_years_are_rebuilt_in_a_run_that_is_created_in_few_statements(
    deployed: Deployment, figure: Figure, tmp_path: Path
) -> None:
    user, rows, apart = look.users(deployed, 7)[6], 2 * DAYS_OF_14_YEARS, timedelta(hours=12)
    export = write_plain_export(tmp_path / "endsong_1.json", rows=rows, first=YEARS_FROM, apart=apart)
    statements = look.Statements(deployed)
    look.drop(deployed, user, export)
    eventually("import", lambda: look.jobs_of(deployed, user, "import") == [("completed", "")])
    eventually("days", lambda: not deployed.store.marks.pending("daily_rollups"))
    rebuilt = look.newest(deployed, "rollup_build", **{"echostats/user": user.partition_key})
    assert rebuilt is not None
    assert deployed.ended(rebuilt.run_id) == "SUCCESS"
    inserts, created_s = statements.end(rebuilt.run_id), look.seconds_to_create(deployed, rebuilt.run_id)
    planned = look.planned_events(deployed, rebuilt.run_id)
    assert planned >= 2 * DAYS_OF_14_YEARS
    assert inserts <= planned // 1000 + 2
    assert deployed.store.db["daily_rollups"].count_documents({"user_id": user.user_id}) >= DAYS_OF_14_YEARS
    assert len(look.materialized(deployed, "daily_rollups", user)) >= DAYS_OF_14_YEARS
    took_s = look.seconds_to_execute(deployed, rebuilt.run_id)
    figure(
        f"3: a run over 14 years was created in {created_s:.1f} s, with its {planned:,} planned events in {inserts} "
        f"statements; it executed in {took_s:.0f} s"
    )
    assert created_s < look.on_a_busy_machine(CREATED_WITHIN_S)


def test_a_run_that_is_terminated_in_the_ui_is_canceled_without_an_alert(
    deployed: Deployment, figure: Figure, notices: Webhook
) -> None:
    user = look.users(deployed)[1]
    run_id = look.slow_sync(deployed, user)
    watch = look.Stopwatch()
    deployed.terminate(run_id)
    assert deployed.ended(run_id) == "CANCELED"
    took_s = watch.seconds
    deployed.behave(faults={})
    eventually("closed job", lambda: look.open_job(deployed, user, *look.SYNCS) is None)
    eventually("look at what failed", lambda: look.ticked_since(deployed, "incident_notices", watch.began))
    assert list(deployed.store.db["incidents"].find({"run_id": run_id})) == []
    assert [body for body in notices.bodies() if "user_sync" in repr(body)] == []
    assert look.leases(deployed, run_id) == 0
    figure(f"11: a run terminated in the UI ended CANCELED after {took_s:.0f} s; no incident, no notice")


@pytest.mark.parametrize(("what", "within_s"), [("child", CHILD_WITHIN_S), ("host", HOST_WITHIN_S)])
def test_a_killed_worker_is_found_and_its_run_repeated(
    deployed: Deployment, figure: Figure, what: str, within_s: float
) -> None:
    user = look.users(deployed)[2]
    deployed.let_pass(HOUR)
    before = look.spotify_now(deployed)
    run_id = look.slow_sync(deployed, user)
    host = deployed.hosts[deployed.executed_on(deployed.run(run_id))]
    watch = look.Stopwatch()
    if what == "child":
        look.kill_children(host)
    else:
        host.kill()
    deployed.behave(faults={})
    eventually("closed job", lambda: not look.is_open(deployed, run_id))
    closed_s = watch.seconds
    again = eventually("success of the retry", lambda: look.retry_of(deployed, run_id))
    again_s = watch.seconds
    if what == "host":
        deployed.start_worker(host.name)
    assert look.leases(deployed, run_id, again.run_id) == 0
    assert look.differences(deployed, user, before) == []
    figure(
        f"6: after kill -9 of a worker's {what}, its job was closed in {closed_s:.0f} s, repeated in {again_s:.0f} s"
    )
    assert closed_s < look.on_a_busy_machine(within_s)


def test_100_users_are_synced_on_both_workers_within_the_budget(deployed: Deployment, figure: Figure) -> None:
    look.await_idle(deployed)
    since, numbers = utc_now(), range(len(look.users(deployed)), 100)
    new = deployed.connect(*numbers)
    synced_s = look.await_sync(deployed, new, since)
    eventually(
        "snapshots",
        lambda: len(deployed.store.db["analytics_snapshots"].distinct("user_id")) == 100,
    )
    fresh_s = (utc_now() - since).total_seconds()
    look.await_idle(deployed)
    runs = deployed.instance.get_runs(dg.RunsFilter(job_name="user_sync", created_after=since))
    by_host = look.runs_by_host(deployed, runs)
    assert set(by_host) == {worker.name for worker in deployed.workers}
    assert look.overlaps(deployed) == []
    calls, most = look.calls_by_status(deployed, PLAYS), look.most_calls(deployed, PLAYS, timedelta(seconds=30))
    assert calls.total() <= BUDGET["daily"]
    assert most <= BUDGET["burst"]
    assert calls[429] == 0
    figure(
        f"8: {len(new)} users more, 100 in all: synced after {synced_s:.0f} s, all snapshots after {fresh_s:.0f} s; "
        f"runs by worker {dict(by_host)}; no user in two runs at once; {calls.total()} calls for plays, at most {most} "
        "in 30 s, none refused"
    )


def test_retention_keeps_what_old_runs_have_built_shown(deployed: Deployment, figure: Figure) -> None:
    look.await_idle(deployed)
    user, before = look.users(deployed, 7)[6], deployed.instance.get_runs_count()
    shown = look.materialized(deployed, "daily_rollups", user)
    deployed.postgres.execute("UPDATE runs SET create_timestamp = create_timestamp - interval '20 days'", "dagster")
    assert deployed.ended(deployed.launch("retention", {})) == "SUCCESS"
    after = deployed.instance.get_runs_count()
    deployed.instance.wipe_asset_cached_status([dg.AssetKey("daily_rollups")])
    assert look.materialized(deployed, "daily_rollups", user) == shown
    figure(f"9: retention left {after} of {before} runs, and the {len(shown):,} days of 14 years green")
    assert after <= look.kept_for_red(deployed) + 2


def test_the_loss_of_the_primary_costs_no_run_and_no_play(deployed: Deployment, figure: Figure) -> None:
    for trouble, name in ((deployed.servers.step_down, "step-down"), (deployed.servers.kill_primary, "kill -9")):
        look.await_idle(deployed)
        deployed.let_pass(HOUR)
        before, primary = look.spotify_now(deployed), deployed.servers.primary()
        batches = [look.users(deployed)[first : first + 25] for first in range(0, len(deployed.users), 25)]
        runs = [deployed.launch("user_sync", look.sync_tags(batch)) for batch in batches]
        eventually("running jobs", deployed.store.jobs.busy_users)
        trouble()
        watch = look.Stopwatch()
        assert [deployed.ended(run_id) for run_id in runs] == ["SUCCESS"] * len(batches)
        took_s = watch.seconds
        assert deployed.servers.primary() != primary
        assert {
            user.partition_key: wrong for user in deployed.users if (wrong := look.differences(deployed, user, before))
        } == {}
        assert look.leases(deployed, *runs) == 0
        figure(f"7: {name} of the primary under {len(runs)} runs of 25 users: no failure, ended {took_s:.0f} s later")


def test_a_removal_on_any_host_leaves_nothing_anywhere(deployed: Deployment, figure: Figure, tmp_path: Path) -> None:
    user = look.users(deployed, 6)[5]
    tags = {"dagster/partition": user.partition_key, "echostats/user": user.partition_key}
    assert deployed.ended(deployed.launch("report_build", tags)) == "SUCCESS"
    export = write_plain_export(tmp_path / "notes.txt", rows=1, first=YEARS_FROM, apart=HOUR)
    look.drop(deployed, user, export, "notes.part")
    before = look.traces_in_documents(deployed, user)
    assert look.traces_in_files(deployed, user) != []
    ended = deployed.echostats("remove", "--user", user.partition_key, "--yes", host="worker1")
    assert ended.returncode == 0, ended.stderr
    watch = look.Stopwatch()
    # A command cleans up its own host: where no process runs, the next one does.
    assert deployed.echostats("report", "--user", deployed.users[0].partition_key, "--no-pictures").returncode == 0
    eventually("clean hosts", lambda: not look.traces_in_files(deployed, user))
    took_s = watch.seconds
    deployed.users.remove(user)
    assert look.traces_in_documents(deployed, user) == {"removed_users": 1}
    assert user.partition_key not in deployed.instance.get_dynamic_partitions("users")
    documents = sum(before.values())
    figure(f"5: a removal on a worker's host left none of {documents} documents, and no file after {took_s:.0f} s")


def test_doctor_notices_a_daemon_that_has_ended(deployed: Deployment, figure: Figure) -> None:
    daemon = deployed.hosts["daemon"]
    daemon.kill()
    look.age_heartbeats(deployed, minutes=6)
    ended = deployed.echostats("doctor")
    assert ended.returncode == 1, ended.stdout
    assert "daemons are silent" in " ".join(ended.stdout.split())
    figure("10: with the daemon dead for six minutes, doctor on a third host ends with 1")
