"""Sends 20,000 plays on to a simulated ListenBrainz, while the process is killed and the history is replaced.

python -m benchmarks.scrobbles

Between two kills plays are added, replaced by those of an export (another end, another length), or get new ids. Each
play has an album of its own, by which the service's listens are compared with the plays in the end.
"""

import argparse
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bson import ObjectId
from pydantic import SecretStr

from benchmarks.accounts import connect_everybody, installation
from benchmarks.measuring import NoProgress
from echostats_pipeline.accounts.scrobbling import add_target, open_target
from echostats_pipeline.local.database import open_store
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.simulator.behaviour import Behaviour
from echostats_pipeline.simulator.world import World
from echostats_pipeline.stages.scrobbles import Scrobbler, ScrobbleServer
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store

SONGS, SONG_MS, AWAY_S = 400, 200_000, 0.05
AT_FIRST = 0.7
"""Share of the plays that exist from the beginning; the others are added between kills."""


@dataclass
class Heard:
    """A play that happened, and how it is stored now."""

    number: int
    song: int
    ended_at: datetime
    moved: timedelta
    ms_played: int
    play_id: ObjectId
    is_exported: bool = False

    def document(self, user_id: str) -> Document:
        """The play as it is stored now: as Spotify's API reports it, or as an export does."""
        return {
            "_id": self.play_id,
            "user_id": user_id,
            "track": {
                "spotify_id": f"{self.song:022d}",
                "name": f"Song {self.song}",
                "artist_name": f"Artist {self.song % 90}",
                "album_name": f"Album {self.number}",
                "album_image_url": "",
                "duration_ms": SONG_MS,
            },
            "played_at": self.ended_at + (self.moved if self.is_exported else timedelta()),
            "ms_played": self.ms_played if self.is_exported else None,
            "source": "import" if self.is_exported else "api",
            "context_type": "",
            "context_uri": "",
        }


def heard(count: int, dice: random.Random) -> list[Heard]:
    """Plays in their order; some songs are played again at once, and some ends are told differently by an export."""
    plays: list[Heard] = []
    ended, song = datetime(2024, 1, 1, tzinfo=UTC), 0
    for number in range(count):
        again = dice.random() < 0.1  # noqa: PLR2004
        song = song if again else dice.randrange(SONGS)
        ended += timedelta(seconds=dice.randrange(100, 900))
        far = 5 if again or dice.random() > 0.05 else 80  # noqa: PLR2004
        moved = timedelta(seconds=dice.randint(-far, far))
        plays.append(Heard(number, song, ended, moved, dice.randrange(35_000, SONG_MS), ObjectId()))
    return plays


