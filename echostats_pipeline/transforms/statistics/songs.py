"""Finds the recordings that one user has played under several ids of tracks: one song is one song.

Ids are joined by, in this order: a rule of the user, the ISRC, the same title and primary artist. These keep ids apart:

- a rule of the user (stronger than ISRC and title);
- different versions: live, remix, cover, instrumental and the like (`titles`), or such of other people, places or
  years, whatever their ISRC;
- ISRCs and lengths that both differ;
- lengths more than `SAME_LENGTH_MS` apart, if only title and artist agree;
- where a length is unknown, and only title and artist agree: other words or signs (``What!`` and ``What?``), edits of
  different kinds, and live albums;
- albums, if only title and artist agree and the title says nothing (``Intro``).

The result depends neither on the order of rows nor on other users. Most ids have no other id like them; only the few
that have are compared one by one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import product
from typing import Literal, NamedTuple

import polars as pl

from echostats_pipeline.transforms.isrcs import well_formed
from echostats_pipeline.transforms.statistics.credits import VARIOUS_ARTISTS_ID
from echostats_pipeline.transforms.titles import (
    Title,
    album_versions,
    artist_stem,
    edition_of,
    is_generic,
    name_other_versions,
    read_title,
    stem,
    years_of,
)

SAME_LENGTH_MS = 2_000
"""Lengths of one recording on several releases differ by no more."""
Why = Literal["shown", "rule", "isrc", "length", "title"]
"""Why an id belongs to its song.

``shown``: it stands for the song. ``length``: title, artist and length. ``title``: title and artist, because a length
is unknown.
"""
NOBODY = (
    "various",
    "variousartists",
    "variosartistas",
    "váriosartistas",
    "verschiedeneinterpreten",
    "artistivari",
    "multiinterprètes",
    "unknown",
    "unknownartist",
)
"""Names that stand where no artist is known, in the form of `artist_stem`."""
Pairs = Collection[tuple[str, str]]
"""Pairs of track ids."""


class Rules(NamedTuple):
    """What a user has decided: pairs of ids that are one song, and pairs that are not."""

    same: Pairs = ()
    different: Pairs = ()


NO_RULES = Rules()
SONGS_SCHEMA = pl.Schema({"song": pl.String(), "place": pl.UInt32(), "track_id": pl.String(), "why": pl.String()})
"""Ids that share a song with another id; `song` is the id under which it is shown, which has `place` 0."""


class Known(NamedTuple):
    """What decides whether a track is the same song as another; `plays` and `ms` are this user's, over all time."""

    track_id: str
    artist: str
    stem: str
    title: Title
    album: str
    isrc: str
    length_ms: int
    plays: int
    ms: int

    @property
    def title_key(self) -> tuple[object, ...] | None:
        """What the titles of one song share; None for a track without title or artist."""
        if not (self.artist and self.stem):
            return None
        album = edition_of(self.album) if is_generic(self.stem) else ""
        return self.artist, self.stem, self.title.details, self.title.versions, album

    @property
    def rank(self) -> tuple[int, int, str]:
        """The order in which the ids of a song are preferred: most plays, then most time, then the smallest id."""
        return -self.plays, -self.ms, self.track_id


def alike(tracks: pl.DataFrame, rules: Rules = NO_RULES) -> pl.DataFrame:
    """The tracks that may share a song with another one, in order of id, with ``artist`` and ``stem``.

    Args:
        tracks: One row per track id: ``track_id``, ``name``, ``artist_id``, ``artist_name``, ``isrc`` and any others.
            Texts are empty where unknown.
        rules: Rules of the user.
    """
    compared = tracks.with_columns(
        artist=_artists(tracks),
        stem=stem(pl.col("name")),
        isrc=well_formed(pl.col("isrc")),
    )
    same_isrc = (pl.col("isrc") != "") & pl.col("isrc").is_duplicated()
    same_title = (pl.col("artist") != "") & (pl.col("stem") != "") & pl.struct("artist", "stem").is_duplicated()
    ruled = pl.Series([track_id for pair in rules.same for track_id in pair], dtype=pl.String)
    return compared.filter(same_isrc | same_title | pl.col("track_id").is_in(ruled.implode())).sort("track_id")


