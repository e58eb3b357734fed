"""Users with plays in a database, who share a taste or do not."""

from datetime import datetime, timedelta

import numpy as np

from echostats_pipeline.model.users import User
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW

SONG_MS = 200_000
TASTES = {"ann": (0, 1), "bob": (0,), "cay": (1,), "dee": (2,)}
"""Which of three groups of songs each user plays."""
SONGS_A_GROUP = 14


def track_id(number: int) -> str:
    return f"t{number:021d}"


def connect(store: Store, name: str, *, shares: bool, simulated: bool = False) -> User:
    user = store.users.connect({"spotify_id": name, "display_name": name}, authorized_at=NOW, simulated=simulated)
    store.users.set_sharing(user.user_id, shares=shares)
    return store.users.find(name)


def play(store: Store, user: User, songs: list[int], began: datetime) -> None:
    """Play songs one after the other."""
    store.db["listening_history"].insert_many(
        {
            "user_id": user.user_id,
            "track": {
                "spotify_id": track_id(song),
                "name": f"Song {song}",
                "artist_name": f"Artist {song // 2}",
                "album_name": "Album",
                "album_image_url": "",
                "duration_ms": SONG_MS,
            },
            "played_at": began + (place + 1) * timedelta(milliseconds=SONG_MS),
            "ms_played": SONG_MS,
            "source": "import",
        }
        for place, song in enumerate(songs)
    )


def household(store: Store, until: datetime = NOW) -> dict[str, User]:
    """Four users: ann shares the taste of bob and of cay; dee shares her plays with nobody."""
    rng = np.random.default_rng(5)
    found = {name: connect(store, name, shares=name != "dee") for name in TASTES}
    for name, groups in TASTES.items():
        for day in range(60):
            group = groups[day % len(groups)]
            # Ann has not heard the last third of each group.
            known = SONGS_A_GROUP * 2 // 3 if name == "ann" else SONGS_A_GROUP
            songs = group * SONGS_A_GROUP + rng.choice(known, size=5, replace=False)
            play(store, found[name], songs.tolist(), until - timedelta(days=60 - day, hours=2))
    return found
