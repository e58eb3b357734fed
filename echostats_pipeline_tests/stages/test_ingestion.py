"""Recently played plays into the history, against the simulated Spotify and hand-written responses."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from echostats_pipeline.model.users import User
from echostats_pipeline.simulator.world import is_shown
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.transport import Request, Response
from echostats_pipeline.stages.ingestion import MergeResult, merge_pages, read_recently_played
from echostats_pipeline.storage.plays import PlayStore
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.history.play_changes import PlayChanges
from echostats_pipeline_tests.conftest import NOW, Installation, documents

API = "https://api.spotify.com"


def sync(installation: Installation, user: User) -> MergeResult:
    with installation.client(user) as client:
        read_recently_played(installation.store, client, user, installation.now())
    return merge_pages(installation.store, user, installation.now())


def stored(store: Store, user: User) -> list[tuple[datetime, str]]:
    found = store.db["listening_history"].find({"user_id": user.user_id})
    return sorted((play["played_at"], play["track"]["spotify_id"]) for play in found)


def truth(installation: Installation, user: User, start: datetime, end: datetime) -> list[tuple[datetime, str]]:
    plays = installation.simulator.world.plays(installation.person(user), start, end)
    return sorted((play.played_at, play.track.id) for play in plays if is_shown(play) and play.track)


def answering(*rows: dict[str, Any] | None) -> SpotifyClient:
    def handler(request: Request) -> Response:
        assert request.endpoint == "/v1/me/player/recently-played?limit=50"
        return Response(200, body=json.dumps({"items": list(rows), "next": None}).encode())

    return SpotifyClient(handler, API)


def row(played_at: datetime, track_id: str | None = "4uLU6hMCjMI75M1A2tKUQC", **track: Any) -> dict[str, Any]:
    body = {
        "type": "track",
        "id": track_id,
        "name": "Name",
        "duration_ms": 180_000,
        "artists": [{"id": "06HL4z0CvFAxyc27GXpf02", "name": "Artist"}],
        "album": {"id": "1ATL5GLyefJaxhQzSPVrLX", "name": "Album", "images": []},
        **track,
    }
    return {"played_at": played_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "track": body}


def test_the_history_is_what_was_played(installation: Installation) -> None:
    user = installation.connect()
    start = installation.now() - timedelta(hours=6)
    for _ in range(12):
        sync(installation, user)
        installation.clock.advance(timedelta(hours=6))
    sync(installation, user)
    assert installation.store.db["listening_gaps"].count_documents({}) == 0
    expected = truth(installation, user, start, installation.now() + timedelta(milliseconds=1))
    assert len(expected) > 50
    assert [play for play in stored(installation.store, user) if play[0] >= start] == expected


def test_syncing_twice_adds_nothing(installation: Installation) -> None:
    user = installation.connect()
    first = sync(installation, user)
    assert first.outcomes == {"inserted": 50}
    before = documents(installation.store.db, "listening_history", without=())
    assert sync(installation, user).outcomes.total() == 0
    assert documents(installation.store.db, "listening_history", without=()) == before
    assert installation.store.db["recently_played"].count_documents({}) == 1


def test_overlapping_answers_add_only_what_is_new(installation: Installation) -> None:
    user = installation.connect()
    sync(installation, user)
    installation.clock.advance(timedelta(hours=7))
    merged = sync(installation, user)
    assert 0 < merged.outcomes["inserted"] < 50
    assert merged.outcomes.total() == 50
    assert len(stored(installation.store, user)) == 50 + merged.outcomes["inserted"]


def test_more_than_fifty_plays_since_the_last_sync_are_a_recorded_gap(installation: Installation) -> None:
    user = installation.connect()
    sync(installation, user)
    newest = installation.store.plays.newest(user.user_id)
    installation.clock.advance(timedelta(days=14))
    for _ in range(2):
        merged = sync(installation, user)
    assert merged.gaps == 0
    (gap,) = documents(installation.store.db, "listening_gaps")
    oldest_new = truth(installation, user, gap["from"], installation.now())[-50][0]
    assert gap == {
        "user_id": user.user_id,
        "from": newest,
        "to": oldest_new,
        "kind": "unseen",
        "detected_at": installation.now(),
        "closed_by": None,
    }


def test_two_users_never_share_a_play(installation: Installation) -> None:
    users = [installation.connect(number) for number in range(2)]
    for user in users:
        sync(installation, user)
    for user in users:
        plays = stored(installation.store, user)
        assert plays == truth(installation, user, plays[0][0], installation.now())


def test_the_tracks_of_the_answer_enter_the_catalogue_whole(installation: Installation) -> None:
    user = installation.connect()
    sync(installation, user)
    played = {track_id for _, track_id in stored(installation.store, user)}
    assert {track["spotify_id"] for track in documents(installation.store.db, "tracks")} == played
    assert installation.store.catalog.wanting("tracks", NOW) == []
    assert installation.store.catalog.wanting("artists", NOW)
    assert installation.store.catalog.wanting("albums", NOW)


def test_days_that_a_play_touches_wait_for_a_rebuild(installation: Installation) -> None:
    user = installation.connect()
    sync(installation, user)
    zone = installation.person(user).zone
    played = {stamp.astimezone(zone).date() for stamp, _ in stored(installation.store, user)}
    assert played <= installation.store.marks.pending_days(user.user_id)


@pytest.fixture
def user(store: Store) -> User:
    return store.users.connect({"spotify_id": "ann"}, authorized_at=NOW, simulated=False)


def test_rows_without_a_track_and_episodes_are_counted_and_not_plays(store: Store, user: User) -> None:
    client = answering(None, {"played_at": "2025-06-15T10:00:00Z", "track": None}, row(NOW), row(NOW, type="episode"))
    counts = read_recently_played(store, client, user, NOW)
    assert (counts.rows, counts.tracks, counts.without_track, counts.not_music) == (4, 1, 2, 1)
    assert merge_pages(store, user, NOW).outcomes == {"inserted": 1}


def test_an_answer_of_nothing_but_nulls_changes_nothing(store: Store, user: User) -> None:
    assert read_recently_played(store, answering(None, None), user, NOW).rows == 2
    assert read_recently_played(store, answering(), user, NOW).rows == 0
    assert merge_pages(store, user, NOW) == MergeResult()
    assert documents(store.db, "recently_played") == []


def withheld(played_at: datetime) -> dict[str, Any]:
    return {**row(played_at), "track": None}


def test_a_row_whose_track_spotify_withholds_is_a_gap_of_one_instant(store: Store, user: User) -> None:
    for _ in range(2):
        read_recently_played(store, answering(withheld(NOW)), user, NOW)
        merge_pages(store, user, NOW)
    (gap,) = documents(store.db, "listening_gaps")
    assert (gap["from"], gap["to"], gap["closed_by"]) == (NOW, NOW, None)


def test_a_row_that_names_its_track_later_closes_its_gap(store: Store, user: User) -> None:
    hour = timedelta(hours=1)
    read_recently_played(store, answering(withheld(NOW), withheld(NOW - hour)), user, NOW)
    assert merge_pages(store, user, NOW).gaps == 2
    read_recently_played(store, answering(row(NOW), withheld(NOW - hour)), user, NOW)
    assert merge_pages(store, user, NOW).gaps == 0
    closed = {gap["from"]: gap["closed_by"] for gap in documents(store.db, "listening_gaps")}
    assert closed == {NOW: "recently_played", NOW - hour: None}


def test_a_known_play_whose_track_is_withdrawn_later_is_no_gap(store: Store, user: User) -> None:
    for answer in (row(NOW), withheld(NOW)):
        read_recently_played(store, answering(answer), user, NOW)
        merge_pages(store, user, NOW)
    assert documents(store.db, "listening_gaps") == []
    assert len(documents(store.db, "listening_history")) == 1


def test_local_files_are_plays_with_a_stable_id_that_spotify_is_never_asked_for(store: Store, user: User) -> None:
    local = row(NOW, None, is_local=True, name="Mine", album={"name": ""}, artists=[{"id": None, "name": "Me"}])
    for _ in range(2):
        read_recently_played(store, answering(local), user, NOW)
        merge_pages(store, user, NOW)
    (play,) = documents(store.db, "listening_history")
    assert play["track"]["spotify_id"].startswith("local:")
    assert (play["track"]["name"], play["track"]["artist_name"]) == ("Mine", "Me")
    assert store.catalog.lacking(NOW) == {}


def test_a_late_row_with_an_old_stamp_is_found(store: Store, user: User) -> None:
    late = row(NOW - timedelta(days=3), "0" * 22)
    read_recently_played(store, answering(row(NOW)), user, NOW)
    merge_pages(store, user, NOW)
    read_recently_played(store, answering(row(NOW), late), user, NOW)
    assert merge_pages(store, user, NOW).outcomes == {"inserted": 1, "duplicate": 1}
    assert (NOW - timedelta(days=3)).date() in store.marks.pending_days(user.user_id)


def test_a_first_full_answer_is_no_gap(store: Store, user: User) -> None:
    rows = [row(NOW - number * timedelta(minutes=4)) for number in range(50)]
    read_recently_played(store, answering(*rows), user, NOW)
    assert merge_pages(store, user, NOW).gaps == 0


@pytest.mark.parametrize("nulls", [0, 3])
def test_a_full_answer_counts_its_nulls_too(store: Store, user: User, nulls: int) -> None:
    read_recently_played(store, answering(row(NOW - timedelta(days=9))), user, NOW)
    merge_pages(store, user, NOW)
    rows = [row(NOW - number * timedelta(minutes=4)) for number in range(50 - nulls)]
    read_recently_played(store, answering(*rows, *[None] * nulls), user, NOW)
    assert merge_pages(store, user, NOW).gaps == 1


def test_an_answer_that_is_not_full_leaves_no_gap(store: Store, user: User) -> None:
    read_recently_played(store, answering(row(NOW - timedelta(days=9))), user, NOW)
    merge_pages(store, user, NOW)
    read_recently_played(store, answering(row(NOW)), user, NOW)
    assert merge_pages(store, user, NOW).gaps == 0


def test_what_was_read_and_not_merged_is_merged_by_the_next_run(installation: Installation) -> None:
    user, store = installation.connect(), installation.store
    with installation.client(user) as client:
        read_recently_played(store, client, user, installation.now())
    assert stored(store, user) == []
    installation.clock.advance(timedelta(days=14))
    merged = sync(installation, user)
    assert merged.outcomes == {"inserted": 100}
    assert merged.gaps == 1


class Breaking(PlayStore):
    """Dies at some point while it writes the result of a merge."""

    dies: Callable[[PlayStore, PlayChanges], None]

    def apply(self, changes: PlayChanges) -> None:
        type(self).dies(PlayStore(self._history.database), changes)
        raise ConnectionAbortedError


@pytest.mark.parametrize("written", [0, 20, 50])
def test_a_merge_that_dies_half_way_is_completed_by_the_next(installation: Installation, written: int) -> None:
    user, store = installation.connect(), installation.store
    expected = truth(installation, user, installation.now() - timedelta(days=30), installation.now())[-50:]

    class Dying(Breaking):
        @staticmethod
        def dies(plays: PlayStore, changes: PlayChanges) -> None:
            plays.apply(PlayChanges(inserts=changes.inserts[:written]))

    dying = Store.of(store.db)
    object.__setattr__(dying, "plays", Dying(store.db))
    with installation.client(user) as client:
        read_recently_played(dying, client, user, installation.now())
    with pytest.raises(ConnectionAbortedError):
        merge_pages(dying, user, installation.now())
    zone = installation.person(user).zone
    waiting = store.marks.pending_days(user.user_id)
    assert {stamp.astimezone(zone).date() for stamp, _ in stored(store, user)} <= waiting
    sync(installation, user)
    assert stored(store, user) == expected


def test_whoever_has_played_a_track_gets_new_snapshots_when_it_is_shown_otherwise(store: Store) -> None:
    ann, ben, cem = (
        store.users.connect({"spotify_id": name}, authorized_at=NOW, simulated=False) for name in ("ann", "ben", "cem")
    )

    def read(user: User, *rows: dict[str, Any]) -> None:
        read_recently_played(store, answering(*rows), user, NOW)
        merge_pages(store, user, NOW)

    def waiting() -> set[str]:
        found = set(store.marks.pending("analytics_snapshots"))
        store.db["change_marks"].delete_many({})
        return found

    other = "5uLU6hMCjMI75M1A2tKUQC"
    read(ann, row(NOW))
    read(ben, row(NOW))
    read(cem, row(NOW, other))
    waiting()
    read(ben, row(NOW), row(NOW - timedelta(hours=1), popularity=7))
    assert waiting() == set()
    read(ben, row(NOW), row(NOW - timedelta(hours=1)), row(NOW - timedelta(hours=2), name="Renamed"))
    assert waiting() == {ann.user_id, ben.user_id}
    read(ben, row(NOW), row(NOW - timedelta(hours=3), name="Renamed", external_ids={"isrc": "DEX1"}))
    assert waiting() == {ann.user_id, ben.user_id}
