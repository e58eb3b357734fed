"""Reads titles: which words name the song, and which name the version of it (live, remix, remaster).

Titles carry versions in brackets or after a dash. Each such part is one of these:

- guests (``feat. X``), or an edition of the same recording (``Remastered 2011``, ``Deluxe``): it says nothing;
- a version: another recording of the song, or another treatment of it;
- anything else (``Pt. 2``): it belongs to the name.
"""

import re
from typing import NamedTuple

import polars as pl

from echostats_pipeline.transforms.history.identity import normalised_name


class Title(NamedTuple):
    """A title, read together with the title of its album.

    Attributes:
        details: Parts in brackets or after a dash that distinguish titles of one stem: letters and digits only.
        versions: Kinds of versions (`VERSIONS`) that title and album name; empty for the original.
        edited: Whether the title names an edit (``Radio Edit``), which may be as long as the original.
    """

    details: tuple[str, ...]
    versions: frozenset[str]
    edited: bool


_OPENING, _CLOSING, _DASHES = r"(\[{【「", r")\]}】」", "-\u2010\u2011\u2012\u2013\u2014~"
_QUOTES = " '\"([{\u201c\u2018"
"""Characters with which a title may begin, and that say nothing."""
_GUEST_WORDS = "feat|ft|featuring"
_PART = re.compile(rf"[{_OPENING}]([^{_OPENING}{_CLOSING}]*)(?:[{_CLOSING}]|$)")
_DASH = re.compile(rf"\s[{_DASHES}]\s")
_BEGIN_OF_PARTS = rf"(?:[{_OPENING}]|\s[{_DASHES}]\s|\s(?:{_GUEST_WORDS})(?:\.|\s)).*$"
_GUESTS = re.compile(rf"^(?:{_GUEST_WORDS}|with (?!(?:me|you|us|him|her|love|a|my|your)\b)|w/|prod|produced by)\b")
_ORIGIN = re.compile(r"^(?:music )?from\b|\b(?:motion picture|soundtrack)\b")
_WORD = re.compile(r"\w+")

_EDITIONS = re.compile(
    r"remaster\w*|remasteri[sz]\w*|rimasterizzat\w*|deluxe|expanded|anniversary|mono|stereo|bonus|explicit|clean|"
    r"single|album|lp|original|standard|reissue"
)
"""Words of editions of one recording. A part is an edition if it has one of these and nothing but `_FILLERS`."""
_FILLERS = re.compile(
    r"\d+|\d+(?:st|nd|rd|th)|version|versión|versão|edition|edición|edição|mix|track|digital|digitally|the|super|"
    r"special|full|in|and|recording|audio|official|hd|hq|lyrics?|explícit\w*|re|s"
)
_LIVE = r"\blive\b|\bunplugged\b|\bin concert\b|\bsessions?\b|\b(?:en|ao|dal) vivo\b|\ben (?:directo|concert|public)\b"
_WORDS = {
    "live": rf"{_LIVE}|\bkonzert\b|ライブ|ライヴ|концерт",
    "remix": r"remix\w*|\brmx\b|\bmix\b|\bmixed\b|\brework|\bbootleg\b|\bmash-?up\b|\bdub\b|\bflip\b|\brefix\b|\bvip\b|"
    r"\bremezcla|ремикс|リミックス",
    "extended": r"\bextended\b|\b(?:12|7)\s?(?:\"|''|inch\b)|\blong version\b|\bclub (?:version|edit)\b",
    "acoustic": r"\bac[ou]+sti[ck]\w*|\bacústic\w*|\bakustik\w*|\bacoustique\b|\bstripped\b|\bpiano version\b|"
    r"\borchestral\b|\bsymphonic\b|アコースティック",
    "demo": r"\bdemos?\b|\brehearsal\b|\bout-?takes?\b|\balternat(?:e|ive) (?:take|version|mix)\b|\btake \d+|"
    r"\bearly version\b|\brough mix\b",
    "cover": r"\bcover(?:ed)?\b|\btribute\b|\bmade famous\b|\bin the style of\b|\boriginally performed\b|カバー",
    "karaoke": r"\bkaraoke\b|\bbacking track\b|\bsing-?along\b|カラオケ|караоке",
    "instrumental": r"\binstr(?:umental(?:e|es|s)?)?\b|インスト",
    "vocals only": r"\ba\s?cc?app?ell?a\b",
    "speed": r"\b(?:sped|speed(?:ed)?)[ -]?up\b|\bslow(?:ed)?\b|\breverb\b|\bnightcore\b|\b8d\b|\bchopped\b|"
    r"\bpitched\b",
    "recorded again": r"\bre-?recorded\b|\bnew recording\b|\w['\u2019]s version\b|\breimagined\b|\brevisited\b",
}
VERSIONS = {kind: re.compile(words) for kind, words in _WORDS.items()}
"""Words that name versions of a song, by kind; they are looked for in brackets and after a dash."""
_EDIT = re.compile(r"(?:\b(?:radio|single|video|short|album|tv) )?\bedit(?:ed)?\b|\b(?:radio|short) (?:version|mix)\b")
_ALBUM_VERSIONS = {
    "live": re.compile(
        r"^live$|^live (?:at|from|in|on|@|\d)|\blive (?:at|from) |\blive in (?:the )?\w+$|[(\[:,-] ?live\b|"
        r"\blive \d{4}|"
        r"(?<!\bwe)(?<!\bi)(?<!\byou)(?<!\bthey)(?<!\bto)(?<!\blong)(?<!\bpeople) live(?: album)?$|^(?!.*\bmix)"
        r".*(?:\bunplugged\b|\bin concert\b|\b(?:en|ao|dal) vivo\b|\ben directo\b)"
    ),
    "acoustic": re.compile(r"^acoustic\b|[(\[] ?acoustic\b|\bacoustic (?:version|versions|sessions|album)\b"),
    "demo": re.compile(r"\bdemos\b|[(\[](?:the )?demo"),
    "cover": re.compile(r"\btribute to\b|\bmade famous\b|\bin the style of\b"),
    "karaoke": re.compile(r"\bkaraoke\b"),
    "instrumental": re.compile(r"\binstrumentals\b|[(\[]instrumental|\binstrumental version"),
}
"""Words of album titles that hold for every track of the album; remixes and edits are named by the tracks."""
_GENERIC = re.compile(
    r"(?:the)?(?:intro(?:duction|ducci[oó]n)?|introit|outro|interlude|interludio|skit|untitled|prelude|prologue|"
    r"epilogue|overture|hiddentrack|bonustrack|silence|blank|part|pt|teil|track|piste|titel|pista|chapter|act|opening|"
    r"ending|интро|無題)(?:\d*|[ivx]{0,5})|0?\d"
)


