"""A merge that dies after any single write loses no fact, and the same merge again completes it."""

from itertools import count

import pytest

from echostats_pipeline.model.users import User
from echostats_pipeline.stages.imports import resolve_named_plays
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, documents
from echostats_pipeline_tests.stages.merge_steps import DiedError, Step, dying, facts, forget, merge
from echostats_pipeline_tests.transforms.history.test_named_rows import named, of_artist
from echostats_pipeline_tests.transforms.row_factories import export, item, row

SITUATIONS: dict[str, list[Step]] = {
    "a new row of an upload moves the stored ones": [
        export([row(500, ms_played=60_007, offline_at=1), row(500, "b", 30_011, offline_at=2)]),
        export([row(500, "c", 7_001, offline_at=3), row(500, "a", 5_003, offline_at=4)]),
    ],
    "plays of one track move into each other's places": [
        export([row(500, ms_played=1_000, offline_at=began) for began in (1, 2, 3, 4)]),
        export([row(500, "b", ms_played=1_000, offline_at=5)]),
    ],
    "an export reports what the API saw": [
        [item(300), item(500, "b"), item(900, "c", context_type="album")],
        export([row(301), row(498, "b"), row(2_000, "d")]),
    ],
    "the API sees what an export reports": [
        export([row(301), row(498, "b")]),
        [item(300), item(500, "b"), item(900, "c")],
    ],
    "a play moves to where the API saw it end": [
        [item(400)],
        export([row(500, ms_played=703, offline_at=1)]),
        export([row(500, "b", 100_000, offline_at=2)]),
    ],
    "a nearer row takes the stamp, and its former play takes the next one": [
        [item(160), item(200)],
        export([row(150)]),
        export([row(161)]),
    ],
    "three rows pass stamps on": [
        [item(160), item(200), item(240)],
        export([row(150), row(191)]),
        export([row(161)]),
    ],
    "stamps are passed on the other way": [
        [item(160), item(200), item(240)],
        export([row(210), row(169)]),
        export([row(239)]),
    ],
    "a nearer row takes the stamp away": [
        [item(160)],
        export([row(150)]),
        export([row(161)]),
    ],
    "a better source reports a named play": [
        named([(330, "a", 200_000), (660, "b", 100_000)]),
        export([row(331, "a", 200_000), row(900, "b", 100_000)]),
    ],
    "a scrobbling service reports it too": [
        named([(300, "a", None), (700, "b", None)], "lastfm"),
        named([(310, "a", None)], "listenbrainz"),
        named([(300, "a", 200_000)]),
    ],
    "what the API and the account data had reported together parts again": [
        [of_artist(345, "a")],
        named([(330, "a", 123_000)]),
        export([row(344, "a", 200_000)]),
    ],
    "scrobbles part from what the API saw": [
        [of_artist(345, "a")],
        named([(340, "a", None)], "lastfm"),
        export([row(400, "a", 200_000), row(310, "a", 150_000), row(560, "a", 200_000)]),
    ],
}


@pytest.fixture
def user(store: Store) -> User:
    return store.users.connect({"spotify_id": "someone"}, authorized_at=NOW, simulated=True, timezone="UTC")


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_crash_before_any_write_is_mended_by_the_same_merge(db: Db, store: Store, user: User, situation: str) -> None:
    *steps, last = SITUATIONS[situation]
    for step in steps:
        merge(store, user, step)
    before = {name: list(db[name].find()) for name in ("listening_history", "recently_played", "tracks")}
    reported = facts(db)
    merge(store, user, last)
    resolve_named_plays(store, user)
    undisturbed = documents(db, "listening_history")
    for lives in count():
        forget(db)
        for name, found in before.items():
            if found:
                db[name].insert_many(found)
        try:
            merge(dying(db, lives), user, last)
        except DiedError:
            assert reported <= facts(db), f"lost after {lives} writes"
            merge(store, user, last)
            resolve_named_plays(store, user)
            assert documents(db, "listening_history") == undisturbed, f"after {lives} writes"
        else:
            break
    resolve_named_plays(store, user)
    assert lives > 1
    assert documents(db, "listening_history") == undisturbed
