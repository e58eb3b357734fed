"""Recognises the format of a file by its beginning, and describes files of no known format."""

import re

from echostats_pipeline.importers.delimited import DELIMITERS, header_of
from echostats_pipeline.importers.lastfm import PAGES
from echostats_pipeline.importers.listenbrainz import LISTENS
from echostats_pipeline.importers.maloja import SCROBBLES
from echostats_pipeline.importers.rows import ExportFormat
from echostats_pipeline.importers.scrobblerlog import HEADER, ROW
from echostats_pipeline.importers.scrobbles import layout_of
from echostats_pipeline.importers.text import text_encoding

ARRAY = re.compile(r"\s*\[")
ANYTHING = re.compile("")
KEY = re.compile(r'"((?:[^"\\]|\\.){1,60})"\s*:')
SHAPES: tuple[tuple[ExportFormat, re.Pattern[str], set[str]], ...] = (
    ("koito", LISTENS, {"version", "exported_at"}),
    ("koito", LISTENS, {"listened_at", "aliases", "artists"}),
    ("maloja", SCROBBLES, {"maloja"}),
    ("maloja", SCROBBLES, {"time", "artists", "title"}),
    ("listenbrainz", ANYTHING, {"listened_at", "track_metadata"}),
    ("lastfm", ANYTHING, {"recenttracks"}),
    ("lastfm", SCROBBLES, {"artist", "track", "date"}),
    ("lastfm", PAGES, {"artist", "name", "date", "#text"}),
    ("lastfm", ARRAY, {"artist", "name", "date", "#text"}),
    ("lastfm", ARRAY, {"artist", "name", "uts"}),
    ("lastfm", ARRAY, {"artist", "track", "uts"}),
    ("extended", ANYTHING, {"ts", "ms_played", "spotify_track_uri"}),
    ("extended", ARRAY, {"ts", "ms_played"}),
    ("basic", ARRAY, {"endTime", "msPlayed"}),
)
"""Patterns and row keys by which the JSON of a format is recognised; the first match decides."""
SHOWN_KEYS = 8


def recognised(head: bytes) -> ExportFormat | None:
    """The format of a file with this beginning."""
    text = _text(head)
    if text.startswith(("[", "{")):
        keys = set(KEY.findall(text))
        return next((found for found, shape, wanted in SHAPES if wanted <= keys and _has(shape, text)), None)
    if text.startswith(HEADER) or ROW.search(text):
        return "scrobblerlog"
    header = text.split("\n", 1)[0]
    names = {name.lower().removesuffix("_x") for name in header_of(header)}
    if {"spotify_track_uri", "ts", "ms_played"} <= names:
        return "echotune"
    return "lastfm" if layout_of(text) else None


def looks_like(head: bytes) -> str:
    """A description of a file of no known format, in words that continue "it is"."""
    text = _text(head)
    if not text.strip("\0 \r\n\t"):
        return "empty"
    if text.startswith(("[", "{")):
        keys = list(dict.fromkeys(KEY.findall(text)))
        what = "a JSON object" if text.startswith("{") else "a JSON array"
        return f"{what} with the keys {_listed(keys)}" if keys else what
    if text.startswith("<"):
        return "a web page or XML"
    if any(character in "\0\ufffd" for character in text[:1000]):
        return "no text"
    header = text.split("\n", 1)[0].strip()
    columns = header_of(header, max(DELIMITERS, key=header.count))
    return f"a table with the columns {_listed(columns)}" if len(columns) > 1 else "a text"


def _text(head: bytes) -> str:
    encoding, mark = text_encoding(head)
    text = head.removeprefix(mark).decode(encoding, "replace").lstrip("\ufeff \t\r\n")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _has(shape: re.Pattern[str], text: str) -> bool:
    return bool(shape.match(text) if shape is ARRAY else shape.search(text))


def _listed(names: list[str]) -> str:
    shown = [" ".join(name.split())[:60] for name in names[:SHOWN_KEYS]]
    return ", ".join(shown) + (" and others" if len(names) > SHOWN_KEYS else "")
