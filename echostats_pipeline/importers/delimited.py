"""Reads the rows of CSV files with any delimiter. A stray quote damages at most its own row."""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator

from echostats_pipeline.errors import ExportError
from echostats_pipeline.importers.text import LONGEST_LINE, UnreadText, is_damaged

DELIMITERS = (",", ";", "\t")
WIDEST = 100
"""Number of columns that no export has."""
LINES_OF_A_ROW = 100
"""How many lines a row with line breaks in its values may have; a quote that closes later is a stray one."""


def header_of(line: str, delimiter: str = ",") -> list[str]:
    """The names of columns. They need no quotes, so stray quotes are simply removed."""
    names = _fields(line, delimiter) or line.removesuffix("\n").split(delimiter)
    return [name.replace('"', "").strip() for name in names]


def csv_rows(lines: Iterable[str | UnreadText], delimiter: str = ",", width: int = 0) -> Iterator[list[str] | str]:
    r"""Yield the rows of a CSV without blank lines: the values, or the reason why a row has none.

    All rows must have the same width: that of the first row unless `width` is given. A quote that is never closed, or
    only by swallowing a line that is a row by itself, belongs to a damaged line; reading continues with the next line.

    Args:
        lines: Lines with their ``\n``, as `text_lines` yields them.
        delimiter: The character between columns.
        width: The number of columns, if a header has shown it.
    """
    ahead = _Ahead(lines)
    for line in ahead:
        if line == "\n":
            continue
        row = line.reason if isinstance(line, UnreadText) else _row(line, ahead, delimiter, width)
        if isinstance(row, list):
            width = width or len(row)
            if len(row) != width:
                row = f"the row has {len(row)} columns, the first one {width}"
        yield row


class _Ahead:
    """Lines with a look-ahead: the next lines can be read before they are taken."""

    def __init__(self, lines: Iterable[str | UnreadText]) -> None:
        self._lines = iter(lines)
        self._looked_at: deque[str | UnreadText] = deque()
        self._broken: ExportError | None = None

    def __iter__(self) -> Iterator[str | UnreadText]:
        while True:
            line = self._looked_at.popleft() if self._looked_at else self._next()
            if line is None:
                break
            yield line
        if self._broken:
            raise self._broken

    def look(self) -> Iterator[str]:
        """The next lines, up to the first unreadable one; they are not taken."""
        for number in range(LINES_OF_A_ROW):
            if number == len(self._looked_at):
                line = self._next()
                if line is None:
                    return
                self._looked_at.append(line)
            if isinstance(line := self._looked_at[number], UnreadText):
                return
            yield line

    def take(self, count: int) -> None:
        """Take lines that were looked at."""
        for _ in range(count):
            self._looked_at.popleft()

    def _next(self) -> str | UnreadText | None:
        """The next line of the file. A read error is raised later, after the lines before it have been taken."""
        try:
            return None if self._broken else next(self._lines, None)
        except ExportError as error:
            self._broken = error
            return None


def _row(line: str, ahead: _Ahead, delimiter: str, width: int) -> list[str] | str:
    """The row that begins with the line, or the reason why there is none; takes further lines if they belong to it."""
    row = _fields(line, delimiter)
    if row is None and line.count('"') % 2:
        row = _row_of_lines(line, ahead, delimiter, width)
    if row is None:
        row = _mended(line, delimiter, width)
    if row is None:
        return "the row is not valid CSV: its quotes do not match"
    if is_damaged("".join(row)):
        return "the row is not UTF-8: save the file as UTF-8 and import it again"
    return row


def _fields(text: str, delimiter: str) -> list[str] | None:
    """The values of exactly one row; None if the text is not one row."""
    if '"' not in text:
        return text.removesuffix("\n").split(delimiter)
    try:
        rows = list(csv.reader([text], strict=True, delimiter=delimiter))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _row_of_lines(line: str, ahead: _Ahead, delimiter: str, width: int) -> list[str] | None:
    """The row over several lines whose first line has an open quote; None if the next lines are rows by themselves."""
    text = line
    for taken, more in enumerate(ahead.look(), 1):
        own = _fields(more, delimiter)
        if len(text) + len(more) > LONGEST_LINE or (own is not None and len(own) == width):
            return None
        text += more
        if text.count('"') % 2 == 0:
            row = _fields(text, delimiter)
            if row is None or len(row) != width:
                return None
            ahead.take(taken)
            return row
    return None


def _mended(line: str, delimiter: str, width: int) -> list[str] | None:
    """The values of a line written without doubling quotes in values, if there is only one way to read them."""
    text, border = line.removesuffix("\n"), re.escape(delimiter)
    if text.count(delimiter) > 2 * (width or WIDEST):
        return None  # the search for closing quotes would take long
    values = re.findall(rf'(?:^|{border})(?:"(.*?)"(?={border}|$)|([^{border}]*))', text)
    quoted = [inner.replace('""', '"') or plain for inner, plain in values]
    split = [value[1:-1] if re.fullmatch('"[^"]+"', value) else value for value in text.split(delimiter)]
    for row in (quoted, split):
        if len(row) == (width or len(quoted)) and not any(
            value.startswith('"') and value.count('"') % 2 for value in row
        ):
            return row
    return None
