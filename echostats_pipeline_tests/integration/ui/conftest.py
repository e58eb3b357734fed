"""An `echostats up` and a browser for all tests that only look at the UI. Both end with the last of these tests."""

from collections.abc import Iterator

import pytest

from echostats_pipeline.local.mongod import EmbeddedServer
from echostats_pipeline_tests.integration.browser_driver import OTHER_SITE, Browser, browser
from echostats_pipeline_tests.integration.up_process import Shown, shown


@pytest.fixture(scope="package")
def ui(tmp_path_factory: pytest.TempPathFactory, mongo_server: EmbeddedServer) -> Iterator[Shown]:
    """The UI of one user with 60 imported days. A test that changes something there changes it back."""
    with shown(tmp_path_factory.mktemp("ui") / "home", days=60, people=1) as running:
        yield running


@pytest.fixture(scope="package")
def page(ui: Shown) -> Iterator[Browser]:
    """A browser on that UI. Every name of the other site resolves to this machine."""
    with browser(ui.url, f"--host-resolver-rules=MAP *{OTHER_SITE} 127.0.0.1") as opened:
        yield opened
