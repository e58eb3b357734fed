"""JSON arrays in every encoding, truncated, damaged or malformed, compared with `json.loads` of the whole file."""

import json
import tracemalloc
import zlib
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline.errors import BrokenExportError, ExportError
from echostats_pipeline.importers import arrays
from echostats_pipeline.importers.arrays import ObjectChunk, read_objects

ROWS: list[dict[str, Any]] = [
    {"a": 1, "b": 'ä}, {"x', "c": None},
    {"a": [{"x": 1}, {"y": 2}]},
    {"a": "€\U0001f3b5", "b": {"of": {}}},
    {},
]
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")
BLOCKS = (1, 7, 1 << 20)


def read(data: bytes, chunk_rows: int = 3, block_bytes: int = 1 << 20) -> tuple[list[ObjectChunk], ExportError | None]:
    chunks: list[ObjectChunk] = []
    try:
        for chunk in read_objects(BytesIO(data), "F", chunk_rows, block_bytes):
            assert chunk.rows == len(chunk.objects) + len(chunk.rejects) <= chunk_rows
            chunks.append(chunk)
    except ExportError as error:
        return chunks, error
    return chunks, None


def objects(chunks: list[ObjectChunk]) -> list[Any]:
    return [row for chunk in chunks for row in chunk.objects]


def rejected(chunks: list[ObjectChunk]) -> list[int]:
    return [reject.row_number for chunk in chunks for reject in chunk.rejects]


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("indent", [None, 1])
def test_every_encoding_is_read_in_blocks_of_any_size(encoding: str, block_bytes: int, indent: int | None) -> None:
    data = json.dumps(ROWS, ensure_ascii=False, indent=indent).encode(encoding)
    chunks, error = read(data, block_bytes=block_bytes)
    assert error is None
    assert objects(chunks) == ROWS
    assert [chunk.numbers for chunk in chunks] == [[0, 1, 2], [3]]
    assert chunks[-1].bytes_read == len(data)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("indent", [None, 1])
def test_whatever_byte_a_file_breaks_off_at_the_rows_before_are_given(encoding: str, indent: int | None) -> None:
    rows = [{"a": number, "b": "ä}, {"} for number in range(4)]
    texts = [json.dumps(row, ensure_ascii=False, indent=indent) for row in rows]
    ends = [len(("[" + ", ".join(texts[:count])).encode(encoding)) for count in range(len(rows) + 1)]
    data = f"[{', '.join(texts)}]".encode(encoding)
    for length in range(len(data)):
        chunks, error = read(data[:length], block_bytes=64)
        complete = sum(end <= length for end in ends[1:])
        assert objects(chunks) == rows[:complete]
        assert isinstance(error, BrokenExportError) or length < ends[0]
        if isinstance(error, BrokenExportError):
            assert min(ends[complete], length) <= error.position <= length
            assert f"at byte {error.position}" in str(error)
        assert isinstance(error, ExportError)


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "bad",
    [
        '{"a": bad}',
        '{"a": 1',
        '{"a: 1}',
        '{"a": "x}',
        '{"a": "\x00"}',
        '{"a": 1}}',
        "{'a': 1}",
        '{"a": 01}',
        "nope",
        "{]}",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_row_among_good_ones_costs_only_itself(
    bad: str, place: int, indent: int | None, block_bytes: int
) -> None:
    texts = [json.dumps({"row": number, "with": "a name"}, indent=indent) for number in range(4)]
    texts[place] = bad
    separator = ",\n" if indent else ","
    chunks, error = read(f"[{separator.join(texts)}]".encode(), block_bytes=block_bytes)
    assert error is None
    assert [row["row"] for row in objects(chunks)] == [number for number in range(4) if number != place]
    assert rejected(chunks) == [place]


@pytest.mark.parametrize(
    "bad", ['{"a": ' + "9" * 5000 + "}", '{"a":' * 5000 + "1" + "}" * 5000, "[" * 9000 + "]" * 9000]
)
def test_numbers_and_depths_beyond_all_measure_cost_only_their_row(bad: str) -> None:
    chunks, error = read(f'[{{"row": 0}},{bad},{{"row": 2}}]'.encode())
    assert error is None
    assert objects(chunks) == [{"row": 0}, {"row": 2}]
    assert rejected(chunks) == [1]


def test_a_damaged_row_is_reported_with_its_byte_and_without_its_content() -> None:
    data = b'[{"a":1},{"a":"\xff canary"},{"b":1}]'
    (chunk,), error = read(data)
    (reject,) = chunk.rejects
    assert error is None
    assert (reject.reason, reject.row) == ("the row is not valid JSON: it has bytes that are not UTF-8", {"byte": 9})
    (chunk,), _ = read(b'[{"a": bad}]')
    (reject,) = chunk.rejects
    assert (reject.reason, reject.row) == ("the row is not valid JSON: Expecting value", {"byte": 1})


def test_numbers_that_are_none_are_unknown() -> None:
    (chunk,), _ = read(b'[{"a": NaN, "b": -Infinity, "c": 1}]')
    assert chunk.objects == [{"a": None, "b": None, "c": 1}]


@pytest.mark.parametrize("data", [b"[]", b" \n[ \n] \n", b"\xef\xbb\xbf[]", "[]".encode("utf-16")])
def test_an_empty_array_has_no_rows(data: bytes) -> None:
    assert read(data) == ([], None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "F is empty"),
        (b" \n ", "F is empty"),
        (b'{"ts": 1}', "one JSON object"),
        (b'"text"', "no array"),
        (b"12", "no array"),
        (b"null", "no array"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"%PDF-1.7", "not JSON"),
        (b"\xff\xd8\xff\xe0", "not JSON"),
        (b"\x00\x00\x00\x00", "not JSON"),
        (b"PK\x03\x04", "not JSON"),
    ],
)
def test_what_is_no_array_is_refused_with_what_it_is(data: bytes, message: str) -> None:
    chunks, error = read(data)
    assert chunks == []
    assert not isinstance(error, BrokenExportError)
    assert message in str(error)
    assert "Nothing of it was imported" in str(error)


