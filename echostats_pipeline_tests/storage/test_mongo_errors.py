"""Errors of the server are explained by their cause, tested with real servers that fail in these ways."""

import contextlib
import ipaddress
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pymongo import MongoClient
from pymongo.errors import ServerSelectionTimeoutError

from echostats_pipeline.errors import StorageError
from echostats_pipeline.local.mongod import EmbeddedServer, find_mongod, free_port
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage import database
from echostats_pipeline.storage.database import Document, connected
from echostats_pipeline.storage.mongo_errors import MongoAddress, explanation

pytestmark = pytest.mark.kill

PASSWORD = "s3cret-canary"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SERVER_SELECTION_TIMEOUT_MS", 700)


@contextlib.contextmanager
def mongod(folder: Path, *options: str) -> Iterator[int]:
    """A separate server with these options; gives its port."""
    port, data = free_port(), folder / "data"
    data.mkdir()
    binary = find_mongod(StateFolder(folder / "home"))
    command = [str(binary), "--port", str(port), "--dbpath", str(data), "--bind_ip", "127.0.0.1", *options]
    process = subprocess.Popen([*command, "--logpath", str(folder / "log")], stdout=subprocess.DEVNULL)
    try:
        log = folder / "log"
        deadline = time.monotonic() + 30
        while not (log.exists() and "Waiting for connections" in log.read_text()):
            assert process.poll() is None, log.read_text()[-1000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def said(uri: str) -> str:
    """The explanation for an address, at the connection or at the first read and write."""
    with pytest.raises(StorageError) as error:
        read_and_write(uri, lambda: None)
    text = str(error.value)
    assert PASSWORD not in text
    assert "stopped answering" not in text
    return text


def read_and_write(uri: str, between: Callable[[], object]) -> None:
    with connected(uri, "any") as db:
        db["users"].find_one()
        between()
        db["users"].insert_one({})


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A self-made authority, and a certificate with key that it has signed for a host."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "server")]
    found = []
    for name, key in zip(names, keys, strict=True):
        is_authority = name is names[0]
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        )
        if not is_authority:
            with contextlib.suppress(ValueError):
                builder = builder.add_extension(
                    x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False
                )
        found.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    authority, server = folder / "authority.pem", folder / "server.pem"
    authority.write_bytes(found[0])
    server.write_bytes(found[1] + private)
    return authority, server


def test_credentials_and_rights_are_told_apart(mongo_server: EmbeddedServer) -> None:
    at = f"127.0.0.1:{mongo_server.port}"
    wrong = said(f"mongodb://echostats:{PASSWORD}@{at}/?authSource=admin")
    assert f"{at} has refused the user or password" in wrong
    assert "authSource" in wrong
    assert "requires authentication" in said(f"mongodb://{at}/")
    with MongoClient[Document](mongo_server.uri) as client:
        client.admin.command("createUser", "reader", pwd=PASSWORD, roles=[{"role": "read", "db": "any"}])
        try:
            uri = f"mongodb://reader:{PASSWORD}@{at}/?authSource=admin"
            assert "may not insert in the database any" in said(uri)
            with pytest.raises(StorageError, match="requires authentication"):
                read_and_write(uri, lambda: client.admin.command("dropUser", "reader"))
        finally:
            with contextlib.suppress(Exception):
                client.admin.command("dropUser", "reader")


def test_tls_and_its_absence_are_told(tmp_path: Path, mongo_server: EmbeddedServer) -> None:
    assert "does not answer in TLS" in said(f"mongodb://me:{PASSWORD}@127.0.0.1:{mongo_server.port}/?tls=true")
    authority, server = certificate(tmp_path, "10.1.2.3")
    options = ("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(server), "--tlsCAFile", str(authority))
    with mongod(tmp_path, *options, "--tlsAllowConnectionsWithoutCertificates") as port:
        uri = f"mongodb://127.0.0.1:{port}/"
        assert "try tls=true" in said(uri)
        assert "certificate is not trusted here" in said(f"{uri}?tls=true")
        assert "certificate is for another host name" in said(f"{uri}?tls=true&tlsCAFile={authority}")


def test_a_replica_set_that_is_not_there_is_told(tmp_path: Path) -> None:
    with mongod(tmp_path, "--replSet", "rs0") as port:
        for name in ("rs0", "rs9"):
            assert "not a member of that replica set, or the set has no primary" in said(
                f"mongodb://127.0.0.1:{port}/?replicaSet={name}"
            )


@pytest.mark.parametrize("password", ["a@b", "a/b", "a?b", "a:b", "a%b", "a#/b", "a@", "a@b/c?d"])
def test_a_password_that_is_not_escaped_is_told(password: str) -> None:
    text = said(f"mongodb://me:{PASSWORD}{password}@127.0.0.1:1/")
    assert "%40" in text
    assert password not in text


@pytest.mark.parametrize(
    ("option", "reported"),
    [
        ("tsl=true", "The option tsl"),
        ("tls=maybe", "The option tls"),
        ("authMechanism=FOO", "The option authMechanism"),
    ],
)
def test_an_option_that_is_none_is_told(option: str, reported: str) -> None:
    assert reported in said(f"mongodb://me:{PASSWORD}@127.0.0.1:1/?{option}")


def test_a_name_that_is_not_known_is_told() -> None:
    for scheme in ("mongodb", "mongodb+srv"):
        text = said(f"{scheme}://me:{PASSWORD}@nowhere.invalid/")
        assert "nowhere.invalid" in text
        assert "not known to DNS" in text


def test_a_certificate_file_that_is_not_there_is_told() -> None:
    assert "tlsCAFile" in said(f"mongodb://me:{PASSWORD}@127.0.0.1:1/?tls=true&tlsCAFile=/nowhere")


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        (
            "db:27017: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired",
            "has expired",
        ),
        ("db:27017: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required", "KeyFile"),
        ("db:27017: timed out (configured timeouts: connectTimeoutMS: 20000.0ms), Timeout: 5s", "in time (db:27017: "),
        ("db:27017: [Errno 113] No route to host", "firewall"),
        ("db:27017: [Errno 61] Connection refused", "at db:27017 does not answer: the connection was refused"),
    ],
)
def test_every_cause_has_its_remedy(words: str, reported: str) -> None:
    assert reported in explanation(ServerSelectionTimeoutError(words))
    assert "MongoDB at there" in explanation(ServerSelectionTimeoutError(words), MongoAddress("there"))


def test_a_full_disk_under_the_embedded_server_is_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, embedded = ServerSelectionTimeoutError("127.0.0.1:1: [Errno 111] Connection refused"), tmp_path
    address = MongoAddress("127.0.0.1:1", home=embedded)
    assert "The embedded MongoDB at 127.0.0.1:1 does not answer" in explanation(gone, address)
    full = type("Usage", (), {"free": 0})()
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    assert explanation(gone, address).startswith(f"The disk of {tmp_path} is full")
