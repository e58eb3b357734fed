"""Takes songs for a playlist, best first, until it is as long as asked, and says why it is shorter.

Belongs here: the limits of duration, of artists and of new songs. Not here: which songs fit, and how well.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from echostats_pipeline.model.playlists import Arc, SongCounts

MOST_PER_ARTIST = 2
SPARE_MINUTES = 4.0
"""A playlist is long enough when no song of ordinary length would fit in."""
LATEST_SPARE_MS = 120_000
SHARE_SLACK = 0.1
"""How much smaller than asked the share of new songs may be."""
IS_NEW = pl.col("plays") + pl.col("skips") == 0


@dataclass(frozen=True)
class Wanted:
    """What a playlist should be, beside what the text asks for.

    Attributes:
        minutes: Longest duration; None if a number of songs is asked for.
        songs: Most songs.
        discover: Share of songs not heard before; None to let the scores decide.
        left_out: Songs that must not come, by track id.
        feedback: Songs that the user heard out (above 0) or passed over (below 0) in such playlists, by track id.
        arc: How the energy should run.
        pinned: Songs that the user has added, by track id. They come, whatever is asked.
    """

    minutes: float | None = 60.0
    songs: int | None = None
    discover: float | None = None
    left_out: Collection[str] = ()
    feedback: Mapping[str, float] = field(default_factory=dict)
    pinned: Collection[str] = ()
    arc: Arc = "flat"


def pick(fitting: pl.DataFrame, wanted: Wanted, per_artist: int) -> pl.DataFrame:
    """Take what the user has added, then the best songs, until the playlist is as long as asked.

    With a share of new songs, songs beyond that share come only if there are too few of the other kind.
    """
    columns = ("artist_name", "duration_ms", "pinned", IS_NEW.alias("is_new"))
    rows = list(fitting.select(columns).with_row_index("at").iter_rows(named=True))
    picking = _Picking(wanted, per_artist, wanted.songs or fitting.height)
    strict = wanted.discover is not None
    for row in filter(lambda row: row["pinned"], rows):
        picking.take(row)
    for row in rows:
        picking.consider(row, within_share=strict)
    if wanted.discover is not None and 0 < wanted.discover < 1:
        for row in rows:
            picking.consider(row, within_share=False)
    return fitting[sorted(picking.taken)]


@dataclass
class _Picking:
    """The songs taken so far, and what may still come."""

    wanted: Wanted
    per_artist: int
    most: int
    taken: list[int] = field(default_factory=list)
    of_artist: dict[str, int] = field(default_factory=dict)
    spent: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    counts: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})

    def consider(self, row: Mapping[str, Any], *, within_share: bool) -> None:
        """Take a song if there is room for it."""
        length, is_new = row["duration_ms"], row["is_new"]
        if len(self.taken) >= self.most or self.left_ms < length or row["at"] in self.taken:
            return
        if self.taken and self.left_ms < LATEST_SPARE_MS:
            return
        if self.of_artist.get(row["artist_name"], 0) >= self.per_artist:
            return
        if within_share and not self._is_within_share(length, is_new=is_new):
            return
        self.take(row)

    def take(self, row: Mapping[str, Any]) -> None:
        """Take a song."""
        artist, length, is_new = row["artist_name"], row["duration_ms"], row["is_new"]
        self.taken.append(row["at"])
        self.of_artist[artist] = self.of_artist.get(artist, 0) + 1
        self.spent[is_new] += length
        self.counts[is_new] += 1

    @property
    def left_ms(self) -> float:
        """The time that is left."""
        budget = float("inf") if self.wanted.minutes is None else self.wanted.minutes * 60_000
        return budget - sum(self.spent.values())

    def _is_within_share(self, length: int, *, is_new: bool) -> bool:
        share = self.wanted.discover or 0.0
        if self.wanted.songs is not None:
            new = round(share * self.most)
            return self.counts[is_new] < (new if is_new else self.most - new)
        if share in (0.0, 1.0):
            return is_new == bool(share)
        limit = (self.wanted.minutes or 0.0) * 60_000 * (share if is_new else 1 - share)
        return self.spent[is_new] + length <= limit + LATEST_SPARE_MS


def is_enough(picked: pl.DataFrame, wanted: Wanted) -> bool:
    """Whether a playlist is as long as asked."""
    if wanted.songs is not None and picked.height >= wanted.songs:
        return True
    if wanted.minutes is None:
        return False
    return _minutes(picked) >= wanted.minutes - SPARE_MINUTES


def has_share(picked: pl.DataFrame, wanted: Wanted) -> bool:
    """Whether a playlist has about as many new songs as asked."""
    if not wanted.discover or not picked.height:
        return True
    return _minutes(picked.filter(IS_NEW)) / max(_minutes(picked), 1.0) >= wanted.discover - SHARE_SLACK


def _minutes(songs: pl.DataFrame) -> float:
    return float(songs["duration_ms"].sum()) / 60_000


def note_on(
    picked: pl.DataFrame, fitting: pl.DataFrame, wanted: Wanted, counts: SongCounts, per_artist: int | None
) -> str:
    """Why there are fewer songs than asked, or fewer new ones; empty if there are not."""
    said, new = [], fitting.filter(IS_NEW).height
    if not picked.height and wanted.minutes is not None and wanted.discover is None:
        return f"{fitting.height:,} songs fit, but none is as short as {wanted.minutes:g} minutes."
    if not is_enough(picked, wanted):
        asked_for = f"{wanted.songs} songs" if wanted.songs is not None else f"{wanted.minutes:g} minutes"
        at_most = "" if per_artist is None else f", at most {per_artist} of an artist"
        said.append(
            f"Shorter than the {asked_for} asked for: only {counts.after_widening:,} of {counts.songs:,} songs fit"
            f"{at_most}; that is {_minutes(picked):.0f} minutes."
        )
        if counts.excluded:
            said.append(f"{counts.excluded:,} songs were left out because their audio features are unknown.")
        if wanted.discover in (0.0, 1.0):
            share = "No" if wanted.discover == 0 else "Only"
            said.append(f"{share} new songs were asked for; {new:,} of the songs that fit are new.")
    if not has_share(picked, wanted):
        share = f"{wanted.discover:.0%}"
        said.append(f"Only {picked.filter(IS_NEW).height} of the songs are new, fewer than the {share} asked for.")
    return " ".join(said)
