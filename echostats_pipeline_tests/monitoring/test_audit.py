"""Examinations of documents: on correct data, and on a database that was corrupted without the pipeline's knowledge."""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from pymongo import DESCENDING

from echostats_pipeline.model.catalog import Track
from echostats_pipeline.model.plays import Play, TrackSnapshot
from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring import audit
from echostats_pipeline.monitoring.audit import AuditedUser, AuditFinding, Examination
from echostats_pipeline.stages.merging import fill_tracks
from echostats_pipeline.storage.audit import AuditStore
from echostats_pipeline.storage.change_marks import ChangeMarks
from echostats_pipeline.transforms.days import DayWindow, local_date
from echostats_pipeline_tests.conftest import NOW, Installation
from echostats_pipeline_tests.stages.test_ingestion import sync
from echostats_pipeline_tests.stages.test_statistics import catch_up

ALL: tuple[Examination, ...] = (
    audit.no_play_is_in_the_future,
    audit.plays_are_unique,
    audit.daily_rollups_match_history,
    audit.analytics_snapshots_match_rollups,
    audit.no_day_is_overlong,
    audit.daily_rollups_are_unique,
    audit.analytics_snapshots_are_unique,
)
each_examination = pytest.mark.parametrize("examine", ALL, ids=lambda examine: examine.__name__)


@pytest.fixture
def listener(installation: Installation) -> User:
    """A user with plays, rollups and snapshots, and no waiting rebuild."""
    user = installation.connect()
    sync(installation, user)
    catch_up(installation, user)
    return user


def examined(
    installation: Installation, examine: Examination, *users: User, window: DayWindow | None = None
) -> AuditFinding:
    scope = [AuditedUser(user, window) for user in users]
    return examine(installation.store, installation.settings, installation.now(), scope)


def newest_rollup(installation: Installation) -> dict[str, Any]:
    rollup = installation.store.db["daily_rollups"].find_one(sort=[("date", DESCENDING)])
    assert rollup is not None
    return rollup


def change_rollup(installation: Installation, **changes: Any) -> date:
    """Change the newest rollup without the pipeline's knowledge. Return its date."""
    rollup = newest_rollup(installation)
    installation.store.db["daily_rollups"].update_one({"_id": rollup["_id"]}, changes)
    return date.fromisoformat(rollup["date"])


def add_play(installation: Installation, user: User, played_at: datetime, **fields: Any) -> None:
    play = Play(user_id=user.user_id, track=TrackSnapshot(spotify_id="t" * 22), played_at=played_at, **fields)
    installation.store.db["listening_history"].insert_one(play.to_bson())


@each_examination
def test_sound_data_pass(installation: Installation, listener: User, examine: Examination) -> None:
    for window in (None, DayWindow(NOW.date() - timedelta(days=1), NOW.date())):
        found = examined(installation, examine, listener, window=window)
        assert found.passed, found.description
        assert found.numbers
        assert (list(found.rows), found.user_ids) == ([], frozenset())
        assert found.description.endswith(".")


@each_examination
def test_nobody_and_a_user_without_plays_pass(installation: Installation, examine: Examination) -> None:
    assert examined(installation, examine).passed
    assert examined(installation, examine, installation.connect(1)).passed


def test_a_play_in_the_future_is_found_but_for_what_clocks_differ(installation: Installation, listener: User) -> None:
    add_play(installation, listener, NOW + timedelta(minutes=9))
    assert examined(installation, audit.no_play_is_in_the_future, listener).passed
    add_play(installation, listener, NOW + timedelta(days=400))
    found = examined(installation, audit.no_play_is_in_the_future, listener)
    assert (found.passed, found.severity, found.numbers["plays_in_the_future"]) == (False, "ERROR", 1)
    assert "1 play of 1 user ended after 2025-06-15 12:00 UTC" in found.description
    assert found.rows == [{"user": listener.partition_key, "plays": 1, "newest": "2026-07-20 12:00:00 UTC"}]
    installation.clock.advance(timedelta(days=400))
    assert examined(installation, audit.no_play_is_in_the_future, listener).passed, "time has passed"


