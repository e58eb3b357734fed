"""Rollups and statistics of many random histories, in zones whose clocks do something, against the oracle.

`ECHOSTATS_TEST_EXAMPLES` says of how many histories; ten thousand take about an hour.
"""

import sys
from collections import Counter
from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echostats_pipeline_tests.examples import UNHURRIED, examples
from echostats_pipeline_tests.transforms import oracle, oracle_periods, test_rollups, test_snapshots
from echostats_pipeline_tests.transforms.comparing import differences
from echostats_pipeline_tests.transforms.histories import catalogues
from echostats_pipeline_tests.transforms.oracle import Catalogue, OraclePlay
from echostats_pipeline_tests.transforms.test_snapshots import listeners

LISTENERS = 3
"""Histories in one example: they share a catalogue, and nothing else."""

Listener = tuple[str, list[OraclePlay], date]


@pytest.mark.timeout(UNHURRIED)
def test_many_histories_give_what_brute_force_finds(record_property: Callable[[str, object], None]) -> None:
    checked: Counter[str] = Counter()

    @settings(max_examples=-(-examples(150) // LISTENERS), deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(listeners(), min_size=LISTENERS, max_size=LISTENERS), catalogues(), st.sampled_from((0, 1, 30_000)))
    def check(found: list[Listener], catalogue: Catalogue, min_play_ms: int) -> None:
        for zone, plays, today in found:
            rollups = test_rollups.build(plays, zone, min_play_ms)
            wanted = list(oracle.rollups(plays, zone, min_play_ms).values())
            assert differences(rollups, wanted) == []
            of = {"timezone": zone, "today": today}
            snapshots = test_snapshots.build(plays, catalogue, zone, today)
            assert differences(snapshots, oracle_periods.snapshots(plays, catalogue, **of)) == []
            checked.update(histories=1, rollups=len(rollups), statistics=len(snapshots), plays=len(plays))
            checked[zone] += 1

    check()
    for name, count in checked.items():
        record_property(name, count)
    sys.stdout.write(f"against the oracle: {dict(checked)}\n")
    assert checked["histories"] >= min(examples(150), 100)
