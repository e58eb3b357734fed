"""Compares EchoTune's documents with the core's, and with each other."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.marts.echotune.build import EchoTuneMart
from echostats_pipeline.marts.echotune.database import OWNED, user_object_id
from echostats_pipeline.marts.writing import SOURCE
from echostats_pipeline.model.users import User
from echostats_pipeline.storage.database import Document

TOLERANCE = 0.01
IDS_AT_ONCE = 20_000
ON_SPOTIFY = r"^[0-9A-Za-z]{22}$"


@dataclass(frozen=True)
class MartFault:
    """A number of a user in EchoTune's database that is not what it should be."""

    user: User
    what: str
    found: int
    expected: int


def wrong_sums(mart: EchoTuneMart, users: Iterable[User]) -> Iterator[MartFault]:
    """Numbers of plays, and listening times, that differ from the core's."""
    for user in users:
        owner = {"userId": user_object_id(user.user_id)}
        expected = mart.store.db["listening_history"].count_documents({"user_id": user.user_id})
        history = mart.collection("listening_history")
        found = history.count_documents(owner)
        if found != expected:
            # A play that an application has stored first keeps its document; others of an application are its own.
            ours = history.count_documents({**owner, "source": SOURCE})
            if not ours <= expected <= found:
                yield MartFault(user, "plays", ours, expected)
        yield from _wrong_time(mart, user)


def _wrong_time(mart: EchoTuneMart, user: User) -> Iterator[MartFault]:
    try:
        expected = mart.store.statistics.snapshot(user.user_id, "all_time").total_ms_played
    except NotFoundError:
        return
    stored = mart.collection("users").find_one({"_id": user_object_id(user.user_id)}) or {}
    found = (stored.get("listening_stats") or {}).get("total_listening_time", 0)
    if found != expected:
        yield MartFault(user, "total_listening_time", found, expected)


def dangling_ids(mart: EchoTuneMart, users: Iterable[User]) -> Iterator[MartFault]:
    """Documents whose user or track is in no other document."""
    for user in users:
        owner = user_object_id(user.user_id)
        has_user = mart.collection("users").count_documents({"_id": owner}, limit=1)
        documents = 0 if has_user else sum(mart.collection(name).count_documents({"userId": owner}) for name in OWNED)
        if documents:
            yield MartFault(user, "documents without their user", documents, 0)
        tracks: list[Document] = [
            {"$match": {"userId": owner, "trackId": {"$regex": ON_SPOTIFY}, "source": SOURCE}},
            {"$group": {"_id": "$trackId"}},
        ]
        ids = {each["_id"] for each in mart.collection("listening_history").aggregate(tracks)}
        ids |= set(mart.collection("recommendations").distinct("tracks.trackId", {"userId": owner, "source": SOURCE}))
        ordered = sorted(ids)
        found = sum(
            mart.collection("track_metadata").count_documents(
                {"spotifyId": {"$in": ordered[start : start + IDS_AT_ONCE]}}
            )
            for start in range(0, len(ordered), IDS_AT_ONCE)
        )
        if found < len(ids):
            yield MartFault(user, "played or recommended tracks without metadata", len(ids) - found, 0)


def wrong_shares(mart: EchoTuneMart, users: Iterable[User]) -> Iterator[MartFault]:
    """Recommended tracks whose score's parts do not sum up to 1."""
    for user in users:
        wrong = 0
        for each in mart.collection("recommendations").find({"userId": user_object_id(user.user_id), "source": SOURCE}):
            shares = [track["components"].values() for track in each["tracks"] if track.get("components")]
            wrong += sum(abs(sum(parts) - 1) > TOLERANCE for parts in shares)
        if wrong:
            yield MartFault(user, "tracks whose components do not sum up to 1", wrong, 0)
