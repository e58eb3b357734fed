"""Keeps the documents of a user in ``spotify_analytics`` up to date: reads what has changed, writes what differs."""

from collections.abc import Collection as AnyOf
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pymongo import DeleteOne, InsertOne, ReplaceOne
from pymongo.collection import Collection

from echostats_pipeline.marts.spotify_analytics.database import CONSUMERS, FLAT, LAYOUT, MART, MUSIC, NESTED, PLAYS
from echostats_pipeline.marts.spotify_analytics.mapping import flat_document, nested_document
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.change_marks import WHOLE
from echostats_pipeline.storage.database import AWARE, Document
from echostats_pipeline.storage.frame_cache.catalog_frames import SLACK
from echostats_pipeline.storage.garbage_collection import paused_collection
from echostats_pipeline.storage.indexes import index_hint
from echostats_pipeline.storage.installed import place_of
from echostats_pipeline.storage.plays import BY_END, BY_TRACK
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import CLOCK_SLACK, DayWindow, local_date, local_midnight, windows

DAYS_AT_ONCE, BATCH = 31, 2_000
MOST_TRACKS = 2_000
"""With more changed tracks than these, all plays are looked at."""
DAY = timedelta(days=1)


@dataclass(frozen=True)
class AnalyticsUpdate:
    """What an update of a user's documents did: plays read, documents written or deleted in both collections."""

    plays: int
    written: int


def waiting_users(store: Store) -> set[str]:
    """Ids of the users whose documents are not up to date."""
    marked = {user_id for consumer in CONSUMERS for user_id in store.marks.pending(consumer)}
    return marked | {user.user_id for user in store.users.all()} - set(
        store.mart_states.built(MART, LAYOUT, place_of(store.databases, CONSUMERS))
    )


