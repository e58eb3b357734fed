"""Computes the statistics of any spans of dates from rollups, all spans in one pass.

The dates are cut into pieces at both ends of every span. Everything is summed up by piece, and each span adds up its
pieces. So fourteen years of one user are read once, however many spans there are. All sums are of whole numbers, so the
order of summation does not matter.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

import polars as pl

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.statistics.comebacks import comebacks
from echostats_pipeline.transforms.statistics.contexts import top_contexts
from echostats_pipeline.transforms.statistics.frames import collected
from echostats_pipeline.transforms.statistics.listening import FEATURE_UNIT, ListeningFrames
from echostats_pipeline.transforms.statistics.periods import Rows, by_span
from echostats_pipeline.transforms.statistics.ranking import top_items
from echostats_pipeline.transforms.statistics.sessions import most_replayed, session_totals

DIGITS = 6
"""Digits kept of ratios and averages."""
KINDS = ("artists", "tracks", "genres", "albums")


@dataclass(frozen=True, eq=False)
class Listening:
    """What a user has heard, cut into pieces by spans; a span is identified by its position."""

    heard: ListeningFrames
    spans: Sequence[DayWindow]

    def collected(self, query: pl.LazyFrame) -> pl.DataFrame:
        """The result of a query over `heard`."""
        return collected(query, self.heard.tracks.height)

    @cached_property
    def piece(self) -> pl.Expr:
        """The piece in which a ``date`` lies."""
        ends = {span.first for span in self.spans} | {span.following for span in self.spans}
        cuts = pl.Series(sorted(ends), dtype=pl.Date)
        return pl.lit(cuts).search_sorted(pl.col("date"), side="right").cast(pl.UInt32).alias("piece")

    @cached_property
    def members(self) -> pl.DataFrame:
        """``piece``, ``span``: the pieces of each span."""
        of_piece = self.heard.days.group_by(self.piece).agg(pl.col("date").first())
        rows = [
            (piece, number)
            for piece, day in of_piece.iter_rows()
            for number, span in enumerate(self.spans)
            if span.first <= day <= span.last
        ]
        return pl.DataFrame(rows, schema={"piece": pl.UInt32, "span": pl.UInt32}, orient="row")

    @cached_property
    def _members_by_number(self) -> tuple[pl.LazyFrame, pl.LazyFrame]:
        """`members` of the spans of a single piece, and of the other spans."""
        alone = pl.len().over("span") == 1
        return self.members.filter(alone).lazy(), self.members.filter(~alone).lazy()

    def summed(self, by_piece: pl.LazyFrame, *keys: str) -> pl.LazyFrame:
        """Sums of all other columns by ``span`` and keys, from sums by ``piece`` and keys."""
        single, several = (
            by_piece.join(members, on="piece", how="inner").select("span", *keys, pl.exclude("span", "piece", *keys))
            for members in self._members_by_number
        )
        return pl.concat([single, several.group_by("span", *keys).agg(pl.all().sum())])

    def of_variants(self, frame: pl.DataFrame, key: str) -> pl.DataFrame:
        """A frame with the ``track``, ``artist`` or ``album`` of each ``variant``, without rows that have none."""
        return frame.with_columns(self.heard.known[key].gather(frame["variant"])).drop_nulls(key)

    @cached_property
    def by_piece(self) -> pl.DataFrame:
        """Plays and time of each variant by piece."""
        by_piece = self.heard.tracks.lazy().group_by(self.piece, "variant").agg(pl.col("plays", "ms").sum())
        return self.collected(by_piece)

    def grouped(self, key: str) -> pl.DataFrame:
        """``span``, ``track``, ``artist`` or ``album``, ``plays``, ``ms``."""
        if key == "track" and not self.heard.has_variants:
            by_piece = self.by_piece.rename({"variant": key})
        else:
            by_piece = self.of_variants(self.by_piece, key).group_by("piece", key).agg(pl.col("plays", "ms").sum())
        return self.collected(self.summed(by_piece.lazy(), key))

    @cached_property
    def credited(self) -> pl.DataFrame:
        """``span``, ``credited``, ``plays``, ``ms``: every artist of a track gets its plays and their full time."""
        by_piece = self.by_piece.lazy().join(self.heard.credits.lazy(), on="variant", how="inner")
        sums = by_piece.group_by("piece", "credited").agg(pl.col("plays", "ms").sum())
        return self.collected(self.summed(sums, "credited"))

    @cached_property
    def contexts(self) -> pl.DataFrame:
        """``span``, ``uri``, ``plays``, ``ms``."""
        by_piece = self.heard.contexts.lazy().group_by(self.piece, "uri").agg(pl.col("plays", "ms").sum())
        return self.collected(self.summed(by_piece, "uri"))

    @cached_property
    def full_listens(self) -> dict[tuple[int, str], int]:
        """How often albums were heard in full, by span and album id."""
        by_piece = self.heard.full_listens.lazy().group_by(self.piece, "album_id").agg(pl.col("listens").sum())
        found = self.collected(self.summed(by_piece, "album_id"))
        return {(span, album_id): listens for span, album_id, listens in found.iter_rows()}

    @cached_property
    def firsts(self) -> dict[str, pl.DataFrame]:
        """``date`` of the first counted play ever, by ``track`` and by ``artist``."""
        counted = self.heard.tracks.lazy().filter(pl.col("plays") > 0)
        variants = self.collected(counted.group_by("variant").agg(pl.col("date").min()))
        return {
            key: self.of_variants(variants, key).group_by(key).agg(pl.col("date").min()) for key in ("track", "artist")
        }


def span_statistics(
    heard: ListeningFrames, spans: Sequence[DayWindow], unknown: Collection[date] = ()
) -> list[dict[str, Any]]:
    """The statistics of each span: the fields of `model.statistics.PeriodStatistics` without bounds and streaks.

    Args:
        heard: All that a user has heard up to today, because what is new or comes back depends on earlier plays.
        spans: Spans of any length; they may overlap.
        unknown: Dates of which nothing is known.
    """
    listening = Listening(heard, spans)
    # With a long history the frames of tracks, albums and artists are large: no two are kept at the same time.
    tracks, features = _tracks(listening)
    albums = _with_full_listens(_ranking(listening.grouped("album"), lambda _: heard.albums), listening)
    artists, genres, with_genres, entropies = _artists(listening)
    rankings = {"tracks": tracks, "artists": artists, "albums": albums, "genres": genres}
    surplus = _surplus_ids(listening)
    counted = heard.tracks.filter(pl.col("plays") > 0).select("date", "variant", "plays")
    returned = comebacks(listening.of_variants(counted, "artist"), heard.artists, spans, unknown)
    credited = top_items(listening.credited, lambda _: heard.credited)
    contexts = top_contexts(listening.contexts, heard.context_names)
    from_contexts = dict(listening.contexts.group_by("span").agg(pl.col("plays").sum()).iter_rows())
    totals, distributions = by_span(_totals(listening)), _distributions(listening)
    months, new, left_out = _months(listening), _new_by_span(listening), _left_out(listening)
    sessions, replayed = session_totals(heard.sessions, spans), most_replayed(heard.repeats, spans, heard.names)
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
                **{f"unique_{kind}": rankings[kind].counts.get(number, 0) for kind in KINDS},
                **{f"top_{kind}": rankings[kind].by_plays.get(number, []) for kind in KINDS},
                "hourly_distribution": distributions["hour"].get(number, []),
                "daily_distribution": distributions["day"].get(number, []),
                "avg_audio_features": averages,
                "audio_features_coverage": round(covered / plays, DIGITS) if plays else 0.0,
                "genres_coverage": round(with_genres.get(number, 0) / plays, DIGITS) if plays else 0.0,
                "active_days": total["active_days"],
                "unique_track_ids": rankings["tracks"].counts.get(number, 0) + surplus.get(number, 0),
                "counts_songs": heard.counts_songs,
                **{f"top_{kind}_by_time": rankings[kind].by_time.get(number, []) for kind in KINDS},
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
                "top_artists_credited": credited[0].get(number, []),
                "top_artists_credited_by_time": credited[1].get(number, []),
                "top_contexts": contexts[0].get(number, []),
                "top_contexts_by_time": contexts[1].get(number, []),
                "contexts_coverage": round(from_contexts.get(number, 0) / plays, DIGITS) if plays else 0.0,
                "excluded_plays": total["excluded_plays"],
                "excluded_by": left_out.get(number, []),
            }
        )
    return found


_NOTHING = {"plays": 0, "ms": 0, "skips": 0, "skips_known": 0, "excluded_plays": 0, "active_days": 0}


class Ranking(NamedTuple):
    """By span: how many items of a kind were played, and the top items by plays and by time."""

    counts: Mapping[int, int]
    by_plays: Rows
    by_time: Rows


def _ranking(items: pl.DataFrame, shown: Callable[[pl.Series], pl.DataFrame]) -> Ranking:
    """The ranking of items; `items` and `shown` are as in `ranking.top_items`."""
    counts = dict(items.filter(pl.col("plays") > 0).group_by("span").len().iter_rows())
    return Ranking(counts, *top_items(items, shown))


def _tracks(listening: Listening) -> tuple[Ranking, dict[int, tuple[int, dict[str, float]]]]:
    """The ranking of tracks, and `_audio_features`."""
    tracks = listening.grouped("track")
    return _ranking(tracks, listening.heard.shown), _audio_features(tracks, listening.heard.known)


def _artists(listening: Listening) -> tuple[Ranking, Ranking, dict[int, int], dict[int, float]]:
    """The rankings of artists and genres, and by span the plays of artists with genres, and `_entropies`."""
    heard, artists = listening.heard, listening.grouped("artist")
    genres = (
        artists.join(heard.genres, on="artist", how="inner").group_by("span", "genre").agg(pl.col("plays", "ms").sum())
    )
    shown = genres.select("genre", name="genre", spotify_id=pl.lit(""), image_url=pl.lit("")).unique()
    with_genres = artists.join(heard.genres, on="artist", how="semi").group_by("span").agg(pl.col("plays").sum())
    return (
        _ranking(artists, lambda _: heard.artists),
        _ranking(genres, lambda _: shown),
        dict(with_genres.iter_rows()),
        _entropies(artists),
    )


def _with_full_listens(albums: Ranking, listening: Listening) -> Ranking:
    """The ranking of albums with the number of times that each was heard in full; None where this is not known."""

    def added(rows: Rows) -> Rows:
        return {
            number: [
                {
                    **row,
                    "full_listens": listening.full_listens.get((number, row["spotify_id"]), 0)
                    if row["spotify_id"] in listening.heard.album_sizes
                    else None,
                }
                for row in lines
            ]
            for number, lines in rows.items()
        }

    return Ranking(albums.counts, added(albums.by_plays), added(albums.by_time))


def _totals(listening: Listening) -> pl.DataFrame:
    days = listening.heard.days.lazy().with_columns(active_days=(pl.col("plays") > 0).cast(pl.Int64))
    by_piece = days.group_by(listening.piece).agg(pl.exclude("date", "whole").sum())
    return listening.collected(listening.summed(by_piece))


def _surplus_ids(listening: Listening) -> dict[int, int]:
    """By span, how many more ids of tracks than songs have counted plays."""
    heard = listening.heard
    if heard.songs.is_empty():
        return {}
    ids = heard.known.select("track_id").with_row_index("variant").join(heard.songs, on="track_id", how="inner")
    by_piece = (
        listening.by_piece.lazy()
        .filter(pl.col("plays") > 0)
        .join(ids.lazy().select("variant", "track_id", "song"), on="variant", how="inner")
        .group_by("piece", "song", "track_id")
        .agg(pl.col("plays").sum())
    )
    surplus = listening.summed(by_piece, "song", "track_id").group_by("span").agg(pl.len() - pl.col("song").n_unique())
    return dict(listening.collected(surplus).iter_rows())


def _distributions(listening: Listening) -> dict[str, dict[int, list[dict[str, int]]]]:
    """The buckets with plays per span, by ``hour``, by ``day`` of the week, and by both (``weekday_hours``)."""
    weekday = pl.col("date").dt.weekday().cast(pl.Int64) - 1
    by_piece = (
        listening.heard.hours.lazy()
        .group_by(listening.piece, weekday.alias("day"), "hour")
        .agg(count=pl.col("plays").sum(), total_ms=pl.col("ms").sum())
    )
    hours = listening.summed(by_piece, "day", "hour")
    sums = pl.col("count", "total_ms").sum()
    both, by_hour, by_day = pl.collect_all(
        [
            hours.sort("span", "day", "hour"),
            hours.group_by("span", "hour").agg(sums).sort("span", "hour"),
            hours.group_by("span", "day").agg(sums).sort("span", "day"),
        ],
        engine="in-memory",
    )
    return {"weekday_hours": dict(by_span(both)), "hour": dict(by_span(by_hour)), "day": dict(by_span(by_day))}


def _audio_features(tracks: pl.DataFrame, known: pl.DataFrame) -> dict[int, tuple[int, dict[str, float]]]:
    """Plays of tracks with audio features, and the means of the features weighted by plays."""
    heard = (
        tracks.lazy()
        .filter(pl.col("plays") > 0)
        .join(
            known.lazy().select(AVERAGED_FEATURES).with_row_index("track").drop_nulls(AVERAGED_FEATURES[0]),
            on="track",
            how="inner",
        )
        .group_by("span")
        .agg(pl.col("plays").sum(), *((pl.col(name) * pl.col("plays")).sum().alias(name) for name in AVERAGED_FEATURES))
    )
    return {
        span: (
            row["plays"],
            {name: round(row[name] / row["plays"] / FEATURE_UNIT, DIGITS) for name in AVERAGED_FEATURES},
        )
        for span, (row,) in by_span(collected(heard, tracks.height)).items()
    }


def _entropies(artists: pl.DataFrame) -> dict[int, float]:
    """Shannon entropy of the artists' shares of plays, in bits.

    Two to the power of the entropy is the effective number of artists: that many equally played artists would be as
    diverse (Hill number of order 1; Hill, Ecology 54, 1973; Jost, Oikos 113, 2006).
    """
    alike = artists.filter(pl.col("plays") > 0).group_by("span", "plays").len("artists")
    by_span: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for span, plays, number in alike.iter_rows():
        by_span[span].append((plays, number))
    entropies = {}
    for span, counts in by_span.items():
        total = sum(plays * number for plays, number in counts)
        # fsum is exact, so the order of the artists does not matter.
        bits = math.fsum(-number * plays / total * math.log2(plays / total) for plays, number in counts)
        entropies[span] = max(bits, 0.0)
    return entropies


def _new_by_span(listening: Listening) -> dict[str, dict[int, int]]:
    """How many tracks and artists were heard for the first time ever, by span."""
    found = {}
    for key, firsts in listening.firsts.items():
        by_piece = firsts.lazy().group_by(listening.piece).len("new")
        found[key] = dict(listening.collected(listening.summed(by_piece)).iter_rows())
    return found


def _months(listening: Listening) -> dict[int, list[dict[str, Any]]]:
    """Calendar months of each span: plays, time, and what was new."""
    month = pl.col("date").dt.strftime("%Y-%m").alias("month")
    sums = (
        listening.heard.hours.lazy()  # a day has none if all of its plays are left out
        .group_by(listening.piece, month)
        .agg(count=pl.col("plays").sum(), total_ms=pl.col("ms").sum())
    )
    for key, firsts in listening.firsts.items():
        new = firsts.lazy().group_by(listening.piece, month).len(f"new_{key}s")
        sums = sums.join(new, on=["piece", "month"], how="left")
    months = listening.collected(listening.summed(sums.fill_null(0), "month").sort("span", "month"))
    return dict(by_span(months.select("span", "month", "count", "total_ms", "new_tracks", "new_artists")))


def _left_out(listening: Listening) -> dict[int, list[dict[str, Any]]]:
    """The plays that each rule leaves out, by span; most first."""
    exclusions = listening.heard.exclusions.lazy()
    by_piece = exclusions.group_by(listening.piece, "rule_id").agg(pl.col("plays").sum())
    sums = listening.summed(by_piece, "rule_id")
    return dict(by_span(sums.sort("span", "plays", "rule_id", descending=[False, True, False]).collect()))
