"""Computes what rules would change: totals and rankings with them, and the days whose rollups they touch.

Everything is computed from the plays themselves, so that nothing has to be rebuilt to see it.
"""

from collections.abc import Iterable
from datetime import date

import polars as pl

from echostats_pipeline.model.rules import Rule
from echostats_pipeline.transforms.history.identity import made_up
from echostats_pipeline.transforms.statistics.exclusions import NO_PRIMARY, with_exclusions
from echostats_pipeline.transforms.statistics.frames import DOCUMENT_SCHEMAS, TRACK_NAMES, RollupFrames
from echostats_pipeline.transforms.statistics.plays import (
    goes_on,
    with_listening_time,
    with_local_day,
    without_excluded,
)

NAMES = {"track_name": "name", "artist_name": "artist_name", "album_name": "album_name"}


def judged(
    plays: pl.DataFrame, timezone: str, min_play_ms: int, rules: Iterable[Rule], primary: pl.DataFrame = NO_PRIMARY
) -> pl.DataFrame:
    """All plays of a user in order, with day, hour, time, whether they count, and the rules that leave them out.

    Args:
        plays: Frame of `plays.PLAYS_SCHEMA` with all plays of one user.
        timezone: IANA zone of the user.
        min_play_ms: Plays known to be shorter do not count.
        rules: Rules of the user.
        primary: The primary artists of the tracks, as `exclusions.PRIMARY_SCHEMA`; needed if a rule names an artist.
    """
    dated = with_local_day(plays.lazy(), timezone).with_columns(listener=pl.lit(0))
    return with_listening_time(with_exclusions(dated, rules, primary), min_play_ms).collect()


def judged_again(found: pl.DataFrame, rules: Iterable[Rule], primary: pl.DataFrame = NO_PRIMARY) -> pl.DataFrame:
    """Plays as `judged` returns them, in the same order, with the rules that leave them out among others."""
    return with_exclusions(found.lazy().drop("rule_ids"), rules, primary).select(found.columns).collect()


def totals_by_day(found: pl.DataFrame) -> RollupFrames:
    """Plays and time by day and by track, without plays that are left out; the other frames of rollups are empty.

    Args:
        found: As `judged` returns it.
    """
    kept = found.lazy().filter(pl.col("rule_ids").is_null())
    sums = {"plays": pl.col("counted").sum().cast(pl.Int64), "ms": pl.col("ms").sum()}
    of_names = kept.filter(made_up(pl.col("track_id"))).rename(NAMES)
    excluded = found.lazy().filter(pl.col("rule_ids").is_not_null())
    days, tracks, named, out, out_by = pl.collect_all(
        [
            kept.group_by("date").agg(**sums),
            kept.group_by("date", "track_id").agg(**sums),
            of_names.group_by("date", "track_id", *TRACK_NAMES).agg(**sums),
            excluded.group_by("date").agg(excluded_plays=pl.col("counted").sum().cast(pl.Int64)),
            excluded.filter("counted")
            .explode("rule_ids", empty_as_null=False)
            .group_by("date", rule_id="rule_ids")
            .agg(plays=pl.len().cast(pl.Int64)),
        ]
    )
    days = days.join(out, on="date", how="full", coalesce=True).sort("date")
    given = {"days": days, "tracks": tracks, "named": named, "exclusions": out_by}
    return RollupFrames.of_documents({name: _whole(given.get(name), name) for name in DOCUMENT_SCHEMAS})


def _whole(frame: pl.DataFrame | None, name: str) -> pl.DataFrame:
    """A frame with every column of its schema: numbers that it lacks are 0."""
    schema = DOCUMENT_SCHEMAS[name]
    if frame is None:
        return schema.to_frame()
    lacking = [pl.lit(0).cast(dtype).alias(column) for column, dtype in schema.items() if column not in frame.columns]
    return frame.with_columns(lacking).select(schema.names()).fill_null(0).cast(schema)


def touched_days(found: pl.DataFrame, without: pl.DataFrame) -> set[date]:
    """The days whose rollups change if rules come or go.

    These are the days of the plays that other rules leave out then. A session may go on across midnight: then the next
    day changes, too, because its first play no longer continues anything.

    Args:
        found: As `judged` returns it, with the rules that come or go.
        without: The same plays in the same order, as `judged_again` returns them without these rules.
    """
    out, out_before = found["rule_ids"].is_not_null(), without["rule_ids"].is_not_null()
    rows = found.with_columns(hit=out & ~out_before)
    touched = rows.filter(found["rule_ids"].ne_missing(without["rule_ids"]))["date"].unique()
    if touched.is_empty():
        return set()
    # Plays that other rules leave out have no part in sessions anyway.
    among = without_excluded(rows.lazy().with_columns(rule_ids=without["rule_ids"]))
    next_kept = among.with_columns(
        goes_on=goes_on(),
        after_hit=pl.col("hit").shift(fill_value=False),
        before=pl.col("date").shift(),
        kept_before=pl.when(~pl.col("hit")).then("date").forward_fill().shift(),
    ).filter(~pl.col("hit"), "after_hit")
    other_day = pl.col("before") != pl.col("date")
    # Where clocks go back across midnight, two plays of one date may have one of another date between them.
    joins = pl.col("goes_on") | (pl.col("kept_before") == pl.col("date"))
    following = next_kept.filter(other_day, joins.fill_null(value=False)).select("date").collect()
    return {*touched.to_list(), *following["date"].to_list()}


def days_of_plays(found: pl.DataFrame, rule: Rule) -> frozenset[date]:
    """The days that hold plays that count and that a rule leaves out.

    Args:
        found: As `judged` returns it, with this rule among the rules.
        rule: The rule.
    """
    hit = pl.col("rule_ids").list.contains(rule.rule_id).fill_null(value=False)
    return frozenset(found.filter("counted", hit)["date"])


def touched_plays(found: pl.DataFrame, rule: Rule) -> int:
    """How many plays that count an `exclude` rule leaves out; see `touched_days`."""
    return found.filter("counted", pl.col("rule_ids").list.contains(rule.rule_id)).height
