"""The pages that a user opens, in a real browser: their texts, and that pictures are pictures."""

import sys

import pytest

from echostats_pipeline.orchestration.automation.sensors import SENSORS
from echostats_pipeline_tests.integration.browser_driver import CHROMEDRIVER, CHROMIUM, SHOW_PICTURE, Browser
from echostats_pipeline_tests.integration.processes import eventually
from echostats_pipeline_tests.integration.up_process import FRESHNESS, Shown

pytestmark = [
    pytest.mark.xdist_group("ui"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
    pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver"),
]


@pytest.fixture(scope="module")
def run(ui: Shown) -> tuple[str, str]:
    """The newest run that built snapshots, and its user."""
    run_id, tags = ui.newest_run("snapshot_build")
    return run_id, tags["echostats/user"]


def test_the_graph_shows_every_stage_on_one_screen(page: Browser) -> None:
    page.open_graph()
    for name in ("recently_played", "daily_rollups", "_snapshots", "audio_features", "playlists"):
        assert name in page.text()


def test_an_asset_says_what_it_holds_whether_it_is_fresh_and_in_which_columns(page: Browser) -> None:
    page.open("/assets/daily_rollups", "Freshness policy", "track_plays.artist_name", view="overview")
    for text in ("One document per user and local day", "For readers", "unique with user_id", "MongoDB", "user_sync"):
        assert text in page.text()


def test_the_days_of_a_user_are_partitions(page: Browser, run: tuple[str, str]) -> None:
    page.open("/assets/daily_rollups", "Failed (0)", run[1][-6:], view="partitions")
    page.until("some of the 60 days built", lambda: _number_after(page.text(), "Materialized (") >= 30)


def test_the_page_of_the_statistics_draws_them(page: Browser, run: tuple[str, str]) -> None:
    page.open("/assets/analytics_snapshots", "top_artists_of_the_year", view="partitions", partition=run[1])
    for number in (0, 1):
        page.click(SHOW_PICTURE, number)
        assert page.picture_width() > 600
        page.click("//button[.='Close']")
        page.until(
            "closed dialog", lambda: page.driver.execute_script("return !document.querySelector('img[src^=data]')")
        )


def test_a_run_shows_its_pictures_too(page: Browser, run: tuple[str, str]) -> None:
    page.open(f"/runs/{run[0]}", "RUN_SUCCESS", "Success", "snapshot_build")
    page.click("//*[text()='View full message']", -1)
    page.click(SHOW_PICTURE, -1)
    assert page.picture_width() > 600


def test_the_runs_of_a_user_are_found_by_their_tag(page: Browser, run: tuple[str, str]) -> None:
    page.open("/runs", "library_sync", "history_import", "snapshot_build", **{"q[0]": f"tag:echostats/user={run[1]}"})
    assert "catalog_enrichment" not in page.text()


def test_automation_lists_what_starts_runs_with_a_switch_for_each_user(page: Browser, run: tuple[str, str]) -> None:
    page.open("/automation", "daily_close", "daily_library", f"sync_{run[1].replace('-', '_')}")
    for sensor in SENSORS:
        assert sensor.name in page.text()


def test_freshness_is_watched(ui: Shown) -> None:
    found = {node["assetKey"]["path"][0]: node for node in ui.ask(FRESHNESS)["assetNodes"]}
    watched = {name for name, node in found.items() if node["internalFreshnessPolicy"]}
    assert watched >= {"recently_played", "daily_rollups", "analytics_snapshots", "playlists"}
    eventually("freshness of recent plays", lambda: _freshness(ui) == "HEALTHY")


def _freshness(ui: Shown) -> str | None:
    found = {node["assetKey"]["path"][0]: node for node in ui.ask(FRESHNESS)["assetNodes"]}
    return (found["recently_played"]["freshnessStatusInfo"] or {}).get("freshnessStatus")


def _number_after(text: str, words: str) -> int:
    return int(text.partition(words)[2].partition(")")[0].replace(",", "") or 0)
