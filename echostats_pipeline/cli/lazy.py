"""Command groups that import a command's module only when it runs: Dagster alone costs a second.

A list of commands needs only their names and helps, which stand beside the module's name.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

import click
from click.shell_completion import CompletionItem

UNBROKEN = "\N{NON-BREAKING HYPHEN}"
"""Stands for a hyphen while lines are broken: an option must not end in the middle."""
ALL_OF_IT = 1_000
"""A number of characters that no first sentence exceeds."""


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

    def summaries(self) -> dict[str, str]:
        """The first sentence of each command's help, by name, without imports."""
        return {
            name: known.help if isinstance(known, ListedCommand) else known.get_short_help_str(ALL_OF_IT)
            for name, known in self._known.items()
        }


class LazyGroup(click.Group):
    """A group whose commands are imported on use. Its help shows the first sentence of each command, never cut off.

    Args:
        listed: These commands by name; others are added as to any group.
        sections: Names of commands by the heading under which the help lists them; by default one list of all.
    """

    def __init__(
        self,
        *arguments: Any,
        listed: Mapping[str, ListedCommand] = MappingProxyType({}),
        sections: Mapping[str, Sequence[str]] = MappingProxyType({}),
        **options: Any,
    ) -> None:
        self._commands = LazyCommands(listed)
        self._sections = sections
        super().__init__(*arguments, **{**options, "commands": self._commands})

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands. Click's own code would import each, and cut its help off."""
        summaries = self._commands.summaries()
        for heading, names in (self._sections or {"Commands": sorted(summaries)}).items():
            with formatter.section(heading):
                begin = len(formatter.buffer)
                formatter.write_dl([(name, summaries[name].replace("-", UNBROKEN)) for name in names])
                formatter.buffer[begin:] = [text.replace(UNBROKEN, "-") for text in formatter.buffer[begin:]]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands without importing them."""
        summaries = self._commands.summaries()
        names = [CompletionItem(name, help=text) for name, text in summaries.items() if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]
