"""Baskets and neighbours, compared with sums that share nothing with the sparse products but the definitions."""

import math
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline.recommender.baskets import build_baskets
from echostats_pipeline.recommender.listening import HEARD_SCHEMA, Listening, sessions_of
from echostats_pipeline.recommender.neighbours import item_neighbours
from echostats_pipeline.transforms.statistics.plays import PLAYS_SCHEMA

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SONGS = 6

plays = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, SONGS - 1), st.integers(0, 400)),
    min_size=1,
    max_size=60,
)
"""User, session of the user, song, age of the session in days (the last drawn for a session counts)."""


def listening_of(drawn: list[tuple[int, int, int, int]]) -> Listening:
    ages = {(user, session): age for user, session, _, age in drawn}
    rows = [
        (user, user * 6 + session, song, NOW - timedelta(days=ages[user, session], minutes=place), True)
        for place, (user, session, song, _) in enumerate(drawn)
    ]
    heard = pl.DataFrame(rows, schema=HEARD_SCHEMA, orient="row").sort("user", "played_at", "item")
    return Listening(["a", "b", "c"], np.ones(3, dtype=bool), [f"s{number}" for number in range(SONGS)], heard)


def brute_force(listening: Listening, cap: float) -> tuple[dict[tuple[int, int], float], dict[tuple[int, int], int]]:
    """Similarities and listeners of pairs of songs, by loops."""
    rows = listening.heard.rows(named=True)
    sessions: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    ended: dict[tuple[int, int], datetime] = {}
    recent: dict[int, Counter[int]] = defaultdict(Counter)
    recent_sessions: dict[int, set[int]] = defaultdict(set)
    for row in rows:
        key = (row["user"], row["basket"])
        sessions[key][row["item"]] += 1
        ended[key] = max(ended.get(key, row["played_at"]), row["played_at"])
        if row["played_at"] >= NOW - timedelta(days=90):
            recent[row["user"]][row["item"]] += 1
            recent_sessions[row["user"]].add(row["basket"])
    baskets = [
        (user, items, 0.5 ** ((NOW - ended[user, basket]) / timedelta(days=90)))
        for (user, basket), items in sessions.items()
    ]
    baskets += [(user, items, 0.5) for user, items in recent.items() if len(recent_sessions[user]) > 1]
    held = Counter(item for items in sessions.values() for item in items)
    by_user: dict[tuple[int, int, int], float] = defaultdict(float)
    for user, items, weight in baskets:
        for one in items:
            for other in items:
                value = (1 + math.log(items[one])) * (1 + math.log(items[other])) * weight
                by_user[user, one, other] += value
    weights: dict[tuple[int, int], float] = defaultdict(float)
    listeners: Counter[tuple[int, int]] = Counter()
    for (_, one, other), value in by_user.items():
        weights[one, other] += min(value, cap)
        listeners[one, other] += 1
    pairs = [pair for pair in weights if pair[0] != pair[1] and held[pair[0]] > 1 and held[pair[1]] > 1]
    similarities = {}
    for one, other in pairs:
        together = weights[one, other]
        cosine = min(together / math.sqrt(weights[one, one] * weights[other, other]), 1.0)
        similarities[one, other] = cosine * together / (together + 10)
    return similarities, {pair: listeners[pair] for pair in pairs}


@settings(max_examples=60, deadline=None)
@given(plays, st.sampled_from([0.7, 3.0, 1000.0]))
def test_similarities_are_those_of_a_sum_over_all_baskets(drawn: list[tuple[int, int, int, int]], cap: float) -> None:
    listening = listening_of(drawn)
    found = item_neighbours(build_baskets(listening, NOW), cap=cap)
    similarities, listeners = brute_force(listening, cap)
    matrix, users = found.similarities(np.arange(SONGS)).toarray(), found.listeners.toarray()
    assert {pair: matrix[pair] for pair in similarities} == pytest.approx(similarities, rel=1e-4, abs=1e-6)
    assert {pair: users[pair] for pair in listeners} == listeners
    assert np.count_nonzero(matrix) == len(similarities)


@settings(max_examples=20, deadline=None)
@given(plays, st.randoms(use_true_random=False))
def test_the_order_of_plays_does_not_matter(drawn: list[tuple[int, int, int, int]], random: object) -> None:
    listening = listening_of(drawn)
    shuffled = Listening(
        listening.users,
        listening.shares,
        listening.items,
        listening.heard.sample(fraction=1.0, shuffle=True, seed=7).sort("user", "played_at", "item"),
    )
    one, other = (item_neighbours(build_baskets(each, NOW)) for each in (listening, shuffled))
    assert (one.weights != other.weights).nnz == 0
    assert (one.totals == other.totals).all()


def test_only_the_most_similar_songs_are_kept_and_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    drawn = [(int(user), int(session), int(song), 1) for user, session, song in rng.integers(0, (3, 6, SONGS), (80, 3))]
    baskets = build_baskets(listening_of(drawn), NOW)
    whole = item_neighbours(baskets)
    monkeypatch.setattr("echostats_pipeline.recommender.neighbours.AT_ONCE", 2)
    assert (item_neighbours(baskets).weights != whole.weights).nnz == 0
    few = item_neighbours(baskets, most=2)
    similarities = whole.similarities(np.arange(SONGS)).toarray()
    for song, one in combinations(range(SONGS), 2):
        better = sum(similarities[song] > similarities[song, one])
        assert (few.weights[song, one] > 0) <= (better < 2)


def test_a_session_ends_with_a_pause_of_half_an_hour_and_a_skip_is_no_taste() -> None:
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    rows = [
        (start, "a", 180_000, False),
        (start + timedelta(minutes=3), "b", 180_000, False),
        (start + timedelta(minutes=4), "c", 40_000, True),
        (start + timedelta(minutes=5), "d", 5_000, None),
        (start + timedelta(minutes=60), "e", None, None),
    ]
    frame = pl.DataFrame(
        {
            **dict.fromkeys(PLAYS_SCHEMA),
            "played_at": [row[0] for row in rows],
            "track_id": [row[1] for row in rows],
            "track_name": "n",
            "artist_name": "a",
            "album_name": "l",
            "duration_ms": 180_000,
            "ms_played": [row[2] for row in rows],
            "skipped": [row[3] for row in rows],
        },
        schema=PLAYS_SCHEMA,
    )
    found = sessions_of(frame, 30_000).rows()
    assert [(track, session, liked) for _, track, session, liked in found] == [
        ("a", 0, True),
        ("b", 0, True),
        ("c", 0, False),
        ("e", 1, True),
    ]
