"""Every collection with its document and its indexes, declared once.

`storage.indexes` creates these indexes; no other code creates one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from bson import ObjectId

from echostats_pipeline.model.base import Document
from echostats_pipeline.model.catalog import Album, Artist, ArtistTags, GenreList, Track
from echostats_pipeline.model.files import StoredChunk, StoredFile
from echostats_pipeline.model.library import LibraryReading, Playlist, SavedTrack, TopItems, UnreadPlaylist
from echostats_pipeline.model.operations import (
    ApiLog,
    ChangeMark,
    FileImport,
    ImportReject,
    Incident,
    MartState,
    Reads,
    RefusedEndpoint,
    SpotifyCall,
    SpotifyLimit,
    SyncJob,
    UnfinishedRestore,
    UserLease,
)
from echostats_pipeline.model.playlists import GeneratedPlaylist, PlaylistEdit, SpotifyCopy
from echostats_pipeline.model.plays import CoveredSpan, ListeningGap, Play, RecentlyPlayedPage, UnfinishedMerge
from echostats_pipeline.model.recommendations import (
    ArtistAlbums,
    ItemNeighbours,
    ModelActivation,
    ModelEvaluation,
    RecommendationList,
    RecommendationWeek,
    TasteVector,
)
from echostats_pipeline.model.rules import Rule
from echostats_pipeline.model.scrobbles import ScrobbleTarget, SentPlay
from echostats_pipeline.model.statistics import (
    AnalyticsSnapshot,
    CalendarSnapshot,
    DailyRollup,
    StatisticsCatalog,
    StatisticsYear,
    YearlyReview,
)
from echostats_pipeline.model.users import RemovedUser, SpotifyTokens, User

DAY_SECONDS = 24 * 60 * 60
ASCENDING, DESCENDING = 1, -1
TEXT = "text"
Direction = int | str
"""Order of the keys of an index in a field, or `TEXT`."""


@dataclass(frozen=True)
class Index:
    """One index: its keys in order with their direction, and its options as MongoDB names them.

    Attributes:
        own_name: The name of the index, where MongoDB's automatic name must stay free for EchoStats. Its API shares the
            database, and stops if an index with other options has that name.
    """

    keys: tuple[tuple[str, Direction], ...]
    unique: bool = False
    expire_after_seconds: int | None = None
    partial_filter: Mapping[str, Any] | None = None
    sparse: bool = False
    own_name: str = ""

    @property
    def automatic_name(self) -> str:
        """MongoDB's default name for these keys, for example ``user_id_1_played_at_-1``."""
        return "_".join(f"{field}_{direction}" for field, direction in self.keys)

    @property
    def name(self) -> str:
        """The index's own name, or else the automatic one."""
        return self.own_name or self.automatic_name

    @property
    def options(self) -> dict[str, Any]:
        """The options as ``createIndexes`` takes them and ``getIndexes`` returns them."""
        options: dict[str, Any] = {}
        if self.unique:
            options["unique"] = True
        if self.sparse:
            options["sparse"] = True
        if self.expire_after_seconds is not None:
            options["expireAfterSeconds"] = self.expire_after_seconds
        if self.partial_filter is not None:
            options["partialFilterExpression"] = dict(self.partial_filter)
        return options


def text(*fields: str) -> Index:
    """A text index on the given fields. A collection has at most one."""
    return Index(tuple((field, TEXT) for field in fields))


def by(*fields: str, unique: bool = False, name: str = "", **options: Any) -> Index:
    """An index on the given fields; a leading ``-`` means descending."""
    keys = tuple((field.removeprefix("-"), DESCENDING if field.startswith("-") else ASCENDING) for field in fields)
    return Index(keys, unique=unique, own_name=name, **options)


