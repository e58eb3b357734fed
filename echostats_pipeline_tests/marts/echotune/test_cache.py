"""EchoTune's keys in a real Redis: what they hold, when they expire, and that new plays drop them."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis, RedisError

from echostats_pipeline.accounts.removal import remove_user
from echostats_pipeline.marts.echotune.database import user_object_id
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.marts.echotune.conftest import Installed
from echostats_pipeline_tests.marts.echotune.stored import NOW, TRACKS, connect, listen, play, recommended


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([server, *options], stdout=subprocess.DEVNULL) as process:
        url = f"redis://127.0.0.1:{port}/0"
        try:
            wait_for(url)
            yield url
        finally:
            process.terminate()


def wait_for(url: str) -> None:
    with Redis.from_url(url) as client:
        for _ in range(100):
            try:
                client.ping()
            except RedisError:
                time.sleep(0.1)
            else:
                return


def with_redis(echotune: Installed, url: str) -> Installed:
    return replace(echotune, settings=echotune.settings.model_copy(update={"redis_url": SecretStr(url)}))


def test_three_keys_are_warm_expire_and_are_dropped_on_new_plays(echotune: Installed, redis_url: str) -> None:
    cached, user = with_redis(echotune, redis_url), connect(echotune)
    listen(echotune, user, [play(user, track, NOW - timedelta(days=30)) for track in TRACKS[:16]])
    echotune.store.db["recommendations"].insert_one(recommended(user, NOW))
    assert cached.mart(NOW).update(user).uncached == ""
    owner = user_object_id(user.user_id)
    with Redis.from_url(redis_url, decode_responses=True) as client:
        expected = {
            f"recs:{owner}:hybrid:20": 3_600,
            f"recs:{owner}:collaborative:20": 3_600,
            f"recs:{owner}:content:20": 3_600,
            f"user:{owner}:prefs": 3_600,
            **{f"features:{track}": 86_400 for track in TRACKS[10:16]},
        }
        assert set(client.keys()) == expected.keys()
        assert all(seconds - 60 < client.ttl(key) <= seconds for key, seconds in expected.items())
        tracks = json.loads(client.get(f"recs:{owner}:hybrid:20") or "")
        assert [each["trackId"] for each in tracks] == list(TRACKS[10:16])
        preferences = json.loads(client.get(f"user:{owner}:prefs") or "")
        assert (preferences["userId"], preferences["createdAt"]) == (str(owner), "2025-06-15T12:00:00.000Z")
        client.set(f"recs:{owner}:hybrid:50", "of the application", ex=3_600)
        listen(echotune, user, [play(user, TRACKS[1], NOW)])
        cached.update(user, NOW)
        assert set(client.keys()) == expected.keys()


def test_the_keys_of_a_removed_user_go_at_once(echotune: Installed, redis_url: str) -> None:
    cached = with_redis(echotune, redis_url)
    ann, bob = connect(echotune), connect(echotune, "bob")
    for user in (ann, bob):
        cached.update(user, NOW)
    store = Store.of(echotune.store.db, databases_of(cached.settings))
    remove_user(store, ann, NOW)
    with Redis.from_url(redis_url, decode_responses=True) as client:
        assert not client.keys(f"*{user_object_id(ann.user_id)}*")
        assert client.keys(f"user:{user_object_id(bob.user_id)}:prefs")


def test_a_removal_does_not_wait_for_a_redis_that_is_gone(echotune: Installed) -> None:
    user, cached = connect(echotune), with_redis(echotune, "redis://127.0.0.1:1/0")
    echotune.update(user, NOW)
    remove_user(Store.of(echotune.store.db, databases_of(cached.settings)), user, NOW)
    assert echotune.collection("users").count_documents({}) == 0


def test_a_redis_that_does_not_answer_stops_nothing(echotune: Installed, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{closed.getsockname()[1]}/0"
        user = connect(echotune)
        updated = with_redis(echotune, url).mart(NOW).update(user)
    assert updated.written["users"] == 1
    assert updated.uncached == "ConnectionError: Redis did not answer"
