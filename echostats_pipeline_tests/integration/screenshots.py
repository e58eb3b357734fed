"""Takes the pictures of the README: ``python -m echostats_pipeline_tests.integration.screenshots [FOLDER]``.

Three simulated users, of whom the first has imported 400 days. Look at each picture before you commit it.
"""

import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from echostats_pipeline.model.base import utc_now

from .browser import SHOW_PICTURE, Browser, browser, save_picture
from .ui import Shown, shown

DOCS = Path(__file__).parents[2] / "docs"


def take(ui: Shown, page: Browser, folder: Path) -> None:
    """Open each page as a user would, and keep what the window shows."""
    imported, tags = ui.newest_run("history_import")
    user = tags["echostats/user"]

    page.open(f"/runs/{imported}", "inserted", "Success", logs="Materialized")
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
    page.until("colours of what is built", page.has_settled)
    save_picture(page, folder / "asset-graph.png")


def main(folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="echostats-ui") as state,
        shown(Path(state) / "home", days=400, people=3) as ui,
        browser(ui.url, height=1000) as page,
    ):
        take(ui, page, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else DOCS)
