import importlib.util
import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from echostats_pipeline.errors import EmbeddedServerError
from echostats_pipeline.local import mongod_binary
from echostats_pipeline.local.mongod_binary import find_mongod
from echostats_pipeline.state_folder import StateFolder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-ins are shell scripts")

WORKS = "#!/bin/sh\necho 'db version v6.0.5'\n"


@pytest.fixture(autouse=True)
def no_mongod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a wheel nor a mongod on PATH, until a test adds one."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def put(path: Path, content: str | bytes, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def put_wheel(monkeypatch: pytest.MonkeyPatch, site: Path, content: str | bytes, mode: int = 0o755) -> Path:
    spec = ModuleSpec("fiftyone", None, is_package=True)
    spec.submodule_search_locations = [str(site / "fiftyone")]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    return put(site / "fiftyone" / "db" / "bin" / "mongod", content, mode)


def test_a_missing_binary_says_how_to_get_one() -> None:
    with pytest.raises(EmbeddedServerError) as error:
        find_mongod()
    for way in ('pip install "echostats-pipeline[embedded]"', "install mongod", "set MONGO_URI"):
        assert way in str(error.value)


def test_the_wheel_comes_before_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on_path = put(tmp_path / "bin" / "mongod", WORKS)
    assert find_mongod() == on_path
    assert find_mongod() != put_wheel(monkeypatch, tmp_path / "site", WORKS) == find_mongod()


def test_a_binary_without_run_permission_gets_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binary = put_wheel(monkeypatch, tmp_path / "site", WORKS, mode=0o644)
    assert find_mongod() == binary
    assert os.access(binary, os.X_OK)


def test_a_binary_in_a_read_only_place_is_copied_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binary = put_wheel(monkeypatch, tmp_path / "site", WORKS, mode=0o644)
    home = StateFolder(tmp_path / "home")
    change_mode = Path.chmod

    def refuse(path: Path, mode: int) -> None:
        if path == binary:
            raise OSError(30, "Read-only file system")
        change_mode(path, mode)

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(EmbeddedServerError, match="Read-only file system"):
        find_mongod()
    copy = find_mongod(home)
    assert copy == home.mongo_dir / "bin" / "mongod"
    written = copy.stat().st_mtime_ns
    assert find_mongod(home) == copy
    assert copy.stat().st_mtime_ns == written
    assert list(copy.parent.iterdir()) == [copy]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x7fELF not for this machine", "Exec format error"),
        ("#!/bin/sh\necho 'mongod: libcrypto.so.3: cannot open shared object file' >&2\nexit 127\n", "libcrypto.so.3"),
        ("#!/bin/sh\nexit 3\n", "it exits with code 3"),
        ("#!/bin/sh\necho 'db version v4.2.1'\n", "MongoDB 4; version 5 or later is needed"),
    ],
)
def test_a_binary_that_does_not_run_is_quoted(tmp_path: Path, content: str | bytes, said: str) -> None:
    binary = put(tmp_path / "bin" / "mongod", content)
    with pytest.raises(EmbeddedServerError, match=said) as error:
        find_mongod()
    assert str(binary) in str(error.value)
    assert "set MONGO_URI" in str(error.value)


def test_a_broken_wheel_gives_way_to_a_working_mongod_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_wheel(monkeypatch, tmp_path / "site", b"\x7fELF not for this machine")
    on_path = put(tmp_path / "bin" / "mongod", WORKS)
    assert find_mongod() == on_path


def test_looking_for_the_binary_imports_nothing_of_the_wheel() -> None:
    script = (
        "import sys; from echostats_pipeline.local import mongod_binary\n"
        "try: mongod_binary.find_mongod()\n"
        "except mongod_binary.EmbeddedServerError: pass\n"
        "assert not [name for name in sys.modules if name.startswith('fiftyone')]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_where_no_server_comes_along_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongod_binary, "_from_wheel", lambda: None)
    monkeypatch.setattr(mongod_binary, "_from_path", lambda: None)
    monkeypatch.setattr(mongod_binary.sys, "platform", "linux")
    monkeypatch.setattr(mongod_binary.platform, "machine", lambda: "riscv64")
    with pytest.raises(EmbeddedServerError, match=r"brings none for Linux on riscv64\. Or install mongod .* MONGO_URI"):
        find_mongod()
