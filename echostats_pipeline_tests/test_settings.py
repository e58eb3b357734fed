from pathlib import Path

import platformdirs
import pytest
from pydantic import ValidationError

from echostats_pipeline.errors import SettingsError
from echostats_pipeline.settings import DEFAULT_REDIRECT_URI, SECRETS, Settings, load_settings
from echostats_pipeline_tests.docs.pages import page

KEY = "ab" * 32
OLD_KEY = "cd" * 32


def read(**environ: str) -> Settings:
    return load_settings(environ, env_file=None)


def test_without_any_variable_everything_has_a_default() -> None:
    settings = read()
    home = platformdirs.user_data_path("echostats", appauthor=False)
    assert settings == Settings(home=home, imports_dir=home / "imports")
    assert settings.simulated
    assert (settings.mongo_uri, settings.encryption_key) == (None, None)
    assert (settings.mongo_db, settings.min_play_ms, settings.sync_interval_minutes) == ("echostats", 30_000, 15)
    assert settings.spotify_redirect_uri == DEFAULT_REDIRECT_URI


def test_every_variable_is_read() -> None:
    settings = read(
        ECHOSTATS_HOME="/srv/echostats",
        MONGO_URI="mongodb+srv://u:p@example.org",
        MONGO_DB="stats_2-b",
        ENCRYPTION_KEY=KEY,
        SPOTIFY_CLIENT_ID="client",
        SPOTIFY_CLIENT_SECRET="hush",
        SPOTIFY_REDIRECT_URI="https://example.org/callback",
        SPOTIFY_DAILY_CALLS="20",
        SPOTIFY_BURST_CALLS="9",
        ECHOSTATS_AUDIO_FEATURES="mine.csv, reccobeats",
        ECHOSTATS_GENRES="lastfm, musicbrainz",
        LASTFM_API_KEY="lastfm-canary",
        ECHOSTATS_CONTACT="me@example.org",
        ENCRYPTION_KEYS_OLD=f"{OLD_KEY}, {KEY}",
        ECHOSTATS_MIN_PLAY_MS="0",
        ECHOSTATS_RECOMMENDATIONS="On",
        ECHOSTATS_SAME_RECORDING="off",
        SYNC_INTERVAL_MINUTES="1",
        ECHOSTATS_SENSORS="fanout",
        ECHOSTATS_MARTS="echotune spotify_analytics",
        ECHOSTATS_ANALYTICS_DB="plays",
        ECHOSTATS_POSTGRES="postgresql://me:pg-canary@box/stats",
        ECHOSTATS_POSTGRES_POLICIES="supabase",
        ECHOSTATS_ECHOTUNE_DB="tunes",
        ECHOSTATS_ECHOTUNE_PREFIX="et_",
        ECHOSTATS_PLAYLIST_GENERATOR_DB="lists",
        ECHOSTATS_PLAYLISTS_TO_SPOTIFY="on",
        ECHOSTATS_REDIS_URL="redis://:canary@box:6379/0",
        SYNC_BATCH_SIZE="25",
        ECHOSTATS_KEEP_RUNS_DAYS="3",
        ECHOSTATS_IMPORTS="/srv/exports",
        ECHOSTATS_IMPORT_MAX_GIB="9",
        ECHOSTATS_IMPORT_MAX_RATIO="900",
        ECHOSTATS_ALERTS="ntfy://a/canary, mailto://u:p,w@b?to=c,d json://e",
        ECHOSTATS_UI_HOSTS="Stats.example.org, box:3000",
        ECHOSTATS_UI_URL="https://stats.example.org/",
        DAGSTER_HOME="/srv/dagster",
        SIMULATOR_URL="http://simulator:8889/",
    )
    assert settings.model_dump() == {
        "home": Path("/srv/echostats"),
        "dagster_home": Path("/srv/dagster"),
        "simulator_url": "http://simulator:8889",
        "mongo_uri": settings.mongo_uri,
        "mongo_db": "stats_2-b",
        "encryption_key": settings.encryption_key,
        "encryption_keys_old": settings.encryption_keys_old,
        "spotify_client_id": "client",
        "spotify_client_secret": settings.spotify_client_secret,
        "spotify_redirect_uri": "https://example.org/callback",
        "daily_calls": 20,
        "burst_calls": 9,
        "audio_features": ("mine.csv", "reccobeats"),
        "genres": ("lastfm", "musicbrainz"),
        "lastfm_api_key": settings.lastfm_api_key,
        "contact": "me@example.org",
        "min_play_ms": 0,
        "recommendations": True,
        "same_recording": False,
        "sync_interval_minutes": 1,
        "sensors": "fanout",
        "marts": ("echotune", "spotify_analytics"),
        "analytics_db": "plays",
        "postgres": settings.postgres,
        "postgres_policies": "supabase",
        "echotune_db": "tunes",
        "echotune_prefix": "et_",
        "playlist_generator_db": "lists",
        "playlists_to_spotify": True,
        "redis_url": settings.redis_url,
        "sync_batch_size": 25,
        "keep_runs_days": 3,
        "imports_dir": Path("/srv/exports"),
        "import_max_gib": 9,
        "import_max_ratio": 900,
        "alerts": settings.alerts,
        "ui_hosts": ("stats.example.org", "box:3000"),
        "ui_url": "https://stats.example.org",
        "embedded_mongo": False,
    }
    secrets = (settings.mongo_uri, settings.encryption_key, settings.spotify_client_secret)
    assert [secret and secret.get_secret_value() for secret in secrets] == [
        "mongodb+srv://u:p@example.org",
        KEY,
        "hush",
    ]
    assert [key.get_secret_value() for key in settings.encryption_keys_old] == [OLD_KEY, KEY]
    addresses = [address.get_secret_value() for address in settings.alerts]
    assert addresses == ["ntfy://a/canary", "mailto://u:p,w@b?to=c,d", "json://e"]
    assert "canary" not in repr(settings)
    assert not settings.simulated


