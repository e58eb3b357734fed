"""What the core has as Playlist Generator's documents."""

import json
from datetime import UTC, datetime, timedelta

from echostats_pipeline.marts.playlist_generator.mappings import PARSER_METRICS, model_documents
from echostats_pipeline.model.recommendations import ModelActivation, ModelEvaluation, ScorerResult
from echostats_pipeline_tests.playlists.sentences import rows

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


def evaluation(days_ago: int, *, passed: bool) -> ModelEvaluation:
    results = [
        ScorerResult(
            name=name, is_baseline=is_baseline, ndcg=0.2, recall=0.1, coverage=0.5, novelty_bits=3, most_per_artist=2
        )
        for name, is_baseline in (("basket_knn", False), ("content", False), ("popularity", True))
    ]
    at = NOW - timedelta(days=days_ago)
    verdict = "It is better." if passed else "It is not surely better."
    return ModelEvaluation(
        task="discover",
        evaluated_at=at,
        users=3,
        songs=9,
        results=results,
        model="basket_knn",
        passed=passed,
        served="basket_knn" if passed else "popularity",
        why=verdict,
    )


def test_every_judged_model_is_registered_and_only_those_in_force_are_activated() -> None:
    old, new = evaluation(1, passed=True), evaluation(0, passed=False)
    activated = ModelActivation(
        task="discover",
        name="basket_knn",
        version="1",
        activated_at=old.evaluated_at,
        evaluated_at=old.evaluated_at,
        by="evaluation",
        why=old.why,
    )
    found = [each.fields for each in model_documents([activated], [old, new])]
    names = [(each["name"], "activatedAt" in each, each.get("artifact")) for each in found]
    assert names == [
        ("mood_parser", True, None),
        ("sequencer", True, None),
        ("item_knn", True, "item_neighbours"),
        ("item_knn", False, "item_neighbours"),
        ("content", False, None),
    ]
    metrics = [json.loads(each["metricsJson"]) for each in found]
    assert [each["gate"] for each in metrics[2:]] == [old.why, new.why, new.why]
    assert metrics[3]["evaluation"]["results"][0]["ndcg"] == 0.2
    assert len({(each["name"], each["version"]) for each in found}) == len(found)
    again = [each.fields for each in model_documents([activated], [old, new])]
    assert again == found


def test_the_registry_counts_no_more_sentences_than_the_table_has() -> None:
    assert PARSER_METRICS["sentences"] == PARSER_METRICS["understood"] <= len(rows())
