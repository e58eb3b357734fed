"""The state folder (``ECHOSTATS_HOME``): all files of this installation outside MongoDB.

Here: creating the folder, keeping it private, reading and writing small files in it, the generated encryption key. Not
here: the meaning of the files. On Windows, the access rules of the user profile protect the folder; on other systems,
file modes do.
"""

import errno
import json
import os
import re
import secrets
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from echostats_pipeline.errors import StorageError

PRIVATE_FOLDER_MODE = 0o700
KEY_BYTES = 32
KEY_LOCK_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class StateFolder:
    """The state folder, which only its owner can read. Nothing on disk changes before `ensure` or a write.

    Attributes:
        path: The folder, usually `Settings.home`.
    """

    path: Path

    @property
    def mongo_dir(self) -> Path:
        """Files of the embedded MongoDB server."""
        return self.path / "mongo"

    @property
    def dagster_dir(self) -> Path:
        """The Dagster instance (``DAGSTER_HOME``)."""
        return self.path / "dagster"

    @property
    def imports_dir(self) -> Path:
        """Exports that wait for import, in a subfolder per user."""
        return self.path / "imports"

    @property
    def reports_dir(self) -> Path:
        """Listening reports, as HTML files."""
        return self.path / "reports"

    @property
    def pictures_dir(self) -> Path:
        """Cache of the pictures in reports, so that each one is fetched once."""
        return self.path / "pictures"

    @property
    def work_dir(self) -> Path:
        """What runs work on at the moment, in a subfolder per user. A killed run leaves its files there."""
        return self.path / "work"

    @property
    def simulated_dir(self) -> Path:
        """Exports that the simulated Spotify has written."""
        return self.path / "simulated"

    @property
    def encryption_key_file(self) -> Path:
        """The generated key: 64 hexadecimal characters and a newline."""
        return self.path / "encryption.key"

    @property
    def simulator_file(self) -> Path:
        """File with the address of a running simulator."""
        return self.path / "simulator.json"

    @property
    def public_links_file(self) -> Path:
        """File with the tokens below which `echostats up --public-port` serves files of users."""
        return self.path / "public.json"

    @property
    def roster_file(self) -> Path:
        """File with the existing users, for code that may not read MongoDB."""
        return self.path / "users.json"

    def ensure(self) -> Self:
        """Create the folder and its subfolders with mode 0700, also set it on our existing ones; check write access.

        Raises:
            StorageError: the folder cannot be created or written, or is shared with the whole system.
        """
        try:
            self.path.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
            if os.name == "posix":
                self._refuse_shared()
            for folder in (
                self.path,
                self.mongo_dir,
                self.dagster_dir,
                self.imports_dir,
                self.reports_dir,
                self.pictures_dir,
                self.simulated_dir,
            ):
                _make_private(folder)
            with tempfile.TemporaryFile(dir=self.path) as probe:
                probe.write(b"x")
                probe.flush()
        except OSError as error:
            raise self._unusable(error) from error
        return self

    def simulator_url(self) -> str | None:
        """Return the address of the simulator that a command of this folder serves, or None."""
        running = self.read_json(self.simulator_file)
        return None if running is None else str(running["url"])

    def write_private(self, name: str | Path, text: str) -> Path:
        """Write a file atomically, with mode 0600 from its first byte: readers see the old or the new content.

        Args:
            name: File name relative to the folder, or one of the path properties.
            text: The whole new content, stored as UTF-8.

        Returns:
            Path of the file.

        Raises:
            StorageError: the file cannot be written; the previous content, if any, is untouched.
        """
        target = self.path / name
        try:
            replace_file(target, text.encode())
        except OSError as error:
            raise self._unusable(error) from error
        return target

    def write_json(self, name: str | Path, value: Any) -> Path:
        """Write a value as JSON, with the guarantees and errors of `write_private`."""
        return self.write_private(name, json.dumps(value, indent=2, sort_keys=True) + "\n")

    def read_text(self, name: str | Path) -> str | None:
        """Return the content of a file, or None if the file does not exist.

        Raises:
            StorageError: the file exists and cannot be read, or is not UTF-8.
        """
        target = self.path / name
        try:
            return target.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(
                f"Cannot read {target}: {error}. Make it readable, or restore it from a copy."
            ) from error

    def read_json(self, name: str | Path) -> Any:
        """Return the value in a JSON file, or None if the file does not exist.

        Raises:
            StorageError: the file cannot be read or is not JSON.
        """
        text = self.read_text(name)
        if text is None:
            return None
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise StorageError(f"{self.path / name} is not valid JSON ({error}). Repair or remove it.") from error

    def encryption_key(self) -> str:
        """Return the encryption key of this folder, 64 hexadecimal characters (AES-256); the first call creates it.

        Processes that call this at the same time all get the same key.

        Raises:
            StorageError: the key file cannot be read or written, or does not hold a key.
        """
        if (key := self._stored_key()) is not None:
            return key
        self.ensure()
        try:
            with FileLock(f"{self.encryption_key_file}.lock", timeout=KEY_LOCK_TIMEOUT_S, mode=0o600):
                if (key := self._stored_key()) is None:
                    key = secrets.token_hex(KEY_BYTES)
                    self.write_private(self.encryption_key_file, f"{key}\n")
                return key
        except Timeout as error:
            raise StorageError(
                f"Another process has held {self.encryption_key_file}.lock for {KEY_LOCK_TIMEOUT_S:.0f} seconds. "
                "Try again; if the error stays, stop the other echostats processes."
            ) from error
        except OSError as error:
            raise self._unusable(error) from error

    def _stored_key(self) -> str | None:
        text = self.read_text(self.encryption_key_file)
        if text is None:
            return None
        key = text.strip()
        if not re.fullmatch(r"[0-9a-fA-F]{64}", key):
            raise StorageError(
                f"{self.encryption_key_file} does not hold 64 hexadecimal characters. Restore it from a copy: stored "
                "Spotify tokens cannot be read without it. Removing it makes a new key, and every user must reconnect."
            )
        return key

    def _refuse_shared(self) -> None:
        """Refuse folders like ``/`` or ``/tmp``: mode 0700 on them would break the system."""
        if self.path.resolve() == Path("/") or self.path.stat().st_mode & stat.S_ISVTX:
            raise StorageError(
                f"The state folder {self.path} is shared by the whole system. "
                "Set ECHOSTATS_HOME to a folder of its own, for example one inside it."
            )

    def _unusable(self, error: OSError) -> StorageError:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return StorageError(
            f"The state folder {self.path} cannot be used: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}. "
            + (
                "Make room on its disk and try again; stored data is kept."
                if full
                else "Set ECHOSTATS_HOME to a folder that you can write to."
            )
        )


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
    if sys.platform == "win32":
        return
    status = folder.stat()
    if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o077:
        folder.chmod(PRIVATE_FOLDER_MODE)


def replace_file(target: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a new file and rename it to the target; both are on disk on return, since a lost key cannot be replaced."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        Path(temporary).chmod(mode)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
