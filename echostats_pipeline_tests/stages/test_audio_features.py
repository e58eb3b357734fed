"""Audio features from several sources: which source is asked for which tracks, and what a missing value means."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.errors import SettingsError, WaitRequired
from echostats_pipeline.model.catalog import AudioFeatures
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.transport import Request, Response
from echostats_pipeline.stages.audio_features import (
    ID_COLUMNS,
    AudioFeaturesResult,
    FeatureSource,
    ask_in_turn,
    askable,
    from_file,
    from_spotify,
)
from echostats_pipeline_tests.conftest import NOW

VALUES: dict[str, float | None] = {
    "danceability": 0.5,
    "energy": 0.25,
    "key": 1,
    "loudness": -7.5,
    "mode": 0,
    "speechiness": 0.125,
    "acousticness": 0.5,
    "instrumentalness": 0.0,
    "liveness": 0.5,
    "valence": 1.0,
    "tempo": 120.5,
    "duration_ms": 200_000,
    "time_signature": 4,
}
REQUIRED = sorted(VALUES.keys() - {"duration_ms", "time_signature"})
IDS = ("a1", "b2", "c3", "d4")
NO_ANSWERS: dict[str, list[str]] = {spotify_id: [] for spotify_id in IDS}


def features(energy: float) -> AudioFeatures:
    return AudioFeatures.model_validate(VALUES | {"energy": energy})


class Source:
    """A source that knows some ids, and demands a wait after a number of responses."""

    def __init__(self, known: dict[str, AudioFeatures], answers: int | None = None, family: str = "x") -> None:
        self.known = known
        self.answers = answers
        self.family = family
        self.asked: list[list[str]] = []

    def __call__(self, ids: Sequence[str]) -> Iterator[tuple[str, AudioFeatures | None]]:
        self.asked.append(list(ids))
        for number, spotify_id in enumerate(ids):
            if self.answers is not None and number >= self.answers:
                raise WaitRequired(self.family, NOW + timedelta(hours=1), "enough")
            yield spotify_id, self.known.get(spotify_id)


def refusing(_: Request) -> Response:
    return Response(403, body=b'{"error": {"status": 403, "message": "Forbidden"}}')


def test_each_source_is_asked_for_what_those_before_it_did_not_know() -> None:
    first, second = Source({"b2": features(0.1)}), Source({"b2": features(0.9), "c3": features(0.2)})
    third = Source({})
    heard = ask_in_turn({"x": first, "y": second, "z": third}, NO_ANSWERS)
    assert heard.waiting == {}
    assert heard.answers == {"a1": None, "b2": features(0.1), "c3": features(0.2), "d4": None}
    assert heard.asked == {"a1": ["x", "y", "z"], "b2": [], "c3": ["x"], "d4": ["x", "y", "z"]}
    assert (first.asked, second.asked, third.asked) == ([list(IDS)], [["a1", "c3", "d4"]], [["a1", "d4"]])


def test_without_a_source_nobody_is_asked() -> None:
    assert ask_in_turn({}, NO_ANSWERS) == AudioFeaturesResult({}, {spotify_id: [] for spotify_id in IDS}, {})


def test_a_source_is_not_asked_again_for_what_it_does_not_know() -> None:
    first, second = Source({}), Source({"b2": features(0.2)})
    heard = ask_in_turn({"x": first, "y": second}, {"a1": ["x", "y"], "b2": ["x"], "c3": ["y"]})
    assert (first.asked, second.asked) == ([["c3"]], [["b2"]])
    assert heard.answers == {"b2": features(0.2), "c3": None}
    assert heard.asked == {"a1": ["x", "y"], "b2": ["x"], "c3": ["y", "x"]}


def test_a_source_waits_with_its_family_and_a_file_never_does() -> None:
    sources = ("mine.csv", "spotify", "reccobeats")
    assert askable(sources, ()) == list(sources)
    assert askable(sources, {"audio-features", "tracks"}) == ["mine.csv", "reccobeats"]
    assert askable(sources, {"audio-features", "reccobeats"}) == ["mine.csv"]


def test_an_app_that_spotify_refuses_leaves_everything_to_the_next_source() -> None:
    second = Source({"a1": features(0.3)})
    heard = ask_in_turn({"spotify": from_spotify(SpotifyClient(refusing)), "y": second}, NO_ANSWERS)
    assert (heard.answers, heard.waiting) == ({**dict.fromkeys(IDS), "a1": features(0.3)}, {})
    assert second.asked == [list(IDS)]
    assert not any("spotify" in names for names in heard.asked.values()), "a refusal is no word about a track"


def test_while_a_source_waits_what_it_was_not_asked_about_stays_open() -> None:
    first, second = Source({"a1": features(0.1)}, answers=2), Source({"c3": features(0.2)})
    heard = ask_in_turn({"x": first, "y": second}, NO_ANSWERS)
    # No source knows b2; the second knows c3; the first may know part of d4.
    assert heard.answers == {"a1": features(0.1), "b2": None, "c3": features(0.2), "d4": None}
    assert (heard.asked["b2"], heard.asked["d4"]) == (["x", "y"], ["y"])
    assert heard.waiting.keys() == {"x"}
    assert second.asked == [["b2", "c3", "d4"]]


@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from(IDS)), st.none() | st.integers(0, 4)),
        max_size=4,
    )
)
def test_a_source_counts_as_asked_only_if_it_was_and_knew_nothing(
    plan: list[tuple[set[str], int | None]],
) -> None:
    sources = {
        str(number): Source({spotify_id: features(number / 10) for spotify_id in known}, answers)
        for number, (known, answers) in enumerate(plan)
    }
    heard = ask_in_turn(sources, NO_ANSWERS)
    for spotify_id in IDS:
        reached, found = [], None
        for name, source in sources.items():
            (listed,) = source.asked
            if spotify_id in listed and (source.answers is None or listed.index(spotify_id) < source.answers):
                reached.append(name)
                found = found or source.known.get(spotify_id)
        assert heard.answers.get(spotify_id) == found
        assert (spotify_id in heard.answers) is bool(reached)
        assert heard.asked[spotify_id] == (reached[:-1] if found else reached)


def table(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame({name: [value] * len(IDS[:2]) for name, value in VALUES.items()} | columns)


def write(frame: pl.DataFrame, path: Path) -> FeatureSource:
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return from_file(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("column", ID_COLUMNS)
def test_a_file_answers_for_every_id_at_once(tmp_path: Path, suffix: str, column: str) -> None:
    ask = write(table(**{column: ["a1", "b2"], "comment": ["x", None]}), tmp_path / f"mine{suffix}")
    expected = AudioFeatures.model_validate(VALUES)
    assert list(ask(["b2", "zz", "a1"])) == [("b2", expected), ("zz", None), ("a1", expected)]
    assert list(ask([])) == []


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_length_and_time_signature_may_be_missing_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    frame = table(id=["a1", "b2"])
    (_, found), *_ = write(frame.drop("duration_ms", "time_signature"), tmp_path / f"short{suffix}")(["a1"])
    assert found == AudioFeatures.model_validate(VALUES | {"duration_ms": None, "time_signature": None})
    for name in REQUIRED:
        assert list(write(frame.drop(name), tmp_path / f"no-{name}{suffix}")(["a1"])) == [("a1", None)]
        nulled = frame.with_columns(pl.when(pl.col("id") == "b2").then(pl.col(name)).alias(name))
        (_, first), (_, second) = write(nulled, tmp_path / f"null-{name}{suffix}")(["a1", "b2"])
        assert (first, second) == (None, AudioFeatures.model_validate(VALUES))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_is_not_a_number_is_unknown_and_distorts_no_average(tmp_path: Path, suffix: str) -> None:
    ask = write(table(id=["a1", "b2"], tempo=[float("nan"), 99.5]), tmp_path / f"mine{suffix}")
    (_, first), (_, second) = ask(["a1", "b2"])
    assert first is None
    assert second is not None
    assert second.tempo == 99.5


def test_whole_numbers_in_the_first_rows_of_a_csv_say_nothing_about_the_rest(tmp_path: Path) -> None:
    rows = [",".join(["id", *VALUES])]
    rows += [",".join([f"t{number}", *(str(int(value or 0)) for value in VALUES.values())]) for number in range(150)]
    rows.append(",".join(["last", *(str(value) for value in VALUES.values())]))
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(rows))
    ((_, found),) = from_file(path)(["last"])
    assert found == AudioFeatures.model_validate(VALUES)


def test_ids_that_look_like_numbers_are_ids(tmp_path: Path) -> None:
    ids = ["0123456789012345678901", "1"]
    assert [found is not None for _, found in write(table(track_id=ids), tmp_path / "mine.csv")(ids)] == [True, True]


@pytest.mark.parametrize("name", ["missing.csv", "missing.parquet", "text.parquet", "empty.csv", "folder.csv"])
def test_a_file_that_cannot_be_read_names_the_setting(tmp_path: Path, name: str) -> None:
    match name.partition(".")[0]:
        case "text":
            (tmp_path / name).write_text("no parquet")
        case "empty":
            (tmp_path / name).touch()
        case "folder":
            (tmp_path / name).mkdir()
    with pytest.raises(SettingsError, match=f"ECHOSTATS_AUDIO_FEATURES.*{name}"):
        from_file(tmp_path / name)


def test_a_file_without_ids_says_how_to_name_them(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="spotify_id, track_id, id"):
        write(table(song=["a1", "b2"]), tmp_path / "mine.csv")
