import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.errors import SpotifyUnreachable
from echostats_pipeline.spotify.transport import LOGGED_QUERY_NAMES, Handler, Request, RequestsHandler, Response

CANARY = "canary-1f3a9c"
names = st.text(max_size=12).filter(lambda name: name not in LOGGED_QUERY_NAMES)


@given(
    before=st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6)), max_size=3),
    name=names,
    glue=st.text(max_size=4),
)
def test_an_endpoint_never_shows_a_secret_whatever_the_query(
    before: list[tuple[str, str]], name: str, glue: str
) -> None:
    in_params = Request("GET", "https://api.spotify.com/v1/me", params={**dict(before), name: glue + CANARY})
    prepared = requests.Request(
        "GET", "https://api.spotify.com/v1/me", params=[*before, (name, CANARY + glue)]
    ).prepare()
    in_url = Request("GET", prepared.url or "")
    as_name = Request("GET", f"https://user:{CANARY}@api.spotify.com/v1/me?{CANARY}#{CANARY}", params={CANARY: name})
    for request in (in_params, in_url, as_name):
        assert CANARY not in request.endpoint
        assert CANARY not in repr(request)
        assert request.endpoint.startswith("/v1/me")


def test_an_endpoint_shows_harmless_parameters_and_hides_the_others() -> None:
    request = Request("GET", "https://api.spotify.com/v1/tracks?limit=50&locale=*", params={"ids": "a,b", "code": "x"})
    assert request.endpoint == "/v1/tracks?limit=50&locale=…&ids=a,b&code=…"


def test_neither_request_nor_response_shows_credentials() -> None:
    request = Request(
        "POST", "https://x/api/token", form={"code": CANARY}, headers={"Authorization": f"Bearer {CANARY}"}
    )
    response = Response(200, {"set-cookie": CANARY}, CANARY.encode())
    assert CANARY not in repr(request) + repr(response)
    assert request.redacted(f"bad token {CANARY}.") == "bad token …."


def test_a_header_is_found_in_any_case() -> None:
    assert Response(429, {"retry-after": "7"}).header("Retry-After") == "7"
    assert Response(429).header("Retry-After") is None


Seen = list[tuple[str, str, dict[str, str], bytes]]


class Recorder(BaseHTTPRequestHandler):
    """Responds by path and records every request of the test."""

    seen: Seen

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        type(self).seen.append((self.command, self.path, dict(self.headers), body))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
        elif self.path == "/broken":
            self.send_response(200)
            self.send_header("Content-Length", "100")
        else:
            self.send_response(503 if self.path == "/busy" else 200)
            self.send_header("Set-Cookie", "session=secret")
        self.end_headers()
        if self.path != "/moved":
            self.wfile.write(b'{"a": 1}')

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *args: object) -> None:
        """Print nothing on the console."""


@pytest.fixture
def server() -> Iterator[tuple[str, Seen]]:
    handler = type("Handler", (Recorder,), {"seen": []})
    with HTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", handler.seen
        http.shutdown()
        thread.join()


@pytest.fixture
def send() -> Iterator[Handler]:
    with requests.Session() as session:
        yield RequestsHandler(session, connect_timeout=2, read_timeout=0.2)


def test_a_request_arrives_whole(server: tuple[str, Seen], send: Handler) -> None:
    url, seen = server
    response = send(
        Request("POST", f"{url}/api/token", params={"a": "b"}, form={"code": "x y"}, headers={"X-Own": "1"})
    )
    method, path, headers, body = seen[0]
    assert (method, path, body) == ("POST", "/api/token?a=b", b"code=x+y")
    assert (headers["X-Own"], headers["Content-Type"]) == ("1", "application/x-www-form-urlencoded")
    assert (response.status_code, response.json(), response.ok) == (200, {"a": 1}, True)


@pytest.mark.parametrize(("path", "status"), [("/moved", 302), ("/busy", 503)])
def test_redirects_are_not_followed_and_nothing_is_repeated(
    server: tuple[str, Seen], send: Handler, path: str, status: int
) -> None:
    url, seen = server
    assert send(Request("GET", url + path)).status_code == status
    assert len(seen) == 1


def test_cookies_of_one_call_do_not_travel_with_the_next(server: tuple[str, Seen], send: Handler) -> None:
    url, seen = server
    for _ in range(2):
        send(Request("GET", url))
    assert all("Cookie" not in headers for _, _, headers, _ in seen)


def test_a_netrc_file_does_not_replace_our_authorization(
    server: tuple[str, Seen], send: Handler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, seen = server
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    send(Request("GET", url, headers={"Authorization": "Bearer mine"}))
    assert seen[0][2]["Authorization"] == "Bearer mine"


def test_a_broken_off_answer_is_no_answer(server: tuple[str, Seen], send: Handler) -> None:
    with pytest.raises(SpotifyUnreachable, match="broke"):
        send(Request("GET", f"{server[0]}/broken"))


def test_no_answer_says_what_where_and_what_next(send: Handler) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        request = Request("GET", f"http://{address}/v1/me?token={CANARY}", purpose="reading the user's profile")
        with pytest.raises(SpotifyUnreachable) as timed_out:
            send(request)
    with pytest.raises(SpotifyUnreachable, match="refused"):
        send(request)
    message = str(timed_out.value)
    for part in (address, "GET /v1/me", "reading the user's profile", "timed out", "Check the network"):
        assert part in message
    assert CANARY not in message


def test_every_failure_of_requests_is_unreachable_and_quotes_nothing(
    send: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kinds(of: type[requests.RequestException]) -> Iterator[type[requests.RequestException]]:
        yield of
        for kind in of.__subclasses__():
            yield from kinds(kind)

    for kind in set(kinds(requests.RequestException)) - {requests.JSONDecodeError}:

        def fail(*args: object, kind: type[requests.RequestException] = kind, **kwargs: object) -> None:
            raise kind(CANARY)

        monkeypatch.setattr(requests.Session, "request", fail)
        with pytest.raises(SpotifyUnreachable) as failure:
            send(Request("GET", "https://api.spotify.com/v1/me"))
        assert CANARY not in str(failure.value)
