r"""Reads the import keys of rows with only names and a rough instant: account data, exports of scrobbles and players.

A key contains all that its row says: ``<kind>|<instant>|<artist>\x1f<title>|<ms or nothing>|<n>``. If a listen has the
Spotify id of the track, the title is ``<title>\x1f<id>``; if it has only the ISRC, ``<title>\x1f<ISRC>``. Keys of
earlier versions may lack the id or the ISRC.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl

from echostats_pipeline.transforms.history.identity import stable_id
from echostats_pipeline.transforms.history.matching import MINUTE_MS
from echostats_pipeline.transforms.isrcs import ISRC

NAMED_KINDS = ("basic", "listenbrainz", "koito", "maloja", "scrobblerlog", "lastfm")
"""Sources with only names and a rough instant, the most precise first."""
PRECISION_MS = {
    "basic": MINUTE_MS,
    **dict.fromkeys(("listenbrainz", "koito", "maloja", "scrobblerlog"), 0),
    "lastfm": MINUTE_MS,
}
"""The length of the interval that contains the exact instant. Exports of Last.fm may have minutes only."""
STAMPED_AT_START = ("listenbrainz", "koito", "maloja", "scrobblerlog", "lastfm")
"""Sources whose instant is the start of a play, unless a client has sent the end."""
ROUGH_LENGTHS = ("maloja",)
"""Sources whose lengths are rounded or come from clients, so that a length does not distinguish plays."""


def kind_of(import_key: str) -> pl.Expr:
    """The kind of source that each import key of a column names: one of `NAMED_KINDS`, else null."""
    kind = pl.col(import_key).str.extract(r"^([a-z]+)\|")
    return pl.when(kind.is_in(NAMED_KINDS)).then(kind)


def kind_of_key(import_key: str) -> str | None:
    """As `kind_of`, for a single key."""
    kind = import_key.partition("|")[0]
    return kind if kind in NAMED_KINDS else None


_TITLE_WITH_ID = re.compile(rf"(.*)\x1f(?:([0-9A-Za-z]{{22}})|({ISRC}))", re.DOTALL)
_ID_IN_KEY = rf"(?s)\x1f([0-9A-Za-z]{{22}}|{ISRC})(\|[0-9]*\|[0-9]+)$"


class ParsedKey(NamedTuple):
    """The content of the import key of a named fact."""

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
    match = _TITLE_WITH_ID.fullmatch(title)
    track_id = isrc = None
    if match:
        title, track_id, isrc = match.groups()
    stamp = datetime.fromisoformat(f"{instant}Z") if kind == "basic" else datetime.fromtimestamp(int(instant), UTC)
    return ParsedKey(stamp, artist, title, int(ms_played) if ms_played else None, track_id, isrc)


def split_track_id(import_key: str) -> tuple[pl.Expr, pl.Expr]:
    """Split import keys: ``bare``, without the id or ISRC of the track; ``id_length``, the length of either."""
    key = pl.col(import_key)
    length = key.str.extract(_ID_IN_KEY, 1).str.len_chars().fill_null(0)
    return key.str.replace(_ID_IN_KEY, "$2").alias("bare"), length.alias("id_length")


def named_identities(names: Iterable[tuple[str, str]]) -> pl.Series:
    """Ids made of (artist, title), which are equal if the names differ only in spelling."""
    names = list(names)
    made = {pair: stable_id("unresolved", *pair) for pair in set(names)}
    return pl.Series([made[pair] for pair in names], dtype=pl.String)