def test_doubles_are_found_without_the_index_that_refuses_them(installation: Installation, listener: User) -> None:
    history = installation.store.db["listening_history"]
    history.drop_index("uniq_user_track_played_at")
    history.drop_index("user_id_1_import_key_1")
    play = history.find_one({}, {"_id": 0}, sort=[("played_at", DESCENDING)])
    assert play is not None
    history.insert_many([dict(play), dict(play)])
    for number in range(2):
        add_play(installation, listener, NOW - timedelta(hours=20 + number), import_key="same")
    found = examined(installation, audit.plays_are_unique, listener)
    assert (found.passed, found.severity) == (False, "ERROR")
    assert found.numbers == {"users": 1, "equal_places": 2, "equal_import_keys": 1}
    assert "count them twice" in found.description
    assert found.user_ids == {listener.user_id}
    day = local_date(play["played_at"], AuditedUser(listener, None).zone)
    here = examined(installation, audit.plays_are_unique, listener, window=DayWindow(day, day))
    assert here.numbers["equal_places"] == 2
    before = DayWindow(day - timedelta(days=9), day - timedelta(days=8))
    assert examined(installation, audit.plays_are_unique, listener, window=before).passed, "other days"


def assert_numbers_differ(said: str) -> None:
    """Assert that no number is told to stand instead of itself."""
    told = re.search(r"has ([\d,]+) (?:plays?|ms of listening) instead of ([\d,]+)", said)
    assert told[1] != told[2] if told else "has the right plays and listening time" in said, said


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"$inc": {"total_plays": 1}}, "total_plays"),
        ({"$inc": {"total_rows": -1}}, "total_rows"),
        ({"$inc": {"hourly.0.ms": 1}}, "hourly_ms"),
        ({"$inc": {"track_plays.0.count": 1, "total_ms": 5}}, "track_plays, total_ms"),
        ({"$set": {"artist_plays": {}}}, "artist_plays"),
    ],
)
def test_a_rollup_that_says_something_else_is_found(
    installation: Installation, listener: User, changes: dict[str, Any], differs: str
) -> None:
    day = change_rollup(installation, **changes)
    for window in (None, DayWindow(day, day)):
        found = examined(installation, audit.daily_rollups_match_history, listener, window=window)
        assert (found.passed, found.severity, found.numbers["mismatches"]) == (False, "ERROR", 1)
        assert (found.rows[0]["day"], found.rows[0]["differs"]) == (str(day), differs)
        assert str(day) in found.description
        assert "materialize daily_rollups" in found.description
        assert_numbers_differ(found.description)
    earlier = DayWindow(day - timedelta(days=5), day - timedelta(days=1))
    assert examined(installation, audit.daily_rollups_match_history, listener, window=earlier).passed


def test_the_worst_of_many_days_come_first_and_a_table_has_an_end(installation: Installation, listener: User) -> None:
    rollup = newest_rollup(installation)
    del rollup["_id"]
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(30)]
    installation.store.db["daily_rollups"].insert_many(
        [{**rollup, "date": str(day), "total_plays": number} for number, day in enumerate(days)]
    )
    found = examined(installation, audit.daily_rollups_match_history, listener)
    assert found.numbers["mismatches"] == 30
    assert len(found.rows) == audit.MOST_ROWS
    assert (found.rows[0]["day"], found.rows[0]["differs"]) == (str(days[-1]), "no plays")


def test_a_missing_rollup_is_found_and_names_with_dots_and_dollars_are_added_up(
    installation: Installation, listener: User
) -> None:
    history = installation.store.db["listening_history"]
    for number, name in enumerate(("Mr. Oizo", "$uicideboy$", "will.i.am", "")):
        at = NOW - timedelta(days=60, minutes=5 * number)
        track = TrackSnapshot(spotify_id=f"{number}" * 22, artist_name=name, album_name=name, duration_ms=60_000)
        history.insert_one(Play(user_id=listener.user_id, track=track, played_at=at).to_bson())
    day = NOW.date() - timedelta(days=60)
    found = examined(installation, audit.daily_rollups_match_history, listener)
    assert [(row["day"], row["differs"], row["plays_expected"]) for row in found.rows] == [(str(day), "no document", 4)]
    installation.store.marks.ask(listener.user_id, "daily_rollups", [str(day), str(day + timedelta(days=1))])
    catch_up(installation, listener)
    assert examined(installation, audit.daily_rollups_match_history, listener).passed


