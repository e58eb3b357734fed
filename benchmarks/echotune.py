"""Measures the mart echotune: ``python -m benchmarks.echotune``.

A user of 208,934 plays is built from nothing, as a ratio to inserting the ready documents with ``insert_many`` into the
same empty collections with the same indexes and validators. Then one play is added, and the update after it is measured
for this history and for one of a tenth of the size.
"""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median

from benchmarks.filling import BATCH
from benchmarks.history import HEAVY, Size
from benchmarks.measuring import timed
from benchmarks.processes import workplace
from benchmarks.scene import NOW, Listener, Scene, scene
from echostats_pipeline.marts.echotune.build import EchoTuneMart, MartUpdate
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.indexes import ensure_indexes
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.validators import ensure_validators

GOAL = 2.0
TENTH = Size(plays=HEAVY.plays // 10, tracks=HEAVY.tracks // 10)
NAMES = ("users", "listening_history", "user_preferences", "analytics_events", "track_metadata")


class Mart:
    """EchoTune's database on the server of a scene."""

    def __init__(self, place: Scene, settings: Settings) -> None:
        self._place = place
        self.settings = settings
        self.databases = databases_of(settings)
        self.store = Store.of(place.store.db, self.databases)

    def now(self) -> EchoTuneMart:
        """The mart as a run sees it."""
        return EchoTuneMart(self.store, self.settings, NOW, "benchmark")

    def empty(self) -> None:
        """Drop the database, and make its indexes and validators again."""
        self.store.db.client.drop_database(self.settings.echotune_db)
        self.store.db["mart_states"].delete_many({})
        ensure_validators(self.store.db, self.databases[1:])
        ensure_indexes(self.store.db, self.databases[1:])

    def documents(self) -> dict[str, list[Document]]:
        """All documents, by collection."""
        return {name: list(self.now().collection(name).find()) for name in NAMES}

    def insert(self, ready: dict[str, list[Document]]) -> None:
        """Insert ready documents, a batch at a time."""
        for name, documents in ready.items():
            for start in range(0, len(documents), BATCH):
                self.now().collection(name).insert_many(documents[start : start + BATCH], ordered=False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plays", type=int, default=HEAVY.plays)
    asked = parser.parse_args()
    heavy = HEAVY if asked.plays == HEAVY.plays else Size(plays=asked.plays, tracks=max(asked.plays // 5, 1))
    with workplace() as folder:
        settings = Settings(home=folder / "home", marts=("echotune",))
        with scene(settings) as place:
            measure(place, settings, heavy, asked.rounds, print)


def measure(place: Scene, settings: Settings, heavy: Size, rounds: int, say: Callable[[str], None]) -> None:
    """Measure building from nothing, and the update after one more play."""
    mart = Mart(place, settings)
    place.fill_catalogue(heavy)
    listeners = {size: place.add(size, number=number) for number, size in enumerate((heavy, TENTH), start=1)}
    for each in listeners.values():
        place.rebuild(each)
        place.snapshots(each)
    built: list[float] = []
    ratios: list[float] = []
    for number in range(rounds):
        mart.empty()
        taken, done = timed(place.server_pid, lambda: update(mart, listeners[heavy]))
        built.append(taken.wall)
        ready = mart.documents()
        mart.empty()
        floor, _ = timed(place.server_pid, partial(mart.insert, ready))
        ratios.append(taken.wall / floor.wall)
        documents = sum(map(len, ready.values()))
        say(
            f"round {number + 1}: {done.plays:,} plays read, {documents:,} documents; built in {taken}, ready ones "
            f"inserted in {floor}, ratio {ratios[-1]:.2f}"
        )
    met = "met" if median(ratios) <= GOAL else "not met"
    say(f"from nothing: {median(built):.1f} s, ratio {median(ratios):.2f} to insert_many (goal <= {GOAL}: {met})")
    mart.empty()
    for size, listener in listeners.items():
        update(mart, listener)
        say(f"{size.plays:,} plays: {after_one_play(mart, place, listener, rounds)}")


def update(mart: Mart, listener: Listener) -> MartUpdate:
    """Bring a listener's documents up to date."""
    return mart.now().update(listener.user)


def after_one_play(mart: Mart, place: Scene, listener: Listener, rounds: int) -> str:
    """Measure updates after one more play, and say what the last one read and wrote."""
    seconds: list[float] = []
    done = MartUpdate(0, {}, whole=False)
    for number in range(rounds):
        ended_at = datetime(2024, 12, 31, 12, tzinfo=UTC) + timedelta(minutes=number)
        with mart.store.marks.changing(listener.user_id, [str(ended_at.date())]):
            mart.store.db["listening_history"].insert_one(listener.play(ended_at))
        taken, done = timed(place.server_pid, lambda: update(mart, listener))
        seconds.append(taken.wall)
    written = ", ".join(f"{count} of {name}" for name, count in done.written.items() if count)
    return f"update after one play {median(seconds) * 1000:.0f} ms; {done.plays} plays read; written: {written}"


if __name__ == "__main__":
    main()
