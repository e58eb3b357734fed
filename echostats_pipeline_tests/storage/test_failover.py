"""Work that a lost primary interrupts is repeated; any other error is raised, and so is a primary that stays away."""

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    CursorNotFound,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from echostats_pipeline.storage.failover import TRIES, through_failover

LOST = [
    AutoReconnect("connection closed"),
    NotPrimaryError("not primary"),
    CursorNotFound("gone", 43),
    OperationFailure("stepped down", 189),
    BulkWriteError({"writeConcernErrors": [{"code": 11602}], "writeErrors": []}),
]
OTHER = [
    ServerSelectionTimeoutError("nobody"),
    OperationFailure("not authorized", 13),
    BulkWriteError({"writeConcernErrors": [], "writeErrors": [{"code": 11000}]}),
    BulkWriteError({}),
]


class Work:
    def __init__(self, *errors: PyMongoError) -> None:
        self.errors = list(errors)
        self.again = 0

    def do(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def before_again(self) -> None:
        self.again += 1


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_work_is_repeated_after_the_primary_was_lost(error: PyMongoError) -> None:
    work = Work(error, error)
    assert through_failover(work.do, work.before_again) == "done"
    assert work.again == 2


@pytest.mark.parametrize("error", OTHER, ids=lambda error: type(error).__name__)
def test_any_other_error_is_raised_at_once(error: PyMongoError) -> None:
    work = Work(error)
    with pytest.raises(type(error)):
        through_failover(work.do, work.before_again)
    assert work.again == 0


def test_it_is_not_repeated_for_ever() -> None:
    work = Work(*[AutoReconnect("again")] * TRIES)
    with pytest.raises(AutoReconnect):
        through_failover(work.do)
