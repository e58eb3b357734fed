"""A user with a few plays to make rules about."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.model.catalog import ArtistRef, Track
from echostats_pipeline.model.rules import Rule
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.stages.credits import storing_tracks
from echostats_pipeline.stages.rule_wishes import Wishes
from echostats_pipeline.stages.rules import RuleBook
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.stages.statistics_oracle import MIN_PLAY_MS

SETTINGS = Settings(home=Path())
NOW = datetime(2024, 5, 15, 12, tzinfo=UTC)
ASLEEP, AWAKE, OTHER, TRACK = (letter * 22 for letter in "saot")
PLAYLIST = "p" * 22
ARTIST = "A" * 22


def listen(store: Store, user: User, at: datetime, track: str, artist: str, **more: Any) -> None:
    names = {"name": f"Title of {artist}", "artist_name": artist, "album_name": f"Album of {artist}"}
    store.db["listening_history"].insert_one(
        {
            "user_id": user.user_id,
            "played_at": at,
            "track": {"spotify_id": track, **names, "duration_ms": 200_000},
            "ms_played": 60_000,
            "source": "import",
            "context_uri": "",
            **more,
        }
    )


@pytest.fixture
def ann(store: Store) -> User:
    """A user who has heard Sleep Sounds at night on five of ten days, and something else at noon on each."""
    user = store.users.connect({"spotify_id": "ann", "display_name": "Ann"}, authorized_at=NOW, simulated=False)
    for day in range(10):
        noon = NOW - timedelta(days=day, hours=1)
        listen(store, user, noon, AWAKE, "Björk", context_uri=f"spotify:playlist:{PLAYLIST}")
        listen(store, user, noon + timedelta(minutes=3), OTHER, "Prince", playback={"incognito": day == 3})
        if day % 2:
            listen(store, user, noon - timedelta(hours=9), ASLEEP, "Sleep Sounds")
    store.marks.mark(user.user_id, "listening_history", [str(NOW.date() - timedelta(days=day)) for day in range(10)])
    store.db["artists"].insert_one({"spotify_id": ARTIST, "name": "Prince", "genres": [], "images": []})
    store.db["playlists"].insert_one({"user_id": user.user_id, "spotify_id": PLAYLIST, "name": "Morning"})
    return user


def book(store: Store, user: User) -> RuleBook:
    return RuleBook(store, user, MIN_PLAY_MS)


def wishes(store: Store, user: User) -> Wishes:
    return Wishes(book(store, user))


def add(store: Store, user: User, rule: Rule) -> tuple[Rule, set[date]]:
    return book(store, user).add(rule)


def all_time(store: Store, user: User) -> dict[str, Any]:
    return store.db["analytics_snapshots"].find_one({"user_id": user.user_id, "period": "all_time"}) or {}


def learn(store: Store, user: User, track: str, *artists: tuple[str, str]) -> set[date]:
    """Store the artists of a track; returns the days that wait for a rebuild then."""
    refs = [ArtistRef(spotify_id=spotify_id, name=name) for spotify_id, name in artists]
    with storing_tracks(store) as stored:
        stored.put([Track(spotify_id=track, name="Title", artists=refs, enriched_at=NOW)], at=NOW)
    store.mark_all_snapshots()
    return store.marks.pending_days(user.user_id)
