"""Explains errors of MongoDB in words: where the problem is, why, and what to do about it.

Most causes can be distinguished only by the text of the driver's errors. Here: reading these texts. Not here: raising,
retrying. No message contains a password: an address is reduced to its hosts before it is used in a message.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pymongo.errors import NotPrimaryError, OperationFailure, PyMongoError
from pymongo.uri_parser import split_options

_AUTHENTICATION_FAILED, _ATLAS_REFUSED, UNAUTHORIZED, _OUT_OF_DISK_SPACE = 18, 8000, 13, 14031
_FULL_BYTES = 64 * 2**20
_ESCAPING = (
    "A user name or password in it must be percent-encoded: write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, "
    "% as %25."
)

_TRUST = "MONGO_URI needs tlsCAFile=<file of the authority that signed it>."
_NETWORK = (
    ("certificate has expired|not yet valid", "its TLS certificate has expired or is not valid yet", "Renew it there."),
    (
        "mismatch|not valid for|doesn't match",
        "its TLS certificate is for another host name",
        "Name the server in MONGO_URI as its certificate does.",
    ),
    ("CERTIFICATE_VERIFY_FAILED", "its TLS certificate is not trusted here", _TRUST),
    (
        "alert certificate required|alert handshake failure|alert bad certificate|alert unknown ca",
        "it does not accept this client's TLS certificate, or requires one",
        "MONGO_URI needs tlsCertificateKeyFile=<certificate and key>.",
    ),
    (
        "SSL|TLS",
        "it does not answer in TLS",
        "If the server has no TLS, remove tls=true (ssl=true) from MONGO_URI; otherwise check its TLS settings.",
    ),
    (
        "Name or service not known|nodename nor servname|name resolution|getaddrinfo|No address associated|DNS",
        "the name is not known to DNS",
        "Check the spelling of the host in MONGO_URI and the network of this machine.",
    ),
    (
        "[Rr]eplica set|ReplicaSet|[Pp]rimary",
        "it is not a member of that replica set, or the set has no primary now",
        "Check replicaSet=... in MONGO_URI against rs.status() on the server; leave it out for a single server.",
    ),
    (
        "[Rr]efused",
        "the connection was refused: nothing listens at that port",
        "Start the server, or correct host and port in MONGO_URI, or unset it to use the embedded server.",
    ),
    (
        "[Tt]imed out|[Tt]imeout:|unreachable|No route",
        "it did not answer in time",
        "Check that the server in MONGO_URI runs, and that no firewall is between.",
    ),
)
"""Patterns of the driver's words, with the reason and the remedy; the first match decides."""


@dataclass(frozen=True)
class MongoAddress:
    """The address of a server, without secrets.

    Attributes:
        hosts: As written in the connection string.
        tls: Whether TLS is requested.
        home: The state folder of the embedded server; None for another server.
    """

    hosts: str
    tls: bool = False
    home: Path | None = None

    @classmethod
    def of(cls, uri: str, home: Path | None = None) -> Self:
        """Read a connection string, well-formed or not: everything before the last ``@`` may be part of a password."""
        scheme, _, rest = uri.partition("://")
        hosts = re.split(r"[/?]", rest.rpartition("@")[2])[0]
        tls = scheme == "mongodb+srv" or re.search(r"[?&](tls|ssl)=true", uri, re.IGNORECASE) is not None
        return cls(hosts if re.fullmatch(r"[\w.:,\[\]-]+", hosts) else "", tls, home)

    def __str__(self) -> str:
        """The server as named in a sentence."""
        return f"MongoDB at {self.hosts}" if self.hosts else "MongoDB"


UNKNOWN = MongoAddress("")


def explanation(error: PyMongoError, address: MongoAddress = UNKNOWN) -> str:
    """One or two sentences about an error: where, why, and what to do."""
    if address.home is not None and _is_full(address.home, error):
        return (
            f"The disk of {address.home} is full, so the database cannot store anything. What was stored stays; "
            "make room there and run it again."
        )
    if isinstance(error, OperationFailure) and not isinstance(error, NotPrimaryError):
        return _refusal(error, address)
    return _silence(re.split(", (?:Topology Description|full error)", str(error))[0], str(error), address)


def bad_uri(error: Exception, uri: str) -> str:
    """Why a connection string cannot be used; only its hosts are quoted."""
    address, text = MongoAddress.of(uri), str(error)
    if "DNS" in text or type(error).__module__.startswith("dns."):
        return f"{address} cannot be found: the name is not known to DNS. Check the spelling of the host in MONGO_URI."
    if "escaped" in text or (uri.count("@") > 1 or re.search(r"://[^@]*[/?#][^@]*@", uri)):
        return f"MONGO_URI cannot be used. {_ESCAPING}"
    if isinstance(error, OSError):
        return (
            f"MONGO_URI cannot be used: a certificate file that it names is missing or no certificate "
            f"({error.strerror or text}). Check tlsCAFile and tlsCertificateKeyFile."
        )
    said = _without_password(text, uri)
    return f"MONGO_URI cannot be used: {said}. It looks like mongodb://user:password@host:27017/?authSource=admin"


