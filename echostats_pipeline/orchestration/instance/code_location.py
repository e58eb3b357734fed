"""Requests to a webserver: reload the code location, and check whether it is loaded."""

import logging

import requests

LOCATION = "echostats_pipeline"
RELOAD = """
mutation Reload($location: String!) {
  reloadRepositoryLocation(repositoryLocationName: $location) { __typename }
}
"""
LOADED = """
query Loaded($location: String!) {
  workspaceLocationEntryOrError(name: $location) {
    ... on WorkspaceLocationEntry { locationOrLoadError { __typename } }
  }
}
"""
TIMEOUT_S = 60
"""Seconds to wait. The webserver responds only after the code has been loaded."""


def reload_code_location(url: str | None, log: logging.Logger) -> None:
    """Make the webserver at `url` reload the code, so that new users get their sensors."""
    if url is None:
        log.info("Reload the code location in the Dagster UI to see the sensors of new users.")
        return
    try:
        _ask(url, RELOAD)
    except requests.RequestException as error:
        log.warning("The code location could not be reloaded (%s); reload it in the Dagster UI.", type(error).__name__)


def code_location_is_loaded(url: str) -> bool:
    """Whether the code is loaded and its server responds, as far as the webserver knows."""
    try:
        answer = _ask(url, LOADED).json()
    except requests.RequestException:
        return True  # the webserver is busy or gone, which another check detects
    return "PythonError" not in str(answer)


def _ask(url: str, query: str) -> requests.Response:
    answer = requests.post(
        f"{url}/graphql", json={"query": query, "variables": {"location": LOCATION}}, timeout=TIMEOUT_S
    )
    answer.raise_for_status()
    return answer
