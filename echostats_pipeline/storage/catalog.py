"""The shared catalogue: stubs of tracks, artists and albums in plays, full documents, and frames for statistics."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, get_args

import polars as pl
from pymongo import UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError

from echostats_pipeline.model.base import known_fields
from echostats_pipeline.model.catalog import Album, AlbumRef, Artist, AudioFeatures, EnrichedDocument, Track
from echostats_pipeline.storage.database import Db, Document, duplicates
from echostats_pipeline.storage.frame_cache.catalog_frames import CatalogFrameStore
from echostats_pipeline.transforms.history.identity import stable_id
from echostats_pipeline.transforms.history.play_changes import KnownTrack
from echostats_pipeline.transforms.isrcs import spellings, well_formed_code
from echostats_pipeline.transforms.statistics.frames import CatalogFrames

CatalogName = Literal["tracks", "artists", "albums"]
NOT_ON_SPOTIFY = r"^(local|unresolved):"
"""Ids that this pipeline made for plays without a Spotify id; the catalogue endpoints are never called for them."""

ASK_AGAIN_AFTER = timedelta(days=30)
"""When to ask Spotify again for objects, or audio features, that it did not know."""
TRACKS_HAVE = {"artists": "artists.spotify_id", "albums": "album.spotify_id"}
"""Where a track contains the ids of its artists and its album."""
STALE_AFTER = timedelta(days=365)
"""When names, genres and pictures are read again. They change so rarely that missing objects come first."""


CHANGED: Document = {"$currentDate": {"changed_at": True}}
"""Sets the time of a change by the database's clock, which all processes share."""
MENTIONED, MENTIONED_ALBUM = Track(spotify_id="", name="").to_bson(), AlbumRef(spotify_id="", name="").model_dump()


@dataclass(frozen=True)
class Completeness:
    """How many of a number of objects are known."""

    known: int
    total: int

    @property
    def percent(self) -> float:
        """Share of known objects in percent; 100 if there are none."""
        return round(100 * self.known / self.total, 1) if self.total else 100.0


@dataclass(frozen=True)
class CatalogProgress(Completeness):
    """Progress of one part of the catalogue.

    Attributes:
        known: Number of objects that are completely known.
        total: Number of all objects.
        days_left: Most days until nothing is left to read; None if there is no budget.
    """

    days_left: int | None

    @property
    def text(self) -> str:
        """The progress in words."""
        days = "1 day" if self.days_left == 1 else f"{self.days_left:,} days" if self.days_left else ""
        ready = f", ready in at most {days} at today's budget" if days else ""
        return f"{self.known:,} of {self.total:,} known{ready}"


