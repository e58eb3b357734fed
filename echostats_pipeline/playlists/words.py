"""Reads a text from left to right: which words are wishes, and which are denied.

Belongs here: finding wishes. Not here: what they ask for together (`understanding`), and the words (`vocabulary`).
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile

from rapidfuzz import fuzz, process

from echostats_pipeline.model.playlists import NearMiss
from echostats_pipeline.playlists import grammar, measures
from echostats_pipeline.playlists.grammar import BY, FILLERS, JOINS_NEGATION, LIKE, ONLY
from echostats_pipeline.playlists.measured import Found, Measure
from echostats_pipeline.playlists.numbers import plain_numbers
from echostats_pipeline.playlists.vocabulary import (
    KNOWN_WORDS,
    LONGEST_PHRASE,
    PHRASES,
    WORDS_OF_ERAS,
    WORDS_OF_PHRASES,
    Kind,
    Meaning,
    Span,
)

MOST_WORDS = 200
"""Words of a text that are read."""
COMMA, STOP = ",", "."
"""Stand for punctuation, over which no denial reaches, except from one item of a list to the next."""
REACH = 2
"""A denial reaches so many words further."""
TAKEN, SUGGESTED = 87.0, 72.0
"""Likeness from which an unknown word is taken for a known one, or only shown beside it."""
LONGEST_ARTIST = 6
FEWEST_LETTERS = 4
SPELT_RIGHT = WORDS_OF_PHRASES | grammar.NOT_MISSPELT | WORDS_OF_ERAS
"""Words that are no misspelling of another."""
LONGEST_CONNECTIVE = max(map(len, grammar.NEGATIONS | grammar.IDIOMS))
_SYMBOLS = "\u2600-\u27bf\U0001f300-\U0001faff"
_TOKEN = re.compile(
    rf"\d+(?:\.\d+)?[%+]|\d{{1,2}}/\d{{1,2}}|\d*\.\d+|[^\W_]+(?:['’`&][^\W_]+)*|[<>]=?|[{_SYMBOLS}]|[,;.!?/()\[\]\n|]"  # noqa: RUF001
)
_APOSTROPHES = str.maketrans("", "", "'’`")  # noqa: RUF001
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "≤": "<=", "≥": ">="})
_JOINED = re.compile(r"(?<=\w\w\w)&(?=\w\w\w)")
"""Parts two words, while ``R&B`` stays one."""
_OF_PLAYS = re.compile(
    r"\b(?:listened to|heard|played|liked|loved|discovered)(?: \w+)? (?:in|during|since|last) "
    r"(?:the )?(?:(?:19|20)\d\d|year|spring|summer|autumn|fall|winter|month)\b"
)
"""What speaks of when songs were played."""
_UNSEEN = str.maketrans("\0", " ", "\u200d\ufe0f\u2640\u2642\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")
"""What parts of emoji are, and NUL."""
_REST_OF_LIST = re.compile(r"(?:(?:[^ ,.]+ ){1,3}, )*(?:[^ ,.]+ ){0,3}(?:or|nor) ")
"""What follows a comma in ``no slow, sad or boring songs``."""


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
    kind: Kind | Measure | str
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
    speaks_of_plays: bool = False
    """Whether it speaks of when songs were played, as in "most played in 2022"."""
    turns: list[int] = field(default_factory=list)
    """Wishes that the wish before turns into: "from calm to energetic"."""


def _spelt(text: str) -> list[str]:
    """The words of a text as they are spelt. Hyphens part words, apostrophes do not."""
    written = unicodedata.normalize("NFKC", plain_numbers(text)).translate(_LETTERS)
    found = _TOKEN.findall(written.translate(_UNSEEN))[:MOST_WORDS]
    return [part for word in found for part in _JOINED.split(word)]


def _folded(word: str) -> str:
    """A word in lower case, without accents and apostrophes; punctuation is `COMMA` or `STOP`."""
    letters = unicodedata.normalize("NFKD", word.casefold().translate(_LETTERS))
    plain = unicodedata.normalize("NFKC", re.sub("[\u0300-\u036f]", "", letters)).translate(_APOSTROPHES)
    if plain[:1].isalnum() or len(word) > 1 or word in "<>" or re.match(f"[{_SYMBOLS}]", word):
        return plain
    return COMMA if word == COMMA else STOP


def tokens(text: str) -> list[str]:
    """The words of a text in lower case and without accents, with `COMMA` and `STOP` for punctuation."""
    return [_folded(each) for each in _spelt(text)]


def read_text(text: str, names: KnownNames | None = None, this_year: int | None = None) -> ReadText:
    """Find the wishes in a text. Unknown words are kept; no text fails."""
    return _Reader(_spelt(text), names or KnownNames(), this_year).read()


class _Reader:
    """One reading of the words of one text."""

    def __init__(self, spelt: Sequence[str], names: KnownNames, this_year: int | None) -> None:
        self._spelt = spelt
        self._words = [_folded(each) for each in spelt]
        self._names = names
        self._this_year = this_year
        self._at = 0
        self._measured: Found = None  # what measure begins at this place
        self._reach = 0  # how many words further a denial reaches
        self._denial_word = ""
        self._was_denied = False
        self._ends: list[int] = []  # where each wish ends
        self._read = ReadText()

    def read(self) -> ReadText:
        self._read.speaks_of_plays = _OF_PLAYS.search(" ".join(self._words)) is not None
        while self._at < len(self._words):
            word = self._words[self._at]
            self._measured = measures.measure(self._words[self._at :], self._this_year)
            if self._was_denied and ((word == COMMA and self._goes_on()) or (word == "and" and self._adds_genre())):
                self._at += 1
                self._reach = REACH
            elif word in (COMMA, STOP):
                self._reach, self._was_denied = 0, False
                self._at += 1
            elif not any(step() for step in self._steps()):
                self._fall_back(word)
        return self._read

    def _goes_on(self) -> bool:
        """Whether a denial holds for the rest of a list, too: its end, "or", shows it."""
        return _REST_OF_LIST.match(" ".join(self._words[self._at + 1 :])) is not None

    def _adds_genre(self) -> bool:
        """Whether the words are like "without jazz and rock"."""
        return self._read.wishes[-1].kind == "genre" and self._is_genre(self._at + 1)

    def _steps(self) -> Iterable[Callable[[], bool]]:
        return (
            self._connective,
            self._long_artist,
            self._compared_artist,
            self._measure,
            self._phrase,
            self._genre,
            self._named_artist,
            self._denial,
        )

    def _found(self, length: int, wish: Wish) -> bool:
        words = " ".join(self._words[self._at : self._at + length])
        denied = self._reach > 0
        if not denied and self._begins_turn():
            self._read.turns.append(len(self._read.wishes))
        self._read.wishes.append(
            replace(wish, words=f"{self._denial_word} {words}" if denied else words, is_denied=denied)
        )
        self._at += length
        self._ends.append(self._at)
        self._was_denied, self._reach = denied, 0
        return True

    def _begins_turn(self) -> bool:
        """Whether the text goes over from the wish before to the words here: "from calm to energetic"."""
        if not self._ends or self._read.wishes[-1].is_denied:
            return False
        between = self._words[self._ends[-1] : self._at]
        state = set(self._words[self._at : self._at + 2]) & grammar.STATES
        return bool(state and set(between) & grammar.TURNS) and set(between) <= grammar.BESIDE_TURNS

    def _connective(self) -> bool:
        """Denials and idioms of several words; an exception to what was denied."""
        word = self._words[self._at]
        if word in grammar.EXCEPTIONS and self._was_denied:
            self._at += 1
            self._excepts()
            return True
        least = 0 if self._measured is None else self._measured[0]
        for length in range(min(LONGEST_CONNECTIVE, len(self._words) - self._at), least, -1):
            some = tuple(self._words[self._at : self._at + length])
            if some in grammar.IDIOMS and not self._has_phrase(length):
                self._at += length
                return True
            if length > 1 and some in grammar.NEGATIONS:
                return self._deny(length)
        return False

    def _has_phrase(self, length: int) -> bool:
        """Whether a phrase of so many words or more begins here."""
        longer = range(length, LONGEST_PHRASE + 1)
        return any(tuple(self._words[self._at : self._at + each]) in PHRASES for each in longer)

    def _deny(self, length: int) -> bool:
        self._denial_word = " ".join(self._words[self._at : self._at + length])
        self._at += length
        self._reach = REACH
        return True

    def _excepts(self) -> None:
        """The tag that stays allowed though a wider one is denied."""
        self._reach, self._was_denied = 0, False
        before = self._read.wishes[-1]
        if before.kind == "genre" and self._names.genres_by_words and (self._phrase() or self._genre()):
            after = self._read.wishes[-1]
            if after.kind == "genre" and before.value in after.value:
                self._read.wishes[-1] = replace(after, kind="allowed")

    def _long_artist(self) -> bool:
        """An artist whose name is longer than any other phrase here."""
        found = self._artist_at(self._at, guess=False)
        if found is None or found[0] < 2:  # noqa: PLR2004 - several words
            return False
        if (self._measured is not None and self._measured[0] > found[0]) or self._has_phrase(found[0]):
            return False
        return self._found(found[0], Wish("", "like", found[1]))

    def _measure(self) -> bool:
        if self._measured is None:
            return False
        length, measured = self._measured
        return self._found(length, Wish("", measured.kind, measured.value, measured.ranges, measured.number))

    def _compared_artist(self) -> bool:
        """Words like "similar to", with the artist that they name."""
        for triggers, kind in ((LIKE, "like"), (BY, "by"), (ONLY, "by")):
            for trigger in triggers:
                begun = trigger.split()
                if self._words[self._at : self._at + len(begun)] != begun:
                    continue
                start = self._at + len(begun)
                guess = kind == "like" or trigger not in ("from", "of", *ONLY)
                found = self._artist_at(start, guess=guess) or self._stranger_at(start, trigger)
                if found is None or (trigger in ONLY and self._means_else(start, found[0])):
                    continue
                self._found(len(begun) + found[0], Wish("", kind, found[1]))
                self._further_artists(kind)
                return True
        return False

    def _stranger_at(self, start: int, trigger: str) -> tuple[int, str] | None:
        """The name after "by" of somebody who is not among the artists; names are written with capitals."""
        if not trigger.endswith("by") or not self._names.artists:
            return None
        named = list(takewhile(lambda word: word[0].isupper(), self._spelt[start : start + LONGEST_ARTIST]))
        if not named or tuple(self._words[start : start + len(named)]) in PHRASES:
            return None
        return len(named), " ".join(named)

    def _further_artists(self, kind: str) -> None:
        while self._at + 1 < len(self._words) and self._words[self._at] in ("and", "or", COMMA):
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
        end = min((following.index(each) for each in (COMMA, STOP) if each in following), default=len(following))
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
            if some in self._names.genres_by_words and not (
                length == 1 and (some[0] in FILLERS or some in grammar.NEGATIONS)
            ):
                return self._found(length, Wish("", "genre", self._names.genres_by_words[some]))
        return False

    def _named_artist(self) -> bool:
        """An artist who is named without any other word: the user wants songs like theirs."""
        found = self._artist_at(self._at, guess=False)
        if found is None:
            return False
        is_compared = self._words[self._at + found[0] : self._at + found[0] + 1] == ["like"]
        if not is_compared and self._means_else(self._at, found[0]):
            return False
        self._found(found[0] + is_compared, Wish("", "like", found[1]))
        if self._was_denied:
            self._further_artists("like")
        return True

    def _means_else(self, start: int, length: int) -> bool:
        """Whether the words of an artist's name are more likely ordinary words."""
        some = tuple(self._words[start : start + length])
        if length > 1:
            return False
        if some in PHRASES or some[0] in FILLERS or some in grammar.NEGATIONS:
            return True
        is_marked = len(self._words) == 1 or (start > 0 and self._spelt[start][:1].isupper())
        return len(some[0]) <= FEWEST_LETTERS and not is_marked

    def _denial(self) -> bool:
        word = self._words[self._at]
        if word in JOINS_NEGATION and self._was_denied:
            self._reach = REACH
            self._at += 1
            return True
        return (word,) in grammar.NEGATIONS and self._deny(1)

    def _fall_back(self, word: str) -> None:
        self._at += 1
        if word in FILLERS or word in JOINS_NEGATION:
            return
        if self._reach and self._is_genre(self._at):
            self._read.unknown.append(f"{self._spelt[self._at - 1]} {self._spelt[self._at]}")
            self._at += 1
            self._reach = 0
            return
        self._reach = max(self._reach - 1, 0)
        if (near := self._nearest(word)) is not None:
            known, likeness = near
            if likeness >= TAKEN and known[0] == word[0]:
                taken = tuple(known.split())
                meaning, genre = PHRASES.get(taken), self._names.genres_by_words.get(taken)
                self._note_near(word, known, likeness)
                self._at -= 1
                self._reach = min(self._reach + 1, REACH) if self._reach else 0
                self._found(1, _wish(meaning) if meaning else Wish("", "genre", genre or ""))
                return
            self._read.near.append(NearMiss(word=word, known=known, likeness=round(likeness, 1), taken=False))
        self._read.unknown.append(self._spelt[self._at - 1].casefold())

    def _is_genre(self, place: int) -> bool:
        """Whether a tag begins at a word, so that the word before it makes another tag of it."""
        some = tuple(self._words[place : place + 1])
        meaning = PHRASES.get(some)
        return some in self._names.genres_by_words or (meaning is not None and meaning.kind == "genre")

    def _nearest(self, word: str) -> tuple[str, float] | None:
        """The known word that is most like an unknown one, and how like."""
        if len(word) < FEWEST_LETTERS or not word.isalpha() or word in SPELT_RIGHT:
            return None
        best = process.extractOne(word, self._names.words, scorer=fuzz.ratio, score_cutoff=SUGGESTED)
        return None if best is None else (best[0], best[1])

    def _note_near(self, word: str, known: str, likeness: float) -> None:
        self._read.near.append(NearMiss(word=word, known=known, likeness=round(likeness, 1), taken=True))


def _wish(meaning: Meaning) -> Wish:
    return Wish("", meaning.kind, meaning.value, meaning.ranges, is_synonym=meaning.is_synonym)
