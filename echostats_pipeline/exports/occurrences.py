"""Telling exact repeats apart: the n-th time that a file holds a content."""

import polars as pl

LARGEST = 1_000_000
"""Hashes that are kept in one sorted piece; larger pieces cost memory while they are put together."""


class Occurrences:
    """Numbers the rows of one file, chunk after chunk.

    Of the chunks before, a hash of 64 bits per row is kept, in a few sorted pieces: 8 bytes a row. Two contents in
    different chunks whose hashes are equal (a chance of one in a million for a file of six million rows) would count
    as one; within a chunk the contents themselves are compared.
    """

    def __init__(self) -> None:
        self._pieces: list[pl.Series] = []

    def numbered(self, plays: pl.DataFrame) -> pl.DataFrame:
        """The plays in their order, ``import_key`` with ``|n`` appended: the n-th occurrence in the file.

        Args:
            plays: A frame with ``import_key``, the raw content of the rows.
        """
        if plays.is_empty():
            return plays
        hashes = plays["import_key"].hash()
        piece = hashes.sort()
        number: pl.Series | pl.Expr = self._earlier(hashes, piece) + 1
        if hashes.n_unique() < len(hashes):
            number = number + pl.int_range(pl.len(), dtype=pl.UInt32).over("import_key")
        self._keep(piece)
        return plays.with_columns(import_key=pl.concat_str("import_key", number.cast(pl.String), separator="|"))

    def _earlier(self, hashes: pl.Series, ascending: pl.Series) -> pl.Series:
        """How often each hash was seen in the chunks before; `ascending` are the same, sorted."""
        found = pl.zeros(len(hashes), dtype=pl.UInt32, eager=True)
        for piece in self._pieces:
            # Repeats are rare and a sorted search is several times faster, so that most pieces end here.
            nearest = piece.search_sorted(ascending, "left").clip(upper_bound=len(piece) - 1)
            if (piece.gather(nearest) == ascending).any():
                found += piece.search_sorted(hashes, "right") - piece.search_sorted(hashes, "left")
        return found

    def _keep(self, piece: pl.Series) -> None:
        """Add a sorted piece; pieces of like size become one, so that there are few to search."""
        while self._pieces and len(self._pieces[-1]) <= len(piece) < LARGEST:
            piece = pl.concat([self._pieces.pop(), piece]).sort()
        self._pieces.append(piece)


DETAILS = ("reason_start", "reason_end", "shuffle")
"""What tells apart rows of one identity, and is worded alike in every export."""


class AcrossFiles:
    """Numbers the rows of an import over all of its files, so that it does not matter how rows are split over them.

    Rows of one identity in several files are several plays where they differ in `DETAILS`, and copies of each other
    where they do not: a zip beside its own folder, an export beside a later one. Within a file every row counts.
    """

    def __init__(self) -> None:
        self._rows, self._identities = Occurrences(), Occurrences()
        self._file = Occurrences()

    def begin_file(self) -> None:
        """The rows that follow are those of another file."""
        self._file = Occurrences()

    def numbered(self, plays: pl.DataFrame) -> pl.DataFrame:
        """The rows that no earlier file has held, ``import_key`` ending with their number over all files.

        Args:
            plays: A frame of `rows.EXPORT_SCHEMA`; ``import_key`` ends with the occurrence in the file.
        """
        if plays.is_empty():
            return plays
        told = plays.with_columns(import_key=pl.col("import_key").str.extract(r"(?s)^(.*)\|[0-9]+$"))
        details = pl.concat_str(
            "import_key", *(pl.col(name).cast(pl.String).fill_null("") for name in DETAILS), separator="\n"
        )
        in_file = self._file.numbered(told.select(import_key=details))
        over_files = self._rows.numbered(in_file)
        new = told.filter(over_files["import_key"].str.ends_with("|1"))
        if new["import_key"].is_duplicated().any():
            # Equal rows are numbered in an order of their own, whatever that of the file is.
            new = new.sort("import_key", *DETAILS, "row_number")
            return self._identities.numbered(new).sort("row_number")
        return self._identities.numbered(new)
