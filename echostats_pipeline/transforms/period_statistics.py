"""Rollups to the statistics of spans of dates, all spans in one pass.

The dates are cut into pieces at every end of a span, everything is summed up by piece, and each span adds up its
pieces: fourteen years of one listener are read once, however many spans there are. Sums are of whole numbers, so that
no order of summation ever shows.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.transforms.comebacks import comebacks
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.frames import CatalogFrames, RollupFrames
from echostats_pipeline.transforms.identified import FEATURE_UNIT, named
from echostats_pipeline.transforms.ranking import BY_PLAYS, BY_TIME, top_items
from echostats_pipeline.transforms.streams import most_replayed, session_totals

DIGITS = 6
"""Digits kept of ratios and averages."""
NUMBERS = ("track", "artist", "album")
Rows = Mapping[int, list[dict[str, Any]]]


@dataclass(frozen=True)
class Listening:
    """Rollups of one user, cut into pieces by spans.

    Attributes:
        rollups: As far as they are told of.
        spans: In order; a span is meant by its position.
        known: The tracks, as `identified.identified_tracks` returns them.
        catalog: What is known of them.
    """

    rollups: RollupFrames
    spans: Sequence[DayWindow]
    known: pl.DataFrame
    catalog: CatalogFrames

    @cached_property
    def pieces(self) -> pl.DataFrame:
        """``date``, ``piece``: in which piece each date with a rollup lies."""
        ends = {span.first for span in self.spans} | {span.following for span in self.spans}
        dates = self.rollups.days.select("date")
        cuts = pl.Series(sorted(ends), dtype=pl.Date)
        return dates.with_columns(piece=cuts.search_sorted(dates["date"], side="right").cast(pl.UInt32))

    @cached_property
    def members(self) -> pl.DataFrame:
        """``piece``, ``span``: which pieces a span consists of."""
        of_piece = self.pieces.group_by("piece").agg(pl.col("date").first())
        rows = [
            (piece, number)
            for piece, day in of_piece.iter_rows()
            for number, span in enumerate(self.spans)
            if span.first <= day <= span.last
        ]
        return pl.DataFrame(rows, schema={"piece": pl.UInt32, "span": pl.UInt32}, orient="row")

    def cut(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """A frame with dates, and their ``piece``."""
        return frame.join(self.pieces.lazy(), on="date", how="inner")

    def summed(self, by_piece: pl.LazyFrame, *keys: str) -> pl.LazyFrame:
        """Sums by ``span`` and keys of whatever else the columns hold, from sums by ``piece`` and keys."""
        spread = by_piece.join(self.members.lazy(), on="piece", how="inner").drop("piece")
        return spread.group_by("span", *keys).agg(pl.all().sum())

    @cached_property
    def played(self) -> pl.DataFrame:
        """By date and track: ``date``, ``piece``, `NUMBERS`, ``plays``, ``ms``."""
        numbers = self.known.lazy().select("track_id", *NUMBERS)
        days = self.rollups.tracks.lazy().select("date", "track_id", "plays", "ms")
        return self.cut(days).join(numbers, on="track_id", how="inner").drop("track_id").collect()

    @cached_property
    def _by_piece(self) -> pl.DataFrame:
        """Plays and time of each track by piece."""
        sums = [pl.col("plays", "ms").sum(), pl.col("artist", "album").first()]
        return self.played.group_by("piece", "track").agg(sums)

    def grouped(self, key: str) -> pl.DataFrame:
        """``span``, one of `NUMBERS`, ``plays``, ``ms``."""
        by_piece = self._by_piece.lazy().drop_nulls(key).group_by("piece", key).agg(pl.col("plays", "ms").sum())
        return self.summed(by_piece, key).collect()


def span_statistics(
    rollups: RollupFrames, known: pl.DataFrame, catalog: CatalogFrames, spans: Sequence[DayWindow]
) -> list[dict[str, Any]]:
    """What is told of each span: the fields of `model.statistics.PeriodStatistics` but its bounds and streaks.

    Args:
        rollups: All rollups of a user up to today, for what is new or comes back follows from what was before.
        known: The tracks they mention, as `identified.identified_tracks` returns them.
        catalog: What is known of their artists and albums.
        spans: Of any length, overlapping as they like.
    """
    listening = Listening(rollups, spans, known, catalog)
    tracks, artists, albums = (listening.grouped(key) for key in NUMBERS)
    genres = _genres(artists, known, catalog)
    shown = {
        "tracks": (tracks, known.select("track", "name", "image_url", spotify_id="track_id")),
        "artists": (artists, named(known, "artist", catalog.artists)),
        "albums": (albums, named(known, "album", catalog.albums)),
        "genres": (genres, genres.select("genre", name="genre", spotify_id=pl.lit(""), image_url=pl.lit("")).unique()),
    }
    unique = {kind: _by_span(_counted(items)) for kind, (items, _) in shown.items()}
    tops = {kind: (top_items(*of, BY_PLAYS), top_items(*of, BY_TIME)) for kind, of in shown.items()}
    features, entropies = _audio_features(tracks, known), _entropies(artists)
    totals, distributions = _by_span(_totals(listening)), _distributions(listening)
    months, new = _months(listening), _new_by_span(listening)
    sessions, replayed = session_totals(rollups.sessions, spans), most_replayed(rollups.repeats, spans, known)
    returned = comebacks(listening.played, artists, shown["artists"][1], spans)
    found = []
    for number in range(len(spans)):
        (total,) = totals.get(number, [_NOTHING])
        plays, skips_known = total["plays"], total["skips_known"]
        new_tracks, new_artists = new["track"].get(number, 0), new["artist"].get(number, 0)
        entropy = entropies.get(number)
        covered, averages = features.get(number, (0, None))
        found.append(
            {
                "total_tracks_played": plays,
                "total_ms_played": total["ms"],
                **{f"unique_{kind}": rows[number][0]["len"] if number in rows else 0 for kind, rows in unique.items()},
                **{f"top_{kind}": tops[kind][0].get(number, []) for kind in ("artists", "tracks", "genres", "albums")},
                "hourly_distribution": distributions["hour"].get(number, []),
                "daily_distribution": distributions["day"].get(number, []),
                "avg_audio_features": averages,
                "audio_features_coverage": round(covered / plays, DIGITS) if plays else 0.0,
                "active_days": total["active_days"],
                **{
                    f"top_{kind}_by_time": tops[kind][1].get(number, [])
                    for kind in ("artists", "tracks", "genres", "albums")
                },
                "weekday_hours": distributions["weekday_hours"].get(number, []),
                "months": months.get(number, []),
                "sessions": sessions[number],
                "new_tracks": new_tracks,
                "new_artists": new_artists,
                "repeat_ratio": round((plays - new_tracks) / plays, DIGITS) if plays else None,
                "artist_entropy_bits": None if entropy is None else round(entropy, DIGITS),
                "effective_artists": None if entropy is None else round(2**entropy, DIGITS),
                "skip_rate": round(total["skips"] / skips_known, DIGITS) if skips_known else None,
                "most_replayed": replayed[number],
                "comebacks": returned.get(number, []),
            }
        )
    return found


_NOTHING = {"plays": 0, "ms": 0, "skips": 0, "skips_known": 0, "active_days": 0}


def _by_span(frame: pl.DataFrame) -> Rows:
    """Rows by their ``span``, without it."""
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in frame.iter_rows(named=True):
        rows[row.pop("span")].append(row)
    return rows


def _counted(items: pl.DataFrame) -> pl.DataFrame:
    return items.filter(pl.col("plays") > 0).group_by("span").len()


def _genres(artists: pl.DataFrame, known: pl.DataFrame, catalog: CatalogFrames) -> pl.DataFrame:
    """``span``, ``genre``, ``plays``, ``ms``: a play counts for each genre of its primary artist."""
    of_artist = (
        known.lazy()
        .select("artist", "artist_id")
        .unique()
        .join(catalog.artists.lazy().select("artist_id", "genres"), on="artist_id", how="inner")
        .select("artist", genre="genres")
        .explode("genre", empty_as_null=False)
        .drop_nulls()
    )
    joined = artists.lazy().join(of_artist, on="artist", how="inner")
    return joined.group_by("span", "genre").agg(pl.col("plays", "ms").sum()).collect()


def _totals(listening: Listening) -> pl.DataFrame:
    days = listening.rollups.days.with_columns(active_days=(pl.col("plays") > 0).cast(pl.Int64)).drop("date")
    by_piece = days.with_columns(listening.pieces["piece"]).lazy().group_by("piece").agg(pl.all().sum())
    return listening.summed(by_piece).collect()


def _distributions(listening: Listening) -> dict[str, dict[int, list[dict[str, int]]]]:
    """By ``hour``, by ``day`` of the week, by both (``weekday_hours``): the buckets that have plays, per span."""
    weekday = pl.col("date").dt.weekday().cast(pl.Int64) - 1
    by_piece = (
        listening.cut(listening.rollups.hours.lazy())
        .group_by("piece", weekday.alias("day"), "hour")
        .agg(count=pl.col("plays").sum(), total_ms=pl.col("ms").sum())
    )
    hours = listening.summed(by_piece, "day", "hour")
    sums = pl.col("count", "total_ms").sum()
    both, by_hour, by_day = pl.collect_all(
        [
            hours.sort("span", "day", "hour"),
            hours.group_by("span", "hour").agg(sums).sort("span", "hour"),
            hours.group_by("span", "day").agg(sums).sort("span", "day"),
        ]
    )
    return {"weekday_hours": dict(_by_span(both)), "hour": dict(_by_span(by_hour)), "day": dict(_by_span(by_day))}


def _audio_features(tracks: pl.DataFrame, known: pl.DataFrame) -> dict[int, tuple[int, dict[str, float]]]:
    """Plays of tracks that have features, and their means weighted by plays."""
    heard = (
        tracks.lazy()
        .filter(pl.col("plays") > 0)
        .join(
            known.lazy().select("track", *AVERAGED_FEATURES).drop_nulls(AVERAGED_FEATURES[0]),
            on="track",
            how="inner",
        )
        .group_by("span")
        .agg(pl.col("plays").sum(), *((pl.col(name) * pl.col("plays")).sum().alias(name) for name in AVERAGED_FEATURES))
        .collect()
    )
    return {
        span: (
            row["plays"],
            {name: round(row[name] / row["plays"] / FEATURE_UNIT, DIGITS) for name in AVERAGED_FEATURES},
        )
        for span, (row,) in _by_span(heard).items()
    }


def _entropies(artists: pl.DataFrame) -> dict[int, float]:
    """Shannon entropy of the artists' shares of plays, in bits.

    Two to the power of it is the effective number of artists: as many equally played ones would be as diverse (Hill
    number of order 1; Hill, Ecology 54, 1973; Jost, Oikos 113, 2006).
    """
    alike = artists.filter(pl.col("plays") > 0).group_by("span", "plays").len("artists")
    by_span: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for span, plays, number in alike.iter_rows():
        by_span[span].append((plays, number))
    entropies = {}
    for span, counts in by_span.items():
        total = sum(plays * number for plays, number in counts)
        # fsum is exact, so the order of the artists does not show.
        bits = math.fsum(-number * plays / total * math.log2(plays / total) for plays, number in counts)
        entropies[span] = max(bits, 0.0)
    return entropies


def _firsts(listening: Listening, key: str) -> pl.LazyFrame:
    """``date`` of the first play ever that counts of each track or artist, and its ``piece``."""
    counted = listening.played.lazy().filter(pl.col("plays") > 0)
    return counted.drop_nulls(key).group_by(key).agg(pl.col("date", "piece").sort_by("date").first())


def _new_by_span(listening: Listening) -> dict[str, dict[int, int]]:
    """How many tracks and artists were heard for the first time ever, by span."""
    found = {}
    for key in ("track", "artist"):
        by_piece = _firsts(listening, key).group_by("piece").len("new")
        found[key] = dict(listening.summed(by_piece).collect().iter_rows())
    return found


def _months(listening: Listening) -> dict[int, list[dict[str, Any]]]:
    """Calendar months of each span: plays, time, what was new."""
    month = pl.col("date").dt.strftime("%Y-%m").alias("month")
    sums = (
        listening.cut(listening.rollups.days.lazy())
        .group_by("piece", month)
        .agg(count=pl.col("plays").sum(), total_ms=pl.col("ms").sum())
    )
    for key in ("track", "artist"):
        new = _firsts(listening, key).group_by("piece", month).len(f"new_{key}s")
        sums = sums.join(new, on=["piece", "month"], how="left")
    months = listening.summed(sums, "month").sort("span", "month").collect()
    return dict(_by_span(months.select("span", "month", "count", "total_ms", "new_tracks", "new_artists")))
