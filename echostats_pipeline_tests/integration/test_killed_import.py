"""An import that is killed repeatedly, at any moment, ends with the same data as an import that was not killed."""

import json
import random
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from echostats_pipeline.model.users import User
from echostats_pipeline.simulator import exports
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.storage.database import Db
from echostats_pipeline_tests.conftest import NOW, Counted, Installation, documents
from echostats_pipeline_tests.integration.import_processes import killable_imports
from echostats_pipeline_tests.integration.processes import PATIENCE_S
from echostats_pipeline_tests.stages.test_ingestion import sync

pytestmark = [
    pytest.mark.xdist_group("killed import"),
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and waits for processes by their descriptors"),
]

KILLS = 50
EXPORTED = timedelta(days=55)
ROWS_PER_FILE = 325
COMPARED = ("listening_history", "tracks", "listening_gaps", "import_rejects")
OUTCOMES = ("inserted", "merged", "duplicate", "not_music", "rejected")


def listen(installation: Installation) -> User:
    """A week in which recently-played was read every day, with a pause that left a gap."""
    installation.clock.advance(timedelta(days=-9))
    user = installation.connect()
    for days in (0, 1, 1, 3, 1, 1, 2):
        installation.clock.advance(timedelta(days=days))
        sync(installation, user)
    assert installation.now() == NOW
    assert documents(installation.store.db, "listening_gaps")
    return user


def content(db: Db) -> Counter[str]:
    """All documents that an import writes for good, as text."""
    return Counter(
        f"{name}: {json.dumps(document, default=str, sort_keys=True)}"
        for name in COMPARED
        for document in documents(db, name)
    )


def stale_days(db: Db) -> set[str]:
    return {mark["date"] for mark in db["change_marks"].find({"source": "listening_history"})}


def test_a_killed_import_is_finished_by_the_next_one(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, export = installation.store, tmp_path / "my_spotify_data.zip"
    user = listen(installation)
    monkeypatch.setattr(exports, "EXTENDED_ROWS_PER_FILE", ROWS_PER_FILE)
    exports.write_extended_export(
        installation.simulator.world, installation.person(user), NOW - EXPORTED, NOW - timedelta(days=1), export
    )
    store.db["change_marks"].delete_many({})
    before = {name: list(store.db[name].find()) for name in store.db.list_collection_names()}

    def start_over() -> None:
        for name, found in before.items():
            store.db[name].delete_many({})
            if found:
                store.db[name].insert_many(found)

    import_export(store, user, [export], progress=Counted(), clock=installation.now)
    clean, clean_days = content(store.db), stale_days(store.db)
    assert clean
    assert clean_days
    dice, kills = random.Random(1), 0
    with killable_imports(installation.environ, NOW, export) as attempt:
        start_over()
        started = time.monotonic()
        assert attempt(PATIENCE_S)
        whole_s = time.monotonic() - started
        assert content(store.db) == clean
        while kills < KILLS:
            start_over()
            while not attempt(dice.uniform(0, whole_s)):
                kills += 1
            found = content(store.db)
            assert (found - clean, clean - found) == (Counter(), Counter())
            assert stale_days(store.db) >= clean_days
    files = import_export(store, user, [export], progress=Counted(), clock=installation.now)
    for file in files:
        outcomes = {name: getattr(file, name) for name in OUTCOMES}
        assert (file.status, sum(outcomes.values())) == ("completed", file.rows)
        assert outcomes["inserted"] == outcomes["merged"] == 0
    assert content(store.db) == clean
