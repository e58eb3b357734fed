"""Makes ids for tracks without a Spotify id: from artist and title, the same in every run and source."""

import hashlib
import string
import unicodedata
from typing import Literal

import polars as pl

_BASE62 = string.digits + string.ascii_lowercase + string.ascii_uppercase
_PAIRS = [low + high for high in _BASE62 for low in _BASE62]
"""Two digits at a time, the lower one first, which halves the number of divisions."""
_ID_LENGTH = 22

IdPrefix = Literal["local", "unresolved"]
"""``local``: a file that Spotify played from the user's disk. ``unresolved``: an export row that names no id."""


MADE_UP = ("local:", "unresolved:")
"""Prefixes of the ids that are made of names."""


def normalised_name(name: str) -> str:
    """The form in which names are compared: NFKC, case folded, whitespace runs as one space, none at the ends."""
    # Case folding can undo the composition. The second NFKC makes the function idempotent.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())


def folded_name(name: str) -> str:
    """The form that all spellings of a name share; the name itself if nothing is left."""
    return normalised_name(name) or name


def folded(column: str) -> pl.Expr:
    """A column of names in the form that all their spellings share; an unknown name is empty."""

    def forms_of(names: pl.Series) -> pl.Series:
        forms = {name: folded_name(name) for name in names.unique()}
        return names.replace_strict(list(forms), list(forms.values()), return_dtype=pl.String)

    return pl.col(column).fill_null("").map_batches(forms_of, return_dtype=pl.String)


def made_up(track_id: pl.Expr) -> pl.Expr:
    """Whether ids are made of names."""
    return pl.any_horizontal(track_id.str.starts_with(prefix) for prefix in MADE_UP)


def stable_id(prefix: IdPrefix, artist: str, title: str) -> str:
    """``<prefix>:`` and 22 base62 characters from the SHA-256 of normalised artist, NUL, normalised title.

    The colon keeps these ids apart from Spotify's own, which are 22 base62 characters and nothing else.
    """
    digest = hashlib.sha256(f"{normalised_name(artist)}\0{normalised_name(title)}".encode()).digest()
    number = int.from_bytes(digest) % len(_BASE62) ** _ID_LENGTH
    pairs = []
    for _ in range(_ID_LENGTH // 2):
        number, remainder = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[remainder])
    return f"{prefix}:{''.join(pairs)}"
