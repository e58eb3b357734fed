"""The gate: a model that knows more than the baselines is activated, and one that does not is not."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline.recommender import metrics, scoring
from echostats_pipeline.recommender.evaluation import coverage_required, evaluate, trials
from echostats_pipeline_tests.recommender.worlds import END, world


def test_a_model_is_activated_where_tastes_are_planted() -> None:
    drawn = world(users=40, sessions=40)
    found = evaluate(drawn.listening, drawn.songs, {}, END)["discover"]
    by_name = {result.name: result for result in found.results}
    assert found.passed
    assert found.served == found.model == "basket_knn"
    assert found.unit == "users"
    assert found.lower > 0.03
    assert by_name["basket_knn"].ndcg > 1.3 * by_name["popularity"].ndcg
    assert by_name["basket_knn"].coverage >= 5 * by_name["popularity"].coverage
    assert max(result.most_per_artist for result in found.results) <= 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_model_is_activated_where_there_is_no_structure(seed: int) -> None:
    drawn = world(users=40, sessions=40, planted=0.0, seed=seed)
    found = evaluate(drawn.listening, drawn.songs, {}, END)["discover"]
    assert not found.passed
    assert found.served == found.fallback
    assert f"so {found.fallback} orders the lists" in found.why


def test_lists_must_cover_five_times_the_songs_of_the_baseline_wherever_they_can() -> None:
    assert coverage_required(0.1, 1.0) == (0.5, "")
    assert coverage_required(0.19, 1.0)[0] == pytest.approx(0.95), "although half of all songs would be less"
    required, why = coverage_required(0.3, 1.0)
    assert required == 0.5
    assert "half of what they can cover was required" in why
    assert coverage_required(0.0147, 0.02)[0] == 0.01


def test_users_who_do_not_share_are_of_no_use_to_each_other() -> None:
    drawn = world(users=4, sessions=60, sharing=False)
    found = evaluate(drawn.listening, drawn.songs, {}, END)["discover"]
    assert found.unreachable_share == 1.0
    assert all(result.ndcg == 0 for result in found.results)
    assert found.fallback != "random"
    assert not found.passed


def test_an_evaluation_knows_nothing_of_the_plays_after_the_cut() -> None:
    drawn = world(users=20, sessions=30)
    cut = END - timedelta(days=28)
    other_songs = (pl.col("item") * 7 + 3) % drawn.listening.size
    later = pl.when(pl.col("played_at") >= cut).then(other_songs).otherwise(pl.col("item"))
    changed = replace(drawn.listening, heard=drawn.listening.heard.with_columns(item=later))
    found, other = (trials(each, drawn.songs, {}, cut)["discover"] for each in (drawn.listening, changed))
    assert found.relevant != other.relevant
    for name, rankings in found.rankings.items():
        assert [each.tolist() for each in rankings] == [each.tolist() for each in other.rankings[name]]


def test_an_evaluation_repeated_gives_the_same() -> None:
    drawn = world(users=10, sessions=20)
    one, other = (evaluate(drawn.listening, drawn.songs, {}, END) for _ in range(2))
    assert one == other


def test_metrics_are_those_of_their_definitions() -> None:
    assert metrics.ndcg([3, 1, 2], {1, 9}, at=3) == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
    assert metrics.ndcg([1], frozenset()) == 0
    assert metrics.recall([3, 1, 2], {1, 9}, at=3) == 0.5
    assert metrics.recall(list(range(20)), set(range(100))) == 1.0
    assert metrics.coverage([[0, 1], [1, 2]], 10) == 0.3
    assert metrics.novelty([[0, 1]], np.array([0.5, 0.25])) == 1.5
    low, high = metrics.bootstrap_bounds([0.1] * 10)
    assert low == high == pytest.approx(0.1)
    assert metrics.bootstrap_bounds([]) == (0.0, 0.0)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=60), st.sampled_from([1, 3, 1_000])
)
def test_a_ranking_is_in_order_and_has_at_most_two_songs_of_an_artist(
    songs: list[tuple[int, int]], sorted_at_once: int
) -> None:
    scores, artists = (np.array(each) for each in zip(*songs, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "SORTED_AT_ONCE", sorted_at_once)
        found = scoring.ranked(scores.astype(float), artists, 5).tolist()
    expected: list[int] = []
    for song in sorted(range(len(songs)), key=lambda song: (-scores[song], song)):
        same = [other for other in expected if artists[other] == artists[song]]
        if scores[song] > 0 and len(same) < 2 and len(expected) < 5:
            expected.append(song)
    assert found == expected
