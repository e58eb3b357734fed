import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.errors import SpotifyResponseError, SpotifyUnavailable, WaitRequired
from echostats_pipeline.model.catalog import AudioFeatures
from echostats_pipeline.spotify.reccobeats import audio_features, audio_features_iter
from echostats_pipeline.spotify.transport import Request, Response
from echostats_pipeline_tests.spotify.fake_transport import Script, Time, answer

HEAT_WAVES_ID = "02MWAaffLxlfxAUY7c5dvx"
ROW: dict[str, Any] = {
    "id": "b2f7ee5c-0000-4000-8000-000000000000",
    "href": "https://open.spotify.com/track/02MWAaffLxlfxAUY7c5dvx",
    "isrc": "GBUM72000433",
    "acousticness": 0.44,
    "danceability": 0.761,
    "energy": 0.525,
    "instrumentalness": 0,
    "key": 11,
    "liveness": 0.0921,
    "loudness": -6.9,
    "mode": 1,
    "speechiness": 0.0944,
    "tempo": 80.87,
    "valence": 0.531,
}
"""A row in the shape of https://reccobeats.com/docs, as read on 2026-05-06."""


class ReccoBeats:
    """Knows every id that does not begin with "a", and responds in a different order."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, request: Request) -> Response:
        assert request.url == "https://api.reccobeats.com/v1/audio-features"
        assert (request.headers, request.family, request.user_id) == ({}, "reccobeats", "")
        batch = request.params["ids"].split(",")
        self.batches.append(batch)
        rows: list[dict[str, Any]] = [
            {"href": f"https://open.spotify.com/track/{one}", "energy": len(one)} for one in batch
        ]
        return answer({"content": [row for row in rows if not row["href"].split("/")[-1].startswith("a")][::-1]})


def test_known_values_keep_their_names_and_nothing_is_made_up() -> None:
    found = audio_features(Script(answer({"content": [ROW]})), [HEAT_WAVES_ID])
    features = found[HEAT_WAVES_ID]
    assert features == {name: value for name, value in ROW.items() if name in AudioFeatures.model_fields}
    assert AudioFeatures.model_fields.keys() - features.keys() == {"duration_ms", "time_signature"}
    assert {name for name, value in features.items() if isinstance(value, int)} == {"key", "mode"}


@given(st.lists(st.text("abcXYZ019:,/", max_size=4), max_size=120))
def test_each_id_is_asked_for_once_forty_at_a_time(asked: list[str]) -> None:
    service = ReccoBeats()
    found = audio_features(service, asked)
    sent = [one for batch in service.batches for one in batch]
    assert sent == [one for one in dict.fromkeys(asked) if one.isalnum()]
    assert [len(batch) for batch in service.batches[:-1]] == [40] * (len(service.batches) - 1)
    assert all(len(batch) <= 40 for batch in service.batches)
    assert list(found) == list(dict.fromkeys(asked))
    assert found == {
        one: {"energy": float(len(one))} if one.isalnum() and not one.startswith("a") else None for one in asked
    }


@pytest.mark.parametrize("value", [None, "0.5", True, float("nan"), float("inf"), [], {}])
def test_a_value_that_is_no_number_is_not_known(value: object) -> None:
    body = json.dumps({"content": [ROW | {"energy": value, "key": 3.0}]})
    features = audio_features(Script(answer(body)), [HEAT_WAVES_ID])[HEAT_WAVES_ID]
    assert features is not None
    assert "energy" not in features
    assert features["key"] == 3


@pytest.mark.parametrize(
    "row", [None, 7, {}, {"href": None, "energy": 1}, {"href": "https://[", "energy": 1}, {"href": ROW["href"]}]
)
def test_a_row_that_tells_nothing_about_a_track_is_passed_over(row: object) -> None:
    assert audio_features(Script(answer({"content": [row]})), [HEAT_WAVES_ID]) == {HEAT_WAVES_ID: None}


def test_of_several_rows_for_a_track_the_first_counts() -> None:
    rows: list[Any] = [ROW, ROW | {"energy": 0.9}, ROW | {"href": "https://open.spotify.com/track/unasked"}]
    assert audio_features(Script(answer({"content": rows})), [HEAT_WAVES_ID])[HEAT_WAVES_ID]["energy"] == 0.525  # type: ignore[index]


@pytest.mark.parametrize("body", [{}, {"content": None}, {"content": {}}, [], b"<html>"])
def test_an_answer_without_content_is_not_an_absence(body: object) -> None:
    with pytest.raises(SpotifyResponseError, match="ReccoBeats"):
        audio_features(Script(answer(body)), ["x"])


def test_an_error_is_not_an_absence() -> None:
    with pytest.raises(SpotifyUnavailable, match="ReccoBeats"):
        audio_features(Script(answer(b"", 502)), ["x"])


def test_what_was_read_before_a_wait_was_handed_out() -> None:
    asked, service = [f"t{number}" for number in range(50)], ReccoBeats()

    def limited(request: Request) -> Response:
        if service.batches:
            raise WaitRequired("reccobeats", Time().now, "limited")
        return service(request)

    found: dict[str, object] = {}
    with pytest.raises(WaitRequired):
        # An update keeps objects read before the error.
        found.update(audio_features_iter(limited, asked))
    assert list(found) == asked[:40]
