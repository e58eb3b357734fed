"""Reads numbers in a text: durations, numbers of songs, tempos, decades and years, ranges of features."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from echostats_pipeline.playlists.vocabulary import BOUNDS, DECADES, NUMBERS, Span

Measure = Literal["minutes", "songs", "range", "years"]
MOST_MINUTES, MOST_SONGS = 24 * 60, 500
ABOUT_BPM = 8.0
"""A tempo is meant to within so many beats per minute."""
FIRST_YEAR, LAST_YEAR = 1900, 2100
_MINUTES = ("minutes", "minute", "min", "mins")
_HOURS = ("hours", "hour", "h", "hr", "hrs")
_SAID: Mapping[tuple[str, ...], float] = {
    ("half", "an", "hour"): 30,
    ("half", "a", "hour"): 30,
    ("half", "hour"): 30,
    ("a", "half", "hour"): 30,
    ("one", "and", "a", "half", "hours"): 90,
    ("two", "and", "a", "half", "hours"): 150,
    ("a", "couple", "of", "hours"): 120,
    ("couple", "of", "hours"): 120,
}
_SONGS = ("songs", "song", "tracks", "track", "tunes", "titles")
_ABOVE, _BELOW = ("above", "over", "least", "from", "min"), ("below", "under", "most", "max", "up")
_FEATURES: Mapping[str, str] = {
    "energy": "energy",
    "brightness": "brightness",
    "valence": "brightness",
    "tempo": "tempo",
    "bpm": "tempo",
    "danceability": "danceability",
    "acousticness": "acousticness",
    "liveness": "liveness",
    "speechiness": "speechiness",
    "instrumentalness": "instrumentalness",
}
_CLOCK = re.compile(r"(\d{1,2})h(\d{1,2})?m?")
_GLUED = re.compile(r"(\d+(?:\.\d+)?)(min|mins|m|h|hr|hrs|bpm)")
_DECADE = re.compile(r"((?:19|20)?\d0)s")
TEMPO_WORDS = ("bpm",)


@dataclass(frozen=True)
class Measured:
    """A number and what it measures: `number` for minutes and songs, `ranges` for features, and for years ``year``."""

    kind: Measure
    number: float = 0
    ranges: Mapping[str, Span] = field(default_factory=dict)


Found = tuple[int, Measured] | None
"""How many words it takes, and what it is."""


def measure(words: Sequence[str]) -> Found:
    """The measure with which some words begin; None if there is none."""
    return _duration(words) or _songs(words) or _tempo(words) or _years(words) or _feature(words)


def _number(word: str) -> float | None:
    if re.fullmatch(r"\d{1,6}|\d{0,4}\.\d{1,4}", word):
        return float(word)
    return NUMBERS.get(word)


def _at(words: Sequence[str], place: int) -> str:
    return words[place] if place < len(words) else ""


def _duration(words: Sequence[str]) -> Found:
    found = _plain_duration(words)
    if found is None or not 0 < found[1] <= MOST_MINUTES:
        return None
    length, minutes = found
    if words[length : length + 3] in (["and", "a", "half"], ["and", "a", "quarter"]):
        return length + 3, Measured("minutes", minutes + (30 if words[length + 2] == "half" else 15))
    more = _plain_duration(words[length + (_at(words, length) == "and") :]) if minutes >= 60 else None  # noqa: PLR2004
    if more is not None and 0 < more[1] < 60:  # noqa: PLR2004 - an hour and some minutes
        return length + (_at(words, length) == "and") + more[0], Measured("minutes", minutes + more[1])
    return length, Measured("minutes", minutes)


def _plain_duration(words: Sequence[str]) -> tuple[int, float] | None:
    first = _at(words, 0)
    if clock := _CLOCK.fullmatch(first):
        return 1, float(clock[1]) * 60 + float(clock[2] or 0)
    if (glued := _GLUED.fullmatch(first)) and glued[2] != "bpm":
        return 1, float(glued[1]) * (60 if glued[2].startswith("h") else 1)
    for phrase, minutes in _SAID.items():
        if tuple(words[: len(phrase)]) == phrase:
            return len(phrase), minutes
    number, unit = _number(first), _at(words, 1)
    if number is None or unit not in (*_MINUTES, *_HOURS):
        return None
    return 2, number * (60 if unit in _HOURS else 1)


def _songs(words: Sequence[str]) -> Found:
    number = _number(_at(words, 0))
    if number is None or _at(words, 0) in ("a", "an", "one", "half") or _at(words, 1) not in _SONGS:
        return None
    return (2, Measured("songs", number)) if 1 <= number <= MOST_SONGS and number == int(number) else None


def _tempo(words: Sequence[str]) -> Found:
    """Words like "120 bpm", "90 to 120 bpm", "above 140 bpm"."""
    if (glued := _GLUED.fullmatch(_at(words, 0))) and glued[2] == "bpm":
        return 1, _about(float(glued[1]))
    bound = 1 if _at(words, 0) in (*_ABOVE, *_BELOW, "around", "about", "between", "at") else 0
    bound += _at(words, bound) in ("least", "most", "to")
    low = _number(_at(words, bound))
    joined = 1 if _at(words, bound + 1) in ("and", "to") else 0
    high = _number(_at(words, bound + 1 + joined))
    length = bound + (1 if high is None else 2 + joined)
    if low is None or _at(words, length) not in TEMPO_WORDS:
        return None
    limits = set(words[:bound])
    if high is None and not limits & {*_ABOVE, *_BELOW}:
        return length + 1, _about(low)
    if high is None:
        high = BOUNDS["tempo"][1 if limits & set(_ABOVE) else 0]
    return length + 1, Measured("range", ranges={"tempo": _clipped("tempo", low, high)})


def _about(bpm: float) -> Measured:
    return Measured("range", ranges={"tempo": _clipped("tempo", bpm - ABOUT_BPM, bpm + ABOUT_BPM)})


def _clipped(axis: str, low: float, high: float) -> Span:
    least, most = BOUNDS.get(axis, (0.0, 1.0))
    low, high = sorted((low, high))
    return min(max(low, least), most), min(max(high, least), most)


def _feature(words: Sequence[str]) -> Found:
    """Words like "energy above 0.6", "brightness 0.2 to 0.4" or "tempo 90 120"."""
    axis = _FEATURES.get(_at(words, 0))
    if axis is None:
        return None
    place = 1
    limits = []
    while _at(words, place) in (*_ABOVE, *_BELOW, "between", "at", "to", "around"):
        limits.append(words[place])
        place += 1
    low = _number(_at(words, place))
    if low is None or _at(words, place) in NUMBERS:
        return None
    joined = 1 if _at(words, place + 1) in ("and", "to") else 0
    high = _number(_at(words, place + 1 + joined))
    if high is not None and _at(words, place + 1 + joined) not in NUMBERS and not set(limits) & {*_ABOVE, *_BELOW}:
        return place + 2 + joined, Measured("range", ranges={axis: _clipped(axis, low, high)})
    least, most = BOUNDS.get(axis, (0.0, 1.0))
    if set(limits) & set(_ABOVE):
        return place + 1, Measured("range", ranges={axis: _clipped(axis, low, most)})
    if set(limits) & set(_BELOW):
        return place + 1, Measured("range", ranges={axis: _clipped(axis, least, low)})
    near = ABOUT_BPM if axis == "tempo" else 0.1
    return place + 1, Measured("range", ranges={axis: _clipped(axis, low - near, low + near)})


def _years(words: Sequence[str]) -> Found:
    """Words like "80s", "nineties", "from 1997", "between 1990 and 1995", "before 1980"."""
    first = _at(words, 0)
    early_late = {"early": (0, 4), "mid": (3, 7), "late": (6, 9)}.get(first)
    decade = _decade(_at(words, 1 if early_late else 0))
    if decade is not None:
        low, high = early_late or (0, 9)
        return (2 if early_late else 1), _of_years(decade + low, decade + high)
    if first in ("before", "until", "pre"):
        year = _year(_at(words, 1)) or _decade(_at(words, 1))
        return None if year is None else (2, _of_years(FIRST_YEAR, year - (first != "until")))
    if first in ("after", "since", "post"):
        last = _year(_at(words, 1))
        decade = _decade(_at(words, 1))
        later = None if last is None and decade is None else last + (first != "since") if last else (decade or 0) + 10
        return None if later is None else (2, _of_years(later, LAST_YEAR))
    skipped = 1 if first in ("from", "between", "in", "of") else 0
    low_year = _year(_at(words, skipped))
    if low_year is None:
        return None
    joined = 1 if _at(words, skipped + 1) in ("and", "to", "until") else 0
    high_year = _year(_at(words, skipped + 1 + joined))
    if high_year is not None and (joined or skipped):
        return skipped + 2 + joined, _of_years(*sorted((low_year, high_year)))
    return skipped + 1, _of_years(low_year, low_year)


def _of_years(first: int, last: int) -> Measured:
    return Measured("years", ranges={"year": (float(first), float(last))})


def _year(word: str) -> int | None:
    return int(word) if re.fullmatch(r"(19|20)\d\d", word) else None


def _decade(word: str) -> int | None:
    if word in DECADES:
        return DECADES[word]
    found = _DECADE.fullmatch(word)
    if found is None:
        return None
    number = int(found[1])
    return number if number >= FIRST_YEAR else number + (2000 if number < 30 else 1900)  # noqa: PLR2004 - 00s to 20s
