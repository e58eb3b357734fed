"""Rollups and statistics of many random histories, in zones whose clocks change, against the oracle.

`ECHOSTATS_TEST_EXAMPLES` sets the number of histories; ten thousand take about an hour.
"""

import sys
from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echostats_pipeline_tests.hypothesis_profiles import UNHURRIED, examples
from echostats_pipeline_tests.transforms import oracle, oracle_periods
from echostats_pipeline_tests.transforms.document_differences import differences
from echostats_pipeline_tests.transforms.listening_factories import catalogues, daily_rollups
from echostats_pipeline_tests.transforms.oracle import Catalogue, OraclePlay
from echostats_pipeline_tests.transforms.statistics.test_snapshots import build_all, listeners

LISTENERS = 3
"""Histories in one example, which share only a catalogue."""

Listener = tuple[str, list[OraclePlay], date]


def check_rollups(zone: str, plays: list[OraclePlay], min_play_ms: int, catalogue: Catalogue) -> int:
    found = daily_rollups(plays, zone, catalogue, min_play_ms=min_play_ms)
    assert differences(found, list(oracle.rollups(plays, zone, min_play_ms, catalogue=catalogue).values())) == []
    return len(found)


def check_statistics(zone: str, plays: list[OraclePlay], today: date, catalogue: Catalogue) -> int:
    found = build_all(plays, catalogue, zone, today)
    of: dict[str, Any] = {"timezone": zone, "today": today}
    listener = oracle_periods.Listener.of(plays, catalogue, **of)
    for documents, key, wanted in (
        (found.snapshots, "period", oracle_periods.snapshots(listener)),
        (found.calendar, "period", oracle_periods.calendar(listener)),
        (found.reviews, "year", oracle_periods.reviews(listener)),
    ):
        assert differences({document[key]: document for document in documents}, wanted) == []
    return len(found.snapshots) + len(found.calendar) + len(found.reviews)


@pytest.mark.scale
@pytest.mark.timeout(UNHURRIED)
def test_many_histories_give_what_brute_force_finds(record_property: Callable[[str, object], None]) -> None:
    checked: Counter[str] = Counter()

    @settings(max_examples=-(-examples(75) // LISTENERS), deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(listeners(), min_size=LISTENERS, max_size=LISTENERS), catalogues(), st.sampled_from((0, 1, 30_000)))
    def check(found: list[Listener], catalogue: Catalogue, min_play_ms: int) -> None:
        for zone, plays, today in found:
            checked.update(histories=1, plays=len(plays))
            checked[zone] += 1
            checked["rollups"] += check_rollups(zone, plays, min_play_ms, catalogue)
            checked["statistics"] += check_statistics(zone, plays, today, catalogue)

    check()
    for name, count in checked.items():
        record_property(name, count)
    sys.stdout.write(f"against the oracle: {dict(checked)}\n")
    assert checked["histories"] >= min(examples(75), 60)
