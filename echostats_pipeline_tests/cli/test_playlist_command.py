"""The words of ``echostats playlist`` and of the end of the demo."""

from pathlib import Path

import pytest
from bson import ObjectId
from click.testing import CliRunner

from echostats_pipeline.cli.demo import next_steps
from echostats_pipeline.cli.playlist import playlist
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import MARTS, Settings


@pytest.mark.parametrize("minutes", ["nan", "inf", "0", "-5", "1e9", "soon"])
def test_a_duration_that_is_none_is_refused(minutes: str) -> None:
    run = CliRunner().invoke(playlist, ["calm", "--minutes", minutes])
    assert run.exit_code == 2
    assert f"{minutes} is not a number from 1 to 1440." in run.output


def test_the_steps_after_the_demo_name_all_marts_and_stand_below_what_they_do(tmp_path: Path) -> None:
    user = User(id=ObjectId(), spotify_id="ann", partition_key="ann-123456", timezone="UTC")
    first, second, *steps = next_steps(Settings(home=tmp_path), user).splitlines()
    assert (first, second) == (f"Everything is in {tmp_path}.", "Next:")
    assert len(steps) % 2 == 0
    assert all(said.startswith("  ") and said.endswith(":") for said in steps[::2])
    assert all(step.startswith("    ") for step in steps[1::2])
    assert f"    export ECHOSTATS_MARTS={','.join(MARTS)}" in steps
    assert any(step.endswith(' playlist "rainy sunday, calm" --user ann-123456') for step in steps)
