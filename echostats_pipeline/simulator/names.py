"""Generates names and identifiers: artists, titles, genres, base62 ids.

Belongs here: turning a random source or a key into text. Not here: the owners of names (``catalogue``, ``people``).
"""

import hashlib
import string
from random import Random

BASE62 = string.digits + string.ascii_lowercase + string.ascii_uppercase
ID_LENGTH = 22


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_SYLLABLES = _split(
    "ka lo mi ren sol dra vel no qui tar zu fen mar osk bri ell hon ju pas wre ily ost rav ten gul cam ber ido nys aum"
)
_WORDS = _split(
    "amber hollow paper river static lantern copper winter orchard signal velvet harbour mirror cinder meadow tower "
    "satellite feather granite echo parade marble thunder garden ribbon canyon"
)
_FORMS = ("{a} {b}", "{a}", "The {b}", "{b} of {a}", "{a} {a2}", "No More {b}", "{a} & the {b}", "{b} ({a} Version)")

GENRES = tuple(
    f"{style} {stem}".strip()
    for stem in ("pop", "rock", "techno", "jazz", "folk", "hip hop", "ambient", "metal", "soul", "house")
    for style in ("", "indie", "deep", "nordic")
)

# Names that break databases and parsers: dots and leading $ (MongoDB keys), other scripts, quotes, emoji, length.
DIRTY_ARTIST_NAMES = (
    "Mr. Osbo",
    "$ilvalane",
    "kal.i.mo",
    "...And Then Velno",
    "$",
    "Ñandú Köl",
    "Сольдра",
    "夜ノ森オルカ",
    'The "Quoted" Fens',
    "AC\\DRA",
    "🎧 Loqui",
    "مارسول",
    "Zu/Tar; Drop",
    "e\u0301clat",
    "The Orchestra of " + "Very ".join([""] * 40) + "Long Names",
)
DIRTY_TITLES = (
    "$5.00",
    "a.b.c",
    "- Untitled -",
    "Überfluß",
    "星の signal",
    "Wait, What? (feat. Mr. Osbo) [Live at Velno, 1999]",
    "Interlude " + "x" * 230,
)


def base62_id(*key: object) -> str:
    """Return the 22-character base62 id of `key`; equal keys give equal ids on every machine."""
    text = "/".join(map(str, key))
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest())
    digits = []
    for _ in range(ID_LENGTH):
        number, digit = divmod(number, len(BASE62))
        digits.append(BASE62[digit])
    return "".join(digits)


def image_hash(*key: object) -> str:
    """Return 40 hexadecimal characters, as in the address of a Spotify image."""
    return hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=20).hexdigest()


def invented_word(rng: Random) -> str:
    """Invent a capitalised word of two or three syllables."""
    return "".join(rng.choices(_SYLLABLES, k=rng.choice((2, 2, 3)))).capitalize()


def invented_name(rng: Random) -> str:
    """Invent a name of one or two words, for artists and users."""
    return " ".join(invented_word(rng) for _ in range(rng.choice((1, 2, 2))))


def invented_title(rng: Random) -> str:
    """Invent a title for a track, an album or a playlist."""
    form = rng.choice(_FORMS)
    return form.format(a=invented_word(rng), a2=invented_word(rng), b=rng.choice(_WORDS).capitalize())
