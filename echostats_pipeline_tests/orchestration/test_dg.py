"""Dagster's own command line on this project."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("dg") is None, reason="dg is not installed: pip install '.[dg]'")
def test_dg_loads_the_definitions(tmp_path: Path) -> None:
    environ = {**os.environ, "HOME": str(tmp_path), "ECHOSTATS_HOME": str(tmp_path / "home")}
    command = ["dg", "check", "defs"]
    done = subprocess.run(command, cwd=CHECKOUT, env=environ, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All definitions loaded successfully" in done.stdout
