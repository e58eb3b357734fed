"""A user with songs to make playlists of, in a database."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pytest

from echostats_pipeline.model.playlists import GeneratedPlaylist
from echostats_pipeline.model.users import User
from echostats_pipeline.playlists.building import PlaylistBuilder
from echostats_pipeline_tests.conftest import NOW, Pipeline

SONGS = 400
CALM = "calm, energy below 0.6"


@pytest.fixture
def listener(pipeline: Pipeline) -> User:
    """A user who has played many songs of the simulated catalogue, all of them with audio features."""
    user = pipeline.connect()
    world = pipeline.installation.simulator.world
    tracks, plays = [], []
    for number, track in enumerate(list(world.releases.tracks.values())[:SONGS]):
        features = world.releases.audio_features.get(track.id)
        tracks.append(
            {
                "spotify_id": track.id,
                "name": track.name,
                "artists": [{"spotify_id": each.id, "name": each.name} for each in track.artists],
                "album": {"spotify_id": track.album.id, "name": track.album.name, "release_date": "1999-01-01"},
                "duration_ms": track.duration_ms,
                "genres": list(track.artists[0].genres),
                "enriched_at": NOW,
                "changed_at": NOW,
                "fetched_at": NOW,
                "audio_features": None if features is None else asdict(features),
            }
        )
        plays.append(play(user, track.id, NOW - timedelta(days=1 + number % 200, minutes=number)))
    pipeline.store.db["tracks"].insert_many(tracks)
    pipeline.store.db["listening_history"].insert_many(plays)
    pipeline.store.marks.mark(user.user_id, "listening_history", ["2025-06-01"])
    return user


def play(user: User, track_id: str, at: datetime, **more: Any) -> dict[str, Any]:
    """A play as the core stores it."""
    track = {"spotify_id": track_id, "name": track_id, "artist_name": "", "album_name": "", "duration_ms": 200_000}
    context = {"context_type": "", "context_uri": "", "ms_played": None, "source": "api"}
    return {"user_id": user.user_id, "track": track, "played_at": at, **context, **more}


def builder(pipeline: Pipeline) -> PlaylistBuilder:
    return PlaylistBuilder(pipeline.store, pipeline.installation.settings, pipeline.installation.now())


def ids(made: GeneratedPlaylist) -> list[str]:
    return [track.spotify_id for track in made.tracks]
