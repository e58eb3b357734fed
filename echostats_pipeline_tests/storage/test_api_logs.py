"""The buffer of call records: written in batches, after any error, and without delaying calls."""

import logging
import socket
from datetime import UTC, datetime

import pytest
from pymongo import MongoClient

from echostats_pipeline.model.operations import ApiLog
from echostats_pipeline.storage.api_logs import BATCH, ApiLogBuffer
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.store import Store


def entry(number: int) -> ApiLog:
    return ApiLog(
        user_id="u",
        method="GET",
        endpoint=f"/v1/{number}",
        status_code=200,
        latency_ms=1.5,
        request_id=f"req-{number}",
        timestamp=datetime(2025, 1, 1, tzinfo=UTC),
    )


def test_entries_are_written_by_the_batch_and_the_rest_at_the_end(store: Store, db: Db) -> None:
    with store.api_logs() as log:
        for number in range(BATCH + 1):
            log.add(entry(number))
            assert db["api_logs"].count_documents({}) == (0 if number < BATCH - 1 else BATCH)
    assert [found["request_id"] for found in db["api_logs"].find()] == [f"req-{n}" for n in range(BATCH + 1)]


def test_an_entry_comes_back_as_it_was(store: Store, db: Db) -> None:
    with store.api_logs() as log:
        log.add(entry(1))
    found = db["api_logs"].find_one({}, {"_id": 0})
    assert found == entry(1).to_bson()


def test_the_last_batch_survives_an_exception(store: Store, db: Db) -> None:
    def call() -> None:
        with store.api_logs() as log:
            log.add(entry(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call()
    assert db["api_logs"].count_documents({}) == 1


def test_flushing_twice_writes_once(store: Store, db: Db) -> None:
    with store.api_logs() as log:
        log.add(entry(1))
        log.flush()
        log.flush()
    assert db["api_logs"].count_documents({}) == 1


def test_a_log_that_cannot_be_written_is_reported_and_nothing_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        MongoClient[Document](f"mongodb://127.0.0.1:{port}/", serverSelectionTimeoutMS=1) as gone,
        caplog.at_level(logging.WARNING),
        ApiLogBuffer(gone["any"]) as log,
    ):
        for number in range(BATCH + 1):
            log.add(entry(number))
    assert [f"{count} api_logs entries" in caplog.text for count in (BATCH, 1)] == [True, True]
