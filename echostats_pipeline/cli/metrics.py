"""``echostats metrics``: writes the metrics once, to the terminal or into a file."""

from contextlib import ExitStack
from pathlib import Path

import click
import dagster as dg

from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.instance import instance_exists, open_instance
from echostats_pipeline.errors import StorageError
from echostats_pipeline.monitoring.health import database_clock
from echostats_pipeline.orchestration.instance.metrics import exposition, measured
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.state_folder import replace_file

NOT_FOUND = (
    "No Dagster instance was found, so nothing is known of runs and daemons. "
    "Set DAGSTER_HOME to the folder with the dagster.yaml of your deployment, or start: echostats up"
)
NOTHING_KNOWN = "So nothing is known of runs and daemons: echostats_dagster_instance_found is 0."
READABLE = 0o644
"""Mode of the file: node_exporter runs as another user and must read it."""


@click.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write atomically, for the textfile collector of node_exporter.",
)
def metrics(output: Path | None) -> None:
    """Print metrics in Prometheus' text form; `echostats up --metrics-port 9464` serves them."""
    settings = load_settings()
    with open_database(settings, indexes=False) as store, ExitStack() as stack:
        instance = _opened(settings, stack)
        text = exposition(measured(store, instance, settings, database_clock(store)))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        replace_file(output.absolute(), text, mode=READABLE)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error


def _opened(settings: Settings, stack: ExitStack) -> dg.DagsterInstance | None:
    """The Dagster instance, until the stack ends; None, with the reason on the terminal, if there is none to read."""
    if not instance_exists(settings):
        click.echo(NOT_FOUND, err=True)
        return None
    try:
        return stack.enter_context(open_instance(settings))
    except StorageError as error:
        click.echo(f"{error}\n{NOTHING_KNOWN}", err=True)
        return None
