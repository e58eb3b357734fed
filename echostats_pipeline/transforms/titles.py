"""Reads titles: which words name the song, and which name the version of it (live, remix, remaster).

Titles carry versions in brackets or after a dash. Each such part is one of these:

- guests (``feat. X``), or an edition of the same recording (``Remastered 2011``, ``Deluxe``): it says nothing;
- a version: another recording of the song, or another treatment of it;
- anything else (``Pt. 2``): it belongs to the name.

`version_words` has the words.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import polars as pl

from echostats_pipeline.transforms.history.identity import normalised_name
from echostats_pipeline.transforms.version_words import (
    ALBUM_VERSIONS,
    AT_THE_END,
    EDIT,
    EDITED_BY_OTHERS,
    OF_ALBUMS,
    OF_RELEASES,
    OF_TRACKS,
    OTHER_VERSION,
    PLAYED,
    SPEEDS,
    VERSION,
    is_edition,
    kinds,
    plain,
    says_nothing,
    without,
)


class Title(NamedTuple):
    """A title, read together with the title of its album.

    Attributes:
        details: Parts in brackets or after a dash that distinguish titles of one stem: letters and digits only.
        versions: Kinds of versions (`version_words`) that title and album name; empty for the original.
        edit: The kind of edit that the title names (``radio``), which may be as long as the original; or empty.
        named: Words that name a version further: who made it, where, when.
        spelling: The stem with its words and signs, for titles that only letters and digits could confuse.
    """

    details: tuple[str, ...] = ()
    versions: frozenset[str] = frozenset()
    edit: str = ""
    named: frozenset[str] = frozenset()
    spelling: str = ""


_OPENING, _CLOSING, _DASHES = r"(\[{【「", r")\]}】」", "-\u2010\u2011\u2012\u2013\u2014~"
_QUOTES = " '\"([{\u201c\u2018"
"""Characters with which a title may begin, and that say nothing."""
_GUEST_WORDS = "feat|ft|featuring"
_PART = re.compile(rf"[{_OPENING}]([^{_OPENING}{_CLOSING}]*)(?:[{_CLOSING}]|$)")
_DASH = re.compile(rf"\s[{_DASHES}]\s")
_BEGIN_OF_PARTS = rf"(?:[{_OPENING}]|\s[{_DASHES}]\s|\s(?:{_GUEST_WORDS})(?:\.|\s)).*$"
_GUESTS = re.compile(
    rf"^(?:{_GUEST_WORDS}|w/|prod|produced by|with (?!(?:me|you|us|him|her|love|a|my|your)\b)"
    r"(?!.*\b(?:orchest|symphon|philharmon|string|choir)))\b"
)
_ORIGIN = re.compile(r"^(?:music )?from\b|\b(?:motion picture|soundtrack)\b")
_WORD = re.compile(r"\w+")
_YEAR = re.compile(r"(?:19|20)\d\d")
_COLON = re.compile(r":\s")
_NUMBERED = re.compile(r"(?:pt|vol)\d")
_SMALL = frozenset(
    {"at", "in", "on", "the", "from", "by", "of", "and", "with", "w", "x", "n", "to", "a", "version", "ver"}
    | {"en", "em", "im", "am", "de", "del", "desde", "dal", "al", "el", "la", "le", "les", "au", "aux", "y", "e", "et"}
)
"""Words of titles that name neither people nor places."""
_PAUSES = re.compile(r"[.,:;\"\u201c\u201d\u2026](?!\d)")
_ONE_SIGN = str.maketrans(
    {
        **dict.fromkeys("\u2019\u2018`\u00b4", "'"),
        **dict.fromkeys(f"{_DASHES}\u2212/|_\u00b7", " "),
        "\ufe0f": "",
        "\u266f": "#",
        "\u266d": "b",
    }
)
"""Signs that mean the same: apostrophes, and what parts words."""

_GENERIC = re.compile(
    r"(?:the)?(?:intro(?:duction|ducci[oó]n)?|introit|outro|interlude|interludio|skit|untitled|prelude|prologue|"
    r"epilogue|overture|hiddentrack|bonustrack|silence|blank|part|pt|teil|track|piste|titel|pista|chapter|act|opening|"
    r"ending|интро|無題)(?:\d*|[ivx]{0,5})|0?\d"
)


_BETWEEN_DIGITS = "="
"""Stands between two numbers, whatever parts them: ``24/7`` is ``24-7``, and not ``247``."""
_LETTERS, _SIGNS = r"\p{L}\p{N}\p{M}", r"\p{Sc}\p{Sm}\p{So}#%@"
"""Letters and digits, and signs that tell names apart. ``!`` and ``?`` do so only within words: ``P!nk``."""


def stem(title: pl.Expr) -> pl.Expr:
    """Titles up to the first bracket, dash or guest: letters, digits and signs that tell names apart, in lower case.

    Two titles of one song have the same stem. Vectorised, because every title that a user ever played is compared. A
    title without any letter, digit or such sign keeps all its characters.
    """
    low = title.str.normalize("NFKC").str.to_lowercase().str.strip_chars_start(_QUOTES)
    name = low.str.replace(_BEGIN_OF_PARTS, "")
    for end in AT_THE_END:
        name = name.str.replace(end, "")
    return _told_apart(name)


def artist_stem(artist: pl.Expr) -> pl.Expr:
    """Names of artists without guests, in the same form."""
    low = artist.str.normalize("NFKC").str.to_lowercase()
    return _told_apart(low.str.replace(rf"\s[{_OPENING}]?(?:{_GUEST_WORDS})(?:\.|\s).*$", ""))


def _told_apart(low: pl.Expr) -> pl.Expr:
    """Names without what spellings of one name differ in; ``C#`` is not ``C``, nor ``1.5`` ``15``, nor ``-1`` ``1``."""
    low = low.str.replace_all("\u266f", "#", literal=True).str.replace_all("\u266d", "b", literal=True)
    low = low.str.replace_all(r"(^|\s)[-\u2010-\u2014\u2212](\d)", "${1}\u2212${2}")
    kept = low.str.replace_all("&", "and", literal=True).str.replace_all(r"(\p{L})\s\+\s(\p{L})", "${1}and${2}")
    kept = kept.str.replace_all(r"(\d),(\d{3})(\D|$)", "${1}${2}${3}")
    for _ in range(2):  # the digits of one match may be needed by the next: 1.2.3
        kept = kept.str.replace_all(rf"(\p{{N}})[^{_LETTERS}{_SIGNS}]+(\p{{N}})", f"${{1}}{_BETWEEN_DIGITS}${{2}}")
    kept = kept.str.replace_all(r"[!?]+(\P{L}|$)", "${1}").str.replace_all(rf"[^{_LETTERS}{_SIGNS}!?]+|[|~©®]+", "")
    return pl.when(kept == "").then(low).otherwise(kept)


