"""Plays: one document per time a user played a track, from any source."""

from typing import Any, Literal

from bson import ObjectId
from pydantic import Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime, utc_now

PlaySource = Literal["api", "import"]
GapKind = Literal["unseen", "unknown"]


class TrackSnapshot(Embedded):
    """The track as it was known when the play was stored; `duration_ms` is 0 while unknown."""

    spotify_id: str
    name: str = ""
    artist_name: str = ""
    album_name: str = ""
    album_image_url: str = ""
    duration_ms: int = 0


class Playback(Embedded):
    """Details that only exports hold. `platform` is the family (``ios``, ``windows``), never the device."""

    reason_start: str | None = None
    reason_end: str | None = None
    shuffle: bool | None = None
    skipped: bool | None = None
    offline: bool | None = None
    offline_at: UtcDatetime | None = None
    """``offline_timestamp``. Spotify does not document its meaning; it orders rows that share a ``ts``."""
    incognito: bool | None = None
    country: str | None = None
    platform: str | None = None
    video: bool | None = None
    """True for the video of a song, absent for anything else."""


IMPORT_FIELDS = ("api_played_at", "import_key", "import_ts", "played_at_precision", "also_imported", "playback")
"""Fields that only imported plays have."""


class Play(Document):
    """One play of one track (collection ``listening_history``).

    `played_at` is the end of the play. `ms_played` is None where Spotify does not report it (its API never does).
    """

    user_id: str
    track: TrackSnapshot
    played_at: UtcDatetime
    ms_played: int | None = None
    source: PlaySource = "api"
    context_type: str = ""
    context_uri: str = ""
    # Beyond the EchoStats schema.
    api_played_at: UtcDatetime | None = None
    """The end that the API reported, once an export row has replaced it. The API repeats this stamp on every poll."""
    import_key: str | None = None
    """Identity of an export row: its raw content, not its stamp."""
    import_ts: UtcDatetime | None = None
    """``ts`` of the export row; `played_at` differs when several rows share one ``ts`` and were laid out."""
    played_at_estimated: bool = False
    played_at_precision: Literal["minute"] | None = None
    """How exact `played_at` is, if not to the second: account data have minutes."""
    also_imported: list[str] | None = None
    """Identities of rows of other exports that report this play, too, but know less."""
    playback: Playback | None = None

    def to_bson(self) -> dict[str, object]:
        """As `Document.to_bson`, without the fields of imports that are null."""
        document = super().to_bson()
        if self.playback and not self.playback.video:
            document["playback"] = self.playback.model_dump(exclude={"video"})
        absent = {name for name in IMPORT_FIELDS if document[name] is None}
        return {name: value for name, value in document.items() if name not in absent}


class RecentlyPlayedItem(Embedded):
    """One row of a recently-played response, in the terms of this code base."""

    track: TrackSnapshot
    played_at: UtcDatetime
    context_type: str = ""
    context_uri: str = ""


class RecentlyPlayedPage(Document):
    """One recently-played response, waiting to be merged (collection ``recently_played``).

    It is stored between reading Spotify and merging into the history, so a crash between the two loses nothing.
    """

    user_id: str
    items: list[RecentlyPlayedItem]
    withheld: list[UtcDatetime] = Field(default_factory=list)
    """Ends of plays whose track Spotify does not name."""
    full: bool = False
    """Whether Spotify returned the most rows it ever does, so that older plays may be missing."""
    fetched_at: UtcDatetime = Field(default_factory=utc_now)
    merged_at: UtcDatetime | None = None


class UnfinishedMerge(Document):
    """A merge and how it changes stored plays (``unfinished_merges``): written before the changes, deleted after them.

    After a crash, the rest of it is carried out before anything else is merged. No order of single writes would be
    safe: one play may take a fact from another play, which itself takes one from a third.
    """

    user_id: str
    merge_id: ObjectId
    """The id that all parts of a long merge share."""
    plays: list[dict[str, Any]]
    """The plays with their new content, including ``_id``."""
    vanished: list[ObjectId] = Field(default_factory=list)
    """Plays to delete: other plays have taken over all of their facts."""
    touched: list[UtcDatetime] = Field(default_factory=list)
    """Ends of plays whose days must be rebuilt."""
    complete: bool = False
    """Whether this is the last part. Without it, nothing has been changed yet."""


class ListeningGap(Document):
    """An interval in which plays may be missing for good (collection ``listening_gaps``).

    `unseen`: more than 50 plays may have passed between two syncs; or one instant, at which a play of an unknown track
    ended. `unknown`: no import and no sync covers that time.
    """

    user_id: str
    from_: UtcDatetime = Field(alias="from")
    to: UtcDatetime
    kind: GapKind = "unseen"
    detected_at: UtcDatetime = Field(default_factory=utc_now)
    closed_by: str | None = None

    def to_bson(self) -> dict[str, object]:
        """As `Document.to_bson`, with ``from`` spelled as readers see it."""
        return self.model_dump(exclude={"id"}, by_alias=True)


class CoveredSpan(Document):
    """A time span that a source covers completely (collection ``covered_spans``).

    `source` is ``recently_played`` or the format of an export. Adjoining spans of one source are stored as one.
    """

    user_id: str
    source: str
    from_: UtcDatetime = Field(alias="from")
    to: UtcDatetime

    def to_bson(self) -> dict[str, object]:
        """As `Document.to_bson`, with ``from`` spelled as readers see it."""
        return self.model_dump(exclude={"id"}, by_alias=True)
