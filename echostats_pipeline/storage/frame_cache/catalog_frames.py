"""Reads the catalogue as frames for a user's statistics, cached as columns so that only changes are read again.

A document of ``statistics_catalog`` holds some of the tracks, artists or albums in a user's plays, as they were at an
instant of the database's clock. Documents that have changed since then are found by ``changed_at``; they are read again
together with new ones. A cached document is replaced only if it is still as the process has read it, so two processes
cannot overwrite each other's newer content. If the collection is dropped, the catalogue is read once more.
"""

import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import polars as pl
from pymongo.errors import DuplicateKeyError

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.storage.database import AWARE, Db, Document
from echostats_pipeline.storage.frame_cache.columns import packed, scanned, unpacked
from echostats_pipeline.storage.garbage_collection import paused_collection
from echostats_pipeline.transforms.statistics.frames import (
    CATALOG_ALBUMS_SCHEMA,
    CATALOG_ARTISTS_SCHEMA,
    CATALOG_TRACKS_SCHEMA,
    CatalogFrames,
)

LAYOUT = 3
"""Version of the cached columns; those of another version are read again. Change it with the schemas."""
ROWS_PER_DOCUMENT = 20_000
"""Rows of a document: two or three megabytes, which are written again when one track is added."""
ROWS_AT_ONCE = 5_000
"""Rows of one batch of the server."""
MOST_OF = 2
SLACK = timedelta(minutes=1)
"""Overlap between two reads, for changes that were being committed during the first."""
RENEWED_AFTER = timedelta(hours=1)
"""How often to refresh `as_of` of a cache entry that did not change."""


UNREADABLE = (TypeError, pl.exceptions.PolarsError)


class Kind(NamedTuple):
    """A collection of the catalogue: the schema of its frame, and the expression for each value of a row."""

    schema: pl.Schema
    values: list[Any]


def _text(field: Any) -> Document:
    return {"$ifNull": [field, ""]}


def _number(field: str) -> Document:
    return {"$ifNull": [field, 0]}


def _of_artists(field: str) -> Document:
    """A text of each credited artist."""
    return {"$map": {"input": {"$ifNull": ["$artists", []]}, "in": _text(f"$$this.{field}")}}


FIRST_IMAGE = _text({"$first": "$images.url"})
KINDS: Mapping[str, Kind] = {
    "tracks": Kind(
        CATALOG_TRACKS_SCHEMA,
        [
            "$spotify_id",
            "$name",
            _text({"$first": "$artists.spotify_id"}),
            _text({"$first": "$artists.name"}),
            _text("$album.spotify_id"),
            _text("$album.name"),
            _text("$album.image_url"),
            _number("$duration_ms"),
            _text("$isrc"),
            _of_artists("spotify_id"),
            _of_artists("name"),
            *(f"$audio_features.{name}" for name in AVERAGED_FEATURES),
        ],
    ),
    "artists": Kind(CATALOG_ARTISTS_SCHEMA, ["$spotify_id", "$name", FIRST_IMAGE, "$genres"]),
    "albums": Kind(CATALOG_ALBUMS_SCHEMA, ["$spotify_id", "$name", FIRST_IMAGE, _number("$total_tracks")]),
}


