"""Decides which plays the rules of a user leave out.

Each play is decided from itself and its track, whatever else was played. Its artist is the one under which rankings
count it: the primary artist that the catalogue has for the track, else the one that the play names. Artists that other
rules count as one are one artist here, too.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from functools import reduce
from itertools import product
from operator import and_

import polars as pl

from echostats_pipeline.model.catalog import ArtistRef
from echostats_pipeline.model.rules import Exclusion, Rule
from echostats_pipeline.transforms.history.identity import folded, folded_name
from echostats_pipeline.transforms.rule_checks import is_same_artist

OF_AN_OWNER = r"^spotify:user:[^:]+:playlist:"
"""The older form of a playlist's uri, which names its owner, too."""
RULE_IDS = pl.List(pl.String)
PRIMARY_SCHEMA = pl.Schema({"track_id": pl.String(), "artist_id": pl.String(), "primary_name": pl.String()})
"""The primary artist of each track with a Spotify id, as far as the catalogue has one; the unknown part is empty."""
NO_PRIMARY = PRIMARY_SCHEMA.to_frame()


def exclusions(rules: Iterable[Rule]) -> list[Rule]:
    """The rules that leave plays out, in the order of their ids."""
    return sorted((rule for rule in rules if rule.kind == "exclude"), key=lambda rule: rule.rule_id)


def acting(rules: Sequence[Rule]) -> list[Rule]:
    """The rules that decide which plays are left out; those that join artists only if one of these names an artist."""
    joining = [rule for rule in rules if rule.kind == "same_artist"] if asks_for_artists(rules) else []
    return [*exclusions(rules), *joining]


def asks_for_artists(rules: Iterable[Rule]) -> bool:
    """Whether a rule leaves plays out by their artist, so that `with_exclusions` needs primary artists."""
    return any(rule.exclude is not None and rule.exclude.artist is not None for rule in rules)


def with_exclusions(plays: pl.LazyFrame, rules: Iterable[Rule], primary: pl.DataFrame = NO_PRIMARY) -> pl.LazyFrame:
    """Add which rules leave a play out.

    Args:
        plays: Frame of `plays.PLAYS_SCHEMA` with ``date`` and ``hour`` as `plays.with_local_day` adds them.
        rules: Rules of the user; those that are not `acting` are ignored.
        primary: The primary artists of at least these tracks, as `PRIMARY_SCHEMA`; needed if a rule names an artist.

    Returns:
        The same rows with ``rule_ids: List(String)`` in the order of ids; null if the play stays.
    """
    rules = list(rules)
    excluding = exclusions(rules)
    if not excluding:
        return plays.with_columns(rule_ids=pl.lit(None, RULE_IDS))
    known = plays.join(primary.lazy(), on="track_id", how="left", maintain_order="left").with_columns(
        primary_name=pl.when(pl.col("primary_name") != "").then("primary_name").otherwise("artist_name")
    )
    keyed = known.with_columns(
        artist_key=folded("primary_name"),
        album_key=folded("album_name"),
        context_key=pl.col("context_uri").str.replace(OF_AN_OWNER, "spotify:playlist:"),
    )
    ids = pl.concat_list(
        pl.when(_leaves_out(rule.exclusion, rules)).then(pl.lit(rule.rule_id)).otherwise(None) for rule in excluding
    ).list.drop_nulls()
    marked = keyed.with_columns(rule_ids=pl.when(ids.list.len() > 0).then(ids))
    return marked.drop("artist_key", "album_key", "context_key", "artist_id", "primary_name")


def _leaves_out(conditions: Exclusion, rules: Iterable[Rule]) -> pl.Expr:
    """Whether all conditions hold; false where a play does not tell."""
    return reduce(and_, _conditions(conditions, rules)).fill_null(value=False)


def _conditions(conditions: Exclusion, rules: Iterable[Rule]) -> Sequence[pl.Expr]:
    found = []
    if conditions.artist is not None:
        found.append(pl.any_horizontal(map(_is_by, counted_as_one(conditions.artist, rules))))
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


def counted_as_one(artist: ArtistRef, rules: Iterable[Rule]) -> list[ArtistRef]:
    """An artist, and all whom rules count as one with this artist, directly or through others."""
    joins, meant = [rule.artists for rule in rules if rule.artists is not None], [artist]
    for join in (join for _ in joins for join in joins):
        if any(is_same_artist(*pair) for pair in product(join, meant)):
            meant += [other for other in join if other not in meant]
    return meant


def _is_by(artist: ArtistRef) -> pl.Expr:
    """Whether a play is by an artist: by their ids, or by the name if one of the two has no id."""
    named = pl.col("artist_key") == folded_name(artist.name)
    if not artist.spotify_id:
        return named
    return pl.when(pl.col("artist_id") != "").then(pl.col("artist_id") == artist.spotify_id).otherwise(named)
