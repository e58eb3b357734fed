"""``echostats metrics``: writes the metrics once, to the terminal or into a file."""

from contextlib import nullcontext
from pathlib import Path

import click

from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.instance import instance_exists, open_instance
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.orchestration.instance.metrics import exposition, measured
from echostats_pipeline.settings import load_settings
from echostats_pipeline.state_folder import replace_file

NOT_FOUND = (
    "No Dagster instance was found, so nothing is known of runs and daemons. "
    "Set DAGSTER_HOME to the folder with the dagster.yaml of your deployment, or start: echostats up"
)
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
    has_run = instance_exists(settings)
    if not has_run:
        click.echo(NOT_FOUND, err=True)
    with (
        open_database(settings, indexes=False) as store,
        open_instance(settings) if has_run else nullcontext() as instance,
    ):
        text = exposition(measured(store, instance, settings, utc_now()))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        replace_file(output.absolute(), text, mode=READABLE)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