@pytest.mark.parametrize("opened", [False, True])
def test_days_that_wait_for_a_rebuild_are_not_wrong(installation: Installation, listener: User, opened: bool) -> None:
    day = change_rollup(installation, **{"$inc": {"total_plays": 1}})
    marks: ChangeMarks = installation.store.marks
    change = marks.open(listener.user_id, "listening_history", [str(day)])
    if not opened:
        marks.close(change)
    found = examined(installation, audit.daily_rollups_match_history, listener)
    assert (found.passed, found.numbers["waiting_for_a_rebuild"]) == (True, 1)


def meanwhile(monkeypatch: pytest.MonkeyPatch, reader: str, act: Callable[[int], None]) -> None:
    """Call a function after each read of an audit, with the number of reads so far."""
    read, calls = getattr(AuditStore, reader), iter(range(99))

    def reading(store: AuditStore, *arguments: Any, **options: Any) -> Any:
        found = read(store, *arguments, **options)
        found = list(found) if reader == "plays" else found
        act(next(calls))
        return found

    monkeypatch.setattr(AuditStore, reader, reading)


def test_a_rebuild_while_a_check_reads_is_no_mismatch(
    installation: Installation, listener: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = change_rollup(installation, **{"$inc": {"total_plays": 1}})

    def rebuild(call: int) -> None:
        if call == 0:  # after the old rollup was read; its mark is removed before the audit looks for marks
            installation.store.marks.ask(listener.user_id, "daily_rollups", [str(day)])
            catch_up(installation, listener)

    meanwhile(monkeypatch, "rollups", rebuild)
    found = examined(installation, audit.daily_rollups_match_history, listener)
    assert (found.passed, found.numbers["waiting_for_a_rebuild"]) == (True, 0)


def test_while_syncs_go_on_nothing_is_said_of_a_day(
    installation: Installation, listener: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_rollup(installation, **{"$inc": {"total_plays": 1}})
    marks: ChangeMarks = installation.store.marks
    meanwhile(
        monkeypatch, "plays", lambda call: marks.mark(listener.user_id, "listening_history", [f"2020-01-0{call + 1}"])
    )
    found = examined(installation, audit.daily_rollups_match_history, listener)
    assert (found.passed, found.numbers["waiting_for_a_rebuild"]) == (True, 1)


def test_a_crash_of_an_examination_is_not_a_finding(
    installation: Installation, listener: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(call: int) -> None:
        raise OSError("gone")

    meanwhile(monkeypatch, "plays", broken)
    with pytest.raises(OSError, match="gone"):
        examined(installation, audit.daily_rollups_match_history, listener)


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"$inc": {"total_tracks_played": 1}}, "total"),
        ({"$inc": {"unique_tracks": 1}}, "unique_tracks"),
        ({"$inc": {"hourly_distribution.0.count": 1}}, "hourly"),
        ({"$inc": {"daily_distribution.0.total_ms": 1}}, "daily"),
        ({"$set": {"period_start": NOW}}, "period_start"),
    ],
)
def test_a_snapshot_that_says_something_else_is_found(
    installation: Installation, listener: User, changes: dict[str, Any], differs: str
) -> None:
    snapshots = installation.store.db["analytics_snapshots"]
    snapshots.update_one({"period": "month"}, changes)
    found = examined(installation, audit.analytics_snapshots_match_rollups, listener)
    assert (found.passed, found.severity) == (False, "WARN")
    assert (found.numbers["snapshots"], found.numbers["mismatches"]) == (5, 1)
    assert (found.rows[0]["snapshot"], found.rows[0]["differs"]) == ("month", differs)
    assert "materialize analytics_snapshots" in found.description
    assert_numbers_differ(found.description)
    installation.store.marks.ask(listener.user_id, "analytics_snapshots")
    waiting = examined(installation, audit.analytics_snapshots_match_rollups, listener)
    assert (waiting.passed, waiting.numbers["waiting_for_a_rebuild"]) == (True, 5)


