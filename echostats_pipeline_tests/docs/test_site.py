"""The site is built strictly: a broken link or anchor stops it. What is built asks nothing of the network."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from echostats_pipeline_tests.docs.pages import CHECKOUT, DOCS, pages
from echostats_pipeline_tests.integration.browser_driver import CHROMEDRIVER, CHROMIUM, browser

pytestmark = [
    pytest.mark.ui,
    pytest.mark.skipif(find_spec("zensical") is None, reason="zensical is not installed: pip install '.[docs]'"),
    pytest.mark.xdist_group("site"),
]

SEEN = """return {
  beside: Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth),
  broken: [...document.images].filter(image => image.complete && !image.naturalWidth).map(image => image.src),
}"""
"""How much of a page is beside the window, and which of its pictures do not show."""


class References(HTMLParser):
    """What a page links to, what it loads, and what it can be linked by."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.ids.add(str(values["id"]))
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))
        if tag == "link" and values.get("href") and values.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(str(values["href"]))
        if tag in ("img", "script", "iframe", "source") and values.get("src"):
            self.loaded.append(str(values["src"]))


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def checkout_in(folder: Path) -> Path:
    shutil.copy(CHECKOUT / "zensical.toml", folder)
    shutil.copytree(DOCS, folder / "docs")
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly."""
    folder = checkout_in(tmp_path_factory.mktemp("docs"))
    built = build(folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "site"


def html(site: Path) -> Iterator[Path]:
    yield from (page for page in sorted(site.rglob("*.html")) if page.name != "404.html")


def test_every_page_is_built(site: Path) -> None:
    assert {page.relative_to(site) for page in html(site)} == {
        page.relative_to(DOCS).with_suffix(".html") for page in pages()
    }


def test_every_link_anchor_and_picture_leads_somewhere(site: Path) -> None:
    references = {page: References(page) for page in html(site)}
    broken = []
    for page, found in references.items():
        for target in (*found.links, *found.loaded):
            parts = urlsplit(target)
            if parts.scheme:
                continue
            linked = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            linked = linked / "index.html" if linked.is_dir() else linked
            if not linked.is_file() or (
                parts.fragment and linked in references and unquote(parts.fragment) not in references[linked].ids
            ):
                broken.append(f"{page.relative_to(site)}: {target}")
    assert broken == []
    assert sum(len(found.links) for found in references.values()) > 500


def test_nothing_is_fetched_from_anywhere(site: Path) -> None:
    outside = {
        target
        for page in html(site)
        for target in References(page).loaded
        if urlsplit(target).scheme not in ("", "data")
    }
    assert outside == set()
    styles = [style.read_text(encoding="utf-8") for style in site.rglob("*.css")]
    assert [url for style in styles for url in re.findall(r"url\(\"?'?(https?:[^)]*)", style)] == []
    assert [found for style in styles for found in re.findall(r"@import[^;]*https?:[^;]*", style)] == []


def test_a_broken_link_and_a_broken_anchor_stop_the_build(tmp_path: Path) -> None:
    folder = checkout_in(tmp_path)
    with (folder / "docs" / "index.md").open("a", encoding="utf-8") as page:
        page.write("\n[x](nowhere.md)\n\n[y](use/importing.md#nowhere)\n")
    built = build(folder)
    assert built.returncode != 0
    assert {"page does not exist", "anchor does not exist"} <= set(
        re.findall(r"\w+ does not exist", built.stdout + built.stderr)
    )


@pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver")
def test_no_page_is_wider_than_a_desk_or_a_phone_or_asks_anything_of_the_network(site: Path) -> None:
    with browser(site.as_uri()) as page:
        page.driver.execute_cdp_cmd("Network.enable", {})
        for each in html(site):
            page.open(f"/{each.relative_to(site)}")
            for width, height in ((1440, 900), (390, 844)):
                page.driver.execute_cdp_cmd(
                    "Emulation.setDeviceMetricsOverride",
                    {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < height},
                )
                seen = page.driver.execute_script(SEEN)
                assert seen == {"beside": 0, "broken": []}, (each.relative_to(site), width)
        messages = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert asked
    assert [url for url in asked if urlsplit(url).scheme not in ("file", "data", "blob")] == []
