"""``echostats demo``: fills the database from simulated users, to try everything out.

The command itself is in `cli.demo_start`, which says something before this module is loaded.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path

import click
from pydantic import SecretStr
from rich.console import Console
from rich.progress import track
from rich.table import Table

from echostats_pipeline.accounts.scrobbling import SIMULATED, add_target
from echostats_pipeline.cli.imports import import_with, rebuild_with, run_of_user, show_table
from echostats_pipeline.cli.instance import Runner, open_pipeline
from echostats_pipeline.cli.own_command import own_command
from echostats_pipeline.cli.simulated import connect_person, simulated_spotify
from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.run_requests import sync_request, users_requests
from echostats_pipeline.orchestration.jobs import playlist_config
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.settings import MARTS, Settings, load_settings, set_environment
from echostats_pipeline.simulator.exports import write_extended_export
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.installed import installed
from echostats_pipeline.storage.store import Store

NO_SPOTIFY = {"SPOTIFY_CLIENT_ID": "", "SPOTIFY_BURST_CALLS": "100000"}
"""The demo never calls the real Spotify, whatever the environment says, and need not limit simulated calls."""
EXPORT_LENGTH = timedelta(days=3 * 365)
SENT = timedelta(days=30)
"""How many of the newest days of one user are sent on."""
EXPORT_AGE = timedelta(days=1)
"""The export ends before the present, so that plays come from the export, from the API, or from both."""
TOP = 5
WHY_EMPTY: Mapping[str, Collection[str]] = {
    "because no work is under way": ("unfinished_merges", "unfinished_restores", "unread_playlists", "user_leases"),
    "because nothing is wrong": (
        "incidents",
        "listening_gaps",
        "refused_endpoints",
        "spotify_limits",
        "import_rejects",
    ),
    "because you have not asked for it": ("rules", "removed_users", "playlist_copies", "playlist_edits"),
    "because only applications write to them": (
        "echotune.echotune_chat_sessions",
        "playlist_generator.authtokens",
        "playlist_generator.feedbackevents",
    ),
}
"""Collections that may be empty after the demo, by the reason."""
UNTOLD = "because there was nothing to put into them"
PLAYLIST = "rainy sunday, calm"


def run_demo() -> None:
    """Do all that the demo does, from the consent of the users to the last table."""
    set_environment(NO_SPOTIFY)
    settings, console = with_marts(load_settings()), Console()
    with open_pipeline(settings) as (store, instance), simulated_spotify(settings) as simulator:
        refuse_real_users(store)
        runner = Runner(instance, store, settings, console)
        users = connect_users(settings, store, simulator, console)
        for user in users:
            runner.add_user(user)
        export = write_export(settings, simulator, console)
        import_run = import_with(runner, users[0], [export])
        for user in users:
            tags = sync_request(user, utc_now(), settings.sync_interval_minutes).tags
            runner.run(f"Syncing {user.display_name}", "user_sync", tags=tags)
        for user in users:
            run_of_user(runner, f"Reading the library of {user.display_name}", "library_sync", user)
        runner.run("Completing the catalogue", "catalog_enrichment")
        for user in users:
            rebuild_with(runner, store, user)
        send_plays(runner, store, settings, users[-1])
        keys = [user.partition_key for user in users]
        (of_all,) = users_requests(keys, order=keys, batch_size=len(keys))
        if settings.recommends:
            runner.run("Reading albums of artists", "album_reading")
            runner.run("Evaluating models of recommendations", "model_build")
            runner.run("Recommending songs", "recommendation_build", tags=of_all.tags)
        if not any(store.playlists.of(user.user_id, with_candidates=False) for user in users):
            words = playlist_config("words", text=PLAYLIST, minutes=45)
            runner.run("Making a playlist for each user", "playlist_build", tags=of_all.tags, config=words)
        for user in users:
            run_of_user(runner, f"Writing the report of {user.display_name}", "report_build", user)
        for mart in settings.installed_marts:
            runner.run(f"Filling the database {mart}", f"{mart}_build", tags=of_all.tags)
        runner.run("Checking everything", "audit")
        show_table(store, import_run, console, settings.min_play_ms)
        counts = {label: stored.estimated_document_count() for label, _, stored in installed(store.db, store.databases)}
        console.print(collections_table(counts, f"Database {store.db.name}"))
        for line in empty_collections(counts):
            console.print(line, highlight=False)
        console.print(top_artists_table(store, users[0]))
        console.print(sent_on(store, users[-1]), highlight=False, markup=False)
    click.echo(next_steps(settings, users[0]))


def with_marts(settings: Settings) -> Settings:
    """Install all marts if none is named, but only on the embedded server: another one may hold such databases."""
    if settings.mongo_uri is not None or settings.marts:
        return settings
    set_environment({"ECHOSTATS_MARTS": ",".join(MARTS)})
    return load_settings()


def refuse_real_users(store: Store) -> None:
    """Refuse to add simulated users to a database of real users.

    Raises:
        EchostatsError: there are real users.
    """
    real = [user for user in store.users.all() if not user.simulated or user.adopted_at]
    if real:
        raise EchostatsError(
            f"The database {store.db.name} holds real users ({', '.join(user.partition_key for user in real)}). "
            "Run the demo in another one, for example with MONGO_DB=echostats_demo; nothing was changed."
        )


def connect_users(settings: Settings, store: Store, simulator: RunningSimulator, console: Console) -> list[User]:
    """Give every simulated user's consent. Running it again renews the consents."""
    people = track(simulator.world.users, "Connecting three simulated users".ljust(44), console=console)
    return [connect_person(settings, store, simulator, person, utc_now()) for person in people]


