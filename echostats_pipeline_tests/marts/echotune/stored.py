"""What the core has stored of a user: plays, tracks, playlists, lists of the recommender."""

from datetime import UTC, datetime, timedelta
from typing import Any

from echostats_pipeline.model.users import User
from echostats_pipeline.stages.statistics import rebuild_snapshots
from echostats_pipeline.storage.database import Document
from echostats_pipeline_tests.marts.echotune.conftest import Installed
from echostats_pipeline_tests.stages.statistics_oracle import catch_up

NOW = datetime(2025, 6, 15, 12, tzinfo=UTC)
TRACKS = tuple(f"{number:022d}" for number in range(40))


def connect(echotune: Installed, name: str = "ann") -> User:
    profile = {"spotify_id": name, "display_name": name.title(), "product": "premium", "country": "NL"}
    return echotune.store.users.connect(profile, authorized_at=NOW, simulated=False, timezone="Europe/Amsterdam")


def play(user: User, track: str, ended_at: datetime, **fields: Any) -> Document:
    named = {"name": f"Song {int(track)}", "artist_name": f"Artist {int(track) % 5}", "album_name": "Album"}
    return {
        "user_id": user.user_id,
        "track": {"spotify_id": track, **named, "album_image_url": "", "duration_ms": 200_000},
        "played_at": ended_at,
        "ms_played": 200_000,
        "source": "import",
        "context_type": "playlist",
        "context_uri": "spotify:playlist:x",
        "played_at_estimated": False,
        **fields,
    }


def listen(echotune: Installed, user: User, plays: list[Document]) -> None:
    """Store plays with their tracks, and build the statistics."""
    store = echotune.store
    days = {str(each["played_at"].date() + timedelta(days=add)) for each in plays for add in (0, 1)}
    with store.marks.changing(user.user_id, days):
        store.db["listening_history"].insert_many(plays)
    names = {each["track"]["spotify_id"]: each["track"] for each in plays}
    stored = set(store.db["tracks"].distinct("spotify_id"))
    new = [catalogue_track(track, name) for track, name in names.items() if track not in stored]
    if new:
        store.db["tracks"].insert_many(new)
        store.marks.mark(user.user_id, "catalog")
    catch_up(store, NOW)
    rebuild_snapshots(store, user, NOW)


def catalogue_track(track: str, name: Document) -> Document:
    return {
        "spotify_id": track,
        "name": name["name"],
        "artists": [{"spotify_id": f"artist{int(track) % 5}", "name": name["artist_name"]}],
        "album": {"spotify_id": "album", "name": "Album", "image_url": "https://i/x", "release_date": "2001-05"},
        "duration_ms": 200_000,
        "popularity": 50,
        "explicit": False,
        "genres": ["rock"],
        "audio_features": {"energy": 0.5, "valence": 0.25, "danceability": 0.5, "acousticness": 0.0, "tempo": 120.0},
        "enriched_at": NOW,
        "changed_at": NOW,
    }


def history(user: User, days: int, *, before: datetime = NOW) -> list[Document]:
    return [
        play(user, TRACKS[(day * 7 + number) % len(TRACKS)], before - timedelta(days=day, minutes=10 * number))
        for day in range(days)
        for number in range(3)
    ]


def playlist(user: User, **fields: Any) -> Document:
    row = {"spotify_id": TRACKS[0], "name": "Song 0", "artist_name": "Artist 0", "album_name": "A", "duration_ms": 1}
    return {
        "user_id": user.user_id,
        "spotify_id": "p1",
        "name": "Rain",
        "description": "for sundays",
        "public": True,
        "collaborative": False,
        "owner_id": "ann",
        "tracks": [{**row, "added_at": NOW - timedelta(days=3)}, {**row, "added_at": None}],
        **fields,
    }


def recommended(user: User, made_at: datetime) -> Document:
    tracks = [
        {
            "rank": number,
            "spotify_id": TRACKS[number],
            "name": f"Song {number}",
            "artist_name": "Artist",
            "album_name": "",
            "audio_features": {},
            "score": 0.9,
            "score_shares": {"basket_knn": 0.75, "content": 0.25},
            "reason": "Others here play it along with “Song 3”, which you play.",
            "reason_kind": "collaborative" if number % 2 else "features",
            "supporting": [{"spotify_id": TRACKS[3], "name": "Song 3", "artist_name": "Artist"}],
        }
        for number in range(10, 16)
    ]
    return {
        "user_id": user.user_id,
        "task": "discover",
        "strategy": "hybrid",
        "model": "hybrid",
        "is_baseline": False,
        "why": "It is surely better than popularity.",
        "confidence": 0.4,
        "created_at": made_at,
        "tracks": tracks,
        "further": [
            {
                "strategy": strategy,
                "mood": "",
                "targets": {},
                "model": model,
                "is_active": False,
                "confidence": 0.2,
                "tracks": [tracks[0], *({**each, "spotify_id": TRACKS[first + each["rank"]]} for each in tracks)],
            }
            for strategy, model, first in (("collaborative", "basket_knn", 6), ("content_based", "content", 12))
        ],
    }
