"""Reads the settings from environment variables. This is the only module that reads ``os.environ``.

Nothing is read at import; callers use `load_settings()`. An optional ``.env`` file in the working directory supplies
variables that the environment does not set.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from echostats_pipeline.errors import SettingsError
from echostats_pipeline.settings.values import NEW_KEY
from echostats_pipeline.settings.variables import SECRETS, Settings


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


def environment_value(name: str) -> str | None:
    """An environment variable that is not a setting of a whole installation; None if it is not set."""
    return os.environ.get(name)


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
