"""Completes the catalogue after an import of 40,000 tracks, while the process is killed again and again.

python -m benchmarks.first_sync
"""

import argparse
import multiprocessing
import random
import time
from datetime import UTC, datetime, timedelta

import requests

from benchmarks.accounts import connect_everybody, installation
from benchmarks.measuring import NoProgress
from benchmarks.tokens import UNBOUNDED
from echostats_pipeline.accounts.connecting import StoredTokens, configured_spotify, reached, token_cipher
from echostats_pipeline.local.database import open_store
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.catalog import Track
from echostats_pipeline.settings import Settings
from echostats_pipeline.simulator.behaviour import Behaviour
from echostats_pipeline.simulator.world import World
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.stages.catalog import enrich_tracks
from echostats_pipeline.storage.store import Store

IDS_PER_CALL = 50
MOST_PLAYS = 5


def main() -> None:
    """Import, enrich and kill, and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=40_000)
    parser.add_argument("--kills", type=int, default=10)
    arguments = parser.parse_args()
    world = World(seed=1, user_count=1, track_count=arguments.tracks)
    with installation(world, Behaviour(rate_limit=0)) as (settings, store, simulator):
        (user,) = connect_everybody(settings, store, simulator)
        fill(store, user.user_id, list(world.catalogue.tracks))
        started = time.perf_counter()
        out_of_order = kill_again_and_again(settings, store, arguments.kills)
        enrich(settings)
        calls = requests.get(f"{simulator.base_url}/simulator/calls", timeout=10).json()["calls"]
        made = sum(row["total"]["successful"] for row in calls if row["family"] == "tracks")
        known = store.db["tracks"].count_documents({"enriched_at": {"$ne": None}})
    least = -(-arguments.tracks // IDS_PER_CALL)
    took = time.perf_counter() - started
    print(f"{known:,} of {arguments.tracks:,} tracks in {took:.0f} s, killed {arguments.kills} times")
    print(f"{made} calls, {least} at least: {made - least} repeated because their answers died unsaved")
    print(f"tracks read before one with more plays: {out_of_order}")


def fill(store: Store, user_id: str, track_ids: list[str]) -> None:
    """Store what an import leaves: plays, and a stub of each track."""
    store.catalog.add_stubs("tracks", [Track(spotify_id=track_id, name="") for track_id in track_ids])
    first = datetime(2020, 1, 1, tzinfo=UTC)
    plays = [
        {
            "user_id": user_id,
            "track": {"spotify_id": track_id, "duration_ms": 0},
            "played_at": first + timedelta(minutes=number * MOST_PLAYS + play),
        }
        for number, track_id in enumerate(track_ids)
        for play in range(1 + number % MOST_PLAYS)
    ]
    store.db["listening_history"].insert_many(plays, ordered=False)


def kill_again_and_again(settings: Settings, store: Store, kills: int) -> int:
    """Kill this number of processes at random moments. Return the number of tracks that were read too early."""
    out_of_order = 0
    for _ in range(kills):
        process = multiprocessing.get_context("spawn").Process(target=enrich, args=(settings,))
        process.start()
        process.join(random.uniform(1, 4))
        process.kill()
        process.join()
        plays = {
            row["_id"]: row["plays"]
            for row in store.db["listening_history"].aggregate(
                [{"$group": {"_id": "$track.spotify_id", "plays": {"$sum": 1}}}]
            )
        }
        read = {row["spotify_id"] for row in store.db["tracks"].find({"enriched_at": {"$ne": None}})}
        most_left = max((count for track, count in plays.items() if track not in read), default=0)
        out_of_order += sum(plays[track] < most_left for track in read)
    return out_of_order


def enrich(settings: Settings) -> None:
    """Read all missing entries."""
    with open_store(settings) as store, reached(store, UNBOUNDED, utc_now) as reach:
        (user,) = store.users.all()
        spotify = configured_spotify(settings)
        tokens = StoredTokens(store.users, token_cipher(settings), reach.token, spotify.app, user, utc_now)
        client = SpotifyClient(reach.authorised(tokens), spotify.api_url, user_id=user.user_id, regimes=store.limits)
        enrich_tracks(store, client, utc_now(), NoProgress())


if __name__ == "__main__":
    main()