class CatalogFrameStore:
    """Reads ``tracks``, ``artists`` and ``albums`` for statistics, and caches them in ``statistics_catalog``."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._kept = db["statistics_catalog"]

    def has(self, user_id: str) -> bool:
        """Whether anything is cached for a user."""
        return self._kept.find_one({"user_id": user_id, "layout": LAYOUT}, {"_id": 1}) is not None

    def read(self, user_id: str, track_ids: pl.Series) -> CatalogFrames:
        """The catalogue of the given tracks, and perhaps of more, with their artists and albums."""
        now = self._db.command("hello", codec_options=AWARE)["localTime"]
        tracks = self._read(user_id, "tracks", track_ids, now)
        ids = tracks.select("artist_ids", "album_id").collect()
        artist_ids = ids["artist_ids"].explode(empty_as_null=False).unique()
        with ThreadPoolExecutor(2) as readers:
            artists = readers.submit(self._read, user_id, "artists", artist_ids, now)
            albums = readers.submit(self._read, user_id, "albums", ids["album_id"].unique(), now)
            return CatalogFrames(tracks, artists.result().collect(), albums.result().collect())

    def _read(self, user_id: str, name: str, wanted: pl.Series, now: datetime) -> pl.LazyFrame:
        """Rows of a kind; they stay compressed, because a long history has many."""
        kind = KINDS[name]
        key = kind.schema.names()[0]
        kept = list(self._kept.find({"user_id": user_id, "kind": name, "layout": LAYOUT}).sort("number"))
        parts: list[bytes] = [each.pop("columns") for each in kept]
        known = pl.concat([kind.schema.to_frame().lazy(), *map(scanned, parts)]).select(key).collect()[key]
        new = wanted.filter(~wanted.is_in(known.implode()) & (wanted != ""))
        changed = self._changed(name, kept, known)
        renewed: set[int] = set()
        if not (new.is_empty() and changed.is_empty()):
            with paused_collection():
                renewed = _renew(parts, key, changed, self._frames(kind, name, pl.concat([new, changed])))
        self._keep({"user_id": user_id, "kind": name}, kept, parts, renewed, now)
        whole = pl.concat([kind.schema.to_frame().lazy(), *map(scanned, parts)])
        # Two processes may have added the same rows to different documents.
        ids = whole.select(pl.col(key).hash()).collect()[key]
        return whole if ids.n_unique() == ids.len() else whole.unique(key, keep="last", maintain_order=True)

    def _changed(self, name: str, kept: Iterable[Document], known: pl.Series) -> pl.Series:
        """The known ids that have changed since they were read."""
        looked_at = min((each["as_of"] for each in kept), default=None)
        if looked_at is None:
            return known.clear()
        query = {"changed_at": {"$gte": looked_at - SLACK}}
        ids = [each["spotify_id"] for each in self._db[name].find(query, {"_id": 0, "spotify_id": 1})]
        return known.filter(known.is_in(ids))

    def _keep(
        self, scope: Document, kept: list[Document], parts: list[bytes], renewed: Collection[int], now: datetime
    ) -> None:
        """Store the new and changed parts, unless another process has stored them meanwhile."""
        for number, part in enumerate(parts):
            place = {**scope, "number": number}
            content = {"layout": LAYOUT, "as_of": now, "revision": secrets.token_hex(8)}
            there = kept[number] if number < len(kept) else None
            if there is None:
                # Replaces a document of another layout, if there is one; another process may have been faster.
                with suppress(DuplicateKeyError):
                    new = {"$set": {**content, "columns": part}}
                    self._kept.update_one({**place, "layout": {"$ne": LAYOUT}}, new, upsert=True)
            elif number in renewed:
                changed = {"$set": {**content, "columns": part}}
                self._kept.update_one({**place, "revision": there["revision"]}, changed)
            elif now - there["as_of"] > RENEWED_AFTER:
                self._kept.update_one({**place, "revision": there["revision"]}, {"$set": content})

    def _frames(self, kind: Kind, name: str, ids: pl.Series) -> Iterator[pl.DataFrame]:
        """The rows of the given ids, at most `ROWS_PER_DOCUMENT` at a time."""
        wanted = set(ids)
        # Looking up half of a collection costs more than reading it completely.
        most = self._db[name].estimated_document_count() < MOST_OF * len(wanted)
        matched: list[Document] = [] if most else [{"$match": {"spotify_id": {"$in": list(wanted)}}}]
        pipeline = [*matched, {"$project": {"_id": 0, "row": kind.values}}]
        with self._db[name].aggregate(pipeline, batchSize=ROWS_AT_ONCE) as found:
            while some := [each["row"] for each in islice(found, ROWS_PER_DOCUMENT)]:
                rows = [row for row in some if row[0] in wanted] if most else some
                try:
                    yield _frame(kind, rows)
                except UNREADABLE:  # other programs may have written any value: unreadable rows are left out
                    yield pl.concat([_frame(kind, []), *_readable(kind, rows)])


def _frame(kind: Kind, rows: list[list[Any]]) -> pl.DataFrame:
    columns = zip(kind.schema.items(), list(zip(*rows, strict=True)) or [()] * len(kind.schema), strict=True)
    return pl.DataFrame([_series(column, values, dtype) for (column, dtype), values in columns])


def _series(name: str, values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    if dtype != pl.List(pl.String):
        return pl.Series(name, values, dtype=dtype)
    # Polars takes ten times as long to convert Python's lists one by one.
    together = pl.Series(name, [json.dumps(values)])
    return together.str.json_decode(pl.List(dtype)).explode(empty_as_null=False)


def _readable(kind: Kind, rows: Iterable[list[Any]]) -> Iterator[pl.DataFrame]:
    for row in rows:
        with suppress(*UNREADABLE):
            yield _frame(kind, [row])


def _renew(parts: list[bytes], key: str, changed: pl.Series, found: Iterable[pl.DataFrame]) -> set[int]:
    """Put rows into compressed parts: changed rows replace their old versions, new rows are appended.

    Returns:
        The numbers of the changed parts.
    """
    ids = [scanned(part).select(key).collect()[key] for part in parts]
    renewed = set()
    for rows in found:
        again = rows.filter(pl.col(key).is_in(changed.implode()))
        for number in range(len(ids)) if not again.is_empty() else ():
            here = again.filter(pl.col(key).is_in(ids[number].implode()))
            if not here.is_empty():
                others = unpacked(parts[number]).filter(~pl.col(key).is_in(here[key].implode()))
                parts[number] = packed(pl.concat([others, here]))
                renewed.add(number)
        added = rows.filter(~pl.col(key).is_in(changed.implode()))
        if added.is_empty():
            continue
        if parts and scanned(parts[-1]).select(pl.len()).collect().item() + added.height <= ROWS_PER_DOCUMENT:
            added = pl.concat([unpacked(parts.pop()), added])
        parts.append(packed(added))
        renewed.add(len(parts) - 1)
    return renewed
