"""Measures playlists from words: ``python -m benchmarks.playlists``.

A heavy listener (208,934 plays of 41,918 tracks) asks for 100 playlists. Printed are the time from words to list for
the whole library, how smooth the orders are (the mean distance between neighbours) against the same songs shuffled and
against the best nearest-neighbour walk, and the share of songs within the ranges that were asked for. Audio features
are invented around twelve centres, with a spread as in real catalogues; every tenth track has none.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import mean, median
from time import perf_counter

import numpy as np
from pymongo import UpdateOne

from benchmarks.history import HEAVY
from benchmarks.scene import NOW, Scene, scene
from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.model.users import User
from echostats_pipeline.playlists.building import PlaylistBuilder, Request, sound_of
from echostats_pipeline.playlists.candidates import Wanted, choose
from echostats_pipeline.playlists.ordering import distances, flowing_order, greedy_orders, smoothness
from echostats_pipeline.playlists.understanding import understand
from echostats_pipeline.settings import Settings

MOODS = ("happy", "sad", "energetic", "calm", "focus", "party", "dark", "bright", "mid-tempo", "energy 0.2 to 0.5")
MORE = ("", "no vocals", "with vocals", "danceable", "acoustic", "slow", "fast", "late night", "low energy", "summer")
GOAL_S, GOAL_SMOOTHER = 2.0, 0.4
SHUFFLES, CENTRES, SEED = 20, 12, 16
LENGTHS = (20, 50)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often the time from words to list is measured")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, scene(Settings(home=Path(folder))) as place:
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
    seconds = []
    for number in range(rounds + 1):  # the first one warms up
        begun = perf_counter()
        builder = PlaylistBuilder(place.store, place.settings, NOW)
        made = builder.from_words(user, Request(f"{MOODS[number % len(MOODS)]}, no vocals", minutes=60))
        seconds.append(perf_counter() - begun)
    met = "met" if median(seconds[1:]) <= GOAL_S else "not met"
    print(
        f"from words to list: {median(seconds[1:]):.2f} s of {made.counts.songs:,} songs "
        f"({min(seconds[1:]):.2f} to {max(seconds[1:]):.2f}; goal <= {GOAL_S} s: {met})",
        flush=True,
    )


def measure_flow(place: Scene, user: User, songs: int) -> None:
    """Smoothness and fit of 100 playlists of so many songs."""
    pool = PlaylistBuilder(place.store, place.settings, NOW).pool(user)
    dice = np.random.default_rng(SEED)
    gains: list[float] = []
    against: list[float] = []
    inside: list[float] = []
    widened = 0
    for text in [f"{mood} {more}".strip() for mood in MOODS for more in MORE]:
        chosen = choose(pool.songs, understand(text, pool.names), Wanted(minutes=None, songs=songs), NOW)
        widened += bool(chosen.widened)
        if not chosen.widened and chosen.songs.height:
            inside.append(float(chosen.songs["in_ranges"].to_numpy().mean()))
        if chosen.songs.height < songs:
            continue
        sound = sound_of(chosen.songs)
        apart = distances(sound)
        ours = smoothness(flowing_order(sound), apart)
        shuffled = mean(smoothness(dice.permutation(songs), apart) for _ in range(SHUFFLES))
        gains.append(1 - ours / shuffled)
        against.append(1 - ours / min(smoothness(each, apart) for each in greedy_orders(apart)))
    met = "met" if mean(gains) >= GOAL_SMOOTHER else "not met"
    print(
        f"{len(gains)} playlists of {songs} songs are smoother than shuffled by {mean(gains):.1%} "
        f"(least {min(gains):.1%}; goal >= {GOAL_SMOOTHER:.0%}: {met})"
    )
    print(f"and than the best greedy walk by {mean(against):.1%} (least {min(against):.1%})")
    print(f"within the ranges asked for: {mean(inside):.1%} of songs, before any widening; {widened} playlists widened")


if __name__ == "__main__":
    main()
