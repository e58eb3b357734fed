"""Dagster's services as one process with children: `python -m echostats_pipeline.cli.dagster_services PORT [NAME ...]`.

It does the same as `dagster dev`, but with a guarded webserver: it starts the code server, which it restarts when that
dies, the webserver and the daemon. It ends when the webserver or the daemon ends. Not here: starting this process again
(`dagster_process`).
"""

import contextlib
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml
from dagster import DagsterInstance
from dagster._cli.proxy_server_manager import ProxyServerManager
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.interrupts import setup_interrupt_handlers
from dagster._utils.log import configure_loggers
from dagster_shared.ipc import interrupt_ipc_subprocess, open_ipc_subprocess

from echostats_pipeline.cli.instance import project_file
from echostats_pipeline.settings import set_environment

POLL_S, STOP_TIMEOUT_S = 0.5, 25.0
WEBSERVER, DAEMON = "echostats_pipeline.cli.dagster_webserver", "dagster._daemon"

log = logging.getLogger("dagster")


def main(place: str, *names: str) -> int:
    """Serve until interrupted; the exit code is that of the service that has died."""
    set_environment({"DAGSTER_IS_DEV_CLI": "1"})  # shorter messages about code that does not load
    configure_loggers(formatter="colored", log_level="INFO")
    setup_interrupt_handlers()
    with (
        contextlib.suppress(KeyboardInterrupt),
        DagsterInstance.get() as instance,
        _code_server(instance) as workspace,
        ExitStack() as services,
    ):
        running = [
            services.enter_context(_service(WEBSERVER, workspace, place, *names)),
            services.enter_context(_service(DAEMON, "run", "-w", workspace, "--log-level", "info")),
        ]
        while all(service.poll() is None for service in running):
            time.sleep(POLL_S)
        ended = next(service for service in running if service.returncode is not None)
        log.error("A service of Dagster has ended with code %s: %s", ended.returncode, ended.args)
        return abs(ended.returncode) or 1
    return 0


@contextmanager
def _code_server(instance: DagsterInstance) -> Iterator[str]:
    """The code server; gives the file that holds its address for the other services."""
    target = WorkspaceFileTarget(paths=[str(project_file("workspace.yaml"))])
    with ProxyServerManager(instance, target, "warning") as servers, tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder, "workspace.yaml")
        workspace.write_text(yaml.safe_dump({"load_from": [dict(each) for each in servers.get_code_server_specs()]}))
        yield str(workspace)


@contextmanager
def _service(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process: subprocess.Popen[bytes] = open_ipc_subprocess([sys.executable, "-m", module, *arguments])
    try:
        yield process
    finally:
        if process.poll() is None:
            interrupt_ipc_subprocess(process)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
