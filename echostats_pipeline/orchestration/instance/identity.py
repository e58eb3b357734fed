"""The identity of a Dagster instance: which of several over one database a job belongs to.

Two state folders, two deployments, or a deployment and a command on another machine may share a database. Each has a
storage of its own for its runs, and knows nothing of the others' runs.
"""

import uuid
from weakref import WeakKeyDictionary

import dagster as dg

KEY = "echostats/instance_id"
_KNOWN: WeakKeyDictionary[dg.DagsterInstance, str] = WeakKeyDictionary()


def instance_id(instance: dg.DagsterInstance) -> str:
    """The id in the storage of the instance: the same in all processes, another for each storage.

    The first call creates it. Should two processes do so at the same time, the later id stays. The earlier one does no
    harm: the instance knows its runs, and needs the id only for a run that it does not know.
    """
    if instance not in _KNOWN:
        storage = instance.run_storage
        if KEY not in storage.get_cursor_values({KEY}):
            storage.set_cursor_values({KEY: uuid.uuid4().hex})
        _KNOWN[instance] = storage.get_cursor_values({KEY})[KEY]
    return _KNOWN[instance]
