"""The Dagster instance of this installation, and runs launched from the command line on it.

The instance lives in the state folder and is configured by the project's own ``dagster.yaml``, so that what the
command line runs is there to look at in the UI that `echostats up` opens.
"""

import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.instance import InstanceRef
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

from echostats_pipeline.dead_runs import close_dead_runs, process_tag
from echostats_pipeline.definitions import build_definitions, build_resources
from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.event_log_storage import BATCH_SIZE, BATCH_SIZE_VARIABLE
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings, set_environment
from echostats_pipeline.storage.adoption import mend_nulls
from echostats_pipeline.storage.embedded import running
from echostats_pipeline.storage.home import StateFolder
from echostats_pipeline.storage.store import Store, open_store

PACKAGE = Path(__file__).parent.parent
NO_COMPUTE_LOGS = "dagster._core.storage.noop_compute_log_manager"
INTERRUPTED_REASON = "Interrupted by Ctrl-C"
POLL_S = 0.2
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


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance in the state folder."""
    folder = prepare_dagster_home(StateFolder(settings.home))
    set_environment({"DAGSTER_HOME": str(folder), BATCH_SIZE_VARIABLE: str(BATCH_SIZE)})
    # To capture what a run prints, Dagster starts processes, which answer Ctrl-C with a traceback on the terminal.
    quiet = {"compute_logs": {"module": NO_COMPUTE_LOGS, "class": "NoOpComputeLogManager"}}
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder), overrides=quiet)) as instance:
        yield instance


@contextmanager
def open_database(settings: Settings, *, indexes: bool = True) -> Iterator[Store]:
    """The database for the length of a command; an embedded server that is started for it stops with it."""
    server = running(StateFolder(settings.home)) if settings.mongo_uri is None else nullcontext()
    with server, open_store(settings, indexes=indexes) as store:
        if indexes:
            mend_nulls(store.db)
        yield store


@contextmanager
def open_pipeline(settings: Settings) -> Iterator[tuple[Store, dg.DagsterInstance]]:
    """The database and the Dagster instance for the length of a command."""
    with open_database(settings) as store, open_instance(settings) as instance:
        close_dead_runs(instance, store, utc_now())
        yield store, instance


class RunFailedError(EchostatsError):
    """A run that this command launched has failed.

    Attributes:
        run_id: Which.
    """

    def __init__(self, message: str, run_id: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class RateColumn(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        """The speed of the last half minute, or of all that is done."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")


class Runner:
    """Executes jobs in this process, with a progress bar fed by their records in ``sync_jobs``.

    Args:
        instance: Where the runs are recorded.
        store: Where their progress is read.
        overrides: Settings by their environment names that the runs use.
        console: Where the bars are drawn.
    """

    def __init__(
        self, instance: dg.DagsterInstance, store: Store, overrides: Mapping[str, str], console: Console
    ) -> None:
        self._instance = instance
        self._store = store
        self._definitions = build_definitions(build_resources(overrides))
        self._console = console

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
        job = self._definitions.resolve_job_def(job_name)
        run_id = dg.DagsterRun(job_name=job_name).run_id
        try:
            with _ctrl_c_remembered(), self._progress(title, run_id):
                result = job.execute_in_process(
                    instance=self._instance,
                    partition_key=partition_key,
                    tags={**(tags or {}), **process_tag()},
                    run_config={**QUIET, **(config or {})},
                    raise_on_error=False,
                    run_id=run_id,
                )
        except KeyboardInterrupt:
            self._store.close_run(run_id, utc_now(), INTERRUPTED_REASON)  # between two steps nobody else does
            raise
        if not result.success:
            errors = {job.error_message for job in self._store.jobs.of_run(run_id) if job.error_message}
            reason = "; ".join(sorted(errors)) or "see the run in the Dagster UI"
            self._store.close_run(run_id, utc_now(), reason)  # no sensor watches this run
            raise RunFailedError(f"{title} failed: {reason}", run_id)
        return run_id

    @contextmanager
    def _progress(self, title: str, run_id: str) -> Iterator[None]:
        """A bar that follows the items of the run's job records until the block ends."""
        columns = (
            TextColumn("{task.description:<36}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        )
        ended = threading.Event()
        with Progress(*columns, console=self._console) as progress:
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

    Dagster replaces the handler: it cancels a run whose step it interrupts, and forgets what comes between steps.
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
