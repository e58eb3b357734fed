"""Which songs belong together: item-kNN over baskets.

Two songs are similar if they share more baskets than their number of plays explains: the cosine of their columns,
shrunk where the baskets are few. A user adds at most `CAP` to a pair, so that one heavy listener does not decide for
all.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from echostats_pipeline.recommender.baskets import Baskets, capped_totals
from echostats_pipeline.recommender.listening import Floats, Numbers

CAP = 10.0
"""Most weight that one user adds to a pair of songs: about ten recent sessions with both."""
SHRINKAGE = 10.0
MOST = 100
"""Neighbours kept for each song."""
LEAST_SESSIONS = 2
"""Songs heard in fewer sessions have no neighbours."""
AT_ONCE = 1_024
"""Songs computed at once; this bounds the memory."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The neighbours of songs.

    Attributes:
        weights: Songs by songs: the weight with which two were heard together. Symmetric but for the cut to `MOST`.
        listeners: The number of users who heard both, for the same pairs.
        totals: The weight of each song alone.
    """

    weights: sparse.csr_array
    listeners: sparse.csr_array
    totals: Floats

    def similarities(self, songs: Numbers) -> sparse.csr_array:
        """Some songs by all songs: c_ij / sqrt(c_i c_j) * c_ij / (c_ij + shrinkage), between 0 and 1."""
        pairs = self.weights[songs].tocoo()
        values = similarity(pairs.data.astype(np.float64), self.totals[songs][pairs.row], self.totals[pairs.col])
        return sparse.csr_array((values, (pairs.row, pairs.col)), shape=pairs.shape)

    def joined(self, own: "Neighbours") -> "Neighbours":
        """These neighbours and those of one more user, whose plays are not in these."""
        return Neighbours(
            (self.weights + own.weights).tocsr(),
            (self.listeners + own.listeners).tocsr(),
            self.totals + own.totals,
        )


def similarity(together: Floats, one: Floats, other: Floats) -> Floats:
    """The shrunk cosine of two songs from their weight together and the weight of each alone."""
    cosine = np.minimum(together / np.sqrt(np.maximum(one * other, 1e-12)), 1.0)
    return np.asarray(cosine * together / (together + SHRINKAGE))


def item_neighbours(baskets: Baskets, *, cap: float = CAP, most: int = MOST) -> Neighbours:
    """Find the neighbours of all songs.

    For each block of songs, one sparse product gives the weight of each pair for each user, which is capped before the
    users are summed.
    """
    size = baskets.rows.shape[1]
    totals = capped_totals(baskets, cap)
    columns = _of_known(baskets).tocsc()
    rows = columns.tocsr()
    blocks = [_block(columns, rows, baskets, first, totals, cap, most) for first in range(0, size, AT_ONCE)]
    empty = sparse.csr_array((0, size), dtype=np.float32)
    return Neighbours(
        sparse.vstack([empty, *(weights for weights, _ in blocks)], format="csr"),
        sparse.vstack([empty, *(listeners for _, listeners in blocks)], format="csr"),
        totals,
    )


def _of_known(baskets: Baskets) -> sparse.csr_array:
    """The baskets without songs that were heard in too few sessions."""
    rows = baskets.rows.tocoo()
    known = baskets.sessions[rows.col] >= LEAST_SESSIONS
    return sparse.csr_array((rows.data[known], (rows.row[known], rows.col[known])), shape=rows.shape)


def _block(
    columns: sparse.csc_array,
    rows: sparse.csr_array,
    baskets: Baskets,
    first: int,
    totals: Floats,
    cap: float,
    most: int,
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Weights and listeners of a block of songs with all songs, cut to the most similar ones."""
    block = columns[:, first : first + AT_ONCE].tocoo()
    height, size = block.shape[1], rows.shape[1]
    keys, pair = np.unique(baskets.users[block.row] * height + block.col, return_inverse=True)
    of_users = sparse.csr_array((block.data, (pair, block.row)), shape=(len(keys), rows.shape[0]))
    by_user = (of_users @ rows).tocsr()
    by_user.data = np.minimum(by_user.data, np.float32(cap))
    users_of_item = sparse.csr_array(
        (np.ones(len(keys), dtype=np.float32), (keys % height, np.arange(len(keys)))), shape=(height, len(keys))
    )
    by_listener = by_user.copy()
    by_listener.data = np.ones_like(by_user.data)
    weights, listeners = (users_of_item @ by_user).tocsr(), (users_of_item @ by_listener).tocsr()
    weights.sort_indices()
    listeners.sort_indices()  # now both hold the same pairs in the same order
    pairs = weights.tocoo()
    others = pairs.col != pairs.row + first
    row, column, data, users = pairs.row[others], pairs.col[others], pairs.data[others], listeners.data[others]
    values = similarity(data.astype(np.float64), totals[row + first], totals[column])
    order = np.lexsort((column, -values, row))
    row, column, data, users = row[order], column[order], data[order], users[order]
    kept = np.arange(len(row)) - np.searchsorted(row, np.arange(height))[row] < most
    place = (row[kept], column[kept])
    return (
        sparse.csr_array((data[kept], place), shape=(height, size)),
        sparse.csr_array((users[kept], place), shape=(height, size)),
    )
