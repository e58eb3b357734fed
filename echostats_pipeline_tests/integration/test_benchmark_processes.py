"""Tests that a benchmark ends what it has started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from echostats_pipeline_tests.integration.processes import eventually, processes_of

PROJECT = Path(__file__).parents[2]
BENCHMARK = """
import subprocess, sys, time
from benchmarks.processes import workplace

with workplace() as folder:
    subprocess.Popen(["sleep", "60"], env={"ECHOSTATS_HOME": str(folder)}, start_new_session=True)
    print(folder, flush=True)
    try:
        time.sleep(60)
    finally:
        print("servers stop in order", flush=True)
"""


def test_a_terminated_benchmark_leaves_neither_process_nor_folder() -> None:
    """A benchmark is often ended by `timeout`, which sends SIGTERM."""
    command = [sys.executable, "-c", BENCHMARK]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().strip())
        # A new process has its environment a moment after it has closed the files of its parent.
        eventually("process of the folder", lambda: processes_of(folder) or None)
        os.kill(run.pid, signal.SIGTERM)
        assert run.stdout.read() == "servers stop in order\n"
    assert run.returncode != 0
    assert not processes_of(folder)
    assert not folder.exists()
