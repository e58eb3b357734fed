"""Users and their encrypted tokens, as stored."""

from datetime import datetime

from bson import ObjectId
from pymongo import ReturnDocument

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.users import SpotifyTokens, User, UserStatus, partition_key
from echostats_pipeline.storage.database import Db, Document


class UserStore:
    """Collections ``users`` and ``spotify_tokens``."""

    def __init__(self, db: Db) -> None:
        self._users = db["users"]
        self._tokens = db["spotify_tokens"]

    def all(self, *, simulated: bool | None = None) -> list[User]:
        """All users in the order they were added; those of one kind if `simulated` is given."""
        query: Document = {} if simulated is None else {"simulated": True if simulated else {"$ne": True}}
        return [User.model_validate(document) for document in self._users.find(query).sort("_id")]

    def by_partition_key(self, key: str) -> User:
        """The user a Dagster partition stands for.

        Raises:
            NotFoundError: nobody has this key; the message lists who there is.
        """
        document = self._users.find_one({"partition_key": key})
        if document is None:
            known = ", ".join(sorted(self._users.distinct("partition_key"))) or "none yet"
            raise NotFoundError(f"There is no user {key!r}. Users: {known}")
        return User.model_validate(document)

    def find(self, name: str) -> User:
        """The user of a partition key, or of a display name or Spotify id if it is the only one.

        Raises:
            NotFoundError: no user or several answer to the name.
        """
        named = {"$or": [{"partition_key": name}, {"display_name": name}, {"spotify_id": name}]}
        matches = [User.model_validate(document) for document in self._users.find(named).limit(2)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise NotFoundError(f"Several users are called {name!r}; use the key that `echostats users` shows.")
        return self.by_partition_key(name)

    def connect(self, profile: Document, *, authorized_at: datetime, simulated: bool, timezone: str = "UTC") -> User:
        """Store a user who has just consented: a new one, or a known one renewed (same id, same partition key).

        Args:
            profile: Fields of ``users`` taken from Spotify's profile; must hold ``spotify_id``.
            authorized_at: When the consent was given.
            simulated: Whether the account is the simulator's.
            timezone: IANA zone of a new user; a known user keeps theirs.
        """
        new_id = ObjectId()
        new = User.model_validate(
            {
                **profile,
                "timezone": timezone,
                "simulated": simulated,
                "partition_key": partition_key(profile.get("display_name", ""), str(new_id)),
            }
        ).to_bson()
        renewed = {**profile, "authorized_at": authorized_at, "status": "active"}
        document = self._users.find_one_and_update(
            {"spotify_id": profile["spotify_id"]},
            {
                "$set": renewed,
                "$setOnInsert": {"_id": new_id, **{key: new[key] for key in new if key not in renewed}},
            },
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return User.model_validate(document)

    def set_status(self, user_id: str, status: UserStatus) -> None:
        """Record whether a user is synced, paused, or has to consent again."""
        self._users.update_one({"_id": ObjectId(user_id)}, {"$set": {"status": status}})

    def synced(self, user_id: str, at: datetime) -> None:
        """Record a successful sync."""
        self._users.update_one({"_id": ObjectId(user_id)}, {"$max": {"last_synced_at": at}})

    def tokens(self, user_id: str) -> SpotifyTokens:
        """The encrypted tokens of a user.

        Raises:
            NotFoundError: the user never connected a Spotify account.
        """
        document = self._tokens.find_one({"user_id": user_id})
        if document is None:
            raise NotFoundError(f"User {user_id} has no Spotify tokens. Connect the account with: echostats connect")
        return SpotifyTokens.model_validate(document)

    def store_tokens(self, tokens: SpotifyTokens) -> None:
        """Replace the tokens of one user."""
        self._tokens.replace_one({"user_id": tokens.user_id}, tokens.to_bson(), upsert=True)
