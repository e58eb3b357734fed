"""What a measure in a text is, and how its words are read one by one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from echostats_pipeline.playlists.grammar import NUMBERS, ByFirstWord
from echostats_pipeline.playlists.vocabulary import Span

Measure = Literal["minutes", "song_minutes", "songs", "per_artist", "new_share", "range", "years", "hint"]
NUMBER = re.compile(r"(\d{1,6}|\d{0,4}\.\d{1,4})(%?)")


@dataclass(frozen=True)
class Measured:
    """A number and what it measures: `number` for minutes and songs, `ranges` for features, and for years ``year``."""

    kind: Measure
    number: float = 0
    ranges: Mapping[str, Span] = field(default_factory=dict)
    value: str = ""


Found = tuple[int, Measured] | None
"""How many words it takes, and what it is."""


def number_of(word: str) -> float | None:
    """The number that a word is, in digits or spelt; None if it is none."""
    if found := NUMBER.fullmatch(word):
        return float(found[1]) / (100 if found[2] else 1)
    return NUMBERS.get(word)


def word_at(words: Sequence[str], place: int) -> str:
    """The word at a place; empty behind the last."""
    return words[place] if place < len(words) else ""


def phrase_length(words: Sequence[str], place: int, among: ByFirstWord) -> int:
    """How many words the longest of some phrases has that stands at a place; 0 if none does."""
    listed = among.get(words[place], ()) if place < len(words) else ()
    return next((len(each) for each in listed if tuple(words[place : place + len(each)]) == each), 0)
