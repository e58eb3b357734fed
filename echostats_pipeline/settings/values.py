"""Which values settings take. Each function checks one, says what is wrong with it, and returns the value to keep.

They raise `SettingsError` with the variable and the fix.
"""

import re
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationInfo

from echostats_pipeline.errors import SettingsError

DEFAULT_REDIRECT_URI = "http://127.0.0.1:8888/callback"
MongoMart = Literal["echotune", "playlist_generator", "spotify_analytics"]
Mart = Literal[MongoMart, "warehouse"]
MARTS: tuple[MongoMart, ...] = get_args(MongoMart)
"""The databases in the shape of other applications that ECHOSTATS_MARTS can name."""
PostgresPolicies = Literal["logins", "supabase"]
SyncSensors = Literal["auto", "per_user", "fanout"]
GENRE_SOURCES = ("spotify", "musicbrainz", "lastfm")
WEB_ADDRESSES = {
    "ui_url": ("ECHOSTATS_UI_URL", "the Dagster UI, for example https://stats.example.org"),
    "simulator_url": ("SIMULATOR_URL", "the simulated Spotify, for example http://simulator:8889"),
}
LARGEST = 999_999_999
"""Upper bound of whole numbers in the settings."""
NONE_ALONE = "none means no source at all: leave it out, or give it alone."
NEW_KEY = 'Make one with: python -c "import secrets; print(secrets.token_hex(32))"'


def absolute(value: Any) -> Any:
    """A path with the home folder in place of ``~``."""
    return Path(value).expanduser().absolute() if isinstance(value, str) else value


def connection_string(uri: SecretStr | None) -> SecretStr | None:
    """The address of a MongoDB server."""
    if uri is not None and not uri.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
        raise SettingsError(
            "MONGO_URI does not start with mongodb:// or mongodb+srv://. "
            "Give a MongoDB connection string, or unset it to use the embedded server."
        )
    return uri


def database_name(name: str, variable: str) -> str:
    """The name of a database, which the variable `variable` gives."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", name):
        raise SettingsError(f"{variable} is {name!r}. Use 1 to 63 letters, digits, '_' or '-', for example echostats.")
    return name


def prefix(prefix: str, variable: str) -> str:
    """What the names of collections begin with, which the variable `variable` gives."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", prefix):
        raise SettingsError(
            f"{variable} is {prefix!r}. Use 1 to 40 letters, digits, '_' or '-', for example echotune_."
        )
    return prefix


def known_marts(value: Any) -> Any:
    """The names of marts, each once."""
    names = _separated(value, r"[\s,]+") if isinstance(value, str) else value
    for name in names:
        if name not in MARTS:
            hint = " The warehouse needs ECHOSTATS_POSTGRES instead." if name == "warehouse" else ""
            raise SettingsError(f"ECHOSTATS_MARTS names {name!r}. There is: {', '.join(MARTS)}.{hint}")
    return tuple(dict.fromkeys(names))


def redis_address(url: SecretStr | None) -> SecretStr | None:
    """The address of a Redis server."""
    if url is not None and not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise SettingsError(
            "ECHOSTATS_REDIS_URL does not start with redis://, rediss:// or unix://. "
            "Give the address of a Redis server, or unset it."
        )
    return url


def postgres_address(url: SecretStr | None) -> SecretStr | None:
    """The address of a PostgreSQL database."""
    if url is not None and not url.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise SettingsError(
            "ECHOSTATS_POSTGRES does not start with postgresql:// or postgres://. "
            "Give the address of a PostgreSQL database, or unset it."
        )
    return url


def key(key: SecretStr | None) -> SecretStr | None:
    """An encryption key."""
    if key is not None and not _is_key(key.get_secret_value()):
        raise SettingsError(
            f"ENCRYPTION_KEY must be 64 hexadecimal characters (32 bytes); it has {len(key)} characters. {NEW_KEY}"
        )
    return key


def old_keys(value: Any) -> Any:
    """Former encryption keys."""
    keys = _separated(value, r",") if isinstance(value, str) else value
    for number, key in enumerate(keys, start=1):
        if isinstance(key, str) and not _is_key(key):
            raise SettingsError(
                "ENCRYPTION_KEYS_OLD must be former keys of 64 hexadecimal characters each, separated by commas; "
                f"number {number} has {len(key)} characters."
            )
    return keys


