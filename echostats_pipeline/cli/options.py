"""Options and arguments that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

NAMED_BY = "key, display name or Spotify id, or how one begins"
Command = TypeVar("Command", bound=Callable[..., Any])

yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def user_option(whose: str) -> Callable[[Command], Command]:
    """The option ``--user``; without it, `UserStore.find` takes the only user.

    Args:
        whose: What the user is to the command, for example "User of the report".
    """
    return click.option("--user", "name", help=f"{whose}: {NAMED_BY}. Not needed if there is only one user.")


def checked_timezone(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    """Click callback that returns the name if it is a time zone."""
    from echostats_pipeline.model.users import known_timezone  # noqa: PLC0415 - help needs no model

    try:
        return known_timezone(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
