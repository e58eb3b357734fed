"""The pipeline's own records: jobs, API calls, imports, incidents, and what must be rebuilt."""

from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime, utc_now

JobType = Literal["periodic", "rollup_build", "import", "initial"]
JobStatus = Literal["pending", "running", "completed", "failed"]
RowOutcome = Literal["inserted", "merged", "duplicate", "not_music", "rejected"]
Source = Literal[
    "listening_history",  # the plays of a user's local date
    "daily_rollups",  # the rollup of a user's local date
    "track_credits",  # the artists that the catalogue credits on the tracks of a user's local date
    "catalog",  # tracks, artists and albums that a user has played
    "playlists",  # the names of a user's playlists
    "covered_spans",
    "users",
    "exclusions",  # rules of a user that leave plays out, by the local dates of these plays
    "rules",  # the other rules of a user
    "playlist_contents",
    "analytics_snapshots",
    "recommendations",  # also what applications say about them
    "generated_playlists",  # also what users change in them at Spotify
]
"""What can change. A new source is one line here; `storage.change_marks` names its consumers."""
LeaseScope = Literal["history", "library", "marts", "scrobbles"]
IncidentKind = Literal["run", "check", "user"]
Notice = Literal["opened", "closed", ""]


class Reads(NamedTuple):
    """What a consumer reads.

    Attributes:
        sources: Its sources. What the consumer asks for itself is marked in the first one.
        by_date: Whether it may read some dates and leave others.
        from_nothing: Whether marks make it wait until it has been built once. Rollups do not need this: a day with
            plays and without a rollup is noticed anyway.
    """

    sources: tuple[Source, ...]
    by_date: bool = False
    from_nothing: bool = True


class JobStep(Embedded):
    """One step of a job, named after its asset.

    Attributes:
        counts: The numbers in `detail`, by their names in the asset's metadata.
    """

    action: str
    status: JobStatus
    detail: str
    items: int
    counts: dict[str, int] = Field(default_factory=dict)
    started_at: UtcDatetime
    completed_at: UtcDatetime | None = None
    error: str = ""


class SyncJob(Document):
    """One user's part of one Dagster run (collection ``sync_jobs``)."""

    user_id: str
    job_type: JobType = "periodic"
    status: JobStatus = "pending"
    started_at: UtcDatetime | None = None
    completed_at: UtcDatetime | None = None
    items_processed: int = 0
    items_total: int = 0
    error_message: str = ""
    steps: list[JobStep] = Field(default_factory=list)
    created_at: UtcDatetime = Field(default_factory=utc_now)
    # Beyond the EchoStats schema.
    dagster_run_id: str = ""
    dagster_instance_id: str = ""
    """The Dagster instance to which the run belongs: several may share a database."""
    heartbeat_at: UtcDatetime | None = None
    """When the run last reported that it is alive, by the database's clock."""


class ApiLog(Document):
    """One HTTP attempt (collection ``api_logs``); `endpoint` is the path, with secrets removed from its query."""

    user_id: str = ""
    service: str = "spotify"
    method: str = ""
    endpoint: str = ""
    status_code: int = 0
    latency_ms: float = 0.0
    error: str = ""
    request_id: str = ""
    timestamp: UtcDatetime = Field(default_factory=utc_now)
    # Beyond the EchoStats schema.
    family: str = ""


class FileImport(Document):
    """One imported file and the outcomes of its rows (collection ``imports``).

    `rows` is the sum of the five outcomes.
    """

    user_id: str
    file_name: str
    format: str
    status: JobStatus = "running"
    rows: int = 0
    inserted: int = 0
    merged: int = 0
    duplicate: int = 0
    not_music: int = 0
    rejected: int = 0
    gaps_closed: int = 0
    short: int = 0
    reject_reasons: dict[str, int] = Field(default_factory=dict)
    rejected_ms: int = 0
    first_played_at: UtcDatetime | None = None
    last_played_at: UtcDatetime | None = None
    started_at: UtcDatetime = Field(default_factory=utc_now)
    completed_at: UtcDatetime | None = None
    error_message: str = ""
    dagster_run_id: str = ""

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """From its first play to its last; None without plays."""
        if self.first_played_at is None or self.last_played_at is None:
            return None
        return self.first_played_at, self.last_played_at


class ImportReject(Document):
    """A row of an import that could not become a play, without its personal fields (``import_rejects``)."""

    user_id: str
    file_name: str
    row_number: int
    reason: str
    row: dict[str, Any]
    rejected_at: UtcDatetime = Field(default_factory=utc_now)


class DepartedTrack(Embedded):
    """A track that a user has removed from the library."""

    spotify_id: str
    """The track."""
    noticed_at: UtcDatetime
    """When that was noticed."""


class EventMonth(Embedded):
    """How many events of a user an application's database had in a month, before the server deleted them."""

    month: str
    """For example ``2026-09``, in UTC."""
    events: dict[str, int] = Field(default_factory=dict)
    """Number of events by type."""


class SetFeedback(Embedded):
    """What a user had said in a set of recommendations of EchoTune's when it was last read."""

    set_id: str
    """Id of the set in EchoTune's database."""
    liked: list[str] = Field(default_factory=list)
    """Tracks liked in it."""
    disliked: list[str] = Field(default_factory=list)
    """Tracks disliked in it."""


