"""The catalogue as frames for the statistics of a user, kept as columns so that only what has changed is read again.

A document of ``statistics_catalog`` holds some of the tracks, artists or albums that a user's plays mention, as they
were at an instant of the database's clock. What has changed since says so itself (``changed_at``); it is read again
with what is new. Each document is replaced only by whoever has read it as it is, so that of two readers neither can
bring back what the other has renewed. Dropping the collection costs reading the catalogue once.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
from pymongo.errors import DuplicateKeyError

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.storage.columns import packed, unpacked
from echostats_pipeline.storage.database import AWARE, Db, Document
from echostats_pipeline.transforms.frames import (
    CATALOG_ALBUMS_SCHEMA,
    CATALOG_ARTISTS_SCHEMA,
    CATALOG_TRACKS_SCHEMA,
    CatalogFrames,
)

LAYOUT = 1
"""Of the columns kept; what was kept in another one is read anew. Change it with the schemas."""
AT_ONCE = 20_000
"""Rows of a document: two or three megabytes, of which one new track has one written."""
MOST_OF = 2
SLACK = timedelta(minutes=1)
"""A change is looked for from so long before the last look: it may have been under way then."""
RENEWED_AFTER = timedelta(hours=1)
"""What has not changed is written down as looked at so seldom."""


class Kind(NamedTuple):
    """A collection of the catalogue: the schema of its frame, and where the server finds each value of a row."""

    schema: pl.Schema
    values: list[Any]


def _text(field: Any) -> Document:
    return {"$ifNull": [field, ""]}


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
            *(f"$audio_features.{name}" for name in AVERAGED_FEATURES),
        ],
    ),
    "artists": Kind(CATALOG_ARTISTS_SCHEMA, ["$spotify_id", "$name", FIRST_IMAGE, "$genres"]),
    "albums": Kind(CATALOG_ALBUMS_SCHEMA, ["$spotify_id", "$name", FIRST_IMAGE]),
}


class CatalogFrameStore:
    """What statistics need of ``tracks``, ``artists`` and ``albums``, and ``statistics_catalog``, where it is kept."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._kept = db["statistics_catalog"]

    def read(self, user_id: str, track_ids: pl.Series) -> CatalogFrames:
        """The catalogue of the given tracks, and perhaps some more, with their artists and albums."""
        now = self._db.command("hello", codec_options=AWARE)["localTime"]
        tracks = self._read(user_id, "tracks", track_ids, now)
        return CatalogFrames(
            tracks,
            self._read(user_id, "artists", tracks["artist_id"].unique(), now),
            self._read(user_id, "albums", tracks["album_id"].unique(), now),
        )

    def _read(self, user_id: str, name: str, wanted: pl.Series, now: datetime) -> pl.DataFrame:
        kind = KINDS[name]
        key = kind.schema.names()[0]
        kept = list(self._kept.find({"user_id": user_id, "kind": name, "layout": LAYOUT}).sort("number"))
        before = [unpacked(each["columns"]) for each in kept]
        known = pl.concat([kind.schema.to_frame(), *before])[key]
        new = wanted.filter(~wanted.is_in(known.implode()) & (wanted != ""))
        changed = self._changed(name, kept, known)
        parts = before
        if not (new.is_empty() and changed.is_empty()):
            fresh = self._frame(kind, name, [*new, *changed])
            parts = [_patched(part, key, changed, fresh) for part in before]
            added = fresh.filter(pl.col(key).is_in(new.implode()))
            if parts and not added.is_empty() and parts[-1].height + added.height <= AT_ONCE:
                parts[-1] = pl.concat([parts[-1], added])
            else:
                parts += list(added.iter_slices(AT_ONCE))
        renewed = {number for number, part in enumerate(before) if part is not parts[number]}
        self._keep({"user_id": user_id, "kind": name}, kept, parts, renewed, now)
        # Two readers may have added the same to different documents.
        return pl.concat([kind.schema.to_frame(), *parts]).unique(key, keep="last", maintain_order=True)

    def _changed(self, name: str, kept: Iterable[Document], known: pl.Series) -> pl.Series:
        """Which of the known ids have changed since they were looked at."""
        looked_at = min((each["as_of"] for each in kept), default=None)
        if looked_at is None:
            return known.clear()
        query = {"changed_at": {"$gte": looked_at - SLACK}}
        ids = [each["spotify_id"] for each in self._db[name].find(query, {"_id": 0, "spotify_id": 1})]
        return known.filter(known.is_in(ids))

    def _keep(
        self, scope: Document, kept: list[Document], parts: list[pl.DataFrame], renewed: Collection[int], now: datetime
    ) -> None:
        """Keep the parts that are new or have changed, unless somebody else has meanwhile."""
        for number, part in enumerate(parts):
            place = {**scope, "number": number}
            content = {"layout": LAYOUT, "as_of": now, "revision": secrets.token_hex(8)}
            there = kept[number] if number < len(kept) else None
            if there is None:
                # In the place of one in another layout, if there is one; another reader may have been faster.
                with suppress(DuplicateKeyError):
                    new = {"$set": {**content, "columns": packed(part)}}
                    self._kept.update_one({**place, "layout": {"$ne": LAYOUT}}, new, upsert=True)
            elif number in renewed:
                changed = {"$set": {**content, "columns": packed(part)}}
                self._kept.update_one({**place, "revision": there["revision"]}, changed)
            elif now - there["as_of"] > RENEWED_AFTER:
                self._kept.update_one({**place, "revision": there["revision"]}, {"$set": content})

    def _frame(self, kind: Kind, name: str, ids: list[str]) -> pl.DataFrame:
        """The rows of the given ids."""
        # Looking up half of a collection costs more than reading all of it.
        most = self._db[name].estimated_document_count() < MOST_OF * len(ids)
        wanted: list[Document] = [] if most else [{"$match": {"spotify_id": {"$in": ids}}}]
        found = self._db[name].aggregate([*wanted, {"$project": {"_id": 0, "row": kind.values}}]).to_list()
        columns = list(zip(*(each["row"] for each in found), strict=True)) or [()] * len(kind.schema)
        frame = pl.DataFrame(
            [
                pl.Series(column, values, dtype=dtype)
                for (column, dtype), values in zip(kind.schema.items(), columns, strict=True)
            ]
        )
        key = kind.schema.names()[0]
        return frame.filter(pl.col(key).is_in(ids)) if most else frame


def _patched(part: pl.DataFrame, key: str, changed: pl.Series, fresh: pl.DataFrame) -> pl.DataFrame:
    """A part with its changed rows as they are now; itself if it has none."""
    stale = part.filter(pl.col(key).is_in(changed.implode()))[key]
    if stale.is_empty():
        return part
    now = fresh.filter(pl.col(key).is_in(stale.implode()))
    return pl.concat([part.filter(~pl.col(key).is_in(stale.implode())), now])
