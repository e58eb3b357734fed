"""Measures the peak memory of a process that does one piece of work, on an existing database.

python -m benchmarks.memory HOME USER_NUMBER rollups
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bson import ObjectId

from benchmarks.measuring import NoProgress, peak_mib
from benchmarks.report import Row
from benchmarks.scene import MIN_PLAY_MS, NOW, SPAN, Listener, Scene
from echostats_pipeline.local.database import open_store
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.stages.statistics import rebuild_rollups, rebuild_snapshots

GOAL_MB = 600
GOAL_MIB = GOAL_MB * 10**6 / 2**20
WORKS = {"rollups": "memory, full rollup rebuild", "snapshots": "memory, five snapshots from scratch"}


def measure(scene: Scene, listener: Listener, scale: str, say: Callable[[str], None]) -> list[Row]:
    """Do each piece of work in a separate process."""
    rows = []
    for work, name in WORKS.items():
        say(f"scale {scale}: {name}")
        scene.clear(listener, rollups=work == "rollups")
        numbers = in_own_process(scene.settings, listener.user, work)
        rows.append(
            Row(
                work=name,
                scale=scale,
                measured=numbers["peak_mib"],
                floor=numbers["baseline_mib"],
                goal=f"≤ {GOAL_MIB:.0f} MiB ({GOAL_MB} MB)",
                met=numbers["peak_mib"] <= GOAL_MIB,
                unit="MiB",
                notes=[f"{numbers['baseline_mib']} MiB of it after all imports, connected"],
                counts=numbers,
            )
        )
    return rows


def in_own_process(settings: Settings, user: User, work: str) -> dict[str, int]:
    """Start a process for the work, and return its numbers."""
    command = [sys.executable, "-m", "benchmarks.memory", str(settings.home), user.user_id, work]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603 - our own interpreter and arguments
    numbers: dict[str, int] = json.loads(done.stdout)
    return numbers


def main() -> None:
    """Do the work, and print the peak before and after."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("user_id")
    parser.add_argument("work", choices=list(WORKS))
    arguments = parser.parse_args()
    with open_store(Settings(home=arguments.home)) as store:
        user = User.model_validate(store.db["users"].find_one({"_id": ObjectId(arguments.user_id)}))
        baseline = peak_mib(os.getpid())
        if arguments.work == "rollups":
            rebuild_rollups(store, user, list(SPAN.dates()), min_play_ms=MIN_PLAY_MS, progress=NoProgress())
        else:
            rebuild_snapshots(store, user, NOW)
        print(json.dumps({"baseline_mib": baseline, "peak_mib": peak_mib(os.getpid())}))


if __name__ == "__main__":
    main()
