"""Keeps Playlist Generator's documents of one user up to date, and reads what its applications ask and say."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import polars as pl
from bson import ObjectId
from pymongo.collection import Collection

from echostats_pipeline.marts.echotune.reading import CoreReader
from echostats_pipeline.marts.ids import object_id
from echostats_pipeline.marts.playlist_generator import mappings
from echostats_pipeline.marts.playlist_generator.database import (
    CATALOG,
    CONSUMERS,
    LAYOUT,
    LIBRARY,
    MADE,
    MARKER,
    MART,
    OWNED,
    track_object_id,
    user_object_id,
)
from echostats_pipeline.marts.writing import SOURCE, SharedDocument, Update, insert, put
from echostats_pipeline.model.operations import DepartedTrack, MartState
from echostats_pipeline.model.playlists import GeneratedPlaylist
from echostats_pipeline.model.users import User
from echostats_pipeline.playlists.feedback import Said, listening_events
from echostats_pipeline.playlists.reading import heard_plays
from echostats_pipeline.playlists.understanding import PARSER
from echostats_pipeline.playlists.vocabulary import BOUNDS, Span
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.catalog import NOT_ON_SPOTIFY
from echostats_pipeline.storage.change_marks import WHOLE
from echostats_pipeline.storage.database import AWARE, Document
from echostats_pipeline.storage.installed import place_of
from echostats_pipeline.storage.store import Store

OPTIONAL: Mapping[str, frozenset[str]] = {
    "users": frozenset({"country", "product"}),
    "tracks": frozenset({"album", "durationMs", "popularity", "audioFeatures", "featureVector", "fetchedAt"}),
    "userlibraries": frozenset({"removedAt", "lastHeardAt"}),
    "moodqueries": frozenset({"parsed", "modelVersion"}),
    "generationsessions": frozenset({"error"}),
    "playlists": frozenset({"spotifyPlaylistId", "snapshotId"}),
    "feedbackevents": frozenset({"elapsedMs", "position"}),
    "modelregistries": frozenset({"artifact", "activatedAt"}),
}
"""Fields of the pipeline that not every document has."""


def waiting_users(store: Store) -> set[str]:
    """Ids of the users whose documents are not up to date."""
    marked = {user_id for consumer in CONSUMERS for user_id in store.marks.pending(consumer)}
    return marked | (
        {user.user_id for user in store.users.all()}
        - set(store.mart_states.built(MART, LAYOUT, place_of(store.databases, CONSUMERS)))
    )


@dataclass(frozen=True)
class PendingQuery:
    """A text that an application has inserted and that was not answered."""

    query_id: ObjectId
    text: str


@dataclass
class PlaylistGeneratorMart:
    """Playlist Generator's database, for the updates of one run.

    Attributes:
        store: The database of the core.
        settings: The name of Playlist Generator's database.
        now: The present instant.
        run_id: The Dagster run.
    """

    store: Store
    settings: Settings
    now: datetime
    run_id: str

    def __post_init__(self) -> None:
        self._core = CoreReader(self.store.db)
        self._db = self.store.db.client.get_database(self.settings.playlist_generator_db, codec_options=AWARE)

    def collection(self, name: str) -> Collection[Document]:
        """A collection of Playlist Generator's."""
        return self._db[name]

    def update(self, user: User, *, whole: bool = False) -> dict[str, int]:
        """Bring the documents of a user up to date, and the tracks that have changed.

        Args:
            user: The user.
            whole: Whether to read everything again, even what is marked as read. Documents that are right stay.

        Returns:
            Documents written or deleted, by collection.
        """
        user_id, written = user.user_id, Counter(dict.fromkeys((*OPTIONAL, "moods"), 0))
        states, place = self.store.mart_states, place_of(self.store.databases, CONSUMERS)
        state = states.get(user_id, MART, LAYOUT, place)
        since = states.catalog_read_at(MART, LAYOUT, place) if state is None else state.catalog_read_at
        since = None if whole else since
        whole = whole or state is None
        state = state or states.anew(user_id, MART, LAYOUT, place)
        waiting = {name: self.store.marks.pending(name).get(user_id, []) for name in CONSUMERS}
        begun = [self.store.marks.begin(user_id, name, [WHOLE]) for name in CONSUMERS]
        read_at = self._core.now()
        self._adopt(user)
        self._put_moods(written)
        changed = whole or bool(waiting[LIBRARY] or waiting[CATALOG])
        if changed:
            self._put_tracks(since, written)
            state.catalog_read_at = read_at
            self._put(written, "users", [mappings.user_document(user, has_features=self._has_features())])
        if whole or waiting[LIBRARY] or self.has_said_more(user):
            self._put_library(user, state, written)
        if changed or waiting[MADE]:
            self._put_playlists(user, written)
            self._put_models(written)
        states.put(state)
        for each in begun:
            self.store.marks.finish(each)
        return dict(written)

    def _put(
        self, written: Counter[str], name: str, documents: Iterable[SharedDocument], *, dated: bool = False
    ) -> None:
        update = Update(self.now, self.run_id, dated=dated or name == "users", marker=MARKER)
        written[name] += put(self.collection(name), documents, update, OPTIONAL[name])

    def _put_moods(self, written: Counter[str]) -> None:
        moods = self.collection("moods")
        known = set(moods.distinct("key"))
        for mood in mappings.mood_documents():
            if mood["key"] not in known:
                fresh = {
                    "_id": object_id("playlist_generator_moods", mood["key"]),
                    **mood,
                    MARKER: SOURCE,
                    "runId": self.run_id,
                }
                done = moods.update_one({"key": mood["key"]}, {"$setOnInsert": fresh}, upsert=True)
                written["moods"] += done.upserted_id is not None

    def _put_tracks(self, since: datetime | None, written: Counter[str]) -> None:
        for tracks in self._core.changed_tracks(since):
            albums = self._core.albums(tracks)
            self._put(
                written,
                "tracks",
                (
                    mappings.track_document(each, albums.get((each.get("album") or {}).get("spotify_id") or ""))
                    for each in tracks
                ),
            )

    def _has_features(self) -> bool:
        return self.store.db["tracks"].find_one({"audio_features": {"$type": "object"}}, {"_id": 1}) is not None

    def _put_library(self, user: User, state: MartState, written: Counter[str]) -> None:
        owner = user_object_id(user.user_id)
        rows = self._library_rows(user)
        present = set(rows.filter("in_library")["track_id"])
        departed = {each.spotify_id: each.noticed_at for each in state.departed if each.spotify_id not in present}
        departed = {**dict.fromkeys(set(state.library) - present, self.now), **departed}
        state.departed = [DepartedTrack(spotify_id=each, noticed_at=at) for each, at in sorted(departed.items())]
        state.library = sorted(present)
        gone = sorted(departed.keys() - set(rows["track_id"]))
        if gone:
            rows = pl.concat([rows, pl.DataFrame({"track_id": gone})], how="diagonal").with_columns(
                pl.col("skips").fill_null(0)
            )
        self._put_unknown(self._names_of(user, self._unknown(rows["track_id"])), written)
        said = self.said(user)
        state.liked, state.disliked = sorted(said.liked), sorted(said.disliked)
        kept: list[ObjectId] = []

        def documents() -> Iterator[SharedDocument]:
            for each in mappings.library_documents(owner, rows.iter_rows(named=True), departed, said):
                kept.append(each.id)
                yield each

        self._put(written, "userlibraries", documents())
        self._delete_others(written, "userlibraries", owner, kept)

    def _delete_others(self, written: Counter[str], name: str, owner: ObjectId, kept: Iterable[ObjectId]) -> None:
        """Delete the pipeline's documents of a user that are not to be there."""
        ours = {each["_id"] for each in self.collection(name).find({"userId": owner, MARKER: SOURCE}, {"_id": 1})}
        if lost := sorted(ours - set(kept)):
            written[name] += self.collection(name).delete_many({"_id": {"$in": lost}}).deleted_count

    def _library_rows(self, user: User) -> pl.DataFrame:
        plays = self.store.plays.read(user.user_id)
        heard = heard_plays(
            self.store, plays, self.settings.min_play_ms, user.timezone, self.store.rules.of(user.user_id)
        )
        of_plays = heard.group_by("track_id").agg(
            first_played_at=pl.col("played_at").filter("liked").min(),
            last_played_at=pl.col("played_at").max(),
            skips=(~pl.col("liked")).sum().cast(pl.Int64),
        )
        library = self.store.recommendations.library(user.user_id)
        of_library = library.group_by("track_id").agg(pl.col("added_at").min(), in_library=pl.lit(value=True))
        rows = of_plays.join(of_library, on="track_id", how="full", coalesce=True).sort("track_id")
        rows = rows.with_columns(pl.col("skips").fill_null(0), pl.col("in_library").fill_null(value=False))
        return rows.filter(~pl.col("track_id").str.contains(NOT_ON_SPOTIFY))

    def _names_of(self, user: User, track_ids: list[str]) -> dict[str, dict[str, Any]]:
        """What the library and the plays of a user call tracks."""
        if not track_ids:
            return {}
        names = {**self.store.recommendations.library_names(user.user_id)}
        missing = pl.Series("track_id", [each for each in track_ids if each not in names], dtype=pl.String)
        for row in self.store.plays.last_names(user.user_id, missing).iter_rows(named=True):
            names[row["track_id"]] = row
        return {each: names[each] for each in track_ids if each in names}

    def _unknown(self, track_ids: Iterable[str]) -> list[str]:
        """Which of some tracks have no document."""
        tracks, ids = self.collection("tracks"), sorted(set(track_ids))
        known: set[str] = set()
        for start in range(0, len(ids), 20_000):
            query = {"spotifyTrackId": {"$in": ids[start : start + 20_000]}}
            known |= {each["spotifyTrackId"] for each in tracks.find(query, {"_id": 0, "spotifyTrackId": 1})}
        return [each for each in ids if each not in known]

    def _put_unknown(self, names: Mapping[str, Mapping[str, Any]], written: Counter[str]) -> None:
        """Write tracks that the catalogue does not have, with their names alone."""
        self._put(written, "tracks", (_named_track(each, names[each]) for each in self._unknown(names)))

    def _put_playlists(self, user: User, written: Counter[str]) -> None:
        owner, made = user_object_id(user.user_id), self.store.playlists.of(user.user_id)
        copies = {copy.playlist_id: copy.snapshot_id for copy in self.store.playlists.copies(user.user_id)}
        named = {track.spotify_id: track.model_dump() for each in made for track in each.tracks}
        self._put_unknown(named, written)
        queries = [mappings.query_document(each, owner) for each in made if each.query_id is None]
        self._put(written, "moodqueries", queries)
        self._answer(made)
        sessions = [mappings.session_document(each, owner) for each in made]
        self._put(written, "generationsessions", sessions)
        playlists = [
            mappings.playlist_document(each, owner, copies.get(each.id, ""))
            for each in made
            if each.status == "completed"
        ]
        self._put(written, "playlists", playlists)
        uris = {f"spotify:playlist:{each.spotify_id}" for each in made if each.spotify_id}
        plays = self.store.playlists.plays_within(user.user_id, uris) if uris else []
        edits = self.store.playlists.edits(user.user_id)
        feedback = list(mappings.feedback_documents(owner, listening_events(made, plays), edits))
        self._put(written, "feedbackevents", feedback)
        for name, documents in (
            ("moodqueries", queries),
            ("generationsessions", sessions),
            ("playlists", playlists),
            ("feedbackevents", feedback),
        ):
            self._delete_others(written, name, owner, [each.id for each in documents])

    def _answer(self, made: Iterable[GeneratedPlaylist]) -> None:
        """Write what was understood into the queries of applications; their text stays as it is."""
        for each in made:
            asked = each.understanding
            if each.query_id is not None:
                fields: Document = {
                    **({} if asked is None else {"parsed": {"$literal": mappings.parsed(asked)}}),
                    "modelVersion": {"$literal": PARSER if asked is None else asked.parser},
                    "createdAt": {"$ifNull": ["$createdAt", each.created_at]},
                }
                self.collection("moodqueries").update_one({"_id": each.query_id}, [{"$set": fields}])

    def _put_models(self, written: Counter[str]) -> None:
        stored = self.store.recommendations
        activations = [each for task in ("discover", "rediscover") for each in stored.activations(task)]
        evaluations = [each for task in ("discover", "rediscover") for each in stored.evaluations(task)]
        models = list(mappings.model_documents(activations, evaluations))
        self._put(written, "modelregistries", models)
        lapsed = {MARKER: SOURCE, "_id": {"$nin": [each.id for each in models]}}
        written["modelregistries"] += self.collection("modelregistries").delete_many(lapsed).deleted_count

    def unknown_tracks(self, user: User) -> int:
        """How many tracks the pipeline's documents of a user name without a document of the track."""
        query = {"userId": user_object_id(user.user_id), MARKER: SOURCE}
        named = set(self.collection("userlibraries").distinct("trackId", query))
        named |= set(self.collection("playlists").distinct("tracks.trackId", query))
        ids, known = sorted(named), 0
        for start in range(0, len(ids), 20_000):
            known += self.collection("tracks").count_documents({"_id": {"$in": ids[start : start + 20_000]}})
        return len(ids) - known

    def has_pending(self) -> bool:
        """Whether a text of any user was not read yet."""
        return self.collection("moodqueries").find_one(_UNREAD, {"_id": 1}) is not None

    def pending(self, user: User) -> list[PendingQuery]:
        """The texts of a user that applications have inserted and that were not answered, the oldest first."""
        found = self.collection("moodqueries").find({"userId": {"$in": self._ids_of(user)}, **_UNREAD}).sort("_id", 1)
        answered = self.store.playlists.answered(user.user_id)
        return [
            PendingQuery(each["_id"], str(each.get("rawText") or "")) for each in found if each["_id"] not in answered
        ]

    def said(self, user: User) -> Said:
        """What a user has said about tracks in applications: the last word about a track counts."""
        query = {"userId": {"$in": self._ids_of(user)}, "event": {"$in": ["like", "dislike"]}, MARKER: {"$ne": SOURCE}}
        last: dict[ObjectId, str] = {}
        for each in self.collection("feedbackevents").find(query).sort([("createdAt", 1), ("_id", 1)]):
            last[each["trackId"]] = each["event"]
        found = self.collection("tracks").find({"_id": {"$in": list(last)}}, {"spotifyTrackId": 1})
        names = {each["_id"]: each["spotifyTrackId"] for each in found}
        said = {event: {names[at] for at, each in last.items() if each == event and at in names} for event in _SAID}
        return Said(frozenset(said["like"]), frozenset(said["dislike"]))

    def show(self, user: User, made: GeneratedPlaylist, status: Literal["pending", "processing"]) -> None:
        """Show applications how far the answer to a text is, before it is there."""
        session = mappings.session_document(made, user_object_id(user.user_id), status)
        self._put(Counter(), "generationsessions", [session])

    def has_said_more(self, user: User) -> bool:
        """Whether a user has liked or disliked tracks since their library was last written."""
        place = place_of(self.store.databases, CONSUMERS)
        state, said = self.store.mart_states.get(user.user_id, MART, LAYOUT, place), self.said(user)
        return state is not None and (set(state.liked), set(state.disliked)) != (set(said.liked), set(said.disliked))

    def preferences(self, user: User) -> Mapping[str, Span]:
        """The ranges with which playlists of a user begin, as applications have set them."""
        found = self.collection("users").find_one({"_id": {"$in": self._ids_of(user)}}, {"preferences": 1}) or {}
        return {
            axis: (max(low, least), min(high, most))
            for axis, (least, most) in BOUNDS.items()
            if (span := _numbers((found.get("preferences") or {}).get(f"{axis}Range"))) is not None
            for low, high in [sorted(span)]
            if max(low, least) <= min(high, most)
        }

    def _ids_of(self, user: User) -> list[ObjectId]:
        """The ids under which applications may know a user."""
        found = self.collection("users").find({"spotifyUserId": user.spotify_id}, {"_id": 1})
        return sorted({user_object_id(user.user_id), *(each["_id"] for each in found)})

    def _adopt(self, user: User) -> None:
        """Give a user whom an application has added first the id that the pipeline computes, with all their documents.

        The application's document is renamed first, because Spotify's id is unique; so a process that dies in between
        loses nothing, and the next one goes on.
        """
        owner, moving = user_object_id(user.user_id), f"moving:{user.spotify_id}"
        users = self.collection("users")
        theirs = users.find_one({"spotifyUserId": {"$in": [user.spotify_id, moving]}, "_id": {"$ne": owner}})
        if theirs is None:
            return
        users.update_one({"_id": theirs["_id"]}, {"$set": {"spotifyUserId": moving}})
        old = theirs.pop("_id")
        insert(users, [{"_id": owner, **theirs, "spotifyUserId": user.spotify_id}])
        for name in OWNED:
            self.collection(name).update_many({"userId": old}, {"$set": {"userId": owner}})
        users.delete_one({"_id": old})


_SAID = ("like", "dislike")
_UNREAD: Document = {
    "modelVersion": {"$in": [None, ""]},
    **{f"parsed.{axis}Range.0": {"$exists": False} for axis in BOUNDS},
    MARKER: {"$ne": SOURCE},
}
"""Selects texts that nothing has read. Applications with mongoose store `parsed` with empty ranges."""


def _numbers(value: Any) -> tuple[float, float] | None:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(each, int | float) for each in value):  # noqa: PLR2004
        return float(value[0]), float(value[1])
    return None


def _named_track(track_id: str, names: Mapping[str, Any]) -> SharedDocument:
    name = names.get("name") or names.get("track_name") or ""
    artist = names.get("artist_name") or ""
    return SharedDocument(
        track_object_id(track_id),
        {
            "spotifyTrackId": track_id,
            "name": name,
            "artists": [{"id": "", "name": artist}] if artist else [],
            "explicit": False,
            "source": "spotify",
        },
        first={"analysis": {"previewAvailable": False, "status": "pending"}},
    )
