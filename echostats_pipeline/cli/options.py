"""Options and arguments that several commands share."""

import click

from echostats_pipeline.model.users import known_timezone

yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def checked_timezone(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    """Click callback that returns the name if it is a time zone."""
    try:
        return known_timezone(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
