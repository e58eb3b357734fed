"""The guard answers a server's own pages and local programs, but not the pages of other sites."""

import asyncio
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.cli.dagster_webserver import GuardedUi, names_of, place_of
from echostats_pipeline.cli.guard import GuardedApp
from echostats_pipeline.cli.simulated import guarded_simulator
from echostats_pipeline_tests.docs.pages import blocks

OWN = {"Host": "127.0.0.1:3000"}
JSON = {"Content-Type": "application/json"}
MUTATION = "mutation { launch { id } }"
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
ANSWERED = 204


async def _application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await send({"type": "http.response.start", "status": ANSWERED, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def asked(
    app: Callable[..., Any],
    method: str,
    address: str,
    headers: dict[str, str] | list[tuple[str, str]],
    kind: str = "http",
) -> int:
    """The status of the response; for a WebSocket 101, or 403 if it is not opened."""
    sent: list[dict[str, Any]] = []
    path, _, query = address.partition("?")
    pairs = headers.items() if isinstance(headers, dict) else headers
    raw = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in pairs]
    scope = {"type": kind, "path": path, "query_string": query.encode(), "headers": raw, "scheme": "http"}
    scope |= {"method": method} if kind == "http" else {"subprotocols": ["graphql-ws"]}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": f"{kind}.disconnect"}

    asyncio.run(app(scope, receive, send))
    if kind == "websocket":
        return 101 if sent[0]["type"] == "websocket.accept" else 403
    return int(sent[0]["status"])


UI = GuardedUi(_application, ("stats.example.org", "tunnel:8443"))


@pytest.mark.parametrize("host", ["127.0.0.1:3000", "localhost:3000", "LOCALHOST:4000", "[::1]:3000", "127.0.0.1"])
def test_names_of_this_machine_are_answered_at_any_port(host: str) -> None:
    assert asked(UI, "GET", "/runs", {"Host": host}) == ANSWERED


@pytest.mark.parametrize("host", ["stats.example.org", "Stats.Example.org:443", "tunnel:8443"])
def test_configured_names_are_answered(host: str) -> None:
    assert asked(UI, "GET", "/runs", {"Host": host}) == ANSWERED


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3000",
        "127.0.0.1.evil.example",
        "localhost.evil.example:3000",
        "tunnel",
        "tunnel:84",
        "evil@127.0.0.1",
        "127.0.0.1:3000/evil",
        "xstats.example.org",
        "192.168.1.5:3000",
        "0.0.0.0:3000",
        "",
        "::1",
        ":",
    ],
)
def test_every_other_name_is_refused_whatever_is_asked(host: str) -> None:
    assert asked(UI, "GET", "/", {"Host": host}) == 403
    assert asked(UI, "POST", "/graphql", {"Host": host, **JSON}) == 403
    assert asked(UI, "GET", "/graphql", {"Host": host}, "websocket") == 403


def test_no_name_or_two_names_are_refused() -> None:
    assert asked(UI, "GET", "/", {}) == 403
    assert asked(UI, "GET", "/", [("Host", "127.0.0.1"), ("Host", "evil.example")]) == 403


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "https://127.0.0.1:3000.evil.example",
        "http://localhost:8080",
        "http://127.0.0.1",
        "http://localhost:3000",
        "chrome-extension://abc",
        "file://",
        "",
        "http://stats.example.org.evil.example",
    ],
)
def test_pages_of_other_origins_are_refused(origin: str) -> None:
    for method, headers in (("POST", JSON), ("GET", {}), ("OPTIONS", {"Access-Control-Request-Method": "POST"})):
        assert asked(UI, method, "/graphql", {**OWN, **headers, "Origin": origin}) == 403
    assert asked(UI, "GET", "/graphql", {**OWN, "Origin": origin}, "websocket") == 403


def test_the_uis_own_pages_ask_what_they_like() -> None:
    for host, origin in (
        ("127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("localhost:3000", "http://localhost:3000"),
        ("stats.example.org", "https://stats.example.org"),
        ("127.0.0.1:3000", "https://stats.example.org"),  # a proxy that does not pass the name on
    ):
        headers = {"Host": host, "Origin": origin, "Sec-Fetch-Site": "same-origin"}
        assert asked(UI, "POST", "/graphql", {**headers, **JSON}) == ANSWERED
        assert asked(UI, "GET", "/graphql", headers, "websocket") == 101


def test_programs_of_this_machine_need_no_origin() -> None:
    assert asked(UI, "POST", "/graphql", {**OWN, "Content-Type": "application/json; charset=utf-8"}) == ANSWERED
    assert asked(UI, "GET", "/graphql", OWN, "websocket") == 101


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_what_a_browser_says_to_come_from_elsewhere_is_refused(site: str) -> None:
    headers = {**OWN, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    assert asked(UI, "GET", "/server_info", headers) == 403
    assert asked(UI, "GET", "/runs", {**headers, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}) == 403


def test_a_link_from_elsewhere_opens_a_page_and_nothing_else() -> None:
    assert asked(UI, "GET", "/runs/1", {**OWN, **LINK}) == ANSWERED
    assert asked(UI, "POST", "/runs/1", {**OWN, **LINK, **JSON}) == 403
    for path in ("/graphql?query={version}", "/logs/a/b/out", "/download_debug/1"):
        assert asked(UI, "GET", path, {**OWN, **LINK}) == 403


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain; a=application/json",
        "application/graphql",
        "application/jsonp",
    ],
)
def test_only_json_is_taken(content_type: str) -> None:
    for path in ("/graphql?query=mutation", "/report_asset_materialization/daily_rollups", "/report_asset_check/a"):
        assert asked(UI, "POST", path, {**OWN, "Content-Type": content_type}) == 415
    assert asked(UI, "POST", "/report_asset_observation/a", OWN) == 415


