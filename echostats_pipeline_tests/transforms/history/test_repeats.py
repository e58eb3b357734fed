"""Repeated rows of an export: counted once each, however the export is cut into files and in any order."""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline_tests.hypothesis_profiles import examples
from echostats_pipeline_tests.transforms.history.fake_history import History
from echostats_pipeline_tests.transforms.row_factories import export, row

Details = tuple[str, str, bool]

DIFFERENT = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(("fwdbtn", "backbtn")), st.booleans()), unique=True, max_size=6
)
CUTS = st.lists(st.integers(0, 6), max_size=3).map(sorted)


def rows_of(reported: list[Details], seconds: int = 0) -> list[dict[str, Any]]:
    plain = [row(seconds, track, 0) for track, _, _ in reported]
    return [
        {**each, "reason_start": reason, "reason_end": "fwdbtn", "shuffle": shuffle}
        for each, (_, reason, shuffle) in zip(plain, reported, strict=True)
    ]


def documents(*files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    history = History()
    for file in files:
        before = len(history.plays)
        outcomes: Counter[str] = Counter(history.export(export(file)).outcomes)
        assert outcomes["inserted"] == len(history.plays) - before
        assert outcomes.total() == len(file)
    return history.documents()


@given(reported=DIFFERENT, cuts=CUTS, order=st.randoms(use_true_random=False))
@settings(max_examples=examples(20))
def test_rows_that_differ_are_the_same_plays_however_they_are_split_over_files(
    reported: list[Details], cuts: list[int], order: Any
) -> None:
    rows = rows_of(reported)
    files = [rows[start:end] for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    files += [rows, rows[::-1]]
    order.shuffle(files)
    whole = documents(rows)
    assert len(whole) == len(rows)
    assert documents(*files) == whole


@given(reported=st.lists(st.sampled_from(("fwdbtn", "backbtn", "clickrow")), min_size=1, max_size=5))
@settings(max_examples=examples(10))
def test_a_copy_adds_nothing_and_within_a_file_every_row_counts(reported: list[str]) -> None:
    rows = rows_of([("a", reason, True) for reason in reported])
    whole = documents(rows)
    assert len(whole) == len(rows)
    assert documents(rows, rows, rows[::-1], rows[:1]) == whole
    assert len(documents(rows[:1], rows)) == len(rows)


@given(reported=DIFFERENT, vague_first=st.booleans())
@settings(max_examples=examples(20))
def test_rows_that_do_not_say_how_they_began_are_copies_of_those_that_do(
    reported: list[Details], vague_first: bool
) -> None:
    rows = rows_of(reported)
    vague = [{**each, "reason_start": None, "shuffle": None} for each in rows]
    files = (vague, rows) if vague_first else (rows, vague)
    assert len(documents(*files)) == len(rows)


def test_an_exporter_that_words_everything_otherwise_doubles_nothing() -> None:
    rows = [each for second in range(200) for each in rows_of([("a", "clickrow", False)], second)]
    reworded = [{**each, "reason_start": "click-row"} for each in rows]
    assert len(documents(rows, reworded)) == len(rows)
