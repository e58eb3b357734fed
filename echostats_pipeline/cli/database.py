"""The database for the length of a command."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from echostats_pipeline.local.database import open_store
from echostats_pipeline.local.mongod import running
from echostats_pipeline.settings import Settings
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.adoption import mend_nulls
from echostats_pipeline.storage.store import Store


@contextmanager
def open_database(settings: Settings, *, indexes: bool = True, restoring: bool = False) -> Iterator[Store]:
    """Open the database for the length of a command. An embedded server started for the command stops with it."""
    server = running(StateFolder(settings.home)) if settings.mongo_uri is None else nullcontext()
    with server, open_store(settings, indexes=indexes, restoring=restoring) as store:
        if indexes:
            mend_nulls(store.db)
        yield store
