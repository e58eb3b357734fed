"""Drives the Dagster UI in a headless Chromium, with the eyes and the mouse of a user."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

T = TypeVar("T")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
WIDTH, HEIGHT = 1280, 1200
PATIENCE_S, POLL_S = 40.0, 0.1
SHOW_PICTURE = "//*[text()='[Show Markdown]']"
LOADED_PICTURES = """return [...document.querySelectorAll('img[src^="data:image/svg+xml"]')]
  .map(image => image.complete ? image.naturalWidth : 0)"""
OTHER_SITE = "evil.example"
GROUPS = ("ingestion", "catalog", "rollups", "analytics", "library")


class Browser:
    """One window on the UI at `url`. Every method waits for what it needs, and fails if that never appears."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url
        self.patience_s = PATIENCE_S

    def open(self, path: str, *texts: str, **query: Any) -> None:
        """Open a page and wait until it shows all texts."""
        self.driver.get(f"{self.url}{path}{'?' if query else ''}{urlencode(query)}")
        for text in texts:
            self.until(f"{text!r} on {path}", lambda text=text: text in self.text())

    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def click(self, xpath: str, number: int = 0) -> None:
        """Click the element, once it is in view."""

        def clicked() -> bool:
            found: list[WebElement] = self.driver.find_elements(By.XPATH, xpath)
            if len(found) <= number:
                return False
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found[number])
            found[number].click()
            return True

        self.until(xpath, clicked)

    def picture_width(self) -> int:
        """Width in pixels of the opened picture, as the browser has decoded it."""
        (width,) = self.until("one picture", lambda: _all_positive(self.driver.execute_script(LOADED_PICTURES)))
        return width

    def shows_no_picture(self) -> bool:
        return self.driver.execute_script(LOADED_PICTURES) == []

    def has_loaded(self) -> bool:
        """Whether the page has loaded everything."""
        return not self.driver.find_elements(By.CSS_SELECTOR, "[class*=Spinner]")

    def has_settled(self) -> bool:
        """Whether the window shows the same as a second ago."""
        before = self.driver.get_screenshot_as_png()
        time.sleep(1)
        return self.driver.get_screenshot_as_png() == before

    def until(self, what: str, ask: Callable[[], T]) -> T:
        """Return the first result that is true. The page may still be changing meanwhile."""
        waiting: WebDriverWait[webdriver.Chrome] = WebDriverWait(
            self.driver, self.patience_s, POLL_S, ignored_exceptions=[WebDriverException]
        )
        try:
            return waiting.until(lambda _: ask())
        except TimeoutException as timeout:
            raise AssertionError(f"no {what} in {self.patience_s:.0f} seconds; there is:\n{self.text()}") from timeout

    def open_graph(self) -> None:
        """Open the graph of all assets, with the groups of plays and the catalogue unfolded."""
        unfolded = ",".join(f"global@global:{group}" for group in GROUPS)
        self.open("/asset-groups", *GROUPS, "top_items", "listening_history", "saved_tracks", expanded=unfolded)


@contextmanager
def browser(url: str, *options_of_chromium: str, height: int = HEIGHT) -> Iterator[Browser]:
    """A browser, closed at the end of the block."""
    assert CHROMIUM is not None, "ask CHROMIUM first"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    always = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
    for argument in (*always, *options_of_chromium):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
    try:
        # The window's size includes its frame, which pictures do not show.
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        yield Browser(driver, url)
    finally:
        driver.quit()


def save_picture(page: Browser, path: Path) -> None:
    """Save the window's content, with few colours, so that the repository stays small."""
    from PIL import Image  # noqa: PLC0415 - only screenshots need it

    page.driver.save_screenshot(str(path))
    with Image.open(path) as whole:
        whole.convert("RGB").quantize(colors=200).save(path, optimize=True)


def _all_positive(widths: list[int]) -> list[int] | None:
    return widths if widths and all(widths) else None
