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
        shown_name: The name under which rankings show the artist; empty if they show another one in the same place.
        is_primary: Whether plays are counted under the artist, or one who counts as the same; else tracks only credit
            the artist.
    """

    spotify_id: str
    name: str
    shown_name: str
    is_primary: bool


def known_artists(heard: ListeningFrames, rules: Iterable[Rule]) -> list[KnownArtist]:
    """The artists under which plays are counted, then all whom tracks only credit, each in the order of names and ids.

    Args:
        heard: What was heard, without rules.
        rules: The rules of the user.
    """
    persons = _with_rules_about(_persons(heard), _in_order(rules))
    is_shown = pl.col("first") == pl.col("person")
    found = persons.select(
        "spotify_id",
        "name",
        shown_name=pl.when(is_shown).then("shown_name").otherwise(pl.lit("")),
        is_primary=pl.col("artist").is_not_null().any().over("first"),
    )
    named = found.filter(pl.col("name") != "").sort(~pl.col("is_primary"), "name", "spotify_id")
    return [KnownArtist(*row) for row in named.iter_rows()]


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
    if any(rule.kind == "same_artist" for rule in rules) or _renamings(rules, "artist"):
        heard = _with_artists(heard, rules)
    tracks = _titles(heard.songs, _renamings(rules, "track"))
    if albums := _renamings(rules, "album"):
        heard = replace(heard, albums=_renamed_albums(heard.albums, albums))
    if tracks:
        heard = replace(heard, names=_with_names(heard.names, "name", tracks))
    return heard


def _in_order(rules: Iterable[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: rule.rule_id)


def _renamings(rules: Iterable[Rule], what: str) -> list[Renaming]:
    return [rule.rename for rule in rules if rule.rename is not None and rule.rename.what == what]


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


def _with_artists(heard: ListeningFrames, rules: Sequence[Rule]) -> ListeningFrames:
    persons = _with_rules_about(_persons(heard), rules)
    into_artists, artists = _standing(persons, "artist")
    into_credited, credited = _standing(persons, "credited")
    changed = persons.filter("is_changed").drop_nulls("artist")["artist"]
    known = heard.known.with_columns(pl.col("artist").replace(into_artists))
    return replace(
        heard,
        known=known,
        artists=artists,
        genres=heard.genres.with_columns(pl.col("artist").replace(into_artists)).unique(maintain_order=True),
        names=_with_names(heard.names, "artist_name", _artists_of_tracks(known, artists, changed)),
        # A play that credits several of them counts once.
        credits=heard.credits.with_columns(pl.col("credited").replace(into_credited)).unique(maintain_order=True),
        credited=credited,
    )


def _with_rules_about(persons: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """Artists as `_persons` returns them, with what rules say of them.

    Returns:
        The same rows with ``first`` (the one that stands for the artist), ``shown_name``, and ``is_changed``: whether
        artists are joined with it, or it has a new name.
    """
    joins = [rule.artists or [] for rule in rules if rule.kind == "same_artist"]
    into, names = _decided(_Shown.of(persons, "person"), joins, _renamings(rules, "artist"))
    return persons.with_columns(
        pl.col("person").replace(into).alias("first"), _replaced("person", names, "name").alias("shown_name")
    ).with_columns(is_changed=pl.col("first").is_in([*into.values(), *names]))


def _persons(heard: ListeningFrames) -> pl.DataFrame:
    """All artists under whom plays are counted or whom tracks credit, in the order in which they stand for others.

    Most plays as primary artist come first, then most time, most credited plays and most credited time, then names and
    ids. "Various Artists", whom nothing credits, stands for nobody whom something credits.

    Returns:
        ``person`` (the place in this order), ``spotify_id``, ``name``, ``image_url``; ``artist`` and ``credited`` as in
        `ListeningFrames`, null if there is none.
    """
    primary = heard.known.select("artist").with_row_index("variant").drop_nulls("artist")
    identity = pl.when(pl.col("spotify_id") != "").then("spotify_id").otherwise(pl.format("name:{}", "name"))
    counted, credited = (
        shown.with_columns(identity=identity).join(_played(heard, variants), on=key, how="left")
        for shown, variants, key in ((heard.artists, primary, "artist"), (heard.credited, heard.credits, "credited"))
    )
    every = counted.join(credited, on="identity", how="full", coalesce=True, suffix="_credited")
    amounts = ("plays", "ms", "plays_credited", "ms_credited")
    return (
        every.with_columns(
            *(pl.coalesce(name, f"{name}_credited") for name in ("spotify_id", "name", "image_url")),
            *(pl.col(name).fill_null(0) for name in amounts),
        )
        .sort(
            pl.col("credited").is_null(),
            pl.col("artist").is_null(),
            *(-pl.col(name) for name in amounts),
            "name",
            "spotify_id",
        )
        .select("artist", "credited", "spotify_id", "name", "image_url")
        .with_row_index("person")
    )


def _played(heard: ListeningFrames, variants: pl.DataFrame) -> pl.DataFrame:
    """Plays and time by the number that ``variants`` gives beside each ``variant``."""
    (key,) = set(variants.columns) - {"variant"}
    by_variant = heard.tracks.group_by("variant").agg(pl.col("plays", "ms").cast(pl.Int64).sum())
    return by_variant.join(variants, on="variant", how="inner").group_by(key).agg(pl.col("plays", "ms").sum())


def _decided(
    persons: "_Shown", joins: Sequence[Sequence[ArtistRef]], renamings: Sequence[Renaming]
) -> tuple[dict[int, int], dict[int, str]]:
    """For each joined artist the one that stands for it; and the new names of those that are shown."""
    groups = _groups([set[int]().union(*map(persons.meant, join)) for join in joins])
    into = {person: min(group) for group in groups if len(group) > 1 for person in group}
    names: dict[int, str] = {}
    # The name of the artist who is shown wins over those of the others.
    meant = [(person, renaming.shown_name) for renaming in renamings for person in sorted(persons.meant(renaming))]
    for person, name in sorted(meant, key=lambda each: into.get(each[0], each[0]) != each[0]):
        names.setdefault(into.get(person, person), name)
    return into, names


def _standing(persons: pl.DataFrame, key: str) -> tuple[dict[int, int], pl.DataFrame]:
    """For each joined number of artists the one that stands for it; and how those that are left are shown."""
    own = persons.drop_nulls(key).sort("person").with_columns(stands=pl.col(key).first().over("first"))
    joined = own.filter(pl.col(key) != pl.col("stands")).select(key, "stands")
    left = own.filter(pl.col(key) == pl.col("stands")).select(key, "first")
    shown = persons.select("spotify_id", "image_url", name="shown_name", first="person")
    named = left.join(shown, on="first", how="left").select(key, "spotify_id", "name", "image_url")
    return dict(joined.iter_rows()), named


def _groups(sets: Iterable[set[int]]) -> list[set[int]]:
    """Sets that have an element in common become one."""
    groups: list[set[int]] = []
    for each in sets:
        touching = [group for group in groups if group & each]
        groups = [group for group in groups if not group & each]
        groups.append(each.union(*touching))
    return groups


def _replaced(key: str, names: Mapping[Any, str], column: str) -> pl.Expr:
    new = pl.col(key).replace_strict(list(names), list(names.values()), default=None, return_dtype=pl.String)
    return pl.coalesce(new, column).alias(column) if names else pl.col(column)


def _artists_of_tracks(known: pl.DataFrame, artists: pl.DataFrame, changed: pl.Series) -> dict[str, str]:
    """The new name of the artist of each track all of whose variants are by one changed artist."""
    tracks = known.group_by("track_id").agg(pl.col("artist").first(), alone=pl.col("artist").n_unique() == 1)
    found = tracks.filter("alone", pl.col("artist").is_in(changed.implode())).join(artists, on="artist", how="inner")
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
    return albums.with_columns(_replaced("album", names, "name"))


def _with_names(names: pl.LazyFrame, column: str, of_tracks: Mapping[str, str]) -> pl.LazyFrame:
    new = pl.LazyFrame(
        {"track_id": list(of_tracks), "new_name": list(of_tracks.values())},
        schema={"track_id": pl.String, "new_name": pl.String},
    )
    joined = names.join(new, on="track_id", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("new_name", column).alias(column)).drop("new_name")
