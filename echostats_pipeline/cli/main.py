"""The root of ``echostats`` and the one place where errors become messages and exit codes."""

import sys

import click
from pymongo.errors import PyMongoError

from echostats_pipeline import __version__
from echostats_pipeline.cli.alerts import alerts
from echostats_pipeline.cli.backfill import backfill
from echostats_pipeline.cli.connect import connect
from echostats_pipeline.cli.demo import demo
from echostats_pipeline.cli.doctor import doctor
from echostats_pipeline.cli.export import export
from echostats_pipeline.cli.history import import_history
from echostats_pipeline.cli.indexes import indexes
from echostats_pipeline.cli.keys import keys
from echostats_pipeline.cli.metrics import metrics
from echostats_pipeline.cli.mongo import mongo
from echostats_pipeline.cli.remove import remove
from echostats_pipeline.cli.report import report
from echostats_pipeline.cli.simulate import simulate
from echostats_pipeline.cli.up import up
from echostats_pipeline.cli.users import users
from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.storage.mongo_errors import explanation

INTERRUPTED = 130


@click.group()
@click.version_option(__version__)
def echostats() -> None:
    """Self-hosted Spotify listening statistics: from recently played to daily rollups and snapshots in MongoDB."""


for command in (
    demo,
    up,
    connect,
    users,
    import_history,
    export,
    remove,
    backfill,
    report,
    keys,
    mongo,
    indexes,
    alerts,
    doctor,
    metrics,
    simulate,
):
    echostats.add_command(command)


def main() -> None:
    """Run the command line; exits 1 after an error with a message, 130 after Ctrl-C."""
    try:
        echostats(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EchostatsError as error:
        click.secho(f"Error: {error}", fg="red", err=True)
        sys.exit(1)
    except PyMongoError as error:
        click.secho(f"Error: {explanation(error)}", fg="red", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
