"""The simulated ListenBrainz takes listens as the real one does, with its limits and its errors."""

import json
from typing import Any

import pytest
import requests

from echostats_pipeline.simulator.listenbrainz import ACCOUNT, FIRST_SECOND, LARGEST_LISTEN, MOST_LISTENS, WRONG_TOKEN
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline_tests.simulator.conftest import NOW

AT = int(NOW.timestamp()) - 1_000


def listen(at: Any = AT, **metadata: Any) -> dict[str, Any]:
    return {"listened_at": at, "track_metadata": {"artist_name": "Ann", "track_name": "Song", **metadata}}


def submit(simulator: RunningSimulator, *listens: Any, kind: str = "import", token: str = "mine") -> requests.Response:
    return requests.post(
        f"{simulator.base_url}/1/submit-listens",
        json={"listen_type": kind, "payload": list(listens)},
        headers={"Authorization": f"Token {token}"} if token else {},
        timeout=10,
    )


def test_a_token_is_valid_or_not(own_simulator: RunningSimulator) -> None:
    def validated(**headers: str) -> requests.Response:
        return requests.get(f"{own_simulator.base_url}/1/validate-token", headers=headers, timeout=10)

    valid = validated(Authorization="Token mine")
    assert (valid.json()["valid"], valid.json()["user_name"]) == (True, ACCOUNT)
    wrong = validated(Authorization=f"Token {WRONG_TOKEN}")
    assert (wrong.status_code, wrong.json()["valid"]) == (200, False)
    assert validated().status_code == 400
    assert submit(own_simulator, listen(), token=WRONG_TOKEN).status_code == 401
    assert submit(own_simulator, listen(), token="").status_code == 401


def test_the_same_listen_is_kept_once_and_counted(own_simulator: RunningSimulator) -> None:
    assert submit(own_simulator, listen(), kind="single").json() == {"status": "ok"}
    assert submit(own_simulator, listen(), listen(AT + 5)).ok
    assert submit(own_simulator, listen(release_name="Album")).ok
    told = requests.get(f"{own_simulator.base_url}/simulator/listens", timeout=10).json()
    assert (told["received"], told["exact_doubles"], told["other_contents"]) == (4, 2, 1)
    assert told["listens"] == [listen(), listen(AT + 5)]


@pytest.mark.parametrize(
    "wrong",
    [
        listen(FIRST_SECOND - 1),
        listen(AT + 9_000),
        listen("soon"),
        listen(track_name=""),
        listen(artist_name=None),
        listen(release_name=" "),
        listen(track_name="a\0"),
        listen(additional_info={"duration": 3, "duration_ms": 3_000}),
        listen(additional_info={"duration_ms": 0}),
        listen(additional_info={"x": "y" * LARGEST_LISTEN}),
        {"listened_at": AT},
    ],
    ids=lambda wrong: json.dumps(wrong)[:70],
)
def test_one_wrong_listen_refuses_the_request(own_simulator: RunningSimulator, wrong: dict[str, Any]) -> None:
    refused = submit(own_simulator, listen(), wrong)
    assert refused.status_code == 400
    assert refused.json()["error"]
    assert own_simulator.controls.listens.report()["received"] == 0


def test_a_request_holds_a_thousand_listens_and_a_single_one(own_simulator: RunningSimulator) -> None:
    many = [listen(AT - number) for number in range(MOST_LISTENS + 1)]
    assert submit(own_simulator, *many[1:]).ok
    assert submit(own_simulator, *many).status_code == 400
    assert submit(own_simulator, *many[:2], kind="single").status_code == 400
    assert submit(own_simulator).status_code == 400
    assert submit(own_simulator, listen(), kind="other").status_code == 400


def test_too_many_calls_are_told_when_to_come_again(own_simulator: RunningSimulator) -> None:
    own_simulator.behave(listenbrainz_limit=1)
    assert submit(own_simulator, listen()).ok
    refused = submit(own_simulator, listen())
    assert (refused.status_code, refused.headers["X-RateLimit-Reset-In"]) == (429, "10")
