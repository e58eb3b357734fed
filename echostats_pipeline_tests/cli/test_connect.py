"""Connecting an account through the browser or a pasted address, against the simulated Spotify."""

import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
import requests
from click.core import ParameterSource
from click.testing import CliRunner, Result
from pydantic import SecretStr

from echostats_pipeline.accounts import connecting
from echostats_pipeline.cli import connect as module
from echostats_pipeline.cli.connect import connect, machine_timezone
from echostats_pipeline.cli.redirect import NotServed, served
from echostats_pipeline.errors import AppRefused, ConsentNotGiven, EchostatsError, ReauthorizationNeeded
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import Installation, documents

Browser = Callable[[str], object]
"""What happens with the address of the consent page."""


class Desk:
    """A person at a computer: a browser that opens automatically if there is one, and a terminal to paste into."""

    def __init__(self, environ: dict[str, str], patch: pytest.MonkeyPatch) -> None:
        self._environ = environ
        self._patch = patch
        self._threads: list[threading.Thread] = []
        self.pages: list[requests.Response] = []
        self.opened: list[str] = []

    def connect(self, *arguments: str, browser: Browser | None = None, paste: Browser | None = None) -> Result:
        """Run the command. `browser` fetches pages from a thread; `paste` returns the pasted text."""
        shown: list[str] = []

        def opens(address: str) -> bool:
            self.opened.append(address)
            if browser is None:
                return False
            self._threads.append(threading.Thread(target=browser, args=(address,)))
            self._threads[-1].start()
            return True

        def pasted(_: str) -> object:
            assert paste is not None, "nothing was to be pasted"
            return paste(next(word for text in shown for word in text.split() if "/authorize?" in word))

        with self._patch.context() as patch:
            echo = click.echo
            patch.setattr(module.click, "echo", lambda text, **more: (shown.append(str(text)), echo(text, **more)))
            patch.setattr(module.click, "prompt", pasted)
            patch.setattr(webbrowser, "open", opens)
            ended = CliRunner(env=self._environ).invoke(connect, arguments)
        for thread in self._threads:
            thread.join(10)
        return ended

    def set(self, **environ: str) -> None:
        self._environ.update(environ)

    def visits(self, user_id: str, *before: str) -> Browser:
        """A browser that signs in, after it has opened other pages of the redirect address."""

        def browse(address: str) -> None:
            for path in before:
                self.pages.append(requests.get(f"{self._environ['SPOTIFY_REDIRECT_URI']}{path}", timeout=10))
            self.pages.append(requests.get(f"{address}&login_as={user_id}", timeout=20))

        return browse


