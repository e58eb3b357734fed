"""A generated history of the size of a heavy listener's: 14 years, 208,934 plays, 41,918 tracks, 9,821 artists.

Documents come one by one, as the pipeline stores them, so that ten times the number needs no more memory. The artist of
a track does not depend on the number of tracks: one catalogue (`benchmarks.catalogue`) serves histories of all sizes.
"""

import hashlib
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

PLAYS, TRACKS, ARTISTS = 208_934, 41_918, 9_821
FIRST, LAST = datetime(2011, 1, 1, tzinfo=UTC), datetime(2024, 12, 31, 23, 59, tzinfo=UTC)
USER_ID = "0123456789abcdef01234567"
DAY_S = 24 * 60 * 60
EVEN_DAYS = 5
"""Number of days with equally many plays in every history: the changed day, and the days its rebuild reads."""
API_EVERY = 20
"""One in this number of plays is known only from the API."""


@dataclass(frozen=True)
class Size:
    """The size of a history."""

    plays: int = PLAYS
    tracks: int = TRACKS

    def times(self, factor: int) -> "Size":
        """The size with this many times as many plays and tracks in the same years."""
        return Size(self.plays * factor, self.tracks * factor)

    @property
    def artists(self) -> int:
        """Number of artists of the tracks."""
        return artist_of(self.tracks - 1) + 1


HEAVY = Size()


@dataclass(frozen=True)
class EvenDays:
    """A day with `plays` plays, like the days around it, however many plays the rest of the history has."""

    middle: date
    plays: int

    @property
    def first_s(self) -> int:
        """Seconds from the beginning of the history to the first of these days."""
        return (self.middle - FIRST.date()).days * DAY_S - EVEN_DAYS // 2 * DAY_S


def history(
    seed: int = 1, size: Size = HEAVY, *, user_id: str = USER_ID, even: EvenDays | None = None
) -> Iterator[dict[str, Any]]:
    """Documents of ``listening_history`` of one user, each track played at least once, in order of time."""
    dice = random.Random(seed)
    # A few tracks are played very often and most tracks hardly ever.
    weights = [1 / (rank + 10) for rank in range(size.tracks)]
    chosen = array("L", range(size.tracks))
    chosen.extend(dice.choices(range(size.tracks), weights=weights, k=size.plays - size.tracks))
    dice.shuffle(chosen)
    for number, (track, stamp) in enumerate(zip(chosen, _stamps(size.plays, dice, even), strict=True)):
        yield _play(number, track, stamp, user_id, dice)


def artist_of(track: int) -> int:
    """The artist of a track, by number: each artist has four or five tracks."""
    return track * ARTISTS // TRACKS


def album_of(track: int) -> int:
    """The album of a track, by number: each artist has two albums."""
    return 2 * artist_of(track) + track % 2


def spotify_id(kind: str, number: int) -> str:
    """22 characters in no order, like Spotify's ids."""
    return hashlib.blake2b(f"{kind} {number}".encode(), digest_size=11).hexdigest()


def image_url(kind: str, number: int, width: int = 640) -> str:
    """An address as long as those of Spotify's pictures."""
    return f"https://i.images.invalid/image/{spotify_id(kind, number)}{width:018x}"


def duration_ms(track: int) -> int:
    """A duration of two to six minutes."""
    return 120_000 + track * 7 % 240_000


def _stamps(count: int, dice: random.Random, even: EvenDays | None) -> Sequence[int]:
    """Different seconds since the beginning of the history, in order."""
    span_s = int((LAST - FIRST).total_seconds())
    if even is None:
        return array("L", sorted(dice.sample(range(span_s), count)))
    first_s, length_s = even.first_s, EVEN_DAYS * DAY_S
    around = sorted(dice.sample(range(span_s - length_s), count - even.plays * EVEN_DAYS))
    stamps = array("L", (stamp if stamp < first_s else stamp + length_s for stamp in around))
    step_s = DAY_S // even.plays
    stamps.extend(first_s + number * step_s for number in range(even.plays * EVEN_DAYS))
    return array("L", sorted(stamps))


def api_play(user_id: str, track: int, ended_at: datetime) -> dict[str, Any]:
    """A play as it is stored if only the API has reported it."""
    return {
        "user_id": user_id,
        "track": embedded_track(track),
        "played_at": ended_at,
        "ms_played": None,
        "source": "api",
        "context_type": "",
        "context_uri": "",
        "played_at_estimated": False,
    }


def _play(number: int, track: int, stamp: int, user_id: str, dice: random.Random) -> dict[str, Any]:
    ended_at, length = FIRST + timedelta(seconds=stamp), duration_ms(track)
    play = api_play(user_id, track, ended_at)
    if number % API_EVERY == 0:
        return play
    ms_played = dice.choice((length, length, length // 2, 4_000))
    return play | {
        "ms_played": ms_played,
        "source": "import",
        "import_key": f"{ended_at:%Y-%m-%dT%H:%M:%SZ}|{play['track']['spotify_id']}|{ms_played}",
        "import_ts": ended_at,
        "playback": {
            "reason_start": "trackdone",
            "reason_end": "trackdone" if ms_played == length else "fwdbtn",
            "shuffle": number % 3 == 0,
            "skipped": None if number % 2 else ms_played < length,
            "offline": False,
            "offline_at": None,
            "incognito": False,
            "country": "DE",
            "platform": "ios",
        },
    }


@lru_cache(maxsize=2 * TRACKS)
def embedded_track(number: int) -> dict[str, Any]:
    """A track as plays embed it."""
    return {
        "spotify_id": spotify_id("track", number),
        "name": f"Track {number}",
        "artist_name": f"Artist {artist_of(number)}",
        "album_name": f"Album {album_of(number)}",
        "album_image_url": image_url("album", album_of(number)),
        "duration_ms": duration_ms(number),
    }
