"""Connecting to the database: error messages do not contain the password."""

import socket

import pytest

from echostats_pipeline.errors import StorageError
from echostats_pipeline.local.mongod import EmbeddedServer, free_port
from echostats_pipeline.storage import database
from echostats_pipeline.storage.database import connected
from echostats_pipeline_tests.conftest import NOW

PASSWORD = "s3cret-canary"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SERVER_SELECTION_TIMEOUT_MS", 300)


def refused(uri: str) -> str:
    with pytest.raises(StorageError) as error, connected(uri, "any"):
        pass
    link: BaseException | None = error.value
    while link is not None:  # Dagster logs the whole chain
        assert PASSWORD not in str(link)
        link = link.__cause__ or link.__context__
    return str(error.value)


def test_a_server_that_does_not_answer_is_an_error_that_says_what_to_check() -> None:
    port = free_port()
    said = refused(f"mongodb://me:{PASSWORD}@127.0.0.1:{port}/")
    assert f"127.0.0.1:{port}" in said
    assert "refused" in said
    assert "Start the server" in said


def test_a_server_that_is_not_mongodb_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert "does not answer" in refused(f"mongodb://me:{PASSWORD}@127.0.0.1:{listener.getsockname()[1]}/")


def test_a_wrong_password_is_an_error_that_does_not_repeat_it(mongo_server: EmbeddedServer) -> None:
    said = refused(f"mongodb://echostats:{PASSWORD}@127.0.0.1:{mongo_server.port}/?authSource=admin")
    assert "refused" in said
    assert "password" in said


def test_a_connection_without_credentials_is_an_error_before_anything_is_read(mongo_server: EmbeddedServer) -> None:
    with connected(f"mongodb://127.0.0.1:{mongo_server.port}/", "any") as db, pytest.raises(Exception, match="auth"):
        db["users"].find_one()


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://me:{PASSWORD}@:1/",
        f"mongodb://me:{PASSWORD}@host:port/",
        f"mongodb://me:{PASSWORD}@127.0.0.1:99999/",
        f"mongodb://me:{PASSWORD}@@127.0.0.1/",
        f"mongodb://me:{PASSWORD}/@127.0.0.1/",
        f"mongodb://me:{PASSWORD}%zz@127.0.0.1/",
        f"mongodb://me:{PASSWORD}@127.0.0.1/?tls=true&tlsCAFile=/nowhere",
        f"mongodb+srv://me:{PASSWORD}@127.0.0.1/",
        f"mongodb+srv://me:{PASSWORD}@does.not.exist.invalid/",
        "mongodb://",
    ],
)
def test_an_address_that_makes_no_sense_is_an_error_without_the_password(uri: str) -> None:
    assert refused(uri)


def test_instants_come_back_aware(mongo_server: EmbeddedServer, db: database.Db) -> None:
    with connected(mongo_server.uri, db.name) as opened:
        opened["x"].insert_one({"at": NOW})
        found = opened["x"].find_one()
    assert found is not None
    assert found["at"] == NOW


@pytest.mark.parametrize(
    "option", ["readPreference=secondary", "readPreference=secondaryPreferred", "readpreference=nearest", "w=0"]
)
def test_reads_that_may_be_old_and_writes_that_nobody_confirms_are_refused(option: str) -> None:
    said = refused(f"mongodb://me:{PASSWORD}@127.0.0.1:{free_port()}/?{option}")
    assert "Remove the option" in said


def test_how_long_to_wait_for_a_server_is_said_by_the_uri_else_by_the_caller(mongo_server: EmbeddedServer) -> None:
    def waits(uri: str, patience_ms: int | None = None) -> float:
        with connected(uri, "any", patience_ms=patience_ms) as db:
            return db.client.options.server_selection_timeout

    uri = mongo_server.uri
    separator = "&" if "?" in uri else "?"
    assert waits(uri) == 0.3
    assert waits(uri, database.RUN_SELECTION_TIMEOUT_MS) == 30
    assert waits(f"{uri}{separator}serverSelectionTimeoutMS=7000", database.RUN_SELECTION_TIMEOUT_MS) == 7
