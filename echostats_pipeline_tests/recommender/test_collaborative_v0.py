"""The formulas of EchoTune's guide give the guide's numbers."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from echostats_pipeline.recommender.collaborative_v0 import collaborative_v0
from echostats_pipeline.recommender.listening import HEARD_SCHEMA, Listening
from echostats_pipeline_tests.recommender.worlds import END


def listening(*plays: dict[str, int], days_ago: int = 1, shares: bool = True) -> Listening:
    """One user for each argument, with so many plays of each song."""
    items = sorted({song for each in plays for song in each})
    rows = [
        (user, user, items.index(song), END - timedelta(days=days_ago), True)
        for user, each in enumerate(plays)
        for song, count in each.items()
        for _ in range(count)
    ]
    heard = pl.DataFrame(rows, schema=HEARD_SCHEMA, orient="row").sort("user", "played_at", "item")
    return Listening([str(user) for user in range(len(plays))], np.full(len(plays), shares, dtype=bool), items, heard)


MINE = {"a": 3, "b": 4, "c": 1}


def test_a_score_is_the_count_times_the_cosine_and_at_most_one() -> None:
    found = collaborative_v0(listening(MINE, {"a": 3, "b": 4, "c": 1, "d": 2, "e": 40}), 0, END)
    mine, theirs = np.array([3, 4, 1, 0, 0]), np.array([3, 4, 1, 2, 40])
    cosine = mine @ theirs / np.linalg.norm(mine) / np.linalg.norm(theirs)
    assert found.raw == pytest.approx([0, 0, 0, 2 * cosine, 40 * cosine])
    assert found.scores == pytest.approx([0, 0, 0, 0.2 * cosine, min(4 * cosine, 1)])


def test_many_songs_reach_one_and_the_sums_tell_them_apart() -> None:
    heavy = {"a": 30, "b": 40, "c": 10}
    found = collaborative_v0(listening(heavy, {**heavy, "d": 30, "e": 20}), 0, END)
    assert found.scores[3:].tolist() == [1.0, 1.0]
    assert found.raw[3] > found.raw[4]


@pytest.mark.parametrize(
    ("plays", "how"),
    [
        (({"a": 2, "b": 1, "c": 1}, {**MINE, "d": 1}), {}),
        ((MINE, {"a": 1, "b": 1, "d": 1}), {}),
        ((MINE, {**MINE, "d": 1}), {"days_ago": 91}),
        ((MINE, {**MINE, "d": 1}), {"shares": False}),
        ((MINE,), {}),
    ],
    ids=["four plays", "two shared songs", "long ago", "nobody shares", "alone"],
)
def test_there_is_nothing_without_plays_or_similar_users(
    plays: tuple[dict[str, int], ...], how: dict[str, int]
) -> None:
    assert not collaborative_v0(listening(*plays, **how), 0, END).raw.any()  # type: ignore[arg-type]
