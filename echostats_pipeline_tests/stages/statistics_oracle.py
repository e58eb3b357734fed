"""Oracle for derived documents: compares the updated ones with a build from scratch and with brute force."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import bson

from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.model.statistics import DailyRollup, PeriodStatistics
from echostats_pipeline.model.users import User
from echostats_pipeline.stages.statistics import rebuild_rollups, rebuild_snapshots
from echostats_pipeline.storage.catalog import NOT_ON_SPOTIFY
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import DayWindow, local_date
from echostats_pipeline_tests.conftest import Counted
from echostats_pipeline_tests.transforms import oracle, oracle_periods
from echostats_pipeline_tests.transforms.document_differences import differences
from echostats_pipeline_tests.transforms.oracle import FEATURES, Catalogue, Known, KnownTrack, OraclePlay
from echostats_pipeline_tests.transforms.oracle_rules import rules_that_leave_out

MIN_PLAY_MS = 30_000
KEYS = {
    "daily_rollups": "date",
    "analytics_snapshots": "period",
    "calendar_snapshots": "period",
    "yearly_reviews": "year",
}
"""Derived collections, and the fields that identify a document of a user."""
CACHES = ("statistics_years", "statistics_catalog")
SOURCES = ("users", "rules", "listening_history", "covered_spans", "tracks", "artists", "albums", "playlists")
"""Collections from which they are derived."""
TIMELESS = ("_id", "computed_at")
MOST_LINES = 20
"""Most differences that are shown."""

Derived = dict[tuple[str, str, Any], Document]
"""Documents by collection, user id and key."""


def rebuild_days(store: Store, user: User, days: set[date]) -> None:
    rebuild_rollups(store, user, days, min_play_ms=MIN_PLAY_MS, progress=Counted())


def rebuild_waiting(store: Store, user: User) -> None:
    """Rebuild the days of one user that wait."""
    rebuild_days(store, user, store.marks.pending_days(user.user_id))


def catch_up(store: Store, now: datetime) -> None:
    """Rebuild exactly what the sensors would find stale, for all users."""
    for user in store.users.all():
        rebuild_waiting(store, user)
    waiting, ends = store.marks.pending("analytics_snapshots"), store.statistics.period_ends()
    for user in store.users.all():
        if user.user_id in waiting or ends.get(user.user_id, now + timedelta(days=1)) <= now:
            rebuild_snapshots(store, user, now)


def from_scratch(store: Store, scratch: Store, now: datetime) -> None:
    """Build every day and every period of all users in another database with the same sources.

    Users are added in another order. Catalogue entries of tracks without a Spotify id get other users' names: these
    entries are shared, and the names of these tracks must come from the user's own plays.
    """
    for name in (*KEYS, *CACHES, *SOURCES, "change_marks"):
        scratch.db[name].delete_many({})
    for name in SOURCES:
        if found := list(store.db[name].find()):
            scratch.db[name].insert_many(found[::-1])
    others = {"name": "Theirs", "artists": [{"spotify_id": "", "name": "They"}], "album.name": "Of theirs"}
    scratch.db["tracks"].update_many(
        {"spotify_id": {"$regex": NOT_ON_SPOTIFY}, "album": {"$ne": None}}, {"$set": others}
    )
    for user in reversed(scratch.users.all()):
        if span := scratch.users.history_span(user.user_id):
            first, last = (local_date(instant, ZoneInfo(user.timezone)) for instant in span)
            around = DayWindow(first - timedelta(days=2), last + timedelta(days=2))
            rebuild_days(scratch, user, set(around.dates()))
        rebuild_snapshots(scratch, user, now)


def derived(db: Db) -> Derived:
    """Every derived document, without the fields that differ with each write."""
    return {
        (name, document["user_id"], document[key]): {
            field: value for field, value in document.items() if field not in TIMELESS
        }
        for name, key in KEYS.items()
        for document in db[name].find()
    }


def has_all_that_is_derived() -> bool:
    """Whether no kind of statistics is missing here."""
    statistics = (DailyRollup, PeriodStatistics)
    return KEYS.keys() == {name for name, each in COLLECTIONS.items() if issubclass(each.document, statistics)}


def bytes_of(documents: Derived) -> dict[tuple[str, str, Any], bytes]:
    """Documents as MongoDB stores them: the order of keys counts, and so do the types of numbers."""
    return {key: bson.encode(document) for key, document in documents.items()}


def by_brute_force(store: Store, now: datetime) -> Derived:
    """What the oracle derives from the stored histories and catalogue."""
    shared = stored_catalogue(store.db)
    found: Derived = {}
    for user in store.users.all():
        plays, user_id = list(stored_plays(store.db, user)), user.user_id
        playlists = {each["spotify_id"]: each["name"] for each in store.db["playlists"].find({"user_id": user_id})}
        catalogue = replace(shared, playlists=playlists)
        rules = list(store.db["rules"].find({"user_id": user_id}))
        left_out = partial(rules_that_leave_out, rules=rules, catalogue=catalogue)
        rollups = oracle.rollups(plays, user.timezone, MIN_PLAY_MS, user_id, catalogue, left_out)
        of: dict[str, Any] = {
            "timezone": user.timezone,
            "today": local_date(now, ZoneInfo(user.timezone)),
            "min_play_ms": MIN_PLAY_MS,
            "user_id": user_id,
            "rules": rules,
            "covered": [(span["from"], span["to"]) for span in store.db["covered_spans"].find({"user_id": user_id})],
        }
        listener = oracle_periods.Listener.of(plays, catalogue, **of)
        reported = {
            "daily_rollups": {str(day): rollup for day, rollup in rollups.items()},
            "analytics_snapshots": oracle_periods.snapshots(listener),
            "calendar_snapshots": oracle_periods.calendar(listener),
            "yearly_reviews": oracle_periods.reviews(listener),
        }
        for name in KEYS:
            found |= {(name, user_id, key): document for key, document in reported[name].items()}
    return found


def stored_plays(db: Db, user: User) -> Iterator[OraclePlay]:
    for play in db["listening_history"].find({"user_id": user.user_id}):
        track, playback = play["track"], play.get("playback") or {}
        yield OraclePlay(
            played_at=play["played_at"],
            track_id=track["spotify_id"],
            # A key of a rollup cannot contain a NUL.
            track_name=track["name"].replace("\0", ""),
            artist_name=track["artist_name"].replace("\0", ""),
            album_name=track["album_name"].replace("\0", ""),
            duration_ms=track["duration_ms"],
            ms_played=play["ms_played"],
            skipped=playback.get("skipped"),
            reason_end=playback.get("reason_end"),
            context_uri=play.get("context_uri"),
            private_session=playback.get("incognito"),
        )


def stored_catalogue(db: Db) -> Catalogue:
    tracks = {}
    for track in db["tracks"].find():
        artist = track["artists"][0] if track["artists"] else {"spotify_id": "", "name": ""}
        album = track["album"] or {"spotify_id": "", "name": "", "image_url": ""}
        features = track["audio_features"]
        tracks[track["spotify_id"]] = KnownTrack(
            name=track["name"],
            artist_id=artist["spotify_id"],
            artist_name=artist["name"],
            album_id=album["spotify_id"],
            album_name=album["name"],
            image_url=album["image_url"],
            features=tuple(features[name] for name in FEATURES) if features else None,
            duration_ms=track["duration_ms"],
            isrc=track["isrc"],
            artist_ids=tuple(each["spotify_id"] for each in track["artists"]),
            artist_names=tuple(each["name"] for each in track["artists"]),
        )
    artists, albums = (
        {
            each["spotify_id"]: Known(
                each["name"],
                each["images"][0]["url"] if each["images"] else "",
                tuple(each["genres"]),
                each.get("total_tracks", 0),
            )
            for each in db[name].find()
        }
        for name in ("artists", "albums")
    )
    return Catalogue(tracks, artists, albums)


def check_truth(store: Store, scratch: Store, now: datetime) -> int:
    """Check that the updated documents equal those from scratch and from brute force. Return their number.

    Only the second database is rebuilt; the first goes on being updated.
    """
    catch_up(store, now)
    from_scratch(store, scratch, now)
    kept_up, fresh = derived(store.db), derived(scratch.db)
    if bytes_of(kept_up) != bytes_of(fresh):
        found = differences(kept_up, fresh, apart=0) or ["the order of keys"]
        raise AssertionError("\n".join(("what is kept up is not what is built from scratch", *found[:MOST_LINES])))
    wanted = by_brute_force(store, now)
    if found := differences(fresh, wanted):
        raise AssertionError("\n".join(("what is built is not what brute force gives", *found[:MOST_LINES])))
    for key, document in wanted.items():
        for names in ("artist_plays", "album_plays", "credited_artist_plays"):
            assert list(document.get(names, ())) == list(fresh[key].get(names, ()))
    return len(wanted)
