"""The Dagster instance of this installation, and runs launched on it from the command line.

It is the instance that DAGSTER_HOME configures, which a deployment shares. Otherwise it lives in the state folder and
is configured by the project's own ``dagster.yaml``. Either way, the UI also shows the runs of the command line.
"""

import logging
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.execution.api import execute_run
from dagster._core.instance import InstanceRef
from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.load import location_origins_from_yaml_paths
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.shared_storage import refuse_unusable, root_cause, without_retries_told
from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.errors import EchostatsError, StorageError
from echostats_pipeline.local.webserver import webserver_url
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.dagster_patches.sqlite_event_log import BATCH_SIZE, BATCH_SIZE_VARIABLE
from echostats_pipeline.orchestration.instance.code_location import reload_code_location
from echostats_pipeline.orchestration.instance.dead_runs import close_dead_runs, process_tag
from echostats_pipeline.orchestration.instance.identity import instance_id
from echostats_pipeline.orchestration.instance.sensor_roster import Beginning, first_day_of
from echostats_pipeline.orchestration.instance.user_cleanup import remove_files_of_removed
from echostats_pipeline.orchestration.partitions import FIRST_DAY, PARTITION, RANGE_START
from echostats_pipeline.orchestration.tags import MAX_RETRIES
from echostats_pipeline.settings import EMBEDDED_MONGO, Settings, environment
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store

logger = logging.getLogger(__name__)
PACKAGE = Path(__file__).parent.parent
CONFIG = "dagster.yaml"
NO_COMPUTE_LOGS = "dagster._core.storage.noop_compute_log_manager"
INTERRUPTED_REASON = "Interrupted by Ctrl-C"
POLL_S = 0.2
NO_RETRIES = {MAX_RETRIES: "0"}
"""The person at the command line sees a failure and decides what to do. The daemon would repeat the run elsewhere."""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def project_file(name: str) -> Path:
    """The project's ``dagster.yaml`` or ``workspace.yaml``: in the installed package, or beside it in a checkout."""
    installed = PACKAGE / "dagster_home" / name
    return installed if installed.is_file() else PACKAGE.parent / name


def prepare_dagster_home(home: StateFolder) -> Path:
    """Write the instance's configuration into the state folder: the project's, with its folders placed there."""
    home.ensure()
    config = yaml.safe_load(project_file("dagster.yaml").read_text(encoding="utf-8"))
    for section in config.values():
        folders = section.get("config", {}) if isinstance(section, dict) else {}
        if "base_dir" in folders:
            folders["base_dir"] = str(home.dagster_dir / Path(folders["base_dir"]).relative_to(".dagster"))
    home.write_private(home.dagster_dir / "dagster.yaml", yaml.safe_dump(config, sort_keys=False))
    return home.dagster_dir


def shared_dagster_home(settings: Settings) -> Path | None:
    """The folder of DAGSTER_HOME, if it configures an instance other than that of the state folder."""
    folder = settings.dagster_home
    if folder is None or folder == StateFolder(settings.home).dagster_dir or not (folder / CONFIG).is_file():
        return None
    return folder


def instance_exists(settings: Settings) -> bool:
    """Whether there is an instance to open, without creating one."""
    shared = shared_dagster_home(settings)
    return shared is not None or (StateFolder(settings.home).dagster_dir / "storage").is_dir()


