"""Documents as lines: strict JSON that any reader accepts, without loss of what JSON can represent."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.accounts.json_lines import iso, json_line
from echostats_pipeline.model.base import to_utc

NAMES = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def refuse(word: str) -> float:
    raise AssertionError(f"{word} is no JSON")


def read(line: bytes) -> Any:
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return json.loads(line.decode(), parse_constant=refuse)


@given(document=st.dictionaries(NAMES, VALUES, max_size=4))
def test_what_json_knows_is_read_back_as_it_was(document: dict[str, Any]) -> None:
    assert read(json_line(document)) == document


@pytest.mark.parametrize("name", ["Mr. Oizo", "$uicideboy$", "will.i.am", "", "a\nb", "\u2028", "Björk", "🎧"])
def test_names_of_artists_survive_as_keys(name: str) -> None:
    assert read(json_line({"artist_plays": {name: 3}})) == {"artist_plays": {name: 3}}


@pytest.mark.parametrize(
    ("value", "reported"),
    [
        (ObjectId("682a3b1f2e4a5c6d7e8f9012"), "682a3b1f2e4a5c6d7e8f9012"),
        (datetime(2025, 6, 15, 12, 0, tzinfo=UTC), "2025-06-15T12:00:00.000Z"),
        (datetime(2025, 6, 15, 12, 0, 0, 7000, tzinfo=timezone(timedelta(hours=2))), "2025-06-15T10:00:00.007Z"),
        (Int64(2**62), 2**62),
        (Decimal128("1.50"), "1.50"),
        (b"\x00\xff", "AP8="),
        (float("nan"), None),
        (float("inf"), None),
        (Regex("^a"), {"$regularExpression": {"pattern": "^a", "options": ""}}),
    ],
)
def test_what_json_does_not_know_is_told_plainly(value: object, reported: object) -> None:
    assert read(json_line({"deep": [{"value": value, "beside": 1.5}]})) == {
        "deep": [{"value": reported, "beside": 1.5}]
    }


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(to_utc))
def test_an_instant_is_read_back_to_the_millisecond(instant: datetime) -> None:
    assert datetime.fromisoformat(iso(instant)) == instant
    assert len(iso(instant)) == len("2025-06-15T12:00:00.000Z")