def pasting(user_id: str) -> Browser:
    def browse(address: str) -> str:
        answer = requests.get(f"{address}&login_as={user_id}", allow_redirects=False, timeout=10)
        return answer.headers["Location"]

    return browse


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def desk(installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desk:
    """A desk whose redirect address is a free port of this machine, in a separate time zone."""
    monkeypatch.chdir(tmp_path)
    redirect_uri = f"http://127.0.0.1:{free_port()}/callback"
    return Desk({**installation.environ, "SPOTIFY_REDIRECT_URI": redirect_uri, "TZ": "Asia/Tokyo"}, monkeypatch)


@pytest.fixture
def person(installation: Installation) -> Iterator[str]:
    before = installation.simulator.behaviour
    yield installation.simulator.world.users[0].id
    installation.simulator.controls.behaviour = before


def nothing_is_stored(installation: Installation) -> bool:
    return documents(installation.store.db, "users") == documents(installation.store.db, "spotify_tokens") == []


def test_the_browser_comes_back_and_the_user_is_connected(installation: Installation, desk: Desk, person: str) -> None:
    ended = desk.connect(browser=desk.visits(person))
    assert ended.exit_code == 0, ended.exception
    (user,), (page,) = installation.store.users.all(), desk.pages
    assert (user.spotify_id, user.timezone, user.status) == (person, "Asia/Tokyo", "active")
    assert installation.store.users.tokens(user.user_id)
    assert user.partition_key in ended.output
    assert "Asia/Tokyo" in ended.output
    assert desk.opened[0] in ended.output
    assert "code_challenge=" in desk.opened[0]
    assert page.status_code == 200
    assert f"Connected as {user.display_name}" in page.text
    assert "close this window" in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert "code=" not in ended.output.replace(desk.opened[0], "")


def test_with_a_client_secret_there_is_no_verifier(
    installation: Installation, desk: Desk, person: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SPOTIFY_ACCOUNTS_URL", "SPOTIFY_API_URL"):
        monkeypatch.setattr(connecting, name, installation.simulator.base_url)
    desk.set(SPOTIFY_CLIENT_ID="5e" * 16, SPOTIFY_CLIENT_SECRET="canary-secret")
    ended = desk.connect(browser=desk.visits(person))
    assert ended.exit_code == 0, ended.exception
    assert "code_challenge" not in desk.opened[0]
    assert "canary" not in ended.output
    assert installation.store.users.all(simulated=False)


def test_a_page_of_another_attempt_or_of_nothing_does_not_end_this_one(
    installation: Installation, desk: Desk, person: str
) -> None:
    ended = desk.connect(browser=desk.visits(person, "/favicon.ico", "?code=abc&state=another", ""))
    assert ended.exit_code == 0, ended.exception
    assert [page.status_code for page in desk.pages] == [404, 400, 400, 200]
    assert "another attempt" in desk.pages[1].text
    assert "Still waiting" in ended.output
    assert len(installation.store.users.all()) == 1


def test_a_refused_consent_is_said_in_the_browser_and_in_the_terminal(installation: Installation, desk: Desk) -> None:
    ended = desk.connect(browser=desk.visits(""))
    assert isinstance(ended.exception, ConsentNotGiven)
    assert "declined" in str(ended.exception)
    assert desk.pages[0].status_code == 400
    assert "declined" in desk.pages[0].text
    assert nothing_is_stored(installation)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"allowed_users": frozenset()}, "User Management"),
        ({"premium_owner": False}, "needs Spotify Premium"),
    ],
)
def test_what_spotify_refuses_after_the_consent_is_said_with_what_to_do(
    installation: Installation, desk: Desk, person: str, changes: dict[str, object], said: str
) -> None:
    installation.simulator.behave(regime="restricted_dev", **changes)
    ended = desk.connect(browser=desk.visits(person))
    assert isinstance(ended.exception, EchostatsError), ended.exception
    assert said in str(ended.exception)
    assert said in desk.pages[0].text
    assert nothing_is_stored(installation)


