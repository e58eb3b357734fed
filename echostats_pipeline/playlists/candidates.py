"""Which songs fit what a text asks for, how well, and which of them are chosen.

Belongs here: filters, widening, scores and the choice, over the frame of `pool`. Not here: their order (`ordering`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl

from echostats_pipeline.model.playlists import SongCounts, Understanding
from echostats_pipeline.playlists.picking import MOST_PER_ARTIST, Wanted, has_share, is_enough, note_on, pick
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
KEPT_CANDIDATES = 100
SHORTEST_MS = 45_000
"""Shorter tracks are interludes; those of unknown length cannot be counted on."""
OFTEN, SILENT_DAYS = 5, 180
NEAR = 1.5
"""Distance at which feedback about one song counts half for another, in scaled features."""


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
    asked_for, ranges = _conditions(asked, pool, now), Ranges.of(asked)
    left_out = list(set(wanted.left_out) - set(wanted.pinned))
    asked_for["free to come, not in playlists of late"] = ~pl.col("track_id").is_in(left_out)
    if asked.asks_sound:
        unknown = pl.all_horizontal(asked_for.values()) & ~pl.col("has_features")
        counts.excluded = int(pool.select(unknown.sum()).item())
    asked_for |= _sounding(asked)
    rows = pool.with_columns(
        pinned=pl.col("track_id").is_in(list(wanted.pinned)), as_asked=pl.all_horizontal(asked_for.values())
    )
    rows = rows.filter(pl.col("as_asked") | pl.col("pinned")).with_columns(in_ranges=pl.col("as_asked") & ranges.hold())
    scored = _scored(rows, pool, asked, ranges, wanted)
    fitting = scored.filter(pl.col("in_ranges") | pl.col("pinned"))
    counts.fitting = counts.after_widening = int(fitting["in_ranges"].sum())
    most = pool.height if asked.artists else min(asked.per_artist or MOST_PER_ARTIST, MOST_PER_ARTIST)
    picked, widened = pick(fitting, wanted, most), list[str]()
    for said, wider in ranges.wider():
        if is_enough(picked, wanted) and has_share(picked, wanted):
            break
        more = scored.filter(pl.col("as_asked") & wider.hold() | pl.col("in_ranges") | pl.col("pinned"))
        more = more.sort(pl.col("in_ranges"), "score", "track_id", descending=[True, True, False])
        better = pick(more, wanted, most)
        if set(better["track_id"]) == set(picked["track_id"]):
            continue
        fitting, picked = more, better
        widened.append(said)
        counts.after_widening = int(fitting["as_asked"].sum())
    considered = fitting.filter(
        (pl.int_range(pl.len()) < KEPT_CANDIDATES) | pl.col("track_id").is_in(picked["track_id"].implode())
    )
    if counts.after_widening:
        note = note_on(picked, fitting, wanted, counts, None if asked.artists else most)
    else:
        spans = {f"within {axis} {_span(span)}": Ranges({axis: span}).hold() for axis, span in ranges.spans.items()}
        note = _none_fits(pool, asked_for | spans)
    return Chosen(picked, considered, counts, widened, note, most)


def _none_fits(pool: pl.DataFrame, asked_for: Mapping[str, pl.Expr]) -> str:
    """That no song has all that was asked for, and how many have each of it."""
    if not pool.height:
        return "There are no songs to choose from."
    counts = pool.select(holds.sum().alias(said) for said, holds in asked_for.items()).row(0, named=True)
    parts = [f"{count:,} are {said}" for said, count in counts.items() if count < pool.height]
    return f"None of {pool.height:,} songs fits: {', '.join(parts)}."


def _conditions(asked: Understanding, pool: pl.DataFrame, now: datetime) -> dict[str, pl.Expr]:
    """What a text asks for beside the ranges, by what it says of a song that has it."""
    year, minutes = pl.col("year"), pl.col("duration_ms") / 60_000
    found = {"long enough": pl.col("duration_ms") >= SHORTEST_MS}
    if asked.genres:
        found[f"tagged {' or '.join(asked.genres)}"] = _has_tag(pool, asked.genres)
    if asked.without_genres:
        named = f"not tagged {' or '.join(asked.without_genres)}"
        found[named] = ~_has_tag(pool, asked.without_genres) | _has_tag(pool, asked.kept_genres)
    if asked.years is not None:
        found[f"from {_span(asked.years)}"] = year.is_between(asked.years[0], asked.years[1])
    for first, last in asked.without_years:
        found[f"not from {_span((first, last))}"] = ~year.is_between(first, last).fill_null(value=False)
    if asked.song_minutes is not None:
        found[f"{_span(asked.song_minutes)} minutes long"] = minutes.is_between(
            asked.song_minutes[0], asked.song_minutes[1]
        )
    if asked.artists:
        found[f"by {' or '.join(asked.artists)}"] = pl.col("artist_name").is_in(asked.artists)
    if asked.without_artists:
        found[f"not by {' or '.join(asked.without_artists)}"] = ~pl.col("artist_name").is_in(asked.without_artists)
    if asked.saved:
        found["in your library"] = pl.col("in_library")
    if asked.clean:
        found["not marked as explicit"] = ~pl.col("explicit").fill_null(value=False)
    found |= {} if asked.heard is None else _hearing(asked.heard, now)
    return {said: holds.fill_null(value=False) for said, holds in found.items()}


def _hearing(heard: Literal["new", "favourite", "forgotten", "known"], now: datetime) -> dict[str, pl.Expr]:
    """How the user has heard a song that is asked for."""
    played, skipped = pl.col("plays"), pl.col("skips")
    match heard:
        case "new":
            return {"new to you": (played == 0) & (skipped == 0)}
        case "known":
            return {"known to you": played > 0}
        case "favourite":
            return {f"played {OFTEN} times or more": played >= OFTEN}
        case "forgotten":
            silent = pl.col("last_played_at") < now - timedelta(days=SILENT_DAYS)
            return {f"played {OFTEN} times or more and not for half a year": (played >= OFTEN) & silent}


def _sounding(asked: Understanding) -> dict[str, pl.Expr]:
    """What a song needs if its sound is asked for, beside the ranges."""
    if not asked.asks_sound:
        return {}
    found = {"known by their sound": pl.col("has_features")}
    if asked.instrumental is not None:
        named = "without singing" if asked.instrumental else "with singing"
        found[named] = _sung(asked.instrumental).fill_null(value=False)
    return found


def _span(span: Sequence[float]) -> str:
    low, high = span
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


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
    fit = _fit(rows, ranges, has_arc=wanted.arc != "flat")
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


def _fit(rows: pl.DataFrame, ranges: Ranges, *, has_arc: bool) -> Floats:
    """1 in the middle of all ranges, one half at their ends, less outside; 1 if there are none.

    An arc needs songs of all energies within the range: there, all are as good as the middle.
    """
    total, weights = np.zeros(rows.height), 0.0
    for axis, (low, high) in ranges.spans.items():
        least = 10.0 if axis == "tempo" else 0.1
        half = max((high - low) / 2, least / 2)
        value = rows[axis].cast(pl.Float64).fill_null(float("inf")).to_numpy()
        weight = AXIS_WEIGHTS.get(axis, 1.0)
        if axis == "energy" and has_arc:
            value = np.where((value >= low) & (value <= high), (low + high) / 2, value)
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
