"""The root of ``echostats``, where errors become messages and exit codes."""

import sys
from typing import TYPE_CHECKING

import click

from echostats_pipeline import __version__
from echostats_pipeline.cli.lazy import LazyGroup, ListedCommand
from echostats_pipeline.errors import EchostatsError

if TYPE_CHECKING:
    from pymongo.errors import PyMongoError

INTERRUPTED = 130

COMMANDS = {
    "demo": ListedCommand(
        "demo_start",
        "demo",
        "Fill the database from a simulated Spotify: three users, three years of history, every statistic.",
    ),
    "up": ListedCommand(
        "faces", "up", "Run everything in the foreground: database, Dagster UI, sensors and schedules."
    ),
    "connect": ListedCommand(
        "connect",
        "connect",
        "Connect a Spotify account, or renew its consent: opens Spotify's page in the browser and waits for you.",
    ),
    "users": ListedCommand(
        "users",
        "users",
        "List the users and the calls to Spotify, or change a user, named by key, display name or Spotify id.",
    ),
    "import": ListedCommand(
        "faces",
        "import_history",
        "Import listening histories: zips as Spotify sends them, folders, or single files.",
    ),
    "export": ListedCommand(
        "export",
        "export",
        "Write all data stored for a user to a folder: JSON Lines, and the plays as Parquet.",
    ),
    "remove": ListedCommand(
        "remove",
        "remove",
        "Remove a user and all their data: documents, import folder, place in Dagster.",
    ),
    "backfill": ListedCommand(
        "backfill",
        "backfill",
        "Rebuild a range of days from the listening history, for the users named or for all users.",
    ),
    "rules": ListedCommand(
        "rules",
        "rules",
        "List, try, add and remove rules of a user: what statistics leave out, join, keep apart or call otherwise.",
    ),
    "recommend": ListedCommand(
        "recommend",
        "recommend",
        "List songs that a user may like to hear, and why: new ones, and ones to hear again.",
    ),
    "playlist": ListedCommand(
        "playlist",
        "playlist",
        'Make a playlist from words like "rainy sunday, calm, no vocals", and say why each song is in it.',
    ),
    "scrobble": ListedCommand(
        "faces",
        "scrobble",
        "Send a user's plays on to ListenBrainz, Koito, Maloja or multi-scrobbler, now and from then on.",
    ),
    "models": ListedCommand(
        "models",
        "models",
        "Show which models order the recommendations and how they did, or go back to an earlier one.",
    ),
    "warehouse": ListedCommand(
        "warehouse",
        "warehouse",
        "Show and rebuild the copy in PostgreSQL, query it, and give users logins of their own.",
    ),
    "report": ListedCommand(
        "faces",
        "report",
        "Write a listening report: one HTML file that contains everything it shows and needs no network.",
    ),
    "recap": ListedCommand(
        "faces",
        "recap",
        "Write the recap of a year or a month: a page, and with --png cards to share.",
    ),
    "songs": ListedCommand(
        "songs",
        "songs",
        "Show which Spotify ids count as one song.",
    ),
    "genres": ListedCommand(
        "genres",
        "genres",
        "Show for how many artists and plays of a user genres are known, from which source, and the top genres.",
    ),
    "keys": ListedCommand(
        "keys",
        "keys",
        "Show and change the key that encrypts tokens: ENCRYPTION_KEY; former keys are in ENCRYPTION_KEYS_OLD.",
    ),
    "backup": ListedCommand("backup", "backup", "Write all databases and the encryption key to a new file."),
    "restore": ListedCommand("backup", "restore", "Write all databases and the encryption key from a backup."),
    "mongo": ListedCommand("mongo", "mongo", "Show, start and stop the MongoDB server."),
    "indexes": ListedCommand("indexes", "indexes", "Create every declared index that is missing."),
    "alerts": ListedCommand(
        "alerts", "alerts", "Send and list notices of trouble, which go to the addresses in ECHOSTATS_ALERTS."
    ),
    "doctor": ListedCommand("doctor", "doctor", "Check everything that can be wrong and say what to do."),
    "metrics": ListedCommand(
        "metrics",
        "metrics",
        "Print metrics in Prometheus' text form; `echostats up --metrics-port 9464` serves them.",
    ),
    "simulate": ListedCommand(
        "simulate",
        "simulate",
        "Serve a simulated Spotify: sign-in, Web API, and users who listen to music.",
    ),
}

SECTIONS = {
    "Start": ("demo", "up", "connect", "users"),
    "Listen": ("import", "backfill", "rules", "scrobble"),
    "Look": ("report", "recap", "recommend", "playlist", "songs", "genres", "models"),
    "Operate": (
        "doctor",
        "alerts",
        "metrics",
        "backup",
        "restore",
        "export",
        "remove",
        "keys",
        "mongo",
        "indexes",
        "warehouse",
    ),
    "Develop": ("simulate",),
}
"""The commands as the help lists them."""


@click.group(
    cls=LazyGroup, listed=COMMANDS, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__)
def echostats() -> None:
    """Self-hosted Spotify listening statistics: from recently played to daily rollups and snapshots in MongoDB."""


def main() -> None:
    """Run the command line. Exit 1 after an error with a message, 130 after Ctrl-C."""
    try:
        echostats(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EchostatsError as error:
        click.secho(f"Error: {error}", fg="red", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(INTERRUPTED)
    except _database_errors() as error:
        click.secho(f"Error: {_explained(error)}", fg="red", err=True)
        sys.exit(1)


def _database_errors() -> "type[PyMongoError]":
    """Errors of the database driver. Imports the driver, so it is called only after an unknown error."""
    from pymongo.errors import PyMongoError  # noqa: PLC0415

    return PyMongoError


def _explained(error: "PyMongoError") -> str:
    from echostats_pipeline.storage.mongo_errors import explanation  # noqa: PLC0415

    return explanation(error)


if __name__ == "__main__":
    main()
