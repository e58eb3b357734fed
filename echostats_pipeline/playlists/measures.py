"""Reads numbers in a text: durations, numbers of songs, tempos, hours, ranges of features. Not here: `years`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from echostats_pipeline.playlists import grammar
from echostats_pipeline.playlists.grammar import NUMBERS, ByFirstWord, by_first_word
from echostats_pipeline.playlists.measured import NUMBER, Found, Measured, number_of, phrase_length, word_at
from echostats_pipeline.playlists.vocabulary import BOUNDS, HINTS, SONG_LENGTHS, Span
from echostats_pipeline.playlists.years import years_in

MOST_MINUTES, MOST_SONGS = 24 * 60, 500
LONGEST_SONG = 15.0
SPELT_VALUES = 30
"""From this number on, a number in words may be the value of a feature: "energy seventy", not "energy one"."""
"""Longer durations are those of playlists, not of songs."""
ABOUT_BPM, ABOUT_FEATURE, ABOUT_MINUTES = 8.0, 0.1, 0.5
"""A tempo, a feature and the length of a song are meant to within so much."""
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
_SONGS = ("songs", "song", "tracks", "track", "tunes", "titles", "pieces")
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
_GLUED = re.compile(r"(\d+(?:\.\d+)?)(m|h|hr|hrs)")
_GLUED_BPM = re.compile(r"(\d+(?:\.\d+)?)bpm")
_HOUR = re.compile(r"(\d{1,2})(am|pm)")
_NO_UNIT: ByFirstWord = {}
_TEMPO_UNITS = by_first_word([("bpm",), ("beats", "per", "minute"), ("beats", "a", "minute")])
_MINUTE_UNITS = by_first_word([(each,) for each in _MINUTES])
_EACH = by_first_word([("each",), ("per", "song"), ("per", "track"), ("a", "song"), ("a", "track")])
_PER_ARTIST = by_first_word(
    [
        ("per", "artist"),
        ("by", "each", "artist"),
        ("of", "each", "artist"),
        ("from", "each", "artist"),
        ("an", "artist"),
    ]
)
_OF_LENGTH = frozenset({"of", "around", "about", "roughly", "approximately"})
_PARTS = frozenset({"of", "for", "with", "and", ",", "."})
_NEW = frozenset({"new", "discovery", "discoveries", "unheard", "unknown"})
_TIMES = ((5, "late night"), (7, "early morning"), (11, "morning"), (18, "afternoon"), (22, "evening"), (24, "night"))
"""Until which hour a time of day lasts."""


def measure(words: Sequence[str], this_year: int | None = None) -> Found:
    """The measure with which some words begin; None if there is none.

    Args:
        words: What is left of the text.
        this_year: The present year; None if words like "this year" shall not be understood.
    """
    return (
        _length_of_songs(words)
        or _duration(words)
        or _songs(words)
        or _time_of_day(words)
        or _new_share(words)
        or _tempo(words)
        or _feature(words)
        or years_in(words, this_year)
    )


def _start_of_numbers(words: Sequence[str]) -> int:
    """How many words before numbers set them a limit."""
    return max(phrase_length(words, 0, among) for among in (grammar.ABOVE, grammar.BELOW, grammar.ABOUT))


@dataclass(frozen=True)
class _Numbers:
    """One or two numbers with the words around them: "at least 5", "5 to 7", "5 or more"."""

    end: int
    low: float
    high: float | None = None
    limit: Literal["above", "below", ""] = ""
    in_percent: bool = False
    is_spelt: bool = False

    def span(self, about: float, least: float, most: float) -> Span:
        """The range that the numbers ask for."""
        if self.limit == "above":
            return self.low, max(most, self.low)
        if self.limit == "below":
            high = self.low if self.high is None else self.high
            return min(least, high), high
        if self.high is not None:
            return min(self.low, self.high), max(self.low, self.high)
        return self.low - about, self.low + about


def _numbers(words: Sequence[str], start: int, unit: ByFirstWord = _NO_UNIT) -> _Numbers | None:
    """The numbers at a place; `unit` may stand behind each of them."""
    above, below = phrase_length(words, start, grammar.ABOVE), phrase_length(words, start, grammar.BELOW)
    place = start + (max(above, below) or phrase_length(words, start, grammar.ABOUT))
    limit: Literal["above", "below", ""] = "above" if above > below else "below" if below else ""
    first = word_at(words, place).removesuffix("+")
    low = number_of(first)
    if low is None:
        return None
    if first != word_at(words, place):
        limit = "above"
    place += 1
    place += phrase_length(words, place, unit)
    high, joined = None, int(word_at(words, place) in ("and", "to"))
    second = word_at(words, place + joined)
    if limit != "below" and NUMBER.fullmatch(second) and (joined or first not in NUMBERS):
        high, place, limit = number_of(second), place + joined + 1, ""
    percent = first.endswith("%") or (high is not None and second.endswith("%"))
    if percent and not first.endswith("%"):
        low = low / 100
    place += phrase_length(words, place, unit)
    if not limit and high is None:
        above, below = (
            phrase_length(words, place, grammar.ABOVE_AFTER),
            phrase_length(words, place, grammar.BELOW_AFTER),
        )
        limit = "above" if above > below else "below" if below else ""
        place += max(above, below)
        place += phrase_length(words, place, unit)
    return _Numbers(place, low, high, limit, percent, first in NUMBERS and low < SPELT_VALUES)


def _duration(words: Sequence[str]) -> Found:
    start = _start_of_numbers(words)
    joined = word_at(words, start + 1) in ("and", "to", "or")
    if NUMBER.fullmatch(word_at(words, start)) and NUMBER.fullmatch(word_at(words, start + 1 + joined)):
        upper = _plain_duration(words[start + 1 + joined :])
        if upper is not None and 0 < upper[1] <= MOST_MINUTES:
            return start + 1 + joined + upper[0], Measured("minutes", upper[1])
    found = _whole_duration(words[start:])
    return None if found is None else (start + found[0], Measured("minutes", found[1]))


def _whole_duration(words: Sequence[str]) -> tuple[int, float] | None:
    found = _plain_duration(words)
    if found is None or not 0 < found[1] <= MOST_MINUTES:
        return None
    length, minutes = found
    if words[length : length + 3] in (["and", "a", "half"], ["and", "a", "quarter"]):
        return length + 3, minutes + (30 if words[length + 2] == "half" else 15)
    follows = length + (word_at(words, length) == "and")
    more = _plain_duration(words[follows:], minutes_too=("m",)) if minutes >= 60 else None  # noqa: PLR2004
    if more is not None and 0 < more[1] < 60:  # noqa: PLR2004 - an hour and some minutes
        return follows + more[0], minutes + more[1]
    return length, minutes


def _plain_duration(words: Sequence[str], minutes_too: Sequence[str] = ()) -> tuple[int, float] | None:
    first = word_at(words, 0)
    if clock := _CLOCK.fullmatch(first):
        return 1, float(clock[1]) * 60 + float(clock[2] or 0)
    if glued := _GLUED.fullmatch(first):
        return 1, float(glued[1]) * (60 if glued[2].startswith("h") else 1)
    for phrase, minutes in _SAID.items():
        if tuple(words[: len(phrase)]) == phrase:
            return len(phrase), minutes
    number, unit = number_of(first), word_at(words, 1)
    if number is None or unit not in (*_MINUTES, *_HOURS, *minutes_too):
        return None
    return 2, number * (60 if unit in _HOURS else 1)


def _length_of_songs(words: Sequence[str]) -> Found:
    """Words like "3 minute songs" and "songs under 3 minutes": they are about each song, not about the playlist."""
    if word_at(words, 0) in SONG_LENGTHS and word_at(words, 1) in _SONGS:
        return 2, Measured("song_minutes", ranges={"minutes": SONG_LENGTHS[words[0]]})
    named = word_at(words, 0) in (*_SONGS, "each")
    is_about = named and word_at(words, 1) in _OF_LENGTH
    found = _numbers(words, int(named), _MINUTE_UNITS)
    if found is None or not set(words[: found.end]) & set(_MINUTES):
        return None
    end = found.end + (word_at(words, found.end) == "long")
    behind = phrase_length(words, end, _EACH)
    between = next((at for at in range(end, end + 3) if word_at(words, at) in _SONGS), None)
    if named:
        is_length = bool(found.limit) or found.high is not None or is_about
    elif behind or word_at(words, end) in _SONGS:
        is_length = True
        end += behind or 1
    else:
        is_length = between is not None and words[end - 1] in ("minute", "min") and not set(words[end:between]) & _PARTS
    if not is_length:
        return None
    low, high = found.span(ABOUT_MINUTES, 0.0, float(MOST_MINUTES))
    top = found.low if found.high is None else max(found.low, found.high)
    if not 0 < top <= LONGEST_SONG:
        return None
    return end, Measured("song_minutes", ranges={"minutes": (max(low, 0.0), high)})


def _songs(words: Sequence[str]) -> Found:  # noqa: PLR0911 - one for each way to say it
    """Words like "20 songs" and "25 happy songs"."""
    start = _start_of_numbers(words)
    first = word_at(words, start)
    number = number_of(first)
    each = phrase_length(words, start + 2, _PER_ARTIST) if word_at(words, start + 1) in _SONGS else 0
    if each and number is not None and number >= 1:
        return start + 2 + each, Measured("per_artist", number)
    if number is None or first in ("a", "an", "one", "half") or not (1 <= number <= MOST_SONGS and number % 1 == 0):
        return None
    if word_at(words, start + 1) in _SONGS:
        has_length = _length_of_songs(words[start + 1 :]) is not None
        return start + 2 - has_length, Measured("songs", number)
    if number_of(word_at(words, start + 1)) is not None and _length_of_songs(words[start + 1 :]) is not None:
        return start + 1, Measured("songs", number)
    for place in (start + 2, start + 3):
        if not all(word.isalpha() for word in words[start + 1 : place]) or place >= len(words):
            return None
        if words[place] in _SONGS and not set(words[start + 1 : place]) & {*_MINUTES, *_HOURS, "star", "bpm"}:
            return start + 1, Measured("songs", number)
    return None


def _time_of_day(words: Sequence[str]) -> Found:
    """Words like "4am", "at 6 pm" and "7 in the morning"."""
    start = int(word_at(words, 0) in ("at", "around", "by"))
    first, half = word_at(words, start), word_at(words, start + 1)
    end = start + 1
    if found := _HOUR.fullmatch(first):
        hour, half = int(found[1]), found[2]
    elif re.fullmatch(r"\d{1,2}", first) and half in ("am", "pm"):
        hour, end = int(first), start + 2
    elif re.fullmatch(r"\d{1,2}", first) and words[start + 1 : start + 3] in (["in", "the"], ["at", "night"]):
        part = {"morning": "am", "afternoon": "pm", "evening": "pm"}.get(word_at(words, start + 3), "")
        half = "pm" if half == "at" else part
        hour, end = int(first), start + (3 if words[start + 1] == "at" else 4)
    else:
        return None
    if not half or not 1 <= hour <= 12:  # noqa: PLR2004 - hours of a clock
        return None
    hour = hour % 12 + (12 if half == "pm" else 0)
    name = next(name for until, name in _TIMES if hour < until)
    spans = next(spans for names, spans in HINTS.items() if name in names.split("|"))
    return end, Measured("hint", ranges=spans, value=name)


def _new_share(words: Sequence[str]) -> Found:
    """Words like "10% new songs" and "30 % discovery"."""
    first = word_at(words, 0)
    share = number_of(first) if first.endswith("%") else None
    if share is None or share > 1 or word_at(words, 1) not in _NEW:
        return None
    return 2, Measured("new_share", share)


def _tempo(words: Sequence[str]) -> Found:
    """Words like "120 bpm", "90 to 120 bpm", "140 bpm or more"."""
    split: list[str] = []
    for word in words[:8]:
        glued = _GLUED_BPM.fullmatch(word.removesuffix("+"))
        split += [glued[1] + ("+" if word.endswith("+") else ""), "bpm"] if glued else [word]
    found = _numbers(split, 0, _TEMPO_UNITS)
    if found is None or not any(phrase_length(split[: found.end], at, _TEMPO_UNITS) for at in range(found.end)):
        return None
    taken = found.end - sum(bool(_GLUED_BPM.fullmatch(word.removesuffix("+"))) for word in words[: found.end])
    return _clipped(taken, "tempo", found)


def _feature(words: Sequence[str]) -> Found:
    """Words like "energy above 0.6", "80% energy", "brightness 0.2 to 0.4" or "tempo 90 120"."""
    axis, start = _FEATURES.get(word_at(words, 0)), 1
    found = None if axis is None else _numbers(words, start)
    if axis is None:
        found = _numbers(words, 0)
        axis = None if found is None else _FEATURES.get(word_at(words, found.end))
        if axis is None or found is None or not (found.in_percent or found.low < 1):
            return None
        found = replace(found, end=found.end + 1)
    if found is None or found.is_spelt:
        return None
    return _clipped(found.end, axis, found)


def _clipped(length: int, axis: str, found: _Numbers) -> Found:
    """A measure within the bounds of an axis; None if it asks for what no song has."""
    least, most = BOUNDS.get(axis, (0.0, 1.0))
    numbers = [found.low] if found.high is None else [found.low, found.high]
    if axis != "tempo" and not found.in_percent and 10 < max(numbers) <= 100:  # noqa: PLR2004 - percent without a sign
        found = replace(found, low=found.low / 100, high=found.high and found.high / 100)
    about = ABOUT_BPM if axis == "tempo" else ABOUT_FEATURE
    low, high = found.span(about, least, most)
    if high < least or low > most or (axis != "tempo" and max(found.low, found.high or 0) > 1):
        return None
    return length, Measured("range", ranges={axis: (round(max(low, least), 4), round(min(high, most), 4))})
