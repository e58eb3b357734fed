"""Reports the measurements, as a table for people and as JSON for programs."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measuring import Taken, readable
from echostats_pipeline.storage.database import Db

WIDTH = 150
NOTHING = "-"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        work: The work that was measured.
        scale: The scale it was measured at.
        measured: Median, in `unit`.
        floor: The floor it is compared with, in `unit`.
        ratio: Measured by floor.
        processor_ratio: The same ratio of processor times.
        goal: The goal as text.
        met: Whether the goal is met; None if there is none.
        unit: ``s`` or ``MiB``.
        notes: Further findings, a line each.
        single: All single measurements, by what was measured.
        counts: Documents and bytes.
    """

    work: str
    scale: str
    measured: float
    floor: float | None
    goal: str
    met: bool | None
    ratio: float | None = None
    processor_ratio: float | None = None
    unit: str = "s"
    notes: Sequence[str] = ()
    single: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_times(
        cls,
        work: str,
        scale: str,
        single: Mapping[str, Sequence[Taken]],
        *,
        measured: Sequence[str],
        floor: Sequence[str],
        at_most: float | None,
        **rest: Any,
    ) -> "Row":
        """Make a row that compares sums of medians; for processor times, which stay undisturbed, sums of all times.

        Args:
            work: The work that was measured.
            scale: The scale it was measured at.
            single: Single measurements by name.
            measured: The names that make up the work.
            floor: The names that make up the floor.
            at_most: The goal for the ratio; None if there is none.
            rest: Other attributes; a `met` in it is a further condition.
        """
        names = (*measured, *floor)
        medians = {name: Taken.median(single[name]) for name in names}
        whole = sum((medians[name] for name in measured), Taken())
        ground = sum((medians[name] for name in floor), Taken())
        ratio = whole.wall / ground.wall
        processor, processor_ground = (
            sum(taken.processor for name in chosen for taken in single[name]) for chosen in (measured, floor)
        )
        notes = [*(f"{name}: {medians[name]}" for name in dict.fromkeys(names)), *rest.pop("notes", ())]
        condition = rest.pop("met", True)
        met = None if at_most is None else condition and ratio <= at_most
        return cls(
            work=work,
            scale=scale,
            measured=whole.wall,
            floor=ground.wall,
            ratio=ratio,
            processor_ratio=processor / processor_ground if processor_ground else None,
            single={name: [asdict(taken) for taken in single[name]] for name in dict.fromkeys(names)},
            met=met,
            notes=notes,
            **rest,
        )


def machine(db: Db) -> dict[str, Any]:
    """The machine of the measurements."""
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("polars", "pymongo")},
        "mongod": db.client.server_info()["version"],
    }


def print_table(rows: Sequence[Row]) -> None:
    """Print all rows, and below the rows all notes."""
    table = Table("work", "scale", title="Measured against floors of the same run, medians")
    for column in ("measured", "floor", "ratio", "ratio of processor time"):
        table.add_column(column, justify="right")
    table.add_column("goal")
    table.add_column("met?")
    for row in rows:
        table.add_row(
            row.work,
            row.scale,
            _amount(row.measured, row.unit),
            _amount(row.floor, row.unit),
            *(NOTHING if ratio is None else f"{ratio:.2f}" for ratio in (row.ratio, row.processor_ratio)),
            row.goal,
            {True: "yes", False: "NO", None: NOTHING}[row.met],
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table)
    for row in rows:
        console.print(f"{row.work}, scale {row.scale}", highlight=False)
        for note in row.notes:
            console.print(f"    {note}", highlight=False)


def write_json(path: Path, rows: Sequence[Row], where: Mapping[str, Any], *, complete: bool) -> None:
    """Write all measurements."""
    found = {"machine": where, "complete": complete, "results": [asdict(row) for row in rows]}
    path.write_text(json.dumps(found, indent=2) + "\n")


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return NOTHING
    if unit == "s":
        return readable(value)
    return f"{value:,.0f} {unit}"
