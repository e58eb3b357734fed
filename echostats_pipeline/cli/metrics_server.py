"""The port at which `echostats up` serves its metrics. An error there becomes a response and never ends `up`."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from echostats_pipeline.cli.guard import refusal
from echostats_pipeline.orchestration.instance.metrics import exposition

HOST = "127.0.0.1"
POLL_S = 0.1
IDLE_S = 10.0
Measure = Callable[[], Iterator[Metric]]
logger = logging.getLogger(__name__)


class _Scrapes(ThreadingHTTPServer):
    """Answers one scrape after the other: two at once would cost twice as much and return the same."""

    daemon_threads = True

    def __init__(self, address: str, port: int, measure: Measure, hosts: Collection[str]) -> None:
        super().__init__((address, port), _Answer)
        self.hosts = hosts
        self._measure = measure
        self._lock = threading.Lock()
        self._failed = 0

    def scrape(self) -> tuple[HTTPStatus, bytes]:
        with self._lock:
            began = time.monotonic()
            try:
                return HTTPStatus.OK, exposition([*self._measure(), *self._own(time.monotonic() - began)])
            except Exception as error:  # noqa: BLE001 - the client gets the error, and the server goes on
                self._failed += 1
                logger.warning("A scrape of the metrics has failed: %s", type(error).__name__)
                return HTTPStatus.SERVICE_UNAVAILABLE, f"Nothing can be measured: {type(error).__name__}\n".encode()

    def _own(self, lasted_s: float) -> Iterator[Metric]:
        duration = "Seconds that the measurement took."
        yield GaugeMetricFamily("echostats_scrape_duration_seconds", duration, lasted_s)
        failures = "Scrapes that failed since `echostats up` was started."
        yield CounterMetricFamily("echostats_scrape_errors", failures, self._failed)


class _Answer(BaseHTTPRequestHandler):
    server: _Scrapes
    timeout = IDLE_S

    def do_GET(self) -> None:
        refused = refusal(self.command, lambda name: self.headers.get_all(name, []), self.server.hosts)
        if refused:
            self._answer(refused.status, "text/plain", f"{refused.reason}\n".encode())
            return
        if self.path.split("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND, "Metrics are at /metrics")
            return
        status, body = self.server.scrape()
        self._answer(status, CONTENT_TYPE_LATEST if status == HTTPStatus.OK else "text/plain", body)

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Print nothing: a scrape every few seconds would fill the terminal."""


@contextmanager
def serving_metrics(port: int, measure: Measure, hosts: Collection[str] = (), address: str = HOST) -> Iterator[str]:
    """Serve metrics on an address while the block runs, to this machine and under the names `hosts`; give their URL."""
    with _Scrapes(address, port, measure, hosts) as server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}/metrics"
        finally:
            server.shutdown()
            thread.join()