def sqlite_folder(settings: Settings) -> Path | None:
    """The folder in which the instance keeps its history in SQLite; None if it is in another place."""
    shared = shared_dagster_home(settings)
    if shared is None:
        return StateFolder(settings.home).dagster_dir / "storage"
    _refuse_absent(shared)
    config = yaml.safe_load((shared / CONFIG).read_text(encoding="utf-8")) or {}
    bases = {(config.get("storage") or {}).get("sqlite", {}).get("base_dir")} if "storage" in config else set()
    sections = [config[name] for name in ("run_storage", "event_log_storage", "schedule_storage") if name in config]
    bases |= {(section.get("config") or {}).get("base_dir") for section in sections}
    (base,) = bases if len(bases) == 1 else (None,)
    return None if base is None else Path(base)


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance that DAGSTER_HOME configures, or else the one in the state folder.

    Until the block ends, child processes use the same instance.

    Raises:
        StorageError: the instance that DAGSTER_HOME configures is elsewhere, or its storage cannot be used.
    """
    shared = shared_dagster_home(settings)
    if shared is not None:
        _refuse_absent(shared)
        refuse_unusable(shared / CONFIG, yaml.safe_load((shared / CONFIG).read_text(encoding="utf-8")) or {})
    folder = shared or prepare_dagster_home(StateFolder(settings.home))
    variables = {"DAGSTER_HOME": str(folder), BATCH_SIZE_VARIABLE: str(BATCH_SIZE)}
    if shared is None or settings.mongo_uri is None:
        variables[EMBEDDED_MONGO] = "1"
    # To capture a run's output, Dagster starts processes that respond to Ctrl-C with a traceback on the terminal.
    quiet = {"compute_logs": {"module": NO_COMPUTE_LOGS, "class": "NoOpComputeLogManager"}}
    with environment(variables), ExitStack() as stack:
        try:
            with without_retries_told():
                opened = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder), overrides=quiet))
                instance = stack.enter_context(opened)
                instance_id(instance)
        except Exception as error:
            if shared is None:
                raise
            raise StorageError(
                f"The Dagster instance that DAGSTER_HOME ({shared}) configures cannot be opened: "
                f"{root_cause(error)}. Check its {CONFIG}, and that its storage responds."
            ) from error
        yield instance


def _refuse_absent(folder: Path) -> None:
    """Refuse a configuration with a relative folder in which this process would begin an instance of its own.

    Raises:
        StorageError: the configuration names a relative folder that does not exist here.
    """
    config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8")) or {}
    for name in ("run_storage", "event_log_storage", "schedule_storage"):
        section = config.get(name)
        base = (section.get("config") or {}).get("base_dir") if isinstance(section, dict) else None
        _refuse_relative(folder, base)
    sqlite = (config.get("storage") or {}).get("sqlite") or {}
    _refuse_relative(folder, sqlite.get("base_dir"))


def _refuse_relative(folder: Path, base: Any) -> None:
    if isinstance(base, str) and not Path(base).is_absolute() and not Path(base).is_dir():
        raise StorageError(
            f"{folder / CONFIG} keeps Dagster's history in {base}, which is relative to the folder where a process "
            f"starts, and {Path(base).absolute()} does not exist. Write an absolute path there, or use PostgreSQL; "
            "otherwise each process has a history of its own."
        )


@contextmanager
def open_pipeline(settings: Settings) -> Iterator[tuple[Store, dg.DagsterInstance]]:
    """Open the database and the Dagster instance for the length of a command."""
    with open_database(settings) as store, open_instance(settings) as instance:
        close_dead_runs(instance, store, utc_now())
        remove_files_of_removed(settings, store)
        yield store, instance


def job_origin(job_name: str) -> RemoteJobOrigin:
    """The origin of a job. With it, the UI lists a run of the command line with those of its job, and in the timeline.

    This relies on internals of Dagster 1.13, hence the pinned minor version.
    """
    (location,) = location_origins_from_yaml_paths([str(project_file("workspace.yaml"))])
    return RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME).get_job_origin(job_name)


def _first_asked(tags: Mapping[str, str]) -> date | None:
    """The first of the days that a run serves; None if it serves no days."""
    day, _, _ = tags.get(RANGE_START, "").rpartition("|")
    return date.fromisoformat(day) if day else None


class RunFailedError(EchostatsError):
    """A run that this command launched has failed.

    Attributes:
        run_id: The id of the run.
    """

    def __init__(self, message: str, run_id: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class RateColumn(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        """The speed of the last half minute, or the mean speed once all items are done."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")