@pytest.mark.parametrize("url", ["stats.example.org", "ftp://stats.example.org", "https://"])
def test_the_address_of_the_ui_is_one_of_the_web(url: str) -> None:
    with pytest.raises(SettingsError, match="ECHOSTATS_UI_URL"):
        read(ECHOSTATS_UI_URL=url)


@pytest.mark.parametrize("separator", [" ", ",", ", ", " , ", "\n", ",\n", "  "])
def test_alert_addresses_are_separated_by_spaces_or_commas(separator: str) -> None:
    alerts = read(ECHOSTATS_ALERTS=separator.join(["json://a/b,c", "https://ntfy.sh/d"])).alerts
    assert [address.get_secret_value() for address in alerts] == ["json://a/b,c", "https://ntfy.sh/d"]


def test_audio_features_may_come_from_nowhere() -> None:
    assert read(ECHOSTATS_AUDIO_FEATURES="none").audio_features == ()
    assert read().audio_features == ("spotify", "reccobeats")


@pytest.mark.parametrize(
    ("value", "sources"),
    [
        ("", ("spotify", "musicbrainz")),
        (" MusicBrainz , spotify,", ("musicbrainz", "spotify")),
        ("none", ()),
    ],
)
def test_sources_of_genres_are_in_the_order_of_the_setting(value: str, sources: tuple[str, ...]) -> None:
    assert read(ECHOSTATS_GENRES=value).genres == sources
    assert read(ECHOSTATS_GENRES="lastfm", LASTFM_API_KEY="canary").genres == ("lastfm",)
    assert "canary" not in repr(read(LASTFM_API_KEY="canary"))


