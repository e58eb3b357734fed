"""Which songs fit what a text asks for, how well, and which of them are chosen.

Belongs here: filters, widening, scores and the choice, over the frame of `pool`. Not here: their order (`ordering`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from echostats_pipeline.model.playlists import SongCounts, Understanding
from echostats_pipeline.playlists.pool import features_of
from echostats_pipeline.playlists.vocabulary import BOUNDS, Span
from echostats_pipeline.playlists.words import tokens
from echostats_pipeline.transforms.sound import Floats, Scaler

FIT, TASTE, POPULARITY = 0.6, 0.3, 0.1
"""Weights of the score: how well a song fits, how much the user likes such songs, how much it is played now."""
SKIP_COST = 0.2
"""What each skip of the last 30 days takes from the score."""
LEARNED = 0.15
"""What feedback about songs that sound like a song adds to its score at most, or takes from it."""
AXIS_WEIGHTS: Mapping[str, float] = {"brightness": 2.0, "energy": 1.5}
MOST_PER_ARTIST = 2
KEPT_CANDIDATES = 100
SHORTEST_MS = 45_000
"""Shorter tracks are interludes; those of unknown length cannot be counted on."""
OFTEN, SILENT_DAYS = 5, 180
SPARE_MINUTES = 4.0
"""A playlist is long enough when no song of ordinary length would fit in."""
LATEST_SPARE_MS = 120_000
NEAR = 1.5
"""Distance at which feedback about one song counts half for another, in scaled features."""


@dataclass(frozen=True)
class Wanted:
    """What a playlist should be, beside what the text asks for.

    Attributes:
        minutes: Longest duration; None if a number of songs is asked for.
        songs: Most songs.
        discover: Share of songs not heard before; None to let the scores decide.
        left_out: Songs that must not come, by track id.
        feedback: Songs that the user heard out (above 0) or passed over (below 0) in such playlists, by track id.
        pinned: Songs that the user has added, by track id. They come, whatever is asked.
    """

    minutes: float | None = 60.0
    songs: int | None = None
    discover: float | None = None
    left_out: Collection[str] = ()
    feedback: Mapping[str, float] = field(default_factory=dict)
    pinned: Collection[str] = ()


@dataclass(frozen=True, eq=False)
class Chosen:
    """The songs of a playlist, not in order yet.

    Attributes:
        songs: Rows of the pool with ``score``, ``fit``, ``in_ranges``, ``pinned``, best first.
        candidates: The best that were considered, and all of `songs`, the same way.
        counts: How many songs were left after each step.
        widened: What was widened, in order.
        note: Why the playlist is shorter than asked; empty if it is not.
        per_artist: Most songs of an artist.
    """

    songs: pl.DataFrame
    candidates: pl.DataFrame
    counts: SongCounts
    widened: Sequence[str]
    note: str
    per_artist: int


@dataclass(frozen=True)
class Ranges:
    """The ranges in force, and whether a tempo counts at half or double speed, too."""

    spans: Mapping[str, Span]
    folds_tempo: bool = False

    @classmethod
    def of(cls, asked: Understanding) -> "Ranges":
        """The ranges that a text asks for, without those that leave everything open."""
        axes = {axis: getattr(asked, axis) for axis in BOUNDS}
        spans = {axis: (low, high) for axis, (low, high) in axes.items() if (low, high) != BOUNDS[axis]}
        return cls(spans | {axis: (low, high) for axis, (low, high) in asked.features.items()})

    def wider(self) -> Sequence[tuple[str, "Ranges"]]:
        """The steps in which the ranges are widened, each on top of those before."""
        steps: list[tuple[str, Ranges]] = []
        now = self
        if "tempo" in now.spans:
            low, high = now.spans["tempo"]
            now = replace(now, folds_tempo=True)
            steps.append((f"A tempo of {low:g} to {high:g} bpm counts at half or double speed, too.", now))
            now = Ranges({axis: span for axis, span in now.spans.items() if axis != "tempo"})
            steps.append(("Any tempo.", now))
        for step in (0.1, 0.2):
            axes = [axis for axis in now.spans if axis in ("energy", "brightness")]
            if axes:
                named = ", ".join(f"{axis} {self._by(axis, step)[0]:g} to {self._by(axis, step)[1]:g}" for axis in axes)
                now = Ranges({axis: self._by(axis, step) if axis in axes else now.spans[axis] for axis in now.spans})
                steps.append((f"Wider by {step:g}: {named}.", now))
        return steps

    def _by(self, axis: str, step: float) -> Span:
        low, high = self.spans[axis]
        return round(max(low - step, 0.0), 4), round(min(high + step, 1.0), 4)

    def hold(self) -> pl.Expr:
        """Whether a song is within the ranges; false where a feature is unknown."""
        found = pl.lit(value=True)
        for axis, (low, high) in self.spans.items():
            within = pl.col(axis).is_between(low, high)
            if axis == "tempo" and self.folds_tempo:
                within = within | (pl.col(axis) * 2).is_between(low, high) | (pl.col(axis) / 2).is_between(low, high)
            found = found & within.fill_null(value=False)
        return found


def choose(pool: pl.DataFrame, asked: Understanding, wanted: Wanted, now: datetime) -> Chosen:
    """Choose songs for a playlist.

    Args:
        pool: As `pool.build_pool` returns it.
        asked: What the text asks for.
        wanted: How long the playlist should be, and what must not come.
        now: The present instant.
    """
    counts = SongCounts(
        songs=pool.height,
        with_features=int(pool["has_features"].sum()),
        without_features=int((~pool["has_features"]).sum()),
    )
    left_out = set(wanted.left_out) - set(wanted.pinned)
    rows = pool.with_columns(
        pinned=pl.col("track_id").is_in(list(wanted.pinned)),
        as_asked=_asked(asked, pool, now) & ~pl.col("track_id").is_in(list(left_out)),
    )
    if asked.asks_sound:
        counts.excluded = int((rows["as_asked"] & ~rows["has_features"]).sum())
        heard = pl.col("has_features") & _sung(asked.instrumental).fill_null(value=False)
        rows = rows.with_columns(as_asked=pl.col("as_asked") & heard)
    ranges = Ranges.of(asked)
    rows = rows.filter(pl.col("as_asked") | pl.col("pinned")).with_columns(in_ranges=pl.col("as_asked") & ranges.hold())
    scored = _scored(rows, pool, asked, ranges, wanted)
    fitting = scored.filter(pl.col("in_ranges") | pl.col("pinned"))
    counts.fitting = counts.after_widening = int(fitting["in_ranges"].sum())
    picked, widened = pick(fitting, asked, wanted), list[str]()
    for said, wider in ranges.wider():
        if _is_enough(picked, wanted):
            break
        more = scored.filter(pl.col("as_asked") & wider.hold() | pl.col("in_ranges") | pl.col("pinned"))
        if more.height == fitting.height:
            continue
        fitting = more.sort(pl.col("in_ranges"), "score", "track_id", descending=[True, True, False])
        picked = pick(fitting, asked, wanted)
        widened.append(said)
        counts.after_widening = int(fitting["as_asked"].sum())
    considered = fitting.filter(
        (pl.int_range(pl.len()) < KEPT_CANDIDATES) | pl.col("track_id").is_in(picked["track_id"].implode())
    )
    note = _note(picked, asked, wanted, counts)
    return Chosen(picked, considered, counts, widened, note, _per_artist(asked, fitting))


def _asked(asked: Understanding, pool: pl.DataFrame, now: datetime) -> pl.Expr:
    """What a text asks for beside the sound."""
    found = pl.col("duration_ms") >= SHORTEST_MS
    if asked.genres:
        found = found & _has_tag(pool, asked.genres)
    if asked.without_genres:
        found = found & (~_has_tag(pool, asked.without_genres) | _has_tag(pool, asked.kept_genres))
    if asked.years is not None:
        found = found & pl.col("year").is_between(asked.years[0], asked.years[1]).fill_null(value=False)
    for first, last in asked.without_years:
        found = found & ~pl.col("year").is_between(first, last).fill_null(value=False)
    if asked.song_minutes is not None:
        shortest, longest = asked.song_minutes
        found = found & (pl.col("duration_ms") / 60_000).is_between(shortest, longest)
    if asked.artists:
        found = found & pl.col("artist_name").is_in(asked.artists)
    if asked.without_artists:
        found = found & ~pl.col("artist_name").is_in(asked.without_artists)
    if asked.saved:
        found = found & pl.col("in_library")
    if asked.clean:
        found = found & ~pl.col("explicit").fill_null(value=False)
    played, skipped = pl.col("plays"), pl.col("skips")
    silent = pl.col("last_played_at") < now - timedelta(days=SILENT_DAYS)
    hearing = {
        "new": (played == 0) & (skipped == 0),
        "known": played > 0,
        "favourite": played >= OFTEN,
        "forgotten": (played >= OFTEN) & silent.fill_null(value=False),
    }
    return found if asked.heard is None else found & hearing[asked.heard]


def _has_tag(pool: pl.DataFrame, genres: Collection[str]) -> pl.Expr:
    """Whether a song has a tag that contains the words of a genre, as "indie rock" contains "rock"."""
    wanted = [tokens(genre) for genre in genres]
    present = pool.select(pl.col("tags").explode(empty_as_null=False).drop_nulls().unique().sort()).to_series()
    fitting = [tag for tag in present if any(_contains(tokens(tag), words) for words in wanted)]
    return pl.col("tags").list.set_intersection(pl.lit(fitting, pl.List(pl.String))).list.len() > 0


def _contains(words: Sequence[str], part: Sequence[str]) -> bool:
    return any(list(words[at : at + len(part)]) == list(part) for at in range(len(words) - len(part) + 1))


def _sung(instrumental: bool | None) -> pl.Expr:
    if instrumental is None:
        return pl.lit(value=True)
    return pl.col("instrumentalness") >= 0.5 if instrumental else pl.col("instrumentalness") < 0.5  # noqa: PLR2004


def _scored(
    rows: pl.DataFrame, pool: pl.DataFrame, asked: Understanding, ranges: Ranges, wanted: Wanted
) -> pl.DataFrame:
    """Add ``fit``, ``taste`` and ``score``; best first."""
    fit = _fit(rows, ranges)
    taste = _likeness(rows, pool, asked.like_artists) if asked.like_artists else _taste(rows)
    popularity = _percentiles(rows["recent_plays"].to_numpy() + rows["weight"].to_numpy() * 0.5)
    skips = rows["skips_30"].cast(pl.Float64).to_numpy()
    shares = (0.3, 0.6, 0.1) if asked.like_artists else (FIT, TASTE, POPULARITY)
    score = shares[0] * fit + shares[1] * taste + shares[2] * popularity - SKIP_COST * skips
    score = score + LEARNED * learned(rows, pool, wanted.feedback)
    return rows.with_columns(
        fit=pl.Series(fit, dtype=pl.Float64),
        taste=pl.Series(taste, dtype=pl.Float64),
        score=pl.Series(np.round(score, 6), dtype=pl.Float64),
    ).sort("score", "track_id", descending=[True, False])


def _fit(rows: pl.DataFrame, ranges: Ranges) -> Floats:
    """1 in the middle of all ranges, one half at their ends, less outside; 1 if there are none."""
    total, weights = np.zeros(rows.height), 0.0
    for axis, (low, high) in ranges.spans.items():
        least = 10.0 if axis == "tempo" else 0.1
        half = max((high - low) / 2, least / 2)
        value = rows[axis].cast(pl.Float64).fill_null(float("inf")).to_numpy()
        weight = AXIS_WEIGHTS.get(axis, 1.0)
        total = total + weight * np.maximum(1 - 0.5 * np.abs(value - (low + high) / 2) / half, 0.0)
        weights += weight
    return total / weights if weights else np.ones(rows.height)


def _taste(rows: pl.DataFrame) -> Floats:
    """How much the user likes each song: their own recent plays, or how strongly it is recommended. 0 to 1."""
    own = _percentiles(rows["weight"].to_numpy() + 0.5 * rows["in_library"].cast(pl.Float64).to_numpy())
    recommended = rows["recommended"].fill_null(0.0).to_numpy()
    return np.asarray(np.maximum(own, recommended))


def _percentiles(values: Floats) -> Floats:
    some = np.sort(values[values > 0])
    if not len(some):
        return np.zeros(len(values))
    return np.where(values > 0, np.searchsorted(some, values, side="right") / len(some), 0.0)


def _likeness(rows: pl.DataFrame, pool: pl.DataFrame, artists: Collection[str]) -> Floats:
    """How much each song is like those of some artists: by sound where it is known, and by shared tags. 0 to 1."""
    theirs = pool.filter(pl.col("artist_name").is_in(list(artists)))
    tags = theirs.select(pl.col("tags").explode(empty_as_null=False).drop_nulls().unique()).to_series().to_list()
    shared = rows["tags"].list.set_intersection(tags).list.len().cast(pl.Float64).to_numpy()
    of_tags = np.minimum(shared / max(min(len(tags), 3), 1), 1.0)
    own = rows["artist_name"].is_in(list(artists)).to_numpy()
    scaled, anchor = _scaled(rows, pool), _scaled(theirs.filter("has_features"), pool)
    if scaled is None or anchor is None or not len(anchor):
        return np.where(own, 1.0, of_tags)
    apart = np.linalg.norm(scaled - anchor.mean(axis=0), axis=1)
    of_sound = np.nan_to_num(np.exp2(-apart / (2 * NEAR)))
    return np.where(own, 1.0, 0.5 * of_tags + 0.5 * of_sound)


def _scaled(rows: pl.DataFrame, pool: pl.DataFrame) -> Floats | None:
    """Features of songs on the scale of the pool; NaN where unknown, None if too few of the pool have any."""
    scaler = Scaler.of(features_of(pool))
    return None if scaler is None else scaler.apply(features_of(rows))


def learned(rows: pl.DataFrame, pool: pl.DataFrame, feedback: Mapping[str, float]) -> Floats:
    """What feedback says about each song, -1 to 1: songs that sound like one that was passed over sink.

    Args:
        rows: The songs to judge.
        pool: All songs.
        feedback: By track id; above 0 for songs that were heard out, below 0 for those that were passed over.
    """
    judged = pool.filter(pl.col("track_id").is_in(list(feedback)) & pl.col("has_features")).sort("track_id")
    scaled, anchors = _scaled(rows, pool), _scaled(judged, pool)
    if not judged.height or scaled is None or anchors is None:
        return np.zeros(rows.height)
    said = np.array([feedback[each] for each in judged["track_id"]])
    squares = np.square(scaled).sum(axis=1)[:, None] + np.square(anchors).sum(axis=1)[None, :]
    apart = np.maximum(squares - 2 * scaled @ anchors.T, 0.0)
    near = np.nan_to_num(np.exp2(-apart / NEAR**2))
    return np.asarray(np.clip((near @ said) / (1.0 + near @ np.abs(said)), -1.0, 1.0))


def pick(fitting: pl.DataFrame, asked: Understanding, wanted: Wanted) -> pl.DataFrame:
    """Take what the user has added, then the best songs, at most two of an artist, until it is as long as asked.

    With a share of new songs, songs beyond that share come only if there are too few of the other kind.
    """
    columns = ("artist_name", "duration_ms", "pinned", (pl.col("plays") + pl.col("skips") == 0).alias("is_new"))
    rows = list(fitting.select(columns).with_row_index("at").iter_rows(named=True))
    picking = _Picking(wanted, _per_artist(asked, fitting), wanted.songs or fitting.height)
    strict = wanted.discover is not None
    for row in filter(lambda row: row["pinned"], rows):
        picking.take(row)
    for row in rows:
        picking.consider(row, within_share=strict)
    if wanted.discover is not None and 0 < wanted.discover < 1:
        for row in rows:
            picking.consider(row, within_share=False)
    return fitting[sorted(picking.taken)]


def _per_artist(asked: Understanding, fitting: pl.DataFrame) -> int:
    """Most songs of an artist; all of them if artists were asked for."""
    return fitting.height if asked.artists else MOST_PER_ARTIST


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
        if len(self.taken) >= self.most or self.left_ms < max(LATEST_SPARE_MS, length) or row["at"] in self.taken:
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


def _is_enough(picked: pl.DataFrame, wanted: Wanted) -> bool:
    if wanted.songs is not None and picked.height >= wanted.songs:
        return True
    if wanted.minutes is None:
        return False
    return _minutes(picked) >= wanted.minutes - SPARE_MINUTES


def _minutes(songs: pl.DataFrame) -> float:
    return float(songs["duration_ms"].sum()) / 60_000


def _note(picked: pl.DataFrame, asked: Understanding, wanted: Wanted, counts: SongCounts) -> str:
    """Why there are fewer songs than asked, or fewer new ones; empty if there are not."""
    said = []
    if not _is_enough(picked, wanted):
        minutes = _minutes(picked)
        asked_for = f"{wanted.songs} songs" if wanted.songs is not None else f"{wanted.minutes:g} minutes"
        per_artist = "" if asked.artists else f", at most {MOST_PER_ARTIST} of an artist"
        said.append(
            f"Shorter than the {asked_for} asked for: only {counts.after_widening:,} of {counts.songs:,} songs fit"
            f"{per_artist}; that is {minutes:.0f} minutes."
        )
        if counts.excluded:
            said.append(f"{counts.excluded:,} songs were left out because their audio features are unknown.")
    if wanted.discover:
        new = picked.filter(pl.col("plays") + pl.col("skips") == 0)
        share = _minutes(new) / max(_minutes(picked), 1.0)
        if picked.height and share < wanted.discover - 0.1:
            said.append(
                f"Only {new.height} of the songs that fit are new, fewer than the {wanted.discover:.0%} asked for."
            )
    return " ".join(said)
