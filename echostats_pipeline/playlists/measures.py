"""Reads numbers in a text: durations, numbers of songs, tempos, decades and years, ranges of features."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from echostats_pipeline.playlists import grammar
from echostats_pipeline.playlists.grammar import DECADES, NUMBERS, ByFirstWord, by_first_word
from echostats_pipeline.playlists.vocabulary import BOUNDS, ERAS, HINTS, SONG_LENGTHS, Span

Measure = Literal["minutes", "song_minutes", "songs", "per_artist", "range", "years", "hint"]
MOST_MINUTES, MOST_SONGS = 24 * 60, 500
LONGEST_SONG = 15.0
"""Longer durations are those of playlists, not of songs."""
ABOUT_BPM, ABOUT_FEATURE, ABOUT_MINUTES = 8.0, 0.1, 0.5
"""A tempo, a feature and the length of a song are meant to within so much."""
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
_GLUED = re.compile(r"(\d+(?:\.\d+)?)(min|mins|m|h|hr|hrs)")
_GLUED_BPM = re.compile(r"(\d+(?:\.\d+)?)bpm")
_NUMBER = re.compile(r"(\d{1,6}|\d{0,4}\.\d{1,4})(%?)")
_HOUR = re.compile(r"(\d{1,2})(am|pm)")
_DECADE = re.compile(r"((?:19|20)?\d0)s")
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
_ERAS = by_first_word(ERAS)
_DECIMALS = {"½": "5", "¼": "25", "¾": "75", "1/2": "5", "1/4": "25", "3/4": "75"}
_FRACTION = re.compile(rf"(?<![\d/])(?:(\d+)\s?)??({'|'.join(_DECIMALS)})(?![\d/])")
_TIMES = ((5, "late night"), (7, "early morning"), (11, "morning"), (18, "afternoon"), (22, "evening"), (24, "night"))
"""Until which hour a time of day lasts."""


@dataclass(frozen=True)
class Measured:
    """A number and what it measures: `number` for minutes and songs, `ranges` for features, and for years ``year``."""

    kind: Measure
    number: float = 0
    ranges: Mapping[str, Span] = field(default_factory=dict)
    value: str = ""


Found = tuple[int, Measured] | None
"""How many words it takes, and what it is."""


def plain_numbers(text: str) -> str:
    """A text with numbers as digits: ``1,5``, ``½`` and ``1/2`` as decimals, and ``1:30 h`` as ``1h30``."""
    text = re.sub(r"(?<![\d,])(\d{1,3}),(\d)(?![\d,])", r"\1.\2", text)
    text = re.sub(r"(?<!\d)(\d{1,2}):([0-5]\d)\s*(?:h|hrs?|hours?)\b", r"\1h\2", text, flags=re.IGNORECASE)
    return _FRACTION.sub(lambda found: f"{found[1] or 0}.{_DECIMALS[found[2]]}", text)


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
        or _tempo(words)
        or _feature(words)
        or _years(words, this_year)
    )


def _number(word: str) -> float | None:
    if found := _NUMBER.fullmatch(word):
        return float(found[1]) / (100 if found[2] else 1)
    return NUMBERS.get(word)


def _at(words: Sequence[str], place: int) -> str:
    return words[place] if place < len(words) else ""


def _starting(words: Sequence[str], place: int, among: ByFirstWord) -> int:
    """How many words the longest of some phrases has that stands at a place; 0 if none does."""
    listed = among.get(words[place], ()) if place < len(words) else ()
    return next((len(each) for each in listed if tuple(words[place : place + len(each)]) == each), 0)


def _start_of_numbers(words: Sequence[str]) -> int:
    """How many words before numbers set them a limit."""
    return max(_starting(words, 0, among) for among in (grammar.ABOVE, grammar.BELOW, grammar.ABOUT))


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
    above, below = _starting(words, start, grammar.ABOVE), _starting(words, start, grammar.BELOW)
    place = start + (max(above, below) or _starting(words, start, grammar.ABOUT))
    limit: Literal["above", "below", ""] = "above" if above > below else "below" if below else ""
    first = _at(words, place).removesuffix("+")
    low = _number(first)
    if low is None:
        return None
    if first != _at(words, place):
        limit = "above"
    place += 1
    place += _starting(words, place, unit)
    high, joined = None, int(_at(words, place) in ("and", "to"))
    second = _at(words, place + joined)
    if limit != "below" and _NUMBER.fullmatch(second):
        high, place, limit = _number(second), place + joined + 1, ""
    percent = first.endswith("%") or (high is not None and second.endswith("%"))
    if percent and not first.endswith("%"):
        low = low / 100
    place += _starting(words, place, unit)
    if not limit and high is None:
        above, below = _starting(words, place, grammar.ABOVE_AFTER), _starting(words, place, grammar.BELOW_AFTER)
        limit = "above" if above > below else "below" if below else ""
        place += max(above, below)
        place += _starting(words, place, unit)
    return _Numbers(place, low, high, limit, percent, first in NUMBERS)


def _duration(words: Sequence[str]) -> Found:
    start = _start_of_numbers(words)
    joined = _at(words, start + 1) in ("and", "to", "or")
    if _NUMBER.fullmatch(_at(words, start)) and _NUMBER.fullmatch(_at(words, start + 1 + joined)):
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
    follows = length + (_at(words, length) == "and")
    more = _plain_duration(words[follows:], minutes_too=("m",)) if minutes >= 60 else None  # noqa: PLR2004
    if more is not None and 0 < more[1] < 60:  # noqa: PLR2004 - an hour and some minutes
        return follows + more[0], minutes + more[1]
    return length, minutes


def _plain_duration(words: Sequence[str], minutes_too: Sequence[str] = ()) -> tuple[int, float] | None:
    first = _at(words, 0)
    if clock := _CLOCK.fullmatch(first):
        return 1, float(clock[1]) * 60 + float(clock[2] or 0)
    if glued := _GLUED.fullmatch(first):
        return 1, float(glued[1]) * (60 if glued[2].startswith("h") else 1)
    for phrase, minutes in _SAID.items():
        if tuple(words[: len(phrase)]) == phrase:
            return len(phrase), minutes
    number, unit = _number(first), _at(words, 1)
    if number is None or unit not in (*_MINUTES, *_HOURS, *minutes_too):
        return None
    return 2, number * (60 if unit in _HOURS else 1)


def _length_of_songs(words: Sequence[str]) -> Found:
    """Words like "3 minute songs" and "songs under 3 minutes": they are about each song, not about the playlist."""
    if _at(words, 0) in SONG_LENGTHS and _at(words, 1) in _SONGS:
        return 2, Measured("song_minutes", ranges={"minutes": SONG_LENGTHS[words[0]]})
    named = _at(words, 0) in (*_SONGS, "each")
    found = _numbers(words, int(named), _MINUTE_UNITS)
    if found is None or not set(words[: found.end]) & set(_MINUTES):
        return None
    end = found.end + (_at(words, found.end) == "long")
    behind = _starting(words, end, _EACH)
    if named:
        is_length = bool(found.limit) or found.high is not None
    else:
        is_length = bool(behind) or _at(words, end) in _SONGS
        end += behind or 1
    if not is_length:
        return None
    low, high = found.span(ABOUT_MINUTES, 0.0, float(MOST_MINUTES))
    top = found.low if found.high is None else max(found.low, found.high)
    if not 0 < top <= LONGEST_SONG:
        return None
    return end, Measured("song_minutes", ranges={"minutes": (max(low, 0.0), high)})


def _songs(words: Sequence[str]) -> Found:
    """Words like "20 songs" and "25 happy songs"."""
    start = _start_of_numbers(words)
    first = _at(words, start)
    number = _number(first)
    each = _starting(words, start + 2, _PER_ARTIST) if _at(words, start + 1) in _SONGS else 0
    if each and number is not None and number >= 1:
        return start + 2 + each, Measured("per_artist", number)
    if number is None or first in ("a", "an", "one", "half") or not (1 <= number <= MOST_SONGS and number % 1 == 0):
        return None
    if _at(words, start + 1) in _SONGS:
        return start + 2, Measured("songs", number)
    for place in (start + 2, start + 3):
        if not all(word.isalpha() for word in words[start + 1 : place]) or place >= len(words):
            return None
        if words[place] in _SONGS and not set(words[start + 1 : place]) & {*_MINUTES, *_HOURS, "star", "bpm"}:
            return start + 1, Measured("songs", number)
    return None


def _time_of_day(words: Sequence[str]) -> Found:
    """Words like "4am", "at 6 pm" and "7 in the morning"."""
    start = int(_at(words, 0) in ("at", "around", "by"))
    first, half = _at(words, start), _at(words, start + 1)
    end = start + 1
    if found := _HOUR.fullmatch(first):
        hour, half = int(found[1]), found[2]
    elif re.fullmatch(r"\d{1,2}", first) and half in ("am", "pm"):
        hour, end = int(first), start + 2
    elif re.fullmatch(r"\d{1,2}", first) and words[start + 1 : start + 3] in (["in", "the"], ["at", "night"]):
        part = {"morning": "am", "afternoon": "pm", "evening": "pm"}.get(_at(words, start + 3), "")
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


def _tempo(words: Sequence[str]) -> Found:
    """Words like "120 bpm", "90 to 120 bpm", "140 bpm or more"."""
    split: list[str] = []
    for word in words[:8]:
        glued = _GLUED_BPM.fullmatch(word.removesuffix("+"))
        split += [glued[1] + ("+" if word.endswith("+") else ""), "bpm"] if glued else [word]
    found = _numbers(split, 0, _TEMPO_UNITS)
    if found is None or not any(_starting(split[: found.end], at, _TEMPO_UNITS) for at in range(found.end)):
        return None
    taken = found.end - sum(bool(_GLUED_BPM.fullmatch(word.removesuffix("+"))) for word in words[: found.end])
    return _clipped(taken, "tempo", found)


def _feature(words: Sequence[str]) -> Found:
    """Words like "energy above 0.6", "80% energy", "brightness 0.2 to 0.4" or "tempo 90 120"."""
    axis, start = _FEATURES.get(_at(words, 0)), 1
    found = None if axis is None else _numbers(words, start)
    if axis is None:
        found = _numbers(words, 0)
        axis = None if found is None else _FEATURES.get(_at(words, found.end))
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


def _years(words: Sequence[str], this_year: int | None) -> Found:
    """Words like "80s", "nineties", "from 1997", "between 1990 and 1995", "before 1980", "last year", "oldies"."""
    for among, is_before in ((grammar.BEFORE_YEARS, True), (grammar.AFTER_YEARS, False)):
        begun = _starting(words, 0, among)
        found = _of_limit(words, begun, is_before=is_before, this_year=this_year) if begun else None
        if found is not None:
            return found
    said = _relative(words, this_year)
    if said is not None:
        return said
    skipped = int(_at(words, 0) in ("from", "between", "in", "of"))
    skipped += int(_at(words, skipped) == "the")
    first = _span_of_years(words, skipped)
    if first is None:
        return None
    end, (low, high) = first
    onwards = _starting(words, end, grammar.ONWARDS)
    if onwards and (skipped or _at(words, end) not in ("on", "up")):
        return end + onwards, _of_years(low, LAST_YEAR)
    joined = int(_at(words, end) in ("and", "to", "until", "through"))
    second = _span_of_years(words, end + joined + (_at(words, end + joined) == "the"))
    if second is not None and (joined or skipped) and (_at(words, end) != "and" or _at(words, 0) == "between"):
        return second[0], _of_years(min(low, second[1][0]), max(high, second[1][1]))
    return end, _of_years(low, high)


def _of_limit(words: Sequence[str], begun: int, *, is_before: bool, this_year: int | None) -> Found:
    place = begun + (_at(words, begun) == "the")
    ago = _number(_at(words, place))
    if this_year is not None and ago is not None and _at(words, place + 1) in ("years", "year"):
        end = place + 2 + (_at(words, place + 2) in ("old", "ago"))
        return end, _of_years(FIRST_YEAR, this_year - int(ago)) if is_before else _of_years(
            this_year - int(ago), LAST_YEAR
        )
    found = _span_of_years(words, place)
    if found is None:
        return None
    end, (low, high) = found
    includes = bool(set(words[:begun]) & grammar.INCLUSIVE)
    if is_before:
        return end, _of_years(FIRST_YEAR, high if includes else low - 1)
    return end, _of_years(low if includes else high + 1, LAST_YEAR)


def _relative(words: Sequence[str], this_year: int | None) -> Found:  # noqa: PLR0911 - one for each way to say it
    """Words like "this year", "last year", "the last 10 years", "oldies"."""
    if this_year is None:
        return None
    length = _starting(words, 0, _ERAS)
    if length:
        oldest, newest = ERAS[tuple(words[:length])]
        first = FIRST_YEAR if oldest is None else this_year - oldest
        return length, _of_years(first, LAST_YEAR if newest is None else this_year - newest)
    start = int(_at(words, 0) == "from")
    start += int(_at(words, start) == "the")
    which, what, number = _at(words, start), _at(words, start + 1), _number(_at(words, start + 1))
    if which == "this" and what in ("year", "decade"):
        return start + 2, _of_years(this_year if what == "year" else this_year // 10 * 10, this_year)
    if which not in ("last", "past"):
        return None
    if what in ("year", "years"):
        return start + 2, _of_years(this_year - 1, this_year - 1)
    if what == "decade":
        return start + 2, _of_years(this_year - 10, LAST_YEAR)
    if number is None or _at(words, start + 2) != "years":
        return None
    return start + 3, _of_years(this_year - int(number), LAST_YEAR)


def _span_of_years(words: Sequence[str], place: int) -> tuple[int, tuple[int, int]] | None:
    """The end and the years of a year or a decade at a place."""
    parts = {"early": (0, 4), "mid": (3, 7), "late": (6, 9)}
    part = parts.get(_at(words, place))
    decade = _decade(_at(words, place + (part is not None)))
    if decade is not None:
        low, high = part or (0, 9)
        return place + 1 + (part is not None), (decade + low, decade + high)
    year = _at(words, place)
    return (place + 1, (int(year), int(year))) if re.fullmatch(r"(19|20)\d\d", year) else None


def _of_years(first: int, last: int) -> Measured:
    return Measured("years", ranges={"year": (float(first), float(max(first, last)))})


def _decade(word: str) -> int | None:
    if word in DECADES:
        return DECADES[word]
    found = _DECADE.fullmatch(word)
    if found is None:
        return None
    number = int(found[1])
    return number if number >= FIRST_YEAR else number + (2000 if number < 30 else 1900)  # noqa: PLR2004 - 00s to 20s
