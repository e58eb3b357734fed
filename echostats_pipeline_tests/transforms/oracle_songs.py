"""Oracle for songs: which ids of tracks are one song, by comparing every track with every other.

`TITLES` has the titles that generated tests use, as a person reads them.

Where the contract leaves a choice, these rules hold:

- Tracks are joined by ISRC first, then by title and artist. Tracks of one ISRC (or title) are taken in the order of
  their ids; each joins the first song of these that nothing in it contradicts. ISRCs and titles are taken in the order
  of their smallest id.
- Tracks of one title fall into groups by length: the shortest begins a group of two seconds, and the shortest of the
  rest begins the next. A track of unknown length belongs to the most played group, of equals to that with the smallest
  id.
- Names alone mean the only artist of the user who has that name and an id; letters and digits are compared. "Various
  Artists" is no artist whose titles could be compared.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import NamedTuple

import polars as pl

from echostats_pipeline.transforms.titles import edition_of, is_generic, read_title, stem

VARIOUS_ARTISTS = "0LyfQWJT6nXafLPZqxe9Of"

NEAR_MS = 2_000


class Reading(NamedTuple):
    """A title as a person reads it: the song, versions of it, further words, of which edit it is, signs in its name."""

    name: str
    versions: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    edit: str = ""
    spelling: str = ""


TITLES = {
    "Smells": Reading("smells"),
    "SMELLS": Reading("smells"),
    "Smells - Remastered 2011": Reading("smells"),
    "Smells (feat. Guest)": Reading("smells"),
    "Smells - Live": Reading("smells", frozenset({"live"})),
    "Smells (Live)": Reading("smells", frozenset({"live"})),
    "Smells - Someone Remix": Reading("smells", frozenset({"remix"}), ("someoneremix",)),
    "Smells - Other Remix": Reading("smells", frozenset({"remix"}), ("otherremix",)),
    "Smells - Radio Edit": Reading("smells", edit="radio"),
    "Smells!": Reading("smells", spelling="smells!"),
    "Smells#": Reading("smells#"),
    "Intro": Reading("intro"),
}


@dataclass(frozen=True)
class SongFacts:
    """What is known of a track id, and how much a user has played it. Empty texts and a length of 0 are unknown."""

    track_id: str
    name: str
    artist_id: str
    artist_name: str
    album_name: str
    duration_ms: int
    isrc: str
    plays: int
    ms: int


def song_ids(
    tracks: Sequence[SongFacts], same: Sequence[Sequence[str]] = (), different: Sequence[Sequence[str]] = ()
) -> dict[str, list[str]]:
    """All ids of the song of each id: the one that shows it first, then by plays, time and id.

    Args:
        tracks: The tracks of a user.
        same: Ids that a rule joins; a song then has all of them, and what fits one of them fits all.
        different: Ids that a rule keeps apart.
    """
    tracks = sorted(tracks, key=lambda track: track.track_id)
    ruled = _ruled(same)
    with_ids = {track: ruled(track.track_id) for track in tracks}
    together = {track: tuple(each for each in tracks if each.track_id in ids) for track, ids in with_ids.items()}
    apart = [set(pair) for ids in different for pair in combinations(ids, 2)]
    song_of: dict[SongFacts, list[SongFacts]] = {}
    for track in tracks:
        song = song_of.get(track, list(together[track]))
        song_of.update((each, song) for each in together[track])

    def contradict(one: SongFacts, two: SongFacts) -> bool:
        pairs = [(left, right) for left in together[one] for right in together[two]]
        if any({left.track_id, right.track_id} in apart for left, right in pairs):
            return True
        return all(_contradict(*pair) for pair in pairs)

    for alike in _by(tracks, _isrc):
        _join(alike, song_of, contradict)
    artists: dict[str, set[str]] = defaultdict(set)
    for track in tracks:
        artists[_letters(track.artist_name)] |= {track.artist_id} - {"", VARIOUS_ARTISTS}
    for alike in _by(tracks, lambda track: _title(track, artists[_letters(track.artist_name)])):
        for group in _by_length(alike):
            _join(group, song_of, contradict)
    shown_first = {
        track: sorted(song, key=lambda track: (-track.plays, -track.ms, track.track_id))
        for track, song in song_of.items()
    }
    return {track.track_id: [each.track_id for each in song] for track, song in shown_first.items()}


def _by(tracks: Sequence[SongFacts], key: Callable[[SongFacts], object]) -> list[list[SongFacts]]:
    """The tracks by key, without those that have none."""
    found: dict[object, list[SongFacts]] = defaultdict(list)
    for track in tracks:
        if key(track):
            found[key(track)].append(track)
    return list(found.values())


def _ruled(same: Sequence[Sequence[str]]) -> Callable[[str], set[str]]:
    """The ids that rules join with an id, directly or through others."""

    def joined(track_id: str) -> set[str]:
        found = {track_id}
        while more := {each for ids in same if found & set(ids) for each in ids} - found:
            found |= more
        return found

    return joined


def _join(
    alike: Sequence[SongFacts],
    song_of: dict[SongFacts, list[SongFacts]],
    contradict: Callable[[SongFacts, SongFacts], bool],
) -> None:
    """Join each track with the first song of these tracks that it does not contradict."""
    met: list[SongFacts] = []
    for track in alike:
        mine = song_of[track]
        for other in met:
            its = song_of[other]
            if mine is its:
                break
            if not any(contradict(one, two) for one in mine for two in its):
                its.extend(mine)
                song_of.update(dict.fromkeys(mine, its))
                break
        else:
            met.append(track)


def _isrc(track: SongFacts) -> str:
    code = track.isrc.upper().replace("-", "")
    digits = code[5:]
    is_code = len(code) == 12 and code[:2].isalpha() and code[:2] != "XX" and digits.isdecimal() and int(digits) > 0
    return code if is_code and code.isascii() else ""


def _contradict(one: SongFacts, two: SongFacts) -> bool:
    isrcs = {_isrc(one), _isrc(two)} - {""}
    same_isrc = len(isrcs) == 1 and _isrc(one) == _isrc(two)
    known = one.duration_ms > 0 and two.duration_ms > 0
    near = known and abs(one.duration_ms - two.duration_ms) <= NEAR_MS
    if _versions(one) != _versions(two) or (len(isrcs) > 1 and known and not near):
        return True
    first, second = _read(one.name), _read(two.name)
    if first.versions and first.words and second.words and first.words != second.words:
        return True
    if near:
        return False
    spellings = {each.spelling or each.name for each in (first, second)}
    return first.edit != second.edit or (not same_isrc and len(spellings) > 1)


def _title(track: SongFacts, of_name: set[str]) -> tuple[object, ...] | None:
    """What tracks of one title share; `of_name` are the ids of the artists of this name."""
    read = _read(track.name)
    if not (read.name and (track.artist_id or track.artist_name)) or track.artist_id == VARIOUS_ARTISTS:
        return None
    artist = track.artist_id or (next(iter(of_name)) if len(of_name) == 1 else f"name {_letters(track.artist_name)}")
    return (
        artist,
        read.name,
        _versions(track),
        read.words,
        edition_of(track.album_name) if is_generic(read.name) else "",
    )


def _versions(track: SongFacts) -> frozenset[str]:
    return _read(track.name).versions | read_title("", track.album_name).versions


@cache
def _read(title: str) -> Reading:
    """A title of `TITLES`, or one of a real history: how these are read is tested in `test_titles`."""
    title = title.removesuffix(" (with Guest)").strip('"')
    if title in TITLES:
        return TITLES[title]
    read = read_title(title)
    return Reading(pl.select(stem(pl.lit(title))).item(), read.versions, read.details, read.edit, read.spelling)


def _letters(text: str) -> str:
    low = unicodedata.normalize("NFKC", text).lower().removesuffix(" feat. guest")
    return "".join(filter(str.isalnum, low)) or low


def _by_length(tracks: Sequence[SongFacts]) -> list[list[SongFacts]]:
    lengths = sorted(track.duration_ms for track in tracks if track.duration_ms)
    groups: list[list[SongFacts]] = []
    while lengths:
        within = [length for length in lengths if length - lengths[0] <= NEAR_MS]
        members = [track for track in tracks if track.duration_ms in within]
        groups.append(sorted(members, key=lambda track: (track.duration_ms, track.track_id)))
        lengths = [length for length in lengths if length not in within]
    unknown = [track for track in tracks if not track.duration_ms]
    if not groups:
        return [unknown]
    min(groups, key=lambda group: (-sum(each.plays for each in group), min(each.track_id for each in group))).extend(
        unknown
    )
    return groups
