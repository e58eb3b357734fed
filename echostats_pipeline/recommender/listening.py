"""Plays as the recommender reads them: which songs a user has heard together, and when."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from echostats_pipeline.model.rules import Rule
from echostats_pipeline.transforms.statistics.exclusions import NO_PRIMARY, with_exclusions
from echostats_pipeline.transforms.statistics.plays import UTC_MS, goes_on, with_listening_time, with_local_day

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

HEARD_SCHEMA = pl.Schema(
    {"user": pl.Int64(), "basket": pl.Int64(), "item": pl.Int64(), "played_at": UTC_MS, "liked": pl.Boolean()}
)
"""One row per play that counts or was left early. `user` and `item` are positions, `basket` numbers the sessions of all
users. `liked` is false for a play that was left early, or that a rule leaves out."""
DAY_MS = 24 * 60 * 60 * 1000


def sessions_of(
    plays: pl.DataFrame,
    min_play_ms: int,
    timezone: str = "UTC",
    rules: Iterable[Rule] = (),
    primary: pl.DataFrame = NO_PRIMARY,
) -> pl.DataFrame:
    """Decide which plays count, and to which session each belongs.

    Args:
        plays: All plays of one user, as `transforms.statistics.plays.PLAYS_SCHEMA`, in any order.
        min_play_ms: Plays known to be shorter do not count.
        timezone: The user's zone, in which rules name dates and hours.
        rules: The user's rules. What they leave out is no taste; neither is it offered as new.
        primary: The primary artists of the tracks, as `exclusions.PRIMARY_SCHEMA`; needed if a rule names an artist.

    Returns:
        ``played_at``, ``track_id``, ``session`` (numbers from 0), ``liked``, in order of time. `liked` is true for
        plays that count, were not left early, and that no rule leaves out. Rows that are neither counted nor left early
        are left out.
    """
    ruled = with_exclusions(with_local_day(plays.lazy(), timezone), rules, primary)
    timed = with_listening_time(ruled.with_columns(listener=pl.lit(0)), min_play_ms)
    is_liked = pl.col("counted") & ~pl.col("left_early") & pl.col("rule_ids").is_null()
    return (
        timed.with_columns(session=(~goes_on()).cum_sum().cast(pl.Int64) - 1)
        .filter(pl.col("counted") | pl.col("left_early"))
        .select("played_at", "track_id", "session", liked=is_liked)
        .collect()
    )


@dataclass(frozen=True, eq=False)
class Listening:
    """Plays of several users over one list of songs.

    Attributes:
        users: Ids of the users, in the order of their numbers.
        shares: Whether the plays of each user may serve others.
        items: Ids of the songs, in the order of their numbers, sorted.
        heard: As `HEARD_SCHEMA`, in the order of user, time and song.
    """

    users: Sequence[str]
    shares: Flags
    items: Sequence[str]
    heard: pl.DataFrame

    @classmethod
    def of(
        cls, played: Mapping[str, pl.DataFrame], song_of: pl.DataFrame, sharing: Mapping[str, bool], also: Sequence[str]
    ) -> "Listening":
        """Join the plays of users.

        Args:
            played: What `sessions_of` returns, by user id.
            song_of: ``track_id``, ``song``: the song that each track is a recording of.
            sharing: Whether the plays of a user may serve others, by user id.
            also: Songs that no user may have heard yet.
        """
        users = sorted(played)
        first, parts = 0, [HEARD_SCHEMA.to_frame().drop("item").with_columns(song=pl.lit("", pl.String))]
        for number, user in enumerate(users):
            theirs = played[user].join(song_of, on="track_id", how="left")
            theirs = theirs.with_columns(song=pl.coalesce("song", "track_id"))
            parts.append(
                theirs.select(
                    user=pl.lit(number, pl.Int64),
                    basket=pl.col("session") + first,
                    played_at="played_at",
                    liked="liked",
                    song="song",
                )
            )
            first += int(played[user]["session"].max() or 0) + 1 if played[user].height else 0  # type: ignore[arg-type]
        heard = pl.concat(parts)
        items = pl.concat([heard["song"].unique(), pl.Series("song", also, dtype=pl.String)]).unique().sort()
        numbers = items.to_frame().with_row_index("item").with_columns(pl.col("item").cast(pl.Int64))
        heard = heard.join(numbers, on="song", how="left").select(HEARD_SCHEMA.names())
        heard = heard.sort("user", "played_at", "item")
        return cls(users, np.array([sharing[user] for user in users], dtype=bool), items.to_list(), heard)

    @property
    def size(self) -> int:
        """The number of songs."""
        return len(self.items)

    def where(self, rows: pl.Expr) -> "Listening":
        """The same with only some of the plays; users and songs keep their numbers."""
        return replace(self, heard=self.heard.filter(rows))

    def before(self, instant: datetime) -> "Listening":
        """The plays that ended before an instant."""
        return self.where(pl.col("played_at") < instant)

    def since(self, instant: datetime) -> "Listening":
        """The plays that ended at an instant or after it."""
        return self.where(pl.col("played_at") >= instant)

    def shared(self) -> "Listening":
        """The plays of the users whose plays may serve others."""
        return self.where(pl.col("user").is_in(np.flatnonzero(self.shares).tolist()))

    def of_user(self, user: int) -> "Listening":
        """The plays of one user."""
        first, end = (int(self.heard["user"].search_sorted(user, side)) for side in ("left", "right"))
        return replace(self, heard=self.heard.slice(first, end - first))

    def liked(self) -> pl.DataFrame:
        """The plays that count and were not left early."""
        return self.heard.filter("liked")

    def counts(self) -> Numbers:
        """How often each song was played: plays that count and were not left early."""
        return np.bincount(self.liked()["item"].to_numpy(), minlength=self.size).astype(np.int64)

    def skips(self) -> Numbers:
        """How often each song was left early, or left out by a rule."""
        return np.bincount(self.heard.filter(~pl.col("liked"))["item"].to_numpy(), minlength=self.size).astype(np.int64)

    def decayed(self, now: datetime, half_life_days: float) -> Floats:
        """The plays of each song; a play weighs half as much for every half-life that has passed since."""
        liked = self.liked()
        weights = np.exp2(-ages(liked, now) / half_life_days)
        return np.bincount(liked["item"].to_numpy(), weights, minlength=self.size).astype(np.float64)

    def last_days(self, now: datetime) -> Floats:
        """Days since each song was last played, infinite if it never was."""
        liked = self.liked()
        days = np.full(self.size, np.inf)
        np.minimum.at(days, liked["item"].to_numpy(), ages(liked, now))
        return days


def ages(heard: pl.DataFrame, now: datetime) -> Floats:
    """Days from each play to an instant; zero for later plays."""
    age_ms = (pl.lit(now).cast(UTC_MS) - pl.col("played_at")).dt.total_milliseconds()
    return np.maximum(heard.select(age_ms.cast(pl.Float64)).to_series().to_numpy() / DAY_MS, 0.0)
