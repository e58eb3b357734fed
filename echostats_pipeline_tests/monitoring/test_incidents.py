"""The text of notices: the cause first, and never a secret."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.accounts.consent import CONSENT_LIFE
from echostats_pipeline.model.operations import Incident
from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring.incidents import (
    CAUSE_LENGTH,
    REMOVED,
    advice_for,
    configured_secrets,
    one_line,
    redacted,
    root_cause,
    user_trouble,
    words,
)
from echostats_pipeline.settings import load_settings
from echostats_pipeline_tests.conftest import NOW

CANARY = "canary-S3cret"
TOKEN = "BQD4canary" + "xY9_-" * 20
OPAQUE = st.text("abcdefXYZ0189_-", min_size=40, max_size=200)


@pytest.mark.parametrize(
    "text",
    [
        f"mongodb://me:{CANARY}@db.example.org/x failed",
        f"mongodb+srv://me:{CANARY}%2F1@db failed",
        f"mongodb://me:{CANARY}/with slash@db"[:-12] + "@db",
        f"Authorization: Bearer {CANARY}",
        f"{{'Authorization': 'Basic {CANARY}'}}",
        f"sent bearer {CANARY} to it",
        f"refresh_token={CANARY}&grant_type=refresh_token",
        f'{{"access_token": "{CANARY}", "x": 1}}',
        f"?code={CANARY}&state=x",
        f"client_secret={CANARY}",
        f"ENCRYPTION_KEY={CANARY}",
        f"key: {CANARY}",
        f"the token {TOKEN} was refused",
        "key 5e" + "5E" * 31 + "canary"[:0],
        f"v1.0123abcd.{TOKEN}",
    ],
)
def test_what_looks_like_a_secret_is_removed(text: str) -> None:
    shown = redacted(text)
    assert CANARY not in shown
    assert "canary" not in shown
    assert "5E5E" not in shown
    assert REMOVED in shown


@given(token=OPAQUE, before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_long_opaque_word_never_stays(token: str, before: str, after: str) -> None:
    assert token not in redacted(f"{before} {token} {after}")


@pytest.mark.parametrize(
    "text",
    [
        "SpotifyUnavailable: https://api.spotify.com/v1/tracks/4uLU6hMCjMI75M1A2tKUQC answered 503",
        "run 8a0e2a64-7f0c-4f39-9c3e-0b7f1c2d3e4f of ann-8f9012 failed with code 500",
        "KeyError: 'played_at'",
        "Connect the account again: echostats connect",
    ],
)
def test_what_helps_to_find_the_cause_stays(text: str) -> None:
    assert redacted(text) == text


def test_the_settings_own_secrets_are_removed_whatever_they_look_like() -> None:
    settings = load_settings(
        {
            "MONGO_URI": "mongodb://me:plain%20word@db",
            "ENCRYPTION_KEY": "5e" * 32,
            "SPOTIFY_CLIENT_SECRET": "horse-battery",
            "ECHOSTATS_ALERTS": "ntfy://ntfy.sh/quiet-topic json://u:mypass@h/hook-name",
        },
        env_file=None,
    )
    secrets = configured_secrets(settings)
    for secret in ("plain word", "plain%20word", "horse-battery", "quiet-topic", "mypass", "hook-name", "5e" * 32):
        assert secret not in redacted(f"it said {secret}.", secrets)


def test_a_cause_is_one_line_of_bounded_length() -> None:
    assert one_line("\n\n  first \nsecond") == "first"
    assert len(one_line("word " * 500)) == CAUSE_LENGTH
    assert one_line(" \n") == "The reason is not known"


def test_the_root_cause_is_what_was_written_for_people() -> None:
    chain = [("Failure", "outer"), ("StorageError", "echostats_pipeline.errors.StorageError: ours\n"), ("OSError", "o")]
    assert root_cause(["AppRefused: a", "AppRefused: a", "B: b"], chain, "said") == "AppRefused: a; B: b"
    assert root_cause([], chain, "said") == "StorageError: ours"
    assert root_cause([], [("Failure", "outer"), ("OSError", "disk full")], "said") == "disk full"
    assert root_cause([], [], "said") == "said"


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        ("ReauthorizationNeeded: x", "echostats connect"),
        ("DecryptionError: x", "echostats keys status"),
        ("ZeroDivisionError: x", "echostats doctor"),
    ],
)
def test_there_is_something_to_do_about_every_cause(cause: str, says: str) -> None:
    assert says in advice_for(cause)


def user(**fields: Any) -> User:
    return User(_id=ObjectId(), spotify_id="s", display_name="Ann", partition_key="ann-8f9012", **fields)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"authorized_at": NOW}, None),
        ({}, None),
        ({"authorized_at": NOW - CONSENT_LIFE + timedelta(days=31)}, None),
        ({"authorized_at": NOW - CONSENT_LIFE + timedelta(days=30)}, "consent-30"),
        ({"authorized_at": NOW - CONSENT_LIFE + timedelta(days=7)}, "consent-7"),
        ({"authorized_at": NOW - CONSENT_LIFE - timedelta(days=7)}, "consent-7"),
        ({"status": "needs_reauth", "authorized_at": NOW}, "consent"),
        ({"status": "paused"}, None),
        ({"status": "paused", "status_reason": "not on the allow-list"}, "paused"),
    ],
)
def test_the_gravest_trouble_of_a_user(fields: dict[str, Any], key: str | None) -> None:
    trouble = user_trouble(user(**fields), NOW)
    assert (trouble and trouble.key) == (key and f"user:ann-8f9012:{key}")
    assert trouble is None or trouble.advice


def incident(**fields: Any) -> Incident:
    stated = {"key": "k", "kind": "run", "subject": "user_sync failed", "cause": "X: why", "advice": "do this"}
    return Incident.model_validate(
        {**stated, "run_id": "r1", "job_name": "user_sync", "opened_at": NOW, "last_seen_at": NOW, **fields}
    )


def test_a_notice_begins_with_the_cause_and_says_where_to_look_and_what_to_do() -> None:
    notice = words(incident(user_key="ann-8f9012"), "http://127.0.0.1:3000")
    assert notice.title == "user_sync failed"
    assert notice.body.splitlines()[0] == "X: why"
    for part in ("do this", "ann-8f9012", "user_sync", "http://127.0.0.1:3000/runs/r1"):
        assert part in notice.body
    assert not notice.good
    assert "Run: r1" in words(incident(), None).body


def test_the_end_is_told_with_what_it_was() -> None:
    notice = words(incident(closed_at=NOW + timedelta(hours=1), count=3), None)
    assert notice.good
    assert notice.title == "Resolved: user_sync failed"
    assert notice.body.splitlines()[0] == "Over: X: why"
    assert "3 times" in notice.body