def accepted_by_spotify(uri: str) -> str:
    """A redirect URI that Spotify accepts."""
    parts = urlsplit(uri)
    loopback = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1"}
    if not loopback and parts.scheme != "https":
        raise SettingsError(
            f"SPOTIFY_REDIRECT_URI is {uri!r}. Spotify accepts https addresses and loopback literals only, "
            f"never 'localhost'; use for example {DEFAULT_REDIRECT_URI}"
        )
    return uri


def on_or_off(value: Any, info: ValidationInfo) -> Any:
    """A switch."""
    if isinstance(value, str) and value.lower() not in {"on", "off"}:
        name = f"ECHOSTATS_{(info.field_name or '').upper()}"
        default = "on" if info.field_name == "same_recording" else "the default"
        raise SettingsError(f"{name} is {value!r}. Give on or off, or unset it for {default}.")
    return value


def feature_sources(value: Any) -> Any:
    """The sources of audio features."""
    if not isinstance(value, str):
        return value
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if name not in {"spotify", "reccobeats", "none"} and Path(name).suffix.lower() not in {".csv", ".parquet"}:
            raise SettingsError(
                f"ECHOSTATS_AUDIO_FEATURES names {name!r}. "
                "Give spotify, reccobeats, the path of a .csv or .parquet file, or none, separated by commas."
            )
    if "none" in names and set(names) != {"none"}:
        raise SettingsError(f"ECHOSTATS_AUDIO_FEATURES is {value!r}. {NONE_ALONE}")
    return tuple(name for name in names if name != "none")


def genre_sources(value: Any) -> Any:
    """The sources of genres, each once."""
    if not isinstance(value, str):
        return value
    names = [name.strip() for name in value.lower().split(",") if name.strip()]
    for name in names:
        if name not in {*GENRE_SOURCES, "none"}:
            raise SettingsError(
                f"ECHOSTATS_GENRES names {name!r}. Give {', '.join(GENRE_SOURCES)} or none, separated by commas."
            )
    if "none" in names and set(names) != {"none"}:
        raise SettingsError(f"ECHOSTATS_GENRES is {value!r}. {NONE_ALONE}")
    return tuple(dict.fromkeys(name for name in names if name != "none"))


def header_value(contact: str | None) -> str | None:
    """A text that may stand in a header."""
    if contact is not None and (not contact.isascii() or not contact.isprintable() or "(" in contact or ")" in contact):
        raise SettingsError(
            "ECHOSTATS_CONTACT must be a mail or web address in plain letters, for example me@example.org."
        )
    return contact


def addresses(value: Any) -> Any:
    """Addresses for notices."""
    if not isinstance(value, str):
        return value
    # A comma may be part of an address, as in a list of recipients: it separates only if another address follows.
    found = re.split(r"\s*,\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)|\s+", value)
    addresses = [address.rstrip(",") for address in found if address.strip(",")]
    for number, address in enumerate(addresses, start=1):
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://.", address):
            raise SettingsError(
                "ECHOSTATS_ALERTS must be addresses like ntfys://ntfy.sh/topic or mailto://..., separated by "
                f"spaces; number {number} does not begin with a service and ://."
            )
    return addresses


def host_names(value: Any) -> Any:
    """Names of hosts, with or without a port."""
    if not isinstance(value, str):
        return value
    names = _separated(value.lower(), r"[\s,]+")
    for name in names:
        if not re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?", name):
            raise SettingsError(
                f"ECHOSTATS_UI_HOSTS names {name!r}. Give host names as in the address bar of the browser, with or "
                "without a port, for example stats.example.org, separated by commas; without http:// and without "
                "wildcards."
            )
    return names


def web_address(url: str | None, field: ValidationInfo) -> str | None:
    """The address of a web server."""
    if url is not None and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
        name, what = WEB_ADDRESSES[str(field.field_name)]
        raise SettingsError(f"{name} is {url!r}. Give the address of {what}.")
    return None if url is None else url.rstrip("/")


def _is_key(text: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F]{64}", text) is not None


def _separated(text: str, separator: str) -> list[str]:
    return [part.strip() for part in re.split(separator, text) if part.strip()]
