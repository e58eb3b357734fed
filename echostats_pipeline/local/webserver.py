"""Address of the webserver that `echostats up` runs, and whether it answers."""

from pathlib import Path

import requests

from echostats_pipeline.state_folder import StateFolder

ANSWER_TIMEOUT_S = 2


def webserver_file(home: Path) -> Path:
    """Return the path of the file in which `echostats up` writes the address of its webserver."""
    return home / "webserver.json"


def webserver_url(home: Path) -> str | None:
    """Return the address of the webserver that `echostats up` has written, or None."""
    running = StateFolder(home).read_json(webserver_file(home))
    return None if running is None else str(running["url"])


def answering_webserver(home: Path) -> str | None:
    """Return the address of the webserver of `echostats up`, or None if it does not answer."""
    url = webserver_url(home)
    return url if url is not None and answers(url) else None


def answers(url: str) -> bool:
    """Return whether a Dagster webserver answers at an address."""
    try:
        return requests.get(f"{url}/server_info", timeout=ANSWER_TIMEOUT_S).ok
    except requests.RequestException:
        return False
