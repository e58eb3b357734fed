"""Reads years in a text: decades, limits, and words like "oldies" that depend on the present year."""

import re
from collections.abc import Sequence

from echostats_pipeline.playlists import grammar
from echostats_pipeline.playlists.grammar import DECADES, by_first_word
from echostats_pipeline.playlists.measured import Found, Measured, number_of, phrase_length, word_at
from echostats_pipeline.playlists.vocabulary import ERAS

FIRST_YEAR, LAST_YEAR = 1900, 2100
_DECADE = re.compile(r"((?:19|20)?\d0)s")
_ERAS = by_first_word(ERAS)


def years_in(words: Sequence[str], this_year: int | None) -> Found:
    """Words like "80s", "nineties", "from 1997", "between 1990 and 1995", "before 1980", "last year", "oldies"."""
    for among, is_before in ((grammar.BEFORE_YEARS, True), (grammar.AFTER_YEARS, False)):
        begun = phrase_length(words, 0, among)
        found = _of_limit(words, begun, is_before=is_before, this_year=this_year) if begun else None
        if found is not None:
            return found
    said = _relative(words, this_year)
    if said is not None:
        return said
    skipped = int(word_at(words, 0) in ("from", "between", "in", "of"))
    skipped += int(word_at(words, skipped) == "the")
    first = _span_of_years(words, skipped)
    if first is None:
        return None
    end, (low, high) = first
    onwards = phrase_length(words, end, grammar.ONWARDS)
    if onwards and (skipped or word_at(words, end) not in ("on", "up")):
        return end + onwards, _of_years(low, LAST_YEAR)
    joined = int(word_at(words, end) in ("and", "to", "until", "through"))
    second = _span_of_years(words, end + joined + (word_at(words, end + joined) == "the"))
    if second is not None and (joined or skipped) and (word_at(words, end) != "and" or word_at(words, 0) == "between"):
        return second[0], _of_years(min(low, second[1][0]), max(high, second[1][1]))
    return end, _of_years(low, high)


def _of_limit(words: Sequence[str], begun: int, *, is_before: bool, this_year: int | None) -> Found:
    place = begun + (word_at(words, begun) == "the")
    ago = number_of(word_at(words, place))
    if this_year is not None and ago is not None and word_at(words, place + 1) in ("years", "year"):
        end = place + 2 + (word_at(words, place + 2) in ("old", "ago"))
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
    length = phrase_length(words, 0, _ERAS)
    if length:
        oldest, newest = ERAS[tuple(words[:length])]
        first = FIRST_YEAR if oldest is None else this_year - oldest
        return length, _of_years(first, LAST_YEAR if newest is None else this_year - newest)
    start = int(word_at(words, 0) == "from")
    start += int(word_at(words, start) == "the")
    which, what, number = word_at(words, start), word_at(words, start + 1), number_of(word_at(words, start + 1))
    if which == "this" and what in ("year", "decade"):
        return start + 2, _of_years(this_year if what == "year" else this_year // 10 * 10, this_year)
    if which not in ("last", "past"):
        return None
    if what in ("year", "years"):
        return start + 2, _of_years(this_year - 1, this_year - 1)
    if what == "decade":
        return start + 2, _of_years(this_year - 10, LAST_YEAR)
    if number is None or word_at(words, start + 2) != "years":
        return None
    return start + 3, _of_years(this_year - int(number), LAST_YEAR)


def _span_of_years(words: Sequence[str], place: int) -> tuple[int, tuple[int, int]] | None:
    """The end and the years of a year or a decade at a place."""
    parts = {"early": (0, 4), "mid": (3, 7), "late": (6, 9)}
    part = parts.get(word_at(words, place))
    decade = _decade(word_at(words, place + (part is not None)))
    if decade is not None:
        low, high = part or (0, 9)
        return place + 1 + (part is not None), (decade + low, decade + high)
    year = word_at(words, place)
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
