from datetime import timedelta

from echostats_pipeline.monitoring.api_usage import FamilyCalls, calls_made
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW

HOUR = timedelta(hours=1)


def test_families_stand_against_the_budget_and_those_it_does_not_hold_back_have_none(store: Store) -> None:
    for family, hours in (("tracks", 1), ("tracks", 23), ("tracks", 25), ("recently-played", 2), ("app", 1)):
        store.limits.record(family, NOW - hours * HOUR)
    assert calls_made(store, 500, NOW) == [FamilyCalls("recently-played", 1), FamilyCalls("tracks", 2, 500)]


def test_a_family_waits_for_whatever_takes_longest(store: Store) -> None:
    store.limits.record("albums", NOW - 4 * HOUR)
    store.limits.postpone("albums", NOW + 2 * HOUR, "Spotify says so")
    store.limits.postpone("artists", NOW + HOUR, "Spotify says so")
    assert calls_made(store, 1, NOW) == [
        FamilyCalls("artists", 0, 1, NOW + HOUR, "Spotify says so"),
        FamilyCalls("albums", 1, 1, NOW + 20 * HOUR, "the 1 calls of 24 hours are used up"),
    ]


def test_a_wait_of_the_whole_app_is_named_last(store: Store) -> None:
    store.limits.postpone("app", NOW + HOUR, "too fast")
    store.limits.postpone("tracks", NOW - HOUR, "over")
    assert calls_made(store, 500, NOW) == [FamilyCalls("app", 0, None, NOW + HOUR, "too fast")]
