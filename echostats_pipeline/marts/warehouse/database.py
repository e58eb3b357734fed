"""The warehouse as the core sees it: what it reads, and how ids of its rows are made."""

from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID, uuid5

from echostats_pipeline.model.collections import Database
from echostats_pipeline.model.operations import Reads
from echostats_pipeline.settings import Settings

MART = "warehouse"
PLAYS, TRACKS, PROFILE = "warehouse_plays", "warehouse_tracks", "warehouse_profile"
"""The readers of change marks, one for each asset. Plays are read by date, the others as a whole."""
CONSUMERS: Mapping[str, Reads] = MappingProxyType(
    {
        PLAYS: Reads(("listening_history", "exclusions"), by_date=True),
        TRACKS: Reads(("analytics_snapshots",)),
        PROFILE: Reads(("analytics_snapshots", "users", "playlists", "playlist_contents", "covered_spans")),
    }
)
LAYOUT = 2
"""Version of the rows; change it with what `rows` produces, and all users are loaded again."""
IDS = UUID("6f0d1d0e-6c0c-5d7e-9c33-3f6f2f0c7a51")
"""The namespace of computed ids."""


def row_id(*natural_key: object) -> UUID:
    """The id of a row: computed from what the row is about, so that each load gives it the same id."""
    return uuid5(IDS, "|".join(map(str, natural_key)))


def user_uuid(user_id: str) -> UUID:
    """The id of a user in the warehouse, from the id in the core."""
    return row_id("user", user_id)


def database(_: Settings) -> Database:
    """The warehouse has no collection of its own on the MongoDB server; it only reads marks."""
    return Database(MART, (), consumers=CONSUMERS)