def stem(title: pl.Expr) -> pl.Expr:
    """Titles up to the first bracket, dash or guest: letters and digits only, in lower case.

    Two titles of one song have the same stem. Vectorised, because every title that a user ever played is compared. A
    title without any letter or digit keeps all its characters.
    """
    low = title.str.normalize("NFKC").str.to_lowercase().str.strip_chars_start(_QUOTES)
    return _letters(low.str.replace(_BEGIN_OF_PARTS, ""))


def artist_stem(artist: pl.Expr) -> pl.Expr:
    """Names of artists without guests, in the same form."""
    low = artist.str.normalize("NFKC").str.to_lowercase()
    return _letters(low.str.replace(rf"\s[{_OPENING}]?(?:{_GUEST_WORDS})(?:\.|\s).*$", ""))


def _letters(low: pl.Expr) -> pl.Expr:
    kept = low.str.replace_all("&", "and", literal=True).str.replace_all(r"[^\p{L}\p{N}\p{M}]+", "")
    return pl.when(kept == "").then(low).otherwise(kept)


def read_title(title: str, album: str = "") -> Title:
    """Read what follows the stem of a title, and what its album says of all its tracks."""
    text = normalised_name(title).lstrip(_QUOTES).replace("&", "and")
    details, versions, edited = list[str](), set[str](), False
    for part in _parts(text):
        if _GUESTS.match(part) or _ORIGIN.search(part):
            continue
        for piece in re.split(r"[/;|,]", part):
            words = _WORD.findall(piece)
            if not words or _is_edition(words):
                continue
            found = {kind for kind, pattern in VERSIONS.items() if pattern.search(piece)}
            rest = _WORD.findall(_without(piece, found))
            if not found and _EDIT.search(piece):
                rest = [word for word in _WORD.findall(_EDIT.sub(" ", piece)) if not word.isdecimal()]
                edited |= _says_nothing(rest)
                found = set() if _says_nothing(rest) else {"remix"}  # another artist's edit
            versions |= found
            if not _says_nothing(rest) or any(word.isdecimal() for word in rest):
                details.append("".join(words).replace("_", ""))
    return Title(tuple(details), frozenset(versions | _album_versions(album)), edited)


def is_generic(title_stem: str) -> bool:
    """Whether many different tracks have this title: ``Intro``, ``Untitled``, ``Track 1``."""
    return _GENERIC.fullmatch(title_stem) is not None


def edition_of(album: str) -> str:
    """An album's title without what marks an edition of it, to tell whether two tracks are on one album."""
    text = normalised_name(album)
    kept = _PART.sub(lambda part: "" if _is_edition(_WORD.findall(part[1])) else part[0], text)
    pieces = [
        piece for number, piece in enumerate(_DASH.split(kept)) if not number or not _is_edition(_WORD.findall(piece))
    ]
    return "".join(_WORD.findall(" ".join(pieces)))


def _parts(text: str) -> list[str]:
    """The parts of a title in brackets, after dashes, and after a guest's name."""
    parts = [match[1].strip() for match in _PART.finditer(text)]
    pieces = _DASH.split(_PART.sub(" ", text))
    return [*parts, *(piece.strip() for piece in pieces[1:])]


def _is_edition(words: list[str]) -> bool:
    return any(_EDITIONS.fullmatch(word) for word in words) and _says_nothing(words)


def _says_nothing(words: list[str]) -> bool:
    return all(_EDITIONS.fullmatch(word) or _FILLERS.fullmatch(word) for word in words)


def _without(piece: str, kinds: set[str]) -> str:
    for kind in kinds:
        piece = VERSIONS[kind].sub(" ", piece)
    return piece


def _album_versions(album: str) -> set[str]:
    text = normalised_name(album)
    return {kind for kind, pattern in _ALBUM_VERSIONS.items() if pattern.search(text)}
