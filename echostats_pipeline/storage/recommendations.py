"""Stores recommendations, the models behind them, and how these did; reads the songs that may be recommended."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import polars as pl
from pymongo import DeleteMany, ReplaceOne

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.base import Document as Model
from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.model.collections import Database
from echostats_pipeline.model.recommendations import (
    ArtistAlbums,
    ModelActivation,
    ModelEvaluation,
    RecommendationList,
    RecommendationWeek,
    Task,
    TasteVector,
)
from echostats_pipeline.storage.change_marks import ChangeMarks
from echostats_pipeline.storage.conformity import stored_as
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.garbage_collection import paused_collection

BATCH, IDS_AT_ONCE = 1_000, 20_000
SONGS_SCHEMA = pl.Schema(
    {
        "track_id": pl.String(),
        "name": pl.String(),
        "artist_id": pl.String(),
        "artist_name": pl.String(),
        "album_name": pl.String(),
        "image_url": pl.String(),
        "duration_ms": pl.Int64(),
        "isrc": pl.String(),
        "tags": pl.List(pl.String),
        "popularity": pl.Int64(),
        **dict.fromkeys(AVERAGED_FEATURES, pl.Float64()),
    }
)
"""One row per track that the catalogue knows at least by name. Texts are empty, and features null, where unknown."""
SHARED_SCHEMA = pl.Schema(
    {
        "spotify_id": pl.String(),
        "name": pl.String(),
        "artist_name": pl.String(),
        "listeners": pl.Int64(),
        "plays_28_days": pl.Float64(),
        "recent_plays": pl.Float64(),
        "weight": pl.Float64(),
    }
)
"""One row per song in the plays of users who share them."""
LIBRARY_SCHEMA = pl.Schema({"track_id": pl.String(), "added_at": pl.Datetime("ms", "UTC")})
"""One row per saved track or row of a playlist; `added_at` is null where Spotify does not say it."""
Stored = TypeVar("Stored", bound=Model)


class RecommendationStore:
    """Collections of `model.recommendations`."""

    def __init__(self, db: Db, marks: ChangeMarks, databases: Iterable[Database] = ()) -> None:
        self._db = db
        self._marks = marks
        self._beyond = [each.unshare for each in databases if each.unshare is not None]

    def put_list(self, made: RecommendationList) -> None:
        """Replace a user's list of one kind, and mark it for the marts that show it."""
        with self._marks.changing(made.user_id, source="recommendations"):
            self._replace("recommendations", made, "user_id", "task")

    def lists(self, user_id: str) -> dict[Task, RecommendationList]:
        """The stored lists of a user, by kind."""
        found = self._read(RecommendationList, "recommendations", {"user_id": user_id})
        return {each.task: each for each in found}

    def outdated(self, least: int) -> set[str]:
        """Ids of the users who have so many plays that ended after their lists were made."""
        made = self._db["recommendations"].find({"task": "discover"}, {"_id": 0, "user_id": 1, "created_at": 1})
        plays = self._db["listening_history"]
        newer = ((each["user_id"], {"played_at": {"$gt": each["created_at"]}}) for each in made)
        return {
            user for user, later in newer if plays.count_documents({"user_id": user, **later}, limit=least) == least
        }

    def put_taste(self, taste: TasteVector) -> None:
        """Replace a user's taste."""
        self._replace("taste_vectors", taste, "user_id")

    def replace_neighbours(self, documents: Iterable[Document], computed_at: datetime) -> int:
        """Replace the neighbours of all songs; return how many songs there are. Readers never see an empty collection.

        Args:
            documents: As `ItemNeighbours`, with this `computed_at`.
            computed_at: Songs computed earlier are removed.
        """
        collection, written = self._db["item_neighbours"], 0
        remaining = iter(documents)
        while batch := list(islice(remaining, BATCH)):
            writes = [ReplaceOne({"spotify_id": body["spotify_id"]}, body, upsert=True) for body in batch]
            collection.bulk_write(writes, ordered=False)
            written += len(batch)
        collection.bulk_write([DeleteMany({"computed_at": {"$ne": computed_at}})])
        return written

    def shared_songs(self) -> pl.DataFrame:
        """All songs of users who share their plays, as `SHARED_SCHEMA`."""
        fields = {"_id": 0, **dict.fromkeys(SHARED_SCHEMA.names(), 1)}
        with paused_collection():
            found = list(self._db["item_neighbours"].find({}, fields))
        return pl.DataFrame(found, schema=SHARED_SCHEMA)

    def neighbours(self, song_ids: Collection[str]) -> list[Document]:
        """``spotify_id`` and ``neighbours`` of some songs."""
        fields = {"_id": 0, "spotify_id": 1, "neighbours": 1}
        with paused_collection():
            return list(self._db["item_neighbours"].find({"spotify_id": {"$in": list(song_ids)}}, fields))

    def forget_shared(self, user_id: str) -> None:
        """Remove what may rest on the plays of a user who shares them no longer.

        These are the neighbours of songs and the lists of all other users, also in marts. The next nightly run makes
        both from what is still shared.
        """
        self._db["item_neighbours"].delete_many({})
        of_others = {"user_id": {"$ne": user_id}}
        others = self._db["recommendations"].distinct("user_id", of_others)
        self._db["recommendations"].delete_many(of_others)
        for other in others:
            self._marks.mark(other, "recommendations")
        for unshare in self._beyond:
            unshare(self._db, user_id)

    def put_evaluations(self, evaluations: Iterable[ModelEvaluation]) -> None:
        """Add evaluations to the history."""
        for each in evaluations:
            self._replace("model_evaluation", each, "task", "evaluated_at")

    def evaluations(self, task: Task, most: int = 90) -> list[ModelEvaluation]:
        """The last evaluations of a kind of list, the oldest first."""
        found = self._db["model_evaluation"].find({"task": task}).sort("evaluated_at", -1).limit(most)
        return [stored_as(ModelEvaluation, "model_evaluation", each) for each in found][::-1]

    def activate(self, activation: ModelActivation) -> None:
        """Change what orders the lists of a kind."""
        self._db["model_registry"].insert_one(activation.to_bson())

    def activations(self, task: Task) -> list[ModelActivation]:
        """All changes of what orders the lists of a kind, the newest first."""
        found = self._db["model_registry"].find({"task": task}).sort([("activated_at", -1), ("_id", -1)])
        return [stored_as(ModelActivation, "model_registry", each) for each in found]

    def begin_week(self, week: RecommendationWeek) -> bool:
        """Store a list at the first time in a week; return whether it was the first."""
        key = {"user_id": week.user_id, "task": week.task, "week": week.week}
        done = self._db["recommendation_weeks"].update_one(key, {"$setOnInsert": week.to_bson()}, upsert=True)
        return done.upserted_id is not None

    def weeks_to_count(self, user_id: str, shown_before: datetime) -> list[RecommendationWeek]:
        """Weeks of a user that are over and whose hits were not counted."""
        query = {"user_id": user_id, "counted_at": None, "shown_at": {"$lte": shown_before}}
        return self._read(RecommendationWeek, "recommendation_weeks", query)

    def count_week(self, week: RecommendationWeek) -> None:
        """Store the hits of a week."""
        self._replace("recommendation_weeks", week, "user_id", "task", "week")

    def weeks(self, user_id: str | None = None) -> list[RecommendationWeek]:
        """Counted weeks of a user or of all, the oldest first."""
        query: Document = {"counted_at": {"$ne": None}, **({} if user_id is None else {"user_id": user_id})}
        return sorted(self._read(RecommendationWeek, "recommendation_weeks", query), key=lambda each: each.shown_at)

    def put_albums(self, albums: ArtistAlbums) -> None:
        """Replace the albums of an artist."""
        self._replace("artist_albums", albums, "artist_id")

    def albums(self, artist_ids: Collection[str] | None = None, *, shared: bool = False) -> list[ArtistAlbums]:
        """The albums of some artists, or of all; also those that users who share their plays brought, if `shared`."""
        if artist_ids is None:
            return self._read(ArtistAlbums, "artist_albums", {})
        some: list[Document] = [{"artist_id": {"$in": list(artist_ids)}}, *([{"shared": True}] if shared else [])]
        return self._read(ArtistAlbums, "artist_albums", {"$or": some})

    def library(self, user_id: str) -> pl.DataFrame:
        """The saved tracks and playlist rows of a user, as `LIBRARY_SCHEMA`."""
        saved = self._db["saved_tracks"].find({"user_id": user_id}, {"_id": 0, "spotify_id": 1, "added_at": 1})
        rows = [(each.get("spotify_id"), each.get("added_at")) for each in saved]
        fields = {"_id": 0, "tracks.spotify_id": 1, "tracks.added_at": 1}
        for playlist in self._db["playlists"].find({"user_id": user_id}, fields):
            rows += [(each.get("spotify_id"), each.get("added_at")) for each in playlist.get("tracks") or []]
        return pl.DataFrame(rows, schema=LIBRARY_SCHEMA, orient="row").filter(pl.col("track_id").fill_null("") != "")

    def library_names(self, user_id: str) -> dict[str, Document]:
        """How the library names its tracks, by id: ``name``, ``artist_name``, ``album_name``."""
        names = ("name", "artist_name", "album_name")
        found = list(self._db["saved_tracks"].find({"user_id": user_id}))
        for playlist in self._db["playlists"].find({"user_id": user_id}, {"tracks": 1}):
            found += playlist.get("tracks") or []
        return {each["spotify_id"]: {name: each.get(name) or "" for name in names} for each in found}

    def songs(self, track_ids: Sequence[str]) -> pl.DataFrame:
        """What the catalogue knows of tracks, as `SONGS_SCHEMA`."""
        fields = dict.fromkeys(
            ("spotify_id", "name", "artists", "album", "duration_ms", "isrc", "genres", "popularity", "audio_features"),
            1,
        )
        rows: list[Mapping[str, Any]] = []
        with paused_collection():
            for start in range(0, len(track_ids), IDS_AT_ONCE):
                some = list(track_ids[start : start + IDS_AT_ONCE])
                rows += map(_song, self._db["tracks"].find({"spotify_id": {"$in": some}}, {"_id": 0, **fields}))
        return pl.DataFrame(rows, schema=SONGS_SCHEMA)

    def artist_tags(self, artist_ids: Collection[str]) -> dict[str, list[str]]:
        """The tags of artists, by their ids; artists without any are left out."""
        query = {"spotify_id": {"$in": list(artist_ids)}}
        found = self._db["artists"].find(query, {"_id": 0, "spotify_id": 1, "genres": 1})
        return {each["spotify_id"]: each["genres"] for each in found if each.get("genres")}

    def _read(self, model: type[Stored], collection: str, query: Document) -> list[Stored]:
        return [stored_as(model, collection, each) for each in self._db[collection].find(query).sort("_id")]

    def _replace(self, collection: str, document: Model, *key: str) -> None:
        body = document.to_bson()
        self._db[collection].replace_one({field: body[field] for field in key}, body, upsert=True)


def no_lists(name: str) -> NotFoundError:
    """The error for a user without any list."""
    return NotFoundError(f"There are no recommendations for {name} yet.")


def _song(track: Document) -> Document:
    """A track of the catalogue as a row of `SONGS_SCHEMA`. Other programs may have written null for any field."""
    artist: Document = next(iter(track.get("artists") or []), {})
    album, features = track.get("album") or {}, track.get("audio_features") or {}
    return {
        "track_id": track["spotify_id"],
        "name": track.get("name") or "",
        "artist_id": artist.get("spotify_id") or "",
        "artist_name": artist.get("name") or "",
        "album_name": album.get("name") or "",
        "image_url": album.get("image_url") or "",
        "duration_ms": track.get("duration_ms") or 0,
        "isrc": (track.get("isrc") or "").upper(),
        "tags": track.get("genres") or [],
        "popularity": track.get("popularity") or None,
        **{name: features.get(name) for name in AVERAGED_FEATURES},
    }