@dataclass(frozen=True)
class Collection:
    """A collection: its document, its indexes, and whether removing a user deletes from it.

    Attributes:
        secrets: Fields that no copy made for a user may contain, encrypted or not.
        retired: Names of indexes of earlier versions that must be dropped.
        is_cache: Whether the collection only repeats what others hold, quicker to read. It may be dropped at any time.
        is_exported: Whether an export of a user's data contains it; a cache is never part of one.
        written_by: Who writes the documents. For an application's collection the pipeline creates the indexes, and
            removes and exports a user's documents; the application alone decides on the content.
        owner_field: The field that holds the user's id, in a collection of users' documents.
        owner_id: What that field holds, by the user's id as text.
        validation: What the server does with documents that do not fit `document`; None if it does not look.
    """

    name: str
    document: type[Document]
    indexes: tuple[Index, ...]
    owned_by_user: bool = True
    secrets: tuple[str, ...] = ()
    is_cache: bool = False
    is_exported: bool = True
    retired: tuple[str, ...] = ()
    written_by: Literal["pipeline", "application"] = "pipeline"
    owner_field: str = "user_id"
    owner_id: Callable[[str], Any] = str
    validation: Literal["error", "warn"] | None = None

    @property
    def never_null(self) -> frozenset[str]:
        """Fields that the server refuses as null, though they may be absent.

        A sparse index skips documents without the field, but not null: the second null would be a duplicate. A document
        expires by a date only: the server keeps one with a text or null for ever.
        """
        if self.validation is None:
            return frozenset()
        special = (index for index in self.indexes if index.sparse or index.expire_after_seconds is not None)
        return frozenset(name for index in special for name, _ in index.keys)


@dataclass(frozen=True)
class Database:
    """A database of the server, with its collections.

    Attributes:
        name: Its name on the server. Empty for the core database, which MONGO_DB names.
        consumers: Readers of change marks that write this database, by name.
        forget: Deletes what a mart keeps of a user outside the server, by the user's id as text.
        prune: Deletes shared documents that nobody refers to any more, after users are removed, and returns how many:
            given the core database and this one.
        unshare: Takes back what other users were recommended because of the plays of a user, who shares them no longer;
            called with the core database and the user's id as text.
    """

    name: str
    collections: tuple[Collection, ...]
    consumers: Mapping[str, Reads] = field(default_factory=lambda: MappingProxyType({}))
    forget: Callable[[str], None] | None = None
    prune: Callable[[Any, Any], int] | None = None
    unshare: Callable[[Any, str], None] | None = None

    def label(self, collection: str) -> str:
        """The name of a collection among those of all databases: with its database, unless that is the core."""
        return f"{self.name}.{collection}" if self.name else collection


