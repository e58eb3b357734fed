"""Runs two processes that refresh one access token at the same time, again and again, to see if the consent survives.

Every refresh uses up the refresh token, so two refreshes with the same token would end the consent.

    python -m benchmarks.tokens
"""

import argparse
import multiprocessing
import time
from collections import Counter
from multiprocessing.synchronize import Barrier

import requests

from benchmarks.accounts import connect_everybody, installation
from echostats_pipeline.accounts.connecting import StoredTokens, configured_spotify, reached, token_cipher
from echostats_pipeline.errors import SpotifyError
from echostats_pipeline.local.database import open_store
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.settings import Settings
from echostats_pipeline.simulator.behaviour import Behaviour
from echostats_pipeline.simulator.world import World
from echostats_pipeline.spotify.quota import Budget

PROCESSES = 2
UNBOUNDED = Budget(calls=10**6, burst=10**6)


def main() -> None:
    """Run the race and print how often it was run and lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    rounds = parser.parse_args().rounds
    with installation(World(seed=1, user_count=1), Behaviour(rotation="always", rate_limit=0)) as (
        settings,
        store,
        simulator,
    ):
        connect_everybody(settings, store, simulator)
        context = multiprocessing.get_context("spawn")
        barrier, results = context.Barrier(PROCESSES), context.Queue()
        started = time.perf_counter()
        racers = [context.Process(target=race, args=(settings, rounds, barrier, results)) for _ in range(PROCESSES)]
        for racer in racers:
            racer.start()
        outcomes: Counter[str] = sum((results.get() for _ in racers), Counter())
        for racer in racers:
            racer.join()
        calls = requests.get(f"{simulator.base_url}/simulator/calls", timeout=10).json()["calls"]
        refreshes = sum(row["total"]["successful"] for row in calls if row["family"] == "token") - 1
        status = store.users.all()[0].status
    print(f"{rounds} rounds of {PROCESSES} processes in {time.perf_counter() - started:.0f} s: {dict(outcomes)}")
    print(f"{refreshes} refreshes, user is {status}")


def race(settings: Settings, rounds: int, barrier: Barrier, results: "multiprocessing.Queue[Counter[str]]") -> None:
    """Request a token as soon as all processes are ready. The first process makes the stored token too old before."""
    outcomes: Counter[str] = Counter()
    with open_store(settings) as store:
        (user,) = store.users.all()
        cipher, app = token_cipher(settings), configured_spotify(settings).app
        for _ in range(rounds):
            if barrier.wait() == 0:
                store.db["spotify_tokens"].update_one({}, {"$set": {"expires_at": utc_now()}})
            barrier.wait()
            try:
                with reached(store, UNBOUNDED, utc_now) as reach:
                    StoredTokens(store.users, cipher, reach.token, app, user, utc_now).access_token()
                outcomes["token"] += 1
            except SpotifyError as error:
                outcomes[type(error).__name__] += 1
    results.put(outcomes)


if __name__ == "__main__":
    main()
