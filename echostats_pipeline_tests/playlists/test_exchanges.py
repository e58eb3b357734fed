"""Songs exchanged for others of nearly the same score, so that a playlist flows."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from echostats_pipeline.model.playlists import Arc
from echostats_pipeline.playlists.candidates import Chosen, choose
from echostats_pipeline.playlists.flow import MOST_LOST, flowing_songs, sound_of
from echostats_pipeline.playlists.ordering import SAME_ARTIST_APART, Costs, distances, greedy_orders, smoothness
from echostats_pipeline.playlists.picking import Wanted
from echostats_pipeline.playlists.understanding import understand
from echostats_pipeline_tests.playlists.songs import NOW, pool_of, some_tracks

TEXTS = ("energy 0.2 to 0.7", "energy below 0.5", "tempo 80 to 130", "brightness above 0.4")
POOL = pool_of(
    some_tracks(1500), [(number, 1 + number % 90, True) for number in range(1500) for _ in range(1 + number % 3)]
)


def flowing(text: str, arc: Arc = "flat", **how: Any) -> tuple[Chosen, pl.DataFrame]:
    wanted = Wanted(**{"minutes": None, "arc": arc, **how})
    chosen = choose(POOL, understand(text), wanted, NOW)
    return chosen, flowing_songs(chosen, wanted)


def rough(songs: pl.DataFrame) -> float:
    return smoothness(np.arange(songs.height), distances(sound_of(songs)))


@pytest.mark.parametrize("songs", [20, 30, 50])
def test_playlists_are_smoother_than_shuffled_and_than_greedy_and_lose_little_score(songs: int) -> None:
    gains, exchanged = [], 0
    for text in TEXTS:
        chosen, ordered = flowing(text, songs=songs)
        apart, dice = distances(sound_of(ordered)), np.random.default_rng(1)
        gains.append(1 - rough(ordered) / np.mean([smoothness(dice.permutation(songs), apart) for _ in range(20)]))
        costs = Costs.of_songs(sound_of(ordered), np.arange(songs), "flat")
        walks = greedy_orders(apart, costs)
        assert rough(ordered) <= smoothness(walks[int(costs.of(walks).argmin())], apart) + 1e-9
        assert ordered["score"].to_numpy().sum() >= (1 - MOST_LOST) * chosen.songs["score"].to_numpy().sum() - 1e-9
        assert ordered["in_ranges"].all()
        exchanged += len(set(ordered["track_id"]) - set(chosen.songs["track_id"]))
    assert np.mean(gains) >= 0.4
    assert exchanged


@pytest.mark.parametrize("arc", ["flat", "rise", "peak"])
def test_exchanges_keep_all_that_was_asked(arc: Arc) -> None:
    _, first = flowing(TEXTS[0], arc, minutes=90)
    pinned = first["track_id"].to_list()[:3]
    chosen, ordered = flowing(TEXTS[0], arc, minutes=90, discover=0.0, pinned=pinned)
    assert 86 <= ordered["duration_ms"].to_numpy().sum() / 60_000 <= 90
    assert ordered["track_id"].is_unique().all()
    assert set(pinned) <= set(ordered["track_id"])
    assert (ordered["plays"] > 0).all()
    artists = ordered["artist_name"].to_numpy()
    assert not any((artists[:-gap] == artists[gap:]).any() for gap in range(1, SAME_ARTIST_APART))
    assert max(np.unique(artists, return_counts=True)[1]) <= 2
    assert set(ordered["track_id"]) <= set(chosen.candidates["track_id"])


def test_an_arc_runs_through_the_whole_range_of_energy() -> None:
    _, ordered = flowing("energy above 0.5", "fall", songs=20)
    _, flat = flowing("energy above 0.5", songs=20)
    energy = ordered["energy"].to_numpy()
    assert energy[0] - energy[-1] > 0.25
    assert energy.max() - energy.min() > flat["energy"].to_numpy().max() - flat["energy"].to_numpy().min()


def test_a_playlist_that_is_shorter_than_asked_keeps_its_songs() -> None:
    wanted = Wanted(minutes=None, songs=50)
    chosen = choose(POOL.head(60), understand(TEXTS[0]), wanted, NOW)
    ordered = flowing_songs(chosen, wanted)
    assert chosen.note
    assert chosen.candidates.height > ordered.height
    assert set(ordered["track_id"]) == set(chosen.songs["track_id"])


def test_the_order_of_rows_does_not_matter_to_exchanges() -> None:
    wanted, asked = Wanted(minutes=None, songs=20), understand(TEXTS[0])
    mixed = choose(POOL.sample(fraction=1.0, shuffle=True, seed=3), asked, wanted, NOW)
    assert flowing(TEXTS[0], songs=20)[1]["track_id"].equals(flowing_songs(mixed, wanted)["track_id"])
