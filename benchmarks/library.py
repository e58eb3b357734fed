"""Measures reading a user's 600 playlists and 26,000 liked songs beside two others: days, calls, and repeated calls.

Time is the simulator's. Every day, the libraries of all users are read once, as the daily schedule does. They are read
once more with the calls that the other users have left, as the sensor does.

    python -m benchmarks.library
    python -m benchmarks.library --playlists 0 --saved-tracks 0 --daily-calls 8     # the users of the demo
"""

import argparse
from collections import Counter
from datetime import timedelta

from benchmarks.accounts import connect_everybody, installation
from benchmarks.measuring import NoProgress
from echostats_pipeline.accounts.connecting import open_client
from echostats_pipeline.errors import WaitRequired
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.simulator.behaviour import Behaviour
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.library import LibrarySize
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline.stages.library import sync_saved_tracks, sync_top_items
from echostats_pipeline.stages.library_progress import due_libraries, libraries
from echostats_pipeline.stages.playlists import sync_playlists
from echostats_pipeline.storage.store import Store

DAY = timedelta(days=1, minutes=20)
"""The calls of a day are made within minutes, and become free again a day later."""
QUOTA = 600


def main() -> None:
    """Read day by day until everything is read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--playlists", type=int, default=600)
    parser.add_argument("--saved-tracks", type=int, default=26_000)
    parser.add_argument("--users", type=int, default=3)
    parser.add_argument("--daily-calls", type=int, default=500)
    parser.add_argument("--most-days", type=int, default=60)
    arguments = parser.parse_args()
    size = LibrarySize(arguments.playlists, arguments.saved_tracks)
    start = utc_now()  # the database deletes calls of former days by its own clock
    world, clock = World(seed=1, user_count=arguments.users, size=size), Clock(frozen_at=start)
    behaviour = Behaviour(regime="restricted_dev", quota=QUOTA)
    with installation(world, behaviour, clock) as (base, store, simulator):
        settings = base.model_copy(update={"daily_calls": arguments.daily_calls})
        for user in connect_everybody(settings, store, simulator):
            store.users.synced(user.user_id, start)
        users = store.users.all()
        day = 0
        while not complete(store, users, settings, simulator) and day < arguments.most_days:
            day += 1
            made = store.db["api_logs"].count_documents({})
            one_day(store, users, settings, simulator)
            print(f"day {day}: {store.db['api_logs'].count_documents({}) - made} calls")
            for user, parts in libraries(store, users, settings.daily_calls, clock.now()):
                print(f"  {user.partition_key}: {'; '.join(part.text for part in parts)}", flush=True)
            simulator.clock.advance(DAY)
        report(store, users)


def one_day(store: Store, users: list[User], settings: Settings, simulator: RunningSimulator) -> None:
    """Read all libraries as each day, then those that are due."""
    for user in users:
        read(store, user, settings, simulator)
    due = due_libraries(store, users, settings.daily_calls, simulator.clock.now())
    for user in users:
        if user.partition_key in due:
            read(store, user, settings, simulator)


def read(store: Store, user: User, settings: Settings, simulator: RunningSimulator) -> None:
    """Run once for one user."""

    def sleep(seconds: float) -> None:
        simulator.clock.advance(timedelta(seconds=seconds))

    for sync in (sync_playlists, sync_saved_tracks, sync_top_items):
        with open_client(settings, store, user, simulator.clock.now, sleep) as client:
            try:
                sync(store, client, user, simulator.clock.now(), NoProgress(), settings.daily_calls)
            except WaitRequired as wait:
                store.limits.postpone(wait.family, wait.until, wait.reason)


def complete(store: Store, users: list[User], settings: Settings, simulator: RunningSimulator) -> bool:
    """Whether every user's library is completely read."""
    found = libraries(store, users, settings.daily_calls, simulator.clock.now())
    return all(part.is_complete for _, parts in found for part in parts)


def report(store: Store, users: list[User]) -> None:
    """Print what is stored, and calls made more than once."""
    for user in users:
        mine = {"user_id": user.user_id}
        counts = {name: store.db[name].count_documents(mine) for name in ("playlists", "saved_tracks", "top_items")}
        rows = Counter(call["endpoint"] for call in store.db["api_logs"].find({**mine, "status_code": 200}))
        twice = sum(count - 1 for path, count in rows.items() if "/items" in path or "offset" in path)
        print(f"{user.partition_key}: {counts}; {rows.total()} calls answered, {twice} for pages read before")


if __name__ == "__main__":
    main()
