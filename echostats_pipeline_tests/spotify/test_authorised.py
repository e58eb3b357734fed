import pytest

from echostats_pipeline.errors import ReauthorizationNeeded
from echostats_pipeline.spotify.authorised import AuthorisingHandler
from echostats_pipeline.spotify.transport import Request
from echostats_pipeline_tests.spotify.fake_transport import Script, answer

REQUEST = Request("GET", "https://api.spotify.com/v1/me", headers={"X-Own": "1"}, user_id="u1")
EXPIRED = answer({"error": {"status": 401, "message": "The access token expired"}}, 401)


class Tokens:
    """Gives "old" first and "new" after a rejection."""

    def __init__(self) -> None:
        self.rejected: list[str] = []

    def access_token(self) -> str:
        return "old"

    def renewed_token(self, rejected: str) -> str:
        self.rejected.append(rejected)
        return "new"


class WithdrawnConsent(Tokens):
    def renewed_token(self, rejected: str) -> str:
        raise ReauthorizationNeeded("connect again")


def sent(script: Script) -> list[str]:
    return [request.headers["Authorization"] for request in script.asked]


def test_a_call_carries_the_token_and_all_else() -> None:
    script, tokens = Script(answer({})), Tokens()
    assert AuthorisingHandler(script, tokens)(REQUEST).status_code == 200
    assert script.asked[0].headers == {"X-Own": "1", "Authorization": "Bearer old"}
    assert script.asked[0].user_id == "u1"
    assert (REQUEST.headers, tokens.rejected) == ({"X-Own": "1"}, [])


def test_a_rejected_token_is_renewed_once() -> None:
    script, tokens = Script(EXPIRED, answer({})), Tokens()
    assert AuthorisingHandler(script, tokens)(REQUEST).status_code == 200
    assert sent(script) == ["Bearer old", "Bearer new"]
    assert tokens.rejected == ["old"]


def test_a_second_rejection_is_returned_as_it_is() -> None:
    script = Script(EXPIRED, EXPIRED)
    assert AuthorisingHandler(script, Tokens())(REQUEST) is EXPIRED
    assert len(script.asked) == 2


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_no_other_status_renews_a_token(status: int) -> None:
    script, tokens = Script(answer({}, status)), Tokens()
    assert AuthorisingHandler(script, tokens)(REQUEST).status_code == status
    assert tokens.rejected == []


def test_a_withdrawn_consent_ends_the_call() -> None:
    script = Script(EXPIRED)
    with pytest.raises(ReauthorizationNeeded):
        AuthorisingHandler(script, WithdrawnConsent())(REQUEST)
    assert len(script.asked) == 1
