"""The reference of the command line, as Markdown, from click."""

import inspect
from collections.abc import Iterator

import click

from echostats_pipeline.cli.main import echostats
from echostats_pipeline_tests.docs.tables import table


def commands() -> str:
    """Every command with its arguments and options."""
    return "\n\n".join(_section(path, command) for path, command in walk(echostats, "echostats"))


def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it by name, each with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = _context(command, path)
        for name in sorted(command.list_commands(context)):
            below = command.get_command(context, name)
            assert below is not None
            yield from walk(below, f"{path} {name}")


def _section(path: str, command: click.Command) -> str:
    usage = " ".join([path, *command.collect_usage_pieces(_context(command, path))])
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    rows = [(f"`{_name(option)}`", _meaning(option)) for option in options if not option.hidden]
    paragraphs = [f"### {path}", f"```text\n{usage}\n```", inspect.cleandoc(command.help or "")]
    return "\n\n".join([*paragraphs, *([table(("option", "meaning"), rows)] if rows else [])])


def _context(command: click.Command, path: str) -> click.Context:
    """A context as the command line makes it: a command keeps the help option of its first one."""
    return click.Context(command, info_name=path, help_option_names=["-h", "--help"])


def _name(option: click.Option) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    return names if option.is_flag else f"{names} {option.metavar or _kind(option.type)}"


def _kind(kind: click.ParamType) -> str:
    if isinstance(kind, click.Path):
        return "PATH"
    return "NUMBER" if isinstance(kind, click.types.IntParamType) else "TEXT"


def _meaning(option: click.Option) -> str:
    said = [(option.help or "").rstrip(".") + "."]
    if option.required:
        said.append("Required.")
    elif not option.is_flag and isinstance(option.default, int | str) and option.default != "":
        said.append(f"Default: `{option.default}`.")
    if isinstance(option.type, click.Choice):
        said.append(f"One of {', '.join(f'`{choice}`' for choice in option.type.choices)}.")
    if isinstance(option.type, click.IntRange):
        low, high = option.type.min, option.type.max
        said.append(f"{low} to {high}." if high is not None else f"{low} or more.")
    return " ".join(said)
