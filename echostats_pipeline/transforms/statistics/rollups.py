"""Builds daily rollups from plays: one document per user and local date with a play."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise, repeat
from typing import Any, TypeVar

import polars as pl

from echostats_pipeline.model.rules import Rule
from echostats_pipeline.transforms.history.identity import made_up
from echostats_pipeline.transforms.statistics.contexts import played_contexts
from echostats_pipeline.transforms.statistics.credits import NO_CREDITS, credited_plays
from echostats_pipeline.transforms.statistics.exclusions import PRIMARY_SCHEMA, with_exclusions
from echostats_pipeline.transforms.statistics.plays import (
    PLAYS_SCHEMA,
    with_listening_time,
    with_local_day,
    with_sessions,
    without_excluded,
)

RollupDocument = dict[str, Any]

Row = TypeVar("Row")
TRACK_FIELDS = ("spotify_id", "name", "artist_name", "count", "album_name", "ms")
SESSION_FIELDS = ("started_at", "ended_at", "plays", "continues", "tracks")
TWICE = 2
"""A track is repeated from its second play on."""
LONG_NAME, WIDTHS = 250, (500, 250, 100, 50, 20, 8)
"""Bytes that real names hardly exceed; characters to which names are cut, on days with too many long names."""
MOST_BYTES = 15 << 20
"""The size limit for a document in bytes, below MongoDB's limit of 16 MiB."""
NAME_COPIES, TRACK_BYTES = 3, 450
"""How often a name may appear in the document of its day; the bytes of a track there without its names."""
LISTENER_STRIDE = 10_000_000
"""A listener's day is one number, which groups faster than two: listener x this + days since 0001-01-01."""


@dataclass(frozen=True, eq=False)
class Listener:
    """A user and the plays from which to build rollups.

    Attributes:
        user_id: Owner of the plays.
        timezone: IANA zone of the user's days and hours.
        plays: Frame of `PLAYS_SCHEMA` in any order, which begins a day before `days`.
        days: Local dates to build; None builds every date with a play.
        rules: Rules of the user; those that leave plays out act here.
        primary: The primary artists of the tracks, as `exclusions.PRIMARY_SCHEMA`; needed if a rule names an artist.
    """

    user_id: str
    timezone: str
    plays: pl.DataFrame
    days: Collection[date] | None = None
    rules: Sequence[Rule] = ()
    primary: pl.DataFrame = field(default_factory=PRIMARY_SCHEMA.to_frame)


def build_daily_rollups(
    listeners: Sequence[Listener], track_credits: pl.DataFrame = NO_CREDITS, *, min_play_ms: int
) -> list[list[RollupDocument]]:
    """Build the rollups of one user or many, in one pass.

    Args:
        listeners: The users with their plays.
        track_credits: The artists of their tracks, as `credits.known_credits` returns them.
        min_play_ms: Plays known to be shorter do not count; their time does.

    Returns:
        For each listener the documents of ``daily_rollups`` as `model.statistics.DailyRollup` describes them, by date,
        without ``_id``. A date without plays has no document; a date all of whose plays are left out has one. Lists are
        in a total order, so equal plays give equal documents.
    """
    documents: list[list[RollupDocument]] = [[] for _ in listeners]
    if not listeners:
        return documents
    every = pl.concat([_located(listener, number) for number, listener in enumerate(listeners)])
    # Computed once; otherwise each of the parts below would sort all plays again.
    every_timed = with_listening_time(every, min_play_ms)
    left_out = _LeftOut.of(every_timed) if any(listener.rules for listener in listeners) else _LeftOut()
    kept = without_excluded(every_timed) if left_out.rows else every_timed
    heard = with_sessions(kept).filter("wanted").collect(engine="in-memory")
    days = _Days.of(heard, track_credits)
    for bucket in sorted(days.totals.keys() | left_out.rows.keys()) if left_out.rows else days.totals:
        number, ordinal = divmod(bucket, LISTENER_STRIDE)
        day = date.fromordinal(ordinal)
        documents[number].append(
            {
                "user_id": listeners[number].user_id,
                "date": day.isoformat(),
                "day_of_week": day.weekday(),
                **days.fields(bucket, left_out.rows_of(bucket)),
                **left_out.fields(bucket),
            }
        )
    return documents


