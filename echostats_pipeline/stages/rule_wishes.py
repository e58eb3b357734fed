"""Turns what a user types into a rule: links, ids and names into tracks, artists, albums and playlists of theirs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Literal, cast

import polars as pl
from pydantic import ValidationError

from echostats_pipeline.errors import RuleError
from echostats_pipeline.model.catalog import AlbumRef, ArtistRef
from echostats_pipeline.model.rules import DAYS_A_WEEK, HOURS_A_DAY, Exclusion, Renaming, Rule, RuleKind, reason_of
from echostats_pipeline.stages.rules import RuleBook
from echostats_pipeline.transforms.history.identity import MADE_UP, folded_name
from echostats_pipeline.transforms.rule_texts import WEEKDAYS
from echostats_pipeline.transforms.statistics.own_rules import KnownArtist

ID = r"(?P<id>[0-9A-Za-z]{22})"
URI = re.compile(rf"spotify:(user:[^:]+:)?(?P<kind>[a-z]+):{ID}")
LINK = re.compile(rf"https?://(open|play)\.spotify\.com/([\w-]+/)*?(?P<kind>[a-z]+)/{ID}/?([?#].*)?")
BARE = re.compile(ID)
HOURS = re.compile(r"(?P<first>\d{1,2})(:00)?\s*(-|\N{EN DASH}|to)\s*(?P<end>\d{1,2})(:00)?")
SHORT_DAY = 3
"""Letters that name a weekday."""
MOST_QUOTED = 100
"""Most characters of what was typed that a message repeats."""
MOST_NAMED = 5
"""Most names that a message lists."""

Kind = Literal["track", "artist", "album", "playlist"]


@dataclass(frozen=True)
class Conditions:
    """The conditions of a rule that leaves plays out, as typed; empty if not given."""

    artist: str = ""
    album: str = ""
    tracks: Sequence[str] = ()
    context: str = ""
    hours: str = ""
    weekdays: str = ""
    from_date: date | None = None
    to_date: date | None = None
    private_session: bool = False


class Wishes:
    """Makes rules of one user from what was typed; every method raises `RuleError` with the reason if it cannot."""

    def __init__(self, book: RuleBook, note: str = "") -> None:
        self._book = book
        self._note = note
        self._key = book.user.partition_key

    def exclude(self, wish: Conditions) -> Rule:
        """A rule that leaves out the plays for which all conditions hold."""
        first, end = _hours(wish.hours) if wish.hours else (None, None)
        if wish.from_date and wish.to_date and wish.from_date > wish.to_date:
            raise RuleError(f"--from {wish.from_date} is after --to {wish.to_date}. Exchange them.")
        album = self._album(wish.album) if wish.album else None
        conditions = {
            "artist": self._artist(wish.artist) if wish.artist else None,
            "album": album,
            "track_ids": list(dict.fromkeys(track for typed in wish.tracks for track in self._tracks(typed))),
            "context_uri": self._context(wish.context) if wish.context else "",
            "from_hour": first,
            "to_hour": end,
            "weekdays": _weekdays(wish.weekdays) if wish.weekdays else [],
            "from_date": wish.from_date.isoformat() if wish.from_date else "",
            "to_date": wish.to_date.isoformat() if wish.to_date else "",
            "private_session": wish.private_session,
        }
        if not any(conditions.values()) and first is None:
            raise RuleError(
                "A rule without a condition would leave out every play. Give at least one: --artist, --album, --track, "
                "--playlist, --hours, --weekdays, --from, --to or --private."
            )
        return self._rule("exclude", exclude=Exclusion(**conditions))

    def same_song(self, typed: Sequence[str]) -> Rule:
        """A rule that counts tracks as one song."""
        return self._rule("same_song", track_ids=self._several(typed))

    def different(self, typed: Sequence[str]) -> Rule:
        """A rule that never counts tracks as one song."""
        return self._rule("different", track_ids=self._several(typed))

    def same_artist(self, typed: Sequence[str]) -> Rule:
        """A rule that counts artists as one."""
        return self._rule("same_artist", artists=[self._artist(each, credited=True) for each in typed])

    def rename(self, what: Literal["track", "artist", "album"], typed: str, shown_name: str) -> Rule:
        """A rule that shows a track, an artist or an album under another name."""
        shown = " ".join(shown_name.split())
        if not shown:
            raise RuleError(f"The new name is empty. Give the name under which the {what} is to be shown.")
        if what == "track":
            track = self._one_track(typed)
            ref = ArtistRef(spotify_id=track, name=self._shown(pl.Series([track])).item(0, "name"))
        else:
            found = self._artist(typed, credited=True) if what == "artist" else self._album(typed)
            ref = ArtistRef(spotify_id=found.spotify_id, name=found.name)
        if ref.name == shown:
            raise RuleError(f"{shown} is the name of this {what} already.")
        return self._rule("rename", rename=Renaming(what=what, shown_name=shown, **ref.model_dump()))

    def names_in(self, rule: Rule) -> dict[str, str]:
        """How the tracks of a rule are called, by id, and the context of its plays, by uri."""
        tracks = [*(rule.track_ids or ()), *(rule.exclude.track_ids if rule.exclude else ())]
        if rule.rename is not None and rule.rename.what == "track":
            tracks.append(rule.rename.spotify_id)
        names = self.titles(tracks) if tracks else {}
        if rule.exclude is not None and (uri := rule.exclude.context_uri) and (name := self._context_name(uri)):
            names[uri] = name
        return names

    def titles(self, track_ids: Iterable[str]) -> dict[str, str]:
        """How tracks of the user are called, with the artists that rankings show: ``Title by Artist``, by id."""
        return {
            track: f"{title} by {artist}" if artist else title
            for track, title, artist in self._shown(pl.Series(list(track_ids), dtype=pl.String)).iter_rows()
        }

    def unknown(self, rule: Rule) -> str:
        """Why a rule names nothing in the plays of the user; empty if all that it names is there."""
        try:
            self._check_known(rule)
        except RuleError as error:
            return str(error)
        return ""

    def _check_known(self, rule: Rule) -> None:
        conditions, renaming = rule.exclude or Exclusion.model_construct(), rule.rename
        if conditions.artist is not None:
            self._meant(conditions.artist, credited=False)
        if conditions.album is not None:
            self._spelt("album_name", conditions.album.name, "album")
        if conditions.context_uri:
            self._context(conditions.context_uri)
        for track in (*conditions.track_ids, *(rule.track_ids or ())):
            self._tracks(track)
        for artist in rule.artists or ():
            self._meant(artist, credited=True)
        if renaming is not None and renaming.what == "artist":
            self._meant(ArtistRef(spotify_id=renaming.spotify_id, name=renaming.name), credited=True)
        elif renaming is not None and renaming.what == "album":
            self._spelt("album_name", renaming.name, "album")
        elif renaming is not None:
            self._tracks(renaming.spotify_id)

    def _rule(self, kind: RuleKind, **content: object) -> Rule:
        try:
            return Rule.model_validate(
                {"user_id": self._book.user.user_id, "kind": kind, "note": self._note, **content}
            )
        except ValidationError as error:
            raise RuleError(f"The rule is not possible: {reason_of(error)}.") from None

    def _several(self, typed: Sequence[str]) -> list[str]:
        return [self._one_track(each) for each in typed]

    def _one_track(self, typed: str) -> str:
        found = self._tracks(typed)
        if len(found) > 1:
            raise RuleError(
                f"{self._key} has played {len(found)} tracks called {_quoted(typed)}. "
                f"Name one by its id: {_some(found)}"
            )
        return found[0]

    def _tracks(self, typed: str) -> list[str]:
        """The ids of a track: one, or all that have this title, if they are by one artist."""
        plays = self._book.plays
        track = typed if typed.startswith(MADE_UP) else _id_of(typed, "track")
        if track:
            if plays.filter(pl.col("track_id") == track).is_empty():
                raise RuleError(f"{self._key} has not played the track {track}. Look at the link or the id again.")
            return [track]
        named = plays.filter(pl.col("track_name").is_in(self._spelt("track_name", typed, "track")))
        found = self._shown(named["track_id"].unique()).sort("track_id")
        artists = {folded_name(artist): f"{track_id} by {artist}" for track_id, _, artist in found.iter_rows()}
        if len(artists) > 1:
            several = _some([*artists.values()])
            raise RuleError(
                f"{len(artists)} artists have a track called {_quoted(typed)}. Name one by its id: {several}"
            )
        return found["track_id"].to_list()

    def _shown(self, track_ids: pl.Series) -> pl.DataFrame:
        """Tracks with their own titles, and the artists that rankings show: ``track_id``, ``name``, ``artist_name``."""
        wanted = pl.col("track_id").is_in(track_ids.implode())
        own, shown = (each.names.filter(wanted) for each in (self._book.heard, self._book.shown))
        artists = shown.select("track_id", "artist_name")
        return own.select("track_id", "name").join(artists, on="track_id", maintain_order="left").collect()

    def _artist(self, typed: str, *, credited: bool = False) -> ArtistRef:
        """The artist under which plays are counted, also one whom tracks only credit if `credited`.

        A name means all artists of that name. If there is only one with an id, the rule gets the id.
        """
        spotify_id = _id_of(typed, "artist")
        known = next((each.name for each in self._book.artists if spotify_id and each.spotify_id == spotify_id), "")
        name = known or (self._name_of("artists", spotify_id, "artist") if spotify_id else typed)
        meant = self._meant(ArtistRef(spotify_id=spotify_id, name=name), credited=credited)
        names = {folded_name(each.name) for each in meant}
        if len(names) > 1:
            several = _some([f"{each.spotify_id or 'no id'} is {each.name}" for each in meant])
            raise RuleError(
                f"{len(names)} artists are shown as {_quoted(typed)}. Name one by its id or own name: {several}"
            )
        ids = {each.spotify_id for each in meant} - {""}
        return ArtistRef(spotify_id=spotify_id or (ids.pop() if len(ids) == 1 else ""), name=meant[0].name)

    def _meant(self, artist: ArtistRef, *, credited: bool) -> list[KnownArtist]:
        """The artist with an id; else all with the name, of whom only the name is known if there is an id."""
        known = [each for each in self._book.artists if each.is_primary or credited]
        if artist.spotify_id and (same := [each for each in known if each.spotify_id == artist.spotify_id]):
            return same
        called = [each for each in _called(artist.name, known) if not (artist.spotify_id and each.spotify_id)]
        if not called:
            raise self._unknown("artist", artist.name, [each.shown_name for each in known], credited=credited)
        return called

    def _album(self, typed: str) -> AlbumRef:
        spotify_id = _id_of(typed, "album")
        name = self._name_of("albums", spotify_id, "album") if spotify_id else typed
        return AlbumRef(spotify_id=spotify_id, name=self._spelt("album_name", name, "album")[0])

    def _name_of(self, collection: Literal["artists", "albums"], spotify_id: str, what: str) -> str:
        documents = self._book.store.catalog.documents(collection, [spotify_id])
        name = next((document["name"] for document in documents), "")
        if not name:
            raise RuleError(
                f"{self._key} has not played the {what} {spotify_id}, as far as the catalogue knows. "
                f"Look at the link or the id again, or give the name of the {what}."
            )
        return str(name)

    def _spelt(self, column: str, name: str, what: str) -> list[str]:
        """The spellings of a name in the plays of the user, the most played first."""
        counts = self._book.plays.group_by(column).len().sort("len", column, descending=[True, False])
        by_form: dict[str, list[str]] = {}
        for spelling in counts[column].drop_nulls():
            by_form.setdefault(folded_name(spelling), []).append(spelling)
        if found := by_form.get(folded_name(name)) if name.strip() else None:
            return found
        raise self._unknown(what, name, [spellings[0] for spellings in by_form.values()])

    def _unknown(self, what: str, name: str, known: Iterable[str], *, credited: bool = True) -> RuleError:
        """The refusal of a name that is not among the known ones, with those that are like it."""
        by_form = {folded_name(each): each for each in known if each}
        close = [by_form[form] for form in get_close_matches(folded_name(name), by_form)]
        meant = f" Did you mean {_some(close, 'or')}?" if close else ""
        primary = "" if credited else " as the primary artist"
        return RuleError(f"{self._key} has not played the {what} {_quoted(name)}{primary}.{meant}")

    def _context(self, typed: str) -> str:
        """The uri of a playlist, album or artist from which something was played."""
        parsed = _parsed(typed)
        if parsed is None or parsed[0] == "":
            spotify_id = parsed[1] if parsed else self._playlist(typed)
            uri = f"spotify:playlist:{spotify_id}"
        else:
            uri = f"spotify:{parsed[0]}:{parsed[1]}"
        ended = uri.removeprefix("spotify:playlist:")
        known = self._book.plays["context_uri"].unique().drop_nulls()
        playlists = self._playlists()
        if not known.str.ends_with(f":{ended}" if ended != uri else uri).any() and ended not in playlists:
            raise RuleError(f"{self._key} has played nothing from {uri}, and has no such playlist. Look at it again.")
        return uri

    def _context_name(self, uri: str) -> str:
        """How a context is called: ``the playlist Sleep``; empty if it is not known."""
        kind, spotify_id = uri.split(":")[-2:]
        if kind == "playlist":
            name = self._playlists().get(spotify_id, "")
        elif kind in ("album", "artist"):
            found = self._book.store.catalog.documents("albums" if kind == "album" else "artists", [spotify_id])
            name = found[0]["name"] if found else ""
        else:
            name = ""
        return f"the {kind} {name}" if name else ""

    def _playlist(self, name: str) -> str:
        found = [key for key, title in self._playlists().items() if folded_name(title) == folded_name(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise RuleError(
                f"{self._key} has {len(found)} playlists called {_quoted(name)}. Name one by its id: {_some(found)}"
            )
        close = get_close_matches(name, list(self._playlists().values()))
        meant = f" Did you mean {_some(close, 'or')}?" if close else " Give its link or its id."
        raise RuleError(f"{self._key} has no playlist called {_quoted(name)}.{meant}")

    def _playlists(self) -> Mapping[str, str]:
        return self._book.store.library.playlist_names(self._book.user.user_id)


def _called(name: str, artists: Iterable[KnownArtist]) -> list[KnownArtist]:
    """The artists that rankings show under a name; if there are none, those whose own name it is."""
    form, by_shown, by_own = folded_name(name), list[KnownArtist](), list[KnownArtist]()
    for each in artists if name.strip() else ():
        by_shown += [each] * (folded_name(each.shown_name) == form)
        by_own += [each] * (folded_name(each.name) == form)
    return by_shown or by_own


def _parsed(typed: str) -> tuple[str, str] | None:
    """Kind and id of a link, a uri or a bare id (then the kind is empty); None for a name."""
    typed = typed.strip()
    for pattern in (URI, LINK, BARE):
        if found := pattern.fullmatch(typed):
            return found.groupdict().get("kind", ""), found["id"]
    if typed.startswith(("spotify:", "http://", "https://")):
        raise RuleError(f"{typed} is no link or uri of Spotify. Copy it with Share, Copy link.")
    return None


def _id_of(typed: str, what: Kind) -> str:
    """The id in what was typed; empty for a name."""
    parsed = _parsed(typed)
    if parsed is None:
        return ""
    kind, spotify_id = parsed
    if kind not in ("", what):
        article = "an" if kind[0] in "aeiou" else "a"
        raise RuleError(f"{typed} is the link of {article} {kind}, where the link of the {what} is needed.")
    return spotify_id


def _hours(typed: str) -> tuple[int, int]:
    found = HOURS.fullmatch(typed.strip())
    if found is None:
        raise RuleError(f"{_quoted(typed)} are no hours. Write them like 23-7: from 23:00 to 07:00.")
    first, end = int(found["first"]), int(found["end"])
    if first >= HOURS_A_DAY or end > HOURS_A_DAY:
        raise RuleError(f"{_quoted(typed)} are no hours of a day. Hours go from 0 to 24, for example 23-7.")
    if end - first == HOURS_A_DAY:
        raise RuleError(f"{_quoted(typed)} are all hours of the day. Leave --hours out.")
    if first == end % HOURS_A_DAY:
        raise RuleError(f"{_quoted(typed)} is no part of the day: the hours begin and end at {first:02}:00.")
    return first, end % HOURS_A_DAY


def _weekdays(typed: str) -> list[int]:
    days = set[int]()
    for part in typed.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        start, end = (_weekday(each, typed) for each in (first, last or first))
        days |= {day % DAYS_A_WEEK for day in range(start, end + 1 + (DAYS_A_WEEK if end < start else 0))}
    if len(days) == DAYS_A_WEEK:
        raise RuleError(f"{_quoted(typed)} are all days of the week. Leave --weekdays out.")
    return sorted(days)


def _weekday(typed: str, whole: str) -> int:
    found = [number for number, name in enumerate(WEEKDAYS) if name.lower().startswith(typed.lower())]
    if len(typed) < SHORT_DAY or len(found) != 1:
        raise RuleError(f"{_quoted(whole)} are no weekdays. Write them like sat,sun or mon-fri.")
    return found[0]


def _quoted(typed: str) -> str:
    """What was typed, in quotes, cut if nobody could read it."""
    return repr(typed if len(typed) <= MOST_QUOTED else f"{typed[:MOST_QUOTED]}\N{HORIZONTAL ELLIPSIS}")


def _some(names: Sequence[str], joint: str = "") -> str:
    """A few names in a list."""
    shown = list(names[:MOST_NAMED])
    if joint and len(shown) > 1:
        return f"{', '.join(shown[:-1])} {joint} {shown[-1]}"
    return ", ".join(shown) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")


def kind_of(command: str) -> RuleKind:
    """The kind of rule that a command makes: ``same-song`` is `same_song`."""
    return cast(RuleKind, command.replace("-", "_"))
