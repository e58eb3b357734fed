"""Oracle for songs: which ids of tracks are one song, by comparing every track with every other.

`TITLES` has the titles that the tests use, as a person reads them. Any other title is a song of its own name.

Where the contract leaves a choice, these rules hold:

- Tracks are joined by ISRC first, then by title and artist. Tracks of one ISRC (or title) are taken in the order of
  their ids; each joins the first song of these that nothing in it contradicts. ISRCs and titles are taken in the order
  of their smallest id.
- Tracks of one title fall into groups by length: the shortest begins a group of two seconds, and the shortest of the
  rest begins the next. A track of unknown length belongs to the most played group, of equals to that with the smallest
  id.
- Names alone mean the only artist of the user who has that name and an id; letters and digits are compared.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

NEAR_MS = 2_000
TITLES = {
    "Smells": ("smells", "", ""),
    "SMELLS": ("smells", "", ""),
    "Smells - Remastered 2011": ("smells", "", ""),
    "Smells (feat. Guest)": ("smells", "", ""),
    "Smells - Live": ("smells", "live", ""),
    "Smells (Live)": ("smells", "live", ""),
    "Smells - Someone Remix": ("smells", "remix", "someoneremix"),
    "Intro": ("intro", "", ""),
}
"""The song that a title names, the version of it, and any further words."""
SAY_NOTHING = {"intro"}


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


def song_ids(tracks: Sequence[SongFacts]) -> dict[str, list[str]]:
    """All ids of the song of each id: the one that shows it first, then by plays, time and id."""
    tracks = sorted(tracks, key=lambda track: track.track_id)
    songs: list[list[SongFacts]] = [[track] for track in tracks]

    def join(alike: Sequence[SongFacts]) -> None:
        met: list[SongFacts] = []
        for track in alike:
            for other in met:
                mine, its = _song(songs, track), _song(songs, other)
                if mine is its:
                    break
                if not any(_contradict(one, two) for one in mine for two in its):
                    its.extend(mine)
                    songs.remove(mine)
                    break
            else:
                met.append(track)

    for isrc in dict.fromkeys(_isrc(track) for track in tracks):
        if isrc:
            join([track for track in tracks if _isrc(track) == isrc])
    keys = {track.track_id: _title(track, tracks) for track in tracks}
    for key in dict.fromkeys(keys.values()):
        if key is not None:
            for group in _by_length([track for track in tracks if keys[track.track_id] == key]):
                join(group)
    for song in songs:
        song.sort(key=lambda track: (-track.plays, -track.ms, track.track_id))
    return {track.track_id: [each.track_id for each in song] for song in songs for track in song}


def _song(songs: list[list[SongFacts]], track: SongFacts) -> list[SongFacts]:
    return next(song for song in songs if track in song)


def _isrc(track: SongFacts) -> str:
    return track.isrc.upper().replace("-", "")


def _contradict(one: SongFacts, two: SongFacts) -> bool:
    isrcs = {_isrc(one), _isrc(two)} - {""}
    lengths = {one.duration_ms, two.duration_ms} - {0}
    far = len(lengths) > 1 and max(lengths) - min(lengths) > NEAR_MS
    return _read(one.name)[1] != _read(two.name)[1] or (len(isrcs) > 1 and far)


def _title(track: SongFacts, tracks: Sequence[SongFacts]) -> tuple[str, ...] | None:
    artist = track.artist_id
    if not artist:
        of_name = {each.artist_id for each in tracks if _letters(each.artist_name) == _letters(track.artist_name)} - {
            ""
        }
        artist = next(iter(of_name)) if len(of_name) == 1 else f"name {_letters(track.artist_name)}"
        if not track.artist_name:
            return None
    name, version, words = _read(track.name)
    if not name:
        return None
    return artist, name, version, words, _letters(track.album_name) if name in SAY_NOTHING else ""


def _read(title: str) -> tuple[str, str, str]:
    title = title.removesuffix(" (with Guest)").strip('"')
    return TITLES.get(title, (_letters(title), "", ""))


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
