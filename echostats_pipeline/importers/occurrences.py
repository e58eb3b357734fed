"""Numbers exact repeats in a file: the n-th occurrence of the same content."""

import polars as pl

LARGEST = 1_000_000
"""Number of hashes kept in one sorted piece; larger pieces need much memory while they are merged."""


class Occurrences:
    """Numbers the rows of one file, chunk after chunk.

    For all earlier chunks, a hash of 64 bits per row is kept, in a few sorted pieces: 8 bytes a row. Two contents in
    different chunks whose hashes are equal would count as one (a chance of one in a million for a file of six million
    rows). Within a chunk the contents themselves are compared.
    """

    def __init__(self) -> None:
        self._pieces: list[pl.Series] = []

    def numbered(self, plays: pl.DataFrame) -> pl.DataFrame:
        """The plays in their order, with ``|n`` appended to ``import_key``: the n-th occurrence in the file.

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
        """How often each hash occurred in earlier chunks; `ascending` are the same hashes, sorted."""
        found = pl.zeros(len(hashes), dtype=pl.UInt32, eager=True)
        for piece in self._pieces:
            # Repeats are rare and a sorted search is several times faster, so most pieces end here.
            nearest = piece.search_sorted(ascending, "left").clip(upper_bound=len(piece) - 1)
            if (piece.gather(nearest) == ascending).any():
                found += piece.search_sorted(hashes, "right") - piece.search_sorted(hashes, "left")
        return found

    def _keep(self, piece: pl.Series) -> None:
        """Add a sorted piece. Pieces of similar size are merged, so that there are few to search."""
        while self._pieces and len(self._pieces[-1]) <= len(piece) < LARGEST:
            piece = pl.concat([self._pieces.pop(), piece]).sort()
        self._pieces.append(piece)