def songs(tracks: pl.DataFrame, rules: Rules = NO_RULES) -> pl.DataFrame:
    """The ids that share a song with another one, as `SONGS_SCHEMA`, in order of song and place.

    Args:
        tracks: As `alike` returns them, with ``album_name``, ``duration_ms`` (0 if unknown), ``plays`` and ``ms``.
        rules: Rules of the user.
    """
    columns = ("track_id", "artist", "stem", "name", "album_name", "isrc", "duration_ms", "plays", "ms")
    known = [
        Known(track_id, artist, title_stem, read_title(name, album), album, *rest)
        for track_id, artist, title_stem, name, album, *rest in tracks.select(columns).sort("track_id").iter_rows()
    ]
    joining = _Joining(known, rules)
    for alike_in_isrc in _grouped((each.isrc or None, each) for each in known):
        joining.join(alike_in_isrc)
    for alike_in_title in _grouped((each.title_key, each) for each in known):
        for of_one_length in _by_length(alike_in_title):
            joining.join(of_one_length)
    rows = []
    for song in joining.several():
        shown, *others = sorted(song, key=lambda each: each.rank)
        rows.append((shown.track_id, 0, shown.track_id, "shown"))
        rows += [
            (shown.track_id, place, each.track_id, _why(each, song, joining))
            for place, each in enumerate(others, start=1)
        ]
    return pl.DataFrame(rows, schema=SONGS_SCHEMA, orient="row").sort("song", "place")


class _Joining:
    """Songs as they are joined. A song consists of atoms: tracks that a rule has joined, or single tracks."""

    def __init__(self, known: Sequence[Known], rules: Rules) -> None:
        self._different = {frozenset(pair) for pair in rules.different}
        atoms = _ruled_atoms({each.track_id: each for each in known}, rules.same)
        self.atom_of = {each: atom for atom in atoms for each in atom}
        self._song_of: dict[Known, list[tuple[Known, ...]]] = {}
        for atom in atoms:
            song = [atom]
            self._song_of |= dict.fromkeys(atom, song)

    def join(self, tracks: Iterable[Known]) -> None:
        """Join tracks, each with the first of them whose song it does not contradict."""
        songs: list[list[tuple[Known, ...]]] = []
        for each in tracks:
            mine = self._song_of[each]
            if any(mine is song for song in songs):
                continue
            found = next((song for song in songs if not self._contradict(song, mine)), None)
            if found is None:
                songs.append(mine)
                continue
            found.extend(mine)
            for atom in mine:
                for member in atom:
                    self._song_of[member] = found

    def several(self) -> list[list[Known]]:
        """The songs with several tracks."""
        songs = {id(song): song for song in self._song_of.values()}
        members = ([each for atom in song for each in atom] for song in songs.values())
        return [song for song in members if len(song) > 1]

    def _contradict(self, one: list[tuple[Known, ...]], other: list[tuple[Known, ...]]) -> bool:
        return any(self._atoms_contradict(*atoms) for atoms in product(one, other))

    def _atoms_contradict(self, one: tuple[Known, ...], other: tuple[Known, ...]) -> bool:
        pairs = list(product(one, other))
        if any(frozenset((left.track_id, right.track_id)) in self._different for left, right in pairs):
            return True
        return all(_are_different(left, right) for left, right in pairs)


def _are_different(one: Known, other: Known) -> bool:
    """Whether two tracks cannot be one recording, however alike their titles or ISRCs are."""
    lengths_known, near = one.length_ms > 0 and other.length_ms > 0, _near(one, other)
    same_isrc = one.isrc != "" and one.isrc == other.isrc
    isrcs_differ = "" not in {one.isrc, other.isrc} and not same_isrc
    return (
        one.title.versions != other.title.versions
        or name_other_versions(one.title.named, other.title.named)
        or (one.title.edit != other.title.edit and not near)
        or (isrcs_differ and lengths_known and not near)
        or (not same_isrc and not near and one.title.spelling != other.title.spelling)
        or (not same_isrc and _on_other_live_albums(one.album, other.album, near=near))
    )


