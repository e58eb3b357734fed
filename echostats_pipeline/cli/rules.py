"""``echostats rules``: lists, tries, adds and removes rules of a user."""

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from echostats_pipeline.accounts.rules_file import exported_of, read_rules
from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.lazy import LazyGroup
from echostats_pipeline.cli.options import user_option
from echostats_pipeline.errors import RuleError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.rules import Rule
from echostats_pipeline.model.users import User
from echostats_pipeline.report.formatting import duration, plural
from echostats_pipeline.settings import load_settings
from echostats_pipeline.stages.rule_wishes import Conditions, Wishes
from echostats_pipeline.stages.rules import RuleBook, RuleEffect, RuleTotals
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.rule_texts import described, left_out_text

PIPED_WIDTH = 200
"""Width in characters of a table without a terminal, so that no cell is cut."""
FEW_DAYS = 5
"""Most days that are named one by one."""

Act = Callable[[Wishes], Rule]


@dataclass(frozen=True)
class Request:
    """Whose rule it is, whether to add it or to try it, the note, and whether to rebuild at once."""

    adds: bool
    user: str | None
    note: str = ""
    now: bool = False


class _Unseen:
    """Does not show progress; satisfies `stages.Progress`."""

    def expect(self, items: int) -> None:
        """Do nothing."""

    def advance(self, items: int) -> None:
        """Do nothing."""


class KindGroup(click.Group):
    """A group that also takes the names that kinds have in the database: ``same_song``."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a kind."""
        return super().get_command(ctx, cmd_name.replace("_", "-"))


rule_user_option = user_option("User of the rule")
note_option = click.option("--note", default="", help="Why you make the rule, for yourself.")
now_option = click.option("--now", is_flag=True, help="Rebuild at once what waits for it.")


@click.group(cls=LazyGroup)
def rules() -> None:
    """List, try, add and remove rules of a user: what statistics leave out, join, keep apart or call otherwise."""


@rules.group(cls=KindGroup)
@rule_user_option
@note_option
@now_option
@click.pass_context
def add(context: click.Context, name: str | None, note: str, now: bool) -> None:
    """Add a rule. The statistics follow with the next run, or at once with --now; the history stays as it is."""
    context.obj = Request(adds=True, user=name, note=note, now=now)


@rules.group(cls=KindGroup)
@rule_user_option
@click.pass_context
def preview(context: click.Context, name: str | None) -> None:
    """Say what a rule would change, and change nothing."""
    context.obj = Request(adds=False, user=name)


def _of_a_kind(command: Callable[..., Act]) -> Callable[..., Act]:
    """Make `add` and `preview` take a kind of rule; the options of these groups may also follow the kind."""
    arguments: list[click.Parameter] = getattr(command, "__click_params__", [])[::-1]
    options = {add: (rule_user_option, note_option, now_option), preview: (rule_user_option,)}

    @click.pass_obj
    def run(request: Request, /, name: str | None, **given: Any) -> None:
        note, now = given.pop("note", ""), given.pop("now", False)
        asked = replace(request, user=name or request.user, note=note or request.note, now=now or request.now)
        _carry_out(asked, command(**given))

    for group, shared in options.items():
        made = click.Command(
            command.__name__.replace("_", "-"), params=[*arguments], callback=run, help=inspect.getdoc(command)
        )
        for option in shared:
            option(made)
        group.add_command(made)
    return command


