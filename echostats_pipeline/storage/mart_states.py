"""Stores how far each mart has read, per user (collection ``mart_states``)."""

from collections.abc import Collection
from datetime import datetime

from echostats_pipeline.model.operations import MartState
from echostats_pipeline.storage.database import Db, Document


class MartStateStore:
    """What marts remember between two updates. A mart whose names can be chosen says its `place`."""

    def __init__(self, db: Db) -> None:
        self._states = db["mart_states"]

    def get(self, user_id: str, mart: str, layout: int, place: str = "") -> MartState | None:
        """The state of a user's documents in a mart; None if they were never built in this layout and place."""
        found = self._states.find_one({"user_id": user_id, **_built(mart, layout, place)})
        return None if found is None else MartState.stored(found)

    def anew(self, user_id: str, mart: str, layout: int, place: str = "") -> MartState:
        """A state in which nothing is built yet; what must not be forgotten is kept from another layout or place."""
        found = self._states.find_one({"user_id": user_id, "mart": mart})
        if found is None:
            return MartState(user_id=user_id, mart=mart, layout=layout, place=place)
        anew = {"layout": layout, "place": place, "catalog_read_at": None}
        return MartState.stored(found).model_copy(update=anew)

    def put(self, state: MartState) -> None:
        """Store the state of a user's documents in a mart."""
        self._states.replace_one({"user_id": state.user_id, "mart": state.mart}, state.to_bson(), upsert=True)

    def marts(self) -> set[str]:
        """The names of all marts that have ever been built here."""
        return set(self._states.distinct("mart"))

    def catalog_read_at(self, mart: str, layout: int, place: str = "") -> datetime | None:
        """When the catalogue, which all users share, was last read for any user; None if it never was."""
        read = {**_built(mart, layout, place), "catalog_read_at": {"$ne": None}}
        found = self._states.find_one(read, sort=[("catalog_read_at", -1)])
        return None if found is None else found["catalog_read_at"]

    def built(self, mart: str, layout: int, place: str = "") -> Collection[str]:
        """Ids of the users whose documents of a mart were built in this layout and place."""
        return set(self._states.distinct("user_id", _built(mart, layout, place)))


def _built(mart: str, layout: int, place: str) -> Document:
    return {"mart": mart, "layout": layout, **({"place": place} if place else {})}
