"""Stores users and their encrypted tokens."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import TypeVar

from bson import ObjectId
from pydantic import ValidationError
from pymongo import ASCENDING, DESCENDING, ReturnDocument

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.users import SpotifyTokens, User, UserStatus, known_timezone, partition_key, timezones
from echostats_pipeline.storage.conformity import stored_as
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.heartbeat import beating

Stored = TypeVar("Stored", User, SpotifyTokens)
ADOPTED: Document = {"partition_key": {"$exists": True}}
"""Selects adopted users; those whom EchoStats has just added are not (`storage.adoption`)."""
LEASE = timedelta(seconds=60)
"""How long the right to refresh lasts without renewal; four times the pause between two renewals."""
RENEWED_AFTER_S = 15.0


class UserStore:
    """Collections ``users`` and ``spotify_tokens``."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._users = db["users"]
        self._history = db["listening_history"]
        self._tokens = db["spotify_tokens"]

    def all(self, *, simulated: bool | None = None) -> list[User]:
        """All users in the order they were added; only simulated or only real ones if `simulated` is given.

        A user whose document cannot be read is left out, so that the others are not affected; `echostats doctor` names
        it.
        """
        query: Document = {} if simulated is None else {"simulated": True if simulated else {"$ne": True}}
        found = self._users.find(query | ADOPTED).sort("_id")
        return [user for document in found if (user := _readable(User, document)) is not None]

    def not_adopted(self) -> int:
        """The number of users whom EchoStats has added and who are not adopted yet."""
        return self._users.count_documents({"partition_key": {"$exists": False}})

    def by_partition_key(self, key: str) -> User:
        """The user of a Dagster partition.

        Raises:
            NotFoundError: no user has this key; the message lists the existing keys.
        """
        document = self._users.find_one({"partition_key": key})
        if document is None:
            known = ", ".join(sorted(self._users.distinct("partition_key"))) or "none yet"
            raise NotFoundError(f"There is no user {key!r}. Users: {known}")
        return stored_as(User, "users", document)

    def find(self, name: str | None, *, beginnings: bool = True) -> User:
        """The user whom a name means: by partition key, Spotify id or display name, whatever the case of letters.

        Args:
            name: A name, or its beginning if no other user has the same; None means the only user.
            beginnings: Whether the beginning of a name is enough.

        Raises:
            NotFoundError: the name means no user or several, or there is no name and not exactly one user.
        """
        users = self.all()
        keys = ", ".join(sorted(user.partition_key for user in users)) or "none yet"
        if name is None:
            if len(users) != 1:
                raise NotFoundError(f"Name the user. Users: {keys}")
            return users[0]
        for matches in _meant(users, name, beginnings=beginnings):
            if len(matches) == 1:
                return matches[0]
            if matches:
                several = ", ".join(user.partition_key for user in matches)
                raise NotFoundError(f"Several users are called {name!r}. Name one by its key: {several}")
        return self.by_partition_key(name)

    def bad_timezones(self) -> dict[str, str]:
        """Stored time zones that are not in the IANA database, by partition key."""
        stored = self._users.find({"timezone": {"$exists": True, "$nin": sorted(timezones())}})
        return {str(each.get("partition_key") or each["_id"]): str(each["timezone"]) for each in stored.sort("_id")}

    def connect(self, profile: Document, *, authorized_at: datetime, simulated: bool, timezone: str = "UTC") -> User:
        """Store a user who has just given consent: a new one, or a known one updated (same id, same partition key).

        Args:
            profile: Fields of ``users`` from Spotify's profile; must contain ``spotify_id``.
            authorized_at: When the consent was given.
            simulated: Whether the account is the simulator's.
            timezone: IANA zone of a new user; a known user's zone stays.

        Raises:
            ValueError: there is no such zone.
        """
        new_id = ObjectId()
        new = User.model_validate(
            {
                **profile,
                "timezone": known_timezone(timezone),
                "simulated": simulated,
                "partition_key": partition_key(profile.get("display_name", ""), str(new_id)),
            }
        ).to_bson()
        renewed = {**profile, "authorized_at": authorized_at, "status": "active", "status_reason": ""}
        document = self._users.find_one_and_update(
            {"spotify_id": profile["spotify_id"]},
            {
                "$set": renewed,
                "$setOnInsert": {"_id": new_id, **{key: new[key] for key in new if key not in renewed}},
            },
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return stored_as(User, "users", document or {})

    def set_status(self, user_id: str, status: UserStatus, reason: str = "") -> None:
        """Record that a user is synced, paused, or has to give consent again; and why, unless a person asked for it."""
        self._users.update_one({"_id": ObjectId(user_id)}, {"$set": {"status": status, "status_reason": reason}})

    def synced(self, user_id: str, at: datetime) -> None:
        """Record a successful sync."""
        self._users.update_one({"_id": ObjectId(user_id)}, {"$max": {"last_synced_at": at}})

    def saved_tracks_version(self, user_id: str) -> str:
        """The version of the user's saved tracks that was read last; empty if none was."""
        found = self._users.find_one({"_id": ObjectId(user_id)}, {"saved_tracks_version": 1})
        return str((found or {}).get("saved_tracks_version", ""))

    def set_saved_tracks_version(self, user_id: str, version: str) -> None:
        """Record which version of the user's saved tracks is stored."""
        self._users.update_one({"_id": ObjectId(user_id)}, {"$set": {"saved_tracks_version": version}})

    def tokens(self, user_id: str) -> SpotifyTokens:
        """The encrypted tokens of a user.

        Raises:
            NotFoundError: the user never connected a Spotify account.
        """
        document = self._tokens.find_one({"user_id": user_id})
        if document is None:
            raise NotFoundError(f"User {user_id} has no Spotify tokens. Connect the account with: echostats connect")
        return stored_as(SpotifyTokens, "spotify_tokens", document)

    def stored_refresh_token(self, user_id: str) -> str:
        """The encrypted refresh token of a user; empty if there is none."""
        found = self._tokens.find_one({"user_id": user_id}, {"refresh_token_encrypted": 1})
        return str((found or {}).get("refresh_token_encrypted", ""))

    def store_tokens(self, tokens: SpotifyTokens, *, renewed: bool = False) -> None:
        """Store new tokens of one user; `renewed` ones only if the old ones still exist.

        The user may have been removed while Spotify was renewing the tokens.
        """
        self._tokens.update_one({"user_id": tokens.user_id}, {"$set": tokens.to_bson()}, upsert=not renewed)

    def lease_refresh(self, seen: SpotifyTokens) -> bool:
        """Take the right to refresh a user's tokens, unless another process has it or has stored others since `seen`.

        The lease ends when new tokens are stored, when it is released, or after `LEASE`, in case its holder has died.
        """
        free = {"$lt": ["$refresh_leased_at", {"$subtract": ["$$NOW", int(LEASE.total_seconds() * 1000)]}]}
        taken = self._tokens.update_one({**_unchanged(seen), "$expr": free}, [{"$set": {"refresh_leased_at": "$$NOW"}}])
        return taken.modified_count == 1

    def refresh_held(self, seen: SpotifyTokens) -> AbstractContextManager[None]:
        """Renew the right to refresh for the length of a block, which may take minutes; a dead process' ends soon."""
        # Not after others were stored since `seen`, and not after a release.
        ours = {**_unchanged(seen), "refresh_leased_at": {"$ne": None}}
        renewed = [{"$set": {"refresh_leased_at": "$$NOW"}}]
        return beating(lambda: self._tokens.update_one(ours, renewed), every_s=RENEWED_AFTER_S)

    def release_refresh(self, user_id: str) -> None:
        """Release the right to refresh."""
        self._tokens.update_one({"user_id": user_id}, {"$set": {"refresh_leased_at": None}})

    def replace_ciphertexts(self, seen: SpotifyTokens, *, refresh_token: str, access_token: str) -> bool:
        """Store the same tokens in another encryption, and end the lease; False if others were stored since `seen`."""
        fields = {"refresh_token_encrypted": refresh_token, "access_token_encrypted": access_token}
        return bool(
            self._tokens.update_one(_unchanged(seen), {"$set": {**fields, "refresh_leased_at": None}}).matched_count
        )

    def all_tokens(self) -> list[SpotifyTokens]:
        """The encrypted tokens of all users, except those that cannot be read."""
        found = (_readable(SpotifyTokens, document) for document in self._tokens.find())
        return [tokens for tokens in found if tokens is not None]

    def set_timezone(self, user_id: str, timezone: str) -> None:
        """Record the IANA zone in which a user's days begin."""
        self._users.update_one({"_id": ObjectId(user_id)}, {"$set": {"timezone": known_timezone(timezone)}})

    def set_sharing(self, user_id: str, *, shares: bool) -> None:
        """Record whether a user's plays may serve recommendations for others."""
        self._users.update_one({"_id": ObjectId(user_id)}, {"$set": {"shares_plays": shares}})

    def set_comparing(self, user_id: str, *, compares: bool) -> None:
        """Record whether a user agrees to be compared with other users who agree."""
        self._users.update_one({"_id": ObjectId(user_id)}, {"$set": {"compares": compares}})

    def history_span(self, user_id: str) -> tuple[datetime, datetime] | None:
        """The ends of the user's first and last stored play; None without plays."""
        ends = [
            self._history.find_one({"user_id": user_id}, {"played_at": 1}, sort=[("played_at", direction)])
            for direction in (ASCENDING, DESCENDING)
        ]
        first, last = (None if end is None else end["played_at"] for end in ends)
        return None if first is None or last is None else (first, last)

    def first_plays(self) -> dict[str, datetime]:
        """The end of each user's first stored play, by user id; it takes one index lookup per user."""
        first = {"_id": "$user_id", "played_at": {"$first": "$played_at"}}
        found = self._history.aggregate([{"$sort": {"user_id": -1, "played_at": 1}}, {"$group": first}])
        return {each["_id"]: each["played_at"] for each in found}

    def plays_stored(self, user_id: str) -> int:
        """The number of a user's stored plays."""
        return self._history.count_documents({"user_id": user_id})


def _readable(model: type[Stored], document: Document) -> Stored | None:
    try:
        return model.stored(document)
    except ValidationError:
        return None


def _unchanged(seen: SpotifyTokens) -> Document:
    """The query for a user's tokens as long as they are these; EchoStats stores no access token at all."""
    return {
        "user_id": seen.user_id,
        "refresh_token_encrypted": seen.refresh_token_encrypted,
        "access_token_encrypted": seen.access_token_encrypted or {"$in": ["", None]},
    }


def _meant(users: Sequence[User], name: str, *, beginnings: bool) -> Iterator[list[User]]:
    """The users that a name may mean: from those whom it names exactly to those whose names begin with it."""
    for field in ("partition_key", "spotify_id", "display_name"):
        yield [user for user in users if getattr(user, field) == name]
    wanted = name.casefold()
    names = [(user, {user.partition_key, user.spotify_id, user.display_name}) for user in users]
    folded = [(user, {each.casefold() for each in theirs if each}) for user, theirs in names]
    yield [user for user, theirs in folded if wanted in theirs]
    if beginnings and wanted:
        yield [user for user, theirs in folded if any(each.startswith(wanted) for each in theirs)]