_NOTHING = (0, 0, 0, 0, 0)
_NOTHING_LEFT_OUT = {"excluded_plays": 0}


@dataclass(frozen=True)
class _Days:
    """The parts of rollups by ``bucket``.

    Attributes:
        totals: Counted plays, ms, plays, skips, plays of which it is known whether they were skipped.
        counts: Names or ids with their counted plays, by field.
        lists: Lists of records, by field.
    """

    totals: Mapping[int, Sequence[int]]
    counts: Mapping[str, Mapping[int, list[tuple[str, int]]]]
    lists: Mapping[str, Mapping[int, list[dict[str, Any]]]]

    @classmethod
    def of(cls, heard: pl.DataFrame, track_credits: pl.DataFrame) -> "_Days":
        """From plays in order as `with_sessions` returns them."""
        timed = heard.lazy()
        tracks = _tracks(timed).collect(engine="in-memory")
        counted, uncounted = tracks.filter(pl.col("count") > 0), tracks.filter(pl.col("count") == 0)
        totals, hours, artists, albums, named, sessions, repeats, credited, contexts = pl.collect_all(
            [
                _totals(timed),
                _hours(timed),
                _names(timed, "artist_name"),
                _names(timed, "album_name"),
                _named_tracks(timed),
                _sessions(timed, counted.lazy()),
                _repeats(timed),
                credited_plays(counted, track_credits),
                played_contexts(timed),
            ],
            engine="in-memory",
        )
        counts = {
            "artist_plays": (artists, "artist_name"),
            "album_plays": (albums, "album_name"),
            "credited_artist_plays": (credited, "artist_id"),
        }
        lists = {
            "hourly": (hours, ("hour", "count", "ms")),
            "track_plays": (counted, TRACK_FIELDS),
            "uncounted_tracks": (uncounted, TRACK_FIELDS),
            "named_tracks": (named, TRACK_FIELDS),
            "sessions": (sessions, SESSION_FIELDS),
            "repeats": (repeats, ("spotify_id", "count", "ended_at", "continues")),
            "contexts": (contexts, ("uri", "type", "count", "ms")),
        }
        return cls(
            {bucket: sums for bucket, *sums in totals.iter_rows()},
            {name: _by_day(frame, _pairs(frame, of)) for name, (frame, of) in counts.items()},
            {name: _by_day(frame, _records(frame, fields)) for name, (frame, fields) in lists.items()},
        )

    def fields(self, bucket: int, rows_left_out: int) -> dict[str, Any]:
        """The fields of a rollup about what is heard; their order never changes, because rollups are compared whole."""
        plays, ms, rows, skips, skips_known = self.totals.get(bucket, _NOTHING)
        counts = {name: dict(of_days.get(bucket, ())) for name, of_days in self.counts.items()}
        lists = {name: of_days.get(bucket, []) for name, of_days in self.lists.items()}
        named = {"named_tracks": lists["named_tracks"]} if lists["named_tracks"] else {}
        return {
            "total_plays": plays,
            "total_ms": ms,
            "hourly": lists["hourly"],
            "artist_plays": counts["artist_plays"],
            "album_plays": counts["album_plays"],
            "track_plays": lists["track_plays"],
            "total_rows": rows + rows_left_out,
            "total_skips": skips,
            "total_skips_known": skips_known,
            "uncounted_tracks": lists["uncounted_tracks"],
            **named,
            "sessions": lists["sessions"],
            "repeats": lists["repeats"],
            "credited_artist_plays": counts["credited_artist_plays"],
            "contexts": lists["contexts"],
        }


