"""Cost markers: every test has one, and it matches what the test needs."""

import tomllib
from pathlib import Path

import pytest

from echostats_pipeline_tests.costs import COSTS, DAGSTER_FIXTURES, MONGO_FIXTURES, marks_of


def test_every_test_has_exactly_one_cost(request: pytest.FixtureRequest) -> None:
    wrong = {item.nodeid: found for item in request.session.items if len(found := marks_of(item)) != 1}
    assert wrong == {}


def test_no_unit_test_has_a_server_and_no_test_of_a_database_runs_dagster(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        used = set(getattr(item, "fixturenames", ()))
        if marks_of(item) == ["unit"]:
            assert not used & (MONGO_FIXTURES | DAGSTER_FIXTURES), item.nodeid
        elif marks_of(item) == ["mongo"]:
            assert not used & DAGSTER_FIXTURES, item.nodeid


def test_the_costs_are_those_that_pytest_knows() -> None:
    configured = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    markers = configured["tool"]["pytest"]["ini_options"]["markers"]
    assert [marker.partition(":")[0] for marker in markers] == list(COSTS)


def test_a_group_of_tests_stays_on_one_process(request: pytest.FixtureRequest, worker_id: str) -> None:
    """With a pytest that xdist does not know, groups are silently ignored, and each process prepares everything."""
    grouped = [item for item in request.session.items if item.get_closest_marker("xdist_group")]
    if worker_id != "master":
        assert {item.nodeid for item in grouped if not item.nodeid.rpartition("]")[2].partition("@")[2]} == set()
