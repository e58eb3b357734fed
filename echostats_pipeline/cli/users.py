"""``echostats users``: lists connected users and the time left of their consent, and changes a user's settings."""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from echostats_pipeline.accounts.consent import EXPIRES_SOON, URGENT, consent_left, move_days, resume
from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.lazy import LazyGroup, ListedCommand
from echostats_pipeline.cli.options import checked_timezone
from echostats_pipeline.errors import APP_FAMILY
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring.api_usage import calls_made
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.report.public import close_link, open_link
from echostats_pipeline.report.reads import ReportStore
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.stages.library_progress import libraries
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store

PIPED_WIDTH = 200
"""Width in characters of a table without a terminal, so that no cell is cut."""
STATUS_STYLES = {"active": "green", "paused": "yellow", "needs_reauth": "bold red"}
UNITS = ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min"))
ELSEWHERE = {
    "remove": ListedCommand(
        "remove",
        "users_remove",
        "Remove a user and all their data, as `echostats remove --user USER` does.",
    )
}

user_argument = click.argument("name", metavar="USER")


@click.group(cls=LazyGroup, listed=ELSEWHERE, invoke_without_command=True)
@click.pass_context
def users(context: click.Context) -> None:
    """List the users and the calls to Spotify, or change a user, named by key, display name or Spotify id."""
    if context.invoked_subcommand is not None:
        return
    settings, now, console = load_settings(), utc_now(), Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    with open_database(settings) as store:
        known = store.users.all()
        console.print(users_table(store, known, now))
        reasons = [
            f"{user.partition_key} is {user.status}: {user.status_reason}" for user in known if user.status_reason
        ]
        libraries = libraries_lines(store, known, settings.daily_calls, now)
        histories = history_lines(store, known, settings.min_play_ms)
        for line in [
            *reasons,
            *sharing_lines(settings, known),
            *histories,
            *libraries,
            *calls_lines(store, settings.daily_calls, now),
        ]:
            console.print(line, highlight=False, markup=False)


@users.command()
@user_argument
def pause(name: str) -> None:
    """Stop syncing a user until they are resumed. All stored data stays."""
    with open_database(load_settings()) as store:
        user = store.users.find(name)
        if user.status == "needs_reauth":
            click.echo(f"{user.partition_key} is not synced anyway: the account has to be connected again.")
            return
        store.users.set_status(user.user_id, "paused")
    click.echo(f"Paused {user.partition_key}. Spotify keeps 50 plays only: what is played meanwhile may be lost.")


@users.command("resume")
@user_argument
def resume_user(name: str) -> None:
    """Sync a paused user again."""
    with open_database(load_settings()) as store:
        user = store.users.find(name)
        resume(store, user)
    click.echo(f"Resumed {user.partition_key}.")


@users.command()
@user_argument
@click.argument("zone", callback=checked_timezone)
def timezone(name: str, zone: str) -> None:
    """Change a user's time zone to another IANA zone. All existing days are rebuilt."""
    with open_database(load_settings()) as store:
        user = store.users.find(name)
        days = move_days(store, user, zone)
    click.echo(f"The days of {user.partition_key} begin in {zone} from now on (before: {user.timezone}).")
    if days is not None:
        click.echo(f"Every day from {days.first} to {days.last} waits for a rebuild; `echostats up` does it by itself.")


@users.command()
@user_argument
@click.argument("answer", type=click.Choice(["on", "off"]))
def sharing(name: str, answer: str) -> None:
    """Decide whether a user's plays may serve recommendations for other users of this installation.

    By default, real users do not share their plays, and simulated users do.
    """
    with open_database(load_settings()) as store:
        user = store.users.find(name)
        store.users.set_sharing(user.user_id, shares=answer == "on")
        if answer == "off":
            store.recommendations.forget_shared(user.user_id)
    if answer == "on":
        click.echo(f"The plays of {user.partition_key} may serve others from the next nightly run on.")
    else:
        click.echo(
            f"The plays of {user.partition_key} serve nobody else. Lists of others were deleted; every night "
            "makes them again."
        )


@users.command()
@user_argument
@click.argument("answer", type=click.Choice(["on", "off"]))
def comparing(name: str, answer: str) -> None:
    """Decide whether a user is compared, in reports, with other users who also agree. By default nobody is."""
    with open_database(load_settings()) as store:
        user = store.users.find(name)
        store.users.set_comparing(user.user_id, compares=answer == "on")
    if answer == "on":
        click.echo(f"The next reports compare {user.partition_key} with every other user who agrees.")
    else:
        click.echo(f"The next reports compare {user.partition_key} with nobody. Reports are made again every night.")


