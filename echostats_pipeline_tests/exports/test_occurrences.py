from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline.exports import occurrences
from echostats_pipeline.exports.occurrences import AcrossFiles, Occurrences
from echostats_pipeline.exports.rows import EXPORT_SCHEMA

CHUNKS = st.lists(st.lists(st.sampled_from("abcde"), max_size=8), max_size=12)


def numbered_plainly(contents: list[str]) -> list[str]:
    seen: Counter[str] = Counter()
    keys = []
    for content in contents:
        seen[content] += 1
        keys.append(f"{content}|{seen[content]}")
    return keys


def keys_of(chunks: list[list[str]]) -> list[str]:
    file = Occurrences()
    frames = [file.numbered(pl.DataFrame({"import_key": chunk}, schema={"import_key": pl.String})) for chunk in chunks]
    return [key for frame in frames for key in frame["import_key"]]


@given(chunks=CHUNKS, largest=st.sampled_from([1, 4, 1000]))
@settings(max_examples=200)
def test_repeats_are_numbered_in_their_order_however_a_file_is_cut(chunks: list[list[str]], largest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(occurrences, "LARGEST", largest)
        assert keys_of(chunks) == numbered_plainly([content for chunk in chunks for content in chunk])


def test_other_columns_stay_as_they_are() -> None:
    plays = pl.DataFrame({"import_key": ["a", "b", "a"], "row_number": [5, 6, 7]})
    assert Occurrences().numbered(plays).rows() == [("a|1", 5), ("b|1", 6), ("a|2", 7)]


def test_few_sorted_pieces_of_eight_bytes_a_row_are_kept() -> None:
    file = Occurrences()
    for first in range(0, 100_000, 100):
        file.numbered(pl.DataFrame({"import_key": [str(first + number) for number in range(100)]}))
    assert sum(piece.estimated_size() for piece in file._pieces) == 800_000
    assert len(file._pieces) < 12


ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([None, "fwdbtn", "backbtn"])), max_size=8)


def rows_of(file: list[tuple[str, str | None]]) -> pl.DataFrame:
    """The rows of a file: what they are, and why they began; numbered as a reader does."""
    keys = numbered_plainly([content for content, _ in file])
    known = {"row_number": range(len(file)), "import_key": keys, "reason_start": [reason for _, reason in file]}
    return pl.DataFrame({**dict.fromkeys(EXPORT_SCHEMA), **known}, schema=EXPORT_SCHEMA)


def plays_of(*files: list[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    over_files = AcrossFiles()
    found = []
    for file in files:
        over_files.begin_file()
        found += over_files.numbered(rows_of(file)).select("import_key", "reason_start").rows()
    assert len({key for key, _ in found}) == len(found)
    return found


@given(rows=ROWS, cut=st.integers(0, 8))
def test_rows_that_differ_are_as_many_plays_however_they_are_split_over_files(
    rows: list[tuple[str, str | None]], cut: int
) -> None:
    different = list(dict.fromkeys(rows))
    whole = plays_of(different)
    assert len(whole) == len(different)
    assert sorted(key for key, _ in plays_of(different[:cut], different[cut:])) == sorted(key for key, _ in whole)
    assert sorted(plays_of(different[::-1]), key=repr) == sorted(whole, key=repr)


@given(rows=ROWS)
def test_a_copy_of_a_file_adds_nothing_whatever_its_order(rows: list[tuple[str, str | None]]) -> None:
    assert plays_of(rows, rows, rows[::-1]) == plays_of(rows)
    assert len(plays_of(rows)) == len(rows)