@dataclass
class AnalyticsMart:
    """The database ``spotify_analytics``, for the updates of one run."""

    store: Store
    settings: Settings

    def __post_init__(self) -> None:
        self._db = self.store.db.client.get_database(self.settings.analytics_db, codec_options=AWARE)
        self._tracks: dict[str, Document] = {}
        self._from_nothing = False

    def collection(self, name: str) -> Collection[Document]:
        """A collection of the database."""
        return self._db[name]

    def update(self, user: User, *, whole: bool = False) -> AnalyticsUpdate:
        """Bring the documents of a user up to date.

        Args:
            user: The user.
            whole: Whether to read everything again. Documents that are right stay.
        """
        marks, states, zone = self.store.marks, self.store.mart_states, ZoneInfo(user.timezone)
        place = place_of(self.store.databases, CONSUMERS)
        state = states.get(user.user_id, MART, LAYOUT, place)
        pending = {consumer: marks.pending(consumer).get(user.user_id, []) for consumer in CONSUMERS}
        whole = whole or state is None or WHOLE in pending[PLAYS]
        begun = [
            marks.begin(user.user_id, PLAYS, [WHOLE] if whole else pending[PLAYS]),
            marks.begin(user.user_id, MUSIC),
        ]
        # Else a play that has moved to another day may still be stored under its former one.
        self._from_nothing = all(
            self.collection(name).find_one({"user_id": user.user_id}) is None for name in (NESTED, FLAT)
        )
        read_at: datetime = self.store.db.command("hello", codec_options=AWARE)["localTime"]
        self._tracks.clear()
        changed = (
            None if whole or not pending[MUSIC] else self._changed_tracks(state.catalog_read_at if state else None)
        )
        whole = whole or (changed is not None and len(changed) > MOST_TRACKS)
        days = self._all_days(user, zone) if whole else {date.fromisoformat(each) for each in pending[PLAYS]}
        if changed and not whole:
            days |= self._days_of(user, zone, changed)
        plays = written = 0
        first = last = None
        for window in windows(days):
            for piece in window.pieces(DAYS_AT_ONCE):
                start, end = local_midnight(piece.first, zone), local_midnight(piece.following, zone) + CLOCK_SLACK
                read, changed_documents = self._update_window(user, start, end)
                plays, written = plays + read, written + changed_documents
                first, last = first or start, end
        if whole:
            beyond: list[Document] = (
                [{}] if first is None else [{"played_at": {"$lt": first}}, {"played_at": {"$gte": last}}]
            )
            gone = {"user_id": user.user_id, "$or": beyond}
            written += sum(self.collection(name).delete_many(gone).deleted_count for name in (NESTED, FLAT))
        state = state or states.anew(user.user_id, MART, LAYOUT, place)
        if whole or pending[MUSIC]:
            state.catalog_read_at = read_at
        states.put(state)
        for each in begun:
            marks.finish(each)
        return AnalyticsUpdate(plays, written)

    def _update_window(self, user: User, start: datetime, end: datetime) -> tuple[int, int]:
        """Replace the documents of plays that ended in ``[start, end)``; return plays read and documents changed."""
        within = {"user_id": user.user_id, "played_at": {"$gte": start, "$lt": end}}
        history = self.store.db["listening_history"]
        with paused_collection():
            plays = list(history.find(within, **index_hint(history, BY_END)))
        self._read_tracks({(play.get("track") or {}).get("spotify_id") or "" for play in plays})
        flat, nested = [], []
        for play in plays:
            track = self._tracks.get((play.get("track") or {}).get("spotify_id") or "")
            document = flat_document(play, track, user)
            flat.append(document)
            nested.append(nested_document(document, track))
        return len(plays), self._replace(FLAT, within, flat) + self._replace(NESTED, within, nested)

    def _replace(self, name: str, within: Document, wanted: Sequence[Document]) -> int:
        collection = self.collection(name)
        with paused_collection():
            stored = {each["_id"]: each for each in collection.find(within)}
        changes: list[Any] = [
            InsertOne(each) if self._from_nothing else ReplaceOne({"_id": each["_id"]}, each, upsert=True)
            for each in wanted
            if stored.get(each["_id"]) != each
        ]
        gone = stored.keys() - {each["_id"] for each in wanted}
        # Deletions last: an interrupted update leaves a play twice rather than not at all.
        changes += [DeleteOne({"_id": each}) for each in gone]
        for at in range(0, len(changes), BATCH):
            collection.bulk_write(changes[at : at + BATCH], ordered=False)
        return len(changes)

    def _read_tracks(self, track_ids: AnyOf[str]) -> None:
        missing = sorted(set(track_ids) - self._tracks.keys())
        fields = dict.fromkeys(
            ("spotify_id", "name", "artists", "album", "duration_ms", "popularity", "explicit", "preview_url"), 1
        )
        more = dict.fromkeys(("audio_features", "genres", "isrc", "enriched_at"), 1)
        with paused_collection():
            for at in range(0, len(missing), BATCH):
                query = {"spotify_id": {"$in": missing[at : at + BATCH]}}
                for track in self.store.db["tracks"].find(query, {"_id": 0, **fields, **more}):
                    self._tracks[track["spotify_id"]] = track

    def _changed_tracks(self, since: datetime | None) -> list[str]:
        query: Document = {} if since is None else {"changed_at": {"$gte": since - SLACK}}
        return [each["spotify_id"] for each in self.store.db["tracks"].find(query, {"_id": 0, "spotify_id": 1})]

    def _days_of(self, user: User, zone: ZoneInfo, track_ids: Sequence[str]) -> set[date]:
        history = self.store.db["listening_history"]
        query = {"user_id": user.user_id, "track.spotify_id": {"$in": list(track_ids)}}
        found = history.find(query, {"_id": 0, "played_at": 1}, **index_hint(history, BY_TRACK))
        return {local_date(each["played_at"], zone) for each in found}

    def _all_days(self, user: User, zone: ZoneInfo) -> set[date]:
        span = self.store.users.history_span(user.user_id)
        if span is None:
            return set()
        first, last = (local_date(instant, zone) for instant in span)
        return set(DayWindow(first - DAY, last + DAY).dates())


def wrong_counts(mart: AnalyticsMart, users: Sequence[User]) -> Iterator[tuple[User, str, int, int]]:
    """Users whose number of plays differs from the core's: user, collection, number found, number expected."""
    for user in users:
        query = {"user_id": user.user_id}
        expected = mart.store.db["listening_history"].count_documents(query)
        for name in (NESTED, FLAT):
            if (found := mart.collection(name).count_documents(query)) != expected:
                yield user, name, found, expected
