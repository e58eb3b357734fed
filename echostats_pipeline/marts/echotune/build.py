"""Keeps EchoTune's documents of one user up to date: reads what has changed, maps it, writes what differs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import chain
from zoneinfo import ZoneInfo

import polars as pl
from bson import ObjectId
from pymongo.collection import Collection

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.marts.echotune.adoption import adopt_user
from echostats_pipeline.marts.echotune.cache import EchoTuneCache
from echostats_pipeline.marts.echotune.database import (
    CONSUMERS,
    LAYOUT,
    LIBRARY,
    LISTS,
    MART,
    PLAYS,
    PROFILE,
    user_object_id,
)
from echostats_pipeline.marts.echotune.event_reading import months_counted
from echostats_pipeline.marts.echotune.events import (
    KEPT,
    OF_PLAYS,
    click_events,
    generation_events,
    play_events,
    playlist_events,
)
from echostats_pipeline.marts.echotune.optional import OPTIONAL
from echostats_pipeline.marts.echotune.playlists import Generated, generated_documents, ids_of, synced_documents
from echostats_pipeline.marts.echotune.plays import (
    DAY,
    KNOWN_SCHEMA,
    affected_plays,
    derived_plays,
    play_documents,
)
from echostats_pipeline.marts.echotune.profile import preferences_document, user_document
from echostats_pipeline.marts.echotune.reading import CoreReader
from echostats_pipeline.marts.echotune.recommendations import Feedback
from echostats_pipeline.marts.echotune.said import favourite_genres, keep_feedback
from echostats_pipeline.marts.echotune.sets import RecommendationSets
from echostats_pipeline.marts.echotune.tracks import track_document
from echostats_pipeline.marts.writing import SOURCE, SharedDocument, Update, insert, put, replace_within
from echostats_pipeline.model.statistics import AnalyticsSnapshot
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.change_marks import WHOLE
from echostats_pipeline.storage.database import AWARE, Document
from echostats_pipeline.storage.installed import place_of
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import CLOCK_SLACK, DayWindow, local_date, local_midnight, windows

DAYS_AT_ONCE = 366
"""Most days that are read at a time: memory grows with the number of plays."""
PLAYLISTS_AT_ONCE = 50
KNOWN_NAMES = {
    "trackName": "known_name",
    "artistName": "known_artist",
    "albumName": "known_album",
    "durationMs": "known_duration_ms",
    "popularity": "popularity",
}
"""Fields of a play that may come from the catalogue."""


@dataclass(frozen=True)
class MartUpdate:
    """What an update of a user's documents did.

    Attributes:
        plays: Plays that were read.
        written: Documents written or deleted, by collection without its prefix.
        whole: Whether all plays were read.
        uncached: Why Redis was not brought up to date; empty if it was, or if there is none.
    """

    plays: int
    written: Mapping[str, int]
    whole: bool
    uncached: str = ""


def waiting_users(store: Store) -> set[str]:
    """Ids of the users whose documents are not up to date."""
    marked = {user_id for consumer in CONSUMERS for user_id in store.marks.pending(consumer)}
    built = store.mart_states.built(MART, LAYOUT, place_of(store.databases, CONSUMERS))
    never = {user.user_id for user in store.users.all()} - set(built)
    return marked | never


@dataclass
class EchoTuneMart:
    """EchoTune's database, for the updates of one run.

    Attributes:
        store: The database of the core.
        settings: The names of EchoTune's database and its collections.
        now: The present instant.
        run_id: The Dagster run.
    """

    store: Store
    settings: Settings
    now: datetime
    run_id: str
    _known: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=KNOWN_SCHEMA))

    def __post_init__(self) -> None:
        self._core = CoreReader(self.store.db)
        self._place = place_of(self.store.databases, CONSUMERS)
        self._db = self.store.db.client.get_database(self.settings.echotune_db, codec_options=AWARE)
        self._update = Update(self.now, self.run_id)
        url = self.settings.redis_url
        self._cache = None if url is None else EchoTuneCache.of(url.get_secret_value())

    def collection(self, name: str) -> Collection[Document]:
        """A collection of EchoTune's, by its name without the prefix."""
        return self._db[self.settings.echotune_prefix + name]

    def update(self, user: User, *, whole: bool = False) -> MartUpdate:
        """Bring the documents of a user up to date, and the metadata of tracks that have changed.

        Args:
            user: The user.
            whole: Whether to read everything again, even what is marked as read. Documents that are right stay.
        """
        user_id, written = user.user_id, Counter[str]()
        self._known = self._known.clear()
        state = self.store.mart_states.get(user_id, MART, LAYOUT, self._place)
        if state is not None and not self.collection("users").count_documents(
            {"_id": user_object_id(user_id)}, limit=1
        ):
            state = None  # somebody has dropped the database
        # The catalogue is shared: another user's update has written the tracks that had changed until then.
        since = state.catalog_read_at if state else self.store.mart_states.catalog_read_at(MART, LAYOUT, self._place)
        since = None if whole else since
        first, whole = state is None, whole or state is None
        state = state or self.store.mart_states.anew(user_id, MART, LAYOUT, self._place)
        waiting = {name: self.store.marks.pending(name).get(user_id, []) for name in CONSUMERS}
        dates = [WHOLE] if whole or WHOLE in waiting[PLAYS] else waiting[PLAYS]
        begun = [self.store.marks.begin(user_id, name, dates if name == PLAYS else [WHOLE]) for name in CONSUMERS]
        read_at = self._core.now()
        adopt_user(user, self.collection)
        sets = RecommendationSets(self.collection, self._core, self._update, self._known_tracks)
        if first:
            sets.drop_unmarked(written)
        changed = self._put_tracks(since, written) if whole or waiting[PROFILE] else []
        plays = self._update_plays(user, dates, changed, written)
        if whole or waiting[PROFILE] or dates:
            self._update_profile(user, written)
        if whole or waiting[LIBRARY]:
            self._update_playlists(user, written)
        feedback = keep_feedback(self.collection, user_object_id(user_id), state, read_at)
        if whole or waiting[LISTS]:
            sets.put(user, feedback, written)
        self._update_clicks(user, written)
        if whole or waiting[PROFILE]:
            state.catalog_read_at = read_at
        events, owner = self.collection("analytics_events"), user_object_id(user_id)
        state.event_months = months_counted(events, owner, state.event_months, self.now)
        self.store.mart_states.put(state)
        for each in begun:
            self.store.marks.finish(each)
        return MartUpdate(plays, dict(written), WHOLE in dates, self._update_cache(user, written))

    def read_feedback(self, user: User) -> Feedback:
        """What a user has said about recommended tracks until now, including sets that have expired since."""
        state = self.store.mart_states.anew(user.user_id, MART, LAYOUT, self._place)
        return keep_feedback(self.collection, user_object_id(user.user_id), state, self.now)

    def favourite_genres(self, user: User) -> list[str]:
        """The favourite genres in a user's preferences."""
        return favourite_genres(self.collection, user_object_id(user.user_id))

    def _put_tracks(self, since: datetime | None, written: Counter[str]) -> list[str]:
        """Write the metadata of tracks that have changed since an instant; return their ids."""
        ids: list[str] = []
        for tracks in self._core.changed_tracks(since):
            albums = self._core.albums(tracks)
            documents = (
                track_document(each, albums.get((each.get("album") or {}).get("spotify_id") or "")) for each in tracks
            )
            written["track_metadata"] += put(
                self.collection("track_metadata"), documents, self._update, OPTIONAL["track_metadata"]
            )
            ids += [each["spotify_id"] for each in tracks]
        return ids

    def _update_plays(self, user: User, dates: Sequence[str], changed: Sequence[str], written: Counter[str]) -> int:
        """Update the plays of some dates, and those that look different because the catalogue has changed."""
        zone, owner = ZoneInfo(user.timezone), user_object_id(user.user_id)
        if WHOLE in dates:
            days, outside = self._all_days(user, zone), True
        else:
            outside = False
            days = {date.fromisoformat(day) for day in dates}
            days |= {local_date(at, zone) for at in self._outdated(owner, changed)}
        plays, first, last = 0, None, None
        for window in windows(days):
            for piece in window.pieces(DAYS_AT_ONCE):
                start = local_midnight(piece.first, zone)
                end = local_midnight(piece.following, zone) + CLOCK_SLACK
                plays += self._update_window(user, owner, (start, end), written)
                first, last = first or start, end
        if outside:
            beyond = [{}] if first is None else [{"playedAt": {"$lt": first}}, {"playedAt": {"$gte": last}}]
            gone = {"userId": owner, "source": SOURCE, "$or": beyond}
            written["listening_history"] += self.collection("listening_history").delete_many(gone).deleted_count
            when = [{}] if first is None else [{"timestamp": {"$lt": first}}, {"timestamp": {"$gte": last}}]
            of_plays = {"userId": owner, "eventType": {"$in": OF_PLAYS}, "source": SOURCE, "$or": when}
            written["analytics_events"] += self.collection("analytics_events").delete_many(of_plays).deleted_count
        old = {"userId": owner, "eventType": {"$in": self._derived_events()}, "timestamp": {"$lt": self._since}}
        written["analytics_events"] += (
            self.collection("analytics_events").delete_many({**old, "source": SOURCE}).deleted_count
        )
        return plays

    def _all_days(self, user: User, zone: ZoneInfo) -> set[date]:
        span = self.store.users.history_span(user.user_id)
        if span is None:
            return set()
        first, last = (local_date(instant, zone) for instant in span)
        return set(DayWindow(first - timedelta(days=1), last + timedelta(days=1)).dates())

    def _outdated(self, owner: ObjectId, track_ids: Sequence[str]) -> Iterator[datetime]:
        """The ends of plays whose document or event may look different now, because tracks have changed."""
        known = {row["track_id"]: row for row in self._known_tracks(track_ids).iter_rows(named=True)}
        fields = dict.fromkeys((*KNOWN_NAMES, "trackId", "playedAt"), 1)
        query = {"userId": owner, "trackId": {"$in": list(known)}, "source": SOURCE}
        for play in self.collection("listening_history").find(query, fields):
            says = known[play["trackId"]]
            differs = any(play.get(name) != says[column] for name, column in KNOWN_NAMES.items())
            if differs or play["playedAt"] >= self._since:
                yield play["playedAt"]

    def _update_window(
        self, user: User, owner: ObjectId, window: tuple[datetime, datetime], written: Counter[str]
    ) -> int:
        start, end = window
        back, forth = DAY, DAY
        while True:
            read = (start - back, end + forth)
            plays = self._core.plays(user.user_id, *read)
            affected = affected_plays(derived_plays(plays, self._known_of(plays)), window, read)
            if not affected.back and not affected.forth:
                break
            back, forth = back * 2 if affected.back else back, forth * 2 if affected.forth else forth
        rows = affected.rows
        if not rows.is_empty():
            start = min(start, rows["played_at"][0])
            end = max(end, rows["played_at"][-1] + timedelta(milliseconds=1))
        within = {"$gte": start, "$lt": end}
        written["listening_history"] += replace_within(
            self.collection("listening_history"),
            {"userId": owner, "playedAt": within},
            play_documents(rows, owner, self.run_id),
        )
        if end > self._since:
            lately = rows.filter(pl.col("played_at") >= self._since)
            scope = {
                "userId": owner,
                "eventType": {"$in": OF_PLAYS},
                "timestamp": {**within, "$gte": max(start, self._since)},
            }
            written["analytics_events"] += replace_within(
                self.collection("analytics_events"), scope, map(self._event, play_events(lately, owner))
            )
        return plays.height

    def _known_of(self, plays: pl.DataFrame) -> pl.DataFrame:
        return self._known_tracks(plays["track_id"].unique().to_list())

    def _known_tracks(self, track_ids: Iterable[str]) -> pl.DataFrame:
        """What the catalogue says of tracks, and perhaps of more; each track is read once in an update."""
        seen = set(self._known["track_id"])
        missing = [each for each in track_ids if each not in seen]
        if missing:
            self._known = pl.concat([self._known, self._core.known(missing)])
        return self._known

    def _update_profile(self, user: User, written: Counter[str]) -> None:
        snapshot, last_play = self._snapshot(user), self.store.plays.newest(user.user_id)
        for name, document in (
            ("users", user_document(user, snapshot, last_play)),
            ("user_preferences", preferences_document(user, snapshot, self.now)),
        ):
            written[name] += put(self.collection(name), [document], self._update, OPTIONAL[name])

    def _snapshot(self, user: User) -> AnalyticsSnapshot | None:
        try:
            return self.store.statistics.snapshot(user.user_id, "all_time")
        except NotFoundError:
            return None

    def _update_playlists(self, user: User, written: Counter[str]) -> None:
        owner, kept, store = user_object_id(user.user_id), list[ObjectId](), self.store.playlists
        made = Generated.of(
            store.of(user.user_id, with_candidates=False),
            store.copies(user.user_id),
            self._core.synced_playlists(user.user_id),
        )

        def documents() -> Iterator[SharedDocument]:
            synced = synced_documents(self._core.playlists(user.user_id), made.at_spotify, user)
            for each in chain(synced, generated_documents(made.apart, user)):
                kept.append(each.id)
                yield each

        playlists = self.collection("playlists")
        written["playlists"] += put(playlists, documents(), self._update, OPTIONAL["playlists"], PLAYLISTS_AT_ONCE)
        ours = {"userId": owner, "source": SOURCE}
        written["playlists"] += playlists.delete_many({**ours, "_id": {"$nin": kept}}).deleted_count
        manual = {**ours, "playlist_type": "manual", "createdAt": {"$gte": self._since}}
        events = [
            *playlist_events(playlists.find(manual, {"tracks": 0}), owner, self._since),
            *generation_events(ids_of(made, owner), owner, self._since),
        ]
        scope = {"userId": owner, "eventType": "playlist.created", "timestamp": {"$gte": self._since}}
        written["analytics_events"] += replace_within(
            self.collection("analytics_events"), scope, map(self._event, events)
        )

    def _update_clicks(self, user: User, written: Counter[str]) -> None:
        owner = user_object_id(user.user_id)
        sets = list(self.collection("recommendations").find({"userId": owner, "source": SOURCE}))
        if not sets:
            return
        events, first = self.collection("analytics_events"), min(each["createdAt"] for each in sets)
        query = {"userId": owner, "eventType": "track.played", "timestamp": {"$gt": first}, "source": SOURCE}
        ends: dict[str, list[datetime]] = {}
        for play in events.find(query, {"metadata.trackId": 1, "timestamp": 1}).sort("timestamp", 1):
            ends.setdefault(play["metadata"]["trackId"], []).append(play["timestamp"])
        clicks = click_events(sets, ends, owner, self._since)
        written["analytics_events"] += insert(events, map(self._event, clicks))

    def _update_cache(self, user: User, written: Counter[str]) -> str:
        """Drop the user's keys in Redis if documents have changed, and write them again."""
        if self._cache is None or not sum(written.values()):
            return ""
        owner = user_object_id(user.user_id)
        valid = {"userId": owner, "expiresAt": {"$gt": self.now}, "source": SOURCE}
        sets = list(self.collection("recommendations").find(valid).sort("createdAt", 1))
        tracks = sorted({track["trackId"] for each in sets for track in each["tracks"]})
        known = self.collection("track_metadata").find(
            {"spotifyId": {"$in": tracks}, "audioFeatures": {"$exists": True}}, {"spotifyId": 1, "audioFeatures": 1}
        )
        features = {each["spotifyId"]: each["audioFeatures"] for each in known}
        preferences = self.collection("user_preferences").find_one({"userId": owner})
        return self._cache.drop(owner) or self._cache.warm(owner, sets, preferences, features)

    def _event(self, made: Document) -> Document:
        return {**made, "createdAt": self.now, "source": SOURCE, "runId": self.run_id}

    @property
    def _since(self) -> datetime:
        return self.now - KEPT

    def _derived_events(self) -> list[str]:
        return [*OF_PLAYS, "playlist.created", "recommendation.clicked"]