class Day(click.ParamType[date]):
    """An option that takes a calendar date."""

    name = "date"

    def convert(self, value: str | date, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Return the date that an option's text means."""
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a date; write it like 2025-12-24.", param, ctx)


@_of_a_kind
@click.option("--artist", default="", help="Primary artist: link, id or name.")
@click.option("--album", default="", help="Album: link, id or name.")
@click.option("--track", "tracks", multiple=True, help="Track: link, id or title; may be repeated for any of several.")
@click.option(
    "--playlist",
    "--context",
    "context",
    default="",
    help="Playlist: link, id or name; or the link of an album or artist.",
)
@click.option("--hours", default="", metavar="FROM-TO", help="Hours of the local day, also across midnight: 23-7.")
@click.option("--weekdays", default="", metavar="DAYS", help="Days of the local week: sat,sun or mon-fri.")
@click.option("--from", "from_date", type=Day(), metavar="YYYY-MM-DD", help="First local date.")
@click.option("--to", "to_date", type=Day(), metavar="YYYY-MM-DD", help="Last local date.")
@click.option(
    "--private", "private_session", is_flag=True, help="Plays of private sessions, which only exports report."
)
def exclude(**conditions: Any) -> Act:
    """Leave out plays for which all conditions hold."""
    return lambda wishes: wishes.exclude(Conditions(**conditions))


@_of_a_kind
@click.argument("tracks", nargs=-1, required=True)
def same_song(tracks: Sequence[str]) -> Act:
    """Count tracks as one song: links, ids or titles."""
    return lambda wishes: wishes.same_song(tracks)


@_of_a_kind
@click.argument("tracks", nargs=-1, required=True)
def different(tracks: Sequence[str]) -> Act:
    """Never count tracks as one song: links, ids or titles."""
    return lambda wishes: wishes.different(tracks)


@_of_a_kind
@click.argument("artists", nargs=-1, required=True)
def same_artist(artists: Sequence[str]) -> Act:
    """Count artists as one: links, ids or names."""
    return lambda wishes: wishes.same_artist(artists)


@_of_a_kind
@click.option("--artist", default="", help="Artist: link, id or name.")
@click.option("--album", default="", help="Album: link, id or name.")
@click.option("--track", default="", help="Track: link, id or title.")
@click.argument("shown_name", metavar="NAME")
def rename(shown_name: str, **items: str) -> Act:
    """Show an artist, an album or a track under another NAME."""
    given: list[tuple[Literal["track", "artist", "album"], str]] = [
        (what, items[what]) for what in ("artist", "album", "track") if items[what]
    ]
    if len(given) != 1:
        raise click.UsageError("Give one of --artist, --album and --track, then the new name.")
    what, typed = given[0]
    return lambda wishes: wishes.rename(what, typed, shown_name)


@rules.command("list")
@click.option("--user", "name", help="User whose rules to list; all users by default.")
@click.option("--json", "as_json", is_flag=True, help="Print the rules as JSON.")
def list_rules(name: str | None, as_json: bool) -> None:
    """List rules, and how many plays each leaves out."""
    with open_database(load_settings()) as store:
        books = [_book(store, user) for user in ([store.users.find(name)] if name else store.users.all())]
        every = [(book, rule, book.store.rules.left_out(book.user.user_id)) for book in books for rule in book.rules]
        if as_json:
            click.echo(json.dumps([_as_json(*each) for each in every], indent=2, ensure_ascii=False))
        elif every:
            console = Console()
            if not console.is_terminal:
                console.width = PIPED_WIDTH
            console.print(_table(every))
            for book in books:
                if waiting := book.store.marks.pending_days(book.user.user_id):
                    verb = _waits(waiting)
                    click.echo(f"{plural(len(waiting), 'day')} of {book.user.partition_key} {verb} for a rebuild.")
        else:
            click.echo("There are no rules. Try one with: echostats rules preview --help")


@rules.command()
@click.argument("rule_id", metavar="ID")
@rule_user_option
@now_option
def remove(rule_id: str, name: str | None, now: bool) -> None:
    """Remove a rule: the statistics become as if it had never been there. The end of its ID is enough."""
    with _book_of(name) as book:
        rule = book.named(rule_id)
        text = _in_words(book, rule)
        days = book.remove(rule)
        click.echo(f"Removed the rule {rule.rule_id}: {text}.")
        _say_what_follows(book, days, now=now)


@rules.command("import")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@user_option("User who gets the rules")
@now_option
def import_rules(path: Path, name: str | None, now: bool) -> None:
    """Add the rules in a folder that `echostats export` wrote, or in its rules.jsonl.

    Rules that name nothing in the history are left out, unless the export is of the same user: then the history may
    still follow.
    """
    with _book_of(name) as book:
        days, added, refused, early = set[date](), 0, 0, 0
        wishes, is_restore = Wishes(book), exported_of(path) == book.user.spotify_id
        for rule in read_rules(path, book.user.user_id):
            unknown = wishes.unknown(rule)
            reason = "" if is_restore else unknown
            if not reason:
                try:
                    _, touched = replace(book).add(rule)  # a new book, which has the rules before this one
                    days |= touched
                except RuleError as error:
                    reason = str(error)
            added, refused = added + (not reason), refused + bool(reason)
            early += bool(unknown) and not reason
            if reason:
                click.echo(f"Left out: {_in_words(book, rule)}. {reason}")
        click.echo(f"Added {plural(added, 'rule')}{f', left out {refused:,}' if refused else ''}.")
        if early:
            verb = "names" if early == 1 else "name"
            click.echo(f"{early:,} of them {verb} nothing in the history yet. They wait for it.")
        if added:
            _say_what_follows(book, days, now=now)


@contextmanager
def _book_of(name: str | None) -> Iterator[RuleBook]:
    with open_database(load_settings()) as store:
        yield _book(store, store.users.find(name))


def _book(store: Store, user: User) -> RuleBook:
    settings = load_settings()
    return RuleBook(store, user, settings.min_play_ms, settings.same_recording)


def _carry_out(request: Request, act: Act) -> None:
    """Add the rule that the options mean, or say what it would change."""
    with _book_of(request.user) as book:
        wishes = Wishes(book, request.note)
        rule = act(wishes)
        text = _in_words(book, rule)
        if not request.adds:
            book.check(rule)
            click.echo(f"This rule would {text}.")
            _show(book, rule, book.effect(rule))
            return
        stored, days = book.add(rule)
        click.echo(f"Added the rule {stored.rule_id}: {text}.")
        _say_what_follows(book, days, now=request.now)


def _show(book: RuleBook, rule: Rule, effect: RuleEffect) -> None:
    if rule.exclude is not None:
        on = f" on {plural(len(effect.days), 'day')}" if effect.plays else ""
        click.echo(f"It leaves out {plural(effect.plays, 'play')}{on}.")
    before, after = effect.before, effect.after
    table = Table(
        Column("all time"), Column("now", justify="right"), Column("with the rule", justify="right"), box=None
    )
    table.add_row("plays", f"{before.plays:,}", f"{after.plays:,}")
    table.add_row("listening time", duration(before.ms), duration(after.ms))
    table.add_row("plays left out", f"{before.excluded_plays:,}", f"{after.excluded_plays:,}")
    for kind in ("artists", "tracks"):
        for rank in range(max(len(_ranked(before, kind)), len(_ranked(after, kind)))):
            table.add_row(
                f"top {kind}" if rank == 0 else "", *(_entry(totals, kind, rank) for totals in (before, after))
            )
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table)
    click.echo(f"Nothing was changed. To add the rule, write add instead of preview for {book.user.partition_key}.")


