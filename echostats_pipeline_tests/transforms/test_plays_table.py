"""Plays as rows: every field has its column, and every value arrives."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.model.base import to_utc
from echostats_pipeline.model.plays import Play, Playback, TrackSnapshot
from echostats_pipeline.transforms.plays_table import PLAY_COLUMNS, flat_plays

INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(to_utc)
OBJECT_IDS = st.binary(min_size=12, max_size=12).map(ObjectId)
PLAYBACKS = st.builds(Playback, offline_at=st.none() | INSTANTS)
PLAYS = st.builds(
    Play,
    id=OBJECT_IDS,
    played_at=INSTANTS,
    ms_played=st.none() | st.integers(0, 2**40),
    api_played_at=st.none() | INSTANTS,
    import_ts=st.none() | INSTANTS,
    also_imported=st.none() | st.lists(st.text(max_size=5), max_size=2),
    playback=st.none() | PLAYBACKS,
    track=st.builds(TrackSnapshot, duration_ms=st.integers(0, 2**40)),
)


def test_every_field_has_a_column_named_by_its_place() -> None:
    names = [column.name for column in PLAY_COLUMNS]
    assert len(names) == len(set(names))
    nested = {"track": TrackSnapshot, "playback": Playback}
    wanted = {name for name in Play.model_fields if name not in {*nested, "id"}} | {"_id"}
    wanted |= {f"{outer}_{inner}" for outer, model in nested.items() for inner in model.model_fields}
    assert set(names) == wanted
    assert all(column.meaning for column in PLAY_COLUMNS)


@given(plays=st.lists(PLAYS, max_size=5))
def test_every_value_arrives_where_it_belongs(plays: list[Play]) -> None:
    stored = [{"_id": play.id, **play.to_bson()} for play in plays]
    frame = flat_plays(stored)
    assert frame.schema == {column.name: column.dtype for column in PLAY_COLUMNS}
    for row, play in zip(frame.iter_rows(named=True), plays, strict=True):
        whole = play.model_dump(by_alias=True)
        for column in PLAY_COLUMNS:
            value: Any = whole
            for name in column.place:
                value = value[name] if value is not None else None
            assert row[column.name] == (str(value) if isinstance(value, ObjectId) else value)


def test_a_value_of_another_type_is_null_or_converted_and_costs_no_row() -> None:
    odd = {
        "_id": ObjectId(),
        "played_at": "yesterday",
        "ms_played": 180000.0,
        "track": "none",
        "playback": {"skipped": 7},
    }
    row = flat_plays([odd]).row(0, named=True)
    assert (row["played_at"], row["ms_played"], row["track_name"]) == (None, 180_000, None)
    assert flat_plays([odd, {}]).height == 2


def test_no_plays_are_a_table_without_rows() -> None:
    assert flat_plays([]).schema["played_at"] == pl.Datetime("ms", "UTC")


def test_an_instant_is_exact_to_the_millisecond_whatever_floats_make_of_it() -> None:
    instants = [datetime(2025, 1, 1, tzinfo=UTC) + timedelta(milliseconds=offset) for offset in range(0, 100_000, 37)]
    assert flat_plays([{"played_at": instant} for instant in instants])["played_at"].to_list() == instants
