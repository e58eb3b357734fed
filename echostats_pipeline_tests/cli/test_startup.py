"""Imports of a command, which decide how fast it starts: Dagster alone takes a second of processor time."""

import subprocess
import sys

import click
import pytest

from echostats_pipeline.cli import users
from echostats_pipeline.cli.lazy import LazyGroup, ListedCommand
from echostats_pipeline.cli.main import COMMANDS
from echostats_pipeline.cli.main import echostats as root

HEAVY = {"alembic", "apprise", "cryptography", "dagster", "polars", "pydantic", "pymongo", "requests", "sqlalchemy"}
ASKED = """
import contextlib, sys
from echostats_pipeline.cli.main import main
commands, arguments = sys.argv[1].split(","), sys.argv[2:]
try:
    for command in commands:
        sys.argv = ["echostats", command, *arguments]
        with contextlib.suppress(SystemExit):
            main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--help"], set()),
        (["--version"], set()),
        (["users,rules", "--help"], {"polars", "pydantic", "pymongo", "requests"}),
        (["mongo", "--help"], {"pydantic", "pymongo"}),
    ],
    ids=["help", "version", "users", "mongo"],
)
def test_a_command_imports_no_more_than_it_needs(arguments: list[str], needed: set[str]) -> None:
    command = [sys.executable, "-c", ASKED, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout
    assert HEAVY & set(ended.stderr.split()) <= needed


def test_the_commands_listed_are_those_of_their_modules() -> None:
    context = click.Context(root)
    assert root.list_commands(context) == sorted(COMMANDS)
    for group, listed in ((root, COMMANDS), (users.users, users.ELSEWHERE)):
        for name, each in listed.items():
            command = group.get_command(context, name)
            assert command is not None
            assert command.name == name
            assert command.get_short_help_str(limit=1_000) == each.help


def test_help_lists_commands_as_click_does() -> None:
    @click.group(cls=LazyGroup, listed={"remove": users.ELSEWHERE["remove"]})
    def lazy() -> None:
        """Commands."""

    eager = click.Group("lazy", help="Commands.")
    for group in (lazy, eager):
        group.command("about", help="Something that is said at a length for which no line of a list has room.")(int)
    eager.add_command(lazy.commands["remove"])
    width = {"terminal_width": 80}
    assert lazy.get_help(click.Context(lazy, info_name="x", **width)) == eager.get_help(
        click.Context(eager, info_name="x", **width)
    )


def test_a_name_that_is_no_command_is_a_fault_of_the_table() -> None:
    with pytest.raises(TypeError, match="is no command"):
        ListedCommand("main", "main", "Not a command.").imported()
