"""Everybody of a simulated world, connected."""

from echostats_pipeline.cli.simulated import connect_person
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.storage.store import Store


def connect_everybody(settings: Settings, store: Store, simulator: RunningSimulator) -> list[User]:
    """Let everybody consent before anything goes wrong."""
    faults = simulator.behaviour.faults
    simulator.behave(faults={})
    now = simulator.clock.now()
    users = [connect_person(settings, store, simulator, person, now) for person in simulator.world.users]
    simulator.behave(faults=faults)
    return users
