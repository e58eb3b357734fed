"""Cost markers: every test has exactly one marker of its cost, and each can be run alone, as in ``pytest -m unit``.

The cost follows from the folder of a test and from the fixtures it uses. If neither decides, the module marks itself.
"""

from collections.abc import Iterable

import pytest

COSTS = ("unit", "mongo", "dagster", "ui", "kill", "scale", "cluster")
"""From the cheapest to the most expensive; pyproject.toml describes each."""
OF_FOLDER = {"orchestration": "dagster", "integration": "dagster"}
OF_GROUP = {
    "ui": "ui",
    "backfill": "ui",
    "killed": "kill",
    "killed import": "kill",
    "queries": "scale",
    "scans": "scale",
}
"""Costs of tests that stay on one process, because their set-up is expensive."""
DAGSTER_FIXTURES = {"instance", "pipeline"}
MONGO_FIXTURES = {"kept_database", "mongo_client", "mongo_server"}


def mark_costs(items: Iterable[pytest.Item]) -> None:
    """Give each test without a cost marker the marker of its cost."""
    for item in items:
        if not marks_of(item):
            item.add_marker(cost_of(item))


def marks_of(item: pytest.Item) -> list[str]:
    """The cost markers of a test."""
    return sorted({mark.name for mark in item.iter_markers() if mark.name in COSTS})


def cost_of(item: pytest.Item) -> str:
    """The cost of a test that does not declare it."""
    group = item.get_closest_marker("xdist_group")
    if group is not None and group.args[0] in OF_GROUP:
        return OF_GROUP[group.args[0]]
    of_folder = next((OF_FOLDER[part] for part in item.path.parts if part in OF_FOLDER), None)
    used = set(getattr(item, "fixturenames", ()))
    if of_folder or used & DAGSTER_FIXTURES:
        return of_folder or "dagster"
    return "mongo" if used & MONGO_FIXTURES else "unit"
