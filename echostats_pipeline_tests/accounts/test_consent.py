"""Consent: attempts, expiry, and users whose days move to another zone."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from echostats_pipeline.accounts.consent import CONSENT_LIFE, ConsentAttempt, consent_left, move_days, resume
from echostats_pipeline.errors import ConsentNotGiven, EchostatsError
from echostats_pipeline.model.users import User
from echostats_pipeline.spotify.oauth import SpotifyApp, challenge
from echostats_pipeline.stages.statistics import rebuild_rollups, rebuild_snapshots
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import DayWindow, local_date
from echostats_pipeline_tests.conftest import NOW, Counted, documents

APP = SpotifyApp(client_id="app", redirect_uri="http://127.0.0.1:8888/callback")


@pytest.fixture
def user(store: Store) -> User:
    return store.users.connect({"spotify_id": "ann", "display_name": "Ann"}, authorized_at=NOW, simulated=False)


@pytest.fixture
def play(store: Store, user: User) -> Callable[[datetime], None]:
    """Store a play of the user that ended then."""

    def stored(at: datetime) -> None:
        track = {"spotify_id": "t1", "name": "T", "artist_name": "A", "album_name": "B", "duration_ms": 200_000}
        store.db["listening_history"].insert_one(
            {"user_id": user.user_id, "played_at": at, "track": track, "ms_played": 200_000}
        )

    return stored


def test_an_attempt_is_pkce_unless_the_app_has_a_secret() -> None:
    public, secret = ConsentAttempt.of(APP), ConsentAttempt.of(SpotifyApp("app", APP.redirect_uri, SecretStr("s")))
    assert public.verifier is not None
    assert f"code_challenge={challenge(public.verifier)}" in public.address
    assert public.verifier not in public.address
    assert secret.verifier is None
    assert "code_challenge" not in secret.address
    assert public.state != secret.state


def test_an_attempt_takes_only_its_own_answer() -> None:
    attempt, other = ConsentAttempt.of(APP), ConsentAttempt.of(APP)
    address = f"/callback?code=abc&state={attempt.state}"
    assert attempt.code(address) == "abc"
    assert attempt.is_answered_by(address)
    assert attempt.is_answered_by(f"/callback?error=access_denied&state={attempt.state}")
    assert not other.is_answered_by(address)
    assert not other.is_answered_by("/callback")
    with pytest.raises(ConsentNotGiven, match="another attempt"):
        other.code(address)


def test_a_consent_ends_half_a_year_after_it_was_given(user: User) -> None:
    assert consent_left(user, NOW) == CONSENT_LIFE == timedelta(days=182)
    assert consent_left(user, NOW + timedelta(days=183)) == timedelta(days=-1)
    assert consent_left(user.model_copy(update={"authorized_at": None}), NOW) is None


def test_a_paused_user_is_resumed_but_not_one_whose_consent_is_gone(store: Store, user: User) -> None:
    store.users.set_status(user.user_id, "paused")
    resume(store, store.users.find("ann"))
    assert store.users.find("ann").status == "active"
    store.users.set_status(user.user_id, "needs_reauth")
    with pytest.raises(EchostatsError, match="echostats connect"):
        resume(store, store.users.find("ann"))
    assert store.users.find("ann").status == "needs_reauth"


def test_every_day_from_the_first_to_the_last_play_waits_in_both_zones(
    store: Store, user: User, play: Callable[[datetime], None]
) -> None:
    play(datetime(2025, 3, 1, 23, 30, tzinfo=UTC))
    play(datetime(2025, 3, 4, 0, 30, tzinfo=UTC))
    east = move_days(store, user, "Asia/Tokyo")
    assert east == DayWindow(date(2025, 3, 1), date(2025, 3, 4))
    moved = store.users.find("ann")
    assert moved.timezone == "Asia/Tokyo"
    assert store.marks.pending_days(user.user_id) == set(east.dates())
    west = move_days(store, moved, "America/Lima")
    assert west == DayWindow(date(2025, 3, 1), date(2025, 3, 4))


def test_a_rebuild_after_a_move_leaves_no_day_of_the_old_zone(
    store: Store, user: User, play: Callable[[datetime], None], progress: Counted
) -> None:
    for hour in range(0, 96, 7):
        play(datetime(2025, 3, 1, tzinfo=UTC) + timedelta(hours=hour))
    days = {local_date(play["played_at"], ZoneInfo("UTC")) for play in store.db["listening_history"].find()}
    rebuild_rollups(store, user, days, min_play_ms=0, progress=progress)
    move_days(store, user, "Pacific/Kiritimati")
    moved = store.users.find("ann")
    rebuild_rollups(store, moved, store.marks.pending_days(user.user_id), min_play_ms=0, progress=progress)
    after = documents(store.db, "daily_rollups", without=("_id", "computed_at", "updated_at"))
    store.db["daily_rollups"].delete_many({})
    everything = DayWindow(date(2025, 2, 25), date(2025, 3, 10)).dates()
    rebuild_rollups(store, moved, list(everything), min_play_ms=0, progress=progress)
    assert after == documents(store.db, "daily_rollups", without=("_id", "computed_at", "updated_at"))
    assert store.marks.pending_days(user.user_id) == set()


def test_a_user_without_plays_moves_without_a_rebuild(store: Store, user: User) -> None:
    assert move_days(store, user, "Asia/Tokyo") is None
    assert store.users.find("ann").timezone == "Asia/Tokyo"
    assert store.marks.pending_days(user.user_id) == set()


def test_the_snapshots_of_a_moved_user_are_rebuilt_though_no_day_may_change(store: Store, user: User) -> None:
    rebuild_snapshots(store, user, NOW)
    move_days(store, user, "Asia/Tokyo")
    assert list(store.marks.pending("analytics_snapshots")) == [user.user_id]
    rebuild_snapshots(store, store.users.find("ann"), NOW)
    assert store.statistics.snapshot(user.user_id, "week").period_end == datetime(2025, 6, 15, 15, tzinfo=UTC)
    assert store.marks.pending("analytics_snapshots") == {}
