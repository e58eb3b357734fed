"""Removing a user: every document of theirs in every collection. The shared catalogue stays."""

from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.model.users import User
from echostats_pipeline.storage.store import Store


def remove_user(store: Store, user: User) -> dict[str, int]:
    """Remove a user and everything that is theirs; returns how many documents of which collection.

    Interrupted, it can be repeated: the user's own document goes last.

    Raises:
        EchostatsError: a job of theirs is running, which would write on. No new one begins: the user is paused.
    """
    if user.status == "active":
        store.users.set_status(user.user_id, "paused")
    if user.user_id in store.jobs.busy_users():
        raise EchostatsError(
            f"A job of {user.partition_key} is running and would go on writing. They are paused now; remove them when "
            "it has ended (the Dagster UI shows it), which takes a minute at most if it has been killed."
        )
    return store.users.remove(user)
