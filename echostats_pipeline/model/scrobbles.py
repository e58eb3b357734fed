"""Plays that are sent on to other services: where to, and what was sent."""

from typing import Any, Literal

from bson import ObjectId
from pydantic import Field

from echostats_pipeline.model.base import Document, UtcDatetime, utc_now

SentState = Literal["pending", "sent", "refused"]


class ScrobbleTarget(Document):
    """A service that gets the plays of a user (collection ``scrobble_targets``)."""

    user_id: str
    target: str
    """The address of the service, to which ``/1/submit-listens`` is appended."""
    token_encrypted: str
    """The user's token at the service, encrypted like Spotify's tokens."""
    account: str = ""
    """The user's name at the service, as far as it told."""
    since: str | None = None
    """The first local date (``YYYY-MM-DD``) whose plays are sent; null for all plays."""
    added_at: UtcDatetime = Field(default_factory=utc_now)
    """When the user chose the service."""
    read_marks: dict[str, str] = Field(default_factory=dict)
    """The newest mark of each source when the history was last read; others mean that there is something to read."""
    read_at: UtcDatetime | None = None
    """When the history was last read to its end; null if it has to be read from its beginning."""
    whole_read_at: UtcDatetime | None = None
    """When the whole history was last read, and not only its last weeks."""
    refusal: str = ""
    """Why the service does not accept the token any more. Nothing is sent until the user gives another one."""


class SentPlay(Document):
    """A play that was sent to a service, or is being sent (collection ``sent_plays``).

    The document is written before the request. What it keeps of the play recognises it in the history when the play has
    got another id, or when an export has moved its end by seconds.
    """

    user_id: str
    target: str
    """The address of the service."""
    play_id: ObjectId
    """The play in ``listening_history``."""
    track_id: str
    """The id of its track when it was sent."""
    song: str
    """An id made of artist and title, which is the same for all spellings."""
    played_at: UtcDatetime
    """The end of the play when it was sent."""
    listened_at: int
    """The start of the play that was sent, in seconds since 1970."""
    state: SentState = "pending"
    """``pending`` until the service has answered, then ``sent``, or ``refused`` if it does not take this play."""
    listen: dict[str, Any] | None = None
    """What is being sent, so that it can be repeated exactly; null once the service has answered."""
    reason: str = ""
    """Why the service refused it."""
    answered_at: UtcDatetime | None = None
    """When the service answered."""
