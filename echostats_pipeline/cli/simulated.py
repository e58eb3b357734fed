"""The simulated Spotify beside a command: served while the command runs, at an address that the pipeline finds."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import requests
from filelock import FileLock
from starlette.types import ASGIApp

from echostats_pipeline.accounts.connecting import SIMULATED_CLIENT_ID, connect_account
from echostats_pipeline.cli.guard import GuardedApp
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.running import RunningSimulator, running_simulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline.spotify.oauth import PLAYLIST_SCOPES, SCOPES, challenge, new_verifier
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store

SEED = 1
"""Seed of the simulator: every installation simulates the same people."""
LOCK_TIMEOUT_S = 20.0


@contextmanager
def simulated_spotify(settings: Settings, world: World | None = None) -> Iterator[RunningSimulator]:
    """Serve the simulator while the block runs, and write its address to the state folder for the pipeline.

    Several commands of this installation may do so at once: all simulators give the same responses. The pipeline uses
    the first, and another one when that ends.
    """
    folder = StateFolder(settings.home)
    with running_simulator(world or World(seed=SEED), wrapped=guarded_simulator) as simulator:
        if settings.simulator_url is not None:
            yield simulator
            return
        _write_addresses(folder, add=simulator.base_url)
        try:
            yield simulator
        finally:
            _write_addresses(folder, remove=simulator.base_url)


def connect_person(
    settings: Settings, store: Store, simulator: RunningSimulator, person: SimulatedUser, now: datetime
) -> User:
    """Give a simulated user's consent, without a browser. Running it again renews the consent."""
    verifier = new_verifier()
    code = simulator.consent(
        person.id,
        client_id=SIMULATED_CLIENT_ID,
        redirect_uri=settings.spotify_redirect_uri,
        scope=" ".join((*SCOPES, *PLAYLIST_SCOPES)),
        code_challenge=challenge(verifier),
    )
    return connect_account(settings, store, code=code, verifier=verifier, timezone=person.timezone, now=now)


def guarded_simulator(app: ASGIApp, *hosts: str) -> GuardedApp:
    """The simulator behind a guard, so that no web page reaches its switches; `hosts` are its own names."""
    return GuardedApp(app, hosts, below="/simulator")


def _write_addresses(folder: StateFolder, *, add: str = "", remove: str = "") -> None:
    """Add the address of a simulator to those in the state folder, or remove it; those that do not answer go, too."""
    with FileLock(f"{folder.simulator_file}.lock", timeout=LOCK_TIMEOUT_S, mode=0o600):
        recorded = folder.read_json(folder.simulator_file) or {"url": ""}
        others = (recorded["url"], *recorded.get("others", ()))
        urls = [each for each in others if each not in ("", add, remove) and _answers(each)]
        urls += [add] if add else []
        if urls:
            folder.write_json(folder.simulator_file, {"url": urls[0], "others": urls[1:]})
        else:
            folder.simulator_file.unlink(missing_ok=True)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/simulator/clock", timeout=2).ok
    except requests.RequestException:
        return False