def write_export(settings: Settings, simulator: RunningSimulator, console: Console) -> Path:
    """Write the streaming history that the first simulated user would get from Spotify. Return the zip."""
    person, end = simulator.world.users[0], utc_now() - EXPORT_AGE
    path = StateFolder(settings.home).ensure().simulated_dir / f"{person.id}_my_spotify_data.zip"
    for _ in track(range(1), f"Writing an export of {person.display_name}".ljust(44), console=console):
        write_extended_export(simulator.world, person, end - EXPORT_LENGTH, end, path)
    return path


def send_plays(runner: Runner, store: Store, settings: Settings, user: User) -> None:
    """Send the newest plays of a user to the simulator's own ListenBrainz, as `echostats scrobble` does."""
    day = f"{utc_now() - SENT:%Y-%m-%d}"
    since = next((each.since for each in store.scrobbles.targets(user.user_id) if each.target == SIMULATED), day)
    token = SecretStr("a-token-of-the-simulator")
    add_target(settings, store, user, target=SIMULATED, token=token, since=since, now=utc_now())
    run_of_user(runner, f"Sending plays of {user.display_name} on", "scrobble_build", user)


def collections_table(counts: Mapping[str, int], title: str) -> Table:
    """A table of the number of documents in each collection that has any."""
    table = Table("collection", "documents", title=title)
    for label, count in counts.items():
        if count:
            table.add_row(label, f"{count:,}")
    return table


def empty_collections(counts: Mapping[str, int]) -> list[str]:
    """Say which collections are empty, and why: one line for each reason."""
    empty = [label for label, count in counts.items() if not count]
    found = {why: [label for label in empty if label in labels] for why, labels in WHY_EMPTY.items()}
    other = [label for label in empty if not any(label in labels for labels in WHY_EMPTY.values())]
    return [f"Empty, {why}: {', '.join(labels)}." for why, labels in {**found, UNTOLD: other}.items() if labels]


def top_artists_table(store: Store, user: User) -> Table:
    """A table of the artists a user has played most, of all time."""
    table = Table("", "artist", "plays", "hours", title=f"Top artists of {user.display_name}, all time")
    snapshot = store.statistics.snapshot(user.user_id, "all_time")
    for artist in snapshot.top_artists[:TOP]:
        table.add_row(str(artist.rank), artist.name, f"{artist.play_count:,}", f"{artist.total_ms / 3_600_000:,.1f}")
    return table


def sent_on(store: Store, user: User) -> str:
    """Say how many plays were sent on, and where to."""
    (target,) = (each for each in store.scrobbles.targets(user.user_id) if each.target == SIMULATED)
    sent = store.db["sent_plays"].count_documents({"user_id": user.user_id, "target": SIMULATED, "state": "sent"})
    return (
        f"{plural(sent, 'play')} of {user.display_name} since {target.since} went on to the simulated ListenBrainz; "
        "to a real one: echostats scrobble --to listenbrainz --token-file FILE"
    )


def next_steps(settings: Settings, user: User) -> str:
    """The commands to try next."""
    command, user_option = own_command(), f"--user {user.partition_key}"
    steps = {
        "The Dagster UI, in which the simulated users go on listening": f"{command} up",
        "A page to look at: top lists, calendar, discoveries": f"{command} report --open {user_option}",
        "The recap of the year, with cards to share": f"{command} recap --png --open {user_option}",
        "An index of all users, with links to their reports": f"{command} report",
        "Songs to discover and to hear again, each with its reason": f"{command} recommend {user_option}",
        "A playlist from words, and why": f'{command} playlist "{PLAYLIST}" {user_option}',
        f"The database; {command} mongo stop ends it": f'mongosh "$({command} mongo uri)"',
        "Before up: keep the databases of applications up to date, too": f"export ECHOSTATS_MARTS={','.join(MARTS)}",
        "The demo again; nothing is added twice": f"{command} demo",
    }
    shown = "".join(f"  {said}:\n    {step}\n" for said, step in steps.items())
    return f"Everything is in {settings.home}.\nNext:\n{shown}".rstrip()