def read_title(title: str, album: str = "") -> Title:
    """Read what follows the stem of a title, and what its album says of all its tracks."""
    name, parts = _name_and_parts(normalised_name(title).lstrip(_QUOTES).replace("&", "and"))
    details, versions, named, edit = list[str](), set[str](), set[str](), ""
    for piece in _pieces(parts):
        words = _WORD.findall(piece)
        if is_edition(words):
            continue
        found = kinds(piece)
        rest = _WORD.findall(without(piece, found))
        if not found and (kind := EDIT.search(piece)):
            rest = [word for word in _WORD.findall(EDIT.sub(" ", piece)) if not word.isdecimal()]
            if says_nothing(rest):
                edit = kind[1] or kind[2] or "edit"
            else:
                found = frozenset({EDITED_BY_OTHERS})
        telling = {word for word in rest if word.isdecimal() or not says_nothing([word])}
        if not found and VERSION.search(piece) and telling - OF_RELEASES:
            found = frozenset({OTHER_VERSION})
        versions |= found
        if telling - _SMALL if found else telling:
            details.append("".join(words).replace("_", ""))
        if found:
            named |= telling - _SMALL
    of_album = album_versions(album)
    if versions & SPEEDS:
        of_album -= SPEEDS
    return Title(tuple(sorted(details)), frozenset(versions | of_album), edit, frozenset(named), _spelling(name))


