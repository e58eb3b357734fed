"""Users, their encrypted tokens, and the records of removed users."""

import re
import unicodedata
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from echostats_pipeline.model.base import Document, UtcDatetime, utc_now


@cache
def timezones() -> frozenset[str]:
    """The time zones of the IANA database, as the package ``tzdata`` lists them: the same on every machine.

    A machine's own folder of zones also holds files that are no zones: ``localtime``, ``posixrules``, ``right/...``.
    """
    listed = (resources.files("tzdata") / "zones").read_text(encoding="ascii").split()
    return frozenset(listed) - {"Factory"}


def known_timezone(name: str) -> str:
    """Return the name itself if it is a time zone of the IANA database.

    Raises:
        ValueError: the name is not a time zone.
    """
    if name in timezones():
        return name
    meant = next((zone for zone in timezones() if zone.lower() == name.strip().lower()), None)
    example = f"Did you mean {meant}?" if meant else "Use a name like Europe/Berlin or America/New_York."
    raise ValueError(f"{name!r} is not a time zone of the IANA database. {example}")


def _timezone_or_utc(name: object) -> object:
    """Replace an invalid stored zone by UTC, so that one user does not stop all; `echostats doctor` names it."""
    return name if not isinstance(name, str) or name in timezones() else "UTC"


UserStatus = Literal["active", "paused", "needs_reauth"]
Timezone = Annotated[str, BeforeValidator(_timezone_or_utc)]
PARTITION_KEY_PATTERN = r"^[a-z0-9_-]{1,64}$"


class User(Document):
    """One person with a Spotify account (collection ``users``)."""

    spotify_id: str
    display_name: str = ""
    image_url: str = ""
    country: str = ""
    product: str = ""
    created_at: UtcDatetime = Field(default_factory=utc_now)
    last_synced_at: UtcDatetime | None = None
    # Beyond the EchoStats schema.
    timezone: Timezone = "UTC"
    status: UserStatus = "active"
    status_reason: str = ""
    """Why the status is what it is, if this pipeline has set it and the user alone cannot change it."""
    authorized_at: UtcDatetime | None = None
    partition_key: str = Field(pattern=PARTITION_KEY_PATTERN)
    simulated: bool = False
    adopted_at: UtcDatetime | None = None
    """When this pipeline took over the user, whom the API of EchoStats had added."""
    shares_plays: bool | None = None
    """Whether the plays may serve recommendations for others; null for the default: simulated users share theirs."""
    compares: bool = False
    """Whether the user agrees to be compared, in reports, with other users who agree."""
    saved_tracks_version: str = ""
    """A version that shows whether the saved tracks have changed since they were read."""

    @property
    def shares(self) -> bool:
        """Whether the plays may serve recommendations for others."""
        return self.simulated if self.shares_plays is None else self.shares_plays

    @property
    def user_id(self) -> str:
        """The user's id as text, as every other collection refers to the user."""
        if self.id is None:
            raise ValueError("this user has not been stored yet")
        return str(self.id)


class SpotifyTokens(Document):
    """Encrypted OAuth tokens of one user (collection ``spotify_tokens``)."""

    user_id: str
    refresh_token_encrypted: str
    expires_at: UtcDatetime
    scope: str = ""
    # Beyond the EchoStats schema: all processes share one access token instead of refreshing their own.
    access_token_encrypted: str = ""
    updated_at: UtcDatetime = Field(default_factory=utc_now)
    refresh_leased_at: UtcDatetime | None = None

    def access_is_fresh(self, now: datetime) -> bool:
        """Whether the stored access token can still be used at `now`."""
        return bool(self.access_token_encrypted) and now < self.expires_at


class RemovedUser(Document):
    """The record that a user was removed (collection ``removed_users``): the id, and nothing else about the user.

    If a run that was in progress still writes for this id, those documents are deleted. If the account is connected
    again, that is a new user with another id.
    """

    user_id: str
    removed_at: UtcDatetime = Field(default_factory=utc_now)


ID_DIGITS = 6
"""How many digits of the user's id end their partition key."""


def ending_of_key(user_id: str) -> str:
    """The unique ending of a user's partition key. For a removed user, it is all that is known of the key."""
    return f"-{user_id[-ID_DIGITS:].lower()}"


def partition_key(display_name: str, user_id: str) -> str:
    """A readable and safe Dagster partition key: slug of the name, ``-``, last six digits of the id."""
    ascii_name = unicodedata.normalize("NFKD", display_name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_name.lower()).strip("-")[:48].strip("-")
    return f"{slug or 'user'}{ending_of_key(user_id)}"
