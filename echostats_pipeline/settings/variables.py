"""The settings of the installation: what each variable decides, its default and its bounds."""

from pathlib import Path
from typing import Annotated, Any, get_args

import platformdirs
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from echostats_pipeline.settings import values
from echostats_pipeline.settings.values import (
    DEFAULT_REDIRECT_URI,
    LARGEST,
    Mart,
    MongoMart,
    PostgresPolicies,
    SyncSensors,
)

EMBEDDED_MONGO = "ECHOSTATS_EMBEDDED_MONGO"
"""Variable that lets code under Dagster use the embedded server."""
MOST_SENSORS = 200
"""Most users who each have a sensor. A sensor costs the daemon 40 ms a tick."""


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
        "ECHOSTATS_KEEP_RUNS_DAYS",
        "days for which records of runs are kept, those of Dagster and those in `sync_jobs`",
        default=14,
        ge=1,
        le=LARGEST,
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

    _absolute = field_validator("home", "imports_dir", "dagster_home", mode="before")(values.absolute)
    _connection_string = field_validator("mongo_uri")(values.connection_string)
    _known_marts = field_validator("marts", mode="before")(values.known_marts)
    _redis_address = field_validator("redis_url")(values.redis_address)
    _postgres_address = field_validator("postgres")(values.postgres_address)
    _key = field_validator("encryption_key")(values.key)
    _old_keys = field_validator("encryption_keys_old", mode="before")(values.old_keys)
    _accepted_by_spotify = field_validator("spotify_redirect_uri")(values.accepted_by_spotify)
    _on_or_off = field_validator("same_recording", "recommendations", "playlists_to_spotify", mode="before")(
        values.on_or_off
    )
    _feature_sources = field_validator("audio_features", mode="before")(values.feature_sources)
    _genre_sources = field_validator("genres", mode="before")(values.genre_sources)
    _header_value = field_validator("contact")(values.header_value)
    _addresses = field_validator("alerts", mode="before")(values.addresses)
    _names = field_validator("ui_hosts", mode="before")(values.host_names)
    _web_address = field_validator("ui_url", "simulator_url")(values.web_address)

    @field_validator("mongo_db", "echotune_db", "playlist_generator_db", "analytics_db")
    @classmethod
    def _database_name(cls, name: str, info: ValidationInfo) -> str:
        return values.database_name(name, _name_of(info))

    @field_validator("echotune_prefix")
    @classmethod
    def _prefix(cls, prefix: str, info: ValidationInfo) -> str:
        return values.prefix(prefix, _name_of(info))


def _name_of(info: ValidationInfo) -> str:
    """Return the variable that sets a field."""
    return str(Settings.model_fields[str(info.field_name)].validation_alias)


SECRETS = tuple(
    str(field.validation_alias)
    for field in Settings.model_fields.values()
    if any(kind in {SecretStr, tuple[SecretStr, ...]} for kind in (field.annotation, *get_args(field.annotation)))
)
"""The variables that may also be files: with ``_FILE`` after their name."""