def name_other_versions(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether words (`Title.named`) name two versions: other years, or other people or places."""
    (years, words), (other_years, other_words) = (_years_and_words(named) for named in (one, other))
    return _say_otherwise(years, other_years) or _say_otherwise(words, other_words)


@lru_cache(8_192)
def album_versions(album: str) -> frozenset[str]:
    """The kinds of versions that an album's title names for all its tracks."""
    text = normalised_name(album)
    found = {kind for kind, pattern in ALBUM_VERSIONS.items() if pattern.search(text)}
    for part in map(plain, _parts(_COLON.sub(" - ", text).replace("&", "and"))):
        of_part = kinds(part)
        rest = [word for word in _WORD.findall(without(part, of_part)) if not _NUMBERED.match(word)]
        of_whole = not (of_part & OF_TRACKS or (of_part & PLAYED and not VERSION.search(part)))
        if of_whole and OF_ALBUMS.issuperset(rest):
            found |= of_part
    if {"sped up", "slowed"} <= found:  # each of its tracks is only one of these
        found -= SPEEDS
    return frozenset(found)


def years_of(album: str) -> frozenset[str]:
    """The years that an album's title names."""
    return _years_and_words(frozenset(_WORD.findall(album)))[0]


def is_generic(title_stem: str) -> bool:
    """Whether many different tracks have this title: ``Intro``, ``Untitled``, ``Track 1``."""
    return _GENERIC.fullmatch(title_stem) is not None


def edition_of(album: str) -> str:
    """An album's title without what marks an edition of it, to tell whether two tracks are on one album."""
    text = normalised_name(album)
    kept = _PART.sub(lambda part: "" if is_edition(_WORD.findall(part[1])) else part[0], text)
    pieces = [
        piece for number, piece in enumerate(_DASH.split(kept)) if not number or not is_edition(_WORD.findall(piece))
    ]
    return "".join(_WORD.findall(" ".join(pieces)))


def _spelling(name: str) -> str:
    """The name of a song: its words, and signs but those of pauses."""
    spelled = _PAUSES.sub("", name.translate(_ONE_SIGN))
    return " ".join(spelled.split()).strip("'") or name


def _years_and_words(named: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    years = frozenset(filter(_YEAR.fullmatch, named))
    return years, named - years


def _say_otherwise(one: frozenset[str], other: frozenset[str]) -> bool:
    return bool(one and other) and not (one <= other or other <= one)


def _name_and_parts(text: str) -> tuple[str, list[str]]:
    """A title up to its first part, and its parts."""
    name, at_the_end = re.sub(_BEGIN_OF_PARTS, "", text), list[str]()
    for end in AT_THE_END:
        if found := re.search(end, name):
            name = name[: found.start()]
            at_the_end.append(found[0].lstrip(" ,:;"))
    return name or text, [*at_the_end, *_parts(text)]


def _parts(text: str) -> list[str]:
    """The parts of a title in brackets and after dashes."""
    parts = [match[1].strip() for match in _PART.finditer(text)]
    pieces = _DASH.split(_PART.sub(" ", text))
    return [*parts, *(piece.strip() for piece in pieces[1:])]


def _pieces(parts: list[str]) -> list[str]:
    """What the parts of a title say, one by one: a version is with its places and years, an edition without."""
    pieces = [piece for part in parts if not _GUESTS.match(part) and not _ORIGIN.search(part) for piece in _split(part)]
    kept = [piece for piece in pieces if not _YEAR.fullmatch(piece)]
    version = next((number for number, piece in enumerate(kept) if kinds(piece)), None)
    for number, piece in enumerate(pieces):
        if not _YEAR.fullmatch(piece) or _of_a_release(pieces[max(number - 1, 0) : number + 2], piece):
            continue
        if version is not None:
            kept[version] += f" {piece}"
        elif not (_of_a_release(kept, piece) or any(map(EDIT.search, kept))):
            kept.append(piece)
    return kept


def _of_a_release(pieces: list[str], year: str) -> bool:
    """Whether one of these pieces names an edition, and no other year of it."""
    of_editions = [words for words in map(_WORD.findall, pieces) if is_edition(words)]
    return any({year}.issuperset(word for word in words if _YEAR.fullmatch(word)) for words in of_editions)


def _split(part: str) -> list[str]:
    """The pieces of one part; what follows a version and is none (places, years) is with it."""
    whole, pieces = plain(part), list[str]()
    if is_edition(_WORD.findall(whole)):
        return [whole]
    for text in re.split(r"[/;|,]", whole):
        piece = text.strip()
        words = _WORD.findall(piece)
        if pieces and (_GUESTS.match(piece) or _ORIGIN.search(piece)):
            break
        is_more = not (kinds(piece) or is_edition(words) or EDIT.search(piece) or _NUMBERED.match(piece))
        if pieces and kinds(pieces[-1]) and is_more:
            pieces[-1] += f" {piece}"
        elif words:
            pieces.append(piece)
    return pieces
