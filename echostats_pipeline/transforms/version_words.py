"""Words of titles that name versions of a song, its editions and its parts.

All patterns are of titles in lower case, in the form of `plain`. Words are one kind only if they mean the same
recording: ``Ao Vivo`` is ``Live``, but a dub is no remix.
"""

import re
import unicodedata
from functools import lru_cache

EDITIONS = re.compile(
    r"re-?master\w*|mastered|remasteri[sz]\w*|rimasterizzat\w*|ремастер\w*|(?:\d+年)?(?:デジタル)?リマスター(?:版|音源)?|"
    r"deluxe|expanded|anniversary|mono|stereo|bonus|explicit|clean|single|album|lp|original|standard|reissue"
)
"""Words of editions of one recording. A part is an edition if it has one of these and nothing but words beside it."""
FILLERS = re.compile(
    r"\d+|\d+(?:st|nd|rd|th)|version|versions|ver|versao|edition|edicion|edicao|mix|track|digital|digitally|the|super|"
    r"special|full|in|and|recording|audio|official|hd|hq|lyrics?|explicit\w*|re|s"
)
"""Words that say nothing in any part."""
BESIDE_EDITIONS = re.compile(
    r"\d+er|\d*bits?|\d*khz|hi|hires|high|res|resolution|definition|new|newly|latest|nue[bv][oa]|nov[oa]|nuov[oa]|nouveau|nouvelle|"
    r"neue?|year|anno?|annee|jahre?|en|em|im|nel|de[li]?|do|da|la|le|les|el|for|from|by|of|tapes?|masters?|cd|vinyl|"
    r"digitale?s?|digitalmente|numerique|numeriquement|edizione|versione|ausgabe|auflage|fassung"
)
"""Words that say nothing beside the word of an edition: ``24-Bit Remaster``, ``Remastered en 2009``."""
OF_RELEASES = frozenset(
    {"film", "movie", "soundtrack", "studio", "cd", "vinyl", "itunes", "hit", "main", "amended", "dirty", "uncensored"}
    | {"45", "censored", "international", "uk", "us", "usa", "eu", "european", "domestic"}
)
"""Words that say only where a version was released."""

_AS_PLAYED = r"(?= (?:version|ver|cover|arrangement|rendition|instrumental|solo|mix|edit|karaoke)\b)"
_INSTRUMENTS = {
    **{
        name: name
        for name in (
            *("ukulele", "violin", "cello", "harp", "flute", "organ", "harpsichord", "marimba", "kalimba", "music box"),
            *("accordion", "trumpet", "banjo", "mandolin", "brass"),
        )
    },
    "guitar": r"guitars?|guitarra|guitare|gitarre",
    "saxophone": r"sax(?:ophone)?",
}
_LANGUAGES = {
    **{
        name: name
        for name in (
            *("cantonese", "mandarin", "hebrew", "hindi", "tamil", "telugu", "kannada", "malayalam", "bengali", "thai"),
            *("punjabi", "indonesian", "greek", "dutch", "swedish", "turkish", "polish", "ukrainian", "arabic"),
            "spanglish",
        )
    },
    "spanish": r"spanish|espanol\w*|castellano|espagnole?|spanische?",
    "english": r"english|ingles[ae]?|anglaise?|englische?",
    "french": r"french|francaise?|frances[ae]?|franzosische?",
    "german": r"german|deutsche?r?|aleman[ae]?|tedesc[oa]|allemande?",
    "italian": r"italian[oae]?|italienne?|italienische?",
    "portuguese": r"portugues[ae]?|portugaise?",
    "japanese": r"japanese|japones[ae]?|日本語",
    "korean": r"korean|한국어|韓国語",
    "chinese": r"chinese|中文|国語|中国語",
    "russian": r"russian|русская",
}
_IN_LANGUAGE = r"(?: (?:language )?(?:version|ver|fassung|lyrics|vocals?)\b)"
_VERSION_IN = r"\b(?:version|versione|versao) (?:(?:en|em|in|auf|de) )?"


def _played_on(names: str) -> str:
    return rf"\b(?:{names})\b{_AS_PLAYED}|^(?:solo )?(?:{names})$|\b(?:on|for|acoustic|classical) (?:{names})$"


def _sung_in(names: str) -> str:
    return (
        rf"\b(?:{names}){_IN_LANGUAGE}|{_VERSION_IN}(?:{names})\b|^(?:(?:sung )?(?:in|en|em|auf) )?(?:{names})$|"
        rf"^(?:{names}) ?(?:ver|version|版|버전)"
    )


