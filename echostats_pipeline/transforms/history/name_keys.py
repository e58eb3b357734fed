"""Reduces names to comparable keys: no commas and quotes, no guests, no words that mark an edition.

The keys help to find out whether two sources report the same play, together with its instants. They are no identities:
ids are made of the full names (``identity``).
"""

import re
import unicodedata
from collections.abc import Iterable

import polars as pl

from echostats_pipeline.transforms.history.identity import normalised_name
from echostats_pipeline.transforms.history.named_rows import named_identities

COMPARED = {
    "identity": pl.String(),
    "titles": pl.List(pl.String()),
    "bare_title": pl.String(),
    "artist": pl.String(),
    "artist_words": pl.List(pl.String()),
}
"""The forms in which names are compared.

The id made of the names; forms of the title, one of which has to agree; the title without words that mark a remaster;
the artist in one piece, and in words.
"""

_GUESTS_IN_BRACKETS = re.compile(r"[(\[{]\s*(?:feat|ft|featuring|with)\b[^)\]}]*[)\]}]")
_GUESTS = re.compile(r"\s(?:-\s*)?(?:feat|ft|featuring)\b.*?(?=\s-\s|$)|\s-\s*with\b.*?(?=\s-\s|$)")
_REMASTER = re.compile(
    r"\s*[-(\[]?\s*(?:\d{4}\s*-?\s*)?(?:digital(?:ly)?\s+)?remaster(?:ed)?(?:\s+version)?(?:\s+\d{4})?\s*[)\]]?\s*$"
)
_CONNECTING = frozenset(("and", "feat", "ft", "featuring", "with"))
_WITHIN_WORDS = "'`\u00b4\u02bc\u2018\u2019"
"""Apostrophes, and characters used in their place."""


def compared(names: Iterable[tuple[str, str]]) -> pl.DataFrame:
    """Artists and titles in the forms in which they are compared: a frame of `COMPARED`, in the same order."""
    names = list(names)
    forms = {pair: _forms(*pair) for pair in set(names)}
    columns = pl.DataFrame([forms[pair] for pair in names], schema=list(COMPARED)[1:], orient="row")
    frame = columns.with_columns(identity=named_identities(names))
    return frame.select(pl.col(name).cast(dtype) for name, dtype in COMPARED.items())


def _forms(artist: str, title: str) -> tuple[list[str], str, str, list[str]]:
    artist, title = normalised_name(artist), normalised_name(title)
    without_guests = _GUESTS.sub("", _GUESTS_IN_BRACKETS.sub("", title))
    titles = list(dict.fromkeys((_in_one_piece(title), _in_one_piece(without_guests, instead=title))))
    bare = _in_one_piece(_REMASTER.sub("", without_guests), instead=title)
    words = _words(artist)
    return titles, bare, "".join(words), sorted(set(words))


def _in_one_piece(name: str, *, instead: str = "") -> str:
    """The letters and digits of a name; the whole name if it has none."""
    return "".join(_words(name if name.strip() or not instead else instead))


def _words(name: str) -> list[str]:
    """The words of a normalised name, without words that join artists; the whole name if it has no letter."""
    kept = "".join(
        each if each.isalnum() or unicodedata.category(each)[0] == "M" else "" if each in _WITHIN_WORDS else " "
        for each in name
    )
    words = kept.split()
    return [word for word in words if word not in _CONNECTING] or words or [name.replace(" ", "")]