@dataclass(frozen=True)
class _LeftOut:
    """What rules leave out, by ``bucket``: plays that would count, rows, ms; and plays by rule."""

    rows: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    by_rule: Mapping[int, list[dict[str, Any]]] = field(default_factory=dict)

    @classmethod
    def of(cls, timed: pl.LazyFrame) -> "_LeftOut":
        """From plays as `with_listening_time` returns them, with ``rule_ids``."""
        excluded = timed.filter("wanted", pl.col("rule_ids").is_not_null()).collect(engine="in-memory").lazy()
        rules = (
            excluded.filter("counted")
            .explode("rule_ids", empty_as_null=False)
            .group_by("bucket", rule_id="rule_ids")
            .agg(plays=pl.col("counted").sum())
        )
        totals, rules_of_days = pl.collect_all(
            [
                excluded.group_by("bucket").agg(pl.col("counted").sum(), pl.len(), pl.col("ms").sum()).sort("bucket"),
                rules.sort("bucket", "plays", "rule_id", descending=[False, True, False]),
            ],
            engine="in-memory",
        )
        return cls(
            {bucket: tuple(sums) for bucket, *sums in totals.iter_rows()},
            _by_day(rules_of_days, _records(rules_of_days, ("rule_id", "plays"))),
        )

    def rows_of(self, bucket: int) -> int:
        """The plays of a day that are left out, short ones included."""
        return self.rows[bucket][1] if bucket in self.rows else 0

    def fields(self, bucket: int) -> dict[str, Any]:
        """The fields of a rollup about what is left out."""
        if bucket not in self.rows:
            return _NOTHING_LEFT_OUT
        plays, rows, ms = self.rows[bucket]
        by_rule = self.by_rule.get(bucket, [])
        return {"excluded_plays": plays, "excluded_rows": rows, "excluded_ms": ms, "excluded_by": by_rule}