ECHOSTATS_COLLECTIONS = (
    Collection(
        "users",
        User,
        owner_field="_id",
        owner_id=ObjectId,
        indexes=(
            by("spotify_id", unique=True),
            # Users whom EchoStats has added have no key until this pipeline adopts them.
            by(
                "partition_key",
                unique=True,
                name="uniq_partition_key",
                partial_filter={"partition_key": {"$type": "string"}},
            ),
        ),
    ),
    Collection(
        "spotify_tokens",
        SpotifyTokens,
        (by("user_id", unique=True, name="uniq_user"),),
        secrets=("refresh_token_encrypted", "access_token_encrypted"),
    ),
    Collection(
        "listening_history",
        Play,
        (
            by("user_id"),
            by("played_at"),
            by("track.spotify_id"),
            by("user_id", "-played_at"),
            by("user_id", "track.spotify_id", "played_at", unique=True, name="uniq_user_track_played_at"),
            by("user_id", "import_key", unique=True, partial_filter={"import_key": {"$type": "string"}}),
            by("user_id", "import_ts", partial_filter={"import_ts": {"$type": "date"}}),
        ),
    ),
    Collection(
        "tracks",
        Track,
        (
            by("spotify_id", unique=True),
            by("artists.spotify_id"),
            by("album.spotify_id"),
            by("name"),
            by("enriched_at"),
            by("changed_at"),
            by("name_ids"),
            by("isrc"),
        ),
        owned_by_user=False,
    ),
    Collection(
        "artists",
        Artist,
        (by("spotify_id", unique=True), by("genres"), by("name"), by("enriched_at"), by("changed_at")),
        owned_by_user=False,
    ),
    Collection(
        "albums", Album, (by("spotify_id", unique=True), by("enriched_at"), by("changed_at")), owned_by_user=False
    ),
    Collection(
        "playlists",
        Playlist,
        (by("spotify_id"), by("user_id"), by("user_id", "spotify_id", unique=True, name="uniq_user_playlist")),
    ),
    Collection(
        "daily_rollups",
        DailyRollup,
        (by("user_id"), by("date"), by("user_id", "date", unique=True, name="uniq_user_date"), by("user_id", "-date")),
    ),
    Collection(
        "analytics_snapshots",
        AnalyticsSnapshot,
        (by("user_id"), by("period"), by("user_id", "period", unique=True, name="uniq_user_period")),
    ),
    Collection(
        "sync_jobs",
        SyncJob,
        (
            by("user_id"),
            by("status"),
            by("user_id", "job_type", "-created_at"),
            by("dagster_run_id"),
            by("completed_at"),
        ),
    ),
    Collection(
        "api_logs",
        ApiLog,
        (
            by("user_id"),
            # Without `sparse`, MongoDB would not keep this index beside EchoStats' plain one on the same field.
            by("timestamp", expire_after_seconds=30 * DAY_SECONDS, sparse=True, name="expire_after_30_days"),
            by("user_id", "-timestamp"),
            by("service", "status_code"),
        ),
    ),
)
"""The 11 collections of the EchoStats schema, with the indexes of EchoStats and those this pipeline adds."""