def _on_other_live_albums(one: str, other: str, *, near: bool) -> bool:
    """Whether both albums are of versions, but of other ones: of other years, or the lengths do not say otherwise."""
    if not (album_versions(one) and album_versions(other)) or edition_of(one) == edition_of(other):
        return False
    return not near or name_other_versions(years_of(one), years_of(other))


def _near(one: Known, other: Known) -> bool:
    """Whether both lengths are known, and as near as those of one recording."""
    return min(one.length_ms, other.length_ms) > 0 and abs(one.length_ms - other.length_ms) <= SAME_LENGTH_MS


def _ruled_atoms(known: dict[str, Known], same: Pairs) -> list[tuple[Known, ...]]:
    """The tracks that rules join, and every other track alone; ids that were never played can connect others."""
    group_of: dict[str, set[str]] = {track_id: {track_id} for track_id in known}
    for one, other in sorted(same):
        merged = group_of.get(one, {one}) | group_of.get(other, {other})
        group_of |= dict.fromkeys(merged, merged)
    groups = {id(group): group for group in group_of.values()}
    played = (tuple(known[track_id] for track_id in sorted(group) if track_id in known) for group in groups.values())
    return [atom for atom in played if atom]


def _by_length(tracks: Sequence[Known]) -> list[list[Known]]:
    """Tracks of one title in groups of one length; those of unknown length are in the most played group."""
    groups: list[list[Known]] = []
    for each in sorted((each for each in tracks if each.length_ms), key=lambda each: (each.length_ms, each.track_id)):
        if not groups or each.length_ms - groups[-1][0].length_ms > SAME_LENGTH_MS:
            groups.append([])
        groups[-1].append(each)
    unknown = [each for each in tracks if not each.length_ms]
    if not groups:
        return [unknown]
    most_played = min(
        groups, key=lambda group: (-sum(each.plays for each in group), min(each.track_id for each in group))
    )
    most_played.extend(unknown)
    return groups


def _grouped(keyed: Iterable[tuple[object, Known]]) -> list[list[Known]]:
    """Tracks that share a key, where several do; a key of None is none."""
    groups: dict[object, list[Known]] = defaultdict(list)
    for key, each in keyed:
        if key is not None:
            groups[key].append(each)
    return [group for group in groups.values() if len(group) > 1]


def _why(each: Known, song: Sequence[Known], joining: _Joining) -> Why:
    if len(joining.atom_of[each]) > 1:
        return "rule"
    others = [other for other in song if other is not each]
    if each.isrc and any(other.isrc == each.isrc for other in others):
        return "isrc"
    return "length" if any(_near(each, other) for other in others) else "title"


def _artists(tracks: pl.DataFrame) -> pl.Expr:
    """The primary artists: their ids; names where no id is known, or the only id of an artist with that name."""
    by_id = pl.when(pl.col("artist_id") != VARIOUS_ARTISTS_ID).then("artist_id").otherwise(pl.lit(""))
    if (tracks["artist_id"] != "").all():
        return by_id
    names = tracks.select("artist_id", "artist_name").unique().with_columns(name=artist_stem(pl.col("artist_name")))
    named = names.filter(~pl.col("artist_id").is_in(["", VARIOUS_ARTISTS_ID]) & (pl.col("name") != ""))
    only = named.group_by("name").agg(pl.col("artist_id").unique()).filter(pl.col("artist_id").list.len() == 1)
    nameless = names.filter(pl.col("artist_id") == "").join(
        only.select("name", only="artist_id").explode("only"), on="name", how="left"
    )
    keys = nameless.select(
        "artist_name",
        key=pl.when(pl.col("name").is_in(["", *NOBODY]))
        .then(pl.lit(""))
        .otherwise(pl.coalesce("only", pl.lit("name:") + pl.col("name"))),
    )
    found = pl.col("artist_name").replace_strict(keys["artist_name"], keys["key"], default="", return_dtype=pl.String)
    return pl.when(pl.col("artist_id") == "").then(found).otherwise(by_id)