_DEGREES = ("super", "ultra", "extra", "mega", "hyper", "very", "extremely", "slightly")
_CHANGED = r"(?:slow|sped|speed|reverb|fast|boost|pitch)"
_SPEEDS = {
    "sped up": r"\b(?:sped|speed(?:ed)?)[ -]?up\b",
    "slowed": r"\bslow(?:ed)?(?: down)?\b",
    "faster": r"\bfast(?:er)? (?:version|ver)\b|^fast(?:er)?$",
    "slower": r"\bslower (?:version|ver)\b|^slower$",
    **{f"{degree} so": rf"\b{degree}\b(?=.*\b{_CHANGED})" for degree in _DEGREES},
    "reverb": r"\breverb(?:ed)?\b",
    "nightcore": r"\bnightcore\b",
    "daycore": r"\bdaycore\b",
}
SPEEDS = frozenset(_SPEEDS)
"""Kinds of versions that are a recording at another speed; each track of an album may name its own."""
_WORDS = {
    # Recordings of concerts. All unplugged concerts are live; few live recordings are unplugged.
    "live": r"\blive\b|\bunplugged\b|\b(?:in|en|em) conc(?:ert|ierto|erto)\b|\b(?:en|ao|dal) vivo\b|"
    r"\ben (?:direct[eo]|public|viu)\b|\bkonzert\b|\bna zywo\b|\bnazivo\b|\bcanl\u0131\b|"
    r"ライブ|ライヴ|концерт|라이브|现场|現場",
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
    "12 inch": r"\b12inch\b",
    "7 inch": r"\b7inch\b",
    "long": r"\blong version\b",
    "club": r"\bclub(?= (?:mix|version|edit|remix))",
    # Other instruments.
    "acoustic": r"\bac[ou]+sti[ck]\w*|\bakustik\w*|\bacoustique\b|アコースティック",
    "stripped": r"\bstripped\b",
    "piano": r"\bpiano\b|ピアノ",
    "orchestral": r"\borchest\w*|\borquest\w*|オーケストラ",
    "symphonic": r"\bsymphon\w*|\bsinfonic\w*|\bphilharmon\w*",
    "strings": r"\bstrings?\b",
    "choir": r"\bchoir\b|\bchoral\b",
    **{kind: _played_on(names) for kind, names in _INSTRUMENTS.items()},
    "8 bit": r"\b8[ -]?bit\b|\bchiptune\b",
    # Other words.
    **{kind: _sung_in(names) for kind, names in _LANGUAGES.items()},
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
    **_SPEEDS,
    "8d": r"\b8d\b",
    "chopped": r"\bchopped\b",
    "pitched": r"\bpitched\b",
    "bass boosted": r"\bbass[ -]?boost(?:ed)?\b",
    "lo-fi": r"\blo[ -]?fi\b",
    "hardstyle": r"\bhardstyle\b",
    "phonk": r"\bphonk\b",
    "muffled": r"\bmuffled\b",
    "drumless": r"\bdrumless\b|\bno drums\b",
    "432 hz": r"\b432 ?hz\b",
    # Recorded again.
    "recorded again": r"\bre-?record\w*|\bnew(?:ly)? record\w*|\bnew version\b",
    "own version": r"(?<=\w)['\u2019]s version\b",
    "of a year": r"(?<=^(?:19|20)\d\d )(?:version|recording)$|^version (?=(?:19|20)\d\d$)",
    "reimagined": r"\bre-?imagined\b",
    "revisited": r"\brevisited\b",
}
VERSIONS = {kind: re.compile(words) for kind, words in _WORDS.items()}
"""Words that name versions of a song, by kind; they are looked for in brackets and after a dash."""
EDITED_BY_OTHERS = "edited by others"
"""The kind of a ``Someone Edit``."""
OTHER_VERSION = "other version"
"""The kind of a ``Jazz Version``, whose words are of no kind."""
VERSION = re.compile(r"\b(?:versions?|ver|versione|versao|fassung)\b")
"""The word of a version in several languages."""
EDIT = re.compile(
    r"(?:\b(radio|single|video|short|album|tv) )?\b(?:edit(?:ed)?)\b|\b(radio|short|video|tv) (?:version|mix)\b"
)
"""Edits of a recording, and whose or what for they are."""
ALBUM_VERSIONS = {
    "live": re.compile(
        r"^live$|^live (?:at|from|in|on|@|\d)|\blive (?:at|from) |\blive in (?:the )?\w+$|[(\[:,-] ?live\b|"
        r"\blive \d{4}|"
        r"(?<!\bwe)(?<!\bi)(?<!\byou)(?<!\bthey)(?<!\bto)(?<!\blong)(?<!\bpeople) live(?: album)?$|^(?!.*\bmix)"
        r".*(?:\bunplugged\b|\b(?:in|en) conc(?:ert|ierto)\b|\b(?:en|ao|dal) vivo\b|\ben directo\b)"
    ),
    "unplugged": re.compile(r"^(?!.*\bmix).*\bunplugged\b"),
    "acoustic": re.compile(r"^acoustic\b|[(\[] ?acoustic\b|\bacoustic (?:version|versions|sessions|album)\b"),
    "demo": re.compile(r"\bdemos\b|[(\[](?:the )?demo"),
    "piano": re.compile(r"\bpiano versions?\b|[(\[]piano\b"),
    "tribute": re.compile(r"\btribute to\b"),
    "in the style of": re.compile(r"\bmade famous\b|\bin the style of\b"),
    "karaoke": re.compile(r"\bkaraoke\b"),
    "instrumental": re.compile(r"\binstrumentals\b|[(\[]instrumental|\binstrumental version"),
    "sped up": re.compile(r"\bsped[ -]?up\b|[(\[]speed(?:ed)?[ -]?up\b"),
    "slowed": re.compile(r"(?:[(\[:]|\s[-\u2010-\u2014~]\s).*\bslowed\b|\bslowed\b.*\breverb|^slowed\b"),
    "reverb": re.compile(r"\bslowed\b.*\breverb"),
    "nightcore": re.compile(r"\bnightcore\b"),
    "daycore": re.compile(r"\bdaycore\b"),
    "recorded again": re.compile(r"\bre-?record(?:ed|ings?)\b"),
    "own version": re.compile(r"\w['\u2019]s version[)\]]"),
}
"""Words of album titles that hold for every track of the album; remixes and edits are named by the tracks."""
OF_TRACKS = frozenset(
    {"session", "remix", "mix", "mixed", "rework", "bootleg", "mashup", "dub", "flip", "refix", "vip", "extended"}
    | {"12 inch", "7 inch", "long", "club", "alternative", "take", "rough mix", "of a year"}
)
"""Kinds that say nothing of the tracks of an album that is called so."""
PLAYED = frozenset({"piano", "orchestral", "symphonic", "strings", "choir", *_INSTRUMENTS})
"""Kinds that an album's title names only with the word `VERSION`: ``Mozart: Piano`` is no version of anything."""
OF_ALBUMS = frozenset({"version", "versions", "ver", "ep", "lp", "album", "single", "the", "and", "tracks", "songs"})
"""Words beside a version in the name of an album of nothing else."""