def _records(frame: pl.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    """The rows as documents. Built by columns, which takes a third of the time of polars' own conversion by rows."""
    rows = zip(*(frame[name].to_list() for name in names), strict=True)
    return list(map(dict, map(zip, repeat(names), rows)))


def _pairs(frame: pl.DataFrame, name: str) -> list[tuple[str, int]]:
    """Names or ids with their counts, built by columns like `_records`."""
    return list(zip(frame[name].to_list(), frame["count"].to_list(), strict=True))


def _by_day(frame: pl.DataFrame, rows: list[Row]) -> dict[int, list[Row]]:
    """The converted rows of a frame by ``bucket``; the frame is sorted by it."""
    found, at = {}, 0
    for bucket, count in frame.group_by("bucket", maintain_order=True).len().iter_rows():
        found[bucket] = rows[at : at + count]
        at += count
    return found


def _located(listener: Listener, number: int) -> pl.LazyFrame:
    """The plays of a listener with ``listener``, ``bucket``, and whether their day is ``wanted``."""
    plays = listener.plays
    if not PLAYS_SCHEMA.items() <= dict(plays.schema).items():
        raise TypeError(f"plays must have the columns {dict(PLAYS_SCHEMA)}, got {dict(plays.schema)}")
    wanted = pl.lit(value=True) if listener.days is None else pl.col("date").is_in(list(listener.days))
    ordinal = pl.col("date").cast(pl.Int64) + date(1970, 1, 1).toordinal()
    dated = with_local_day(plays.lazy().select(PLAYS_SCHEMA.names()), listener.timezone)
    fitting = _fitting(with_exclusions(dated, listener.rules, listener.primary), plays)
    return fitting.with_columns(listener=pl.lit(number), bucket=ordinal + number * LISTENER_STRIDE, wanted=wanted)


def _fitting(dated: pl.LazyFrame, plays: pl.DataFrame) -> pl.LazyFrame:
    """The plays, with names cut on days whose names would not fit into one document."""
    names = pl.col("track_name", "artist_name", "album_name")
    if not plays.select((names.str.len_bytes() > LONG_NAME).any()).transpose().to_series().any():
        return dated
    names_by_day = dated.select("date", "track_id", names).unique().collect()
    widths: dict[date, int] = {}
    for width, next_width in pairwise((None, *WIDTHS)):
        shown = names if width is None else names.str.head(width)
        size = NAME_COPIES * pl.sum_horizontal(shown.str.len_bytes().sum()) + TRACK_BYTES * pl.len()
        names_by_day = names_by_day.filter(size.over("date") > MOST_BYTES)
        widths |= dict.fromkeys(names_by_day["date"].unique(), next_width)
    if not widths:
        return dated
    of_day = pl.col("date").replace_strict(widths, default=None, return_dtype=pl.Int64())
    return dated.with_columns(pl.when(of_day.is_null()).then(names).otherwise(names.str.head(of_day)))


def _totals(timed: pl.LazyFrame) -> pl.LazyFrame:
    return (
        timed.group_by("bucket")
        .agg(
            pl.col("counted").sum(),
            pl.col("ms").sum(),
            pl.len(),
            pl.col("left_early").sum(),
            pl.col("left_known").sum(),
        )
        .sort("bucket")
    )


def _hours(timed: pl.LazyFrame) -> pl.LazyFrame:
    return (
        timed.group_by("bucket", "hour")
        .agg(count=pl.col("counted").sum(), ms=pl.col("ms").sum())
        .sort("bucket", "hour")
    )


def _names(timed: pl.LazyFrame, column: str) -> pl.LazyFrame:
    """Counted plays per name: ``bucket``, the name, ``count``; most played first, then by name."""
    return (
        timed.filter("counted")
        .group_by("bucket", column)
        .len("count")
        .sort(["bucket", "count", column], descending=[False, True, False])
    )


def _tracks(timed: pl.LazyFrame) -> pl.LazyFrame:
    """Tracks of a day: ``bucket``, `TRACK_FIELDS`; most played first, then by time and id.

    A track gets the names of its last play of the day.
    """
    return (
        timed.group_by("bucket", "track_id", maintain_order=True)
        .agg(
            name=pl.col("track_name").last(),
            artist_name=pl.col("artist_name").last(),
            count=pl.col("counted").sum(),
            album_name=pl.col("album_name").last(),
            ms=pl.col("ms").sum(),
        )
        .rename({"track_id": "spotify_id"})
        .sort(["bucket", "count", "ms", "spotify_id"], descending=[False, True, True, False])
    )


def _named_tracks(timed: pl.LazyFrame) -> pl.LazyFrame:
    """Tracks of a day whose id is made of names, by the names of their plays; most played first, then by time and name.

    Plays with one of these ids may be spelt in several ways, and be on several albums.
    """
    keys = ("track_id", "track_name", "artist_name", "album_name")
    return (
        timed.filter(made_up(pl.col("track_id")))
        .group_by("bucket", *keys)
        .agg(count=pl.col("counted").sum(), ms=pl.col("ms").sum())
        .sort(["bucket", "count", "ms", *keys], descending=[False, True, True, False, False, False, False])
        .rename({"track_id": "spotify_id", "track_name": "name"})
    )


def _sessions(timed: pl.LazyFrame, tracks: pl.LazyFrame) -> pl.LazyFrame:
    """Parts of sessions, in order of day and time.

    Args:
        timed: Plays in order.
        tracks: Tracks with counted plays, in order, as `_tracks` returns them.
    """
    place = pl.int_range(pl.len()).over("bucket").alias("place")
    places = tracks.select("bucket", place, track_id="spotify_id")
    return (
        timed.join(places, on=["bucket", "track_id"], how="left", maintain_order="left")
        .group_by("part", maintain_order=True)
        .agg(
            pl.col("bucket").first(),
            started_at=(pl.col("played_at") - pl.duration(milliseconds="ms")).first(),
            ended_at=pl.col("played_at").last(),
            plays=pl.col("counted").sum(),
            continues=pl.col("part_continues").first(),
            tracks=pl.col("place").filter("counted"),
        )
        .sort("bucket", maintain_order=True)
    )


def _repeats(timed: pl.LazyFrame) -> pl.LazyFrame:
    """The repeats that are needed to find the longest ones, in order of day and time.

    These are the longest of the day (the first of equals), one that continues from another day, and the last of the
    day.
    """
    repeats = timed.group_by("repeat", maintain_order=True).agg(
        pl.col("bucket").first(),
        pl.col("leaves").last(),
        spotify_id=pl.col("track_id").first(),
        count=pl.col("counted").sum(),
        ended_at=pl.col("played_at").last(),
        continues=pl.col("repeat_continues").first(),
    )
    longest = (
        repeats.filter(pl.col("count") >= TWICE)
        .sort("bucket", "count", "repeat", descending=[False, True, False])
        .unique("bucket", keep="first", maintain_order=True)
        .select("repeat", longest=pl.lit(value=True))
    )
    return (
        repeats.join(longest, on="repeat", how="left", maintain_order="left")
        .filter(pl.col("longest") | pl.col("leaves") | pl.col("continues"))
        .sort("bucket", maintain_order=True)
    )
