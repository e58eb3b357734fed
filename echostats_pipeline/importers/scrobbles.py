"""Column names and time formats of the tools that save plays from Last.fm."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from echostats_pipeline.importers.delimited import DELIMITERS, csv_rows, header_of

NAMES: Mapping[str, Sequence[str]] = {
    "artist": ("artist", "artistname", "artists"),
    "track": ("track", "trackname", "tracktitle", "title", "song", "songname", "songtitle", "name"),
    "album": ("album", "albumname", "albumtitle", "release", "releasename"),
    "uts": ("uts",),
    "utc_time": (
        *("utctime", "timestamp", "datetime", "datetimeutc", "dateutc", "utcdate", "timeutc", "playedat", "listenedat"),
        *("scrobbledat", "scrobbletime", "scrobbledate", "date", "time"),
    ),
}
"""Names of each value, without case, blanks and signs, the clearest first; ``uts`` are whole seconds."""
OWN = {"uts", "utctime"}
"""Names that only these tools use."""
HEADERLESS = (("artist", "album", "track", "utc_time"), ("date", "time", "artist", "track"))
"""The columns of tools that write no header."""
LOOKED_AT = 50
"""How many rows are examined to recognise a file whose columns say little or nothing."""

SECONDS = re.compile(r"[0-9]{1,12}")
EPOCH = re.compile(r"([0-9]{9,11})([0-9]{3})?")
WRITTEN = re.compile(r"([0-9]{1,2}) ([A-Za-z]{3})[a-z]* ([0-9]{4}),? +([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ISO = re.compile(
    r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})[T ]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]+)?)?"
    r" ?(?:Z|UTC|([+-][0-9]{2}):?([0-9]{2})?)?"
)
COMMA_IN_INSTANT = re.compile(
    r"\b([0-9]{1,2} [A-Za-z]{3,9} [0-9]{4}), +([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)(?=\"?(?:,|$))"
)


class ScrobbleLayout(NamedTuple):
    """The layout of a CSV: delimiter, number of columns, whether there is a header, and the position of each value."""

    delimiter: str
    width: int
    header: bool
    places: Mapping[str, int]

    def row(self, values: Sequence[str]) -> dict[str, str]:
        """The values of a row by the keys of `NAMES`."""
        row = {name: values[place] for name, place in self.places.items()}
        if "time" in row:
            row["utc_time"] = f"{row.pop('date')} {row.pop('time')}".strip()
        return row


def layout_of(head: str) -> ScrobbleLayout | None:
    """The layout of a CSV of plays with this beginning; None if it is no such file.

    Names that only these tools use are enough. Otherwise there must be names of an artist, a title and an instant, and
    an instant in that column; in a file without a header, an instant in the right column.
    """
    lines = [f"{line}\n" for line in joined_instants(head.lstrip().split("\n")[:LOOKED_AT])]
    for delimiter in DELIMITERS:
        names = [_squeezed(name) for name in header_of(lines[0], delimiter)]
        places = _places(names)
        if {"artist", "track"} <= places.keys() and ({"uts", "utc_time", "time"} & places.keys()):
            layout = ScrobbleLayout(delimiter, len(names), header=True, places=places)
            if OWN & set(names) or _stamped(layout, lines[1:]):
                return layout
        for columns in HEADERLESS:
            places = {name: place for place, name in enumerate(columns)}
            layout = ScrobbleLayout(delimiter, len(columns), header=False, places=places)
            if _stamped(layout, lines):
                return layout
    return None


def joined_instants(lines: Iterable[Any]) -> Iterable[Any]:
    """Lines in which an instant with a comma is one value, even if a tool did not quote it."""
    return (COMMA_IN_INSTANT.sub(r"\1 \2", line) if isinstance(line, str) else line for line in lines)


def flat(track: Mapping[str, Any]) -> dict[str, str]:
    """A track of ``user.getRecentTracks``, or a tool's version of it, by the keys of `NAMES`.

    The artist has a name or, in short responses, a ``#text``.
    """
    values = {_squeezed(key): value for key, value in track.items()}
    row = {
        name: next((values[key] for key in keys if values.get(key) not in (None, "")), None)
        for name, keys in NAMES.items()
    }
    if isinstance(date := values.get("date"), dict):
        row |= {"uts": date.get("uts"), "utc_time": date.get("#text")}
    return {name: _text(value) for name, value in row.items()}


def seconds(text: str) -> int | None:
    """Whole seconds since 1970; None if the text is something else."""
    return int(text) if SECONDS.fullmatch(text.strip()) else None


def instant(text: str) -> int | None:
    """An instant in seconds since 1970, read as UTC unless it names an offset; None if the text is no instant.

    ``14 Nov 2023, 22:13``, with or without comma and seconds; ISO 8601 with a time; seconds or milliseconds since 1970.
    """
    text = text.strip()
    if epoch := EPOCH.fullmatch(text):
        return int(epoch[1])
    offset_s = 0
    if found := WRITTEN.fullmatch(text):
        day, month, year = found[1], _month(found[2]), found[3]
    elif found := ISO.fullmatch(text):
        year, month, day = found[1], int(found[2]), found[3]
        hours, minutes = int(found[7] or 0), int(found[8] or 0)
        offset_s = hours * 3600 + (minutes if hours >= 0 else -minutes) * 60
    else:
        return None
    try:
        moment = datetime(int(year), month, int(day), int(found[4]), int(found[5]), int(found[6] or 0), tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) - offset_s


def _month(name: str) -> int:
    return MONTHS.index(name.lower()) + 1 if name.lower() in MONTHS else 0


def _places(names: Sequence[str]) -> dict[str, int]:
    """The positions of the columns of a header, by the keys of `NAMES`; date and time separately if there are both."""
    found = {name: next((key for key in keys if key in names), None) for name, keys in NAMES.items()}
    places = {name: names.index(key) for name, key in found.items() if key}
    if found["utc_time"] == "date" and "time" in names:
        del places["utc_time"]
        places |= {"date": names.index("date"), "time": names.index("time")}
    return places


def _stamped(layout: ScrobbleLayout, lines: Iterable[str]) -> bool:
    rows = csv_rows(lines, layout.delimiter, layout.width)
    stamps = (layout.row(row).get("utc_time", "") for row in rows if isinstance(row, list))
    # Without a header, a number may have any meaning.
    return any(instant(stamp) is not None and (layout.header or not EPOCH.fullmatch(stamp)) for stamp in stamps)


def _squeezed(name: str) -> str:
    return re.sub(r"[\W_]", "", name.partition("#")[0].lower())


def _text(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("#text") or value.get("name")
    return str(value) if type(value) in (str, int) else ""