class CatalogStore:
    """Collections ``tracks``, ``artists`` and ``albums``."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._frames = CatalogFrameStore(db)

    def add_stubs(self, name: CatalogName, documents: Iterable[Track | Artist | Album]) -> int:
        """Add documents that do not exist yet; existing ones are not changed.

        Returns:
            The number of new documents.
        """
        return self._add_missing(name, {stub.spotify_id: partial(_named, stub) for stub in documents})

    def mention(self, tracks: Iterable[Document], now: datetime) -> int:
        """Add tracks of which plays know only the names, so that statistics have them; return the number of new ones.

        Args:
            tracks: As plays embed them.
            now: The current instant.
        """
        return self._add_missing("tracks", {track["spotify_id"]: partial(_mentioned, track, now) for track in tracks})

    def introduce(self, tracks: Sequence[Document], now: datetime) -> None:
        """Add tracks whose names come from a source other than Spotify; give known ones the ids of these names, too.

        Args:
            tracks: As plays embed them.
            now: The current instant.
        """
        self.mention(tracks, now)
        operations = [
            UpdateOne({"spotify_id": stub["spotify_id"]}, {"$addToSet": {"name_ids": {"$each": stub["name_ids"]}}})
            for stub in (_mentioned(track, now) for track in tracks)
        ]
        if operations:
            self._db["tracks"].bulk_write(operations, ordered=False)

    def _add_missing(self, name: CatalogName, stubs: dict[str, Callable[[], Document]]) -> int:
        known = self._db[name].find({"spotify_id": {"$in": list(stubs)}}, {"_id": 0, "spotify_id": 1}) if stubs else ()
        for document in known:
            stubs.pop(document["spotify_id"], None)
        if not stubs:
            return 0
        try:
            return len(self._db[name].insert_many([stub() for stub in stubs.values()], ordered=False).inserted_ids)
        except BulkWriteError as error:
            return len(stubs) - len(duplicates(error))  # another process has just added the others

    def forget_made_up(self, track_ids: Collection[str]) -> None:
        """Remove tracks whose ids this pipeline has made."""
        if track_ids:
            made_up = {"$in": list(track_ids), "$regex": NOT_ON_SPOTIFY}
            self._db["tracks"].delete_many({"spotify_id": made_up})

    def known_tracks(self, track_ids: Collection[str]) -> dict[str, KnownTrack]:
        """The content of full documents of tracks, by id."""
        if not track_ids:
            return {}
        fields = {
            "spotify_id": 1,
            "name": 1,
            "artists.name": 1,
            "album.name": 1,
            "album.image_url": 1,
            "duration_ms": 1,
        }
        full = {"spotify_id": {"$in": list(track_ids)}, "enriched_at": {"$ne": None}}
        return {track["spotify_id"]: _known(track) for track in self._db["tracks"].find(full, fields)}

    def resolved(self, identities: Collection[str]) -> dict[str, str]:
        """Spotify's track ids by the ids made of names; the smallest if several tracks have a name."""
        wanted = set(identities)
        if not wanted:
            return {}
        query = {"name_ids": {"$in": sorted(wanted)}, "spotify_id": {"$not": {"$regex": NOT_ON_SPOTIFY}}}
        found = self._db["tracks"].find(query, {"spotify_id": 1, "name_ids": 1}).sort("spotify_id", -1)
        return {
            identity: track["spotify_id"] for track in found for identity in track["name_ids"] if identity in wanted
        }

    def recordings(self, isrcs: Collection[str]) -> dict[str, list[str]]:
        """Spotify's track ids by well-formed ISRC, the smallest first; Spotify has some in lower case."""
        wanted = sorted({form for isrc in isrcs if well_formed_code(isrc) for form in spellings(isrc)})
        if not wanted:
            return {}
        found = self._db["tracks"].find({"isrc": {"$in": wanted}}, {"spotify_id": 1, "isrc": 1}).sort("spotify_id", 1)
        ids: dict[str, list[str]] = {}
        for track in found:
            ids.setdefault(well_formed_code(track["isrc"]), []).append(track["spotify_id"])
        return ids

    def wanting(self, name: CatalogName, now: datetime) -> list[str]:
        """Spotify ids to read, the most played first.

        Stubs come first, including those that Spotify did not know some time ago; then objects that may be stale.
        """
        counts = self._play_counts(name)
        found = self._db[name].find(_wanting(now), {"spotify_id": 1, "enriched_at": 1})
        return _most_played_first(found, counts)

    def wanting_audio_features(self, now: datetime, sources: Iterable[str] = ()) -> dict[str, list[str]]:
        """Known tracks whose audio features are to be read, the most played first.

        Args:
            now: The current instant.
            sources: Sources to ask about every track.

        Returns:
            By Spotify id, the sources that have recently answered that they have no features.
        """
        fields = {"spotify_id": 1, "audio_features_checked_at": 1, "audio_features_asked": 1}
        found = {track["spotify_id"]: track for track in self._db["tracks"].find(_unheard(now, sources), fields)}
        ranked = _most_played_first(found.values(), self._play_counts("tracks"))
        return {spotify_id: _asked_lately(found[spotify_id], now) for spotify_id in ranked}

    def most_played_artists(self, spotify_ids: Collection[str]) -> list[str]:
        """The given artists, the most played first."""
        counts = self._play_counts("artists") if spotify_ids else Counter[str]()
        return sorted(spotify_ids, key=lambda spotify_id: (-counts[spotify_id], spotify_id))

    def lacking(self, now: datetime, sources: Iterable[str] = ()) -> dict[str, int]:
        """How many objects are to be read, by family of endpoints; families without any are left out.

        Audio features are missing if no source was asked recently, or if one of the `sources` was not.
        """
        counts = {name: self._db[name].count_documents(_wanting(now)) for name in get_args(CatalogName)}
        counts["audio-features"] = self._db["tracks"].count_documents(_unheard(now, sources))
        return {family: count for family, count in counts.items() if count}

    def _play_counts(self, name: CatalogName) -> Counter[str]:
        """Plays of all users per id: of tracks from the history, of artists and albums through their tracks."""
        by_track: list[Any] = [
            {"$sort": {"track.spotify_id": 1}},  # so that the index alone suffices
            {"$group": {"_id": "$track.spotify_id", "plays": {"$sum": 1}}},
        ]
        of_tracks = Counter({row["_id"]: row["plays"] for row in self._db["listening_history"].aggregate(by_track)})
        if name == "tracks":
            return of_tracks
        counts: Counter[str] = Counter()
        for track in self._db["tracks"].find({}, {"_id": 0, "spotify_id": 1, "artists": 1, "album": 1}):
            related = (track.get("artists") or []) if name == "artists" else [track.get("album") or {}]
            for entry in related:
                counts[entry.get("spotify_id", "")] += of_tracks[track["spotify_id"]]
        return counts

    def put(
        self, name: CatalogName, documents: Sequence[EnrichedDocument], *, missing: Iterable[str], at: datetime
    ) -> None:
        """Store full documents, and record which ids Spotify does not know.

        Only fields that Spotify sent are set. Fields that it left out, and the first `fetched_at`, stay as they are. So
        do the genres of an artist for whom Spotify sent an empty list: another source may have filled them.
        """
        operations = []
        for document in documents:
            known, whole = known_fields(document), document.to_bson()
            spotify_id = known.pop("spotify_id")
            if isinstance(document, Artist) and not document.genres:
                known.pop("genres", None)
            known.pop("fetched_at", None)
            # Defaults complete a new document. A field that Spotify leaves out never overwrites what it sent before.
            first = {key: value for key, value in whole.items() if key not in known and key != "spotify_id"}
            first.pop("unavailable_at", None)
            first.pop("changed_at", None)
            names = first.pop("name_ids", None)
            operations.append(
                UpdateOne(
                    {"spotify_id": spotify_id},
                    {
                        "$set": {**known, "unavailable_at": None},
                        **CHANGED,
                        "$setOnInsert": first,
                        **({} if names is None else {"$addToSet": {"name_ids": {"$each": _name_ids(document)}}}),
                    },
                    upsert=True,
                )
            )
        operations += [
            UpdateOne({"spotify_id": spotify_id}, {"$set": {"unavailable_at": at}}) for spotify_id in missing
        ]
        if operations:
            self._db[name].bulk_write(operations, ordered=False)

    def put_audio_features(
        self,
        features: Mapping[str, AudioFeatures | None],
        at: datetime,
        asked: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """Store audio features of tracks. None records that the `asked` sources have none; zeros are never stored."""
        operations = [
            UpdateOne(
                {"spotify_id": spotify_id},
                {
                    "$set": {
                        "audio_features": None if found is None else found.to_bson(),
                        "audio_features_checked_at": at,
                        "audio_features_asked": list(asked.get(spotify_id, ())),
                    },
                    **CHANGED,
                },
            )
            for spotify_id, found in features.items()
        ]
        if operations:
            self._db["tracks"].bulk_write(operations, ordered=False)

    def pass_genres_to_tracks(self, artists: Iterable[Artist]) -> None:
        """Give tracks the genres of their primary artist, because Spotify has genres of artists only."""
        operations = [
            UpdateMany(
                # The second condition finds the same tracks by an index; the first alone has none, and would read all
                # tracks.
                {"artists.0.spotify_id": artist.spotify_id, "artists.spotify_id": artist.spotify_id},
                {"$set": {"genres": artist.genres}},
            )
            for artist in artists
            if artist.genres
        ]
        if operations:
            self._db["tracks"].bulk_write(operations, ordered=False)

    def tracks_of(self, name: Literal["artists", "albums"], spotify_ids: Collection[str]) -> list[str]:
        """Ids of the tracks that have one of these artists or albums."""
        having = {TRACKS_HAVE[name]: {"$in": list(spotify_ids)}}
        return [track["spotify_id"] for track in self._db["tracks"].find(having, {"_id": 0, "spotify_id": 1})]

    def documents(self, name: CatalogName, spotify_ids: Iterable[str]) -> list[Document]:
        """Stored documents of the given ids, without ``_id``."""
        return list(self._db[name].find({"spotify_id": {"$in": list(spotify_ids)}}, {"_id": 0}))

    def progress(self, asset: str, now: datetime, a_day: int) -> "CatalogProgress":
        """Progress of one part of the catalogue; `a_day` is the number of objects that can be read per day."""
        name = "tracks" if asset == "audio_features" else asset
        left = self.lacking(now).get(asset.replace("_", "-"), 0)
        total = self._db[name].estimated_document_count()
        days = math.ceil(left / a_day) if a_day else None
        return CatalogProgress(known=total - left, total=total, days_left=days if left else 0)

    def artist_and_album(self, track_ids: Collection[str]) -> dict[str, tuple[str | None, str | None]]:
        """The ids of the first artist and the album of each track, as far as known."""
        fields = {"_id": 0, "spotify_id": 1, "artists.spotify_id": 1, "album.spotify_id": 1}
        found = {}
        for track in self._db["tracks"].find({"spotify_id": {"$in": [*track_ids]}}, fields):
            artist, album = (track.get("artists") or [{}])[0], track.get("album") or {}
            found[track["spotify_id"]] = artist.get("spotify_id") or None, album.get("spotify_id") or None
        return found

    def has_frames(self, user_id: str) -> bool:
        """Whether the frames of a user have been cached, so that reading them is quick."""
        return self._frames.has(user_id)

    def frames(self, user_id: str, track_ids: pl.Series) -> CatalogFrames:
        """The catalogue frames of a user's tracks, with their artists and albums, for the snapshots."""
        return self._frames.read(user_id, track_ids)


def _named(document: Track | Artist | Album) -> Document:
    """The document as it is stored; a track also has the id made of its names."""
    names = {"name_ids": _name_ids(document)} if isinstance(document, Track) else {}
    return {**document.to_bson(), **names}


def _mentioned(track: Document, now: datetime) -> Document:
    """The entry of a track that a play embeds. A plain copy, not a model: an import has one per track."""
    artist, album = track["artist_name"], track["album_name"]
    return {
        **MENTIONED,
        "spotify_id": track["spotify_id"],
        "name": track["name"],
        "artists": [{"spotify_id": "", "name": artist}] if artist else [],
        "album": {**MENTIONED_ALBUM, "name": album} if album else None,
        "name_ids": [stable_id("unresolved", artist, track["name"])] if artist and track["name"] else [],
        "fetched_at": now,
        "updated_at": now,
    }


def _name_ids(document: EnrichedDocument) -> list[str]:
    """The ids of rows that have only these names, until a Spotify id is known."""
    if not isinstance(document, Track) or not document.name or not document.artists:
        return []
    return [stable_id("unresolved", document.artists[0].name, document.name)]


def _known(track: Document) -> KnownTrack:
    album = track.get("album") or {}
    artist = track["artists"][0]["name"] if track.get("artists") else ""
    names = (track["name"], artist, album.get("name", ""), album.get("image_url", ""))
    return KnownTrack(*names, track.get("duration_ms", 0))


def _wanting(now: datetime) -> Document:
    return {
        "spotify_id": {"$not": {"$regex": NOT_ON_SPOTIFY}, "$ne": ""},
        "$and": [
            {"$or": [{"enriched_at": None}, {"enriched_at": {"$lt": now - STALE_AFTER}}]},
            {"$or": [{"unavailable_at": None}, {"unavailable_at": {"$lt": now - ASK_AGAIN_AFTER}}]},
        ],
    }


def _unheard(now: datetime, sources: Iterable[str]) -> Document:
    at = "audio_features_checked_at"
    not_asked = [{"audio_features_asked": {"$ne": name}} for name in sources]
    return {
        "enriched_at": {"$ne": None},
        "audio_features": None,
        "$or": [{at: None}, {at: {"$lt": now - ASK_AGAIN_AFTER}}, *not_asked],
    }


def _asked_lately(track: Document, now: datetime) -> list[str]:
    """The sources that have recently answered that they have no audio features of the track."""
    at: datetime | None = track.get("audio_features_checked_at")
    return [] if at is None or at < now - ASK_AGAIN_AFTER else track.get("audio_features_asked") or []


def _most_played_first(found: Iterable[Document], counts: Counter[str]) -> list[str]:
    """Ids by number of plays; ids never read come before stale ones."""
    ranked = [
        (document.get("enriched_at") is not None, -counts[document["spotify_id"]], document["spotify_id"])
        for document in found
    ]
    return [spotify_id for _, _, spotify_id in sorted(ranked)]
