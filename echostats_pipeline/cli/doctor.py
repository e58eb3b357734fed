"""``echostats doctor``: checks the whole installation, and says what to do about each problem."""

import json
from collections.abc import Callable
from functools import partial

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from echostats_pipeline.accounts.connecting import token_cipher
from echostats_pipeline.cli import warehouse
from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.instance import CONFIG, instance_exists, open_instance, shared_dagster_home
from echostats_pipeline.cli.users import PIPED_WIDTH
from echostats_pipeline.errors import SettingsError, UnfinishedRestoreError
from echostats_pipeline.local.mongod import PROCESSOR_FIX
from echostats_pipeline.local.processor import unfit_processor
from echostats_pipeline.local.webserver import answering_webserver
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.monitoring import health, machine
from echostats_pipeline.monitoring.health import HealthFinding, HealthFindings, database_clock, examined, worst
from echostats_pipeline.monitoring.notifier import Notifier
from echostats_pipeline.orchestration import health as instance_health
from echostats_pipeline.orchestration.automation.mart_sensors import mart_sensor_names
from echostats_pipeline.orchestration.automation.sensors import sync_sensor_names
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.spotify.crypto import TokenCipher
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store

STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}
DATABASE_FIX = "Check MONGO_URI and its server, or for the embedded one: echostats mongo start"
NO_INSTANCE = "Set DAGSTER_HOME to the folder with the dagster.yaml of your deployment, or start: echostats up"
RESTORE_FIX = "echostats restore FILE, with the file that the finding names"
KEY_FIX = "Check ENCRYPTION_KEY, or encryption.key in ECHOSTATS_HOME"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Check everything that can be wrong and say what to do. Exit code 1 with problems, 0 with warnings only."""
    findings = diagnosis()
    if as_json:
        click.echo(json.dumps(health.as_json(findings), indent=2))
    else:
        console = Console()
        if not console.is_terminal:
            console.width = PIPED_WIDTH
        console.print(findings_table(findings))
    if worst(findings) == "problem":
        raise SystemExit(1)


def diagnosis() -> list[HealthFinding]:
    """All findings, problems or not. A problem in one place does not stop the checks of the others."""
    findings = examined("versions", machine.versions)
    try:
        settings = load_settings()
    except SettingsError as error:
        return [*findings, HealthFinding("settings", "problem", str(error), "docs/operate/settings.md")]
    findings += examined("disk", partial(machine.disk, settings.home))
    findings += examined("imports", partial(instance_health.import_folder, settings.imports_dir))
    findings += examined("alerts", partial(_addresses, settings), "echostats alerts test")
    findings += examined("processor", partial(_processor, settings))
    if settings.mongo_uri is None and not StateFolder(settings.home).mongo_dir.is_dir():
        findings.append(
            HealthFinding("database", "warning", "There is no database yet.", "echostats demo, connect or up")
        )
        return findings + _dagster(settings, None)
    looked: list[HealthFinding] = []

    def with_database() -> HealthFindings:
        try:
            with open_database(settings, indexes=False) as store:
                looked.extend(_stored(settings, store) + _dagster(settings, store))
        except UnfinishedRestoreError as error:
            yield HealthFinding("database", "problem", str(error), RESTORE_FIX)

    no_room = next((found.fix for found in findings if found.area == "disk" and found.level == "problem"), "")
    unreachable = examined("database", with_database, no_room or DATABASE_FIX)
    return findings + unreachable + (looked or _dagster(settings, None))


def findings_table(findings: list[HealthFinding]) -> Table:
    """A table with one row for each finding, with what to do if action is needed."""
    table = Table(Column("", no_wrap=True), Column("area", no_wrap=True), "finding", "what to do")
    for each in findings:
        level = Text(each.level.upper() if each.level == "ok" else each.level, STYLES[each.level])
        table.add_row(level, each.area, Text(each.text), Text(each.fix))
    return table


def _stored(settings: Settings, store: Store) -> list[HealthFinding]:
    now = utc_now()
    looks: dict[str, Callable[[], HealthFindings]] = {
        "database": partial(health.database, store),
        "indexes": partial(health.indexes, store),
        "key": lambda: health.encryption(store, _cipher(settings)),
        "users": partial(health.users, store, settings, now),
        "library": partial(health.library, store, settings, now),
        "EchoStats": partial(health.echostats, store, settings),
        "values": partial(health.values, store),
        "quota": partial(health.quota, store, settings.daily_calls, now),
        "genres": partial(health.genres, store, settings, now),
        "scrobbles": partial(health.scrobbles, store),
        "alerts": partial(health.incidents, store, len(settings.alerts)),
        "removed": partial(health.removed_users, store),
        "clock": partial(health.clock, store, now),
        **({} if settings.postgres is None else {"warehouse": partial(warehouse.findings, store, settings)}),
    }
    fixes = {"key": KEY_FIX}
    return [found for area, look in looks.items() for found in examined(area, look, fixes.get(area, DATABASE_FIX))]


def _dagster(settings: Settings, store: Store | None) -> list[HealthFinding]:
    ignored = _ignored_dagster_home(settings)
    if not instance_exists(settings):
        text = "No Dagster instance was found on this machine: nothing is known of daemons, sensors and runs."
        return [*ignored, HealthFinding("daemon", "warning", text, NO_INSTANCE)]
    shared = shared_dagster_home(settings) is not None
    looked: list[HealthFinding] = []

    def with_instance() -> HealthFindings:
        # The clock of the database is everybody's: that of this machine may differ from the daemon's.
        now, url = database_clock(store) if store else utc_now(), answering_webserver(settings.home)
        with open_instance(settings) as instance:
            keys = [user.partition_key for user in store.users.all(simulated=settings.simulated)] if store else []
            as_loaded = settings if shared else settings.model_copy(update={"embedded_mongo": True})
            names = [*sync_sensor_names(keys, as_loaded), *mart_sensor_names(settings.installed_marts)]
            looked.extend(examined("daemon", partial(instance_health.daemon, instance, url, now, shared=shared)))
            looked.extend(examined("sensors", partial(instance_health.switched_off, instance, names)))
            looked.extend(examined("runs", partial(instance_health.runs, instance, store, now)))
            if store is not None:
                looked.extend(examined("instance", partial(instance_health.other_instances, instance, store, now)))
        yield from ()

    own = "Check the folder dagster in ECHOSTATS_HOME"
    fix = f"Check DAGSTER_HOME, its {CONFIG}, and the variables that it reads" if shared else own
    unusable = examined("Dagster", with_instance, fix)
    return ignored + looked + unusable


def _ignored_dagster_home(settings: Settings) -> list[HealthFinding]:
    """A DAGSTER_HOME without a configuration, which Dagster's own commands would fill with another instance."""
    folder = settings.dagster_home
    if folder is None or (folder / CONFIG).is_file() or folder == StateFolder(settings.home).dagster_dir:
        return []
    text = f"DAGSTER_HOME is {folder}, which holds no {CONFIG}: the instance of the state folder is used instead."
    return [HealthFinding("instance", "warning", text, f"Copy the {CONFIG} of your deployment there, or unset it")]


def _processor(settings: Settings) -> HealthFindings:
    """Whether the embedded server can run here, before it is started for the first time."""
    if settings.mongo_uri is None and (unfit := unfit_processor()):
        # A mongod on PATH may have been built for this processor: then there are data.
        there = (StateFolder(settings.home).mongo_dir / "data").is_dir()
        yield HealthFinding("processor", "warning" if there else "problem", unfit, PROCESSOR_FIX)


def _addresses(settings: Settings) -> HealthFindings:
    Notifier(settings.alerts)
    yield from ()


def _cipher(settings: Settings) -> TokenCipher | None:
    """The cipher; None if a key would have to be created first, which doctor must not do."""
    if settings.encryption_key is None and not StateFolder(settings.home).encryption_key_file.exists():
        return None
    return token_cipher(settings)