@pytest.mark.parametrize(
    ("environ", "names", "fix"),
    [
        ({"MONGO_URI": "localhost:27017", "ENCRYPTION_KEY": KEY}, "MONGO_URI", "mongodb://"),
        ({"ECHOSTATS_GENRES": "spotify,discogs"}, "ECHOSTATS_GENRES", "musicbrainz"),
        ({"ECHOSTATS_GENRES": "spotify,lastfm"}, "LASTFM_API_KEY", "https://www.last.fm/api/account/create"),
        ({"ECHOSTATS_CONTACT": "me\n" + "x: y"}, "ECHOSTATS_CONTACT", "me@example.org"),
        ({"ECHOSTATS_SENSORS": "many"}, "ECHOSTATS_SENSORS", "per_user"),
        ({"MONGO_DB": "no spaces"}, "MONGO_DB", "letters, digits"),
        ({"MONGO_DB": "a" * 64}, "MONGO_DB", "1 to 63"),
        ({"MONGO_DB": "a.b"}, "MONGO_DB", "for example echostats"),
        ({"ENCRYPTION_KEY": "ab"}, "ENCRYPTION_KEY", "64 hexadecimal characters"),
        ({"ENCRYPTION_KEY": "zz" * 32}, "ENCRYPTION_KEY", "secrets.token_hex(32)"),
        ({"MONGO_URI": "mongodb://db"}, "ENCRYPTION_KEY", "secrets.token_hex(32)"),
        ({"SPOTIFY_REDIRECT_URI": "http://localhost:8888/callback"}, "SPOTIFY_REDIRECT_URI", DEFAULT_REDIRECT_URI),
        ({"SPOTIFY_REDIRECT_URI": "http://example.org/callback"}, "SPOTIFY_REDIRECT_URI", "https"),
        ({"SPOTIFY_REDIRECT_URI": "callback"}, "SPOTIFY_REDIRECT_URI", "https"),
        ({"ECHOSTATS_MIN_PLAY_MS": "-1"}, "ECHOSTATS_MIN_PLAY_MS", "at least 0"),
        ({"ECHOSTATS_MIN_PLAY_MS": "30s"}, "ECHOSTATS_MIN_PLAY_MS", "30000"),
        ({"ECHOSTATS_MIN_PLAY_MS": "9" * 10}, "ECHOSTATS_MIN_PLAY_MS", "whole number"),
        ({"SYNC_INTERVAL_MINUTES": "0"}, "SYNC_INTERVAL_MINUTES", "at least 1"),
        ({"SYNC_INTERVAL_MINUTES": "1.5"}, "SYNC_INTERVAL_MINUTES", "15"),
        ({"SPOTIFY_DAILY_CALLS": "0"}, "SPOTIFY_DAILY_CALLS", "at least 1"),
        ({"SPOTIFY_BURST_CALLS": "0"}, "SPOTIFY_BURST_CALLS", "at least 1"),
        ({"SPOTIFY_DAILY_CALLS": "many"}, "SPOTIFY_DAILY_CALLS", "500"),
        ({"ECHOSTATS_SAME_RECORDING": "maybe"}, "ECHOSTATS_SAME_RECORDING", "on or off"),
        ({"ECHOSTATS_AUDIO_FEATURES": "deezer"}, "ECHOSTATS_AUDIO_FEATURES", "reccobeats"),
        ({"ECHOSTATS_AUDIO_FEATURES": "spotify,mine.json"}, "ECHOSTATS_AUDIO_FEATURES", ".parquet"),
        ({"ECHOSTATS_AUDIO_FEATURES": "none,spotify"}, "ECHOSTATS_AUDIO_FEATURES", "give it alone"),
        ({"ECHOSTATS_GENRES": "none,spotify"}, "ECHOSTATS_GENRES is 'none,spotify'", "give it alone"),
        ({"ECHOSTATS_AUDIO_FEATURES": "spotify,"}, "ECHOSTATS_AUDIO_FEATURES", "none"),
        ({"ENCRYPTION_KEYS_OLD": f"{KEY},ab"}, "ENCRYPTION_KEYS_OLD", "number 2"),
        ({"ECHOSTATS_ALERTS": "json://a me@example.org"}, "ECHOSTATS_ALERTS", "number 2"),
        ({"ECHOSTATS_ALERTS": "json://"}, "ECHOSTATS_ALERTS", "number 1"),
    ],
)
def test_an_error_names_the_variable_and_the_fix(environ: dict[str, str], names: str, fix: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, env_file=None)
    assert names in str(caught.value)
    assert fix in str(caught.value)


@pytest.mark.parametrize(
    "environ",
    [
        {"MONGO_URI": "user:canary@db", "ENCRYPTION_KEY": KEY},
        {"ENCRYPTION_KEY": "canary"},
        {"ENCRYPTION_KEY": "canary" * 12},
        {"ECHOSTATS_ALERTS": "canary/topic"},
    ],
)
def test_an_error_never_repeats_a_secret(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, env_file=None)
    assert "canary" not in str(caught.value)


def test_secrets_never_show() -> None:
    settings = read(
        MONGO_URI="mongodb://user:canary@db", ENCRYPTION_KEY="ca" * 32, SPOTIFY_CLIENT_SECRET="canary-secret"
    )
    for shown in (repr(settings), str(settings), settings.model_dump_json(), f"{settings!r:>5}"):
        assert "canary" not in shown
        assert "ca" * 32 not in shown


