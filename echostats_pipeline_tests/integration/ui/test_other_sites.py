"""Pages of other sites in the user's browser, even under a name that points to this machine, cannot reach the UI.

The switch that they try to turn is harmless and shows whether it was turned.
"""

import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline_tests.integration.browser_driver import CHROMEDRIVER, CHROMIUM, OTHER_SITE, Browser
from echostats_pipeline_tests.integration.up_process import Shown

pytestmark = [
    pytest.mark.xdist_group("ui"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
    pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver"),
]

TURNED = "query { instance { autoMaterializePaused } }"
TURN = "mutation { setAutoMaterializePaused(paused: %s) }"
ATTACK = """
const [target, mutation, done] = arguments, address = `${target}/graphql?query=${encodeURIComponent(mutation)}`;
const tried = (promise) => promise.then((answer) => answer.type + answer.status, (error) => "failed");
const socket = new Promise((said) => {
  const opened = new WebSocket(address.replace("http", "ws"), "graphql-ws");
  opened.onopen = () => said("opened");
  opened.onerror = () => said("failed");
});
const submitted = new Promise((said) => {
  const frame = Object.assign(document.createElement("iframe"), { name: "hidden", onload: () => said("sent") });
  const form = Object.assign(document.createElement("form"),
    { method: "POST", action: address, enctype: "text/plain", target: "hidden" });
  document.body.append(frame, form);
  form.submit();
});
const image = new Promise((said) => { new Image().src = address; setTimeout(said, 1000, "sent"); });
const json = { method: "POST", headers: { "Content-Type": "application/json" }, body: `{"query": "${mutation}"}` };
Promise.all([
  tried(fetch(address, { mode: "no-cors" })),
  tried(fetch(address, { mode: "no-cors", method: "POST", body: "x" })),
  tried(fetch(`${target}/graphql`, { ...json, mode: "no-cors" })),
  tried(fetch(`${target}/graphql`, json)),
  socket, submitted, image,
]).then(done);
"""
ASK = """
const [query, done] = arguments;
fetch("/graphql", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ query }) })
  .then((answer) => answer.text().then((text) => done([answer.status, text])));
"""
FOLLOW = """
const [done] = arguments, socket = new WebSocket(`ws://${location.host}/graphql`, "graphql-ws");
socket.onopen = () => done("opened");
socket.onerror = () => done("failed");
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Another site, with a page on it."""
    (tmp_path / "index.html").write_text("<!doctype html><title>Harmless</title><p>Nothing to see")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        yield f"http://{OTHER_SITE}:{server.server_port}/"
        server.shutdown()


def is_turned(ui: Shown) -> Any:
    return not ui.ask(TURNED)["instance"]["autoMaterializePaused"]


def test_a_page_of_another_site_turns_no_switch(ui: Shown, page: Browser, site: str) -> None:
    for address in (site, site.replace(OTHER_SITE, "127.0.0.1")):
        page.driver.get(address)
        *fetched, socket, submitted, image = page.driver.execute_async_script(ATTACK, ui.url, TURN % "false")
        assert (submitted, image) == ("sent", "sent")
        assert (socket, set(fetched)) == ("failed", {"opaque0", "failed"})
        assert not is_turned(ui)


def test_a_name_that_is_made_to_point_here_reads_and_changes_nothing(ui: Shown, page: Browser) -> None:
    page.driver.get(ui.url.replace("127.0.0.1", f"rebound.{OTHER_SITE}"))
    assert "ECHOSTATS_UI_HOSTS" in page.text()
    for query in ("{ version }", TURN % "false"):
        status, text = page.driver.execute_async_script(ASK, query)
        assert (status, "version" in text) == (403, False)
    assert not is_turned(ui)


def test_the_uis_own_pages_turn_switches_and_follow_what_happens(ui: Shown, page: Browser) -> None:
    page.open("/runs", "Runs")
    assert page.driver.execute_async_script(ASK, TURN % "false")[0] == 200
    assert is_turned(ui)
    assert page.driver.execute_async_script(ASK, TURN % "true")[0] == 200
    assert not is_turned(ui)
    assert page.driver.execute_async_script(FOLLOW) == "opened"


def test_a_link_from_elsewhere_opens_the_page_it_leads_to(ui: Shown, page: Browser, site: str) -> None:
    page.driver.get(site)
    page.driver.execute_script("location.href = arguments[0]", f"{ui.url}/runs")
    page.until("the runs", lambda: "catalog_enrichment" in page.text())
