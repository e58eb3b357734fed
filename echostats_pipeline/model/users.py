"""Users, their encrypted tokens, and what is left of those who were removed."""

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

    A machine's own folder of zones holds what is none: ``localtime``, ``posixrules``, ``right/...``.
    """
    listed = (resources.files("tzdata") / "zones").read_text(encoding="ascii").split()
    return frozenset(listed) - {"Factory"}


def known_timezone(name: str) -> str:
    """The name itself, if it is a time zone of the IANA database.

    Raises:
        ValueError: it is not.
    """
    if name in timezones():
        return name
    meant = next((zone for zone in timezones() if zone.lower() == name.strip().lower()), None)
    example = f"Did you mean {meant}?" if meant else "Use a name like Europe/Berlin or America/New_York."
    raise ValueError(f"{name!r} is not a time zone of the IANA database. {example}")


def _timezone_or_utc(name: object) -> object:
    """A stored zone that is none must not stop everybody: `echostats doctor` names it, and days begin in UTC."""
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
    """Why, where this pipeline has set the status and it takes more than the user to change it."""
    authorized_at: UtcDatetime | None = None
    partition_key: str = Field(pattern=PARTITION_KEY_PATTERN)
    simulated: bool = False
    adopted_at: UtcDatetime | None = None
    """When this pipeline took the user over from EchoStats, whose API had added them."""
    saved_tracks_version: str = ""
    """Tells whether the saved tracks have changed since they were read."""

    @property
    def user_id(self) -> str:
        """The form in which every other collection refers to this user."""
        if self.id is None:
            raise ValueError("this user has not been stored yet")
        return str(self.id)


class SpotifyTokens(Document):
    """Encrypted OAuth tokens of one user (collection ``spotify_tokens``)."""

    user_id: str
    refresh_token_encrypted: str
    expires_at: UtcDatetime
    scope: str = ""
    # Beyond the EchoStats schema: every process shares one access token instead of refreshing its own.
    access_token_encrypted: str = ""
    updated_at: UtcDatetime = Field(default_factory=utc_now)
    refresh_leased_at: UtcDatetime | None = None

    def access_is_fresh(self, now: datetime) -> bool:
        """Whether the stored access token can still be used at `now`."""
        return bool(self.access_token_encrypted) and now < self.expires_at


class RemovedUser(Document):
    """That a user was removed (collection ``removed_users``): their id and nothing that tells who they were.

    Whatever a run that was under way still writes for this id is deleted. The account may be connected again: it is
    another user then, with another id.
    """

    user_id: str
    removed_at: UtcDatetime = Field(default_factory=utc_now)


ID_DIGITS = 6
"""How many digits of a user's id their partition key ends with."""


def ending_of_key(user_id: str) -> str:
    """How the partition key of a user ends, and of nobody else: all that is known of a removed user's."""
    return f"-{user_id[-ID_DIGITS:].lower()}"


def partition_key(display_name: str, user_id: str) -> str:
    """A readable and safe Dagster partition key: slug of the name, ``-``, last six digits of the id."""
    ascii_name = unicodedata.normalize("NFKD", display_name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_name.lower()).strip("-")[:48].strip("-")
    return f"{slug or 'user'}{ending_of_key(user_id)}"
