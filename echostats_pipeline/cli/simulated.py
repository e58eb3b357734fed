"""The simulated Spotify beside a command: served while the command runs, where the pipeline finds it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import requests
from starlette.types import ASGIApp

from echostats_pipeline.accounts.connecting import SIMULATED_CLIENT_ID, connect_account
from echostats_pipeline.cli.guard import GuardedApp
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.running import RunningSimulator, running_simulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline.spotify.oauth import SCOPES, challenge, new_verifier
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store

SEED = 1
"""Every installation simulates the same people."""


@contextmanager
def simulated_spotify(settings: Settings, world: World | None = None) -> Iterator[RunningSimulator]:
    """Serve the simulator and say in the state folder where; the pipeline of this installation uses it meanwhile.

    A simulator that another command of this installation serves is left alone: both give the same answers.
    """
    folder = StateFolder(settings.home)
    with running_simulator(world or World(seed=SEED), wrapped=guarded_simulator) as simulator:
        if _answers(folder):
            yield simulator
            return
        folder.write_json(folder.simulator_file, {"url": simulator.base_url})
        try:
            yield simulator
        finally:
            folder.simulator_file.unlink(missing_ok=True)


def connect_person(
    settings: Settings, store: Store, simulator: RunningSimulator, person: SimulatedUser, now: datetime
) -> User:
    """Let a simulated person consent, without a browser; doing it again renews them."""
    verifier = new_verifier()
    code = simulator.consent(
        person.id,
        client_id=SIMULATED_CLIENT_ID,
        redirect_uri=settings.spotify_redirect_uri,
        scope=" ".join(SCOPES),
        code_challenge=challenge(verifier),
    )
    return connect_account(settings, store, code=code, verifier=verifier, timezone=person.timezone, now=now)


def guarded_simulator(app: ASGIApp, *hosts: str) -> GuardedApp:
    """The simulator with its switches out of reach of web pages; `hosts` are names of its own."""
    return GuardedApp(app, hosts, below="/simulator")


def _answers(folder: StateFolder) -> bool:
    recorded = folder.read_json(folder.simulator_file)
    if recorded is None:
        return False
    try:
        return requests.get(f"{recorded['url']}/simulator/clock", timeout=2).ok
    except requests.RequestException:
        return False
