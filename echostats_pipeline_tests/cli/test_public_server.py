"""The public port of `echostats up`: read-only, and nothing without a user's link."""

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from echostats_pipeline.cli.public_server import serving_files
from echostats_pipeline.report.public import close_link, file_named, open_link, read_links
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline_tests.cli.conftest import Echostats
from echostats_pipeline_tests.conftest import Installation

ANN, BEN = "ann-123456", "ben-123456"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StateFolder:
    """A state folder with files of two users, of whom one has a link."""
    home = StateFolder(tmp_path_factory.mktemp("public") / "home").ensure()
    for key in (ANN, BEN):
        for name in (".html", "-2025.html", "-recap-2025.html", "-summary.json", "-badge.svg", "-feed.xml"):
            (home.reports_dir / f"{key}{name}").write_text(f"{key}{name}", encoding="utf-8")
    (home.reports_dir / "index.html").write_text("all users", encoding="utf-8")
    (home.reports_dir / f"{ANN}-2024.html").symlink_to(home.path / "encryption.key")
    home.write_private("encryption.key", "canary")
    open_link(home, ANN)
    return home


@pytest.fixture(scope="module")
def port(folder: StateFolder) -> Iterator[int]:
    with serving_files(folder, 0, "127.0.0.1") as url:
        yield urlsplit(url).port or 0


def asked(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
    """The status, the text and the headers of the answer to a path, which is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=False)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    with connection.getresponse() as answer:
        found = answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.getheaders()}
    connection.close()
    return found


def test_whoever_knows_the_link_reads_the_users_files(folder: StateFolder, port: int) -> None:
    token = read_links(folder)[ANN]
    for name, file, kind in (
        ("", ".html", "text/html"), ("report.html", ".html", "text/html"), ("2025.html", "-2025.html", "text/html"),
        ("recap-2025.html", "-recap-2025.html", "text/html"), ("summary.json", "-summary.json", "application/json"),
        ("badge.svg", "-badge.svg", "image/svg+xml"), ("feed.xml", "-feed.xml", "application/atom+xml"),
    ):  # fmt: skip
        status, text, headers = asked(port, f"/{token}/{name}")
        assert (status, text) == (200, f"{ANN}{file}")
        assert headers["content-type"].startswith(kind)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
    status, text, headers = asked(port, f"/{token}/summary.json", "HEAD")
    assert (status, text, headers["content-length"]) == (200, "", str(len(f"{ANN}-summary.json")))
    assert asked(port, f"/{token}/summary.json", If_None_Match=headers["etag"])[0] == 304


def test_nothing_else_is_there(folder: StateFolder, port: int) -> None:
    token = read_links(folder)[ANN]
    answers = {
        asked(port, path)[:2]
        for path in (
            "/", "//", f"/{token}", f"/{token}/..", f"/{token}/../users.json",
            f"/{token}/%2e%2e/users.json",
            f"/{token}/..%2fencryption.key", f"/{token}//report.html", f"/{token}/index.html", f"/{token}/2024.html",
            f"/{token}/{BEN}.html", f"/{token}/{ANN}.html", f"/{token}/2023.html", f"/{token}/x/summary.json",
            f"/{token}/summary.json%00", f"/{token}/2025.html%0a", f"/{token[:-1]}/summary.json", "/summary.json",
            f"/{ANN}/summary.json", f"/{token.swapcase()}/summary.json", "/reports/index.html", "/%ff/summary.json",
        )
    }  # fmt: skip
    assert answers == {(404, "There is nothing here.\n")}
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        status, _, headers = asked(port, f"/{token}/summary.json", method)
        assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_a_link_is_replaced_and_taken_back_at_once(folder: StateFolder, port: int) -> None:
    first = open_link(folder, BEN)
    assert len(first) >= 32
    assert open_link(folder, BEN) == first
    assert folder.public_links_file.stat().st_mode & 0o777 == 0o600
    second = open_link(folder, BEN, new=True)
    assert [asked(port, f"/{token}/feed.xml")[0] for token in (first, second)] == [404, 200]
    assert close_link(folder, BEN)
    assert not close_link(folder, BEN)
    assert asked(port, f"/{second}/feed.xml")[0] == 404


@pytest.mark.parametrize("name", [".", "..", "index.html", "20255.html", "recap-2025", "recap-../x.png", "٢٠.html"])
def test_only_known_names_are_files(name: str) -> None:
    assert file_named(ANN, name) is None


def test_a_user_is_published_by_command_and_no_longer_when_removed(
    installation: Installation, echostats: Echostats, tmp_path: Path
) -> None:
    key, folder = installation.connect().partition_key, StateFolder(installation.settings.home)
    assert read_links(folder) == {}
    said = echostats("users", "publish", key, "on")
    assert said.stdout == f"/{read_links(folder)[key]}/\n"
    assert echostats("users", "publish", key, "on").stdout == said.stdout
    assert echostats("users", "publish", key, "renew").stdout != said.stdout
    assert "have no link any more" in echostats("users", "publish", key, "off").stdout
    echostats("users", "publish", key, "on")
    assert echostats("users", "remove", key, "--yes").returncode == 0
    assert read_links(folder) == {}
