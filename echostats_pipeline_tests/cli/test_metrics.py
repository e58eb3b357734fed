"""``echostats metrics``, and the port of ``echostats up``: it always responds."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from prometheus_client.core import GaugeMetricFamily, Metric

from echostats_pipeline.cli.metrics_server import serving_metrics
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import Installation

pytestmark = pytest.mark.dagster


def test_metrics_are_printed_or_written(installation: Installation, echostats: Echostats, tmp_path: Path) -> None:
    key = installation.connect().partition_key
    printed = echostats("metrics")
    assert printed.returncode == 0
    assert f'echostats_plays{{user="{key}"}} 0.0\n' in printed.stdout
    path = tmp_path / "echostats.prom"
    path.write_text("old")
    assert echostats("metrics", "--output", "echostats.prom").stdout == ""
    assert path.read_text().startswith("# HELP echostats_info")
    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in tmp_path.glob("*.prom*")] == ["echostats.prom"]


def test_a_file_that_cannot_be_written_is_named(installation: Installation, echostats: Echostats) -> None:
    ended = echostats("metrics", "--output", "nowhere/echostats.prom")
    assert ended.returncode == 1
    assert "nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_scrape_that_fails_is_answered_and_the_next_one_counts_it(caplog: pytest.LogCaptureFixture) -> None:
    broken = True

    def measure() -> Iterator[Metric]:
        if broken:
            raise ConnectionError("mongodb://me:canary@db")
        yield GaugeMetricFamily("echostats_plays", "Plays.", 7)

    with serving_metrics(0, measure) as url:
        refused = requests.get(url, timeout=10)
        assert (refused.status_code, refused.text) == (503, "Nothing can be measured: ConnectionError\n")
        broken = False
        answered = requests.get(url, timeout=10)
        assert answered.status_code == 200
        assert answered.headers["Content-Type"].startswith("text/plain; version=")
        assert "echostats_plays 7.0" in answered.text
        assert "echostats_scrape_errors_total 1.0" in answered.text
        assert requests.get(url.replace("/metrics", "/other"), timeout=10).status_code == 404
    assert "canary" not in caplog.text
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)


def test_a_taken_port_for_metrics_is_named(echostats: Echostats, installation: Installation) -> None:
    with serving_metrics(0, lambda: iter(())) as url:
        port = int(url.split(":")[2].split("/")[0])
        said = refused(echostats("up", "--port", str(port), "--metrics-port", str(port)))
    assert said.startswith(f"Error: Port {port} of 127.0.0.1 cannot be used: Address already in use.")
    assert re.search(rf"another port: echostats up --metrics-port (?!{port}\b)\d+$", said.strip())
