"""Measures a month of syncing five simulated users within a developer app's limits: lost plays, and cost.

Time is the simulator's: a month takes minutes. The simulator knows every play it could ever have shown.

    python -m benchmarks.month
    python -m benchmarks.month --faults 0.2
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

import requests
from pydantic import SecretStr

from benchmarks.accounts import connect_everybody, installation
from benchmarks.measuring import NoProgress
from echostats_pipeline.accounts.connecting import open_client, open_feature_sources, open_tag_sources
from echostats_pipeline.errors import SpotifyError, WaitRequired
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.simulator.behaviour import Behaviour, parse_faults
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.history import api_truth
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline.stages.artist_tags import enrich_artist_tags, tag_progress
from echostats_pipeline.stages.catalog import enrich_albums, enrich_artists, enrich_audio_features, enrich_tracks
from echostats_pipeline.stages.ingestion import merge_pages, read_recently_played
from echostats_pipeline.stages.library import sync_saved_tracks, sync_top_items
from echostats_pipeline.stages.playlists import sync_playlists
from echostats_pipeline.storage.store import Store

START = datetime(2026, 3, 1, tzinfo=UTC)
INTERVAL = timedelta(minutes=15)
LIBRARY_AT = time(4, 30)
QUOTA = 600
LATEST_ROWS = timedelta(hours=6)
"""Plays of the last hours may still be under way, so they are not judged."""
ENRICHMENT = {"tracks", "artists", "albums", "audio-features", "reccobeats", "musicbrainz", "lastfm"}
FAULTS = "server-error unauthorized rate-limit disconnect truncated-json late-rows doubled-rows null-track episode-row"
"""Faults between a working app and Spotify. Refusals of the app itself are not part of this benchmark."""


@dataclass
class Month:
    """The installation under test and its results."""

    settings: Settings
    store: Store
    simulator: RunningSimulator
    users: list[User]
    failures: Counter[str]
    polls: dict[str, list[datetime]]
    """Instants of Spotify's responses, by user id. Plays that no response could contain are not counted as lost."""

    def now(self) -> datetime:
        """The simulated instant."""
        return self.simulator.clock.now()

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass instead of real time."""
        self.simulator.clock.advance(timedelta(seconds=seconds))

    def round(self) -> None:
        """Do the work of a quarter of an hour: each user's plays first, then what the budget allows."""
        for user in self.users:
            self._attempt(lambda user=user: self._sync(user))
        self._attempt(self._enrich)
        self._attempt(self._hear_of_genres)

    def day(self) -> None:
        """Do the work of the daily schedule."""
        for user in self.users:
            self._attempt(lambda user=user: self._library(user))

    def _sync(self, user: User) -> None:
        try:
            with open_client(self.settings, self.store, user, self.now, self.sleep) as client:
                read_recently_played(self.store, client, user, self.now())
            self.polls.setdefault(user.user_id, []).append(self.now())
        finally:
            merge_pages(self.store, user, self.now())

    def _enrich(self) -> None:
        if not self.store.catalog.lacking(self.now()):
            return
        reader = self.users[0]
        with open_client(self.settings, self.store, reader, self.now, self.sleep) as client:
            for enrich in (enrich_tracks, enrich_artists, enrich_albums):
                enrich(self.store, client, self.now(), NoProgress())
        with open_feature_sources(self.settings, self.store, reader, self.now, self.sleep) as sources:
            enrich_audio_features(self.store, sources, self.now(), NoProgress())

    def _hear_of_genres(self) -> None:
        order = self.settings.genres
        waiting = self.store.limits.waiting([*order], self.now())
        if not self.store.artist_tags.lacking(order, self.now()).keys() - waiting.keys():
            return
        with open_tag_sources(self.settings, self.store, self.now, self.sleep) as sources:
            result = enrich_artist_tags(self.store, sources, order, self.now(), NoProgress())
        if result.waiting is not None:
            raise result.waiting

    def _library(self, user: User) -> None:
        with open_client(self.settings, self.store, user, self.now, self.sleep) as client:
            for sync in (sync_playlists, sync_saved_tracks, sync_top_items):
                sync(self.store, client, user, self.now(), NoProgress())

    def _attempt(self, work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except WaitRequired as wait:
            self.store.limits.postpone(wait.family, wait.until, wait.reason)
            self.failures["waited"] += 1
        except SpotifyError as error:
            self.failures[type(error).__name__] += 1


def main() -> None:
    """Run the month and print what it cost and what it lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--users", type=int, default=5)
    parser.add_argument("--faults", type=float, default=0.0, help="rate of each kind of fault")
    arguments = parser.parse_args()
    kinds = FAULTS.split() if arguments.faults else []
    faults = parse_faults(",".join(f"{name}={arguments.faults / len(kinds):.4f}" for name in kinds)) if kinds else {}
    behaviour = Behaviour(regime="restricted_dev", quota=QUOTA, rotation="always", faults=faults)
    world, clock = World(seed=1, user_count=arguments.users), Clock(frozen_at=START)
    genres = {"genres": ("spotify", "musicbrainz", "lastfm"), "lastfm_api_key": SecretStr("key")}
    with installation(world, behaviour, clock) as (given, store, simulator):
        settings = given.model_copy(update=genres)
        month = Month(settings, store, simulator, connect_everybody(settings, store, simulator), Counter(), {})
        live(month, arguments.days)
        settle(month)
        report(month, arguments.days, behaviour)


def live(month: Month, days: int) -> None:
    """Simulate the month."""
    for slot in range(days * 96):
        due = START + slot * INTERVAL
        if month.now() < due:
            month.simulator.clock.advance(due - month.now())
        month.round()
        if due.time() == LIBRARY_AT:
            month.day()


def settle(month: Month) -> None:
    """Continue until every user has been read once more: a wait at the end of the month loses nothing."""
    end = month.now()
    while any(not polls or polls[-1] <= end for polls in (month.polls.get(user.user_id) for user in month.users)):
        month.simulator.clock.advance(INTERVAL)
        month.round()


def report(month: Month, days: int, behaviour: Behaviour) -> None:
    """Compare with the simulator's truth."""
    end = START + timedelta(days=days) - LATEST_ROWS
    calls = requests.get(f"{month.simulator.base_url}/simulator/calls", timeout=10).json()["calls"]
    by_family: Counter[str] = Counter()
    refused = 0
    for row in calls:
        by_family[row["family"]] += row["total"]["successful"] + row["total"]["refused"]
        refused += row["statuses"].get("429", 0)
    base = sum(count for family, count in by_family.items() if family not in ENRICHMENT and family != "token")
    print(f"{days} days, {len(month.users)} users, {behaviour.regime}, quota {QUOTA} calls per family and 24 h")
    print(f"calls by family: {dict(by_family.most_common())}")
    print(f"calls per user and day besides enrichment: {base / days / len(month.users):.1f} (goal 110)")
    print(f"answers 429: {refused}; runs that ended early: {dict(month.failures)}")
    known = month.store.db["tracks"].count_documents({"enriched_at": {"$ne": None}})
    print(f"tracks in the catalogue: {known}, {known / days:.0f} a day")
    print(f"genres: {tag_progress(month.store, month.settings.genres, month.now()).text}")
    for family, (until, reason) in month.store.limits.waiting([*ENRICHMENT], month.now()).items():
        print(f"{family} waits until {until:%H:%M}: {reason}")
    for user in month.users:
        person = month.simulator.world.user(user.spotify_id)
        plays = list(month.store.db["listening_history"].find({"user_id": user.user_id}))
        stored = [(play["track"]["spotify_id"], play["played_at"]) for play in plays]
        truth = api_truth(month.simulator.world, person, START, end, month.polls.get(user.user_id, []), behaviour)
        gaps = list(month.store.db["listening_gaps"].find({"user_id": user.user_id}))
        unreachable = set(truth.shown) - set(truth.reachable)
        outside = [p for p in unreachable if not any(g["from"] <= p.played_at <= g["to"] for g in gaps)]
        recent = [entry for entry in stored if START <= entry[1] < end]
        print(
            f"{user.partition_key}: {len(recent)} plays of {len(truth.reachable)} reachable, "
            f"{len(truth.lost(stored))} lost, {max(0, len(recent) - len(truth.reachable))} too many, "
            f"{len(unreachable)} unreachable ({len(outside)} outside {len(gaps)} recorded gaps)"
        )


if __name__ == "__main__":
    main()
