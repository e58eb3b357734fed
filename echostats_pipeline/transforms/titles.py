"""Reads titles: which words name the song, and which name the version of it (live, remix, remaster).

Titles carry versions in brackets or after a dash. Each such part is one of these:

- guests (``feat. X``), or an edition of the same recording (``Remastered 2011``, ``Deluxe``): it says nothing;
- a version: another recording of the song, or another treatment of it;
- anything else (``Pt. 2``): it belongs to the name.

Words of versions are one kind only if they mean the same recording: ``Ao Vivo`` is ``Live``, but a dub is no remix.
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
_SMALL = frozenset({"at", "in", "on", "the", "from", "by", "of", "and", "with"})
"""Words of titles that name neither people nor places."""
_PAUSES = re.compile(r"[.,:;\"\u201c\u201d\u2026](?!\d)")
_ONE_SIGN = str.maketrans(
    {**dict.fromkeys("\u2019\u2018`\u00b4", "'"), **dict.fromkeys(f"{_DASHES}/|_\u00b7", " "), "\ufe0f": ""}
)
"""Signs that mean the same: apostrophes, and what parts words."""

_EDITIONS = re.compile(
    r"remaster\w*|remasteri[sz]\w*|rimasterizzat\w*|deluxe|expanded|anniversary|mono|stereo|bonus|explicit|clean|"
    r"single|album|lp|original|standard|reissue"
)
"""Words of editions of one recording. A part is an edition if it has one of these and nothing but `_FILLERS`."""
_FILLERS = re.compile(
    r"\d+|\d+(?:st|nd|rd|th)|version|versión|versão|edition|edición|edição|mix|track|digital|digitally|the|super|"
    r"special|full|in|and|recording|audio|official|hd|hq|lyrics?|explícit\w*|re|s"
)
_WORDS = {
    # Recordings of concerts. All unplugged concerts are live; few live recordings are unplugged.
    "live": r"\blive\b|\bunplugged\b|\b(?:in|en) concert\b|\b(?:en|ao|dal) vivo\b|\ben (?:directo|public)\b|"
    r"\bkonzert\b|ライブ|ライヴ|концерт",
    "unplugged": r"\bunplugged\b",
    "session": r"\bsessions?\b",
    # What others made of a recording.
    "remix": r"remix\w*|\brmx\b|\bremezcla\w*|ремикс|リミックス",
    "mix": r"(?<!radio )(?<!short )\bmix\b",
    "mixed": r"\bmixed\b",
    "rework": r"\brework\w*",
    "bootleg": r"\bbootleg\b",
    "mashup": r"\bmash-?up\b",
    "dub": r"\bdub\b",
    "flip": r"\bflip\b",
    "refix": r"\brefix\b",
    "vip": r"\bvip\b",
    # Other lengths.
    "extended": r"\bextended\b",
    "12 inch": r"\b12\s?(?:\"|''|”|″|-?inch\b)",
    "7 inch": r"\b7\s?(?:\"|''|”|″|-?inch\b)",
    "long": r"\blong version\b",
    "club": r"\bclub(?= (?:mix|version|edit|remix))",
    # Other instruments.
    "acoustic": r"\bac[ou]+sti[ck]\w*|\bacústic\w*|\bakustik\w*|\bacoustique\b|アコースティック",
    "stripped": r"\bstripped\b",
    "piano": r"\bpiano\b|ピアノ",
    "orchestral": r"\borchest\w*|\borquest\w*|オーケストラ",
    "symphonic": r"\bsymphon\w*|\bsinf[oó]nic\w*|\bphilharmon\w*",
    "strings": r"\bstrings?\b",
    "choir": r"\bchoir\b|\bchoral\b",
    # Recordings on the way to the song.
    "demo": r"\bdemos?\b",
    "rehearsal": r"\brehearsals?\b",
    "outtake": r"\bout-?takes?\b",
    "alternative": r"\balternat(?:e|ive) (?:take|version|mix)\b",
    "take": r"\btake(?= ?#?\d)",
    "early": r"\bearly version\b",
    "rough mix": r"\brough mix\b",
    # Recordings by others.
    "cover": r"\bcover(?:ed)?\b|カバー",
    "tribute": r"\btribute\b",
    "in the style of": r"\bmade famous\b|\bin the style of\b|\boriginally performed\b",
    "karaoke": r"\bkaraoke\b|カラオケ|караоке",
    "backing track": r"\bbacking track\b",
    "sing-along": r"\bsing-?along\b",
    # Recordings without voices, or with nothing else.
    "instrumental": r"\binstr(?:umental(?:e|es|s)?)?\b|インスト",
    "vocals only": r"\ba\s?cc?app?ell?a\b",
    # The same recording at another speed, or with other effects.
    "sped up": r"\b(?:sped|speed(?:ed)?)[ -]?up\b",
    "slowed": r"\bslow(?:ed)?\b",
    "more so": r"\b(?:super|ultra|extra|mega)\b(?=.*\b(?:slow|sped|speed|reverb))",
    "reverb": r"\breverb\b",
    "nightcore": r"\bnightcore\b",
    "8d": r"\b8d\b",
    "chopped": r"\bchopped\b",
    "pitched": r"\bpitched\b",
    # Recorded again.
    "recorded again": r"\bre-?record\w*|\bnew(?:ly)? record\w*",
    "own version": r"(?<=\w)['\u2019]s version\b",
    "of a year": r"(?<=^(?:19|20)\d\d )(?:version|recording)$|^version (?=(?:19|20)\d\d$)",
    "reimagined": r"\bre-?imagined\b",
    "revisited": r"\brevisited\b",
}
VERSIONS = {kind: re.compile(words) for kind, words in _WORDS.items()}
"""Words that name versions of a song, by kind; they are looked for in brackets and after a dash."""
EDITED_BY_OTHERS = "edited by others"
"""The kind of a ``Someone Edit``."""
_EDIT = re.compile(r"(?:\b(radio|single|video|short|album|tv) )?\b(?:edit(?:ed)?)\b|\b(radio|short) (?:version|mix)\b")
_ALBUM_VERSIONS = {
    "live": re.compile(
        r"^live$|^live (?:at|from|in|on|@|\d)|\blive (?:at|from) |\blive in (?:the )?\w+$|[(\[:,-] ?live\b|"
        r"\blive \d{4}|"
        r"(?<!\bwe)(?<!\bi)(?<!\byou)(?<!\bthey)(?<!\bto)(?<!\blong)(?<!\bpeople) live(?: album)?$|^(?!.*\bmix)"
        r".*(?:\bunplugged\b|\bin concert\b|\b(?:en|ao|dal) vivo\b|\ben directo\b)"
    ),
    "unplugged": re.compile(r"^(?!.*\bmix).*\bunplugged\b"),
    "acoustic": re.compile(r"^acoustic\b|[(\[] ?acoustic\b|\bacoustic (?:version|versions|sessions|album)\b"),
    "demo": re.compile(r"\bdemos\b|[(\[](?:the )?demo"),
    "piano": re.compile(r"\bpiano versions?\b|[(\[]piano\b"),
    "tribute": re.compile(r"\btribute to\b"),
    "in the style of": re.compile(r"\bmade famous\b|\bin the style of\b"),
    "karaoke": re.compile(r"\bkaraoke\b"),
    "instrumental": re.compile(r"\binstrumentals\b|[(\[]instrumental|\binstrumental version"),
    "sped up": re.compile(r"[(\[](?:sped|speed(?:ed)?)[ -]?up\b"),
    "slowed": re.compile(r"[(\[]slowed\b"),
    "nightcore": re.compile(r"[(\[]nightcore\b"),
    "recorded again": re.compile(r"\bre-?record(?:ed|ings?)\b"),
    "own version": re.compile(r"\w['\u2019]s version[)\]]"),
}
"""Words of album titles that hold for every track of the album; remixes and edits are named by the tracks."""
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
    return _told_apart(low.str.replace(_BEGIN_OF_PARTS, ""))


def artist_stem(artist: pl.Expr) -> pl.Expr:
    """Names of artists without guests, in the same form."""
    low = artist.str.normalize("NFKC").str.to_lowercase()
    return _told_apart(low.str.replace(rf"\s[{_OPENING}]?(?:{_GUEST_WORDS})(?:\.|\s).*$", ""))


def _told_apart(low: pl.Expr) -> pl.Expr:
    """Names without what spellings of one name differ in; ``C#`` is not ``C``, nor ``1.5`` ``15``."""
    kept = low.str.replace_all("&", "and", literal=True).str.replace_all(r"(\p{L})\s\+\s(\p{L})", "${1}and${2}")
    kept = kept.str.replace_all(r"(\d),(\d{3})(\D|$)", "${1}${2}${3}")
    for _ in range(2):  # the digits of one match may be needed by the next: 1.2.3
        kept = kept.str.replace_all(rf"(\p{{N}})[^{_LETTERS}{_SIGNS}]+(\p{{N}})", f"${{1}}{_BETWEEN_DIGITS}${{2}}")
    kept = kept.str.replace_all(r"[!?]+(\P{L}|$)", "${1}").str.replace_all(rf"[^{_LETTERS}{_SIGNS}!?]+|[|~©®]+", "")
    return pl.when(kept == "").then(low).otherwise(kept)