def test_a_snapshot_that_is_missing_is_found(installation: Installation, listener: User) -> None:
    installation.store.db["analytics_snapshots"].delete_one({"period": "year"})
    found = examined(installation, audit.analytics_snapshots_match_rollups, listener)
    assert [(row["snapshot"], row["differs"]) for row in found.rows] == [("year", "no document")]
    assert f"the worst, year of {listener.partition_key}, is missing (no document)" in found.description


def test_yesterdays_snapshots_are_judged_by_their_own_days(installation: Installation, listener: User) -> None:
    installation.clock.advance(timedelta(days=3))
    assert examined(installation, audit.analytics_snapshots_match_rollups, listener).passed


def test_a_day_with_more_listening_than_hours_is_found(installation: Installation, listener: User) -> None:
    installation.store.users.set_timezone(listener.user_id, "America/New_York")
    moved = installation.store.users.find(listener.partition_key)
    rollups = installation.store.db["daily_rollups"]
    rollup = newest_rollup(installation)
    del rollup["_id"]
    hours = {"2025-03-09": 23.5, "2024-11-03": 24.5, "2024-06-01": 24.5}
    rollups.insert_many(
        [{**rollup, "date": day, "total_ms": round(hour * audit.HOUR_MS)} for day, hour in hours.items()]
    )
    found = examined(installation, audit.no_day_is_overlong, moved)
    assert (found.passed, found.severity, found.numbers["overlong_days"]) == (False, "WARN", 2)
    assert {row["date"]: row["hours_of_the_day"] for row in found.rows} == {"2025-03-09": 23, "2024-06-01": 24}
    assert "More hours of listening than the day has on 2 days" in found.description
    autumn = DayWindow(date(2024, 11, 3), date(2024, 11, 3))
    assert examined(installation, audit.no_day_is_overlong, moved, window=autumn).passed


@pytest.mark.parametrize(
    ("collection", "index", "examine", "severity"),
    [
        ("daily_rollups", "uniq_user_date", audit.daily_rollups_are_unique, "ERROR"),
        ("analytics_snapshots", "uniq_user_period", audit.analytics_snapshots_are_unique, "WARN"),
    ],
)
def test_two_documents_in_one_place_are_found(
    installation: Installation, listener: User, collection: str, index: str, examine: Examination, severity: str
) -> None:
    documents = installation.store.db[collection]
    documents.drop_index(index)
    first = documents.find_one({}, {"_id": 0})
    assert first is not None
    documents.insert_one(first)
    found = examined(installation, examine, listener)
    assert (found.passed, found.severity, found.numbers["too_many"]) == (False, severity, 1)
    assert f"1 document of {collection} too many" in found.description
    assert found.rows == [{"user": listener.partition_key, "too_many": 1}]


def test_a_length_that_becomes_known_has_its_day_rebuilt(installation: Installation, listener: User) -> None:
    at = NOW - timedelta(days=40)
    add_play(installation, listener, at)
    day = str(local_date(at, AuditedUser(listener, None).zone))
    installation.store.marks.ask(listener.user_id, "daily_rollups", [day])
    catch_up(installation, listener)
    fill_tracks(installation.store, [Track(spotify_id="t" * 22, name="T", duration_ms=60_000)])
    assert day in {str(waiting) for waiting in installation.store.marks.pending_days(listener.user_id)}
    assert examined(installation, audit.daily_rollups_match_history, listener).passed, "the day waits"
    catch_up(installation, listener)
    found = examined(installation, audit.daily_rollups_match_history, listener)
    assert (found.passed, found.numbers["waiting_for_a_rebuild"]) == (True, 0)
    fill_tracks(installation.store, [Track(spotify_id="t" * 22, name="T", duration_ms=60_000)])
    assert installation.store.marks.pending_days(listener.user_id) == set()