EXTRA_COLLECTIONS = (
    Collection(
        "recently_played",
        RecentlyPlayedPage,
        (
            by("user_id", "merged_at"),
            by("user_id", "-fetched_at"),
            by("fetched_at", expire_after_seconds=7 * DAY_SECONDS),
        ),
    ),
    Collection("unfinished_merges", UnfinishedMerge, (by("user_id"),)),
    Collection("listening_gaps", ListeningGap, (by("user_id", "from", unique=True),)),
    Collection("covered_spans", CoveredSpan, (by("user_id", "source", "from", unique=True),)),
    Collection("rules", Rule, (by("user_id"),)),
    Collection("saved_tracks", SavedTrack, (by("user_id", "spotify_id", unique=True), by("user_id", "-added_at"))),
    Collection("top_items", TopItems, (by("user_id", "kind", "time_range", unique=True),)),
    Collection("library_readings", LibraryReading, (by("user_id", "part", unique=True),)),
    Collection("unread_playlists", UnreadPlaylist, (by("user_id", "spotify_id", unique=True),)),
    Collection("imports", FileImport, (by("user_id", "-started_at"),)),
    Collection(
        "import_rejects",
        ImportReject,
        (by("user_id", "file_name", "row_number", name="rows_of_files"),),
        # Files of two exports may have the same names, and their rows the same numbers.
        retired=("user_id_1_file_name_1_row_number_1",),
    ),
    Collection("calendar_snapshots", CalendarSnapshot, (by("user_id", "period", unique=True),)),
    Collection("yearly_reviews", YearlyReview, (by("user_id", "year", unique=True),)),
    Collection("statistics_years", StatisticsYear, (by("user_id", "year", unique=True),), is_cache=True),
    Collection("statistics_catalog", StatisticsCatalog, (by("user_id", "kind", "number", unique=True),), is_cache=True),
    Collection("change_marks", ChangeMark, (by("user_id", "source", "date", "writer", unique=True),)),
    Collection("mart_states", MartState, (by("user_id", "mart", unique=True),)),
    Collection("user_leases", UserLease, (by("user_id", "scope", unique=True), by("dagster_run_id"))),
    Collection(
        "spotify_calls",
        SpotifyCall,
        (by("family", "at"), by("at", expire_after_seconds=DAY_SECONDS)),
        owned_by_user=False,
    ),
    Collection("spotify_limits", SpotifyLimit, (by("family", unique=True),), owned_by_user=False),
    Collection("refused_endpoints", RefusedEndpoint, (by("endpoint", unique=True),), owned_by_user=False),
    Collection("recommendations", RecommendationList, (by("user_id", "task", unique=True),)),
    Collection(
        "recommendation_weeks",
        RecommendationWeek,
        (by("user_id", "task", "week", unique=True), by("counted_at", "shown_at")),
    ),
    Collection("taste_vectors", TasteVector, (by("user_id", unique=True),)),
    Collection("item_neighbours", ItemNeighbours, (by("spotify_id", unique=True),), owned_by_user=False, is_cache=True),
    Collection("model_evaluation", ModelEvaluation, (by("task", "-evaluated_at", unique=True),), owned_by_user=False),
    Collection("model_registry", ModelActivation, (by("task", "-activated_at"),), owned_by_user=False),
    Collection("artist_albums", ArtistAlbums, (by("artist_id", unique=True),), owned_by_user=False),
    Collection(
        "generated_playlists",
        GeneratedPlaylist,
        (
            by("user_id", "-created_at"),
            by("user_id", "generator", "-created_at"),
            by("query_id", partial_filter={"query_id": {"$type": "objectId"}}),
        ),
    ),
    Collection("playlist_copies", SpotifyCopy, (by("user_id", "generator", unique=True),)),
    Collection(
        "playlist_edits",
        PlaylistEdit,
        (by("user_id", "playlist_id", "spotify_id", "event", unique=True), by("user_id", "seen_at")),
    ),
    Collection(
        "scrobble_targets",
        ScrobbleTarget,
        (by("user_id", "target", unique=True),),
        secrets=("token_encrypted",),
    ),
    Collection(
        "sent_plays",
        SentPlay,
        (
            by("user_id", "target", "play_id", unique=True),
            by("user_id", "target", "played_at"),
            by("user_id", "target", "state"),
        ),
    ),
    Collection("incidents", Incident, (by("key", unique=True), by("user_id"), by("closed_at"), by("pending"))),
    Collection(
        "artist_tags",
        ArtistTags,
        (by("spotify_id", "source", unique=True), by("tags.name")),
        owned_by_user=False,
    ),
    Collection("genre_lists", GenreList, (by("source", unique=True),), owned_by_user=False),
    Collection("removed_users", RemovedUser, (by("user_id", unique=True),), owned_by_user=False),
    Collection("unfinished_restores", UnfinishedRestore, (by("digest", unique=True),), owned_by_user=False),
    Collection(
        "stored.files",
        StoredFile,
        (by("filename", "uploadDate"), by("_id.user_id", "_id.kind", "_id.name")),
        owner_field="_id.user_id",
        is_exported=False,
    ),
    Collection(
        "stored.chunks",
        StoredChunk,
        (by("files_id", "n", unique=True), by("files_id.user_id")),
        owner_field="files_id.user_id",
        is_exported=False,
    ),
)
"""The collections that this pipeline adds to the EchoStats schema."""

CORE = Database("", (*ECHOSTATS_COLLECTIONS, *EXTRA_COLLECTIONS))
ONLY_CORE: tuple[Database, ...] = (CORE,)
"""The databases of an installation without marts. `storage.installed` lists those that the settings name."""
COLLECTIONS: Mapping[str, Collection] = {collection.name: collection for collection in CORE.collections}
"""The collections of the core database, by name."""


def declared(databases: Iterable[Database] = ONLY_CORE) -> dict[str, Collection]:
    """The collections of the given databases, by label."""
    return {database.label(each.name): each for database in databases for each in database.collections}


def index_on(name: str, *fields: str) -> Index:
    """The declared index of a collection on the given fields, which are written as in `by`."""
    return next(index for index in COLLECTIONS[name].indexes if index.keys == by(*fields).keys)
