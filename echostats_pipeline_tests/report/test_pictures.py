"""Pictures of reports: fetched once, only from Spotify's servers, within limits; nothing else enters a page."""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests

from echostats_pipeline.model.catalog import Image
from echostats_pipeline.report import pictures
from echostats_pipeline.report.pictures import as_picture, fetch_pictures, fitting, from_network, is_spotifys

JPEG = b"\xff\xd8\xff\xe0 a picture"
URL = "https://i.scdn.co/image/"


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        (f"{URL}ab67616d0000b273", True),
        ("https://mosaic.scdn.co/640/x", True),
        ("https://image-cdn-ak.spotifycdn.com/image/x", True),
        ("http://i.scdn.co/image/x", False),
        ("https://i.scdn.co:8443/image/x", False),
        ("https://scdn.co.evil.example/image/x", False),
        ("https://evilscdn.co/image/x", False),
        ("https://i.scdn.co@127.0.0.1/x", False),
        ("file:///etc/passwd", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_only_spotifys_image_servers_are_asked(url: str, asked: bool) -> None:
    assert is_spotifys(url) is asked
    assert fitting({url: 60}, {}) == ({url: url} if asked else {})


def test_of_several_sizes_the_smallest_that_is_wide_enough_is_fetched() -> None:
    sizes = [Image(url=f"{URL}{width}", width=width) for width in (640, 300, 64)]
    assert fitting({f"{URL}640": 60}, {f"{URL}640": sizes}) == {f"{URL}640": f"{URL}64"}
    assert fitting({f"{URL}640": 240}, {f"{URL}640": sizes}) == {f"{URL}640": f"{URL}300"}
    assert fitting({f"{URL}640": 900}, {f"{URL}640": sizes}) == {f"{URL}640": f"{URL}640"}
    elsewhere = [Image(url="https://evil.example/x", width=64)]
    assert fitting({f"{URL}640": 60}, {f"{URL}640": elsewhere}) == {}


def test_each_is_fetched_once_and_kept(tmp_path: Path) -> None:
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return JPEG

    sources = {f"{URL}a": f"{URL}small", f"{URL}b": f"{URL}small", f"{URL}c": f"{URL}c"}
    first = fetch_pictures(sources, tmp_path, fetch)
    assert sorted(asked) == [f"{URL}c", f"{URL}small"]
    assert first.missing == 0
    assert first.pictures.keys() == sources.keys()
    assert fetch_pictures(sources, tmp_path, fetch) == first
    assert len(asked) == 2
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "content", [b"", b"<svg onload='alert(1)'/>", b"<html>", JPEG + bytes(pictures.MOST_BYTES)], ids=len
)
def test_what_is_no_picture_or_too_large_is_left_out_and_not_kept(tmp_path: Path, content: bytes) -> None:
    fetched = fetch_pictures({f"{URL}a": f"{URL}a"}, tmp_path, lambda _: content)
    assert (fetched.pictures, fetched.missing) == ({}, 1)
    assert list(tmp_path.iterdir()) == []
    assert as_picture(content) is None


def test_offline_is_noticed_at_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        time.sleep(0.01)
        raise requests.ConnectionError("no network")

    fetched = fetch_pictures({f"{URL}{number}": f"{URL}{number}" for number in range(60)}, tmp_path, fetch)
    assert fetched.missing == 60
    assert len(asked) < 30


def test_one_that_never_answers_costs_no_more_than_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PATIENCE_S", 0.3)
    released = threading.Event()

    def fetch(url: str) -> bytes:
        if url.endswith("stuck"):
            released.wait(20)
        return JPEG

    started = time.monotonic()
    fetched = fetch_pictures({f"{URL}stuck": f"{URL}stuck", f"{URL}a": f"{URL}a"}, tmp_path, fetch)
    assert time.monotonic() - started < 5
    released.set()
    assert fetched.pictures.keys() == {f"{URL}a"}


def test_the_cache_forgets_what_was_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_CACHED", 3)
    for number in range(5):
        fetch_pictures({f"{URL}{number}": f"{URL}{number}"}, tmp_path, lambda _: JPEG)
    assert len(list(tmp_path.iterdir())) == 3


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        match self.path:
            case "/image/moved":
                self.send_response(302)
                self.send_header("Location", "/image/good")
                self.end_headers()
            case "/image/endless":
                self.send_response(200)
                self.end_headers()
                try:
                    while True:
                        self.wfile.write(JPEG * 1_000)
                except OSError:
                    pass
            case "/image/good":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(JPEG)
            case _:
                self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


def test_redirects_are_not_followed_and_no_answer_is_read_without_end() -> None:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        fetch = from_network(f"http://127.0.0.1:{server.server_port}")
        try:
            found = {name: fetch(f"{URL}{name}") for name in ("good", "moved", "endless", "none")}
        finally:
            server.shutdown()
            thread.join()
    assert found == {"good": JPEG, "moved": b"", "endless": b"", "none": b""}
