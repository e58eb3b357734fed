"""``echostats scrobble``: sends a user's plays on to a service, and remembers the service for the sensor."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime

import click
from pydantic import SecretStr
from rich.console import Console

from echostats_pipeline.accounts.connecting import token_cipher
from echostats_pipeline.accounts.scrobbling import SIMULATED, add_target, target_address, target_of
from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.imports import run_of_user
from echostats_pipeline.cli.instance import Runner, open_pipeline
from echostats_pipeline.cli.simulated import simulated_spotify
from echostats_pipeline.errors import EchostatsError, NotFoundError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.scrobbles import ScrobbleTarget
from echostats_pipeline.model.users import User
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.stages.scrobbles import Scrobbler
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.scrobbles import LISTENBRAINZ

REFUSALS_SHOWN = 10
REASONS: Mapping[str, str] = {
    "impossible_date": "are dated before October 2002, by a device with a wrong clock",
    "in_the_future": "begin in the future, by a device with a wrong clock",
    "without_a_name": "have no name of a song or an artist",
    "from_there": "came from ListenBrainz",
    "too_long": "have names too long for a listen",
}
"""Why plays are not sent, as the end of a sentence."""


def run_scrobble(
    name: str | None, address: str | None, given: str | None, since: datetime | None, *, dry_run: bool, stop: bool
) -> None:
    """Send the plays of the user of that name, or do what else was asked.

    Args:
        name: The user.
        address: The service, as it was typed.
        given: The token of the user there.
        since: The first day whose plays are sent.
        dry_run: Whether to count only.
        stop: Whether to forget the service.
    """
    target = None if address is None else target_address(address)
    token = None if given is None else SecretStr(given)
    settings = load_settings()
    if stop or dry_run:
        with open_database(settings) as store:
            user = store.users.find(name)
            if dry_run:
                _preview(settings, store, user, target, since)
            else:
                _stop(store, user, target or "")
        return
    with open_pipeline(settings) as (store, instance), ExitStack() as stack:
        user = store.users.find(name)
        if settings.simulated and SIMULATED in (
            target,
            *(each.target for each in store.scrobbles.targets(user.user_id)),
        ):
            stack.enter_context(simulated_spotify(settings))
        if target is not None:
            _add(settings, store, user, target, token, since)
        targets = [each for each in store.scrobbles.targets(user.user_id) if target in (None, each.target)]
        _check(user, targets)
        runner = Runner(instance, store, settings, Console())
        runner.add_user(user)
        try:
            run_id = run_of_user(runner, f"Sending plays of {user.display_name}", "scrobble_build", user)
        finally:
            _show_refused(store, targets)
        _show(store, user, targets, run_id)


def spoken(target: str) -> str:
    """Return the address of a target as a person names it."""
    return "the simulated ListenBrainz" if target == SIMULATED else target


def _add(
    settings: Settings, store: Store, user: User, target: str, token: SecretStr | None, since: datetime | None
) -> None:
    """Check a token and store the target."""
    if target == SIMULATED and not (user.simulated and settings.simulated):
        raise EchostatsError("The simulated service is for simulated users. Name a real one with --to.")
    if user.simulated and target == LISTENBRAINZ:
        raise EchostatsError(
            f"{user.partition_key} is simulated. Invented plays do not belong in ListenBrainz, which all people share."
        )
    if token is None:
        try:
            stored = target_of(store, user, target)
        except NotFoundError as error:
            raise click.UsageError("Give the token of the service with --token-file.") from error
        token = SecretStr(token_cipher(settings).decrypt(stored.token_encrypted, user.user_id))
    day = None if since is None else f"{since:%Y-%m-%d}"
    added = add_target(settings, store, user, target=target, token=token, since=day, now=utc_now())
    accepted = f"{spoken(target)} accepts the token of {added.account}. " if added.account else ""
    named = f"{accepted[0].upper()}{accepted[1:]}" if target == SIMULATED and accepted else accepted
    click.echo(f"{named}The token is stored, encrypted; you may delete its file.")


def _check(user: User, targets: Sequence[ScrobbleTarget]) -> None:
    """Check that there is a service that accepts a token."""
    if not targets:
        raise NotFoundError(
            f"Plays of {user.partition_key} are not sent anywhere. Name a service with --to and --token-file."
        )
    if all(each.refusal for each in targets):
        raise EchostatsError(f"Nothing was sent: {targets[0].refusal}")


def _stop(store: Store, user: User, target: str) -> None:
    """Forget a target and its token."""
    store.scrobbles.remove_target(target_of(store, user, target))
    click.echo(
        f"Plays of {user.display_name or user.partition_key} are not sent to {spoken(target)} any more. The token is "
        "deleted. What was sent stays known, so that it is not sent again if you start again."
    )


def _preview(settings: Settings, store: Store, user: User, target: str | None, since: datetime | None) -> None:
    """Say what would be sent."""
    stored = store.scrobbles.targets(user.user_id)
    targets = [each for each in stored if target in (None, each.target)]
    if target is not None and not targets:
        targets = [ScrobbleTarget(user_id=user.user_id, target=target, token_encrypted="")]
    if not targets:
        _check(user, targets)
    for each in targets:
        if since is not None:
            each.since = f"{since:%Y-%m-%d}"
        result = Scrobbler(store, user, each, settings.min_play_ms, utc_now).preview()
        click.echo(f"{plural(result.sent, 'play')} would be sent to {spoken(each.target)}.")
        _show_left_out(result.left_out)


def _show(store: Store, user: User, targets: Sequence[ScrobbleTarget], run_id: str) -> None:
    """Say what a run has sent, and what it left out."""
    counts: Counter[str] = Counter()
    waits = ""
    for job in store.jobs.of_run(run_id):
        for step in job.steps:
            counts.update(step.counts)
            if step.status == "pending" or step.detail.startswith("Waiting"):
                waits = step.detail.rstrip(".")
    where = " and ".join(spoken(each.target) for each in targets)
    who = user.display_name or user.partition_key
    click.echo(f"Sent {plural(counts['sent'], 'play')} of {who} to {where}.")
    if waits:
        click.echo(f"{waits}. `echostats up` sends the rest, or run the command again.")
    prefix = "not_sent_"
    left_out = {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}
    _show_left_out(left_out)


def _show_left_out(left_out: Mapping[str, int]) -> None:
    for reason, count in sorted(left_out.items()):
        click.echo(f"Not sent: {plural(count, 'play')} that {REASONS[reason]}.")


def _show_refused(store: Store, targets: Sequence[ScrobbleTarget]) -> None:
    """Name the plays that a service has refused."""
    for target in targets:
        for play in store.scrobbles.refused(target, REFUSALS_SHOWN):
            click.echo(
                f"Refused by {spoken(target.target)}: the play of {play.track_id} that ended at "
                f"{play.played_at:%Y-%m-%d %H:%M:%S} UTC: {play.reason}",
                err=True,
            )