class MartState(Document):
    """How far a mart has read, and what it must not forget about a user (collection ``mart_states``)."""

    user_id: str
    mart: str
    """Name of the mart."""
    layout: int
    """Version of the mart's documents; those of another version are built again."""
    place: str = ""
    """The database and the name of its first collection, where the names can be chosen; documents of another place are
    built again."""
    catalog_read_at: UtcDatetime | None = None
    """When the catalogue was last read, by the database's clock."""
    liked: list[str] = Field(default_factory=list)
    """Tracks that the user has liked in an application; recommendations expire, this does not."""
    disliked: list[str] = Field(default_factory=list)
    """Tracks that the user has disliked in an application."""
    saved: list[str] = Field(default_factory=list)
    """Tracks that the user has saved in an application."""
    library: list[str] = Field(default_factory=list)
    """Tracks that were in the user's library at the last update."""
    departed: list[DepartedTrack] = Field(default_factory=list)
    """Tracks that have left the library."""
    load_ids: list[str] = Field(default_factory=list)
    """Identify the last loads of the warehouse: one of them is the last that PostgreSQL has."""
    dismissals_read_at: UtcDatetime | None = None
    """When dismissed recommendations were last read, by the database's clock."""
    dismissals_read: list[str] = Field(default_factory=list)
    """Ids of the events that were read then and that the next update finds again."""
    sets_read: list[SetFeedback] = Field(default_factory=list)
    """What sets said when they were last read, so that what is said later is known to be later."""
    event_months: list[EventMonth] = Field(default_factory=list)
    """Events by month, the newest last: events expire after 90 days, this does not."""


class ChangeMark(Document):
    """A change of a source on a date, until all its consumers have read it (collection ``change_marks``).

    `date` is empty for the newest mark of a user and source, and ``all`` for a source that does not change by date.
    `storage.change_marks` has the rules.
    """

    user_id: str
    source: Source
    date: str = ""
    writer: str = ""
    """Identifies the change: each change has marks of its own."""
    mark: str
    """A text that is another one when the change is complete: a consumer takes only marks for read that it has seen."""
    marked_at: UtcDatetime
    open_since: UtcDatetime | None = None
    """Set while the change is still being written."""
    read_by: list[str] = Field(default_factory=list)
    """The consumers that have read the mark; of the newest mark, those that have read everything before it once."""


class UserLease(Document):
    """The run that may change a user's history or library now (collection ``user_leases``)."""

    user_id: str
    scope: LeaseScope
    dagster_run_id: str
    renewed_at: UtcDatetime


class UnfinishedRestore(Document):
    """A restore of a backup that has not ended (collection ``unfinished_restores``)."""

    digest: str
    """Identifies the backup."""
    file: str
    """Name of its file."""
    started_at: UtcDatetime
    """When the restore began."""
    restored: list[str] = Field(default_factory=list)
    """The collections that are there again, with their databases."""
    removed: dict[str, UtcDatetime] = Field(default_factory=dict)
    """Users who were removed from the database that is replaced, by id: when."""
    holder: str = ""
    """Identifies the process that restores."""
    renewed_at: UtcDatetime
    """When that process last showed that it lives."""


class SpotifyCall(Document):
    """One call that counts against the app's quota at Spotify (``spotify_calls``), kept as long as it counts."""

    family: str
    at: UtcDatetime


class SpotifyLimit(Document):
    """The time before which no call of an endpoint family is made (``spotify_limits``)."""

    family: str
    not_before: UtcDatetime
    reason: str = ""
    next_at: UtcDatetime | None = None
    """When the next call may be made to a service that asks for a pause between calls; all processes share it."""


class RefusedEndpoint(Document):
    """An endpoint that Spotify refuses to this app, and until when it is not tried again (``refused_endpoints``)."""

    endpoint: str
    until: UtcDatetime


class Incident(Document):
    """A problem that stays open until it is solved, and is notified once (collection ``incidents``).

    Only the latest incident of each key is kept.

    Attributes:
        key: The problem and the user or part it affects. While an incident is open, every report with its key is added.
        subject: The problem and whom it affects, in words.
        cause: Why, in one line without secrets.
        advice: What a person can do about it.
        job_name: For the kind ``run``: the job whose success closes the incident.
        user_key: Partition key of the affected user; empty if the problem affects all users.
        run_id: The latest Dagster run with the problem.
        notified_at: When the first notice was delivered.
        pending: The notice that is still to be sent, if any.
        attempts: How often sending it was tried.
        next_attempt_at: When to try again.
        accepted_by: Marks of the addresses that have received it already.
    """

    key: str
    kind: IncidentKind
    subject: str
    cause: str
    advice: str = ""
    job_name: str = ""
    user_key: str = ""
    user_id: str = ""
    run_id: str = ""
    opened_at: UtcDatetime
    last_seen_at: UtcDatetime
    count: int = 1
    notified_at: UtcDatetime | None = None
    closed_at: UtcDatetime | None = None
    pending: Notice = "opened"
    attempts: int = 0
    next_attempt_at: UtcDatetime | None = None
    accepted_by: list[str] = Field(default_factory=list)
