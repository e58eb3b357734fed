"""What a test costs, as a marker: every test has exactly one, and each can be run alone, as in ``pytest -m unit``.

It follows from the folder of a test and from the fixtures it uses. A module that these do not tell about marks itself.
"""

from collections.abc import Iterable

import pytest

COSTS = ("unit", "mongo", "dagster", "ui", "kill", "scale")
"""From the cheapest on; pyproject.toml says what each is."""
OF_FOLDER = {"orchestration": "dagster", "integration": "dagster"}
OF_GROUP = {
    "ui": "ui",
    "backfill": "ui",
    "killed": "kill",
    "killed import": "kill",
    "queries": "scale",
    "scans": "scale",
}
"""Of tests that are kept on one process, for what they prepare is dear."""
DAGSTER_FIXTURES = {"instance", "pipeline"}
MONGO_FIXTURES = {"kept_database", "mongo_client", "mongo_server"}


def mark_costs(items: Iterable[pytest.Item]) -> None:
    """Give each test that has no such mark the one of its cost."""
    for item in items:
        if not marks_of(item):
            item.add_marker(cost_of(item))


def marks_of(item: pytest.Item) -> list[str]:
    """The costs a test is marked with."""
    return sorted({mark.name for mark in item.iter_markers() if mark.name in COSTS})


def cost_of(item: pytest.Item) -> str:
    """What a test costs that says nothing about it itself."""
    group = item.get_closest_marker("xdist_group")
    if group is not None and group.args[0] in OF_GROUP:
        return OF_GROUP[group.args[0]]
    of_folder = next((OF_FOLDER[part] for part in item.path.parts if part in OF_FOLDER), None)
    used = set(getattr(item, "fixturenames", ()))
    if of_folder or used & DAGSTER_FIXTURES:
        return of_folder or "dagster"
    return "mongo" if used & MONGO_FIXTURES else "unit"
