"""Rules of a user: which plays to leave out, what to count as one or apart, and what to call it.

Rules act when statistics are computed. The listening history stays what was played, so that a rule that is removed has
no effect left.
"""

from datetime import date
from typing import Any, Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime, utc_now
from echostats_pipeline.model.catalog import AlbumRef, ArtistRef

RuleKind = Literal["exclude", "same_song", "same_artist", "different", "rename"]
RULE_KINDS: tuple[RuleKind, ...] = get_args(RuleKind)
HOURS_A_DAY, DAYS_A_WEEK = 24, 7
TWO = 2
"""Fewest tracks or artists of a rule that joins them or keeps them apart."""


class Exclusion(Embedded):
    """Conditions for a play to be left out: all that are given must hold.

    Names are compared without regard to case and spaces. Hours, weekdays and dates are local, of the end of the play.
    """

    artist: ArtistRef | None = None
    """The artist under whom rankings count the play: the primary one in the catalogue, else the one in the play."""
    album: AlbumRef | None = None
    """The album as the play names it."""
    track_ids: list[str] = Field(default_factory=list)
    """The track is one of these; empty for any track."""
    context_uri: str = ""
    """The playlist, album or artist from which it was played; empty for any."""
    from_hour: int | None = Field(default=None, ge=0, lt=HOURS_A_DAY)
    """The first hour of the day, 0 to 23; null for any hour."""
    to_hour: int | None = Field(default=None, ge=0, lt=HOURS_A_DAY)
    """The hour before which it ends; an hour before `from_hour` means that of the next day."""
    weekdays: list[int] = Field(default_factory=list)
    """Weekdays, 0 is Monday; empty for any."""
    from_date: str = ""
    """The first date, YYYY-MM-DD; empty for no limit."""
    to_date: str = ""
    """The last date, YYYY-MM-DD; empty for no limit."""
    private_session: bool = False
    """Whether only plays of private sessions are meant, which only exports report."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if (self.from_hour is None) != (self.to_hour is None) or (
            self.from_hour is not None and self.from_hour == self.to_hour
        ):
            raise ValueError("hours need a beginning and another end")
        dates = [date.fromisoformat(day) for day in (self.from_date, self.to_date) if day]
        if dates != sorted(dates):
            raise ValueError("the first date is after the last one")
        if not set(self.weekdays) <= set(range(DAYS_A_WEEK)):
            raise ValueError("weekdays are 0 to 6")
        if self == Exclusion.model_construct():
            raise ValueError("a rule without a condition would leave out every play")
        return self


class Renaming(Embedded):
    """Another name for a track, artist or album; it is found by its id, or by its name where it has no id."""

    what: Literal["track", "artist", "album"]
    """What gets another name."""
    spotify_id: str = ""
    name: str = ""
    shown_name: str = Field(min_length=1)
    """The name under which statistics show it."""


class Rule(Document):
    """A rule of one user (collection ``rules``): one of its parts holds what its kind needs, the others are absent."""

    user_id: str
    kind: RuleKind
    exclude: Exclusion | None = None
    """Which plays an `exclude` rule leaves out."""
    track_ids: list[str] | None = None
    """The tracks that a rule counts as one song (`same_song`), or never as one (`different`)."""
    artists: list[ArtistRef] | None = None
    """The artists that a `same_artist` rule counts as one."""
    rename: Renaming | None = None
    """What a `rename` rule calls by another name."""
    note: str = ""
    """Why the user made the rule, in their own words."""
    created_at: UtcDatetime = Field(default_factory=utc_now)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        parts = {"exclude": self.exclude, "track_ids": self.track_ids, "artists": self.artists, "rename": self.rename}
        needed = PARTS[self.kind]
        if [name for name, part in parts.items() if part is not None] != [needed]:
            raise ValueError(f"a rule of kind {self.kind} has {needed} and nothing else")
        several = self.track_ids if self.artists is None else self.artists
        if several is not None and len(several) < TWO:
            raise ValueError(f"it takes at least two {'tracks' if self.artists is None else 'artists'}")
        return self

    @property
    def rule_id(self) -> str:
        """The id as text, by which statistics and commands name the rule."""
        if self.id is None:
            raise ValueError("this rule has not been stored yet")
        return str(self.id)

    @property
    def exclusion(self) -> Exclusion:
        """The conditions of an `exclude` rule."""
        if self.exclude is None:
            raise ValueError(f"a rule of kind {self.kind} has no conditions")
        return self.exclude

    def to_bson(self) -> dict[str, Any]:
        """As `Document.to_bson`, without the parts that other kinds of rules have."""
        document = super().to_bson()
        return {name: value for name, value in document.items() if name not in PARTS.values() or value is not None}


PARTS: dict[RuleKind, str] = {
    "exclude": "exclude",
    "same_song": "track_ids",
    "same_artist": "artists",
    "different": "track_ids",
    "rename": "rename",
}
"""The part of a rule that holds what its kind needs."""


def reason_of(error: ValidationError) -> str:
    """Why the content of a rule is refused, in words without pydantic's."""
    reasons = []
    for each in error.errors():
        own = each["type"] == "value_error"
        field = "" if own else f"{'.'.join(str(part) for part in each['loc'])}: "
        reasons.append(f"{field}{each['msg'].removeprefix('Value error, ')}")
    return "; ".join(reasons)
