"""Imports of a command, which decide how fast it starts: Dagster alone takes a second of processor time."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from echostats_pipeline.cli import users
from echostats_pipeline.cli.lazy import LazyGroup, ListedCommand
from echostats_pipeline.cli.main import COMMANDS, SECTIONS
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
        (["up,import,report,recap,scrobble", "--help"], set()),
        (["recap,report", "--year", "99999"], set()),
        (["users,rules", "--help"], {"polars", "pydantic", "pymongo", "requests"}),
        (["mongo", "--help"], {"pydantic", "pymongo"}),
    ],
    ids=["help", "version", "everyday", "usage", "users", "mongo"],
)
def test_a_command_imports_no_more_than_it_needs(arguments: list[str], needed: set[str]) -> None:
    command = [sys.executable, "-c", ASKED, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout or "Invalid value" in ended.stderr
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


def test_help_lists_each_command_once_and_cuts_nothing_off() -> None:
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(COMMANDS)
    assert "`echostats up --metrics-port 9464`" in " ".join(CliRunner().invoke(root, ["-h"]).output.split())
    text = "".join(CliRunner().invoke(root, ["--help"], terminal_width=80).output.split())
    for each in COMMANDS.values():
        assert "".join(each.help.split()) in text


@pytest.mark.parametrize("group", ["users", "rules", "mongo", "keys", "alerts", "songs", "models"])
def test_help_of_a_group_cuts_nothing_off(group: str) -> None:
    text = CliRunner().invoke(root, [group, "--help"], terminal_width=60).output
    assert "..." not in text.partition("Commands:")[2]


def test_a_short_option_asks_for_help() -> None:
    assert CliRunner().invoke(root, ["-h"]).output == CliRunner().invoke(root, ["--help"]).output
    assert CliRunner().invoke(root, ["alerts", "-h"]).exit_code == 0


def test_names_of_commands_are_completed_without_importing_them() -> None:
    @click.group(cls=LazyGroup, listed={"remove": ListedCommand("no_such_module", "remove", "Remove.")})
    def lazy() -> None:
        """Commands."""

    context = click.Context(lazy, info_name="x")
    assert [(item.value, item.help) for item in lazy.shell_complete(context, "re")] == [("remove", "Remove.")]
    assert lazy.shell_complete(context, "no") == []


def test_a_name_that_is_no_command_is_a_fault_of_the_table() -> None:
    with pytest.raises(TypeError, match="is no command"):
        ListedCommand("main", "main", "Not a command.").imported()
