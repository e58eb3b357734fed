"""A client for the queries of the Dagster UI, for tests and benchmarks."""

from typing import Any

import requests


class GraphqlError(Exception):
    """A query was refused."""


class Graphql:
    """The webserver at a port of this machine."""

    def __init__(self, port: int, *, timeout_s: float = 60) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._timeout_s = timeout_s

    def answers(self) -> bool:
        """Whether the webserver responds."""
        try:
            return requests.get(f"{self.url}/server_info", timeout=5).ok
        except requests.RequestException:
            return False

    def ask(self, query: str, **variables: Any) -> Any:
        """The data of a response.

        Raises:
            GraphqlError: the query is wrong, or what it requests failed.
        """
        body = {"query": query, "variables": variables}
        answer = requests.post(f"{self.url}/graphql", json=body, timeout=self._timeout_s).json()
        if "errors" in answer:
            raise GraphqlError(str(answer["errors"])[:500])
        return answer["data"]
