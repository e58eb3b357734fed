"""``echostats backfill``: rebuilds days of some or all users from the history, in as few runs as possible."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from echostats_pipeline.cli.imports import rebuild_snapshots
from echostats_pipeline.cli.instance import RunFailedError, Runner, open_pipeline
from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.run_requests import rectangles
from echostats_pipeline.orchestration.partitions import EARLIEST, last_day
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.settings import load_settings
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import DayWindow, local_date

PIPED_WIDTH = 200
"""Width in characters of a table without a terminal, so that no cell is cut."""
COUNTS = ("days", "plays_read", "documents_written")
INTERRUPTED = (
    "Interrupted. The jobs of the run are marked failed, and days that were built stay; "
    "the same command again completes the rest."
)


class Day(click.ParamType[date]):
    """A command-line option that takes a calendar date with a partition."""

    name = "date"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Return the date that an option's text means."""
        last = last_day(utc_now())
        try:
            day = date.fromisoformat(value)
        except ValueError:
            day = None
        if day is None or value != day.isoformat():
            self.fail(f"{value!r} is not a date; write it like {last}.", param, ctx)
        if not EARLIEST <= day <= last:
            self.fail(f"There is no day {value}; days go from {EARLIEST} to {last}, tomorrow included.", param, ctx)
        return day


@dataclass(frozen=True)
class BackfillRequest:
    """A user and the days to rebuild for them."""

    user: User
    days: DayWindow


@dataclass(frozen=True)
class BackfillResult:
    """A run of this command: its users, by partition key, and the reason of its failure if it failed."""

    users: Collection[str]
    run_id: str
    problem: str = ""


@click.command()
@click.option("--from", "first", type=Day(), metavar="YYYY-MM-DD", help="First day; a user's first play by default.")
@click.option("--to", "last", type=Day(), metavar="YYYY-MM-DD", help="Last day; a user's last play by default.")
@click.option("--user", "names", multiple=True, help="Partition key, display name or Spotify id; may be repeated.")
@click.option("--no-snapshots", is_flag=True, help="Leave the statistics of periods as they are.")
def backfill(first: date | None, last: date | None, names: Sequence[str], no_snapshots: bool) -> None:
    """Rebuild a range of days from the listening history, for the users named or for all users.

    Days are each user's own. One run builds a range of one user, or of users with the same range who were added one
    after the other. The command does not call Spotify, and does not write days that have not changed.
    """
    if first and last and first > last:
        raise click.UsageError(f"--from {first} is after --to {last}; exchange them.")
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    settings = load_settings()
    with open_pipeline(settings) as (store, instance):
        asked = asked_of(store, first, last, names)
        runner = Runner(instance, store, settings, console)
        runner.first_day(first)
        for each in asked:
            runner.add_user(each.user)
        try:
            ran = build_days(runner, asked, instance.get_dynamic_partitions("users"))
            snapshots = [] if no_snapshots else refresh_snapshots(runner, asked, ran)
        except KeyboardInterrupt:
            click.echo(INTERRUPTED, err=True)
            raise
        console.print(outcome_table(store, asked, [*ran, *snapshots]))
    click.echo("To look at them: echostats up, then daily_rollups under Assets; runs are under Runs by these ids.")
    if problems := [run.problem for run in (*ran, *snapshots) if run.problem]:
        raise EchostatsError("\n".join(problems))


def asked_of(store: Store, first: date | None, last: date | None, names: Sequence[str]) -> list[BackfillRequest]:
    """Days to rebuild per user, in the order users were added. If none is named: of all users with plays in the range.

    Raises:
        NotFoundError: a named user does not exist.
        EchostatsError: a named user has no plays in the range, or no user has.
    """
    named = {store.users.find(name).user_id for name in names}
    asked, without = [], []
    for user in store.users.all():
        if named and user.user_id not in named:
            continue
        try:
            asked.append(BackfillRequest(user, days_of(user, store.users.history_span(user.user_id), first, last)))
        except EchostatsError as error:
            if names:
                raise
            without.append(str(error))
    if not asked:
        raise EchostatsError(" ".join(without) or "There are no users yet. Connect one with: echostats connect")
    for reason in without:
        click.echo(f"Left out: {reason}")
    return asked


def days_of(user: User, span: tuple[datetime, datetime] | None, first: date | None, last: date | None) -> DayWindow:
    """The days from `first` to `last`. A None is replaced by the first or last day of the user's own history.

    Args:
        user: The user.
        span: When their first and last play ended; None without plays.
        first: First day requested.
        last: Last day requested, included.

    Raises:
        EchostatsError: there are no days in that range; says what to do.
    """
    if span is None:
        raise EchostatsError(f"{user.partition_key} has no plays. Sync the user, or import a history, first.")
    began, ended = (local_date(instant, ZoneInfo(user.timezone)) for instant in span)
    window = DayWindow(first or began, last or min(ended, last_day(utc_now())))
    if window.first > window.last:
        raise EchostatsError(
            f"{user.partition_key} has plays from {began} to {ended} only. Give both --from and --to, or another date."
        )
    return window


def build_days(runner: Runner, asked: Sequence[BackfillRequest], order: Sequence[str]) -> list[BackfillResult]:
    """Rebuild the days of all requested users in as few runs as possible."""
    ran, since = [], runner.first_day()
    names = {each.user.partition_key: each.user.display_name or each.user.partition_key for each in asked}
    for rectangle in rectangles({each.user.partition_key: each.days for each in asked}, order):
        whose = names[rectangle.users[0]] if len(rectangle.users) == 1 else plural(len(rectangle.users), "user")
        title = f"Building {plural(rectangle.days.length, 'day')} of {whose}"
        ran.append(outcome_of(rectangle.users, partial(runner.run, title, "rollup_build", tags=rectangle.tags(since))))
    return ran


def refresh_snapshots(
    runner: Runner, asked: Iterable[BackfillRequest], ran: Iterable[BackfillResult]
) -> list[BackfillResult]:
    """Rebuild the snapshots of all users whose days were built."""
    built = {key for run in ran if not run.problem for key in run.users}
    users = [each.user for each in asked if each.user.partition_key in built]
    return [outcome_of([user.partition_key], partial(rebuild_snapshots, runner, user)) for user in users]


def outcome_of(users: Collection[str], run: Callable[[], str]) -> BackfillResult:
    """Execute a run. If it fails, the next run is still executed."""
    try:
        return BackfillResult(users, run())
    except RunFailedError as failure:
        return BackfillResult(users, failure.run_id, str(failure))


def outcome_table(store: Store, asked: Iterable[BackfillRequest], ran: Iterable[BackfillResult]) -> Table:
    """A table of what was rebuilt for each user, and in which runs."""
    numbers = [Column(name, justify="right") for name in ("days", "plays", "documents\nchanged")]
    table = Table(
        Column("user", overflow="fold"), "from", "to", *numbers, "", Column("runs", overflow="fold"), box=None
    )
    for each in asked:
        key = each.user.partition_key
        runs = [run for run in ran if key in run.users]
        jobs = [job for run in runs for job in store.jobs.of_run(run.run_id) if job.user_id == each.user.user_id]
        counts = next((step.counts for job in jobs for step in job.steps if COUNTS[0] in step.counts), {})
        said = (f"{counts[name]:,}" if counts else "" for name in COUNTS)
        outcome = "failed" if any(run.problem for run in runs) else "completed"
        ids = "\n".join(run.run_id for run in runs)
        table.add_row(Text(key), str(each.days.first), str(each.days.last), *said, outcome, ids)
    return table
