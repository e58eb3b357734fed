"""A stub of Kubernetes' API, as far as Dagster's launcher uses it: Jobs are recorded, and nothing executes them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

PODS = "/api/v1/namespaces/echostats/pods"


@dataclass
class Cluster:
    """What was asked of the stub.

    Attributes:
        jobs: The Jobs that were created, by their paths.
        deleted: Paths of what was deleted.
        status: The status of every Job.
        port: Where the stub listens.
    """

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    port: int = 0

    def kubeconfig(self, path: Path) -> Path:
        """Write the configuration of a client of the stub."""
        named = {"clusters": "cluster", "users": "user", "contexts": "context"}
        content = {"cluster": {"server": f"http://127.0.0.1:{self.port}"}, "user": {}}
        content["context"] = {"cluster": "stub", "user": "stub"}
        lists = {plural: [{"name": "stub", one: content[one]}] for plural, one in named.items()}
        path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "stub", **lists}))
        return path


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Serve the stub until the block ends."""
    cluster = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            cluster.jobs[f"{self.path}/{job['metadata']['name']}"] = job
            self._respond(HTTPStatus.CREATED, job)

        def do_GET(self) -> None:
            if self.path.startswith(PODS):
                names = [{"metadata": {"name": f"{job['metadata']['name']}-pod"}} for job in cluster.jobs.values()]
                self._respond(HTTPStatus.OK, {"kind": "PodList", "apiVersion": "v1", "items": names})
                return
            job = cluster.jobs.get(self.path.removesuffix("/status"))
            self._respond(HTTPStatus.OK if job else HTTPStatus.NOT_FOUND, {**(job or {}), "status": cluster.status})

        def do_DELETE(self) -> None:
            cluster.deleted.append(self.path.partition("?")[0])
            self._respond(HTTPStatus.OK, {"kind": "Status", "status": "Success"})

        def _respond(self, status: HTTPStatus, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        cluster.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield cluster
        finally:
            server.shutdown()
            thread.join()
