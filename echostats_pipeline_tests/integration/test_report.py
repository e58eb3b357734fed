"""A report in a real browser: without network, on a phone, in the dark and on paper."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.report.build import build_report
from echostats_pipeline.report.document import ReportInput
from echostats_pipeline.report.page import Picture, render
from echostats_pipeline.simulator.pictures import drawn
from echostats_pipeline_tests.integration.browser_driver import CHROMEDRIVER, CHROMIUM, Browser, browser
from echostats_pipeline_tests.report import samples

pytestmark = [
    pytest.mark.xdist_group("ui"),
    pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver"),
]
OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
LARGE_ENOUGH = """return [...document.querySelectorAll('.chart text')].filter(text => text.getClientRects().length)
  .map(text => text.getBoundingClientRect().height)"""


def pictured(material: ReportInput) -> str:
    import vl_convert  # noqa: PLC0415 - as in the report

    report = build_report(material)
    urls = list(report.pictured)[1::2]
    return render(report, {url: Picture("image/jpeg", vl_convert.svg_to_jpeg(drawn(url, 64))) for url in urls}).html


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(pictured(samples.year()), encoding="utf-8")
    with browser(path.as_uri()) as opened:
        command(opened, "Network.enable")
        command(opened, "Network.emulateNetworkConditions", **OFFLINE)
        yield opened


def command(page: Browser, name: str, **arguments: Any) -> Any:
    return page.driver.execute_cdp_cmd(name, arguments)


def shown(page: Browser, *, width: int = 1280, scheme: str = "light", media: str = "") -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    command(page, "Emulation.setEmulatedMedia", media=media, features=features)
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    command(page, "Emulation.setDeviceMetricsOverride", **size)
    page.open("", "Day by day", "What is not known")


def ground(page: Browser, selector: str, name: str) -> str:
    script = f"return getComputedStyle(document.querySelector({selector!r})).{name}"
    return str(page.driver.execute_script(script))


def test_nothing_is_asked_of_the_network_and_nothing_is_complained_about(page: Browser) -> None:
    page.driver.get_log("performance")
    shown(page)
    events = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert page.driver.get_log("browser") == []
    assert page.driver.execute_script("return document.scripts.length") == 0


@pytest.mark.parametrize("width", [360, 390])
def test_a_phone_scrolls_in_one_direction_and_can_read_the_charts(page: Browser, width: int) -> None:
    shown(page, width=width)
    assert page.driver.execute_script("return document.documentElement.scrollWidth") <= width
    heights = page.driver.execute_script(LARGE_ENOUGH)
    assert len(heights) > 30
    assert min(heights) > 9.5


def test_what_is_dark_is_dark_charts_included(page: Browser) -> None:
    found = {}
    for scheme in ("light", "dark"):
        shown(page, scheme=scheme)
        cell = '.calendar [fill="#126440"]'
        found[scheme] = (
            ground(page, "body", "backgroundColor"),
            ground(page, cell, "fill"),
            ground(page, "h1", "color"),
        )
    assert all(light != dark for light, dark in zip(found["light"], found["dark"], strict=True))
    assert ground(page, ".stripe", "fill") == "rgb(240, 162, 125)"


def test_a_list_is_by_plays_until_time_is_chosen_without_a_script(page: Browser) -> None:
    shown(page)
    script = "return getComputedStyle(document.querySelector('.top .list.time')).display"
    assert page.driver.execute_script(script) == "none"
    page.click("//label[.='by time']")
    assert page.driver.execute_script(script) == "block"


def test_days_say_what_they_are_when_pointed_at(page: Browser) -> None:
    shown(page)
    script = "return [...document.querySelectorAll('.calendar title')].map(title => title.textContent)"
    reported = page.driver.execute_script(script)
    assert len(reported) == 365 + 6
    assert "Thu, 1 May 2025: " in " ".join(reported)
    assert any(text.endswith("plays may be missing") for text in reported)


def test_on_paper_it_is_light_and_a_few_pages(page: Browser, tmp_path: Path) -> None:
    shown(page, scheme="dark")
    pdf = base64.b64decode(command(page, "Page.printToPDF", printBackground=True, paperWidth=8.27)["data"])
    assert 2 <= pdf.count(b"/Type /Page\n") <= 6
    shown(page, scheme="dark", media="print")
    assert ground(page, "body", "backgroundColor") == "rgb(255, 255, 255)"
    assert ground(page, '.calendar [fill="#126440"]', "fill") == "rgb(18, 100, 64)"
