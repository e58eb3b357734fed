"""Stores plays: reads them as frames, and writes what merging decided (``listening_history``)."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date, datetime, timedelta
from itertools import chain, islice
from zoneinfo import ZoneInfo

import polars as pl
from bson import ObjectId
from pymongo import ReplaceOne, UpdateMany
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from echostats_pipeline.model.catalog import Track
from echostats_pipeline.model.collections import Index, index_on
from echostats_pipeline.model.plays import UnfinishedMerge
from echostats_pipeline.storage.database import Db, Document, duplicates
from echostats_pipeline.storage.garbage_collection import paused_collection
from echostats_pipeline.storage.indexes import index_hint
from echostats_pipeline.storage.play_columns import (
    NAMELESS_COLUMNS,
    PLAY_COLUMNS,
    STORED_NAMES,
    STORED_PLAY,
    converted,
)
from echostats_pipeline.transforms.days import DayWindow, local_midnight
from echostats_pipeline.transforms.history.facts import STORED_SCHEMA
from echostats_pipeline.transforms.history.play_changes import KnownTrack, PlayChanges
from echostats_pipeline.transforms.isrcs import ISRC
from echostats_pipeline.transforms.statistics.plays import PLAYS_SCHEMA, UTC_MS

BATCH = 2_000
IDS_AT_ONCE = 50_000
PLAYS_AT_ONCE = 50_000
"""Plays held as Python objects at a time."""
WRITERS = 2
"""Number of threads: one batch is encoded while the server processes the other."""
UNRESOLVED = "unresolved:"

TELLS_ISRC = rf"^listenbrainz\|(?s:.*)\x1f{ISRC}\|[0-9]*\|[0-9]+$"

UNREADABLE = (TypeError, pl.exceptions.PolarsError, OperationFailure)
HAS_END: Document = {"played_at": {"$type": "date"}}
INSTANTS = ("played_at", "api_played_at", "import_ts", "offline_at")


BY_END = index_on("listening_history", "user_id", "-played_at")
BY_TS = index_on("listening_history", "user_id", "import_ts")
BY_KEY = index_on("listening_history", "user_id", "import_key")
BY_TRACK = index_on("listening_history", "user_id", "track.spotify_id", "played_at")
"""Indexes of the history, requested by name. Otherwise the server remembers the plan that was best while the history
was empty, and then reads all plays of a user to find those of one day."""


class PlayStore:
    """The listening history, and the merges that were interrupted."""

    def __init__(self, db: Db) -> None:
        self._history = db["listening_history"]
        self._merges = db["unfinished_merges"]

    def read(self, user_id: str, start: datetime | None = None, end: datetime | None = None) -> pl.DataFrame:
        """Plays of one user that ended in ``[start, end)`` as a frame of `PLAYS_SCHEMA`, in no particular order.

        NUL characters are removed from names: other programs may have stored some, and keys of rollups cannot contain
        them.
        """
        try:
            return _with_plain_names(self._values(_dated(user_id, start, end), PLAY_COLUMNS, PLAYS_SCHEMA))
        except UNREADABLE:
            return self.read_columns(user_id, start, end, PLAY_COLUMNS, PLAYS_SCHEMA)

    def read_columns(
        self,
        user_id: str,
        start: datetime | None,
        end: datetime | None,
        columns: Document,
        schema: Mapping[str, pl.DataType],
    ) -> pl.DataFrame:
        """The same plays with other columns, whatever other programs have stored: values of a wrong type are unknown.

        Args:
            user_id: Owner of the plays.
            start: First instant of the end of a play; None for the first of all.
            end: The instant after the last one.
            columns: The expression of each column, `PLAY_COLUMNS` among them.
            schema: The type of each column.
        """
        plays = self._values(_dated(user_id, start, end), converted(columns, schema), schema)
        return _with_plain_names(plays)

    def read_nameless(self, user_id: str) -> pl.DataFrame:
        """All plays of one user as `read` returns them, but with empty names: these are most of what is transferred."""
        try:
            plays = self._values(_dated(user_id, None, None), NAMELESS_COLUMNS, PLAYS_SCHEMA)
        except UNREADABLE:
            return self.read(user_id)
        return plays.cast({"played_at": UTC_MS})

    def _values(self, match: Document, columns: Document, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
        """The columns of the plays; those without an expression are empty.

        A play is transferred as one array, which spares the names of its fields: they are half of the decoding.
        """
        read = [name for name in schema if name in columns]
        types = {name: pl.Int64() if name == "played_at" else dtype for name, dtype in schema.items()}
        projection = {"_id": 0, "row": [columns[name] for name in read]}
        parts = [pl.DataFrame(schema={name: types[name] for name in read})]
        with (
            paused_collection(),
            self._history.find(match, projection, **index_hint(self._history, BY_END)) as found,
        ):
            while some := [each["row"] for each in islice(found, PLAYS_AT_ONCE)]:
                values = zip(read, zip(*some, strict=True), strict=True)
                parts.append(pl.DataFrame([pl.Series(name, each, dtype=types[name]) for name, each in values]))
        plays = pl.concat(parts, rechunk=True)
        return plays.with_columns(pl.lit("").alias(name) for name in schema if name not in columns).select(*schema)

    def track_ids(self, user_id: str) -> pl.Series:
        """The ids of all tracks that a user has played, read from the index alone, in one step per track."""
        pipeline: list[Document] = [{"$match": {"user_id": user_id}}, {"$group": {"_id": "$track.spotify_id"}}]
        with paused_collection():
            found = [each["_id"] for each in self._history.aggregate(pipeline, **index_hint(self._history, BY_TRACK))]
        return pl.Series("track_id", found, dtype=pl.String)

    def last_names(self, user_id: str, track_ids: pl.Series) -> pl.DataFrame:
        """The names of tracks when a user last played them.

        Returns:
            ``track_id``, ``name``, ``artist_name``, ``album_name``: a row for each of the tracks that was played.
        """
        found: list[Document] = []
        for some in track_ids.to_frame().iter_slices(IDS_AT_ONCE):
            pipeline: list[Document] = [
                {"$match": {"user_id": user_id, "track.spotify_id": {"$in": some.to_series().to_list()}}},
                {"$sort": {"user_id": -1, "track.spotify_id": -1, "played_at": -1}},
                {"$group": {"_id": "$track.spotify_id", "track": {"$first": "$track"}}},
            ]
            found += self._history.aggregate(pipeline, **index_hint(self._history, BY_TRACK))
        columns = {
            "track_id": [each["_id"] for each in found],
            **{name: [each["track"].get(name, "") for each in found] for name in ("name", "artist_name", "album_name")},
        }
        names = pl.col("name", "artist_name", "album_name").str.replace_all("\0", "", literal=True)
        return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)).with_columns(names)

    def stored(self, user_id: str, start: datetime, end: datetime, *, names: bool = False) -> pl.DataFrame:
        """Plays that ended in ``[start, end)``, or were exported with a ``ts`` in it, as a frame of `STORED_SCHEMA`.

        Args:
            user_id: Owner of the plays.
            start: First instant.
            end: First instant after the interval.
            names: Whether to read names, too.
        """
        instants = {"$gte": start, "$lt": end}
        projection = STORED_PLAY | (STORED_NAMES if names else {})
        exported = {"user_id": user_id, "import_ts": {**instants, "$type": "date"}, "played_at": {"$not": instants}}
        queries = [(_between(user_id, start, end), BY_END), (exported, BY_TS)]
        try:
            return self._stored_rows(queries, projection)
        except UNREADABLE:
            return self._stored_rows(
                [({"$and": [match, HAS_END]}, index) for match, index in queries], converted(projection, STORED_SCHEMA)
            )

    def _stored_rows(self, queries: Iterable[tuple[Document, Index]], projection: Document) -> pl.DataFrame:
        rows = [play for match, index in queries for play in self._projected(match, index, projection)]
        return _frame(rows, STORED_SCHEMA, INSTANTS)

    def _projected(self, match: Document, index: Index, projection: Document) -> list[Document]:
        pipeline = [{"$match": match}, {"$project": projection}]
        return list(self._history.aggregate(pipeline, **index_hint(self._history, index)))

    def documents(self, ids: Collection[str]) -> dict[str, Document]:
        """Whole plays by the hex of their ``_id``, without it."""
        found = self._history.find({"_id": {"$in": [ObjectId(play) for play in ids]}}) if ids else ()
        return {str(play.pop("_id")): play for play in found}

    def apply(self, changes: PlayChanges) -> None:
        """Write what a merge decided: first the changes of stored plays, which survive a crash, then new ones.

        New plays that a crash has prevented will be merged again, because their source still has them.
        """
        if changes.rewrites:
            self.finish(self._begin(changes))
        plays = chain(changes.inserts, changes.plain)
        under_way: deque[Future[None]] = deque()
        with ThreadPoolExecutor(max_workers=WRITERS) as pool:
            while batch := list(islice(plays, BATCH)):
                if len(under_way) > WRITERS:
                    under_way.popleft().result()
                under_way.append(pool.submit(self._insert, batch))
            for insert in under_way:
                insert.result()

    def unfinished(self, user_id: str) -> list[UnfinishedMerge]:
        """Merges that a crash left unfinished, as one part each; incompletely recorded ones are deleted."""
        parts = [UnfinishedMerge.model_validate(part) for part in self._merges.find({"user_id": user_id}).sort("_id")]
        if not parts:
            return []
        complete = [part for part in parts if part.complete]
        for last in complete:
            last.plays = [play for part in parts if part.merge_id == last.merge_id for play in part.plays]
        self._merges.delete_many({"user_id": user_id, "merge_id": {"$nin": [last.merge_id for last in complete]}})
        return complete

    def finish(self, merge: UnfinishedMerge) -> None:
        """Change stored plays as a merge has decided; a second call changes nothing."""
        waiting = self._replace(merge.plays)
        if merge.vanished:
            self._history.delete_many({"_id": {"$in": merge.vanished}})
        # Some plays wait for a place that a later one leaves; the reverse order frees these places first.
        waiting = self._replace(waiting[::-1])
        if waiting:  # These plays exchange places.
            self._history.delete_many({"_id": {"$in": [play["_id"] for play in waiting]}})
            self._insert(waiting)
        self._merges.delete_many({"user_id": merge.user_id, "merge_id": merge.merge_id})

    def _begin(self, changes: PlayChanges) -> UnfinishedMerge:
        """Record how stored plays are to change."""
        plays = [{**play, "_id": ObjectId(play_id)} for play_id, play in changes.rewrites]
        merge_id, user_id = ObjectId(), plays[0]["user_id"]
        parts = [
            UnfinishedMerge(user_id=user_id, merge_id=merge_id, plays=plays[start : start + BATCH])
            for start in range(0, len(plays), BATCH)
        ]
        last = parts[-1]
        last.vanished = [ObjectId(play) for play in changes.deletes]
        last.touched = sorted(changes.touched)
        last.complete = True
        for part in parts:
            self._merges.insert_one(part.to_bson())
        return last.model_copy(update={"plays": plays})

    def _replace(self, plays: Sequence[Document]) -> list[Document]:
        """Replace plays by id; return the plays whose place is taken by another one."""
        if not plays:
            return []
        try:
            self._history.bulk_write(
                [ReplaceOne({"_id": play["_id"]}, play, upsert=True) for play in plays], ordered=False
            )
        except BulkWriteError as error:
            return [plays[position] for position in duplicates(error)]
        return []

    def _insert(self, plays: Sequence[Document]) -> None:
        """Insert plays; an export row whose place another play of its track has moves a millisecond earlier."""
        while plays:
            try:
                self._history.insert_many(plays, ordered=False)
            except BulkWriteError as error:
                plays = [
                    {**play, "played_at": play["played_at"] - timedelta(milliseconds=1), "played_at_estimated": True}
                    for play in (plays[position] for position in duplicates(error))
                    if play.get("import_key") and not self._is_stored(play)
                ]
            else:
                return

    def _is_stored(self, play: Document) -> bool:
        """Whether this very row is stored: an interrupted batch may have written it before."""
        return self._history.find_one({"user_id": play["user_id"], "import_key": play["import_key"]}) is not None

    def newest(self, user_id: str) -> datetime | None:
        """When the user's newest stored play ended."""
        found = self._history.find_one({"user_id": user_id}, {"played_at": 1}, sort=[("played_at", -1)])
        return None if found is None else found["played_at"]

    def oldest_reported(self, user_id: str) -> datetime | None:
        """The end of the oldest play that Spotify's API has reported."""
        reported = {"user_id": user_id, "$or": [{"source": "api"}, {"api_played_at": {"$type": "date"}}]}
        found = self._history.find_one(reported, {"played_at": 1}, sort=[("played_at", 1)])
        return None if found is None else found["played_at"]

    def untimed(self, track_ids: Collection[str]) -> dict[str, list[datetime]]:
        """The ends of plays of these tracks with unknown length and unknown time played, by user id."""
        lacking = {"track.spotify_id": {"$in": list(track_ids)}, "track.duration_ms": 0, "ms_played": None}
        ends: dict[str, list[datetime]] = {}
        for play in self._history.find(lacking, {"user_id": 1, "played_at": 1}):
            ends.setdefault(play["user_id"], []).append(play["played_at"])
        return ends

    def fill_tracks(self, tracks: Iterable[Track]) -> None:
        """Fill in length and cover of stored plays without them."""
        operations = [
            UpdateMany(
                {"track.spotify_id": track.spotify_id, "track.duration_ms": 0},
                {
                    "$set": {
                        "track.duration_ms": track.duration_ms,
                        "track.album_image_url": track.album.image_url if track.album else "",
                    }
                },
            )
            for track in tracks
            if track.duration_ms > 0
        ]
        if operations:
            self._history.bulk_write(operations, ordered=False)

    def unresolved(self, user_id: str) -> list[str]:
        """Ids made of names that stand in for the Spotify id in plays of a user."""
        of_names = {"user_id": user_id, "track.spotify_id": {"$gte": UNRESOLVED, "$lt": UNRESOLVED + "\uffff"}}
        return self._history.distinct("track.spotify_id", of_names)

    def of_recordings(self, user_id: str) -> list[tuple[str, datetime, str]]:
        """For plays whose best fact is a listen with an ISRC: the import key, ``import_ts`` and track id."""
        keys = {"$type": "string", "$gte": "listenbrainz|", "$lt": "listenbrainz}", "$regex": TELLS_ISRC}
        query = {"user_id": user_id, "import_key": keys, "api_played_at": None}
        fields = {"import_key": 1, "import_ts": 1, "track.spotify_id": 1}
        found = self._history.find(query, fields, **index_hint(self._history, BY_KEY))
        return [(play["import_key"], play["import_ts"], play["track"]["spotify_id"]) for play in found]

    def played(self, track_ids: Collection[str]) -> set[str]:
        """The tracks among these that any user has played."""
        return set(self._history.distinct("track.spotify_id", {"track.spotify_id": {"$in": list(track_ids)}}))

    def counted_by_track(self, user_id: str, min_play_ms: int) -> dict[str, int]:
        """The number of a user's plays that count, by track id."""
        counted = {"user_id": user_id, "$or": [{"ms_played": None}, {"ms_played": {"$gte": min_play_ms}}]}
        grouped = {"$group": {"_id": "$track.spotify_id", "plays": {"$sum": 1}}}
        return {row["_id"]: row["plays"] for row in self._history.aggregate([{"$match": counted}, grouped])}

    def listeners(self, track_ids: Iterable[str]) -> set[str]:
        """The ids of users who have played any of the tracks."""
        some, others = set[str](), iter(track_ids)
        while batch := list(islice(others, IDS_AT_ONCE)):
            some.update(self._history.distinct("user_id", {"track.spotify_id": {"$in": batch}}))
        return some

    def ends_of(self, user_id: str, track_ids: Sequence[str]) -> list[datetime]:
        """When plays of these tracks ended."""
        found = self._history.find({"user_id": user_id, "track.spotify_id": {"$in": track_ids}}, {"played_at": 1})
        return [play["played_at"] for play in found]

    def days_of(self, user_id: str, zone: ZoneInfo, track_ids: Collection[str]) -> set[date]:
        """The local days on which plays of these tracks ended, read from the index alone."""
        day = {"$dateToString": {"date": "$played_at", "format": "%Y-%m-%d", "timezone": zone.key}}
        match = {"user_id": user_id, "track.spotify_id": {"$in": list(track_ids)}, "played_at": {"$type": "date"}}
        pipeline: list[Document] = [{"$match": match}, {"$group": {"_id": day}}]
        found = self._history.aggregate(pipeline, **index_hint(self._history, BY_TRACK))
        return {date.fromisoformat(each["_id"]) for each in found}

    def resolve(self, user_id: str, track_ids: Mapping[str, str], known: Mapping[str, KnownTrack]) -> None:
        """Replace ids made of names by Spotify's ids; a play whose place is then taken is moved earlier.

        Args:
            user_id: Owner of the plays.
            track_ids: Spotify's ids by the ids made of names.
            known: What the catalogue knows of these tracks, to fill in length and cover.
        """
        for made, track_id in track_ids.items():
            track = known.get(track_id)
            fields = {"duration_ms": track.duration_ms, "album_image_url": track.album_image_url} if track else {}
            filled = {f"track.{name}": value for name, value in fields.items() if value}
            for play in self._history.find({"user_id": user_id, "track.spotify_id": made}, {"played_at": 1}):
                end = play["played_at"]
                while not self._set(play["_id"], {**filled, "track.spotify_id": track_id, "played_at": end}):
                    end -= timedelta(milliseconds=1)

    def _set(self, play: ObjectId, fields: Document) -> bool:
        """Set fields of a play, unless this would make it equal to another one."""
        try:
            self._history.update_one({"_id": play}, {"$set": fields})
        except DuplicateKeyError:
            return False
        return True

    def days(self, user_id: str, window: DayWindow, zone: ZoneInfo) -> set[date]:
        """The local days of a window on which a user's plays ended."""
        ended = {"$gte": local_midnight(window.first, zone), "$lt": local_midnight(window.following, zone)}
        day = {"$dateToString": {"date": "$played_at", "format": "%Y-%m-%d", "timezone": zone.key}}
        found = self._history.aggregate(
            [{"$match": {"user_id": user_id, "played_at": ended}}, {"$group": {"_id": day}}],
            **index_hint(self._history, BY_END),
        )
        return {date.fromisoformat(each["_id"]) for each in found}

    def count(self, user_id: str, start: datetime, end: datetime) -> int:
        """The number of plays that ended in ``[start, end)``."""
        return self._history.count_documents(_between(user_id, start, end), **index_hint(self._history, BY_END))


def _with_plain_names(plays: pl.DataFrame) -> pl.DataFrame:
    names = pl.col("track_name", "artist_name", "album_name").str.replace_all("\0", "", literal=True)
    return plays.cast({"played_at": UTC_MS}).with_columns(names)


def _dated(user_id: str, start: datetime | None, end: datetime | None) -> Document:
    """Selects the plays of an interval whose end is an instant; other programs may have stored others."""
    return {**HAS_END, **_between(user_id, start, end)}


def _between(user_id: str, start: datetime | None, end: datetime | None) -> Document:
    bounds = {name: bound for name, bound in (("$gte", start), ("$lt", end)) if bound is not None}
    return {"user_id": user_id, "played_at": bounds} if bounds else {"user_id": user_id}


def _frame(rows: list[Document], schema: Mapping[str, pl.DataType], instants: Sequence[str]) -> pl.DataFrame:
    columns = {
        name: pl.Series(
            name, [row.get(name) for row in rows], dtype=pl.Int64 if name in instants else dtype, strict=True
        )
        for name, dtype in schema.items()
    }
    return pl.DataFrame(columns).with_columns(pl.col(*instants).cast(UTC_MS))
