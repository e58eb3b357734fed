"""Measures playlists from words: ``python -m benchmarks.playlists``.

A heavy listener (208,934 plays of 41,918 tracks) asks for 100 playlists. Printed are the time from words to list for
the whole library, and how smooth the playlists are, by the mean distance between neighbours:

- against the same songs shuffled, and against the songs with the best scores shuffled, some of which were exchanged;
- against the best nearest-neighbour walk, with songs of an artist three places apart as in the playlists, and without;
- for songs drawn at random, which are only put in order: the plain measure of the order.

What the exchanges cost in score and fit, and the share of songs within the ranges asked for, are printed beside. Audio
features are invented around twelve centres, with a spread as in real catalogues; every tenth track has none.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean, median
from time import perf_counter, process_time

import numpy as np
import polars as pl
from pymongo import UpdateOne

from benchmarks.history import HEAVY
from benchmarks.processes import workplace
from benchmarks.scene import NOW, Scene, scene
from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.model.users import User
from echostats_pipeline.playlists.building import PlaylistBuilder, Request
from echostats_pipeline.playlists.candidates import choose
from echostats_pipeline.playlists.flow import flowing_songs, sound_of
from echostats_pipeline.playlists.ordering import (
    Costs,
    Floats,
    distances,
    flowing_order,
    greedy_orders,
    smoothness,
)
from echostats_pipeline.playlists.picking import Wanted
from echostats_pipeline.playlists.understanding import understand
from echostats_pipeline.settings import Settings

MOODS = ("happy", "sad", "energetic", "calm", "focus", "party", "dark", "bright", "mid-tempo", "energy 0.2 to 0.5")
MORE = ("", "no vocals", "with vocals", "danceable", "acoustic", "slow", "fast", "late night", "low energy", "summer")
GOAL_S, GOAL_SMOOTHER = 2.0, 0.4
SHUFFLES, CENTRES, SEED = 20, 12, 16
LENGTHS, DRAWS = (20, 30, 50), 30


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often the time from words to list is measured")
    rounds = parser.parse_args().rounds
    with workplace() as folder, scene(Settings(home=folder)) as place:
        user = place.add(HEAVY, number=1).user
        place.fill_catalogue(HEAVY)
        invent_features(place)
        measure_time(place, user, rounds)
        for songs in LENGTHS:
            measure_flow(place, user, songs)


def invent_features(place: Scene) -> None:
    """Give nine of ten tracks audio features."""
    dice = np.random.default_rng(SEED)
    centres = dice.uniform(0.1, 0.9, (CENTRES, len(AVERAGED_FEATURES)))
    tracks = place.store.db["tracks"]
    ids = [each["_id"] for each in tracks.find({}, {"_id": 1}).sort("_id", 1)]
    values = np.clip(centres[dice.integers(0, CENTRES, len(ids))] + dice.normal(0, 0.15, (len(ids), 8)), 0, 1)
    updates = []
    for number, (track, row) in enumerate(zip(ids, values.tolist(), strict=True)):
        if number % 10:
            features = {**dict(zip(AVERAGED_FEATURES, row, strict=True)), "tempo": 60 + 130 * row[-1]}
            known = {**features, "key": number % 12, "mode": number % 2, "loudness": -8.0}
            updates.append(UpdateOne({"_id": track}, {"$set": {"audio_features": known}}))
    tracks.bulk_write(updates, ordered=False)


def measure_time(place: Scene, user: User, rounds: int) -> None:
    """From words to the list, with everything read anew."""
    seconds, of_cpu = [], []
    for number in range(rounds + 1):  # the first one warms up
        begun, begun_cpu = perf_counter(), process_time()
        builder = PlaylistBuilder(place.store, place.settings, NOW)
        made = builder.from_words(user, Request(f"{MOODS[number % len(MOODS)]}, no vocals", minutes=60))
        seconds.append(perf_counter() - begun)
        of_cpu.append(process_time() - begun_cpu)
    met = "met" if median(seconds[1:]) <= GOAL_S else "not met"
    print(
        f"from words to list: {median(seconds[1:]):.2f} s of {made.counts.songs:,} songs "
        f"({min(seconds[1:]):.2f} to {max(seconds[1:]):.2f}; goal <= {GOAL_S} s: {met}); "
        f"{median(of_cpu[1:]):.2f} s of CPU here, without the server",
        flush=True,
    )


@dataclass
class Measured:
    """What was measured on some playlists; shares, above 0 for smoother."""

    shuffled: list[float] = field(default_factory=list)
    best_shuffled: list[float] = field(default_factory=list)
    greedy: list[float] = field(default_factory=list)
    free_greedy: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    fit: list[float] = field(default_factory=list)
    exchanged: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    widened: int = 0


def measure_flow(place: Scene, user: User, songs: int) -> None:
    """Smoothness and fit of 100 playlists of so many songs."""
    pool = PlaylistBuilder(place.store, place.settings, NOW).pool(user)
    dice, found = np.random.default_rng(SEED), Measured()
    wanted = Wanted(minutes=None, songs=songs)
    for text in [f"{mood} {more}".strip() for mood in MOODS for more in MORE]:
        chosen = choose(pool.songs, understand(text, pool.names), wanted, NOW)
        ordered = flowing_songs(chosen, wanted)
        found.widened += bool(chosen.widened)
        if not chosen.widened and ordered.height:
            found.inside.append(_mean(ordered, "in_ranges"))
        if ordered.height < songs:
            continue
        apart = distances(sound_of(ordered))
        ours = smoothness(np.arange(songs), apart)
        found.shuffled.append(1 - ours / _shuffled(apart, dice))
        found.best_shuffled.append(1 - ours / _shuffled(distances(sound_of(chosen.songs)), dice))
        costs = Costs.of_songs(sound_of(ordered), np.arange(songs), "flat")
        walks = greedy_orders(apart, costs)
        found.greedy.append(1 - ours / smoothness(walks[int(costs.of(walks).argmin())], apart))
        found.free_greedy.append(1 - ours / min(smoothness(each, apart) for each in greedy_orders(apart)))
        for name, values in (("score", found.score), ("fit", found.fit)):
            values.append(_mean(ordered, name) / _mean(chosen.songs, name) - 1)
        best = chosen.songs["track_id"].implode()
        found.exchanged.append(1 - float(ordered.select(pl.col("track_id").is_in(best).mean()).item()))
    met = "met" if mean(found.shuffled) >= GOAL_SMOOTHER else "not met"
    drawn = _random_draws(pool.songs, songs, dice)
    print(
        f"{len(found.shuffled)} playlists of {songs} songs are smoother\n"
        f"  than the same songs shuffled by {_said(found.shuffled)} (goal >= {GOAL_SMOOTHER:.0%}: {met})\n"
        f"  than the best-scored songs shuffled by {_said(found.best_shuffled)}\n"
        f"  than the best greedy walk with songs of an artist apart by {_said(found.greedy)}\n"
        f"  than the best greedy walk without that by {_said(found.free_greedy)}\n"
        f"  exchanged {mean(found.exchanged):.0%} of songs; score {_said(found.score)}, fit {_said(found.fit)}\n"
        f"  within the ranges asked for, before any widening: {mean(found.inside):.1%}; {found.widened} widened\n"
        f"songs drawn at random, put in order, are smoother than shuffled by {_said(drawn)}",
        flush=True,
    )


def _said(shares: Sequence[float]) -> str:
    return f"{mean(shares):.1%} (least {min(shares):.1%})"


def _mean(songs: pl.DataFrame, name: str) -> float:
    return float(songs.select(pl.col(name).cast(pl.Float64).mean()).item())


def _shuffled(apart: Floats, dice: np.random.Generator) -> float:
    return mean(smoothness(dice.permutation(len(apart)), apart) for _ in range(SHUFFLES))


def _random_draws(pool: pl.DataFrame, songs: int, dice: np.random.Generator) -> list[float]:
    """How much smoother than shuffled songs drawn at random are in our order."""
    known, found = pool.filter("has_features"), []
    for _ in range(DRAWS):
        sound = sound_of(known[np.sort(dice.choice(known.height, songs, replace=False)).tolist()])
        apart = distances(sound)
        found.append(1 - smoothness(flowing_order(sound), apart) / _shuffled(apart, dice))
    return found


if __name__ == "__main__":
    main()
