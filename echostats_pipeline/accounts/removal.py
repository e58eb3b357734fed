"""Removes a user: deletes their documents in every collection, and keeps the shared catalogue."""

from datetime import datetime

from echostats_pipeline.model.users import User
from echostats_pipeline.storage.store import Store


def remove_user(store: Store, user: User, at: datetime) -> dict[str, int]:
    """Remove a user and all their documents; return the number of deleted documents by collection.

    The removal is recorded first. So the next sweep finishes an interrupted removal, if nobody repeats it before.
    What others were recommended because of this user's plays goes, too.
    Documents that an active run still writes are deleted when the step of that run ends (`storage.removals`).
    """
    store.removals.remember(user.user_id, at)
    if user.shares:
        store.recommendations.forget_shared(user.user_id)
    return store.removals.sweep([user.user_id])
