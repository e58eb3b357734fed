"""Users and their encrypted tokens, as stored."""

from datetime import datetime, timedelta
from typing import TypeVar

from bson import ObjectId
from pydantic import ValidationError
from pymongo import ASCENDING, DESCENDING, ReturnDocument

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.users import SpotifyTokens, User, UserStatus, known_timezone, partition_key, timezones
from echostats_pipeline.storage.conformity import stored_as
from echostats_pipeline.storage.database import Db, Document

Stored = TypeVar("Stored", User, SpotifyTokens)
ADOPTED: Document = {"partition_key": {"$exists": True}}
"""Users whom EchoStats has added a moment ago are none yet (`storage.adoption`)."""
LEASE = timedelta(minutes=5)
"""Longer than a refresh can take, with four attempts of half a minute and a minute of waits between them."""


class UserStore:
    """Collections ``users`` and ``spotify_tokens``."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._users = db["users"]
        self._history = db["listening_history"]
        self._tokens = db["spotify_tokens"]

    def all(self, *, simulated: bool | None = None) -> list[User]:
        """All users in the order they were added; those of one kind if `simulated` is given.

        One whose document cannot be read is left out, and stops nobody else; `echostats doctor` names it.
        """
        query: Document = {} if simulated is None else {"simulated": True if simulated else {"$ne": True}}
        found = self._users.find(query | ADOPTED).sort("_id")
        return [user for document in found if (user := _readable(User, document)) is not None]

    def not_adopted(self) -> int:
        """How many users EchoStats has added that nothing has adopted yet."""
        return self._users.count_documents({"partition_key": {"$exists": False}})

    def by_partition_key(self, key: str) -> User:
        """The user a Dagster partition stands for.

        Raises:
            NotFoundError: nobody has this key; the message lists who there is.
        """
        document = self._users.find_one({"partition_key": key})
        if document is None:
            known = ", ".join(sorted(self._users.distinct("partition_key"))) or "none yet"
            raise NotFoundError(f"There is no user {key!r}. Users: {known}")
        return stored_as(User, "users", document)

    def find(self, name: str) -> User:
        """The user of a partition key, else of a Spotify id, else of a display name if it is the only one.

        Raises:
            NotFoundError: no user answers to the name, or several do by their display names.
        """
        named = {"$or": [{"partition_key": name}, {"display_name": name}, {"spotify_id": name}]}
        found = self._users.find(named | ADOPTED).sort("_id")
        matches = [stored_as(User, "users", document) for document in found]
        for field in ("partition_key", "spotify_id"):
            if exact := [user for user in matches if getattr(user, field) == name]:
                return exact[0]
        if len(matches) == 1:
            return matches[0]
        if matches:
            keys = ", ".join(user.partition_key for user in matches)
            raise NotFoundError(f"Several users are called {name!r}. Name one by its key: {keys}")
        return self.by_partition_key(name)

    def bad_timezones(self) -> dict[str, str]:
        """Stored zones that are none of the IANA database, by partition key."""
        stored = self._users.find({"timezone": {"$exists": True, "$nin": sorted(timezones())}})
        return {str(each.get("partition_key") or each["_id"]): str(each["timezone"]) for each in stored.sort("_id")}

    def connect(self, profile: Document, *, authorized_at: datetime, simulated: bool, timezone: str = "UTC") -> User:
        """Store a user who has just consented: a new one, or a known one renewed (same id, same partition key).

        Args:
            profile: Fields of ``users`` taken from Spotify's profile; must hold ``spotify_id``.
            authorized_at: When the consent was given.
            simulated: Whether the account is the simulator's.
            timezone: IANA zone of a new user; a known user keeps theirs.

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
        """Record whether a user is synced, paused, or has to consent again; and why, unless a person has asked."""
        self._users.update_one({"_id": ObjectId(user_id)}, {"$set": {"status": status, "status_reason": reason}})

    def synced(self, user_id: str, at: datetime) -> None:
        """Record a successful sync."""
        self._users.update_one({"_id": ObjectId(user_id)}, {"$max": {"last_synced_at": at}})

    def saved_tracks_version(self, user_id: str) -> str:
        """Which state of their saved tracks was read last; empty if none was."""
        found = self._users.find_one({"_id": ObjectId(user_id)}, {"saved_tracks_version": 1})
        return str((found or {}).get("saved_tracks_version", ""))

    def set_saved_tracks_version(self, user_id: str, version: str) -> None:
        """Record which state of their saved tracks is stored."""
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
        """Store other tokens of one user; if they are `renewed`, only while the former ones are still there.

        A user may have been removed while Spotify was renewing them.
        """
        self._tokens.update_one({"user_id": tokens.user_id}, {"$set": tokens.to_bson()}, upsert=not renewed)

    def lease_refresh(self, seen: SpotifyTokens) -> bool:
        """Take the right to refresh a user's tokens, unless somebody has it or has stored others since `seen`.

        The lease ends when new tokens are stored, when it is released, or after `LEASE`, should its holder have died.
        """
        free = {"$lt": ["$refresh_leased_at", {"$subtract": ["$$NOW", int(LEASE.total_seconds() * 1000)]}]}
        taken = self._tokens.update_one({**_unchanged(seen), "$expr": free}, [{"$set": {"refresh_leased_at": "$$NOW"}}])
        return taken.modified_count == 1

    def release_refresh(self, user_id: str) -> None:
        """Give the right to refresh back."""
        self._tokens.update_one({"user_id": user_id}, {"$set": {"refresh_leased_at": None}})

    def replace_ciphertexts(self, seen: SpotifyTokens, *, refresh_token: str, access_token: str) -> bool:
        """Store the same tokens in another encryption, and end the lease; False if others were stored since `seen`."""
        fields = {"refresh_token_encrypted": refresh_token, "access_token_encrypted": access_token}
        return bool(
            self._tokens.update_one(_unchanged(seen), {"$set": {**fields, "refresh_leased_at": None}}).matched_count
        )

    def all_tokens(self) -> list[SpotifyTokens]:
        """The encrypted tokens of everybody, but those that cannot be read."""
        found = (_readable(SpotifyTokens, document) for document in self._tokens.find())
        return [tokens for tokens in found if tokens is not None]

    def set_timezone(self, user_id: str, timezone: str) -> None:
        """Record in which IANA zone a user's days begin."""
        self._users.update_one({"_id": ObjectId(user_id)}, {"$set": {"timezone": known_timezone(timezone)}})

    def history_span(self, user_id: str) -> tuple[datetime, datetime] | None:
        """When the user's first and last stored play ended; None without plays."""
        ends = [
            self._history.find_one({"user_id": user_id}, {"played_at": 1}, sort=[("played_at", direction)])
            for direction in (ASCENDING, DESCENDING)
        ]
        first, last = (None if end is None else end["played_at"] for end in ends)
        return None if first is None or last is None else (first, last)

    def first_plays(self) -> dict[str, datetime]:
        """When each user's first stored play ended, by user id; one look at the index for each of them."""
        first = {"_id": "$user_id", "played_at": {"$first": "$played_at"}}
        found = self._history.aggregate([{"$sort": {"user_id": -1, "played_at": 1}}, {"$group": first}])
        return {each["_id"]: each["played_at"] for each in found}

    def plays_stored(self, user_id: str) -> int:
        """How many plays of a user are stored."""
        return self._history.count_documents({"user_id": user_id})


def _readable(model: type[Stored], document: Document) -> Stored | None:
    try:
        return model.stored(document)
    except ValidationError:
        return None


def _unchanged(seen: SpotifyTokens) -> Document:
    """The query for the tokens of a user as long as they are those; EchoStats stores no access token at all."""
    return {
        "user_id": seen.user_id,
        "refresh_token_encrypted": seen.refresh_token_encrypted,
        "access_token_encrypted": seen.access_token_encrypted or {"$in": ["", None]},
    }
