"""Baskets: songs that were heard together, as rows of a sparse matrix.

A session is a basket. Each user also has one basket with the songs of the last 90 days, because songs of one taste need
not share a session.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from scipy import sparse

from echostats_pipeline.recommender.listening import DAY_MS, Floats, Listening, Numbers

HALF_LIFE_DAYS = 90.0
"""After this time a session weighs half as much."""
RECENT_DAYS, RECENT_WEIGHT, RECENT_MOST = 90, 0.5, 200
"""Length of the basket of recent songs, its weight, and how many songs it holds at most."""
SESSION_MOST = 100
"""Songs of a session that are kept, the most played first: a longer session says little about what belongs together."""


@dataclass(frozen=True, eq=False)
class Baskets:
    """Baskets of several users.

    Attributes:
        rows: Baskets by songs. The product of two columns is the weight with which two songs were heard together.
        users: The user of each basket.
        sessions: In how many sessions each song was heard.
    """

    rows: sparse.csr_array
    users: Numbers
    sessions: Numbers

    def together(self, one: int, other: int) -> bool:
        """Whether a basket holds both songs."""
        both = self.rows[:, [one]].multiply(self.rows[:, [other]])
        return bool(both.nnz)


def build_baskets(listening: Listening, now: datetime) -> Baskets:
    """Build the baskets of all users: 1 + log(plays) for each song, times the root of the basket's weight."""
    liked = listening.liked()
    sessions = (
        liked.group_by("user", "basket", "item")
        .agg(plays=pl.len(), ended_at=pl.col("played_at").max())
        .with_columns(ended_at=pl.col("ended_at").max().over("basket"))
        .sort("user", "basket", "item")
    )
    age_days = (pl.lit(now).cast(pl.Datetime("ms", "UTC")) - pl.col("ended_at")).dt.total_milliseconds() / DAY_MS
    sessions = _most_played(sessions, "basket", SESSION_MOST).select(
        "user", "basket", "item", "plays", weight=0.5 ** (pl.max_horizontal(age_days, 0.0) / HALF_LIFE_DAYS)
    )
    first = int(liked["basket"].max() or 0) + 1 if liked.height else 0  # type: ignore[arg-type]
    since = pl.lit(now).cast(pl.Datetime("ms", "UTC")) - pl.duration(days=RECENT_DAYS)
    recent = (
        liked.filter(pl.col("played_at") >= since)
        .group_by("user", "item")
        .agg(plays=pl.len())
        .sort("user", "item")
        .with_columns(basket=pl.col("user") + first)
    )
    recent = _most_played(recent, "basket", RECENT_MOST).select(
        "user", "basket", "item", "plays", weight=pl.lit(RECENT_WEIGHT)
    )
    # The basket of recent songs of a single session would count that session twice.
    several = liked.filter(pl.col("played_at") >= since).group_by("user").agg(sessions=pl.col("basket").n_unique())
    recent = recent.join(several.filter(pl.col("sessions") > 1), on="user", how="semi", maintain_order="left")
    cells = pl.concat([sessions, recent])
    numbers = cells.select(row=pl.col("basket").rle_id())["row"].to_numpy()
    values = ((1.0 + cells["plays"].cast(pl.Float64).log()) * cells["weight"].sqrt()).to_numpy()
    height = int(numbers[-1]) + 1 if len(numbers) else 0
    rows = sparse.csr_array(
        (values.astype(np.float32), (numbers, cells["item"].to_numpy())), shape=(height, listening.size)
    )
    users = cells.group_by("basket", maintain_order=True).agg(pl.col("user").first())["user"].to_numpy()
    held = np.bincount(sessions["item"].to_numpy(), minlength=listening.size).astype(np.int64)
    return Baskets(rows, users, held)


def _most_played(cells: pl.DataFrame, basket: str, most: int) -> pl.DataFrame:
    """The most played songs of each basket, equals in the order of songs."""
    place = pl.struct(-pl.col("plays").cast(pl.Int64), "item").rank("ordinal").over(basket)
    return cells.filter(place <= most)


def capped_totals(baskets: Baskets, cap: float) -> Floats:
    """The weight of each song alone: the sum of its squares in all baskets, at most `cap` from one user."""
    rows = baskets.rows.tocoo()
    users = baskets.users[rows.row]
    height = int(baskets.users.max()) + 1 if baskets.users.size else 0
    squares = sparse.coo_array(
        (rows.data.astype(np.float64) ** 2, (users, rows.col)), shape=(height, baskets.rows.shape[1])
    ).tocsr()
    squares.data = np.minimum(squares.data, cap)
    return np.asarray(squares.sum(axis=0), dtype=np.float64).reshape(-1)