@pytest.mark.parametrize("uri", ["http://127.0.0.1/callback", "http://[::1]:9/callback", "https://example.org/x"])
def test_loopback_literals_and_https_are_redirect_uris_spotify_accepts(uri: str) -> None:
    assert read(SPOTIFY_REDIRECT_URI=uri).spotify_redirect_uri == uri


def test_blank_is_unset_and_surrounding_space_is_not_meant() -> None:
    settings = read(MONGO_DB="  ", SPOTIFY_CLIENT_ID=" client ", MONGO_URI="", ECHOSTATS_HOME="")
    assert (settings.mongo_db, settings.spotify_client_id, settings.mongo_uri) == ("echostats", "client", None)


def test_the_state_folder_is_absolute_and_knows_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert read(ECHOSTATS_HOME="state").home == tmp_path / "state"
    assert read(ECHOSTATS_HOME="~/state").home == tmp_path / "me" / "state"


def test_a_dotenv_file_fills_the_environment_wins_and_overrides_win_over_both(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text('MONGO_DB="from_file"\nSYNC_INTERVAL_MINUTES=2\nECHOSTATS_MIN_PLAY_MS=3\nUNSET\n')
    environ = {"SYNC_INTERVAL_MINUTES": "4", "ECHOSTATS_MIN_PLAY_MS": "5"}
    settings = load_settings(environ, env_file, overrides={"ECHOSTATS_MIN_PLAY_MS": "6"})
    assert (settings.mongo_db, settings.sync_interval_minutes, settings.min_play_ms) == ("from_file", 4, 6)


def test_a_dotenv_file_of_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("MONGO_DB=found\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings({}).mongo_db == "found"
    assert load_settings({}, tmp_path / "elsewhere").mongo_db == "echostats"


def test_the_process_environment_is_read_when_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOSTATS_HOME", str(tmp_path))
    assert load_settings(env_file=None).home == tmp_path


def test_a_secret_may_be_the_content_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    settings = load_settings({"ENCRYPTION_KEY_FILE": str(file), "ENCRYPTION_KEY": " "}, env_file=None)
    assert settings.encryption_key is not None
    assert settings.encryption_key.get_secret_value() == KEY
    listed = page("operate/settings.md").partition("<!-- generated")[0]
    assert all(f"`{name}" in listed for name in SECRETS)
    with pytest.raises(SettingsError, match="ENCRYPTION_KEY_FILE are both set"):
        load_settings({"ENCRYPTION_KEY_FILE": str(file), "ENCRYPTION_KEY": KEY}, env_file=None)
    with pytest.raises(SettingsError, match=r"MONGO_URI_FILE is .*cannot be read"):
        load_settings({"MONGO_URI_FILE": str(tmp_path / "none")}, env_file=None)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read().mongo_db = "other"  # type: ignore[misc]


@pytest.mark.parametrize("hosts", ["*", "http://stats.example.org", "stats.example.org/path", "a:b", "*.example.org"])
def test_names_of_the_ui_are_names_and_nothing_else(hosts: str) -> None:
    with pytest.raises(SettingsError, match="ECHOSTATS_UI_HOSTS"):
        read(ECHOSTATS_UI_HOSTS=hosts)


@pytest.mark.parametrize(
    ("environ", "users", "fans_out"),
    [
        ({}, 3, False),
        ({}, 201, True),
        ({"MONGO_URI": "mongodb://h", "ENCRYPTION_KEY": KEY}, 3, True),
        ({"MONGO_URI": "mongodb://h", "ENCRYPTION_KEY": KEY, "ECHOSTATS_UI_URL": "http://ui:3000"}, 3, False),
        ({"MONGO_URI": "mongodb://h", "ENCRYPTION_KEY": KEY, "ECHOSTATS_EMBEDDED_MONGO": "1"}, 3, False),
        ({"MONGO_URI": "mongodb://h", "ENCRYPTION_KEY": KEY, "ECHOSTATS_SENSORS": "per_user"}, 300, False),
    ],
)
def test_one_sensor_syncs_all_users_where_nobody_can_reload_the_code(
    environ: dict[str, str], users: int, fans_out: bool
) -> None:
    assert load_settings(environ, env_file=None).fans_out(users) is fans_out
