"""Reads a text from left to right: which words are wishes, and which are denied.

Belongs here: finding wishes. Not here: what they ask for together (`understanding`), and the words (`vocabulary`).
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from rapidfuzz import fuzz, process

from echostats_pipeline.model.playlists import NearMiss
from echostats_pipeline.playlists import measures
from echostats_pipeline.playlists.vocabulary import (
    BY,
    FILLERS,
    JOINS_NEGATION,
    KNOWN_WORDS,
    LIKE,
    LONGEST_PHRASE,
    NEGATIONS,
    PHRASES,
    Kind,
    Meaning,
    Span,
)

MOST_WORDS = 200
"""Words of a text that are read."""
BOUNDARY = ","
"""Stands for punctuation, over which no denial reaches."""
REACH = 2
"""A denial reaches so many words further."""
TAKEN, SUGGESTED = 87.0, 72.0
"""Likeness from which an unknown word is taken for a known one, or only shown beside it."""
LONGEST_ARTIST = 6
FEWEST_LETTERS = 4
_TOKEN = re.compile(r"\d*\.\d+|[^\W_]+(?:['’`&][^\W_]+)*|[,;.:!?/()\[\]\n|–—]")  # noqa: RUF001 - as people write
_APOSTROPHES = str.maketrans("", "", "'’`")  # noqa: RUF001


@dataclass(frozen=True)
class Wish:
    """Some words, and what they ask for.

    Attributes:
        words: As in the text, normalised.
        kind: As `vocabulary.Meaning`; also a measure or an artist.
        value: As `vocabulary.Meaning`; the name of an artist.
        ranges: As `vocabulary.Meaning`.
        number: Minutes, or a number of songs.
        is_synonym: As `vocabulary.Meaning`.
        is_denied: Whether the text asks for the opposite.
    """

    words: str
    kind: Kind | measures.Measure | str
    value: str = ""
    ranges: Mapping[str, Span] = field(default_factory=dict)
    number: float = 0
    is_synonym: bool = False
    is_denied: bool = False


@dataclass(frozen=True)
class KnownNames:
    """Tags and artists of the songs that there are to choose from."""

    genres: Collection[str] = ()
    artists: Collection[str] = ()

    @cached_property
    def artists_by_words(self) -> dict[tuple[str, ...], str]:
        """The artists by the words of their names; namesakes are one."""
        return {key: name for name in sorted(self.artists, reverse=True) if (key := tuple(tokens(name)))}

    @cached_property
    def genres_by_words(self) -> dict[tuple[str, ...], str]:
        """The tags by their words."""
        return {key: name for name in sorted(self.genres, reverse=True) if (key := tuple(tokens(name)))}

    @cached_property
    def words(self) -> list[str]:
        """What a misspelt word may have meant."""
        return [*KNOWN_WORDS, *(" ".join(key) for key in self.genres_by_words)]

    @cached_property
    def spellings(self) -> dict[str, str]:
        """The names of artists by their spelling here."""
        return {" ".join(key): name for key, name in self.artists_by_words.items()}


@dataclass
class ReadText:
    """What was found in a text."""

    wishes: list[Wish] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    near: list[NearMiss] = field(default_factory=list)


def tokens(text: str) -> list[str]:
    """The words of a text in lower case, with `BOUNDARY` for punctuation. Hyphens part words, apostrophes do not."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    found = _TOKEN.findall(folded.replace("\0", " "))
    words = (each.translate(_APOSTROPHES) if each[0].isalnum() or len(each) > 1 else BOUNDARY for each in found)
    return [each for each in words if each][:MOST_WORDS]


def read_text(text: str, names: KnownNames | None = None) -> ReadText:
    """Find the wishes in a text. Unknown words are kept; no text fails."""
    return _Reader(tokens(text), names or KnownNames()).read()


