"""Recently-played responses in the database: kept until they are merged, and not twice."""

from datetime import datetime, timedelta

from echostats_pipeline.model.plays import RecentlyPlayedItem, RecentlyPlayedPage, TrackSnapshot
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW

MS = timedelta(milliseconds=1)


def page(*stamps: datetime, fetched_at: datetime = NOW, full: bool = False) -> RecentlyPlayedPage:
    items = [RecentlyPlayedItem(track=TrackSnapshot(spotify_id="t"), played_at=stamp) for stamp in stamps]
    return RecentlyPlayedPage(user_id="u", items=items, full=full, fetched_at=fetched_at)


def test_a_page_is_kept_until_it_is_merged(store: Store) -> None:
    assert store.pages.keep(page(NOW, full=True))
    (kept,) = store.pages.unmerged("u")
    assert (kept.items, kept.full, kept.merged_at) == (page(NOW).items, True, None)
    store.pages.mark_merged(kept, NOW)
    assert store.pages.unmerged("u") == []


def test_the_same_answer_again_and_an_empty_one_are_not_kept(store: Store, db: Db) -> None:
    assert not store.pages.keep(page())
    assert store.pages.keep(page(NOW))
    assert not store.pages.keep(page(NOW, fetched_at=NOW + MS))
    assert store.pages.keep(page(NOW, NOW - MS, fetched_at=NOW + MS))
    assert db["recently_played"].count_documents({}) == 2


def test_pages_come_oldest_first(store: Store) -> None:
    store.pages.keep(page(NOW, fetched_at=NOW))
    store.pages.keep(page(NOW - MS, fetched_at=NOW - MS))
    assert [kept.fetched_at for kept in store.pages.unmerged("u")] == [NOW - MS, NOW]
