"""Stores where the plays of users are sent on to, and what was sent (``scrobble_targets``, ``sent_plays``).

A play is recorded before it is sent, together with the exact listen. So a process that dies leaves only records that
are ``pending``, and the next one sends these very listens again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from echostats_pipeline.errors import LeaseLostError
from echostats_pipeline.model.collections import Index, index_on
from echostats_pipeline.model.scrobbles import ScrobbleTarget, SentPlay
from echostats_pipeline.storage.change_marks import NEWEST
from echostats_pipeline.storage.conformity import stored_as
from echostats_pipeline.storage.database import Db, Document, duplicates
from echostats_pipeline.storage.garbage_collection import paused_collection
from echostats_pipeline.storage.indexes import index_hint
from echostats_pipeline.storage.play_columns import PLAY_COLUMNS
from echostats_pipeline.transforms.scrobbles import NewListen, SentBefore, TrackFacts

COLUMNS: Document = {**PLAY_COLUMNS, "id": {"$toString": "$_id"}, "import_key": "$import_key"}
"""The columns of `transforms.scrobbles.READ_SCHEMA`."""
SOURCES = ("listening_history", "exclusions")
"""What decides which plays are sent. The newest marks of these sources show that there may be something to send."""
IDS_AT_ONCE = 20_000
BY_PLAY = index_on("sent_plays", "user_id", "target", "play_id")
BY_END = index_on("sent_plays", "user_id", "target", "played_at")
BY_STATE = index_on("sent_plays", "user_id", "target", "state")
"""Indexes of what was sent, requested by name: all begin alike, and the server remembers what was best at first."""


class ScrobbleStore:
    """Collections ``scrobble_targets`` and ``sent_plays``."""

    def __init__(self, db: Db) -> None:
        self._targets = db["scrobble_targets"]
        self._sent = db["sent_plays"]
        self._history = db["listening_history"]
        self._marks = db["change_marks"]
        self._tracks = db["tracks"]

    def targets(self, user_id: str | None = None) -> list[ScrobbleTarget]:
        """The targets of a user, or of all users, in the order in which they were added."""
        query: Document = {} if user_id is None else {"user_id": user_id}
        return [stored_as(ScrobbleTarget, "scrobble_targets", each) for each in self._targets.find(query).sort("_id")]

    def put_target(self, target: ScrobbleTarget) -> None:
        """Store a target. One that the user has already gets the new token and date, and is read from its beginning."""
        document = target.to_bson()
        kept = {"added_at": document.pop("added_at")}
        self._targets.update_one(_of(target), {"$set": document, "$setOnInsert": kept}, upsert=True)

    def update_target(self, target: ScrobbleTarget, **fields: object) -> None:
        """Change fields of a target, unless it was removed meanwhile."""
        self._targets.update_one(_of(target), {"$set": fields})

    def remove_target(self, target: ScrobbleTarget) -> bool:
        """Forget a target and its token; what was sent stays known. Returns whether it was there."""
        return self._targets.delete_one(_of(target)).deleted_count == 1

    def replace_token(self, target: ScrobbleTarget, encrypted: str) -> bool:
        """Replace the ciphertext of a token that has not changed since it was read; returns whether it was replaced."""
        unchanged = {**_of(target), "token_encrypted": target.token_encrypted}
        return self._targets.update_one(unchanged, {"$set": {"token_encrypted": encrypted}}).matched_count == 1

    def newest_marks(self, user_id: str) -> dict[str, str]:
        """The newest mark of each source, which changes with every change of it."""
        found = self._marks.find(
            {"user_id": user_id, "source": {"$in": SOURCES}, "date": NEWEST}, {"source": 1, "mark": 1}
        )
        return {each["source"]: each["mark"] for each in found}

    def end_before(self, user_id: str, plays: int) -> datetime | None:
        """The end of the play before the newest ones; None if there is none."""
        newest_first = self._history.find({"user_id": user_id}, {"_id": 0, "played_at": 1}).sort("played_at", -1)
        found = next(newest_first.skip(plays).limit(1), None)
        return None if found is None else found["played_at"]

    def has_pending(self, target: ScrobbleTarget) -> bool:
        """Whether a process died before it learned the answer of the service."""
        pending = {**_of(target), "state": "pending"}
        return self._sent.find_one(pending, {"_id": 1}, **self._hint(BY_STATE)) is not None

    def pending(self, target: ScrobbleTarget) -> list[NewListen]:
        """The plays that were being sent when a process died, in the order in which they began."""
        found = [
            stored_as(SentPlay, "sent_plays", each) for each in self._sent.find({**_of(target), "state": "pending"})
        ]
        listens = [
            NewListen(str(each.play_id), each.track_id, each.song, each.played_at, each.listen)
            for each in found
            if each.listen is not None
        ]
        return sorted(listens, key=lambda each: (each.listened_at, each.play_id))

    def between(self, target: ScrobbleTarget, start: datetime, end: datetime) -> list[SentBefore]:
        """What was sent of plays that ended in ``[start, end)``."""
        query = {**_of(target), "played_at": {"$gte": start, "$lt": end}}
        fields = dict.fromkeys(("play_id", "track_id", "song", "played_at", "listened_at"), 1)
        with paused_collection():
            return [
                SentBefore(
                    str(each["_id"]),
                    str(each["play_id"]),
                    each["track_id"],
                    each["song"],
                    round(each["played_at"].timestamp() * 1000),
                    each["listened_at"],
                )
                for each in self._sent.find(query, fields, **self._hint(BY_END))
            ]

    def recorded(self, target: ScrobbleTarget, play_ids: Iterable[str]) -> set[str]:
        """Those of some plays that are recorded for a target, whenever they ended when they were sent."""
        found: set[str] = set()
        for some in _portions(play_ids):
            query = {**_of(target), "play_id": {"$in": [ObjectId(each) for each in some]}}
            records = self._sent.find(query, {"_id": 0, "play_id": 1}, **self._hint(BY_PLAY))
            found |= {str(each["play_id"]) for each in records}
        return found

    def existing(self, play_ids: Iterable[str]) -> set[str]:
        """Those of some plays that are in the history."""
        found: set[str] = set()
        for some in _portions(play_ids):
            query = {"_id": {"$in": [ObjectId(each) for each in some]}}
            found |= {str(each["_id"]) for each in self._history.find(query, {"_id": 1})}
        return found

    def begin(self, target: ScrobbleTarget, listens: Sequence[NewListen]) -> None:
        """Record plays before they are sent.

        Raises:
            LeaseLostError: another process has recorded one of them meanwhile.
        """
        documents = [
            SentPlay(
                user_id=target.user_id,
                target=target.target,
                play_id=ObjectId(each.play_id),
                track_id=each.track_id,
                song=each.song,
                played_at=each.played_at,
                listened_at=each.listened_at,
                listen=each.listen,
            ).to_bson()
            for each in listens
        ]
        try:
            self._sent.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            duplicates(error)
            raise LeaseLostError("") from error

    def end(self, target: ScrobbleTarget, listens: Sequence[NewListen], at: datetime, refusal: str = "") -> None:
        """Record that the service has taken plays, or why it refuses them."""
        ids = [ObjectId(each.play_id) for each in listens]
        answer = {"state": "refused" if refusal else "sent", "listen": None, "reason": refusal, "answered_at": at}
        self._sent.update_many({**_of(target), "play_id": {"$in": ids}}, {"$set": answer})

    def move(self, moved: Mapping[str, str]) -> None:
        """Give records the new ids of their plays."""
        if moved:
            self._sent.bulk_write(
                [
                    UpdateOne({"_id": ObjectId(sent_id)}, {"$set": {"play_id": ObjectId(play_id)}})
                    for sent_id, play_id in moved.items()
                ],
                ordered=False,
            )

    def counts(self, target: ScrobbleTarget) -> dict[str, int]:
        """How many plays were recorded for a target, by state."""
        pipeline: list[Document] = [{"$match": _of(target)}, {"$group": {"_id": "$state", "plays": {"$sum": 1}}}]
        return {each["_id"]: each["plays"] for each in self._sent.aggregate(pipeline)}

    def refused(self, target: ScrobbleTarget, most: int) -> list[SentPlay]:
        """Some of the plays that a service has refused, the newest first."""
        found = self._sent.find({**_of(target), "state": "refused"}).sort("answered_at", -1).limit(most)
        return [stored_as(SentPlay, "sent_plays", each) for each in found]

    def facts(self, track_ids: Iterable[str]) -> dict[str, TrackFacts]:
        """What the catalogue knows of tracks, as far as it goes into a listen."""
        found: dict[str, TrackFacts] = {}
        for some in _portions(track_ids):
            query = {"spotify_id": {"$in": some}}
            for each in self._tracks.find(query, {"_id": 0, "spotify_id": 1, "artists.name": 1, "isrc": 1}):
                listed = each.get("artists")
                names = [artist.get("name") for artist in listed] if isinstance(listed, list) else []
                isrc = each.get("isrc")
                found[each["spotify_id"]] = TrackFacts(
                    [name for name in names if isinstance(name, str)], isrc if isinstance(isrc, str) else ""
                )
        return found

    def _hint(self, index: Index) -> dict[str, Any]:
        return index_hint(self._sent, index)


def _of(target: ScrobbleTarget) -> Document:
    return {"user_id": target.user_id, "target": target.target}


def _portions(ids: Iterable[str]) -> Iterator[list[str]]:
    """Different ids in order, as many at once as a query may name."""
    listed = sorted(set(ids))
    for at in range(0, len(listed), IDS_AT_ONCE):
        yield listed[at : at + IDS_AT_ONCE]
