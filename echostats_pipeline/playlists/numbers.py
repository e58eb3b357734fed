"""Writes the numbers of a text as digits: ``1,5``, ``½``, ``forty-five``, ``a dozen``, ``1:30 h``."""

import re

_ANY = re.compile(r"[\d½¼¾]|ty|dozen|quarter", re.IGNORECASE)
"""What every text with something to write otherwise has: most names have none of it."""
_UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_DECIMALS = {"½": "5", "¼": "25", "¾": "75", "1/2": "5", "1/4": "25", "3/4": "75"}
_HOURS = r"(?:an?\s+)?(?:h|hrs?|hours?)\b"
_IN_WORDS = re.compile(rf"\b({'|'.join(_TENS)})[\s-]+({'|'.join(_UNITS)})\b", re.IGNORECASE)
_DOZENS = re.compile(rf"\b(?:(half an?|an?|{'|'.join(_UNITS)}|\d+)\s+)?dozens?\b", re.IGNORECASE)
_QUARTERS = re.compile(rf"\b(an?|one|three)?\s*quarters?\s+(?:of\s+)?{_HOURS}", re.IGNORECASE)
_COMMA = re.compile(r"(?<![\d,])(\d{1,3}),(\d)(?![\d,])")
_CLOCK = re.compile(r"(?<!\d)(\d{1,2}):([0-5]\d)\s*(?:h|hrs?|hours?)\b", re.IGNORECASE)
_FRACTION = re.compile(
    rf"(?<![\d/])(?:(\d+)\s?)??(?:([½¼¾])|(1/2|1/4|3/4)(?=\s*(?:of\s+)?{_HOURS}))(?![\d/])", re.IGNORECASE
)
_PART_OF_HOUR = re.compile(r"\b(0\.\d+)\s+(?:of\s+)?an?\s+hour\b", re.IGNORECASE)
_GLUED = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)mins?\b", re.IGNORECASE)


def plain_numbers(text: str) -> str:
    """A text with its numbers as digits and decimal points; everything else stays."""
    if not _ANY.search(text):
        return text
    text = _IN_WORDS.sub(lambda found: str(_tens_and_units(found[1].casefold(), found[2].casefold())), text)
    text = _DOZENS.sub(lambda found: str(_dozens((found[1] or "a").casefold())), text)
    text = _QUARTERS.sub(lambda found: f"{45 if (found[1] or '').casefold() == 'three' else 15} minutes", text)
    text = _CLOCK.sub(r"\1h\2", _COMMA.sub(r"\1.\2", text))
    text = _FRACTION.sub(lambda found: f"{found[1] or 0}.{_DECIMALS[found[2] or found[3]]} ", text)
    text = _PART_OF_HOUR.sub(r"\1 hours", text)
    return _GLUED.sub(r"\1 minute", text)


def _tens_and_units(tens: str, units: str) -> int:
    return 20 + 10 * _TENS.index(tens) + _UNITS.index(units) + 1


def _dozens(how_many: str) -> int:
    if how_many.startswith("half"):
        return 6
    if how_many in ("a", "an"):
        return 12
    return 12 * (int(how_many) if how_many.isdigit() else _UNITS.index(how_many) + 1)
