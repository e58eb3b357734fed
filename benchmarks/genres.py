"""Measures how genres of many artists are read from the simulated MusicBrainz: coverage, calls and simulated time.

Spotify tells no genres, as it does for most apps of 2026. MusicBrainz links 84 % of the artists, rather the well-known
ones, and takes one call a second. Time is the simulator's: the minutes below take seconds. The goals: the ids of 10,000
artists within two minutes, genres for 85 % of the plays, and no question asked twice.

    python -m benchmarks.genres
    python -m benchmarks.genres --artists 2000
    python -m benchmarks.genres --lastfm --faults 0.2
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic

from pydantic import SecretStr

from benchmarks.accounts import connect_everybody, installation
from benchmarks.measuring import NoProgress
from echostats_pipeline.accounts.connecting import open_tag_sources
from echostats_pipeline.model.catalog import Artist, ArtistRef, ArtistTags, Track
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.simulator.behaviour import Behaviour, Fault
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline.stages.artist_tags import TagSource, enrich_artist_tags, tag_progress
from echostats_pipeline.stages.genre_coverage import genre_coverage
from echostats_pipeline.storage.store import Store

START = datetime(2026, 3, 1, tzinfo=UTC)
HEARD = timedelta(days=365)
TRACKS_PER_ARTIST = 10
MIN_PLAY_MS = 30_000
FAULTS = ("server-error", "rate-limit", "disconnect", "truncated-json")
MOST_RUNS = 500


class Watched:
    """Sources that count every question, and note when the last id was found."""

    def __init__(self, clock: Clock) -> None:
        self.asked: Counter[tuple[str, str, str]] = Counter()
        self.identified_at = START
        self._clock = clock

    def source(self, name: str, source: TagSource) -> TagSource:
        """The source, watched."""
        identify = source.identify

        def watched_read(artists: Mapping[str, str]) -> Iterator[tuple[str, ArtistTags | None]]:
            for spotify_id, found in source.read(artists):
                self.asked["genres", name, spotify_id] += 1
                yield spotify_id, found

        def watched_identify(spotify_ids: Sequence[str]) -> Iterator[tuple[str, str | None]]:
            for spotify_id, mbid in identify(spotify_ids) if identify else ():
                self.asked["id", name, spotify_id] += 1
                self.identified_at = self._clock.now()
                yield spotify_id, mbid

        return TagSource(watched_read, watched_identify if identify else None)


def main() -> None:
    """Read the genres of all artists and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artists", type=int, default=10_000)
    parser.add_argument("--lastfm", action="store_true", help="ask Last.fm for what MusicBrainz does not know")
    parser.add_argument("--faults", type=float, default=0.0, help="share of the calls that fail")
    arguments = parser.parse_args()
    share = arguments.faults / len(FAULTS)
    faults = {name: Fault(rate=share, families=("musicbrainz", "lastfm")) for name in FAULTS} if share else {}
    world = World(seed=1, user_count=3, track_count=arguments.artists * TRACKS_PER_ARTIST, epoch=(START - HEARD).date())
    with installation(world, Behaviour(faults=faults), Clock(frozen_at=START)) as (given, store, simulator):
        order = ("spotify", "musicbrainz", "lastfm") if arguments.lastfm else ("spotify", "musicbrainz")
        settings = given.model_copy(update={"genres": order, "lastfm_api_key": SecretStr("key")})
        users = connect_everybody(settings, store, simulator)
        for user in users:
            fill(store, world, user)
        measure(settings, store, simulator, users)


def fill(store: Store, world: World, user: User) -> None:
    """Store a user's plays of a year, and all tracks and artists, as Spotify tells them to an app of 2026."""
    catalogue = world.catalogue
    if not store.documents_in("artists"):
        stubs = [Artist(spotify_id=each.id, name=each.name, enriched_at=START) for each in catalogue.artists.values()]
        store.catalog.add_stubs("artists", stubs)
    plays = [play for play in world.plays(world.user(user.spotify_id), START - HEARD, START) if play.track]
    heard = {play.track.id: play.track for play in plays if play.track}
    store.catalog.add_stubs(
        "tracks",
        [
            Track(
                spotify_id=track.id,
                name=track.name,
                artists=[ArtistRef(spotify_id=artist.id, name=artist.name) for artist in track.artists],
                enriched_at=START,
            )
            for track in heard.values()
        ],
    )
    store.db["listening_history"].insert_many(
        [
            {
                "user_id": user.user_id,
                "track": {"spotify_id": play.track.id},
                "played_at": play.played_at,
                "ms_played": play.ms_played,
            }
            for play in plays
            if play.track
        ]
    )


def measure(settings: Settings, store: Store, simulator: RunningSimulator, users: Sequence[User]) -> None:
    """Read all genres in as many runs as it takes, and print the results."""
    clock, order = simulator.clock, settings.genres
    watched, begun, waits, runs = Watched(clock), monotonic(), Counter[str](), 0

    def sleep(seconds: float) -> None:
        clock.advance(timedelta(seconds=seconds))

    total = store.documents_in("artists")
    print(f"{total:,} artists, {store.documents_in('listening_history'):,} plays, sources {', '.join(order)}")
    print(f"before: {tag_progress(store, order, clock.now()).text}")
    while store.artist_tags.lacking(order, clock.now()) and runs < MOST_RUNS:
        runs += 1
        with open_tag_sources(settings, store, clock.now, sleep) as opened:
            sources = {name: watched.source(name, source) for name, source in opened.items()}
            result = enrich_artist_tags(store, sources, order, clock.now(), NoProgress())
        if result.waiting is not None:
            waits[result.waiting.reason] += 1
            clock.advance(max(timedelta(), result.waiting.until - clock.now()))
    took = clock.now() - START
    print(
        f"after: {tag_progress(store, order, clock.now()).text}, in {runs} runs, {monotonic() - begun:.0f} s real time"
    )
    calls = Counter(call["service"] for call in store.db["api_logs"].find({"service": {"$ne": "spotify"}}))
    refused = store.db["api_logs"].count_documents({"service": {"$ne": "spotify"}, "status_code": {"$ne": 200}})
    print(f"calls: {dict(calls)}, of which refused or failed: {refused}; to Spotify: 0 for genres")
    print(
        f"simulated time: ids after {_seconds(watched.identified_at - START)} (goal 120 s), all after {_seconds(took)}"
    )
    twice = sum(count > 1 for count in watched.asked.values())
    print(f"questions answered: {watched.asked.total():,}, asked twice: {twice} (goal 0)")
    for reason, count in waits.items():
        print(f"waited {count} times: {reason}")
    linked = store.db["artist_tags"].count_documents({"source": "musicbrainz", "mbid": {"$ne": ""}})
    known = store.db["artists"].count_documents({"genres": {"$ne": []}})
    print(f"artists with a MusicBrainz id: {linked / total:.1%}; with genres: {known / total:.1%}")
    everybody = Counter[str]()
    for user in users:
        coverage = genre_coverage(store, user, MIN_PLAY_MS)
        plays = sum(coverage.plays.values())
        everybody.update(coverage.plays)
        print(
            f"{user.partition_key}: genres for {coverage.plays_covered:.1%} of {plays:,} plays, "
            f"{coverage.artists_covered:.1%} of {sum(coverage.artists.values()):,} artists heard"
        )
    print(f"all plays: {1 - everybody[''] / everybody.total():.1%} have genres (goal 85.0%)")


def _seconds(length: timedelta) -> str:
    return f"{length.total_seconds():,.0f} s"


if __name__ == "__main__":
    main()