def bad_option(uri: str) -> str | None:
    """What is wrong with an option of a connection string for which the driver only warns; None if nothing is."""
    query = uri.partition("://")[2].rpartition("@")[2].partition("?")[2]
    for option in filter(None, re.split("[&;]", query)):
        try:
            split_options(option, validate=True, warn=False)
        except (PyMongoError, ValueError) as error:
            name, said = option.partition("=")[0], _without_password(str(error), uri)
            return f"The option {name} of MONGO_URI cannot be used: {said}. Correct it, or remove it from MONGO_URI."
        except OSError:
            continue  # a missing file, which is reported when it is opened
    return None


def _refusal(error: OperationFailure, address: MongoAddress) -> str:
    details = error.details or {}
    text = str(details.get("errmsg") or error).partition(", full error")[0]
    mine = "Restore the password file in ECHOSTATS_HOME/mongo." if address.home else None
    if error.code in {_AUTHENTICATION_FAILED, _ATLAS_REFUSED}:
        return f"{address} has refused the user or password (authentication failed). " + (
            mine or "Check both in MONGO_URI, and authSource: the database in which the user was made, usually admin."
        )
    if error.code == UNAUTHORIZED and "requires authentication" in text:
        return f"{address} requires authentication, and no user is signed in. " + (
            mine or "Put a user and password into MONGO_URI: mongodb://user:password@host/?authSource=admin"
        )
    if error.code == UNAUTHORIZED:
        found = re.search(r"on (\S+) to execute command \{ (\w+)", text)
        what = f"may not {found[2]} in the database {found[1]}" if found else "may not do that"
        needed = "roles readWrite and dbAdmin" if found and found[2] == "collMod" else "role readWrite"
        role = f"the {needed} on {found[1]}" if found else "readWrite on the databases in use"
        return f"The user of MONGO_URI {what} of {address} (not authorized). Give them {role}: db.grantRolesToUser()."
    if error.code == _OUT_OF_DISK_SPACE or "No space left" in text:
        return f"The disk of {address} is full. What was stored stays; make room there and run it again."
    name = details.get("codeName") or error.code
    return f"{address} has refused a command ({name}): {text[:300].rstrip('.')}. What was stored stays."


def _silence(said: str, whole: str, address: MongoAddress) -> str:
    where = str(address)
    if address is UNKNOWN and (found := re.search(r"(?:^|: )([\w.\[\]-]+:\d+): ", said)):
        where = f"MongoDB at {found[1]}"
    if address.home is not None:
        where, start = f"The embedded {where}", "It starts when it is needed: run the command again; log: "
        return f"{where} does not answer ({_first_words(said)}). {start}{address.home / 'mongo'}"
    if "connection closed" in said or "reset by peer" in said:
        reason = "it has closed the connection"
        fix = (
            "It may ask for a client certificate: tlsCertificateKeyFile=<certificate and key> in MONGO_URI."
            if address.tls
            else "It may speak TLS only: try tls=true in MONGO_URI. Otherwise the server was stopped; start it again."
        )
        return f"{where} cannot be used: {reason}. {fix}"
    for pattern, reason, fix in _NETWORK:
        if re.search(pattern, said) or ("ReplicaSet" in pattern and "ReplicaSetNoP" in whole):
            silent = "cannot be used" if re.search("TLS|name is|member", reason) else "does not answer"
            return f"{where} {silent}: {reason} ({_first_words(said)}). {fix}"
    return f"{where} does not answer as MongoDB does: {_first_words(said)}. Check host and port in MONGO_URI."


def _first_words(said: str) -> str:
    """The driver's own words, without its time-outs."""
    return re.sub(r" \(configured timeouts:[^)]*\)|, Timeout: [\d.]+s", "", said)[:200].strip().rstrip(".")


def _is_full(home: Path, error: PyMongoError) -> bool:
    try:
        return "No space left" in str(error) or shutil.disk_usage(home).free < _FULL_BYTES
    except OSError:
        return False


def _without_password(text: str, uri: str) -> str:
    """The text without any part of the connection string before the hosts."""
    secret = uri.partition("://")[2].rpartition("@")[0]
    for part in {secret, *re.split(r"[:@/?#]", secret)} - {""}:
        text = text.replace(part, "***")
    return text.strip().rstrip(".")