@pytest.mark.parametrize("garbage", [b"x", b"]", b"[{}]", b"\x00\x00", b"\n ,{}]"])
def test_what_follows_the_array_is_an_error_after_its_rows(garbage: bytes) -> None:
    chunks, error = read(b'[{"a": 1}]\n ' + garbage)
    assert objects(chunks) == [{"a": 1}]
    assert isinstance(error, BrokenExportError)
    assert "continues after the end" in str(error)
    assert error.position == 12 + (len(garbage) - len(garbage.lstrip()))


def test_white_space_behind_an_array_is_not_held() -> None:
    data = b'[{"a": 1}]' + b" " * (8 << 20)
    tracemalloc.start()
    try:
        chunks = list(read_objects(BytesIO(data), "F"))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert objects(chunks) == [{"a": 1}]


def test_a_row_without_an_end_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "LONGEST_ROW", 5000)
    chunks, error = read(b'[{"a": 1},{"a": "' + b"x" * 100_000, block_bytes=1000)
    assert objects(chunks) == [{"a": 1}]
    assert isinstance(error, BrokenExportError)
    assert error.position == 10


class Failing(BytesIO):
    """A stream that fails as a damaged zip would."""

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        if not block:
            raise zlib.error("invalid distance too far back")
        return block


@pytest.mark.parametrize("data", [b'[{"a": 1}, {"a": 2', b'[{"a": 1}', b'[{"a": 1}]'])
def test_a_stream_that_fails_gives_the_rows_before(data: bytes) -> None:
    chunks: list[ObjectChunk] = []
    with pytest.raises(BrokenExportError, match="too far back"):
        chunks.extend(read_objects(Failing(data), "F"))
    assert objects(chunks) == [{"a": 1}]
    with pytest.raises(BrokenExportError, match="too far back"):
        list(read_objects(Failing(b""), "F"))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=6)
    | st.sampled_from(["}, {", '},{"', "]", "\\", "[{"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(rows=st.lists(JSON, max_size=6), block_bytes=st.integers(1, 40), chunk_rows=st.integers(1, 7), ascii_only=...)
@settings(max_examples=150)
def test_a_file_gives_what_json_gives(rows: list[Any], block_bytes: int, chunk_rows: int, ascii_only: bool) -> None:
    data = json.dumps(rows, ensure_ascii=ascii_only).encode("utf-8", "replace")
    expected = json.loads(data)
    chunks, error = read(data, chunk_rows, block_bytes)
    assert error is None
    assert objects(chunks) == [row for row in expected if isinstance(row, dict)]
    assert rejected(chunks) == [number for number, row in enumerate(expected) if not isinstance(row, dict)]
    assert all(chunk.rows == chunk_rows for chunk in chunks[:-1])