class _Reader:
    """One reading of the words of one text."""

    def __init__(self, words: Sequence[str], names: KnownNames) -> None:
        self._words = words
        self._names = names
        self._at = 0
        self._reach = 0  # how many words further a denial reaches
        self._denial_word = ""
        self._was_denied = False
        self._read = ReadText()

    def read(self) -> ReadText:
        while self._at < len(self._words):
            word = self._words[self._at]
            if word in (BOUNDARY, "but"):
                self._reach, self._was_denied = 0, False
                self._at += 1
            elif not any(step() for step in self._steps()):
                self._fall_back(word)
        return self._read

    def _steps(self) -> Iterable[Callable[[], bool]]:
        return (
            self._measure,
            self._compared_artist,
            self._phrase,
            self._genre,
            self._named_artist,
            self._denial,
        )

    def _found(self, length: int, wish: Wish) -> bool:
        words = " ".join(self._words[self._at : self._at + length])
        denied = self._reach > 0
        self._read.wishes.append(
            replace(wish, words=f"{self._denial_word} {words}" if denied else words, is_denied=denied)
        )
        self._at += length
        self._was_denied, self._reach = denied, 0
        return True

    def _measure(self) -> bool:
        found = measures.measure(self._words[self._at :])
        if found is None:
            return False
        length, measured = found
        return self._found(length, Wish("", measured.kind, ranges=measured.ranges, number=measured.number))

    def _compared_artist(self) -> bool:
        """Words like "similar to", with the artist that they name."""
        for triggers, kind in ((LIKE, "like"), (BY, "by")):
            for trigger in triggers:
                begun = trigger.split()
                if self._words[self._at : self._at + len(begun)] != begun:
                    continue
                start = self._at + len(begun)
                found = self._artist_at(start, guess=kind == "like" or trigger not in ("from", "of"))
                if found is None:
                    continue
                self._found(len(begun) + found[0], Wish("", kind, found[1]))
                self._further_artists(kind)
                return True
        return False

    def _further_artists(self, kind: str) -> None:
        while self._at + 1 < len(self._words) and self._words[self._at] in ("and", "or", BOUNDARY):
            found = self._artist_at(self._at + 1, guess=False)
            if found is None or PHRASES.get(tuple(self._words[self._at + 1 : self._at + 1 + found[0]])):
                return
            denied = self._read.wishes[-1].is_denied
            self._at += 1
            self._reach = REACH if denied else 0
            self._found(found[0], Wish("", kind, found[1]))

    def _artist_at(self, start: int, *, guess: bool) -> tuple[int, str] | None:
        """The artist whose name begins at a word: how many words it has, and the name."""
        by_words = self._names.artists_by_words
        for length in range(min(LONGEST_ARTIST, len(self._words) - start), 0, -1):
            name = by_words.get(tuple(self._words[start : start + length]))
            if name is not None:
                return length, name
        if not guess:
            return None
        following = self._words[start : start + LONGEST_ARTIST]
        end = following.index(BOUNDARY) if BOUNDARY in following else len(following)
        for length in range(min(end, 4), 0, -1):
            some = following[:length]
            spelling = " ".join(some)
            if len(spelling) <= FEWEST_LETTERS or tuple(some) in PHRASES or some[0] in FILLERS:
                continue
            best = process.extractOne(spelling, self._names.spellings.keys(), scorer=fuzz.ratio, score_cutoff=TAKEN)
            if best is not None:
                self._note_near(spelling, self._names.spellings[best[0]], best[1])
                return length, self._names.spellings[best[0]]
        return None

    def _phrase(self) -> bool:
        for length in range(min(LONGEST_PHRASE, len(self._words) - self._at), 0, -1):
            some = tuple(self._words[self._at : self._at + length])
            longer = self._names.genres_by_words.get(some) if length > 1 else None
            meaning = PHRASES.get(some) or (Meaning("genre", longer) if longer else None)
            if meaning is not None:
                return self._found(length, _wish(meaning))
        return False

    def _genre(self) -> bool:
        """A tag of songs that there are."""
        for length in range(min(LONGEST_PHRASE, len(self._words) - self._at), 0, -1):
            some = tuple(self._words[self._at : self._at + length])
            if some in self._names.genres_by_words and not (length == 1 and some[0] in FILLERS | NEGATIONS):
                return self._found(length, Wish("", "genre", self._names.genres_by_words[some]))
        return False

    def _named_artist(self) -> bool:
        """An artist who is named without any other word: the user wants songs like theirs."""
        found = self._artist_at(self._at, guess=False)
        if found is None:
            return False
        some = self._words[self._at : self._at + found[0]]
        if len(some) == 1 and (len(some[0]) <= FEWEST_LETTERS or some[0] in FILLERS | NEGATIONS):
            return False
        return self._found(found[0], Wish("", "like", found[1]))

    def _denial(self) -> bool:
        word = self._words[self._at]
        if word in NEGATIONS or (word in JOINS_NEGATION and self._was_denied):
            self._reach = REACH
            self._denial_word = self._denial_word if word in JOINS_NEGATION and self._was_denied else word
            self._at += 1
            return True
        return False

    def _fall_back(self, word: str) -> None:
        self._at += 1
        if word in FILLERS or word in JOINS_NEGATION:
            return
        self._reach = max(self._reach - 1, 0)
        best = None
        if len(word) >= FEWEST_LETTERS and not word.isdigit():
            best = process.extractOne(word, self._names.words, scorer=fuzz.ratio, score_cutoff=SUGGESTED)
        if best is not None and best[1] >= TAKEN:
            taken = tuple(best[0].split())
            meaning = PHRASES.get(taken)
            genre = self._names.genres_by_words.get(taken)
            self._note_near(word, best[0], best[1])
            self._at -= 1
            self._reach = min(self._reach + 1, REACH) if self._reach else 0
            if meaning is not None or genre is not None:
                self._found(1, _wish(meaning) if meaning else Wish("", "genre", genre or ""))
                return
            self._at += 1
        elif best is not None:
            self._read.near.append(NearMiss(word=word, known=best[0], likeness=round(best[1], 1), taken=False))
        self._read.unknown.append(word)

    def _note_near(self, word: str, known: str, likeness: float) -> None:
        self._read.near.append(NearMiss(word=word, known=known, likeness=round(likeness, 1), taken=True))


def _wish(meaning: Meaning) -> Wish:
    return Wish("", meaning.kind, meaning.value, meaning.ranges, is_synonym=meaning.is_synonym)
