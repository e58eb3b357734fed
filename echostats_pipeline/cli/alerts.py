"""``echostats alerts``: sends test notices, and lists open incidents."""

import click

from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.lazy import LazyGroup
from echostats_pipeline.errors import SettingsError
from echostats_pipeline.monitoring.incidents import configured_secrets, redacted, times
from echostats_pipeline.monitoring.notifier import Notifier
from echostats_pipeline.settings import load_settings


@click.group(cls=LazyGroup)
def alerts() -> None:
    """Send and list notices of trouble, which go to the addresses in ECHOSTATS_ALERTS."""


@alerts.command()
def test() -> None:
    """Send a test notice to every address and say which accepted it. Exit code 1 if an address did not."""
    settings = load_settings()
    notifier, secrets = Notifier(settings.alerts), configured_secrets(settings)
    if not settings.alerts:
        raise SettingsError(
            "ECHOSTATS_ALERTS is not set: no notices are sent. Try for example ntfys://ntfy.sh/my-topic"
        )
    body = "This is a test: nothing is wrong.\n\nNotices of trouble will arrive here. Sent by: echostats alerts test"
    refused = 0
    for delivery in notifier.send("echostats: a test notice", body, good=True):
        refused += not delivery.accepted
        click.echo(f"{delivery.name}: {'accepted' if delivery.accepted else redacted(delivery.reason, secrets)}")
    if refused:
        raise SystemExit(1)


@alerts.command("list")
def list_open() -> None:
    """List open incidents, the oldest first, and whether you were notified of each."""
    with open_database(load_settings()) as store:
        found = store.incidents.open()
    for incident in found:
        notice = f"notified {incident.notified_at:%Y-%m-%d %H:%M}" if incident.notified_at else "not notified yet"
        click.echo(
            f"{incident.opened_at:%Y-%m-%d %H:%M} UTC  {incident.subject}, seen {times(incident.count)}, {notice}"
        )
        click.echo(f"    {incident.cause}")
    if not found:
        click.echo("No incident is open.")
