"""Decides which plays the rules of a user leave out.

Each play is decided from itself alone, whatever the catalogue knows and whatever else was played.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from functools import reduce
from operator import and_

import polars as pl

from echostats_pipeline.model.rules import Exclusion, Rule
from echostats_pipeline.transforms.history.identity import folded, folded_name

OF_AN_OWNER = r"^spotify:user:[^:]+:playlist:"
"""The older form of a playlist's uri, which names its owner, too."""
RULE_IDS = pl.List(pl.String)


def exclusions(rules: Iterable[Rule]) -> list[Rule]:
    """The rules that leave plays out, in the order of their ids."""
    return sorted((rule for rule in rules if rule.kind == "exclude"), key=lambda rule: rule.rule_id)


def with_exclusions(plays: pl.LazyFrame, rules: Iterable[Rule]) -> pl.LazyFrame:
    """Add which rules leave a play out.

    Args:
        plays: Frame of `plays.PLAYS_SCHEMA` with ``date`` and ``hour`` as `plays.with_local_day` adds them.
        rules: Rules of the user; those of other kinds are ignored.

    Returns:
        The same rows with ``rule_ids: List(String)`` in the order of ids; null if the play stays.
    """
    excluding = exclusions(rules)
    if not excluding:
        return plays.with_columns(rule_ids=pl.lit(None, RULE_IDS))
    keyed = plays.with_columns(
        artist_key=folded("artist_name"),
        album_key=folded("album_name"),
        context_key=pl.col("context_uri").str.replace(OF_AN_OWNER, "spotify:playlist:"),
    )
    ids = pl.concat_list(
        pl.when(leaves_out(rule.exclusion)).then(pl.lit(rule.rule_id)).otherwise(None) for rule in excluding
    ).list.drop_nulls()
    marked = keyed.with_columns(rule_ids=pl.when(ids.list.len() > 0).then(ids))
    return marked.drop("artist_key", "album_key", "context_key")


def leaves_out(conditions: Exclusion) -> pl.Expr:
    """Whether all conditions hold; false where a play does not tell."""
    return reduce(and_, _conditions(conditions)).fill_null(value=False)


def _conditions(conditions: Exclusion) -> Sequence[pl.Expr]:
    found = []
    if conditions.artist is not None:
        found.append(pl.col("artist_key") == folded_name(conditions.artist.name))
    if conditions.album is not None:
        found.append(pl.col("album_key") == folded_name(conditions.album.name))
    if conditions.track_ids:
        found.append(pl.col("track_id").is_in(conditions.track_ids))
    if conditions.context_uri:
        found.append(pl.col("context_key") == conditions.context_uri)
    if conditions.from_hour is not None and conditions.to_hour is not None:
        after, before = pl.col("hour") >= conditions.from_hour, pl.col("hour") < conditions.to_hour
        found.append(after & before if conditions.from_hour < conditions.to_hour else after | before)
    if conditions.weekdays:
        found.append((pl.col("date").dt.weekday() - 1).is_in(conditions.weekdays))
    if conditions.from_date:
        found.append(pl.col("date") >= date.fromisoformat(conditions.from_date))
    if conditions.to_date:
        found.append(pl.col("date") <= date.fromisoformat(conditions.to_date))
    if conditions.private_session:
        found.append(pl.col("private_session"))
    return found