@pytest.mark.parametrize(
    "query",
    [MUTATION, f"query A {{ a }} {MUTATION}", f"# a comment\n{MUTATION}", "subscription { a }", "mutation{a}"],
)
def test_an_address_changes_nothing(query: str) -> None:
    assert asked(UI, "GET", f"/graphql?{urlencode({'query': query})}", OWN) == 405
    assert asked(UI, "GET", f"/graphql?query={{a}}&{urlencode({'query': query})}", OWN) == 405
    assert asked(UI, "POST", f"/graphql?{urlencode({'query': query})}", {**OWN, **JSON}) == ANSWERED


def test_an_address_may_ask() -> None:
    assert asked(UI, "GET", "/graphql?query={version}", OWN) == ANSWERED
    assert asked(UI, "GET", "/graphql", {**OWN, "Accept": "text/html"}) == ANSWERED
    assert asked(UI, "GET", "/graphql?query={", OWN) == ANSWERED, "the webserver says what is wrong with it"


def test_no_file_is_shown_as_a_notebook() -> None:
    assert asked(UI, "GET", "/notebook?path=/tmp/x.ipynb&repoLocName=a", OWN) == 404


def test_the_switches_of_the_simulator_are_guarded_and_its_accounts_are_not() -> None:
    simulator = guarded_simulator(_application)
    for headers in ({"Host": "evil.example"}, {**OWN, "Origin": "http://evil.example"}):
        assert asked(simulator, "POST", "/simulator/clock", headers) == 403
        assert asked(simulator, "POST", "/api/token", headers) == ANSWERED
    assert asked(simulator, "POST", "/simulator/clock", OWN) == ANSWERED
    assert asked(guarded_simulator(_application, "box"), "GET", "/simulator/clock", {"Host": "box:8899"}) == ANSWERED


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_written_into_names_is_answered_or_refused(host: str, origin: str) -> None:
    assert asked(GuardedApp(_application), "GET", "/", {"Host": host, "Origin": origin}) == 403


def test_the_webserver_listens_on_this_machine_unless_an_address_is_given() -> None:
    assert place_of("3000") == ("127.0.0.1", 3000)
    assert place_of("0.0.0.0:80") == ("0.0.0.0", 80)
    assert place_of("[::]:80") == ("::", 80)


def test_the_webserver_of_a_deployment_takes_its_names_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOSTATS_UI_HOSTS", "Stats.example.org, box:3000")
    assert names_of(()) == ("stats.example.org", "box:3000")
    assert names_of(("other",)) == ("other",), "those that it was started with"
    monkeypatch.delenv("ECHOSTATS_UI_HOSTS")
    assert names_of(()) == ()


def test_the_proxies_of_the_recipe_pass_on_what_the_guard_needs() -> None:
    """A browser at the proxy's address, whose password the proxy has checked."""
    (nginx,), (caddy,) = blocks("nginx", "operate/security.md"), blocks("caddyfile", "operate/security.md")
    name = "stats.example.org"
    browser = {
        "Host": name,
        "Origin": f"https://{name}",
        "Sec-Fetch-Site": "same-origin",
        "Authorization": "Basic YQ==",
    }
    set_by_it = dict(re.findall(r"proxy_set_header (\S+) (\S+);", nginx))
    assert set_by_it == {
        "Host": "$http_host",  # without it, nginx sends that of proxy_pass
        "Upgrade": "$http_upgrade",  # both are lost at each hop: without them, no WebSocket opens
        "Connection": "$connection_upgrade",
    }
    assert "proxy_http_version 1.1;" in nginx
    assert nginx.count("auth_basic") == 2
    assert "header" not in caddy, "it passes on all of them by itself"
    for recipe in (nginx, caddy):
        assert name in recipe
        assert "127.0.0.1:3000" in recipe
    assert asked(UI, "GET", "/graphql", browser, "websocket") == 101
    assert asked(UI, "POST", "/graphql", {**browser, **JSON}) == ANSWERED
    elsewhere = {**browser, "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert asked(UI, "POST", "/graphql", {**elsewhere, **JSON}) == 403, "with a password that the browser has kept"
