"""The environment, read once, as one frozen value.

The only module that reads ``os.environ``. Nothing is read at import; callers ask for `load_settings()`.
An optional ``.env`` file in the working directory fills what the environment leaves out.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

import platformdirs
from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, SecretStr

from echostats_pipeline.errors import SettingsError

DEFAULT_REDIRECT_URI = "http://127.0.0.1:8888/callback"
EMBEDDED_MONGO = "ECHOSTATS_EMBEDDED_MONGO"
SyncSensors = Literal["auto", "per_user", "fanout"]
SPOTIFY_API_URL = "https://api.spotify.com"
SPOTIFY_ACCOUNTS_URL = "https://accounts.spotify.com"


class Settings(BaseModel):
    """Everything the environment decides. Secrets never appear in its ``repr``.

    Attributes:
        home: State folder: embedded database, Dagster instance, generated key, port files.
        mongo_uri: MongoDB connection string; None means the embedded server of ``home``.
        embedded_mongo: Whether code under Dagster may use the embedded server: `echostats` commands say so to what
            they start.
        mongo_db: Name of the core database.
        encryption_key: 64 hex characters (AES-256); None means a key generated and kept in ``home``.
        encryption_keys_old: Former keys, with which tokens that are stored already may still be encrypted.
        spotify_client_id: None means that the simulated Spotify is used.
        daily_calls: Calls to each family of Spotify's endpoints that this installation allows itself in 24 hours.
        burst_calls: Calls to Spotify that this installation allows itself in 30 seconds.
        audio_features: Where audio features come from, in this order: ``spotify``, ``reccobeats``, or a file.
        min_play_ms: Plays shorter than this are kept but not counted (milliseconds).
        sync_interval_minutes: How often each user's recently played tracks are read.
        sensors: Whether each user is synced by a sensor of their own, or all by one, many in a run.
        sync_batch_size: How many users a run syncs at most where one sensor serves all.
        keep_runs_days: For how long the records of runs are kept in Dagster.
        imports_dir: Folder in which exports to be imported are looked for, one subfolder per user.
        import_max_gib: How much a zip may hold, in GiB unpacked.
        import_max_ratio: How many times larger than packed a file of a zip may be.
        alerts: Where notices of trouble go, as Apprise addresses; they hold passwords and tokens.
        ui_hosts: Names, with or without a port, under which the UI is reached besides those of this machine.
        ui_url: Address of the Dagster UI: links in notices lead there, and it is asked to load the code again.
    """

    model_config = ConfigDict(frozen=True)

    home: Path
    mongo_uri: SecretStr | None = None
    embedded_mongo: bool = False
    mongo_db: str = "echostats"
    encryption_key: SecretStr | None = None
    encryption_keys_old: tuple[SecretStr, ...] = ()
    spotify_client_id: str | None = None
    spotify_client_secret: SecretStr | None = None
    spotify_redirect_uri: str = DEFAULT_REDIRECT_URI
    daily_calls: int = 500
    burst_calls: int = 90
    audio_features: tuple[str, ...] = ("spotify", "reccobeats")
    min_play_ms: int = 30_000
    sync_interval_minutes: int = 15
    sensors: SyncSensors = "auto"
    sync_batch_size: int = 100
    keep_runs_days: int = 14
    imports_dir: Path = Path("imports")
    import_max_gib: int = 4
    import_max_ratio: int = 200
    alerts: tuple[SecretStr, ...] = ()
    ui_hosts: tuple[str, ...] = ()
    ui_url: str | None = None

    @property
    def simulated(self) -> bool:
        """Whether this installation talks to the simulator instead of Spotify."""
        return self.spotify_client_id is None


def load_settings(
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = Path(".env"),
    *,
    overrides: Mapping[str, str] | None = None,
) -> Settings:
    """Read and check the settings.

    Args:
        environ: Environment to read; the process's own when None.
        env_file: Optional dotenv file; the environment wins over it.
        overrides: Settings by the same names that win over both.

    Raises:
        SettingsError: a value is malformed; the message names the variable and the fix.
    """
    environ = os.environ if environ is None else environ
    from_file = dotenv_values(env_file) if env_file is not None and env_file.is_file() else {}
    stated = {**from_file, **environ, **(overrides or {})}
    values = {name: value.strip() for name, value in stated.items() if value and value.strip()}
    home = _home(values)
    return Settings(
        home=home,
        mongo_uri=_mongo_uri(values),
        embedded_mongo=values.get(EMBEDDED_MONGO) == "1",
        mongo_db=_database_name(values),
        encryption_key=_encryption_key(values),
        encryption_keys_old=_encryption_keys_old(values),
        spotify_client_id=values.get("SPOTIFY_CLIENT_ID"),
        spotify_client_secret=_secret(values.get("SPOTIFY_CLIENT_SECRET")),
        spotify_redirect_uri=_redirect_uri(values),
        daily_calls=_whole_number(values, "SPOTIFY_DAILY_CALLS", default=500, lowest=1),
        burst_calls=_whole_number(values, "SPOTIFY_BURST_CALLS", default=90, lowest=1),
        audio_features=_audio_features(values),
        min_play_ms=_whole_number(values, "ECHOSTATS_MIN_PLAY_MS", default=30_000, lowest=0),
        sync_interval_minutes=_whole_number(values, "SYNC_INTERVAL_MINUTES", default=15, lowest=1),
        sensors=_sync_sensors(values),
        sync_batch_size=_whole_number(values, "SYNC_BATCH_SIZE", default=100, lowest=1),
        keep_runs_days=_whole_number(values, "ECHOSTATS_KEEP_RUNS_DAYS", default=14, lowest=1),
        imports_dir=Path(values.get("ECHOSTATS_IMPORTS", home / "imports")).expanduser().absolute(),
        import_max_gib=_whole_number(values, "ECHOSTATS_IMPORT_MAX_GIB", default=4, lowest=1),
        import_max_ratio=_whole_number(values, "ECHOSTATS_IMPORT_MAX_RATIO", default=200, lowest=1),
        alerts=_alerts(values),
        ui_hosts=_ui_hosts(values),
        ui_url=_ui_url(values),
    )


def set_environment(values: Mapping[str, str]) -> None:
    """Set variables for Dagster, in this process and those it starts: Dagster takes them from nowhere else."""
    os.environ.update(values)


def _home(values: Mapping[str, str]) -> Path:
    if "ECHOSTATS_HOME" in values:
        return Path(values["ECHOSTATS_HOME"]).expanduser().absolute()
    return platformdirs.user_data_path("echostats", appauthor=False)


def _mongo_uri(values: Mapping[str, str]) -> SecretStr | None:
    uri = values.get("MONGO_URI")
    if uri is not None and not uri.startswith(("mongodb://", "mongodb+srv://")):
        raise SettingsError(
            "MONGO_URI does not start with mongodb:// or mongodb+srv://. "
            "Give a MongoDB connection string, or unset it to use the embedded server."
        )
    return _secret(uri)


def _database_name(values: Mapping[str, str]) -> str:
    name = values.get("MONGO_DB", "echostats")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", name):
        raise SettingsError(f"MONGO_DB is {name!r}. Use 1 to 63 letters, digits, '_' or '-', for example echostats.")
    return name


def _encryption_key(values: Mapping[str, str]) -> SecretStr | None:
    key = values.get("ENCRYPTION_KEY")
    if key is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", key):
        raise SettingsError(
            f"ENCRYPTION_KEY must be 64 hexadecimal characters (32 bytes); it has {len(key)} characters. "
            'Make one with: python -c "import secrets; print(secrets.token_hex(32))"'
        )
    if key is None and "MONGO_URI" in values:
        raise SettingsError(
            "ENCRYPTION_KEY is not set. It is required together with MONGO_URI, so that the tokens in your database "
            'stay readable from every machine. Make one with: python -c "import secrets; print(secrets.token_hex(32))"'
        )
    return _secret(key)


def _encryption_keys_old(values: Mapping[str, str]) -> tuple[SecretStr, ...]:
    keys = [key.strip() for key in values.get("ENCRYPTION_KEYS_OLD", "").split(",") if key.strip()]
    for number, key in enumerate(keys, start=1):
        if not re.fullmatch(r"[0-9a-fA-F]{64}", key):
            raise SettingsError(
                f"ENCRYPTION_KEYS_OLD must be former keys of 64 hexadecimal characters each, separated by commas; "
                f"number {number} has {len(key)} characters."
            )
    return tuple(SecretStr(key) for key in keys)


def _redirect_uri(values: Mapping[str, str]) -> str:
    uri = values.get("SPOTIFY_REDIRECT_URI", DEFAULT_REDIRECT_URI)
    parts = urlsplit(uri)
    loopback = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1"}
    if not loopback and parts.scheme != "https":
        raise SettingsError(
            f"SPOTIFY_REDIRECT_URI is {uri!r}. Spotify accepts https addresses and loopback literals only, "
            f"never 'localhost'; use for example {DEFAULT_REDIRECT_URI}"
        )
    return uri


def _whole_number(values: Mapping[str, str], name: str, *, default: int, lowest: int) -> int:
    text = values.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < lowest:
        raise SettingsError(f"{name} is {text!r}. Give a whole number of at least {lowest}, or unset it for {default}.")
    return int(text)


def _sync_sensors(values: Mapping[str, str]) -> SyncSensors:
    name = values.get("ECHOSTATS_SENSORS", "auto")
    if name not in get_args(SyncSensors):
        raise SettingsError(f"ECHOSTATS_SENSORS is {name!r}. Give one of {', '.join(get_args(SyncSensors))}.")
    return cast(SyncSensors, name)


def _audio_features(values: Mapping[str, str]) -> tuple[str, ...]:
    names = [name.strip() for name in values.get("ECHOSTATS_AUDIO_FEATURES", "spotify,reccobeats").split(",")]
    for name in names:
        if name not in {"spotify", "reccobeats", "none"} and Path(name).suffix.lower() not in {".csv", ".parquet"}:
            raise SettingsError(
                f"ECHOSTATS_AUDIO_FEATURES names {name!r}. "
                "Give spotify, reccobeats, the path of a .csv or .parquet file, or none, separated by commas."
            )
    return tuple(name for name in names if name != "none")


def _alerts(values: Mapping[str, str]) -> tuple[SecretStr, ...]:
    # A comma may be part of an address, as in a list of recipients: it separates only before another address.
    found = re.split(r"\s*,\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)|\s+", values.get("ECHOSTATS_ALERTS", ""))
    addresses = [address.rstrip(",") for address in found if address.strip(",")]
    for number, address in enumerate(addresses, start=1):
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://.", address):
            raise SettingsError(
                f"ECHOSTATS_ALERTS must be addresses like ntfys://ntfy.sh/topic or mailto://..., separated by spaces; "
                f"number {number} does not begin with a service and ://."
            )
    return tuple(SecretStr(address) for address in addresses)


def _ui_hosts(values: Mapping[str, str]) -> tuple[str, ...]:
    names = re.split(r"[\s,]+", values.get("ECHOSTATS_UI_HOSTS", "").lower())
    for name in filter(None, names):
        if not re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?", name):
            raise SettingsError(
                f"ECHOSTATS_UI_HOSTS names {name!r}. Give names as they stand in the address bar, with or without a "
                "port, for example stats.example.org, separated by commas; without http:// and without wildcards."
            )
    return tuple(filter(None, names))


def _ui_url(values: Mapping[str, str]) -> str | None:
    url = values.get("ECHOSTATS_UI_URL")
    if url is not None and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
        raise SettingsError(
            f"ECHOSTATS_UI_URL is {url!r}. Give the address of the Dagster UI, for example https://stats.example.org."
        )
    return None if url is None else url.rstrip("/")


def _secret(value: str | None) -> SecretStr | None:
    return None if value is None else SecretStr(value)
