"""Orders that flow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.playlists.ordering import (
    SAME_ARTIST_APART,
    Sound,
    distances,
    flowing_order,
    greedy_orders,
    key_steps,
    smoothness,
)


def some_sound(count: int, seed: int, artists: int | None = None) -> Sound:
    dice = np.random.default_rng(seed)
    features = np.clip(dice.normal(dice.choice([0.2, 0.5, 0.8], (count, 1)), 0.15, (count, 8)), 0, 1)
    features[:, -1] = 70 + 100 * features[:, -1]
    numbers = np.arange(count) if artists is None else dice.integers(0, artists, count)
    return Sound(features, dice.integers(-1, 12, count), dice.integers(0, 2, count), numbers)


@given(st.integers(0, 25), st.integers(0, 1000), st.sampled_from(["flat", "rise", "fall", "peak"]))
def test_an_order_has_every_song_once_and_is_always_the_same(count: int, seed: int, arc: str) -> None:
    sound = some_sound(count, seed)
    order = flowing_order(sound, arc)  # type: ignore[arg-type]
    assert sorted(order.tolist()) == list(range(count))
    assert order.tolist() == flowing_order(sound, arc).tolist()  # type: ignore[arg-type]


def test_orders_are_smoother_than_chance_by_two_fifths_and_never_rougher_than_greedy() -> None:
    gains = []
    for seed in range(10):
        sound = some_sound(20, seed)
        apart = distances(sound)
        ours = smoothness(flowing_order(sound), apart)
        dice = np.random.default_rng(seed)
        shuffled = np.mean([smoothness(dice.permutation(20), apart) for _ in range(20)])
        assert ours <= min(smoothness(each, apart) for each in greedy_orders(apart)) + 1e-9
        gains.append(1 - ours / shuffled)
    assert np.mean(gains) >= 0.4


@pytest.mark.parametrize(("arc", "sign"), [("rise", 1), ("fall", -1)])
def test_the_energy_follows_the_arc(arc: str, sign: int) -> None:
    sound = some_sound(20, 3)
    energy = sound.energy[flowing_order(sound, arc)]  # type: ignore[arg-type]
    assert sign * np.corrcoef(np.arange(20), energy)[0, 1] > 0.8


def test_a_peak_lies_at_two_thirds() -> None:
    sound = some_sound(21, 5)
    energy = sound.energy[flowing_order(sound, "peak")]
    thirds = [energy[:7].mean(), energy[10:16].mean(), energy[19:].mean()]
    assert thirds[1] > thirds[0]
    assert thirds[1] > thirds[2]


def test_songs_of_an_artist_are_apart() -> None:
    sound = some_sound(30, 4, artists=15)
    artists = sound.artists[flowing_order(sound)]
    assert not any((artists[:-gap] == artists[gap:]).any() for gap in range(1, SAME_ARTIST_APART))


def test_keys_next_to_each_other_on_the_wheel_are_one_step_apart() -> None:
    keys, modes = np.array([0, 7, 9, 6, -1]), np.array([1, 1, 0, 1, 1])
    steps = key_steps(keys, modes)
    assert (steps[0, 1], steps[0, 2], steps[0, 3], steps[0, 4]) == (1, 1, 6, 3.5)


def test_songs_without_features_have_a_place_too() -> None:
    sound = some_sound(12, 1)
    sound.features[3] = np.nan
    assert sorted(flowing_order(sound, "rise").tolist()) == list(range(12))
