"""The simulated Spotify beside a command: served while the command runs, where the pipeline finds it."""

from collections.abc import Iterator
from contextlib import contextmanager

import requests

from echostats_pipeline.settings import Settings
from echostats_pipeline.simulator.running import RunningSimulator, running_simulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline.storage.home import StateFolder

SEED = 1
"""Every installation simulates the same people."""


@contextmanager
def simulated_spotify(settings: Settings, world: World | None = None) -> Iterator[RunningSimulator]:
    """Serve the simulator and say in the state folder where; the pipeline of this installation uses it meanwhile.

    A simulator that another command of this installation serves is left alone: both give the same answers.
    """
    folder = StateFolder(settings.home)
    with running_simulator(world or World(seed=SEED)) as simulator:
        if _answers(folder):
            yield simulator
            return
        folder.write_json(folder.simulator_file, {"url": simulator.base_url})
        try:
            yield simulator
        finally:
            folder.simulator_file.unlink(missing_ok=True)


def _answers(folder: StateFolder) -> bool:
    recorded = folder.read_json(folder.simulator_file)
    if recorded is None:
        return False
    try:
        return requests.get(f"{recorded['url']}/simulator/clock", timeout=2).ok
    except requests.RequestException:
        return False