@users.command()
@user_argument
@click.argument("answer", type=click.Choice(["on", "off", "renew"]))
def publish(name: str, answer: str) -> None:
    """Give a user's files a link, take it back, or replace it: `echostats up --public-port` serves them below it.

    Served are the reports, recaps, summary.json, badge.svg and feed.xml. By default nobody has a link.
    """
    settings = load_settings()
    folder = StateFolder(settings.home).ensure()
    with open_database(settings) as store:
        key = store.users.find(name).partition_key
    if answer == "off":
        had = close_link(folder, key)
        click.echo(f"The files of {key} {'have no link any more' if had else 'had no link'}.")
        return
    token = open_link(folder, key, new=answer == "renew")
    click.echo(f"The files of {key} are below this path while `echostats up --public-port 8080` runs:", err=True)
    click.echo(f"/{token}/")
    click.echo(f"For example: http://127.0.0.1:8080/{token}/summary.json. Whoever knows it can read them.", err=True)


def users_table(store: Store, known: Iterable[User], now: datetime) -> Table:
    """A table of all users: key, name, status, zone, last sync, days until the consent ends, plays."""
    plays = Column("plays", justify="right")
    table = Table(Column("user", no_wrap=True), "name", "status", "zone", "last sync", "consent", plays)
    for user in known:
        table.add_row(
            user.partition_key,
            Text(user.display_name or user.spotify_id),
            Text(user.status, STATUS_STYLES[user.status]),
            user.timezone,
            f"{_duration(now - user.last_synced_at)} ago" if user.last_synced_at else "never",
            consent_text(user, now),
            f"{store.users.plays_stored(user.user_id):,}",
        )
    return table


def consent_text(user: User, now: datetime) -> Text:
    """Days until a user's consent ends, flagged if it must be renewed soon."""
    left = consent_left(user, now)
    if user.status == "needs_reauth" or (left is not None and left <= timedelta(0)):
        return Text("ended: connect again", "bold red")
    if left is None:
        return Text("end unknown")
    days = plural(math.ceil(left / timedelta(days=1)), "day")
    if left <= URGENT:
        return Text(f"{days} !! connect again now", "bold red")
    return Text(f"{days} ! connect again soon", "yellow") if left <= EXPIRES_SOON else Text(days)


def libraries_lines(store: Store, known: Iterable[User], daily_calls: int, now: datetime) -> list[str]:
    """One line of progress for each user whose library is not completely read."""
    return [
        f"The library of {user.partition_key} is being read: {'; '.join(each.text for each in found)}"
        for user, found in libraries(store, known, daily_calls, now)
        if any(each.is_known for each in found) and not all(each.is_complete for each in found)
    ]


def history_lines(store: Store, known: Iterable[User], min_play_ms: int) -> list[str]:
    """For each user: number of plays that do not count, and number of days without any source."""
    reads, lines = ReportStore(store.db), []
    for user in known:
        if short := reads.short_plays(user.user_id, None):
            seconds = f"{min_play_ms / 1000:g} s"
            lines.append(f"{user.partition_key}: {plural(short, 'play')} under {seconds} are kept and not counted.")
        unknown = [gap for gap in reads.open_gaps(user.user_id) if gap.kind == "unknown"]
        if days := sum((gap.to - gap.from_).days for gap in unknown):
            lines.append(f"{user.partition_key}: {plural(days, 'day')} are covered by no import and no sync.")
    return lines


def sharing_lines(settings: Settings, known: Iterable[User]) -> list[str]:
    """One line about the users whose plays serve others; none while recommendations are off."""
    if not settings.recommends:
        return []
    sharing = ", ".join(user.partition_key for user in known if user.shares)
    return [f"Plays that serve recommendations for others: {f'those of {sharing}' if sharing else 'none'}."]


def calls_lines(store: Store, daily_calls: int, now: datetime) -> list[str]:
    """One line with the calls of the last 24 hours by family against the budget, then one line per waiting family."""
    made = calls_made(store, daily_calls, now)
    counts = [
        f"{each.family} {each.calls:,}{'' if each.budget is None else f'/{each.budget:,}'}"
        for each in made
        if each.calls
    ]
    waits = [
        f"{'Everything' if each.family == APP_FAMILY else each.family} waits until "
        f"{each.waits_until:%Y-%m-%d %H:%M} UTC: {each.reason}"
        for each in sorted(made, key=lambda each: each.family)
        if each.waits_until is not None
    ]
    return [f"Calls in the last 24 hours: {', '.join(counts) or 'none'}", *(waits or ["Nothing waits."])]


def _duration(span: timedelta) -> str:
    """The span in the largest unit that fits."""
    return next((f"{span // unit} {name}" for unit, name in UNITS if span >= unit), "less than 1 min")
