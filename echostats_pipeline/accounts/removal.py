"""Removing a user: every document of theirs in every collection. The shared catalogue stays."""

from datetime import datetime

from echostats_pipeline.model.users import User
from echostats_pipeline.storage.store import Store


def remove_user(store: Store, user: User, at: datetime) -> dict[str, int]:
    """Remove a user and everything that is theirs; returns how many documents of which collection.

    That they are removed is remembered first. So an interrupted removal is finished by the next sweep, if it is not
    repeated before; and what a run that is under way still writes is deleted when its step ends (`storage.removals`).
    """
    store.removals.remember(user.user_id, at)
    return store.removals.sweep([user.user_id])
