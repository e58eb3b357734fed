"""Names of genres: one spelling for all spellings of a genre, and the genres of an artist from the tags of a source.

Here: the table of names, and pure functions on them. Not here: who is asked for genres (`stages.artist_tags`).
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from echostats_pipeline.model.catalog import ArtistTag

SAME_GENRE: Mapping[str, tuple[str, ...]] = {
    "hip hop": ("hiphop", "rap hip hop", "hip hop rap"),
    "r&b": ("rnb", "r n b", "rhythm and blues", "rhythm & blues"),
    "drum and bass": ("drum n bass", "drum & bass", "dnb", "d n b", "d&b"),
    "rock and roll": ("rock n roll", "rock & roll", "rock 'n' roll"),
    "electronic": ("electronica", "electronic music"),
    "synth-pop": ("synth pop", "synthpop"),
    "electropop": ("electro pop",),
    "k-pop": ("korean pop",),
    "j-pop": ("japanese pop",),
    "lo-fi": ("lofi", "low fi"),
    "post-punk": (),
    "post-rock": (),
    "post-hardcore": (),
    "post-metal": (),
    "trip hop": ("triphop",),
    "downtempo": ("down tempo",),
    "shoegaze": ("shoe gaze", "shoegazing", "shoegazer"),
    "singer-songwriter": ("singer songwriters",),
    "alternative rock": ("alt rock", "alternativ rock"),
    "indie rock": ("indierock",),
    "indie pop": ("indiepop",),
    "indie folk": (),
    "dream pop": (),
    "nu metal": ("new metal",),
    "metalcore": ("metal core",),
    "heavy metal": (),
    "afrobeats": (),
    "reggaeton": ("reggaetón",),
    "bossa nova": (),
    "neo soul": (),
    "new wave": (),
    "uk garage": ("ukg",),
    "edm": ("electronic dance music",),
    "soundtrack": ("soundtracks", "ost", "original soundtrack"),
    "classical": ("classical music",),
    "psychedelic rock": ("psych rock",),
    "chanson française": ("chanson francaise", "french chanson"),
}
"""The name of a genre, and names that mean the same.

The first spelling is that of MusicBrainz (https://musicbrainz.org/genres), which keeps a list of genres with aliases;
the other names are such aliases, spellings seen in Spotify's artists (https://everynoise.com), and common tags of
Last.fm. Hyphens, spaces and capitals need no entry of their own: `genre_name` ignores them for the names in this table.
Only names of one genre are joined. A genre is never joined with a broader one: "indie rock" stays apart from "rock".
"""

PARTS: Mapping[str, str] = {
    "hip-hop": "hip hop",
    "hiphop": "hip hop",
    "rnb": "r&b",
    "lofi": "lo-fi",
    "synthpop": "synth-pop",
}
"""Spellings of words in names of more than one word: "german hip-hop" is "german hip hop"."""

MOST_GENRES = 5
"""The most genres that an artist gets from a source, the strongest: the tail of a list of tags is noise."""
LEAST_WEIGHT = 0.1
"""Tags with less than a tenth of the strongest tag are noise; Last.fm's counts below 10 of 100 are the same share."""

_PART = re.compile(rf"\b({'|'.join(map(re.escape, PARTS))})\b")
_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")


def _key(name: str) -> str:
    """The letters and digits of a name; ``&`` and ``'n'`` stay apart from "and", which the table joins."""
    return _NOT_ALPHANUMERIC.sub("", name.casefold().replace("&", "ǁ"))


_NAMES = {_key(each): name for name, others in SAME_GENRE.items() for each in (name, *others)}


@lru_cache(maxsize=20_000)
def genre_name(name: str) -> str:
    """The name of a genre in the spelling that joins all its spellings; a genre that the table lacks in lower case."""
    plain = _PART.sub(lambda part: PARTS[part[0]], " ".join(name.casefold().split()))
    return _NAMES.get(_key(plain), plain)


def genre_tags(counts: Iterable[tuple[str, float]], genres: Iterable[str]) -> list[ArtistTag]:
    """The genres among the tags of an artist, the strongest first.

    Args:
        counts: Tags with the number of votes for each; votes may be negative.
        genres: All names of genres; other tags ("seen live", years, countries) are left out.
    """
    known = {_key(name): name for name in map(genre_name, genres)}
    votes: dict[str, float] = {}
    strongest = 0.0
    for tag, count in counts:
        strongest = max(strongest, count)
        if (name := known.get(_key(genre_name(tag)))) is not None:
            votes[name] = max(count, votes.get(name, 0))
    kept = {name: count / strongest for name, count in votes.items() if strongest and count / strongest >= LEAST_WEIGHT}
    ranked = sorted(kept.items(), key=lambda each: (-each[1], each[0]))
    best = ranked[0][1] if ranked else 1.0
    return [ArtistTag(name=name, weight=round(weight / best, 3)) for name, weight in ranked]