_ROMAN = ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x")
_IN_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {
    **{f"{ten}{one}": tens * 10 + ones for tens, ten in enumerate(("", "x")) for ones, one in enumerate(_ROMAN)},
    **{word: number for number, word in enumerate(_IN_WORDS, start=1)},
}
_NUMBER = rf"(?:\d{{1,2}}|[ivx]+|{'|'.join(_IN_WORDS)})"
NUMBERED = (
    r"(?:(?P<part>parts?|pts?|partes?|parties?|teile?)|vols?|volumes?)"
    rf"(?:\.?\s*\d{{1,2}}|(?:\.\s*|\s+){_NUMBER})(?:\s?(?:[-\u2010-\u2014/,+&]|and|to)\s?{_NUMBER})*\b"
)
"""The number of a part of a song: ``Pt. 2``, ``Part II``, ``Parts 1-5``."""
AT_THE_END = (
    (
        rf"[\s,:;]+(?:(?:{'|'.join(_DEGREES)}) )?"
        r"(?:(?:sped|speed)[ -]?up|slowed(?: down)?|nightcore|daycore|bass[ -]?boosted"
        r"|(?:acoustic|live|instrumental|karaoke|piano|guitar) version)"
        r"(?:\s?(?:\+|&|and|x|n)?\s?reverb(?:ed)?)?(?: version)?[\s\"'\u2019\u201d]*$"
    ),
    rf"[\s,:;]+{NUMBERED}(?:[:,;]\s.*)?[\s\"'\u2019\u201d]*$",
)
"""What parts a title may end with, though neither bracket nor dash parts it from the name.

No song is called so, or it does no harm: what is cut off a name is read as a part of the title.
"""


def plain(text: str) -> str:
    """A text in lower case without the accents of letters; inches and numbers of parts in one form."""
    letters = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", text))
    inches = re.sub(
        r"\b(12|7)(?:\s?(?:\"|''|”|\u2032\u2032)|[\s-]?inch\b)", r"\1inch ", unicodedata.normalize("NFC", letters)
    )
    return re.sub(rf"\b{NUMBERED}", _in_one_form, inches)


@lru_cache(8_192)
def kinds(part: str) -> frozenset[str]:
    """The kinds of versions that a part of a title, as `plain` returns it, names."""
    return frozenset(kind for kind, pattern in VERSIONS.items() if pattern.search(part))


def is_edition(words: list[str]) -> bool:
    """Whether words name an edition of the same recording."""
    return any(EDITIONS.fullmatch(word) for word in words) and all(
        EDITIONS.fullmatch(word) or FILLERS.fullmatch(word) or BESIDE_EDITIONS.fullmatch(word) for word in words
    )


def says_nothing(words: list[str]) -> bool:
    """Whether words of a part say nothing of the song."""
    return all(EDITIONS.fullmatch(word) or FILLERS.fullmatch(word) for word in words)


def without(part: str, named: frozenset[str]) -> str:
    """A part of a title without the words of these kinds of versions."""
    left = list(part)
    for kind in named:
        for match in VERSIONS[kind].finditer(part):
            left[match.start() : match.end()] = " " * len(match[0])
    return "".join(left)


def _in_one_form(numbered: re.Match[str]) -> str:
    label, found = ("pt" if numbered["part"] else "vol"), re.findall(r"\d+|[a-z]+", numbered[0])[1:]
    numbers = [str(_NUMBERS.get(each, each)) for each in found if each not in {"and", "to"}]
    return label + "and".join(number.lstrip("0") or "0" for number in numbers)
