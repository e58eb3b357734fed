"""Command groups that import a command's module only when it runs: Dagster alone costs a second.

A list of commands needs only their names and helps, which stand beside the module's name.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click


@dataclass(frozen=True)
class ListedCommand:
    """A command whose module is not imported yet.

    Attributes:
        module: The module of `echostats_pipeline.cli` that defines it.
        attribute: Its name there.
        help: The first sentence of its help.
    """

    module: str
    attribute: str
    help: str

    def imported(self) -> click.Command:
        """Import the module and return the command."""
        command = getattr(import_module(f"echostats_pipeline.cli.{self.module}"), self.attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"echostats_pipeline.cli.{self.module}.{self.attribute} is no command")
        return command


class LazyCommands(MutableMapping[str, click.Command]):
    """Commands by name. Looking up a name imports the command."""

    def __init__(self, listed: Mapping[str, ListedCommand]) -> None:
        self._known: dict[str, click.Command | ListedCommand] = {**listed}

    def __getitem__(self, name: str) -> click.Command:
        known = self._known[name]
        if isinstance(known, ListedCommand):
            known = self._known[name] = known.imported()
        return known

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._known[name] = command

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def help_lines(self, width: int) -> list[tuple[str, str]]:
        """Name and short help of each command, in the order of names, without imports."""
        commands = {
            name: click.Command(name, help=known.help) if isinstance(known, ListedCommand) else known
            for name, known in sorted(self._known.items())
        }
        return [(name, command.get_short_help_str(width)) for name, command in commands.items()]


class LazyGroup(click.Group):
    """A group whose commands are imported on use.

    Args:
        listed: These commands by name; others are added as to any group.
    """

    def __init__(self, *arguments: Any, listed: Mapping[str, ListedCommand], **options: Any) -> None:
        self._commands = LazyCommands(listed)
        super().__init__(*arguments, **{**options, "commands": self._commands})

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands as click does. Click's own code would import each."""
        width = formatter.width - 6 - max(map(len, self._commands))
        with formatter.section("Commands"):
            formatter.write_dl(self._commands.help_lines(width))
