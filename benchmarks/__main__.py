"""Measures how fast statistics are built, as ratios to floors that are measured in the same run.

    python -m benchmarks
    python -m benchmarks --scale 1 --rounds 3

Scale 1 is a heavy listener's history (208,934 plays, 14 years, 41,918 tracks, 9,821 artists); scale 10 is ten times
that. Everything runs on a separate MongoDB server in a temporary folder. A measurement and its floor take turns. This
is not a test: it succeeds whatever the numbers are. The other programs in this folder print numbers of their own.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks import days, echostats, memory, statistics
from benchmarks.processes import workplace
from benchmarks.report import Row, machine, print_table, write_json
from benchmarks.scene import LIGHT, SIZES, Listener, Scene, scene
from echostats_pipeline.settings import Settings

ROUNDS = {1: 5, 10: 3}
MINUTES = {1: 4, 10: 25}
"""Time a scale takes, with `ROUNDS`, on two cores without other work."""


class Run:
    """Measurements so far."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.where: dict[str, Any] = {}
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """Print the next step and the time."""
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        print(f"{minutes:3d}:{seconds:02d}  {text}", flush=True)

    def measure(self, place: Scene, scales: list[int], rounds: int | None) -> None:
        """Measure everything in the order of size, so that no measurement waits for data it does not need."""
        self.where = machine(place.store.db)
        self.say(f"a history of {LIGHT.plays:,} plays")
        listeners: list[Listener] = [place.add(LIGHT, number=1)]
        place.rebuild(listeners[0])  # the first call in a process is slow; make it here
        place.snapshots(listeners[0])
        for scale in SIZES:
            if scale > max(scales):
                continue
            size = SIZES[scale]
            self.say(f"a history of {size.plays:,} plays, {size.tracks:,} tracks, {size.artists:,} artists")
            listeners.append(place.add(size, number=1 + len(listeners)))
            if scale not in scales:
                continue
            place.fill_catalogue(size)
            self.rows += statistics.measure(place, listeners[-1], str(scale), rounds or ROUNDS[scale], self.say)
            if scale == min(SIZES):  # ten times that takes EchoStats' way several minutes
                self.rows.append(echostats.measure(place, listeners[-1], str(scale), rounds or ROUNDS[scale], self.say))
            self.rows += memory.measure(place, listeners[-1], str(scale), self.say)
        sizes = " … ".join(f"{size:,}" for size in (LIGHT.plays, SIZES[max(scales)].plays))
        self.rows.append(days.measure_touched(place, listeners, sizes, self.say))
        self.rows.append(days.measure_together(place, f"{days.USERS} users", self.say))


def main() -> None:
    """Measure, print a table and write a file. An interrupted run prints what it has measured until then."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", choices=[*map(str, SIZES), "both"], default="both")
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS[1]}, and {ROUNDS[10]} at scale 10")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), metavar="FILE")
    arguments = parser.parse_args()
    scales = list(SIZES) if arguments.scale == "both" else [int(arguments.scale)]
    minutes = sum(MINUTES[scale] for scale in scales)
    print(f"about {minutes} minutes, several times that on a busy machine; Ctrl-C ends it with what there is by then")
    run, complete = Run(), False
    try:
        with workplace() as folder, scene(Settings(home=folder)) as place:
            run.measure(place, scales, arguments.rounds)
            complete = True
    except KeyboardInterrupt:
        run.say("interrupted")
    print_table(run.rows)
    write_json(arguments.json, run.rows, run.where, complete=complete)
    print(f"everything, with all single measurements: {arguments.json}")


if __name__ == "__main__":
    main()
