"""The simulated Spotify beside several commands of one installation."""

from contextlib import ExitStack
from pathlib import Path

from echostats_pipeline.cli.simulated import simulated_spotify
from echostats_pipeline.settings import load_settings
from echostats_pipeline.simulator.world import World
from echostats_pipeline.state_folder import StateFolder


def test_the_pipeline_uses_the_simulator_of_a_command_that_still_runs(small_world: World, tmp_path: Path) -> None:
    settings, folder = load_settings({"ECHOSTATS_HOME": str(tmp_path)}, env_file=None), StateFolder(tmp_path)
    folder.write_json(folder.simulator_file, {"url": "http://127.0.0.1:9"})  # of a command that was killed
    with ExitStack() as up:
        with simulated_spotify(settings, small_world) as first:
            second = up.enter_context(simulated_spotify(settings, small_world))
            assert folder.simulator_url() == first.base_url
        assert folder.simulator_url() == second.base_url
        with simulated_spotify(settings, small_world):
            assert folder.simulator_url() == second.base_url
        assert folder.simulator_url() == second.base_url
    assert folder.simulator_url() is None
