"""Planted secrets must not appear in collections, log lines, Dagster's events or messages."""

import base64
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote, urlsplit

import dagster as dg
import pytest
from bson.json_util import dumps

from echostats_pipeline.accounts import connecting
from echostats_pipeline.accounts.connecting import connect_account, token_cipher
from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.settings import load_settings
from echostats_pipeline.spotify.oauth import SCOPES
from echostats_pipeline_tests.conftest import KEY, NOW, Installation, Pipeline

CLIENT_SECRET = "canary-client-secret-0123456789"


class Planted:
    """Every secret that was used, and the places where it must not appear."""

    def __init__(self, **secrets: str) -> None:
        self._secrets: dict[str, str] = {}
        self.add(**secrets)

    def add(self, **secrets: str) -> None:
        for name, secret in secrets.items():
            assert len(secret) > 15, name
            self._secrets[f"{name} {len(self._secrets)}"] = secret

    def found_in(self, text: str) -> set[str]:
        return {
            name
            for name, secret in self._secrets.items()
            for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode(), json.dumps(secret))
            if form in text
        }


@pytest.fixture
def planted(
    pipeline: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    new_settings: Callable[..., Mapping[str, str]],
) -> tuple[Pipeline, Planted]:
    """The pipeline as an app with a client secret; the simulator stands in for the real Spotify."""
    url = pipeline.installation.simulator.base_url
    monkeypatch.setattr(connecting, "SPOTIFY_ACCOUNTS_URL", url)
    monkeypatch.setattr(connecting, "SPOTIFY_API_URL", url)
    environ = new_settings(SPOTIFY_CLIENT_ID="canary-app", SPOTIFY_CLIENT_SECRET=CLIENT_SECRET)
    installation = replace(pipeline.installation, environ=environ, settings=load_settings(environ, env_file=None))
    planted = Planted(
        client_secret=CLIENT_SECRET,
        basic=base64.b64encode(f"canary-app:{CLIENT_SECRET}".encode()).decode(),
        key=KEY,
        mongo_password=urlsplit(environ["MONGO_URI"]).password or "",
    )
    return Pipeline(installation, pipeline.instance), planted


def connect(installation: Installation, planted: Planted, number: int) -> User:
    settings, person = installation.settings, installation.simulator.world.users[number]
    code = installation.simulator.consent(
        person.id, client_id="canary-app", redirect_uri=settings.spotify_redirect_uri, scope=" ".join(SCOPES)
    )
    planted.add(code=code)
    user = connect_account(settings, installation.store, code=code, verifier=None, timezone="UTC", now=NOW)
    plant_tokens(installation, planted, user)
    with pytest.raises(EchostatsError) as refusal:  # a code is good once
        connect_account(settings, installation.store, code=code, verifier=None, timezone="UTC", now=NOW)
    assert planted.found_in(str(refusal.value)) == set()
    return user


def plant_tokens(installation: Installation, planted: Planted, user: User) -> None:
    cipher, tokens = token_cipher(installation.settings), installation.store.users.tokens(user.user_id)
    planted.add(
        access_token=cipher.decrypt(tokens.access_token_encrypted, user.user_id),
        refresh_token=cipher.decrypt(tokens.refresh_token_encrypted, user.user_id),
    )


def spoil(installation: Installation, planted: Planted, user: User) -> None:
    """An access token that Spotify rejects: it is sent, and answered with an error."""
    wrong = "canary-rejected-access-token"
    planted.add(rejected=wrong)
    tokens = installation.store.users.tokens(user.user_id)
    encrypted = token_cipher(installation.settings).encrypt(wrong, user.user_id)
    installation.store.users.store_tokens(tokens.model_copy(update={"access_token_encrypted": encrypted}))


def test_no_secret_is_written_anywhere(
    planted: tuple[Pipeline, Planted], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    pipeline, secrets = planted
    installation, runs = pipeline.installation, []
    with caplog.at_level(logging.DEBUG):
        users = [connect(installation, secrets, number) for number in range(2)]
        keys = [user.partition_key for user in users]
        pipeline.instance.add_dynamic_partitions("users", keys)
        tags = range_tags(NOW.date(), NOW.date(), *keys)
        spoil(installation, secrets, users[0])
        runs.append(pipeline.run("user_sync", tags=tags))
        assert runs[-1].success
        plant_tokens(installation, secrets, users[0])
        runs += [pipeline.run("library_sync", partition_key=keys[0]), pipeline.run("catalog_enrichment")]
        installation.clock.advance(timedelta(hours=2))  # a refresh
        runs.append(pipeline.run("user_sync", tags=tags))
        assert runs[-1].success
        plant_tokens(installation, secrets, users[0])
        installation.clock.advance(timedelta(hours=2))  # a refresh that is refused
        for user in users:
            installation.simulator.tokens.revoke(user.spotify_id)
        runs.append(pipeline.run("user_sync", tags=tags))
        assert not runs[-1].success
        wrong_key = replace(installation, environ={**installation.environ, "ENCRYPTION_KEY": "ab" * 32})
        installation.store.users.set_status(users[0].user_id, "active")
        runs.append(Pipeline(wrong_key, pipeline.instance).run("user_sync", tags=tags))
        assert not runs[-1].success
    db = installation.store.db
    for name in db.list_collection_names():
        assert secrets.found_in(dumps(db[name].find())) == set(), name
    events = "\n".join(
        f"{entry.to_json()} {entry.user_message} {dg.serialize_value(entry)}"
        for run in runs
        for entry in pipeline.instance.all_logs(run.run_id)
    )
    assert "recently_played" in events
    assert secrets.found_in(events) == set()
    stored_runs = "\n".join(dg.serialize_value(run) for run in pipeline.instance.get_runs())
    assert secrets.found_in(stored_runs) == set()
    assert secrets.found_in(repr([run.all_events for run in runs])) == set()
    assert secrets.found_in(caplog.text) == set()
    printed = capfd.readouterr()
    assert secrets.found_in(printed.out + printed.err) == set()
    assert secrets.found_in(repr(installation.settings)) == set()


def test_the_search_finds_what_is_there() -> None:
    secrets = Planted(one="canary secret / with + signs")
    for text in ("canary secret / with + signs", "?x=canary%20secret%20%2F%20with%20%2B%20signs"):
        assert secrets.found_in(f"before {text} after")
    assert not secrets.found_in("nothing")