def _ranked(totals: RuleTotals, kind: str) -> Sequence[Any]:
    return totals.artists if kind == "artists" else totals.tracks


def _entry(totals: RuleTotals, kind: str, rank: int) -> Text:
    ranked = _ranked(totals, kind)
    return Text(f"{ranked[rank].name or 'Unnamed'} {ranked[rank].plays:,}" if rank < len(ranked) else "")


def _say_what_follows(book: RuleBook, days: set[date], *, now: bool) -> None:
    """Say what waits for a rebuild; or rebuild it, with the days that wait for other reasons."""
    if now:
        days |= book.store.marks.pending_days(book.user.user_id)
        snapshot = book.rebuild(days, utc_now(), _Unseen())
        rebuilt = _named_days(days) or "the statistics of all periods"
        left_out = left_out_text(snapshot["excluded_plays"], len(snapshot["excluded_by"]))
        click.echo(f"Rebuilt {rebuilt}{f': {left_out}' if left_out else ''}.")
    elif days:
        said = f"{_named_days(days)} {_waits(days)} for a rebuild."
        click.echo(f"{said} `echostats up` does it by itself; --now does it at once.")
    else:
        click.echo(
            "No day changes. The statistics of periods follow with the next run: `echostats up` does it by itself; "
            "--now does it at once."
        )


def _waits(days: set[date]) -> str:
    return "waits" if len(days) == 1 else "wait"


def _named_days(days: set[date]) -> str:
    if not days:
        return ""
    if len(days) <= FEW_DAYS:
        return ", ".join(str(day) for day in sorted(days))
    return f"{plural(len(days), 'day')} from {min(days)} to {max(days)}"


def _in_words(book: RuleBook, rule: Rule) -> str:
    return described(rule, Wishes(book).names_in(rule))


def _table(every: Sequence[tuple[RuleBook, Rule, dict[str, int]]]) -> Table:
    table = Table(
        Column("user", no_wrap=True),
        Column("id", no_wrap=True),
        "rule",
        Column("plays left out", justify="right"),
        Column("since", no_wrap=True),
        "note",
    )
    for book, rule, left_out in every:
        plays = f"{left_out.get(rule.rule_id, 0):,}" if rule.exclude is not None else ""
        table.add_row(
            book.user.partition_key,
            rule.rule_id,
            Text(_in_words(book, rule)),
            plays,
            f"{rule.created_at:%Y-%m-%d}",
            Text(rule.note),
        )
    return table


def _as_json(book: RuleBook, rule: Rule, left_out: dict[str, int]) -> dict[str, Any]:
    content = rule.model_dump(mode="json", exclude={"id", "user_id"}, exclude_none=True)
    return {
        "id": rule.rule_id,
        "user": book.user.partition_key,
        **content,
        "excluded_plays": left_out.get(rule.rule_id, 0),
        "text": _in_words(book, rule),
    }
