"""Applies rules of a user to what was heard: artists that are counted as one, and other names.

Here: what acts on whole histories. Plays are left out before, when rollups are built (`exclusions`); pairs of tracks go
to the module that finds songs.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import polars as pl

from echostats_pipeline.model.catalog import ArtistRef
from echostats_pipeline.model.rules import Renaming, Rule
from echostats_pipeline.transforms.history.identity import folded_name
from echostats_pipeline.transforms.statistics.listening import ListeningFrames

Pairs = list[tuple[str, str]]


class KnownArtist(NamedTuple):
    """An artist that a rule can name.

    Attributes:
        spotify_id: The id; empty if it is unknown.
        name: The name, whatever rules say.
        shown_name: The name under which rankings show the artist.
        is_primary: Whether plays are counted under the artist; else tracks only credit the artist.
    """

    spotify_id: str
    name: str
    shown_name: str
    is_primary: bool


def known_artists(heard: ListeningFrames, rules: Iterable[Rule]) -> list[KnownArtist]:
    """The artists under which plays are counted, then all that tracks credit, each in the order of names and ids.

    Args:
        heard: What was heard, without rules.
        rules: The rules of the user.
    """
    shown = with_rules(heard, rules)
    found = []
    for own, after, key in ((heard.artists, shown.artists, "artist"), (heard.credited, shown.credited, "credited")):
        named = own.join(after.select(key, shown_name="name"), on=key, how="left").filter(pl.col("name") != "")
        texts = named.sort("name", "spotify_id").select("spotify_id", "name", pl.coalesce("shown_name", "name"))
        found += [KnownArtist(*row) for row in texts.with_columns(is_primary=pl.lit(key == "artist")).iter_rows()]
    return found


def song_pairs(rules: Iterable[Rule]) -> tuple[Pairs, Pairs]:
    """The pairs of track ids that rules join to one song, and those that rules keep apart."""
    same: Pairs = []
    different: Pairs = []
    for rule in _in_order(rules):
        if rule.kind == "same_song":
            same += pairwise(rule.track_ids or ())
        elif rule.kind == "different":
            different += combinations(rule.track_ids or (), 2)
    return same, different


def with_rules(heard: ListeningFrames, rules: Iterable[Rule]) -> ListeningFrames:
    """What was heard, with artists joined and names replaced as the rules say; other rules are ignored."""
    rules = _in_order(rules)
    joins = [rule.artists or [] for rule in rules if rule.kind == "same_artist"]
    renamings = [rule.rename for rule in rules if rule.rename is not None]
    if joins or any(renaming.what == "artist" for renaming in renamings):
        heard = _with_artists(heard, joins, [each for each in renamings if each.what == "artist"])
    albums = [each for each in renamings if each.what == "album"]
    tracks = _titles(heard.songs, [each for each in renamings if each.what == "track"])
    if albums:
        heard = replace(heard, albums=_renamed_albums(heard.albums, albums))
    if tracks:
        heard = replace(heard, names=_with_names(heard.names, "name", tracks))
    return heard


def _in_order(rules: Iterable[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: rule.rule_id)


class _Shown(NamedTuple):
    """Artists or albums as `ListeningFrames` shows them: numbers by id, and (number, id) by folded name."""

    by_id: Mapping[str, int]
    by_name: Mapping[str, Sequence[tuple[int, str]]]

    @classmethod
    def of(cls, shown: pl.DataFrame, key: str) -> "_Shown":
        by_name = defaultdict(list)
        rows = list(shown.select(key, "spotify_id", "name").iter_rows())
        for number, spotify_id, name in rows:
            by_name[folded_name(name or "")].append((number, spotify_id or ""))
        return cls({spotify_id: number for number, spotify_id, _ in rows if spotify_id}, by_name)

    def meant(self, ref: ArtistRef | Renaming) -> set[int]:
        """Those with the id, and those known by the name only; without an id, all of that name."""
        named = self.by_name.get(folded_name(ref.name), ()) if ref.name else ()
        found = {number for number, spotify_id in named if not (ref.spotify_id and spotify_id)}
        return found | ({self.by_id[ref.spotify_id]} if ref.spotify_id in self.by_id else set())


def _with_artists(
    heard: ListeningFrames, joins: Sequence[Sequence[ArtistRef]], renamings: Sequence[Renaming]
) -> ListeningFrames:
    primary = heard.known.select("artist").with_row_index("variant").drop_nulls("artist")
    into, names = _decided(heard.artists, _played(heard, primary), joins, renamings)
    artists = _numbered(heard.artists, "artist", into, names).unique("artist", keep="first", maintain_order=True)
    joined = {first for number, first in into.items() if number != first}
    known = heard.known.with_columns(pl.col("artist").replace(into))
    into_credited, names_credited = _decided(heard.credited, _played(heard, heard.credits), joins, renamings)
    return replace(
        heard,
        known=known,
        artists=artists,
        genres=heard.genres.with_columns(pl.col("artist").replace(into)).unique(maintain_order=True),
        names=_with_names(heard.names, "artist_name", _artists_of_tracks(known, artists, {*joined, *names})),
        # A play that credits several of them counts once.
        credits=heard.credits.with_columns(pl.col("credited").replace(into_credited)).unique(maintain_order=True),
        credited=_numbered(heard.credited, "credited", into_credited, names_credited),
    )


def _played(heard: ListeningFrames, variants: pl.DataFrame) -> pl.DataFrame:
    """Plays and time by the number that ``variants`` gives beside each ``variant``."""
    (key,) = set(variants.columns) - {"variant"}
    by_variant = heard.tracks.group_by("variant").agg(pl.col("plays", "ms").sum())
    return by_variant.join(variants, on="variant", how="inner").group_by(key).agg(pl.col("plays", "ms").sum())


def _decided(
    shown: pl.DataFrame, plays: pl.DataFrame, joins: Sequence[Sequence[ArtistRef]], renamings: Sequence[Renaming]
) -> tuple[dict[int, int], dict[int, str]]:
    """For each joined artist the number of the one that stands for it; and the new names of those that are shown."""
    artists = _Shown.of(shown, plays.columns[0])
    groups = _groups([set[int]().union(*map(artists.meant, join)) for join in joins])
    into = _most_played(shown, plays, groups)
    names: dict[int, str] = {}
    # The name of the artist who is shown wins over those of the others.
    meant = [(number, renaming.shown_name) for renaming in renamings for number in sorted(artists.meant(renaming))]
    for number, name in sorted(meant, key=lambda each: into.get(each[0], each[0]) != each[0]):
        names.setdefault(into.get(number, number), name)
    return into, names


def _groups(sets: Iterable[set[int]]) -> list[set[int]]:
    """Sets that have an element in common become one."""
    groups: list[set[int]] = []
    for each in sets:
        touching = [group for group in groups if group & each]
        groups = [group for group in groups if not group & each]
        groups.append(each.union(*touching))
    return groups


def _most_played(shown: pl.DataFrame, plays: pl.DataFrame, groups: Iterable[set[int]]) -> dict[int, int]:
    """For each artist of a group the one that stands for it: most plays, then most time, then by name and id."""
    key = plays.columns[0]
    members = pl.DataFrame(
        [(number, group) for group, numbers in enumerate(groups) for number in numbers],
        schema={key: shown.schema[key], "group": pl.Int64},
        orient="row",
    )
    ranked = (
        members.join(plays, on=key, how="left")
        .join(shown.select(key, "name", "spotify_id"), on=key, how="left")
        .with_columns(pl.col("plays", "ms").fill_null(0))
        .sort("group", "plays", "ms", "name", "spotify_id", descending=[False, True, True, False, False])
        .with_columns(first=pl.col(key).first().over("group"))
    )
    return dict(ranked.select(key, "first").iter_rows())


def _numbered(shown: pl.DataFrame, key: str, into: Mapping[int, int], names: Mapping[int, str]) -> pl.DataFrame:
    """Rows of those that stand for others, with their new names."""
    kept = shown.filter(~pl.col(key).is_in([number for number, first in into.items() if number != first]))
    return kept.with_columns(_replaced(key, names, "name"))


def _replaced(key: str, names: Mapping[Any, str], column: str) -> pl.Expr:
    new = pl.col(key).replace_strict(list(names), list(names.values()), default=None, return_dtype=pl.String)
    return pl.coalesce(new, column).alias(column) if names else pl.col(column)


def _artists_of_tracks(known: pl.DataFrame, artists: pl.DataFrame, changed: set[int]) -> dict[str, str]:
    """The new name of the artist of each track all of whose variants are by one changed artist."""
    tracks = known.group_by("track_id").agg(pl.col("artist").first(), alone=pl.col("artist").n_unique() == 1)
    found = tracks.filter("alone", pl.col("artist").is_in(list(changed))).join(artists, on="artist", how="inner")
    return dict(found.select("track_id", "name").iter_rows())


def _titles(songs: pl.DataFrame, renamings: Sequence[Renaming]) -> dict[str, str]:
    """New titles by track id: all ids of a song get its name; the name of the id that is shown wins."""
    song_of = dict(songs.select("track_id", "song").iter_rows())
    found: dict[str, str] = {}
    for each in sorted(renamings, key=lambda each: song_of.get(each.spotify_id, each.spotify_id) != each.spotify_id):
        found.setdefault(song_of.get(each.spotify_id, each.spotify_id), each.shown_name)
    return found | {track: found[song] for track, song in song_of.items() if song in found}


def _renamed_albums(albums: pl.DataFrame, renamings: Sequence[Renaming]) -> pl.DataFrame:
    shown, names = _Shown.of(albums, "album"), dict[int, str]()
    for renaming in renamings:
        for number in shown.meant(renaming):
            names.setdefault(number, renaming.shown_name)
    return _numbered(albums, "album", {}, names)


def _with_names(names: pl.LazyFrame, column: str, of_tracks: Mapping[str, str]) -> pl.LazyFrame:
    new = pl.LazyFrame(
        {"track_id": list(of_tracks), "new_name": list(of_tracks.values())},
        schema={"track_id": pl.String, "new_name": pl.String},
    )
    joined = names.join(new, on="track_id", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("new_name", column).alias(column)).drop("new_name")