def change(store: Store, user_id: str, plays: Sequence[Heard], step: int, dice: random.Random) -> str:
    """Change the history between two kills; return what was done."""
    history = store.db["listening_history"]
    ids = {each["_id"] for each in history.find({}, {"_id": 1})}
    stored = [play for play in plays if play.play_id in ids]
    kind = ("export", "new ids", "more plays", "whole import")[step % 4]
    chosen = dice.sample(stored, len(stored) // 4)
    if kind == "more plays":
        missing = [play for play in plays if play.play_id not in ids]
        chosen = missing[: max(len(missing) // 3, 1)]
    elif kind == "whole import":
        chosen = stored
    for play in chosen:
        if kind in ("export", "whole import"):
            play.is_exported = True
    if chosen:
        history.delete_many({"_id": {"$in": [play.play_id for play in chosen]}})
        for play in chosen:
            if kind in ("new ids", "whole import"):
                play.play_id = ObjectId()
        history.insert_many([play.document(user_id) for play in chosen])
    (target,) = store.scrobbles.targets()
    store.scrobbles.update_target(target, read_at=None)
    return f"{kind}: {len(chosen):,}"


class FarAway:
    """A service whose answers take a moment after it has taken the plays, so that kills fall into this moment, too."""

    def __init__(self, server: ScrobbleServer, seconds: float) -> None:
        self._server = server
        self._seconds = seconds

    def submit(self, listens: Sequence[Document]) -> None:
        """Send listens, and wait for the answer."""
        self._server.submit(listens)
        time.sleep(self._seconds)


def send(settings: Settings, listens: int, away_s: float = 0) -> None:
    """Send everything, in requests of so many listens."""
    from echostats_pipeline.transforms import scrobbles  # noqa: PLC0415

    scrobbles.MOST_LISTENS = listens
    with open_store(settings) as store:
        (user,) = store.users.all()
        (target,) = store.scrobbles.targets()
        with open_target(settings, store, user, target, utc_now) as server:
            Scrobbler(store, user, target, 30_000, utc_now).send(FarAway(server, away_s), NoProgress())


def kill(settings: Settings, store: Store, listens: int, dice: random.Random) -> str:
    """Start a process, kill it at a random moment after it has begun to write, and say how far it was."""
    sent = store.db["sent_plays"]
    before = sent.count_documents({"state": "sent"})
    process = multiprocessing.get_context("spawn").Process(target=send, args=(settings, listens, AWAY_S))
    process.start()
    while process.is_alive() and sent.count_documents({"state": "sent"}) == before:
        time.sleep(AWAY_S)
    process.join(dice.uniform(0, 2))
    process.kill()
    process.join()
    (target,) = store.scrobbles.targets()
    return ", ".join(f"{count:,} {state}" for state, count in sorted(store.scrobbles.counts(target).items()))


def compared(plays: Sequence[Heard], listens: Sequence[Document]) -> tuple[int, int]:
    """How many plays the service lacks, and how many listens it has beyond one for each play."""
    told = Counter(listen["track_metadata"]["release_name"] for listen in listens)
    missing = sum(told[f"Album {play.number}"] == 0 for play in plays)
    return missing, sum(count - 1 for count in told.values())


def main() -> None:
    """Send and kill, and print what the service got."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plays", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--listens", type=int, default=50, help="listens in a request")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    plays = heard(arguments.plays, dice)
    started = time.perf_counter()
    with installation(World(seed=1, user_count=1), Behaviour(listenbrainz_limit=0)) as (settings, store, simulator):
        (user,) = connect_everybody(settings, store, simulator)
        first = plays[: int(len(plays) * AT_FIRST)]
        store.db["listening_history"].insert_many([play.document(user.user_id) for play in first])
        begin(settings, store, user, simulator.base_url)
        unlimited = settings.model_copy(update={"burst_calls": 10**9})
        for number in range(arguments.kills):
            state = kill(unlimited, store, arguments.listens, dice)
            done = change(store, user.user_id, plays, number, dice)
            print(f"kill {number + 1:2d}: {state}; then {done}", flush=True)
        have = {each["_id"] for each in store.db["listening_history"].find({}, {"_id": 1})}
        store.db["listening_history"].insert_many([p.document(user.user_id) for p in plays if p.play_id not in have])
        (target,) = store.scrobbles.targets()
        store.scrobbles.update_target(target, read_at=None)
        send(unlimited, arguments.listens)
        report = simulator.controls.listens.report()
        states = store.scrobbles.counts(target)
    missing, doubled = compared(plays, report["listens"])
    took = time.perf_counter() - started
    print(f"{len(plays):,} plays, {arguments.kills} kills, {took:.0f} s: the service has {len(report['listens']):,}")
    print(f"missing: {missing}; there twice, at shifted times: {doubled}; records: {states}")
    print(
        f"received {report['received']:,}: {report['exact_doubles']} exactly what it had, and "
        f"{report['other_contents']} of the same second and song with other contents"
    )


def begin(settings: Settings, store: Store, user: User, address: str) -> None:
    """Store the target."""
    token = SecretStr("benchmark")
    add_target(settings, store, user, target=address, token=token, since=None, now=utc_now())


if __name__ == "__main__":
    main()
