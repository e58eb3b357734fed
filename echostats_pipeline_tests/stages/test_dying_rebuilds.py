"""A process that dies at any write of a rebuild leaves only stale documents that the sensors find."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from echostats_pipeline.accounts.removal import remove_user
from echostats_pipeline.stages.statistics import rebuild_snapshots
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.stages.dying_rebuilds import dying_statistics
from echostats_pipeline_tests.stages.merge_steps import DiedError
from echostats_pipeline_tests.stages.statistics_oracle import check_truth, rebuild_waiting

SUNDAY = datetime(2023, 12, 31, 12, tzinfo=UTC)
"""On the day after this, week, month and year are new."""
MOST_WRITES = 40


def listen(store: Store, user_id: str, at: datetime) -> None:
    track = {"spotify_id": "t", "name": "T", "artist_name": "A", "album_name": "B", "duration_ms": 200_000}
    store.db["listening_history"].insert_one(
        {"user_id": user_id, "played_at": at, "track": track, "ms_played": 60_000, "source": "import"}
    )
    store.marks.ask(user_id, "daily_rollups", [at.date().isoformat()])


def test_a_rebuild_of_days_may_die_at_any_write(store: Store, scratch: Store) -> None:
    user = store.users.connect({"spotify_id": "ann"}, authorized_at=SUNDAY, simulated=False)
    for lives in range(MOST_WRITES):
        listen(store, user.user_id, SUNDAY - timedelta(days=lives % 3, minutes=lives))
        try:
            rebuild_waiting(dying_statistics(store.db, lives), user)
        except DiedError:
            check_truth(store, scratch, SUNDAY)
        else:
            assert lives > 3, "it has died at some writes"
            return
    raise AssertionError("it never lived")


def test_a_rebuild_of_snapshots_may_die_at_any_write_after_midnight(store: Store, scratch: Store) -> None:
    for lives in range(MOST_WRITES):
        profile = {"spotify_id": f"user {lives}"}
        user = store.users.connect(profile, authorized_at=SUNDAY, simulated=False)
        listen(store, user.user_id, SUNDAY - timedelta(days=1))
        check_truth(store, scratch, SUNDAY)
        with suppress(DiedError):
            rebuild_snapshots(dying_statistics(store.db, lives), user, SUNDAY + timedelta(days=1))
            assert lives > 10, "it has died at some writes"
            return
        check_truth(store, scratch, SUNDAY + timedelta(days=1))
        remove_user(store, user, SUNDAY)
    raise AssertionError("it never lived")