def read_title(title: str, album: str = "") -> Title:
    """Read what follows the stem of a title, and what its album says of all its tracks."""
    text = normalised_name(title).lstrip(_QUOTES).replace("&", "and")
    details, versions, named, edit = list[str](), set[str](), set[str](), ""
    for part in _parts(text):
        if _GUESTS.match(part) or _ORIGIN.search(part):
            continue
        for piece in re.split(r"[/;|,]", part):
            words = _WORD.findall(piece)
            if not words or _is_edition(words):
                continue
            found = {kind for kind, pattern in VERSIONS.items() if pattern.search(piece)}
            rest = _WORD.findall(_without(piece, found))
            if not found and (kind := _EDIT.search(piece)):
                rest = [word for word in _WORD.findall(_EDIT.sub(" ", piece)) if not word.isdecimal()]
                if _says_nothing(rest):
                    edit = kind[1] or kind[2] or "edit"
                else:
                    found = {EDITED_BY_OTHERS}
            versions |= found
            telling = {word for word in rest if word.isdecimal() or not _says_nothing([word])}
            if telling:
                details.append("".join(words).replace("_", ""))
            if found:
                named |= telling
    return Title(
        tuple(details), frozenset(versions | album_versions(album)), edit, frozenset(named - _SMALL), _spelling(text)
    )


