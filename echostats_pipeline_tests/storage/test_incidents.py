"""Incidents: opened once, counted, closed, and claimed for notices."""

from datetime import timedelta
from typing import Any

from echostats_pipeline.model.operations import Incident
from echostats_pipeline.storage.incidents import RETRY_AFTER
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW

MINUTE = timedelta(minutes=1)


def seen(minutes: int = 0, key: str = "run:user_sync:ann", **fields: Any) -> Incident:
    at = NOW + minutes * MINUTE
    return Incident(key=key, kind="run", subject="s", cause="c", opened_at=at, last_seen_at=at, **fields)


def test_an_incident_is_opened_once_and_then_counted(store: Store) -> None:
    assert [store.incidents.see(seen(minutes)) for minutes in (0, 1, 1, 2)] == [True, False, False, False]
    (incident,) = store.incidents.open()
    assert (incident.count, incident.opened_at, incident.last_seen_at) == (3, NOW, NOW + 2 * MINUTE)


def test_what_was_put_right_later_is_not_opened_again_by_what_came_before(store: Store) -> None:
    store.incidents.see(seen())
    assert store.incidents.close("run:user_sync:ann", NOW + 5 * MINUTE)
    assert not store.incidents.close("run:user_sync:ann", NOW + 6 * MINUTE)
    assert not store.incidents.see(seen(4))
    assert store.incidents.open() == []
    assert store.incidents.see(seen(6))
    (incident,) = store.incidents.open()
    assert (incident.count, incident.notified_at, incident.pending) == (1, None, "opened")


def test_a_notice_is_sent_by_one_process_and_once(store: Store) -> None:
    store.incidents.see(seen())
    (due,) = store.incidents.due(NOW, 5)
    assert [store.incidents.claim(due, NOW), store.incidents.claim(due, NOW)] == [True, False]
    assert store.incidents.due(NOW, 5) == []
    store.incidents.sent(due, ["a"], NOW, complete=True)
    store.incidents.see(seen(1))
    assert store.incidents.due(NOW + timedelta(days=9), 5) == []
    (incident,) = store.incidents.open()
    assert (incident.notified_at, incident.count) == (NOW, 2)


def test_a_notice_that_is_not_accepted_is_tried_again_a_bounded_number_of_times(store: Store) -> None:
    store.incidents.see(seen())
    now, attempts = NOW, 0
    while due := store.incidents.due(now, 5):
        assert store.incidents.claim(due[0], now)
        store.incidents.sent(due[0], [], now, complete=False)
        assert store.incidents.due(now + RETRY_AFTER[attempts] - MINUTE / 2, 5) == []
        now += RETRY_AFTER[attempts]
        attempts += 1
    assert attempts == len(RETRY_AFTER)
    assert store.incidents.open()[0].notified_at is None


def test_the_end_is_told_to_those_who_were_told_of_the_beginning(store: Store) -> None:
    for key in ("told", "untold", "replaced"):
        store.incidents.see(seen(key=key))
    for incident in store.incidents.due(NOW, 5):
        if incident.key != "untold":
            store.incidents.claim(incident, NOW)
            store.incidents.sent(incident, ["a"], NOW, complete=True)
    for key in ("told", "untold", "replaced"):
        store.incidents.close(key, NOW + MINUTE, notify=key != "replaced")
    (resolved,) = store.incidents.due(NOW + MINUTE, 5)
    assert (resolved.key, resolved.pending, resolved.attempts, resolved.accepted_by) == ("told", "closed", 0, [])
    store.incidents.claim(resolved, NOW)
    store.incidents.sent(resolved, ["a"], NOW, complete=True)
    assert store.incidents.due(NOW + timedelta(days=9), 5) == []


def test_a_notice_overtaken_by_the_end_of_its_incident_does_not_count_as_the_notice_of_that(store: Store) -> None:
    store.incidents.see(seen())
    (due,) = store.incidents.due(NOW, 5)
    store.incidents.claim(due, NOW)
    store.incidents.close(due.key, NOW + MINUTE)
    store.incidents.sent(due, ["a"], NOW, complete=True)
    last = store.incidents.get(due.key)
    assert last is not None
    assert (last.pending, last.notified_at) == ("", None)
