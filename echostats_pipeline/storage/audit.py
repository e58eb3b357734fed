"""Reads facts and sums for audits, directly from the collections.

It only reads, and does not use the stores with which the pipeline reads and writes, so that their mistakes show.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.rules import Exclusion, Rule
from echostats_pipeline.model.statistics import Period
from echostats_pipeline.storage.catalog import NOT_ON_SPOTIFY
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.indexes import index_hint
from echostats_pipeline.storage.plays import BY_END
from echostats_pipeline.transforms.audit import Coverage, PlayFacts, RollupSums, SnapshotSums, conditions_of

Instants = tuple[datetime, datetime] | None
"""A half-open interval; None for all time."""
CREDITED_PLAYS: Document = {"$objectToArray": "$credited_artist_plays"}
ROLLUP_SUMS: Document = {
    "_id": 0,
    "date": 1,
    "total_rows": 1,
    "total_plays": 1,
    "total_ms": 1,
    "excluded_plays": {"$ifNull": ["$excluded_plays", 0]},
    "hourly_plays": {"$sum": "$hourly.count"},
    "hourly_ms": {"$sum": "$hourly.ms"},
    **{
        name: {"$sum": {"$map": {"input": {"$objectToArray": f"${name}"}, "as": "each", "in": "$$each.v"}}}
        for name in ("artist_plays", "album_plays")
    },
    "credited_plays": {
        "$cond": [
            {"$eq": [{"$type": "$credited_artist_plays"}, "object"]},
            {"$sum": {"$map": {"input": CREDITED_PLAYS, "in": "$$this.v"}}},
            "$$REMOVE",
        ]
    },
    "track_plays": {"$add": [{"$sum": "$track_plays.count"}, {"$sum": "$uncounted_tracks.count"}]},
    "track_ms": {"$add": [{"$sum": "$track_plays.ms"}, {"$sum": "$uncounted_tracks.ms"}]},
}
"""The server computes the sums, so that the lists of a rollup are not transferred."""
FACTS_FOR_RULES: Document = {
    **{name: {"$toString": {"$ifNull": [f"$track.{name}", ""]}} for name in ("artist_name", "album_name")},
    "context_uri": {"$toString": {"$ifNull": ["$context_uri", ""]}},
    "private_session": {"$eq": ["$playback.incognito", True]},
}


class AuditStore:
    """Read access to every collection."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def exclusions(self, user_id: str) -> list[Exclusion]:
        """The conditions of the user's rules that leave plays out."""
        return conditions_of([Rule.stored(rule) for rule in self._db["rules"].find({"user_id": user_id})])

    def plays(self, user_id: str, instants: Instants, *, names: bool = False) -> Iterator[PlayFacts]:
        """Plays of a user that ended in the interval, in order of their end; `names` adds what rules look at."""
        pipeline = [
            {"$match": _played(user_id, instants)},
            {"$sort": {"played_at": 1}},
            {
                "$project": {
                    "_id": 0,
                    "ended_ms": {"$toLong": "$played_at"},
                    "track_id": "$track.spotify_id",
                    "duration_ms": "$track.duration_ms",
                    "ms_played": {"$ifNull": ["$ms_played", None]},
                    **(FACTS_FOR_RULES if names else {}),
                }
            },
        ]
        for play in self._db["listening_history"].aggregate(pipeline, allowDiskUse=True, **self._by_end(instants)):
            if not (isinstance(play["ms_played"], int | None) and isinstance(play["duration_ms"], int)):
                play |= {"ms_played": _whole(play["ms_played"]), "duration_ms": _whole(play["duration_ms"]) or 0}
            yield PlayFacts(**play)

    def artists(self, user_id: str, instants: Instants) -> dict[str, list[tuple[str, str]]]:
        """The artists of the tracks that a user played in the interval, by track id.

        These are the ids and names in the catalogue, the primary artist first; what is unknown is empty.
        """
        pipeline: list[Document] = [
            {"$match": _played(user_id, instants)},
            {"$group": {"_id": "$track.spotify_id"}},
            {"$match": {"_id": {"$not": {"$regex": NOT_ON_SPOTIFY}}}},
        ]
        heard = self._db["listening_history"].aggregate(pipeline, allowDiskUse=True, **self._by_end(instants))
        query = {"spotify_id": {"$in": [each["_id"] for each in heard]}}
        fields = {"_id": 0, "spotify_id": 1, "artists.spotify_id": 1, "artists.name": 1}
        return {
            track["spotify_id"]: [
                (artist.get("spotify_id") or "", artist.get("name") or "") for artist in track.get("artists") or ()
            ]
            for track in self._db["tracks"].find(query, fields)
        }

    def most_credited(
        self, user_id: str, firsts: Mapping[Period, date | None], last: date
    ) -> dict[Period, dict[str, int]]:
        """The artist on whom the rollups of each period count the most plays, by id; empty if there is none.

        Args:
            user_id: The user.
            firsts: The first date of each period; None for all dates.
            last: The last date of all periods.
        """
        until = {"$lte": last.isoformat()}
        plays: Document = {
            period: {
                "$sum": "$credited.v"
                if first is None
                else {"$cond": [{"$gte": ["$date", str(first)]}, "$credited.v", 0]}
            }
            for period, first in firsts.items()
        }
        pipeline: list[Document] = [
            {"$match": {"user_id": user_id, "date": until, "credited_artist_plays": {"$type": "object"}}},
            {"$project": {"date": 1, "credited": CREDITED_PLAYS}},
            {"$unwind": "$credited"},
            {"$group": {"_id": "$credited.k", **plays}},
            {
                "$facet": {
                    period: [{"$match": {period: {"$gt": 0}}}, {"$sort": {period: -1, "_id": 1}}, {"$limit": 1}]
                    for period in firsts
                }
            },
        ]
        (found,) = self._db["daily_rollups"].aggregate(pipeline, allowDiskUse=True)
        return {period: {each["_id"]: each[period] for each in found[period]} for period in firsts}

    def rollups(self, user_id: str, dates: tuple[date, date] | None) -> dict[date, RollupSums]:
        """The sums of a user's rollups by date: all, or from the first to the second date, both included."""
        query: Document = {"user_id": user_id}
        if dates is not None:
            query["date"] = {"$gte": dates[0].isoformat(), "$lte": dates[1].isoformat()}
        found = self._db["daily_rollups"].aggregate([{"$match": query}, {"$project": ROLLUP_SUMS}])
        return {date.fromisoformat(sums.pop("date")): sums for sums in found}

    def last_heard(self, user_id: str, until: date) -> dict[date, int]:
        """For each date up to `until`, the number of tracks last heard on it, according to the rollups."""
        pipeline: list[Document] = [
            {"$match": {"user_id": user_id, "date": {"$lte": until.isoformat()}}},
            {"$project": {"date": 1, "track_plays.spotify_id": 1}},
            {"$unwind": "$track_plays"},
            {"$group": {"_id": "$track_plays.spotify_id", "date": {"$max": "$date"}}},
            {"$group": {"_id": "$date", "tracks": {"$sum": 1}}},
        ]
        found = self._db["daily_rollups"].aggregate(pipeline, allowDiskUse=True)
        return {date.fromisoformat(each["_id"]): each["tracks"] for each in found}

    def snapshots(self, user_id: str) -> dict[Period, SnapshotSums]:
        """The sums of a user's snapshots by period."""
        pipeline: list[Document] = [
            {"$match": {"user_id": user_id}},
            {
                "$project": {
                    "_id": 0,
                    "period": 1,
                    "period_start": 1,
                    "period_end": 1,
                    "unique_tracks": 1,
                    # Earlier versions counted ids, and had no field of their own for them.
                    "unique_track_ids": {"$ifNull": ["$unique_track_ids", "$unique_tracks"]},
                    "counts_songs": {"$ifNull": ["$counts_songs", False]},
                    "credited": {
                        "$map": {
                            "input": "$top_artists_credited",
                            "in": ["$$this.spotify_id", "$$this.play_count"],
                        }
                    },
                    "total": ["$total_tracks_played", "$total_ms_played"],
                    **{
                        name: [{"$sum": f"${name}_distribution.{field}"} for field in ("count", "total_ms")]
                        for name in ("hourly", "daily")
                    },
                }
            },
        ]
        pairs = ("total", "hourly", "daily")
        return {
            found.pop("period"): SnapshotSums(
                **{
                    **found,
                    **{name: tuple(found[name]) for name in pairs},
                    "credited": None if found["credited"] is None else dict(found["credited"]),
                }
            )
            for found in self._db["analytics_snapshots"].aggregate(pipeline)
        }

    def plays_after(self, user_id: str, instant: datetime) -> tuple[int, datetime | None]:
        """The number of a user's plays that ended after the instant, and the end of the last play."""
        later = {"user_id": user_id, "played_at": {"$gt": instant}}
        newest = self._db["listening_history"].find_one(later, {"played_at": 1}, sort=[("played_at", -1)])
        if newest is None:
            return 0, None
        return self._db["listening_history"].count_documents(later), newest["played_at"]

    def equal_plays(self, user_id: str, instants: Instants) -> dict[str, int]:
        """How many plays are duplicates: of the same track and end, and of the same row of an export."""
        played = _played(user_id, instants)
        imported = {**played, "import_key": {"$type": "string"}}
        return {
            "equal_places": self._equal(played, ("track.spotify_id", "played_at"), instants),
            "equal_import_keys": self._equal(imported, ("import_key",), instants),
        }

    def equal_documents(self, name: str, user_id: str, field: str, bounds: tuple[str, str] | None = None) -> int:
        """How many of a user's documents are duplicates in `field`, among all or within bounds."""
        query: Document = {"user_id": user_id}
        if bounds is not None:
            query[field] = {"$gte": bounds[0], "$lte": bounds[1]}
        return self._too_many(name, query, (field,))

    def open_gaps(self, user_id: str) -> list[ListeningGap]:
        """Gaps that are still open, in order."""
        query = {"user_id": user_id, "closed_by": None}
        return [ListeningGap.model_validate(gap) for gap in self._db["listening_gaps"].find(query).sort("from")]

    def coverage(self, user_id: str, min_play_ms: int) -> Coverage:
        """What the catalogue knows of the tracks of a user's counted plays."""
        counted = {"user_id": user_id, "$or": [{"ms_played": None}, {"ms_played": {"$gte": min_play_ms}}]}
        pipeline: list[Document] = [
            {"$match": counted},
            {"$group": {"_id": "$track.spotify_id", "plays": {"$sum": 1}}},
            {"$lookup": {"from": "tracks", "localField": "_id", "foreignField": "spotify_id", "as": "known"}},
            {
                "$group": {
                    "_id": {
                        "$switch": {
                            "branches": [
                                {"case": {"$regexMatch": {"input": "$_id", "regex": NOT_ON_SPOTIFY}}, "then": "made_up"}
                            ]
                            + [
                                {"case": {"$gt": [{"$max": f"$known.{field}"}, None]}, "then": name}
                                for field, name in (("enriched_at", "enriched"), ("unavailable_at", "unavailable"))
                            ],
                            "default": "waiting",
                        }
                    },
                    "plays": {"$sum": "$plays"},
                }
            },
        ]
        found = self._db["listening_history"].aggregate(pipeline, allowDiskUse=True)
        return Coverage(**{each["_id"]: each["plays"] for each in found})

    def call_statuses(self, since: datetime) -> dict[tuple[str, int], int]:
        """Calls to Spotify since an instant, by family and HTTP status."""
        pipeline: list[Document] = [
            {"$match": {"service": "spotify", "timestamp": {"$gte": since}}},
            {"$group": {"_id": {"family": "$family", "status": "$status_code"}, "calls": {"$sum": 1}}},
        ]
        return {
            (each["_id"].get("family", ""), each["_id"].get("status", 0)): each["calls"]
            for each in self._db["api_logs"].aggregate(pipeline)
        }

    def _by_end(self, instants: Instants) -> dict[str, Any]:
        """The index for plays of an interval.

        An audit of everything uses no index, because it must find out which one is missing.
        """
        return {} if instants is None else index_hint(self._db["listening_history"], BY_END)

    def _equal(self, query: Document, fields: Sequence[str], instants: Instants) -> int:
        return self._too_many("listening_history", query, fields, **self._by_end(instants))

    def _too_many(self, name: str, query: Document, fields: Sequence[str], **options: Any) -> int:
        """How many matching documents are duplicates in the fields."""
        pipeline: list[Document] = [
            {"$match": query},
            {"$group": {"_id": [f"${field}" for field in fields], "count": {"$sum": 1}}},
            {"$match": {"count": {"$gt": 1}}},
            {"$group": {"_id": None, "too_many": {"$sum": {"$subtract": ["$count", 1]}}}},
        ]
        found = self._db[name].aggregate(pipeline, allowDiskUse=True, **options)
        return next((each["too_many"] for each in found), 0)


def _played(user_id: str, instants: Instants) -> Document:
    if instants is None:
        return {"user_id": user_id, "played_at": {"$type": "date"}}
    return {"user_id": user_id, "played_at": {"$gte": instants[0], "$lt": instants[1]}}


def _whole(value: object) -> int | None:
    """A number that another program has written in another form; None if it is not a number."""
    try:
        return int(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None
