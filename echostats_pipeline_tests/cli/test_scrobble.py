"""``echostats scrobble``, its job and its sensor, against the simulated ListenBrainz."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from echostats_pipeline.accounts.removal import remove_user
from echostats_pipeline.accounts.scrobbling import SIMULATED
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.sensors import unsent_plays
from echostats_pipeline.simulator.listenbrainz import WRONG_TOKEN
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import NOW, Installation, Pipeline
from echostats_pipeline_tests.orchestration.automation.test_sensors import tick
from echostats_pipeline_tests.stages.test_ingestion import sync

TOKEN = "scrobble-canary-token"


@pytest.fixture
def user(installation: Installation) -> User:
    user = installation.connect()
    sync(installation, user)
    return user


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def kept(installation: Installation) -> list[Any]:
    listens: list[Any] = installation.simulator.controls.listens.report()["listens"]
    return listens


def test_the_command_sends_once_stores_the_token_encrypted_and_stops(
    installation: Installation, user: User, token_file: Path, echostats: Echostats
) -> None:
    to = ("--to", f"{installation.simulator.base_url}/1/submit-listens", "--token-file", str(token_file))
    tried = echostats("scrobble", *to, "--dry-run")
    assert "plays would be sent to" in tried.stdout
    assert (kept(installation), installation.store.scrobbles.targets()) == ([], [])
    ended = echostats("scrobble", "--user", user.display_name, *to)
    assert ended.returncode == 0, ended.stderr
    sent = len(kept(installation))
    assert f"Sent {sent} plays of {user.display_name} to {installation.simulator.base_url}." in ended.stdout
    assert re.findall(r"(\d+) plays would", tried.stdout) == [str(sent)]
    assert TOKEN not in ended.stdout + ended.stderr
    assert "Sent 0 plays" in echostats("scrobble").stdout
    (job, _) = installation.store.db["sync_jobs"].find({"job_type": "rollup_build"}).sort("_id")
    assert (job["status"], job["items_processed"], job["steps"][0]["action"]) == ("completed", sent, "sent_plays")
    assert job["steps"][0]["counts"]["sent"] == sent
    stopped = echostats("scrobble", *to[:2], "--stop")
    assert "not sent" in stopped.stdout
    assert installation.store.scrobbles.targets() == []
    assert installation.store.db["sent_plays"].count_documents({}) == sent
    assert "not sent anywhere" in refused(echostats("scrobble"))
    remove_user(installation.store, user, NOW)
    assert installation.store.db["sent_plays"].count_documents({}) == 0


@pytest.mark.parametrize(
    ("content", "why"),
    [(WRONG_TOKEN, "does not accept the token"), ("", "is empty"), ("two words", "nothing else"), (None, "be read")],
)
def test_a_wrong_token_is_an_error_and_nothing_is_stored(
    installation: Installation, user: User, tmp_path: Path, echostats: Echostats, content: str | None, why: str
) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    ended = echostats("scrobble", "--to", installation.simulator.base_url, "--token-file", str(tmp_path / "token"))
    assert why in refused(ended)
    assert installation.store.scrobbles.targets(user.user_id) == []


def test_a_simulated_user_is_not_sent_to_listenbrainz_and_a_service_needs_a_token(
    installation: Installation, user: User, token_file: Path, echostats: Echostats
) -> None:
    assert user.simulated
    ended = echostats("scrobble", "--to", "listenbrainz", "--token-file", str(token_file))
    assert "is simulated" in refused(ended)
    sent = echostats("scrobble", "--to", "simulated", "--token-file", str(token_file))
    assert f"Sent {len(kept(installation))} plays of {user.display_name} to the simulated ListenBrainz." in sent.stdout
    assert [target.target for target in installation.store.scrobbles.targets()] == [SIMULATED]
    installation.store.users._users.update_one({}, {"$set": {"simulated": False}})
    ended = echostats("scrobble", "--to", "simulated", "--token-file", str(token_file))
    assert "for simulated users" in refused(ended)
    asked = echostats("scrobble", "--to", installation.simulator.base_url)
    assert (asked.returncode, "--token-file" in asked.stderr) == (2, True)
    assert echostats("scrobble", "--stop").returncode == 2


def test_the_sensor_asks_for_a_run_only_for_users_with_a_service_and_something_to_send(
    pipeline: Pipeline, token_file: Path, echostats: Echostats
) -> None:
    user = pipeline.connect()
    sync(pipeline.installation, user)
    assert isinstance(tick(pipeline, unsent_plays), dg.SkipReason)
    url = pipeline.installation.simulator.base_url
    assert echostats("scrobble", "--to", url, "--token-file", str(token_file)).returncode == 0
    before = len(kept(pipeline.installation))
    # The command's clock is that of the machine; the pipeline's here stands still, before it.
    assert isinstance(tick(pipeline, unsent_plays), dg.SkipReason)
    history = pipeline.store.db["listening_history"]
    play = history.find_one({}, {"_id": 0}, sort=[("played_at", 1)])
    assert play is not None
    with pipeline.store.marks.changing(user.user_id, ["2025-06-01"]):
        history.insert_one({**play, "played_at": NOW.replace(day=1)})
    (request,) = tick(pipeline, unsent_plays)
    assert request.partition_key == user.partition_key
    assert pipeline.run("scrobble_build", partition_key=user.partition_key).success
    assert len(kept(pipeline.installation)) == before + 1
    assert isinstance(tick(pipeline, unsent_plays), dg.SkipReason)
