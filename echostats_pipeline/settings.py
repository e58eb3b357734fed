"""Settings of the installation, read from environment variables into one frozen object.

This is the only module that reads ``os.environ``. Nothing is read at import; callers use `load_settings()`. An optional
``.env`` file in the working directory supplies variables that the environment does not set.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import platformdirs
from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from echostats_pipeline.errors import SettingsError

DEFAULT_REDIRECT_URI = "http://127.0.0.1:8888/callback"
EMBEDDED_MONGO = "ECHOSTATS_EMBEDDED_MONGO"
"""Variable that lets code under Dagster use the embedded server."""
MongoMart = Literal["echotune", "playlist_generator", "spotify_analytics"]
Mart = Literal[MongoMart, "warehouse"]
MARTS: tuple[MongoMart, ...] = get_args(MongoMart)
"""The databases in the shape of other applications that ECHOSTATS_MARTS can name."""
PostgresPolicies = Literal["logins", "supabase"]
SyncSensors = Literal["auto", "per_user", "fanout"]
SPOTIFY_API_URL = "https://api.spotify.com"
SPOTIFY_ACCOUNTS_URL = "https://accounts.spotify.com"
GENRE_SOURCES = ("spotify", "musicbrainz", "lastfm")
MOST_SENSORS = 200
"""Most users who each have a sensor. A sensor costs the daemon 40 ms a tick."""
WEB_ADDRESSES = {
    "ui_url": ("ECHOSTATS_UI_URL", "the Dagster UI, for example https://stats.example.org"),
    "simulator_url": ("SIMULATOR_URL", "the simulated Spotify, for example http://simulator:8889"),
}
LARGEST = 999_999_999
NONE_ALONE = "none means no source at all: leave it out, or give it alone."
"""Upper bound of whole numbers in the settings."""
NEW_KEY = 'Make one with: python -c "import secrets; print(secrets.token_hex(32))"'


def _variable(name: str, description: str, *, shown: str = "", **bounds: Any) -> Any:
    """Declare a field that an environment variable sets.

    Args:
        name: Name of the variable.
        description: What the setting decides, for the table of settings in the docs.
        shown: Text for the default in that table, where the value itself is not clear to a reader.
        bounds: Keyword arguments of `pydantic.Field`: the default and its bounds.
    """
    return Field(validation_alias=name, description=description, json_schema_extra={"shown": shown}, **bounds)


class Settings(BaseSettings):
    """All settings of the installation. Secrets never appear in its ``repr``.

    A new instance takes its arguments only; `load_settings` reads the environment.
    """

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True)

    spotify_client_id: str | None = _variable(
        "SPOTIFY_CLIENT_ID", "client id of your Spotify app; without it, the simulated Spotify is used", default=None
    )
    spotify_client_secret: SecretStr | None = _variable(
        "SPOTIFY_CLIENT_SECRET", "client secret of your Spotify app; optional: without it, PKCE is used", default=None
    )
    spotify_redirect_uri: str = _variable(
        "SPOTIFY_REDIRECT_URI",
        "redirect URI, exactly as registered; https or a loopback address, never `localhost`",
        default=DEFAULT_REDIRECT_URI,
    )
    daily_calls: int = _variable(
        "SPOTIFY_DAILY_CALLS",
        "most calls in 24 hours to each family of Spotify's endpoints; only reading recent plays and renewing tokens "
        "may exceed it",
        default=500,
        ge=1,
        le=LARGEST,
    )
    burst_calls: int = _variable(
        "SPOTIFY_BURST_CALLS", "most calls in 30 seconds, all endpoints together", default=90, ge=1, le=LARGEST
    )
    mongo_uri: SecretStr | None = _variable(
        "MONGO_URI",
        "connection string of your own MongoDB server, version 5.0 or newer",
        shown="embedded server",
        default=None,
    )
    mongo_db: str = _variable("MONGO_DB", "name of the database", default="echostats")
    encryption_key: SecretStr | None = _variable(
        "ENCRYPTION_KEY",
        "key that encrypts stored tokens, 64 hex characters; required together with `MONGO_URI`",
        shown="generated",
        default=None,
    )
    encryption_keys_old: Annotated[tuple[SecretStr, ...], NoDecode] = _variable(
        "ENCRYPTION_KEYS_OLD",
        "former encryption keys, separated by commas, with which stored tokens may still be encrypted",
        default=(),
    )
    home: Path = _variable(
        "ECHOSTATS_HOME",
        "state folder: embedded database, Dagster's history, generated key, reports",
        shown="`~/.local/share/echostats`, or the platform's folder for application data",
        default_factory=lambda: platformdirs.user_data_path("echostats", appauthor=False),
    )
    dagster_home: Path | None = _variable(
        "DAGSTER_HOME",
        "folder with the `dagster.yaml` of the Dagster instance, which all processes of a deployment share; without "
        "that file, the instance of the state folder is used",
        shown="`dagster` in `ECHOSTATS_HOME`",
        default=None,
    )
    min_play_ms: int = _variable(
        "ECHOSTATS_MIN_PLAY_MS",
        "least length of a play that counts, in milliseconds; shorter plays are kept but not counted; 0 counts every "
        "row, as EchoStats does",
        default=30_000,
        ge=0,
        le=LARGEST,
    )
    same_recording: bool = _variable(
        "ECHOSTATS_SAME_RECORDING",
        "`on`: a recording under several Spotify ids (single, album, deluxe) counts as one song; `off`: ids are "
        "counted, as EchoStats does; a change rebuilds the snapshots of all users",
        shown="`on`",
        default=True,
    )
    audio_features: Annotated[tuple[str, ...], NoDecode] = _variable(
        "ECHOSTATS_AUDIO_FEATURES",
        "sources of audio features, in this order, separated by commas; also the path of a `.csv` or `.parquet` "
        "file, or `none`",
        default=("spotify", "reccobeats"),
    )
    genres: Annotated[tuple[str, ...], NoDecode] = _variable(
        "ECHOSTATS_GENRES",
        "sources of artists' genres, separated by commas; the first that knows an artist decides: `spotify`, "
        "`musicbrainz`, `lastfm`, or `none`",
        default=("spotify", "musicbrainz"),
    )
    lastfm_api_key: SecretStr | None = _variable(
        "LASTFM_API_KEY",
        "key of your [Last.fm API account](https://www.last.fm/api/account/create); required if `ECHOSTATS_GENRES` "
        "names `lastfm`",
        default=None,
    )
    contact: str | None = _variable(
        "ECHOSTATS_CONTACT",
        "your mail or web address, which MusicBrainz and Last.fm get with each call: MusicBrainz asks for it, to write "
        "to you before it blocks a faulty installation",
        default=None,
    )
    recommendations: bool | None = _variable(
        "ECHOSTATS_RECOMMENDATIONS",
        "`on`: recommends songs to users, from the plays of each and of those who share theirs; `off`: computes and "
        "reads nothing for it",
        shown="`off`; `on` with the simulated Spotify",
        default=None,
    )
    marts: Annotated[tuple[MongoMart, ...], NoDecode] = _variable(
        "ECHOSTATS_MARTS",
        "databases for other applications that are kept up to date beside the core database, separated by commas: "
        "`echotune`, `playlist_generator`, `spotify_analytics`",
        default=(),
    )
    echotune_db: str = _variable(
        "ECHOSTATS_ECHOTUNE_DB", "name of the database of the mart `echotune`", default="echotune"
    )
    echotune_prefix: str = _variable(
        "ECHOSTATS_ECHOTUNE_PREFIX",
        "what the names of the collections of that database begin with",
        default="echotune_",
    )
    playlists_to_spotify: bool = _variable(
        "ECHOSTATS_PLAYLISTS_TO_SPOTIFY",
        "`on`: writes the week's playlists to Spotify for users who have given the consent of `connect --playlists`; "
        "`off`: writes only what is asked for with `--to-spotify`",
        shown="`off`",
        default=False,
    )
    playlist_generator_db: str = _variable(
        "ECHOSTATS_PLAYLIST_GENERATOR_DB",
        "name of the database of the mart `playlist_generator`",
        default="playlist_generator",
    )
    analytics_db: str = _variable(
        "ECHOSTATS_ANALYTICS_DB", "name of the database of the mart `spotify_analytics`", default="spotify_analytics"
    )
    redis_url: SecretStr | None = _variable(
        "ECHOSTATS_REDIS_URL",
        "address of a Redis server whose keys of EchoTune are kept warm, for example `redis://127.0.0.1:6379/0`",
        shown="none",
        default=None,
    )
    postgres: SecretStr | None = _variable(
        "ECHOSTATS_POSTGRES",
        "address of a PostgreSQL database, version 15 or newer, that is kept up to date beside the core database as a "
        "warehouse for dashboards, for example `postgresql://user:password@127.0.0.1:5432/echostats`",
        shown="none",
        default=None,
    )
    postgres_policies: PostgresPolicies = _variable(
        "ECHOSTATS_POSTGRES_POLICIES",
        "who is let into the warehouse besides the logins that `echostats warehouse grant` makes: `logins`: nobody; "
        "`supabase`: users who sign in through Supabase, each to their own rows by `auth.uid()`",
        default="logins",
    )
    sync_interval_minutes: int = _variable(
        "SYNC_INTERVAL_MINUTES", "minutes between two syncs of each user", default=15, ge=1, le=LARGEST
    )
    sensors: SyncSensors = _variable(
        "ECHOSTATS_SENSORS",
        "`per_user`: each user has a sensor of their own; `fanout`: one sensor syncs all users, many in each run; "
        "`auto`: `per_user` up to 200 users, then `fanout`; always `fanout` where Dagster's processes are started one "
        "by one and `ECHOSTATS_UI_URL` is not set",
        default="auto",
    )
    sync_batch_size: int = _variable(
        "SYNC_BATCH_SIZE", "most users in one run under `fanout`", default=100, ge=1, le=LARGEST
    )
    keep_runs_days: int = _variable(
        "ECHOSTATS_KEEP_RUNS_DAYS", "days for which Dagster keeps the records of runs", default=14, ge=1, le=LARGEST
    )
    imports_dir: Path = _variable(
        "ECHOSTATS_IMPORTS",
        "folder with a subfolder for each user, in which exports to import are placed",
        shown="`imports` in `ECHOSTATS_HOME`",
        default=Path("imports"),
    )
    import_max_gib: int = _variable(
        "ECHOSTATS_IMPORT_MAX_GIB", "largest unpacked size of a zip, in GiB", default=4, ge=1, le=LARGEST
    )
    import_max_ratio: int = _variable(
        "ECHOSTATS_IMPORT_MAX_RATIO",
        "largest ratio of unpacked to packed size of a file in a zip",
        default=200,
        ge=1,
        le=LARGEST,
    )
    alerts: Annotated[tuple[SecretStr, ...], NoDecode] = _variable(
        "ECHOSTATS_ALERTS",
        "addresses to which notices of trouble are sent, in the form of [Apprise](https://appriseit.com/services/), "
        "separated by spaces or commas",
        default=(),
    )
    ui_url: str | None = _variable(
        "ECHOSTATS_UI_URL",
        "address of the Dagster UI, for links in notices, and for reloading its code when a user is added",
        shown="that of `echostats up`",
        default=None,
    )
    ui_hosts: Annotated[tuple[str, ...], NoDecode] = _variable(
        "ECHOSTATS_UI_HOSTS",
        "host names of the UI and the metrics besides `127.0.0.1` and `localhost`, for example behind a reverse proxy: "
        "`stats.example.org` (any port) or `stats.example.org:8443`, separated by commas",
        default=(),
    )
    embedded_mongo: bool = _variable(
        EMBEDDED_MONGO,
        "`1` lets code under Dagster use the embedded server and the state folder of this machine; `echostats` "
        "commands set it for the processes they start",
        default=False,
    )
    simulator_url: str | None = _variable(
        "SIMULATOR_URL",
        "address of a running `echostats simulate`, for processes that do not share its state folder",
        shown="that in `ECHOSTATS_HOME`",
        default=None,
    )

    @property
    def simulated(self) -> bool:
        """Whether this installation uses the simulated Spotify instead of the real one."""
        return self.spotify_client_id is None

    @property
    def installed_marts(self) -> tuple[Mart, ...]:
        """All marts that are kept up to date: those on the MongoDB server, and the warehouse if it has an address."""
        return self.marts if self.postgres is None else (*self.marts, "warehouse")

    @property
    def recommends(self) -> bool:
        """Whether songs are recommended; without the setting, only to simulated users."""
        return self.simulated if self.recommendations is None else self.recommendations

    @property
    def one_machine(self) -> bool:
        """Whether all processes of the installation share this state folder; False if they may run on other machines.

        Processes that `echostats up` starts share it, and so does everything that uses the embedded server.
        """
        return self.mongo_uri is None or self.embedded_mongo

    def fans_out(self, users: int) -> bool:
        """Whether one sensor syncs all users, given their number. A sensor for each needs a way to reload the code."""
        if self.sensors != "auto":
            return self.sensors == "fanout"
        return users > MOST_SENSORS or not (self.one_machine or self.ui_url)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic passes all sources
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use the arguments of a new instance as the only source."""
        return (init_settings,)

    @field_validator("home", "imports_dir", "dagster_home", mode="before")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        return Path(value).expanduser().absolute() if isinstance(value, str) else value

    @field_validator("mongo_uri")
    @classmethod
    def _connection_string(cls, uri: SecretStr | None) -> SecretStr | None:
        if uri is not None and not uri.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
            raise SettingsError(
                "MONGO_URI does not start with mongodb:// or mongodb+srv://. "
                "Give a MongoDB connection string, or unset it to use the embedded server."
            )
        return uri

    @field_validator("mongo_db", "echotune_db", "playlist_generator_db", "analytics_db")
    @classmethod
    def _database_name(cls, name: str, info: ValidationInfo) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", name):
            raise SettingsError(
                f"{_name_of(info)} is {name!r}. Use 1 to 63 letters, digits, '_' or '-', for example echostats."
            )
        return name

    @field_validator("echotune_prefix")
    @classmethod
    def _prefix(cls, prefix: str, info: ValidationInfo) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", prefix):
            raise SettingsError(
                f"{_name_of(info)} is {prefix!r}. Use 1 to 40 letters, digits, '_' or '-', for example echotune_."
            )
        return prefix

    @field_validator("marts", mode="before")
    @classmethod
    def _known_marts(cls, value: Any) -> Any:
        names = _separated(value, r"[\s,]+") if isinstance(value, str) else value
        for name in names:
            if name not in MARTS:
                hint = " The warehouse needs ECHOSTATS_POSTGRES instead." if name == "warehouse" else ""
                raise SettingsError(f"ECHOSTATS_MARTS names {name!r}. There is: {', '.join(MARTS)}.{hint}")
        return tuple(dict.fromkeys(names))

    @field_validator("redis_url")
    @classmethod
    def _redis_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise SettingsError(
                "ECHOSTATS_REDIS_URL does not start with redis://, rediss:// or unix://. "
                "Give the address of a Redis server, or unset it."
            )
        return url

    @field_validator("postgres")
    @classmethod
    def _postgres_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise SettingsError(
                "ECHOSTATS_POSTGRES does not start with postgresql:// or postgres://. "
                "Give the address of a PostgreSQL database, or unset it."
            )
        return url

    @field_validator("encryption_key")
    @classmethod
    def _key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not _is_key(key.get_secret_value()):
            raise SettingsError(
                f"ENCRYPTION_KEY must be 64 hexadecimal characters (32 bytes); it has {len(key)} characters. {NEW_KEY}"
            )
        return key

    @field_validator("encryption_keys_old", mode="before")
    @classmethod
    def _old_keys(cls, value: Any) -> Any:
        keys = _separated(value, r",") if isinstance(value, str) else value
        for number, key in enumerate(keys, start=1):
            if isinstance(key, str) and not _is_key(key):
                raise SettingsError(
                    "ENCRYPTION_KEYS_OLD must be former keys of 64 hexadecimal characters each, separated by commas; "
                    f"number {number} has {len(key)} characters."
                )
        return keys

    @field_validator("spotify_redirect_uri")
    @classmethod
    def _accepted_by_spotify(cls, uri: str) -> str:
        parts = urlsplit(uri)
        loopback = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1"}
        if not loopback and parts.scheme != "https":
            raise SettingsError(
                f"SPOTIFY_REDIRECT_URI is {uri!r}. Spotify accepts https addresses and loopback literals only, "
                f"never 'localhost'; use for example {DEFAULT_REDIRECT_URI}"
            )
        return uri

    @field_validator("same_recording", "recommendations", "playlists_to_spotify", mode="before")
    @classmethod
    def _on_or_off(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str) and value.lower() not in {"on", "off"}:
            name = f"ECHOSTATS_{(info.field_name or '').upper()}"
            default = "on" if info.field_name == "same_recording" else "the default"
            raise SettingsError(f"{name} is {value!r}. Give on or off, or unset it for {default}.")
        return value

    @field_validator("audio_features", mode="before")
    @classmethod
    def _feature_sources(cls, value: Any) -> Any:
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

    @field_validator("genres", mode="before")
    @classmethod
    def _genre_sources(cls, value: Any) -> Any:
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

    @field_validator("contact")
    @classmethod
    def _header_value(cls, contact: str | None) -> str | None:
        if contact is not None and (
            not contact.isascii() or not contact.isprintable() or "(" in contact or ")" in contact
        ):
            raise SettingsError(
                "ECHOSTATS_CONTACT must be a mail or web address in plain letters, for example me@example.org."
            )
        return contact

    @field_validator("alerts", mode="before")
    @classmethod
    def _addresses(cls, value: Any) -> Any:
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

    @field_validator("ui_hosts", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
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

    @field_validator("ui_url", "simulator_url")
    @classmethod
    def _web_address(cls, url: str | None, field: ValidationInfo) -> str | None:
        if url is not None and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
            name, what = WEB_ADDRESSES[str(field.field_name)]
            raise SettingsError(f"{name} is {url!r}. Give the address of {what}.")
        return None if url is None else url.rstrip("/")


SECRETS = tuple(
    str(field.validation_alias)
    for field in Settings.model_fields.values()
    if any(kind in {SecretStr, tuple[SecretStr, ...]} for kind in (field.annotation, *get_args(field.annotation)))
)
"""The variables that may also be files: with ``_FILE`` after their name."""


def load_settings(
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = Path(".env"),
    *,
    overrides: Mapping[str, str] | None = None,
) -> Settings:
    """Read and check the settings.

    Args:
        environ: Environment to read; None reads that of the process.
        env_file: Optional dotenv file; the environment overrides it.
        overrides: Variables that override both.

    Raises:
        SettingsError: a value is malformed; the message names the variable and the fix.
    """
    environ = os.environ if environ is None else environ
    from_file = dotenv_values(env_file) if env_file is not None and env_file.is_file() else {}
    stated = {**from_file, **environ, **(overrides or {})}
    stated |= _from_secret_files(stated)
    source = EnvSettingsSource(Settings, case_sensitive=True)
    source.env_vars = {name: value.strip() for name, value in stated.items() if value and value.strip()}
    try:
        settings = Settings(**source())
    except ValidationError as error:
        raise SettingsError(_explained(error)) from None
    if settings.mongo_uri is not None and settings.encryption_key is None:
        raise SettingsError(
            "ENCRYPTION_KEY is not set. It is required together with MONGO_URI, so that every machine can read the "
            f"tokens in your database. {NEW_KEY}"
        )
    if "lastfm" in settings.genres and settings.lastfm_api_key is None:
        raise SettingsError(
            "LASTFM_API_KEY is not set, but ECHOSTATS_GENRES names lastfm. Make a key at "
            "https://www.last.fm/api/account/create, or leave lastfm out."
        )
    databases = {
        "echotune": settings.echotune_db,
        "playlist_generator": settings.playlist_generator_db,
        "spotify_analytics": settings.analytics_db,
    }
    names = [settings.mongo_db, *(databases[mart] for mart in settings.marts)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(
            f"{'MONGO_DB and the database of a mart' if settings.mongo_db in twice else 'The databases of two marts'} "
            f"are both {twice[0]!r}. Give each another one, for example ECHOSTATS_ECHOTUNE_DB=echotune."
        )
    if "imports_dir" not in settings.model_fields_set:
        settings = settings.model_copy(update={"imports_dir": settings.home / "imports"})
    return settings


def _from_secret_files(stated: Mapping[str, str | None]) -> dict[str, str]:
    """Secrets whose file is stated in place of their value, as containers get them: ``ENCRYPTION_KEY_FILE``.

    Raises:
        SettingsError: a file cannot be read, or the value is stated as well.
    """
    found = {}
    for name in SECRETS:
        path = (stated.get(f"{name}_FILE") or "").strip()
        if not path:
            continue
        if (stated.get(name) or "").strip():
            raise SettingsError(f"{name} and {name}_FILE are both set. Leave one of them out.")
        try:
            found[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}_FILE is {path}, which cannot be read: {error}.") from None
    return found


def set_environment(values: Mapping[str, str]) -> None:
    """Set environment variables for Dagster, which reads settings only there, in this process and its children."""
    os.environ.update(values)


def default_environment(values: Mapping[str, str]) -> None:
    """Set those of these environment variables that are not set, as `set_environment` does."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables as `set_environment` does, for the length of the block."""
    before = {name: os.environ.get(name) for name in values}
    set_environment(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _explained(error: ValidationError) -> str:
    """Return the first error of pydantic as text, with the variable and the fix."""
    found = error.errors()[0]
    name, value = str(found["loc"][0]), found["input"]
    field = next(field for field in Settings.model_fields.values() if field.validation_alias == name)
    lowest = next((bound.ge for bound in field.metadata if hasattr(bound, "ge")), None)
    if lowest is not None:
        return f"{name} is {value!r}. Give a whole number of at least {lowest}, or unset it for {field.default}."
    return f"{name} is {value!r}. {found['msg']}."


def _name_of(info: ValidationInfo) -> str:
    """Return the variable that sets a field."""
    return str(Settings.model_fields[str(info.field_name)].validation_alias)


def _is_key(text: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F]{64}", text) is not None


def _separated(text: str, separator: str) -> list[str]:
    return [part.strip() for part in re.split(separator, text) if part.strip()]
