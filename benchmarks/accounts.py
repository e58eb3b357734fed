"""An installation over a simulated Spotify, with all simulated users connected."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from benchmarks.processes import workplace
from echostats_pipeline.cli.simulated import connect_person
from echostats_pipeline.local.database import open_store
from echostats_pipeline.local.mongod import running
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.simulator.behaviour import Behaviour
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.running import RunningSimulator, running_simulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store


@contextmanager
def installation(
    world: World, behaviour: Behaviour, clock: Clock | None = None
) -> Iterator[tuple[Settings, Store, RunningSimulator]]:
    """Settings, an empty database and a simulator in a temporary folder, where other processes also find them."""
    with workplace() as folder:
        home = StateFolder(folder).ensure()
        settings = Settings(home=home.path, encryption_key=SecretStr("0" * 64))
        with (
            running(home),
            open_store(settings, indexes=True) as store,
            running_simulator(world, clock=clock, behaviour=behaviour) as simulator,
        ):
            home.write_json(home.simulator_file, {"url": simulator.base_url})
            yield settings, store, simulator


def connect_everybody(settings: Settings, store: Store, simulator: RunningSimulator) -> list[User]:
    """Give every user's consent before any fault is switched on."""
    faults = simulator.behaviour.faults
    simulator.behave(faults={})
    now = simulator.clock.now()
    users = [connect_person(settings, store, simulator, person, now) for person in simulator.world.users]
    simulator.behave(faults=faults)
    return users
