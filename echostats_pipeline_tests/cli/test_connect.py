"""Connecting an account by pasting an address, against the simulated Spotify."""

from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner, Result

from echostats_pipeline.cli import connect as module
from echostats_pipeline.cli.connect import code_from_redirect, connect
from echostats_pipeline.errors import EchostatsError, SpotifyError
from echostats_pipeline_tests.conftest import Installation, documents

from .conftest import Echostats, refused

Browser = Callable[[str], str]


@pytest.fixture
def run(installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Runs the command in this process; the browser gets the printed address and returns what is pasted."""
    monkeypatch.chdir(tmp_path)

    def connected(browser: Browser, *arguments: str) -> Result:
        shown: list[str] = []
        with monkeypatch.context() as patch:
            echo = module.click.echo
            patch.setattr(module.click, "echo", lambda text, **more: (shown.append(str(text)), echo(text, **more)))
            patch.setattr(
                module.click,
                "prompt",
                lambda _: browser(next(word for text in shown for word in text.split() if word.startswith("http"))),
            )
            return CliRunner(env=dict(installation.environ)).invoke(connect, arguments)

    return connected


def consenting(user_id: str) -> Browser:
    def browse(address: str) -> str:
        answer = requests.get(f"{address}&login_as={user_id}", allow_redirects=False, timeout=10)
        return answer.headers["Location"]

    return browse


def test_a_consent_becomes_a_user(installation: Installation, run: Callable[..., Result]) -> None:
    person = installation.simulator.world.users[0]
    ended = run(consenting(person.id), "--timezone", "Asia/Tokyo")
    assert ended.exit_code == 0, ended.exception
    (user,) = installation.store.users.all()
    assert (user.spotify_id, user.timezone, user.status) == (person.id, "Asia/Tokyo", "active")
    assert user.partition_key in ended.output
    assert installation.store.users.tokens(user.user_id)


def test_connecting_again_is_the_same_user(installation: Installation, run: Callable[..., Result]) -> None:
    person = installation.simulator.world.users[0]
    for _ in range(2):
        assert run(consenting(person.id)).exit_code == 0
    assert len(installation.store.users.all()) == 1


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        (consenting(""), "did not grant"),
        (lambda address: consenting("")(address).replace("access_denied", "x"), "did not grant"),
        (lambda _: "http://127.0.0.1:8888/callback?code=abc&state=another", "another"),
        (lambda _: "not an address", "echostats connect"),
        (lambda _: "http://[", "echostats connect"),
    ],
)
def test_a_refused_or_foreign_consent_stores_nothing(
    installation: Installation, run: Callable[..., Result], pasted: Browser, said: str
) -> None:
    ended = run(pasted)
    assert isinstance(ended.exception, EchostatsError), ended.exception
    assert said in str(ended.exception)
    assert documents(installation.store.db, "users") == documents(installation.store.db, "spotify_tokens") == []


def test_a_code_that_was_altered_is_refused(installation: Installation, run: Callable[..., Result]) -> None:
    person = installation.simulator.world.users[0]
    ended = run(lambda address: consenting(person.id)(address).replace("code=AC", "code=AB"))
    assert isinstance(ended.exception, SpotifyError)
    assert documents(installation.store.db, "users") == []


def test_an_unknown_time_zone_is_refused_before_anything_is_stored(
    installation: Installation, run: Callable[..., Result]
) -> None:
    person = installation.simulator.world.users[0]
    ended = run(consenting(person.id), "--timezone", "Europe/Nowhere")
    assert ended.exit_code != 0
    assert documents(installation.store.db, "users") == []


def test_without_any_spotify_it_is_said_what_to_start(echostats: Echostats, installation: Installation) -> None:
    (installation.settings.home / "simulator.json").unlink()
    assert "SPOTIFY_CLIENT_ID" in refused(echostats("connect"))


def test_an_end_of_input_is_no_traceback(echostats: Echostats, installation: Installation) -> None:
    ended = echostats("connect")
    assert ended.returncode == 130
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("more", ["", "&x=1", "#fragment"])
def test_the_code_is_read_from_whatever_surrounds_it(more: str) -> None:
    assert code_from_redirect(f"  http://127.0.0.1:8888/callback?code=abc&state=s{more}\n", "s") == "abc"
