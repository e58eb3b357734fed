"""Fetches pictures of artists and albums for a report, from the cache or Spotify's image servers, within limits.

Pictures are public: they need no token and count against no quota of the Web API. The servers are not trusted: only
addresses of Spotify's image servers are requested, redirects are not followed, and answers that are no picture, or are
too large, are left out.
"""

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests

from echostats_pipeline.model.catalog import Image
from echostats_pipeline.model.users import User
from echostats_pipeline.report.page import Picture
from echostats_pipeline.settings import Settings
from echostats_pipeline.state_folder import StateFolder, replace_file

HOSTS = ("scdn.co", "spotifycdn.com")
"""Domains of Spotify's image servers."""
TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"RIFF": "image/webp"}
"""First bytes of a picture, and the media type they mean."""
MOST_BYTES, MOST_PICTURES, MOST_CACHED = 150_000, 60, 1_000
"""Most bytes of one picture, most pictures of one report, and most pictures in the cache."""
CONNECT_TIMEOUT_S, READ_TIMEOUT_S, PATIENCE_S = 2.0, 4.0, 12.0
"""Timeouts of one request, and of all requests of a report, in seconds."""
FETCH_THREADS, HOPELESS_AFTER = 6, 3
"""Number of pictures fetched at the same time; number of failures without any success that ends the fetching."""

Fetch = Callable[[str], bytes]


@dataclass
class FetchResult:
    """Pictures by the addresses in the report, and the number of pictures that could not be fetched."""

    pictures: dict[str, Picture] = field(default_factory=dict)
    missing: int = 0


def fitting(wanted: Mapping[str, int], sizes: Mapping[str, Sequence[Image]]) -> dict[str, str]:
    """Choose the address to fetch for each picture: the smallest size in the catalogue that is wide enough.

    Args:
        wanted: Addresses, with the needed width in pixels.
        sizes: All sizes of some pictures, by address.

    Returns:
        The address to fetch, by wanted address; addresses outside Spotify's image servers are left out.
    """
    found = {}
    for url, width in list(wanted.items())[:MOST_PICTURES]:
        enough = [image for image in sizes.get(url, ()) if image.width and image.width >= width]
        source = min(enough, key=lambda image: image.width or 0).url if enough else url
        if is_spotifys(source):
            found[url] = source
    return found


def is_spotifys(url: str) -> bool:
    """Return whether an address is on one of Spotify's image servers, over https."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    return parts.scheme == "https" and port is None and any(host == name or host.endswith(f".{name}") for name in HOSTS)


def fetch_pictures(sources: Mapping[str, str], cache: Path, fetch: Fetch) -> FetchResult:
    """Return the pictures of `sources`; each one is fetched only if it is not in the cache.

    Args:
        sources: The address to fetch, by wanted address.
        cache: A private folder.
        fetch: Returns the bytes at an address; raises `OSError` if there are none.
    """
    kept = {url: _cached(_file(cache, source)) for url, source in sources.items()}
    lacking = {sources[url] for url, content in kept.items() if content is None}
    fresh = _fetched([source for source in dict.fromkeys(sources.values()) if source in lacking], fetch)
    for source, answer in fresh.items():
        with suppress(OSError):  # on a full disk, the report is made without the cache
            replace_file(_file(cache, source), answer)
    _prune(cache)
    found = FetchResult()
    for url, content in kept.items():
        picture = as_picture(fresh.get(sources[url], b"") if content is None else content)
        if picture is None:
            found.missing += 1
        else:
            found.pictures[url] = picture
    return found


def as_picture(content: bytes) -> Picture | None:
    """Return the picture if it has a type that browsers know and that contains no script, else None."""
    media_type = next((name for begin, name in TYPES.items() if content.startswith(begin)), None)
    return None if media_type is None or len(content) > MOST_BYTES else Picture(media_type, content)


def from_network(simulator: str | None = None) -> Fetch:
    """Return a function that fetches over the network, or from a simulator, which serves the same paths."""

    def fetch(url: str) -> bytes:
        address = url if simulator is None else f"{simulator}{urlsplit(url).path}"
        timeout = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        with requests.get(address, timeout=timeout, stream=True, allow_redirects=False) as answer:
            if answer.status_code != requests.codes.ok:
                return b""
            content = b""
            for piece in answer.iter_content(16_384):
                content += piece
                if len(content) > MOST_BYTES:
                    return b""
            return content

    return fetch


def pictures_kept(_url: str) -> bytes:
    """Fetch nothing: only pictures in the cache are shown."""
    raise OSError("pictures are not fetched")


def picture_source(settings: Settings, user: User) -> Fetch | None:
    """Return how to fetch the pictures of a user; None for a simulated user whose simulator is not running."""
    if not user.simulated:
        return from_network()
    url = settings.simulator_url or StateFolder(settings.home).simulator_url()
    return None if url is None else from_network(url)


def _fetched(sources: Sequence[str], fetch: Fetch) -> dict[str, bytes]:
    """Fetch pictures until all have answered, the first ones have all failed, or `PATIENCE_S` is over."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    answered: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    hopeless = threading.Event()
    for source in sources:
        waiting.put(source)

    def work() -> None:
        with suppress(queue.Empty):
            while not hopeless.is_set():
                source = waiting.get_nowait()
                try:
                    answered.put((source, fetch(source)))
                except OSError:  # any network error; errors of requests are OSErrors
                    answered.put((source, b""))

    # Daemon threads: a name server that does not answer must not delay the end of the command.
    for _ in range(min(FETCH_THREADS, len(sources))):
        threading.Thread(target=work, daemon=True).start()
    found: dict[str, bytes] = {}
    failures, deadline = 0, time.monotonic() + PATIENCE_S
    with suppress(queue.Empty):
        for _ in sources:
            source, content = answered.get(timeout=max(deadline - time.monotonic(), 0.001))
            if as_picture(content) is not None:
                found[source] = content
            else:
                failures += 1
            if failures >= HOPELESS_AFTER and not found:
                break
    hopeless.set()
    return found


def _file(cache: Path, source: str) -> Path:
    return cache / hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()


def _cached(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
        path.touch()
    except OSError:
        return None
    return content if as_picture(content) is not None else None


def _prune(cache: Path) -> None:
    """Delete the pictures that have not been used for the longest time."""
    with suppress(OSError):
        newest_first = sorted(cache.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in newest_first[MOST_CACHED:]:
            path.unlink(missing_ok=True)
