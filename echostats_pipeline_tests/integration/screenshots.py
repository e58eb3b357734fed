"""Takes the pictures of the docs: ``python -m echostats_pipeline_tests.integration.screenshots [FOLDER]``.

There are three simulated users; the first has imported 400 days. Look at each picture before you commit it.
"""

import subprocess
import sys
import tempfile
from datetime import timedelta
from io import BytesIO
from pathlib import Path

from PIL import Image

from echostats_pipeline.model.base import utc_now
from echostats_pipeline_tests.integration.browser_driver import SHOW_PICTURE, Browser, browser, save_picture
from echostats_pipeline_tests.integration.processes import environment
from echostats_pipeline_tests.integration.up_process import CHECKOUT, Shown, shown

DESK, PHONE, MARGIN, GROUND = (1180, 980), (390, 844), 40, "#d9d6cf"
PATIENCE_S = 240.0
"""Until a page has all it asks for: nothing else fails if that takes long, and a busy machine takes minutes."""
GREEN_PIXELS = 10_000
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def take(ui: Shown, page: Browser, folder: Path) -> None:
    """Open each page as a user would, and save the window."""
    imported, tags = ui.newest_run("history_import")
    user = tags["echostats/user"]

    page.open(f"/runs/{imported}", "inserted", "Success", logs="Materialized")
    page.click("//*[text()='View full message']")
    page.until("the outcome of each file", lambda: "files" in page.text())
    page.until("the whole message", page.has_settled)
    save_picture(page, folder / "finished-run.png")

    page.open("/assets/analytics_snapshots", "top_tracks_of_the_year", view="partitions", partition=user)
    save_picture(page, folder / "snapshots-metadata.png")
    page.click(SHOW_PICTURE, 1)
    page.picture_width()
    save_picture(page, folder / "snapshots-picture.png")

    yesterday = utc_now().date() - timedelta(days=1)
    quarter = f"[{yesterday - timedelta(days=89)}...{yesterday}]"
    one_day = {"date_range": quarter, "partition": f"{yesterday}|{user}"}
    page.open("/assets/daily_rollups", "Failed (0)", "documents_written", view="partitions", **one_day)
    save_picture(page, folder / "partitions.png")

    page.open("/automation", "daily_close", f"sync_{user.replace('-', '_')}", "user_roster", " ago")
    page.until("the end of loading", page.has_loaded)
    save_picture(page, folder / "automation.png")

    page.open_graph()
    page.until("colours of what is built", lambda: _is_green(page) and page.has_settled())
    save_picture(page, folder / "asset-graph.png")


def _is_green(page: Browser) -> bool:
    """Whether a good part of the window is green, as assets are that have been built."""
    with Image.open(BytesIO(page.driver.get_screenshot_as_png())) as shot:
        colours = shot.convert("RGB").getcolors(shot.width * shot.height)
    return sum(count for count, (red, green, blue) in colours if min(green - red, green - blue) >= 4) > GREEN_PIXELS


def take_report(home: Path, user: str, folder: Path) -> None:
    """Write the report of all time as a user would; show it on a desktop by day, on a phone by night."""
    made = subprocess.run(
        [sys.executable, "-m", "echostats_pipeline.cli.main", "report", "--user", user],
        env={**environment(home), **CHECKOUT},
        cwd=home.parent,
        check=True,
        capture_output=True,
        text=True,
    )
    with browser(Path(made.stdout.strip()).as_uri()) as page:
        desk = _window(page, width=DESK[0], height=DESK[1], scheme="light")
        phone = _window(page, width=PHONE[0], height=PHONE[1], scheme="dark", at="days")
    whole = Image.new("RGB", (DESK[0] + PHONE[0] + 3 * MARGIN, DESK[1] + 2 * MARGIN), GROUND)
    whole.paste(desk, (MARGIN, MARGIN))
    whole.paste(phone, (DESK[0] + 2 * MARGIN, MARGIN + (DESK[1] - PHONE[1]) // 2))
    whole.quantize(colors=200).save(folder / "listening-report.png", optimize=True)


def _window(page: Browser, *, width: int, height: int, scheme: str, at: str = "") -> Image.Image:
    """The content of a window of that size, from the heading `at` on."""
    command = page.driver.execute_cdp_cmd
    command("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    command(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < height},
    )
    page.open("", "Day by day")
    if at:
        page.driver.execute_script(f"document.getElementById({at!r}).scrollIntoView(); scrollBy(0, -24)")
    with Image.open(BytesIO(page.driver.get_screenshot_as_png())) as shot:
        return shot.convert("RGB")


def main(folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="echostats-ui") as state,
        shown(Path(state) / "home", days=400, people=3) as ui,
        browser(ui.url) as page,
    ):
        page.patience_s = PATIENCE_S
        take(ui, page, folder)
        take_report(Path(state) / "home", ui.newest_run("history_import")[1]["echostats/user"], folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else PICTURES)