def test_an_app_that_spotify_does_not_accept_is_said_with_what_to_check(
    installation: Installation, desk: Desk, person: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spotify = connecting.configured_spotify(installation.settings)
    redirect_uri = desk._environ["SPOTIFY_REDIRECT_URI"]
    with_secret = replace(spotify.app, client_secret=SecretStr("canary"), redirect_uri=redirect_uri)
    # The consent is requested for an app with a secret, and the exchange then omits the secret.
    monkeypatch.setattr(module, "configured_spotify", lambda _: replace(spotify, app=with_secret))
    ended = desk.connect(browser=desk.visits(person))
    assert isinstance(ended.exception, AppRefused), ended.exception
    for shown in (str(ended.exception), desk.pages[0].text):
        assert "Check SPOTIFY_CLIENT_ID and SPOTIFY_CLIENT_SECRET" in shown
        assert "canary" not in shown
    assert nothing_is_stored(installation)


def test_what_a_page_shows_is_text(desk: Desk, person: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise EchostatsError("<script>alert(1)</script> & more")

    monkeypatch.setattr(module, "connect_account", refuses)
    assert desk.connect(browser=desk.visits(person)).exit_code == 1
    assert "<script>" not in desk.pages[0].text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in desk.pages[0].text


def test_a_browser_that_never_comes_back_is_not_waited_for_forever(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.1)
    ended = desk.connect(browser=lambda _: None)
    assert isinstance(ended.exception, ConsentNotGiven)
    for part in ("Invalid redirect URI", "Redirect URIs of the app", "SPOTIFY_CLIENT_ID", "--no-browser"):
        assert part in str(ended.exception)


def test_errors_that_only_spotifys_page_shows_are_explained_beside_the_address(desk: Desk, person: str) -> None:
    for ended in (desk.connect(browser=desk.visits(person)), desk.connect("--no-browser", paste=pasting(person))):
        said = next(line for line in ended.output.splitlines() if "INVALID_CLIENT: Invalid client" in line)
        assert "check SPOTIFY_CLIENT_ID" in said
        assert f"INVALID_CLIENT: Invalid redirect URI', add exactly {desk._environ['SPOTIFY_REDIRECT_URI']}" in said
        assert "https://developer.spotify.com/dashboard" in said


def test_a_connection_that_says_nothing_holds_nobody_up(desk: Desk, person: str) -> None:
    uri = desk._environ["SPOTIFY_REDIRECT_URI"]
    port = int(uri.split(":")[2].split("/")[0])

    def browse(address: str) -> None:
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as broken:
            broken.sendall(b"nonsense\r\n\r\n")
            desk.visits(person)(address)

    ended = desk.connect(browser=browse)
    assert ended.exit_code == 0, ended.exception
    assert "Traceback" not in ended.output


@pytest.mark.parametrize("why", ["--no-browser", "no browser", "not this machine", "port taken"])
def test_without_a_way_back_the_address_is_pasted(
    installation: Installation, desk: Desk, person: str, why: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken_port = taken.getsockname()[1]
        if why == "not this machine":
            desk.set(SPOTIFY_REDIRECT_URI="https://example.org/callback")
        if why == "port taken":
            desk.set(SPOTIFY_REDIRECT_URI=f"http://127.0.0.1:{taken_port}/callback")
        options = [why] if why.startswith("--") else []
        ended = desk.connect(*options, paste=pasting(person))
    assert ended.exit_code == 0, ended.exception
    assert len(installation.store.users.all()) == 1
    assert bool(desk.opened) == (why == "no browser")
    named = f"127.0.0.1:{taken_port} is in use by another program" in ended.output
    assert named == (why == "port taken")
    assert ("choose another port in SPOTIFY_REDIRECT_URI" in ended.output) == named


def test_connecting_again_renews_the_same_user(installation: Installation, desk: Desk, person: str) -> None:
    assert desk.connect("--timezone", "Europe/Berlin", browser=desk.visits(person)).exit_code == 0
    (first,) = installation.store.users.all()
    installation.store.users.set_status(first.user_id, "needs_reauth")
    ended = desk.connect("--timezone", "America/Lima", browser=desk.visits(person))
    (again,) = installation.store.users.all()
    assert (again.id, again.partition_key, again.status) == (first.id, first.partition_key, "active")
    assert first.authorized_at is not None
    assert again.authorized_at is not None
    assert again.authorized_at > first.authorized_at
    assert again.timezone == "Europe/Berlin"
    assert "days in Europe/Berlin" in ended.output


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        (pasting(""), "declined"),
        (lambda address: str(pasting("")(address)).replace("access_denied", "x"), "did not grant"),
        (lambda _: "http://127.0.0.1:8888/callback?code=abc&state=another", "another attempt"),
        (lambda _: "INVALID_CLIENT: Invalid redirect URI", "Redirect URIs of the app"),
        (lambda _: "not an address", "echostats connect"),
        (lambda _: "http://[", "echostats connect"),
    ],
)
def test_a_refused_or_foreign_consent_stores_nothing(
    installation: Installation, desk: Desk, pasted: Browser, said: str
) -> None:
    ended = desk.connect("--no-browser", paste=pasted)
    assert isinstance(ended.exception, EchostatsError), ended.exception
    assert said in str(ended.exception)
    assert nothing_is_stored(installation)


def test_a_code_that_was_altered_is_refused(installation: Installation, desk: Desk, person: str) -> None:
    altered: Browser = lambda address: str(pasting(person)(address)).replace("code=AC", "code=AB")  # noqa: E731
    assert isinstance(desk.connect("--no-browser", paste=altered).exception, ReauthorizationNeeded)
    assert nothing_is_stored(installation)


def test_an_unknown_time_zone_is_refused_before_anything_is_asked(installation: Installation, desk: Desk) -> None:
    ended = desk.connect("--timezone", "Europe/Nowhere")
    assert ended.exit_code == 2
    assert "Europe/Nowhere" in ended.output
    assert desk.opened == []


@pytest.mark.parametrize("client_id", ["my-app", "5e" * 15, "5e" * 17, "zz" * 16, f'"{"5e" * 16}"'])
def test_what_cannot_be_a_client_id_is_refused_before_anything_is_asked(
    installation: Installation, desk: Desk, client_id: str
) -> None:
    desk.set(SPOTIFY_CLIENT_ID=client_id)
    ended = desk.connect()
    assert "must be 32 hexadecimal digits" in str(ended.exception)
    assert client_id not in str(ended.exception)
    assert desk.opened == []


def test_a_machine_without_a_zone_has_the_person_asked_for_theirs(
    installation: Installation, desk: Desk, person: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(text: str, **_: object) -> str:
        asked.append(text)
        return "Europe/Paris"

    terminal = type("Terminal", (), {"isatty": lambda self: True})()
    monkeypatch.setattr(module, "sys", type("System", (), {"stdin": terminal}))
    with click.Context(connect) as context, monkeypatch.context() as patch:
        patch.setattr(module.click, "prompt", answer)
        assert module._asked_timezone("UTC") == "Europe/Paris"
        assert module._asked_timezone("Asia/Tokyo") == "Asia/Tokyo"
        context.set_parameter_source("timezone", ParameterSource.COMMANDLINE)
        assert module._asked_timezone("UTC") == "UTC"
    assert len(asked) == 1
    with pytest.raises(click.UsageError, match="Did you mean Europe/Paris"):
        module._zone_or_again("europe/paris")


def test_where_nobody_can_be_asked_for_a_zone_it_is_said(installation: Installation, desk: Desk, person: str) -> None:
    desk.set(TZ="UTC")
    ended = desk.connect(browser=desk.visits(person))
    assert ended.exit_code == 0, ended.exception
    assert "there is no terminal to ask" in ended.output
    assert installation.store.users.all()[0].timezone == "UTC"
    assert "there is no terminal" not in desk.connect("--timezone", "UTC", browser=desk.visits(person)).output


def test_the_zone_of_this_machine_is_found_or_is_utc(tmp_path: Path) -> None:
    zoneinfo = tmp_path / "usr" / "share" / "zoneinfo" / "Europe" / "Paris"
    zoneinfo.parent.mkdir(parents=True)
    zoneinfo.write_text("")
    linked = tmp_path / "localtime"
    linked.symlink_to(zoneinfo)
    assert machine_timezone("", linked) == "Europe/Paris"
    assert machine_timezone(":America/Lima", linked) == "America/Lima"
    assert machine_timezone("CET-1CEST,M3.5.0", linked) == "Europe/Paris"
    assert machine_timezone("/etc/localtime", tmp_path / "nothing") == "UTC"


@pytest.mark.parametrize("address", ["https://127.0.0.1/x", "http://example.org/x", "http://127.0.0.1:99999/x"])
def test_only_an_address_of_this_machine_is_served(address: str) -> None:
    with served(address) as redirects:
        assert isinstance(redirects, NotServed)


def test_without_any_spotify_it_is_said_what_to_start(echostats: Echostats, installation: Installation) -> None:
    (installation.settings.home / "simulator.json").unlink()
    assert "SPOTIFY_CLIENT_ID" in refused(echostats("connect"))


def test_an_end_of_input_is_no_traceback(echostats: Echostats, installation: Installation) -> None:
    ended = echostats("connect", "--no-browser")
    assert ended.returncode == 130
    assert "Traceback" not in ended.stderr
