"""Opens the database of an installation: the server that MONGO_URI names, or the embedded one."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from pymongo.errors import OperationFailure

from echostats_pipeline.errors import StorageError
from echostats_pipeline.local.mongod import ensure_running
from echostats_pipeline.model.collections import CORE, Database
from echostats_pipeline.settings import Settings
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.adoption import keep_one_of_each
from echostats_pipeline.storage.carry_over import carry_over_marks
from echostats_pipeline.storage.database import Db, connected
from echostats_pipeline.storage.failover import through_failover
from echostats_pipeline.storage.indexes import ensure_indexes
from echostats_pipeline.storage.installed import databases_of, mart_database
from echostats_pipeline.storage.mongo_errors import UNAUTHORIZED, MongoAddress, explanation
from echostats_pipeline.storage.restores import RestoreStore
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.validators import ensure_validators


@contextmanager
def open_store(
    settings: Settings, *, indexes: bool = False, patience_ms: int | None = None, restoring: bool = False
) -> Iterator[Store]:
    """Open the database that the settings name; the embedded server is started if it is needed and not running.

    Args:
        settings: Where the database is.
        indexes: Whether to create the declared indexes and validators first, to carry over the marks of an earlier
            version, to follow new consumers of marks, and to adopt users whom EchoStats has added.
        patience_ms: How long to wait for a server at any time; None for the time of a command.
        restoring: Whether this is the restore of a backup, which alone may use a database that is only partly there.

    Raises:
        StorageError: the database cannot be used, or a restore into it has not ended.
    """
    home = None if settings.mongo_uri else settings.home
    uri = mongo_uri(settings)
    with connected(uri, settings.mongo_db, home, patience_ms) as db:
        if not restoring:
            RestoreStore(db).refuse()
        store = Store.of(db, databases_of(settings))
        yield through_failover(partial(_prepared, store, settings, MongoAddress.of(uri, home))) if indexes else store


def _prepared(store: Store, settings: Settings, address: MongoAddress) -> Store:
    """Bring the databases to the present version. Repeating it changes nothing. Return the store over all of them."""
    db = store.db
    keep_one_of_each(db)
    for each in store.databases:
        _install(db, each, address)
    carry_over_marks(db)
    if former := sorted(store.mart_states.marts() - set(settings.installed_marts)):
        store = Store.of(db, store.databases, tuple(mart_database(mart, settings) for mart in former))
    store.marks.follow_consumers()
    store.adopt_users(simulated=settings.simulated)
    return store


def _install(db: Db, declared: Database, address: MongoAddress) -> None:
    """Create the indexes and validators of one database; what a mart's lacks is told with the way to do without it."""
    try:
        ensure_indexes(db, (declared,))
        ensure_validators(db, (declared,))
    except (StorageError, OperationFailure) as error:
        is_right = isinstance(error, OperationFailure) and error.code == UNAUTHORIZED
        if declared is CORE or not (is_right or isinstance(error, StorageError)):
            raise
        said = explanation(error, address) if isinstance(error, OperationFailure) else str(error)
        raise StorageError(f"{said} To do without {declared.name}, leave its mart out of ECHOSTATS_MARTS.") from error


def mongo_uri(settings: Settings) -> str:
    """Return the address of the database server; the embedded one is started if it is needed and not running."""
    if settings.mongo_uri is not None:
        return settings.mongo_uri.get_secret_value()
    home = StateFolder(settings.home)
    return ensure_running(home).uri
