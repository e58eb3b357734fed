"""Plays: one document per time a user played a track, whatever source told us."""

from typing import Any, Literal

from bson import ObjectId
from pydantic import Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime, utc_now

PlaySource = Literal["api", "import"]
GapKind = Literal["unseen", "unknown"]


class TrackSnapshot(Embedded):
    """The track as it was known when the play was stored; `duration_ms` is 0 while it is unknown."""

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
    """``offline_timestamp``, whose meaning Spotify does not document; it orders rows that share a ``ts``."""
    incognito: bool | None = None
    country: str | None = None
    platform: str | None = None
    video: bool | None = None
    """True for the video of a song, absent for anything else."""


IMPORT_FIELDS = ("api_played_at", "import_key", "import_ts", "played_at_precision", "also_imported", "playback")
"""Fields that a play has only if an import told of it."""


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
    """What the API reported, once an export row has replaced it: the API repeats this stamp on every poll."""
    import_key: str | None = None
    """Identity of an export row: its raw content, not its stamp."""
    import_ts: UtcDatetime | None = None
    """``ts`` as the export holds it; `played_at` differs when rows sharing one ``ts`` were laid out."""
    played_at_estimated: bool = False
    played_at_precision: Literal["minute"] | None = None
    """How exact `played_at` is where it is not exact to the second: the account data name minutes."""
    also_imported: list[str] | None = None
    """Identities of rows of other exports that tell of this play too, but know less."""
    playback: Playback | None = None

    def to_bson(self) -> dict[str, object]:
        """As `Document.to_bson`, but the fields that only imports have are absent from API plays."""
        document = super().to_bson()
        if self.playback and not self.playback.video:
            document["playback"] = self.playback.model_dump(exclude={"video"})
        absent = {name for name in IMPORT_FIELDS if document[name] is None}
        return {name: value for name, value in document.items() if name not in absent}


class RecentlyPlayedItem(Embedded):
    """One row of Spotify's recently-played answer, as our own terms have it."""

    track: TrackSnapshot
    played_at: UtcDatetime
    context_type: str = ""
    context_uri: str = ""


class RecentlyPlayedPage(Document):
    """One answer of recently-played, waiting to be merged (collection ``recently_played``).

    The hand-over between reading Spotify and merging into the history: a crash between the two loses nothing.
    """

    user_id: str
    items: list[RecentlyPlayedItem]
    withheld: list[UtcDatetime] = Field(default_factory=list)
    """Ends of plays whose track Spotify does not name."""
    full: bool = False
    """Whether Spotify gave as many rows as it ever does, so that older plays may be out of reach."""
    fetched_at: UtcDatetime = Field(default_factory=utc_now)
    merged_at: UtcDatetime | None = None


class UnfinishedMerge(Document):
    """How a merge is changing stored plays (collection ``unfinished_merges``): written whole before, deleted after.

    What a crash leaves of it is finished before anything else is merged. No order of single writes would do: one play
    may take from another what yet another takes from it.
    """

    user_id: str
    merge_id: ObjectId
    """The parts of a long one share it."""
    plays: list[dict[str, Any]]
    """Plays as they are to be, with their ``_id``."""
    vanished: list[ObjectId] = Field(default_factory=list)
    """Plays whose facts have all gone to others."""
    touched: list[UtcDatetime] = Field(default_factory=list)
    """Ends of plays whose days have to be built anew."""
    complete: bool = False
    """Whether this is the last part; without it nothing has been changed yet."""


class ListeningGap(Document):
    """An interval in which plays may be missing for good (collection ``listening_gaps``).

    `unseen`: more than 50 plays may have passed between two syncs; one instant where it is known that a play ended
    then, but not of which track. `unknown`: no import and no sync tells of that time.
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
    """Time of which a source tells everything (collection ``covered_spans``).

    `source` is ``recently_played`` or the format of an export. Spans of a source that touch are one.
    """

    user_id: str
    source: str
    from_: UtcDatetime = Field(alias="from")
    to: UtcDatetime

    def to_bson(self) -> dict[str, object]:
        """As `Document.to_bson`, with ``from`` spelled as readers see it."""
        return self.model_dump(exclude={"id"}, by_alias=True)
