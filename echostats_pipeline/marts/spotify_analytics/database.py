"""The database ``spotify_analytics``: its two collections and both sets of indexes of the guide."""

from collections.abc import Mapping
from types import MappingProxyType

from echostats_pipeline.marts.spotify_analytics.documents import AnalyticsPlay, FlatPlay
from echostats_pipeline.model.collections import Collection, Database, by, text
from echostats_pipeline.model.operations import Reads
from echostats_pipeline.settings import Settings

MART = "spotify_analytics"
NESTED, FLAT = "listening_history", "listening_history_raw"
PLAYS, MUSIC = "spotify_analytics_plays", "spotify_analytics_music"
"""The readers of change marks: plays are read by date; the catalogue as a whole."""
CONSUMERS: Mapping[str, Reads] = MappingProxyType(
    {PLAYS: Reads(("listening_history",), by_date=True), MUSIC: Reads(("catalog",))}
)
LAYOUT = 1
"""Version of the documents; change it with what `mapping` produces."""
FLAT_INDEXES = (
    by("spotify_track_uri"),
    by("ts_x"),
    by("master_metadata_album_artist_name_x"),
    by("username", "-ts_x"),
    by("username", "-ts_x", "spotify_track_uri"),
    text("master_metadata_track_name_x", "master_metadata_album_artist_name_x", "master_metadata_album_album_name_x"),
    by("Danceability", "Energy", "Valence", "Tempo"),
)
"""The indexes in the guide's text, which names fields of the CSV."""
OF_USER = by("user_id", "played_at")
"""By which updates find what they replace."""


def database(settings: Settings) -> Database:
    """The declaration of the database under the name that the settings give."""
    return Database(
        settings.analytics_db,
        (
            # The guide's loader nests documents and makes three indexes; its text makes others on the same collection.
            Collection(
                NESTED, AnalyticsPlay, (*FLAT_INDEXES, by("-timestamp"), by("user.username", "-timestamp"), OF_USER)
            ),
            Collection(FLAT, FlatPlay, (*FLAT_INDEXES, OF_USER)),
        ),
        consumers=CONSUMERS,
    )
