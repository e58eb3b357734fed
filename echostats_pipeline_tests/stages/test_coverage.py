"""Coverage by files and syncs is stored, uncovered time is reported, and an import that covers it closes the gap."""

from datetime import UTC, datetime, timedelta

import pytest

from echostats_pipeline.model.operations import FileImport
from echostats_pipeline.model.plays import RecentlyPlayedItem, RecentlyPlayedPage, TrackSnapshot
from echostats_pipeline.model.users import User
from echostats_pipeline.stages.coverage import cover_imports, cover_sync, ensure_spans
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW

DAY = timedelta(days=1)


@pytest.fixture
def user(store: Store) -> User:
    return store.users.connect({"spotify_id": "ann"}, authorized_at=NOW, simulated=False)


def file(user: User, first: int, last: int, kind: str = "extended", name: str = "a.json") -> FileImport:
    """A file that spans from and to these numbers of days ago."""
    span = {"first_played_at": NOW - first * DAY, "last_played_at": NOW - last * DAY}
    return FileImport(user_id=user.user_id, file_name=name, format=kind, status="completed", **span)


def page(user: User, oldest: datetime, read: datetime, *, full: bool = True) -> RecentlyPlayedPage:
    item = RecentlyPlayedItem(track=TrackSnapshot(spotify_id="t"), played_at=oldest)
    return RecentlyPlayedPage(user_id=user.user_id, items=[item], full=full, fetched_at=read)


def unknown(store: Store, user: User) -> list[tuple[int, int]]:
    """Open unknown periods, in days ago."""
    return [
        ((NOW - gap.from_) // DAY, (NOW - gap.to) // DAY)
        for gap in store.coverage.open_gaps(user.user_id)
        if gap.kind == "unknown"
    ]


def test_exports_that_do_not_touch_leave_the_time_between_unknown_until_one_covers_it(store: Store, user: User) -> None:
    cover_imports(store, user, [file(user, 1000, 900), file(user, 899, 800)], NOW)
    cover_imports(store, user, [file(user, 700, 600, "echotune"), file(user, 500, 400, "lastfm_csv")], NOW)
    assert unknown(store, user) == [(800, 700), (600, 0)]
    cover_sync(store, user, page(user, NOW - 2 * DAY, NOW), NOW)
    assert unknown(store, user) == [(800, 700), (600, 2)]
    assert cover_imports(store, user, [file(user, 650, 100, name="later.json")], NOW) == 0
    assert unknown(store, user) == [(800, 700), (100, 2)]
    assert cover_imports(store, user, [file(user, 900, 1, name="all.json")], NOW) == 2
    assert unknown(store, user) == []
    assert store.db["listening_gaps"].distinct("closed_by") == ["all.json"]
    assert len(store.coverage.spans(user.user_id)) == 3


def test_syncs_whose_pages_overlap_are_one_span_and_a_short_page_goes_on_with_it(store: Store, user: User) -> None:
    cover_sync(store, user, page(user, NOW - 9 * DAY, NOW - 8 * DAY), NOW - 8 * DAY)
    cover_sync(store, user, page(user, NOW - 8.5 * DAY, NOW - 7 * DAY), NOW - 7 * DAY)
    assert len(store.coverage.spans(user.user_id)) == 1
    cover_sync(store, user, page(user, NOW - 5 * DAY, NOW - 4 * DAY, full=False), NOW - 4 * DAY)
    assert len(store.coverage.spans(user.user_id)) == 1
    cover_sync(store, user, page(user, NOW - 1 * DAY, NOW), NOW)
    assert [span.from_ for span in store.coverage.spans(user.user_id)] == [NOW - 9 * DAY, NOW - 1 * DAY]
    assert list(store.marks.pending("analytics_snapshots")) == [user.user_id]


def test_a_database_of_an_earlier_version_gets_its_spans_from_what_it_recorded(store: Store, user: User) -> None:
    for each in (file(user, 1000, 900), file(user, 300, 200, "basic", "b.json")):
        store.imports.begin(each)
    play = {"user_id": user.user_id, "source": "api", "played_at": NOW - 20 * DAY, "track": {"spotify_id": "t"}}
    store.db["listening_history"].insert_one(play)
    store.users.synced(user.user_id, NOW)
    ensure_spans(store, store.users.find("ann"), NOW)
    assert [span.source for span in store.coverage.spans(user.user_id)] == ["basic", "extended", "recently_played"]
    assert unknown(store, user) == [(900, 300), (200, 20)]
    assert store.coverage.stretches(user.user_id)[-1].start == datetime.fromtimestamp((NOW - 20 * DAY).timestamp(), UTC)
