"""Settings of the installation, read from environment variables into one frozen object."""

from echostats_pipeline.settings.loading import (
    default_environment,
    environment,
    environment_value,
    load_settings,
    set_environment,
)
from echostats_pipeline.settings.values import DEFAULT_REDIRECT_URI, LARGEST, MARTS, Mart, SyncSensors
from echostats_pipeline.settings.variables import EMBEDDED_MONGO, SECRETS, Settings

SPOTIFY_API_URL = "https://api.spotify.com"
SPOTIFY_ACCOUNTS_URL = "https://accounts.spotify.com"

__all__ = [
    "DEFAULT_REDIRECT_URI",
    "EMBEDDED_MONGO",
    "LARGEST",
    "MARTS",
    "SECRETS",
    "SPOTIFY_ACCOUNTS_URL",
    "SPOTIFY_API_URL",
    "Mart",
    "Settings",
    "SyncSensors",
    "default_environment",
    "environment",
    "environment_value",
    "load_settings",
    "set_environment",
]