def name_other_versions(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether words (`Title.named`) name two versions: other years, or other people or places."""
    (years, words), (other_years, other_words) = (_years_and_words(named) for named in (one, other))
    return _say_otherwise(years, other_years) or _say_otherwise(words, other_words)


def album_versions(album: str) -> frozenset[str]:
    """The kinds of versions that an album's title names for all its tracks."""
    text = normalised_name(album)
    return frozenset(kind for kind, pattern in _ALBUM_VERSIONS.items() if pattern.search(text))


def years_of(album: str) -> frozenset[str]:
    """The years that an album's title names."""
    return _years_and_words(frozenset(_WORD.findall(album)))[0]


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


def _spelling(text: str) -> str:
    """A title up to the first bracket, dash or guest: its words, and signs but those of pauses."""
    plain = _PAUSES.sub("", re.sub(_BEGIN_OF_PARTS, "", text).translate(_ONE_SIGN))
    return " ".join(plain.split()).strip("'") or text


def _years_and_words(named: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    years = frozenset(filter(_YEAR.fullmatch, named))
    return years, named - years


def _say_otherwise(one: frozenset[str], other: frozenset[str]) -> bool:
    return bool(one and other) and not (one <= other or other <= one)


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
    left = list(piece)
    for kind in kinds:
        for match in VERSIONS[kind].finditer(piece):
            left[match.start() : match.end()] = " " * len(match[0])
    return "".join(left)
