"""Dagster's webserver behind a guard: `python -m echostats_pipeline.cli.dagster_webserver WORKSPACE PORT [NAME ...]`.

It listens on this machine only. `ADDRESS:PORT` in place of the port says otherwise, as in a container: `0.0.0.0:3000`.
Without names, it answers under those in the variable ``ECHOSTATS_UI_HOSTS``.

Dagster's own webserver responds to any client under any host name, and executes what a GET or a form requests. So any
page in the user's browser could launch runs. Here: the webserver's application behind the guard, and serving it. Not
here: which requests are refused (`guard`), starting and watching this process (`dagster_services`).
"""

import contextlib
import sys
from http import HTTPStatus
from urllib.parse import parse_qsl

import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.log import configure_loggers
from dagster_webserver.cli import (
    DEFAULT_DB_STATEMENT_TIMEOUT,
    DEFAULT_POOL_MAX_OVERFLOW,
    DEFAULT_POOL_RECYCLE,
)
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.datastructures import Headers
from starlette.types import Scope

from echostats_pipeline.cli.guard import GuardedApp, RefusedRequest, refusal
from echostats_pipeline.settings import environment_value
from echostats_pipeline.settings.values import host_names

HOST = "127.0.0.1"
GRAPHQL = "/graphql"
DATA = (GRAPHQL, "/logs/", "/download_debug/")
"""Paths without pages: no link from another site leads to them."""
NOTEBOOKS = {"/notebook", "/dagit/notebook"}
"""Routes that show any notebook file of this machine as a page; this pipeline has no notebooks."""
POLL_MS, END_WITHIN_S = 2_000, 5


class GuardedUi(GuardedApp):
    """The guard of Dagster's UI, which sends every request as JSON."""

    def refused(self, scope: Scope) -> RefusedRequest | None:
        """Why a request is refused, including requests that browsers let other sites send without permission."""
        method, values = scope.get("method", "GET"), Headers(scope=scope).getlist
        found = refusal(method, values, self.hosts)
        if found or scope["type"] == "websocket":
            return found
        if scope["path"] in NOTEBOOKS:
            return RefusedRequest(HTTPStatus.NOT_FOUND, "There are no notebooks.")
        if method not in {"GET", "HEAD"} and not _is_json(values("content-type")):
            return RefusedRequest(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send JSON, with Content-Type: application/json.")
        if not {"same-origin", "none"}.issuperset(values("sec-fetch-site")) and scope["path"].startswith(DATA):
            return RefusedRequest(HTTPStatus.FORBIDDEN, "A link of another site leads here. Begin at the start page: /")
        if method == "GET" and scope["path"] == GRAPHQL and _changes(scope["query_string"]):
            return RefusedRequest(HTTPStatus.METHOD_NOT_ALLOWED, "Send changes by POST, as JSON.")
        return None


def build_app(context: WorkspaceProcessContext, hosts: tuple[str, ...]) -> GuardedUi:
    """The UI of a workspace, for requests to this machine and to `hosts`."""
    return GuardedUi(DagsterWebserver(context, live_data_poll_rate=POLL_MS).create_asgi_app(), hosts)


def main(workspace: str, place: str, *hosts: str) -> None:
    """Serve until interrupted, at a port or an address with a port."""
    address, port = place_of(place)
    configure_loggers(formatter="colored", log_level="INFO")
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW)
        with (
            contextlib.suppress(KeyboardInterrupt),
            WorkspaceProcessContext(
                instance,
                version=__version__,
                read_only=False,
                workspace_load_target=WorkspaceFileTarget(paths=[workspace]),
                code_server_log_level="warning",
            ) as context,
        ):
            uvicorn.run(
                build_app(context, names_of(hosts)),
                host=address,
                port=port,
                log_level="warning",
                lifespan="off",
                timeout_graceful_shutdown=END_WITHIN_S,
            )


def names_of(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """The names that were given, or else those in the environment.

    A deployment's webserver has no other settings: it sees neither the database nor its keys.
    """
    return hosts or tuple(host_names(environment_value("ECHOSTATS_UI_HOSTS") or ""))


def place_of(text: str) -> tuple[str, int]:
    """The address and the port of ``PORT`` or ``ADDRESS:PORT``."""
    address, _, port = text.rpartition(":")
    return address.strip("[]") or HOST, int(port)


def _is_json(types: list[str]) -> bool:
    return [kind.partition(";")[0].strip().lower() for kind in types] == ["application/json"]


def _changes(query_string: bytes) -> bool:
    """Whether a GraphQL query in an address does anything but read."""
    for name, text in parse_qsl(query_string.decode("latin-1")):
        if name == "query":
            try:
                definitions = parse(text).definitions
            except GraphQLError:
                continue  # the webserver reports that error
            if any(
                isinstance(each, OperationDefinitionNode) and each.operation != OperationType.QUERY
                for each in definitions
            ):
                return True
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
