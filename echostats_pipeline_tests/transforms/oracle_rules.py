"""Oracle for rules of a user, by brute force, from rules as the database has them.

- A play is left out if all conditions of one rule hold for it; its artist is the one it is counted under, or one
  whom rules make one with it. Its time passed: it bounds the time of the next play. Sessions and repeats are found
  among the plays that stay.
- Artists of a rule are one artist: the one of them with most plays as primary artist (then time, plays and time as
  credited one, name, id) is shown everywhere, with the genres of all primary ones. "Various Artists" is shown only if
  nobody else is credited. An artist is meant by the id, or by the name where the id is not known; without an id, by the
  name alone.
- Names of rules replace those of the item; of joined artists, the one with a rule for the artist that is shown wins.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from echostats_pipeline.transforms.history.identity import normalised_name
from echostats_pipeline_tests.transforms.oracle import Catalogue, Document, Heard, KnownTrack, OraclePlay, Variant
from echostats_pipeline_tests.transforms.oracle_rankings import Identity, album_spellings, artist_of, credited_on

Artist = tuple[str, str, str]
"""Id, name and picture of an artist."""


def alike(name: str, other: str) -> bool:
    return (normalised_name(name) or name) == (normalised_name(other) or other)


def rules_that_leave_out(
    play: OraclePlay, local: datetime, rules: Iterable[Document], catalogue: Catalogue
) -> tuple[str, ...]:
    """The ids of the rules that leave out a play, in order."""
    rules = list(rules)
    joins = [rule["artists"] for rule in rules if rule["kind"] == "same_artist"]
    excluding = (rule for rule in rules if rule["kind"] == "exclude")
    return tuple(
        sorted(str(rule["_id"]) for rule in excluding if _holds(rule["exclude"], play, local, catalogue, joins))
    )


def _joined(artist: Mapping[str, str], joins: Sequence[Sequence[Mapping[str, str]]]) -> list[Mapping[str, str]]:
    """The artist, and those whom rules make one with it."""
    found = [artist]
    for one in found:  # grows while it is read
        of_one = (join for join in joins if any(_are_one(one, other) for other in join))
        found += [other for join in of_one for other in join if other not in found]
    return found


def _are_one(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    ids = {one["spotify_id"], other["spotify_id"]}
    return alike(one["name"], other["name"]) if "" in ids else len(ids) == 1


def _is_by(artist: Mapping[str, str], play: OraclePlay, catalogue: Catalogue) -> bool:
    """Whether a play is counted under an artist: by their ids, or by the name if one of the two has no id."""
    known = KnownTrack() if play.is_made_up else catalogue.tracks.get(play.track_id, KnownTrack())
    if artist["spotify_id"] and known.artist_id:
        return artist["spotify_id"] == known.artist_id
    return alike(artist["name"], known.artist_name or play.artist_name)


def _holds(
    conditions: Mapping[str, Any],
    play: OraclePlay,
    local: datetime,
    catalogue: Catalogue,
    joins: Sequence[Sequence[Mapping[str, str]]],
) -> bool:
    context = play.context_uri or ""
    if context.startswith("spotify:user:") and ":playlist:" in context:
        context = f"spotify:playlist:{context.rpartition(':')[2]}"
    first, last = conditions["from_date"] or "0", conditions["to_date"] or "9"
    return all(
        (
            conditions["artist"] is None
            or any(_is_by(artist, play, catalogue) for artist in _joined(conditions["artist"], joins)),
            conditions["album"] is None or alike(conditions["album"]["name"], play.album_name),
            not conditions["track_ids"] or play.track_id in conditions["track_ids"],
            conditions["context_uri"] in ("", context),
            conditions["from_hour"] is None or local.hour in _hours(conditions["from_hour"], conditions["to_hour"]),
            not conditions["weekdays"] or local.weekday() in conditions["weekdays"],
            first <= local.date().isoformat() <= last,
            not conditions["private_session"] or play.private_session is True,
        )
    )


def _hours(first: int, end: int) -> list[int]:
    hours = [first]
    while (hours[-1] + 1) % 24 != end:
        hours.append((hours[-1] + 1) % 24)
    return hours


@dataclass
class _Artists:
    """The artists that were heard, by key: how they are shown, their plays, and those counted with them."""

    shown: Mapping[str, Artist]
    primary: Mapping[str, Sequence[Heard]]
    credited: Mapping[str, Sequence[Heard]]
    together: dict[str, set[str]]

    @classmethod
    def of(
        cls,
        identities: Mapping[Variant, Identity],
        items: Sequence[Heard],
        catalogue: Catalogue,
        rules: Iterable[Document],
    ) -> "_Artists":
        """The artists, those of rules joined."""
        primary: dict[str, list[Heard]] = defaultdict(list)
        credited: dict[str, list[Heard]] = defaultdict(list)
        shown: dict[str, Artist] = {}
        for item in sorted(items, key=lambda item: item.play.track_id):
            if (key := identities[item.play.variant].artist_key) is not None:
                primary[key].append(item)
            for key, artist in credited_on(item, identities, catalogue).items():
                credited[key].append(item)
                shown[key] = artist
        shown |= {key: artist_of(own, identities, catalogue) for key, own in primary.items()}
        found = cls(shown, primary, credited, {key: {key} for key in shown})
        for rule in rules:
            if rule["kind"] == "same_artist":
                found.join(rule["artists"])
        return found

    def join(self, refs: Iterable[Mapping[str, str]]) -> None:
        meant = set[str]().union(*(_meant(ref, self.shown) for ref in refs))
        joined = meant.union(*(self.together[key] for key in meant))
        self.together |= dict.fromkeys(joined, joined)

    def first(self, key: str) -> str:
        """The one that is shown for it."""
        if len(self.together[key]) == 1:
            return key

        def rank(each: str) -> Any:
            amounts = [
                -sum(getattr(item, name) for item in heard.get(each, ()))
                for heard in (self.primary, self.credited)
                for name in ("counts", "ms")
            ]
            return (
                each not in self.credited,
                each not in self.primary,
                amounts,
                self.shown[each][1],
                self.shown[each][0],
            )

        return min(self.together[key], key=rank)

    def names(self, renamings: Iterable[Mapping[str, str]]) -> dict[str, str]:
        """The names that rules give to those that are shown."""
        meant = [(key, each["shown_name"]) for each in renamings for key in sorted(_meant(each, self.shown))]
        direct = [(key, name) for key, name in meant if self.first(key) == key]
        found: dict[str, str] = {}
        for key, name in (*direct, *meant):
            found.setdefault(self.first(key), name)
        return found


def with_rules(
    identities: Mapping[Variant, Identity], items: Sequence[Heard], catalogue: Catalogue, rules: Sequence[Document]
) -> dict[Variant, Identity]:
    """The identities with artists joined and names replaced."""
    rules = sorted(rules, key=lambda rule: str(rule["_id"]))
    artists = _Artists.of(identities, items, catalogue, rules)
    renamings = [rule["rename"] for rule in rules if rule["kind"] == "rename"]
    names = artists.names(each for each in renamings if each["what"] == "artist")
    song_of = {variant[0]: who.song_id for variant, who in identities.items()}
    of_tracks = [(each["spotify_id"], each["shown_name"]) for each in renamings if each["what"] == "track"]
    shown_ids = [(track, name) for track, name in of_tracks if song_of.get(track) == track]
    titles = {song_of.get(track, ""): name for track, name in (*of_tracks[::-1], *shown_ids[::-1])}
    found = {}
    for variant, who in identities.items():
        key = who.artist_key
        changed: dict[str, Any] = {"name": titles.get(who.song_id, who.name)}
        if key is not None:
            first = artists.first(key)
            spotify_id, name, image_url = artists.shown[first]
            name = names.get(first, name)
            changed["artist_key"], changed["shown_artist"] = first, (spotify_id, name, image_url)
            changed["genre_artists"] = tuple(
                sorted({artists.shown[each][0] for each in artists.together[key] if each in artists.primary})
            )
            of_track = {identities[each].artist_key for each in identities if each[0] == variant[0]}
            is_new = first in names or len(artists.together[key]) > 1
            if is_new and {each and artists.first(each) for each in of_track} == {first}:
                changed["artist_of_track"] = name
        found[variant] = replace(who, **changed)
    return _with_album_names(found, catalogue, [each for each in renamings if each["what"] == "album"])


def credited_with_rules(
    identities: Mapping[Variant, Identity], items: Sequence[Heard], catalogue: Catalogue, rules: Sequence[Document]
) -> Callable[[Heard], dict[str, Artist]]:
    """Who is credited with a play, by key, with artists joined and renamed; a play of several joined ones counts once.

    `identities` are those without rules.
    """
    rules = sorted(rules, key=lambda rule: str(rule["_id"]))
    artists = _Artists.of(identities, items, catalogue, rules)
    names = artists.names(
        rule["rename"] for rule in rules if rule["kind"] == "rename" and rule["rename"]["what"] == "artist"
    )

    def credited(item: Heard) -> dict[str, Artist]:
        firsts = {artists.first(key) for key in credited_on(item, identities, catalogue)}
        shown = {key: artists.shown[key] for key in firsts}
        return {key: (spotify_id, names.get(key, name), url) for key, (spotify_id, name, url) in shown.items()}

    return credited


def _meant(ref: Mapping[str, str], shown: Mapping[Any, tuple[str, ...]]) -> set[Any]:
    found = set()
    for key, (spotify_id, name, *_) in shown.items():
        if ref["spotify_id"] and spotify_id:
            if ref["spotify_id"] == spotify_id:
                found.add(key)
        elif ref["name"] and alike(ref["name"], name):
            found.add(key)
    return found


def _with_album_names(
    identities: dict[Variant, Identity], catalogue: Catalogue, renamings: Sequence[Document]
) -> dict[Variant, Identity]:
    albums = {}
    for who in identities.values():
        if who.album_key is not None:
            entry = catalogue.albums.get(who.album_id)
            spelt = album_spellings(identities)[who.album_key]
            albums[who.album_key] = (who.album_id, entry.name if entry else spelt)
    names: dict[Any, str] = {}
    for renaming in renamings:
        for key in _meant(renaming, albums):
            names.setdefault(key, renaming["shown_name"])
    return {
        variant: replace(who, shown_album=names[who.album_key]) if who.album_key in names else who
        for variant, who in identities.items()
    }
