r"""Rows that know names and a rough instant only: account data, and what scrobbling services and players export.

Their import keys hold all they say: ``<kind>|<instant>|<artist>\x1f<title>|<ms or nothing>|<n>``; where a listen tells
the id of the track at Spotify, ``<title>\x1f<id>``, and where it tells the ISRC only, ``<title>\x1f<ISRC>``, which the
keys of earlier versions lack.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl

from echostats_pipeline.transforms.history.identity import stable_id
from echostats_pipeline.transforms.history.matching import MINUTE_MS

NAMED_KINDS = ("basic", "listenbrainz", "koito", "maloja", "scrobblerlog", "lastfm")
"""Sources that know names and a rough instant, the most precise first."""
PRECISION_MS = {
    "basic": MINUTE_MS,
    **dict.fromkeys(("listenbrainz", "koito", "maloja", "scrobblerlog"), 0),
    "lastfm": MINUTE_MS,
}
"""How long the interval is in which the instant lies; Last.fm's exports may give minutes."""
STAMPED_AT_START = ("listenbrainz", "koito", "maloja", "scrobblerlog", "lastfm")
"""Sources whose instant is the start of a play, unless a client has sent the end."""
ROUGH_LENGTHS = ("maloja",)
"""Sources that round how long a play lasted, or have it from clients: it tells no two plays apart."""


def kind_of(import_key: str) -> pl.Expr:
    """The kind of source a column of import keys names: one of `NAMED_KINDS`, else null."""
    kind = pl.col(import_key).str.extract(r"^([a-z]+)\|")
    return pl.when(kind.is_in(NAMED_KINDS)).then(kind)


def kind_of_key(import_key: str) -> str | None:
    """As `kind_of`, of one key."""
    kind = import_key.partition("|")[0]
    return kind if kind in NAMED_KINDS else None


ISRC = "[A-Z]{2}[A-Z0-9]{3}[0-9]{7}"
"""The code of a recording, without the hyphens with which it is printed."""
_TELLING = re.compile(rf"(.*)\x1f(?:([0-9A-Za-z]{{22}})|({ISRC}))", re.DOTALL)
_TOLD = rf"(?s)\x1f([0-9A-Za-z]{{22}}|{ISRC})(\|[0-9]*\|[0-9]+)$"


class ParsedKey(NamedTuple):
    """What the import key of a named fact says."""

    stamp: datetime
    artist: str
    title: str
    ms_played: int | None
    track_id: str | None
    isrc: str | None


def parsed_key(key: str) -> ParsedKey:
    """Read the import key of a named fact."""
    kind, instant, rest = key.split("|", 2)
    names, ms_played, _ = rest.rsplit("|", 2)
    artist, _, title = names.partition("\x1f")
    told = _TELLING.fullmatch(title)
    track_id = isrc = None
    if told:
        title, track_id, isrc = told.groups()
    stamp = datetime.fromisoformat(f"{instant}Z") if kind == "basic" else datetime.fromtimestamp(int(instant), UTC)
    return ParsedKey(stamp, artist, title, int(ms_played) if ms_played else None, track_id, isrc)


def told_apart(import_key: str) -> tuple[pl.Expr, pl.Expr]:
    """A column of import keys as ``bare``, without the id or ISRC of the track, and ``tells``, which of them it has."""
    key = pl.col(import_key)
    told = key.str.extract(_TOLD, 1).str.len_chars().fill_null(0)
    return key.str.replace(_TOLD, "$2").alias("bare"), told.alias("tells")


def named_identities(names: Iterable[tuple[str, str]]) -> pl.Series:
    """The ids made of (artist, title): equal where the names are, but for spelling."""
    names = list(names)
    made = {pair: stable_id("unresolved", *pair) for pair in set(names)}
    return pl.Series([made[pair] for pair in names], dtype=pl.String)
