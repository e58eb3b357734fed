"""Stores how far each mart has read, per user (collection ``mart_states``)."""

from collections.abc import Collection
from datetime import datetime

from echostats_pipeline.model.operations import MartState
from echostats_pipeline.storage.database import Db


class MartStateStore:
    """What marts remember between two updates."""

    def __init__(self, db: Db) -> None:
        self._states = db["mart_states"]

    def get(self, user_id: str, mart: str, layout: int) -> MartState | None:
        """The state of a user's documents in a mart; None if they were never built in this layout."""
        found = self._states.find_one({"user_id": user_id, "mart": mart})
        state = None if found is None else MartState.stored(found)
        return state if state is not None and state.layout == layout else None

    def anew(self, user_id: str, mart: str, layout: int) -> MartState:
        """A state in which nothing is built yet; what must not be forgotten is kept from another layout."""
        found = self._states.find_one({"user_id": user_id, "mart": mart})
        if found is None:
            return MartState(user_id=user_id, mart=mart, layout=layout)
        return MartState.stored(found).model_copy(update={"layout": layout, "catalog_read_at": None})

    def put(self, state: MartState) -> None:
        """Store the state of a user's documents in a mart."""
        self._states.replace_one({"user_id": state.user_id, "mart": state.mart}, state.to_bson(), upsert=True)

    def marts(self) -> set[str]:
        """The names of all marts that have ever been built here."""
        return set(self._states.distinct("mart"))

    def catalog_read_at(self, mart: str, layout: int) -> datetime | None:
        """When the catalogue, which all users share, was last read for any user; None if it never was."""
        read = {"mart": mart, "layout": layout, "catalog_read_at": {"$ne": None}}
        found = self._states.find_one(read, sort=[("catalog_read_at", -1)])
        return None if found is None else found["catalog_read_at"]

    def built(self, mart: str, layout: int) -> Collection[str]:
        """Ids of the users whose documents of a mart were built in this layout."""
        return set(self._states.distinct("user_id", {"mart": mart, "layout": layout}))
