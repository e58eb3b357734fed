from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline.importers import occurrences
from echostats_pipeline.importers.occurrences import Occurrences

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
    for first in range(0, 20_000, 100):
        file.numbered(pl.DataFrame({"import_key": [str(first + number) for number in range(100)]}))
    assert sum(piece.estimated_size() for piece in file._pieces) == 160_000
    assert len(file._pieces) < 12