class Runner:
    """Executes jobs in this process, with a progress bar that follows their records in ``sync_jobs``.

    Args:
        instance: The instance that records the runs.
        store: The store from which their progress is read.
        settings: Settings with the state folder, which holds the first day.
        console: Console for the bars.
        resources: Resources of the runs; from the environment if None.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        store: Store,
        settings: Settings,
        console: Console,
        resources: Mapping[str, Any] | None = None,
    ) -> None:
        self._instance = instance
        self._store = store
        self._settings = settings
        self.console = console
        self._resources = resources
        self._definitions: tuple[date, dg.Definitions] | None = None

    def first_day(self, asked: date | None = None) -> date:
        """The first day: that of the first known play, or an earlier one that was requested.

        If it has changed, a running UI is asked to reload. In a deployment on several machines it is the same for all
        processes, which share no file that could move it.
        """
        if shared_dagster_home(self._settings) is not None and not self._settings.one_machine:
            return FIRST_DAY if asked is None else min(asked, FIRST_DAY)
        users, home = self._store.users.all(simulated=self._settings.simulated), self._settings.home
        first = first_day_of(self._store, users, utc_now())
        if Beginning(home).move(first if asked is None else min(asked, first)):
            reload_code_location(self._settings.ui_url or webserver_url(home), logger)
        return Beginning(home).read() or first

    def add_user(self, user: User) -> None:
        """Make sure the user has a partition."""
        if not self._instance.has_dynamic_partition("users", user.partition_key):
            self._instance.add_dynamic_partitions("users", [user.partition_key])

    def run(
        self,
        title: str,
        job_name: str,
        *,
        partition_key: str | None = None,
        tags: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> str:
        """Execute a job to its end.

        Returns:
            The id of the Dagster run.

        Raises:
            RunFailedError: the run failed; quotes the reason from its job records.
            KeyboardInterrupt: it was interrupted.
        """
        job = self._resolve(job_name, _first_asked(tags or {}))
        run_id = dg.DagsterRun(job_name=job_name).run_id
        partition = {} if partition_key is None else {PARTITION: partition_key}
        try:
            with _ctrl_c_remembered(), self._progress(title, run_id):
                run = self._instance.create_run_for_job(
                    job,
                    run_id=run_id,
                    run_config={**QUIET, **(config or {})},
                    tags={**job.run_tags, **(tags or {}), **partition, **process_tag(), **NO_RETRIES},
                    remote_job_origin=job_origin(job_name),
                )
                result = execute_run(InMemoryJob(job), run, self._instance)
        except KeyboardInterrupt:
            self._store.close_run(run_id, utc_now(), INTERRUPTED_REASON)  # between two steps no other code does this
            raise
        if not result.success:
            errors = {job.error_message for job in self._store.jobs.of_run(run_id) if job.error_message}
            reason = "; ".join(sorted(errors)) or "see the run in the Dagster UI"
            self._store.close_run(run_id, utc_now(), reason)  # no sensor watches this run
            raise RunFailedError(f"{title} failed: {reason}", run_id)
        return run_id

    def _resolve(self, job_name: str, asked: date | None) -> dg.JobDefinition:
        """Resolve a job with the present first day: an import may have found older plays."""
        first = self.first_day(asked)
        if self._definitions is None or self._definitions[0] != first:
            self._definitions = first, build_definitions(self._resources, settings=self._settings, first=first)
        return self._definitions[1].resolve_job_def(job_name)

    @contextmanager
    def _progress(self, title: str, run_id: str) -> Iterator[None]:
        """Show a bar that follows the items of the run's job records until the block ends."""
        columns = (
            TextColumn("{task.description:<36}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        )
        ended = threading.Event()
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(title, total=None)

            def show() -> None:
                jobs = self._store.jobs.of_run(run_id)
                total = sum(job.items_total for job in jobs)
                progress.update(task, completed=sum(job.items_processed for job in jobs), total=total or None)

            def show_end() -> None:
                show()
                if progress.tasks[task].total is None:
                    progress.update(task, completed=1, total=1)

            def follow() -> None:
                while not ended.wait(POLL_S):
                    show()

            follower = threading.Thread(target=follow, daemon=True)
            follower.start()
            try:
                yield
            finally:
                ended.set()
                follower.join()
                show_end()


@contextmanager
def _ctrl_c_remembered() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of the block if Ctrl-C was pressed in it.

    Dagster replaces the handler. It cancels a run whose step is interrupted, but ignores a Ctrl-C between steps.
    """
    seen, signals = socket.socketpair()
    with seen, signals:
        for end in (seen, signals):
            end.setblocking(False)
        previous = signal.set_wakeup_fd(signals.fileno())
        try:
            yield
        finally:
            signal.set_wakeup_fd(previous)
        with suppress(BlockingIOError):
            if signal.SIGINT in seen.recv(64):
                raise KeyboardInterrupt
