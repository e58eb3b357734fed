"""Rule playlists in the form of Navidrome's ``.nsp`` files: conditions over fields, an order, and a limit.

A file is JSON: ``all`` or ``any`` of conditions, each ``{operator: {field: value}}`` or again ``all`` or ``any``; then
``sort`` (fields, a leading ``-`` for descending), ``order`` and ``limit``. Names are not case sensitive.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.errors import PlaylistRulesError
from echostats_pipeline.transforms.days import local_midnight

FIELDS: Mapping[str, pl.Expr] = MappingProxyType(
    {
        "title": pl.col("name"),
        "artist": pl.col("artist_name"),
        "album": pl.col("album_name"),
        "genre": pl.col("tags"),
        "year": pl.col("year"),
        "duration": pl.col("duration_ms") / 1000,
        "playcount": pl.col("plays"),
        "skipcount": pl.col("skips"),
        "seasonplays": pl.col("season_plays"),
        "lastplayed": pl.col("last_played_at"),
        "firstplayed": pl.col("first_played_at"),
        "dateadded": pl.col("added_at"),
        "loved": pl.col("in_library"),
        "explicit": pl.col("explicit"),
        "bpm": pl.col("tempo"),
        **{
            name: pl.col(name)
            for name in (
                "energy",
                "brightness",
                "valence",
                "danceability",
                "acousticness",
                "instrumentalness",
                "liveness",
                "speechiness",
                "tempo",
            )
        },
    }
)
"""The fields of a rule. `seasonplays` counts the plays in this season of last year; `loved` is true for liked songs and
songs of playlists; `duration` is in seconds."""
DATES = ("lastplayed", "firstplayed", "dateadded")
TEXTS = ("title", "artist", "album", "genre")
MOST = 500
DEEPEST = 8


@dataclass(frozen=True)
class RulePlaylist:
    """A playlist by rules.

    Attributes:
        key: A short name.
        name: As shown.
        comment: What it is, in a sentence.
        rules: The file.
    """

    key: str
    name: str
    comment: str
    rules: Mapping[str, Any]

    @classmethod
    def parsed(cls, key: str, text: str) -> "RulePlaylist":
        """Read a file, and check it.

        Raises:
            PlaylistRulesError: it is no such file; the message says what is wrong.
        """
        try:
            rules = json.loads(text)
        except ValueError as error:
            raise PlaylistRulesError(f"The rules are not JSON: {error}") from error
        if not isinstance(rules, dict):
            raise PlaylistRulesError("The rules must be an object with `all` or `any`.")
        found = cls(key, str(rules.get("name") or key), str(rules.get("comment") or ""), rules)
        found.conditions(datetime(2000, 1, 1, tzinfo=ZoneInfo("UTC")), ZoneInfo("UTC"))
        found.ordering()
        found.limit()
        return found

    def conditions(self, now: datetime, zone: ZoneInfo) -> pl.Expr:
        """Whether a song of a pool fits."""
        return _group(self.rules, now, zone, depth=0)

    def ordering(self) -> list[tuple[pl.Expr, bool]]:
        """What songs are sorted by, and whether descending; the track id decides between equals."""
        text = self.rules.get("sort", "title")
        if not isinstance(text, str):
            raise PlaylistRulesError("`sort` must be a text: fields separated by commas.")
        turned = str(self.rules.get("order", "asc")).lower() == "desc"
        found = []
        for part in filter(None, (each.strip() for each in text.split(","))):
            field = part.lstrip("+-").lower()
            found.append((_field(field), part.startswith("-") != turned))
        return found

    def limit(self) -> int:
        """Most songs."""
        most = self.rules.get("limit", MOST)
        if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MOST:
            raise PlaylistRulesError(f"`limit` must be a whole number from 1 to {MOST}.")
        return most

    def songs(self, pool: pl.DataFrame, now: datetime, zone: ZoneInfo) -> pl.DataFrame:
        """The songs of a pool that fit, in order."""
        fitting = pool.filter(self.conditions(now, zone))
        keys = self.ordering()
        by = [expression.list.first() if _is_list(expression) else expression for expression, _ in keys]
        descending = [turned for _, turned in keys]
        ordered = fitting.sort([*by, pl.col("track_id")], descending=[*descending, False], nulls_last=True)
        return ordered.head(self.limit())


def _is_list(expression: pl.Expr) -> bool:
    return expression.meta.output_name() == "tags"


def _field(name: str) -> pl.Expr:
    if name not in FIELDS:
        raise PlaylistRulesError(f"There is no field {name!r}. There are: {', '.join(sorted(FIELDS))}.")
    return FIELDS[name]


def _group(rules: Mapping[str, Any], now: datetime, zone: ZoneInfo, depth: int) -> pl.Expr:
    named = {name.lower(): value for name, value in rules.items()}
    kinds = [kind for kind in ("all", "any") if kind in named]
    if len(kinds) != 1 or not isinstance(named[kinds[0]], list) or not named[kinds[0]]:
        raise PlaylistRulesError("The rules must have either `all` or `any`, with a list of conditions.")
    if depth > DEEPEST:
        raise PlaylistRulesError(f"The conditions are nested more than {DEEPEST} deep.")
    parts = [_condition(each, now, zone, depth) for each in named[kinds[0]]]
    return reduce(lambda one, other: one & other if kinds[0] == "all" else one | other, parts)


def _condition(rule: Any, now: datetime, zone: ZoneInfo, depth: int) -> pl.Expr:
    if not isinstance(rule, dict) or len(rule) != 1:
        raise PlaylistRulesError(f"A condition must be an object with one operator, unlike {rule!r}.")
    (name, body), *_ = rule.items()
    if name.lower() in ("all", "any"):
        return _group(rule, now, zone, depth + 1)
    operator = OPERATORS.get(name.lower())
    if operator is None:
        raise PlaylistRulesError(f"There is no operator {name!r}. There are: {', '.join(OPERATORS)}.")
    if not isinstance(body, dict) or len(body) != 1:
        raise PlaylistRulesError(f"{name!r} must be about one field, unlike {body!r}.")
    (field, value), *_ = body.items()
    _field(field.lower())
    return operator(_Subject(field.lower(), now, zone), value).fill_null(value=False)


@dataclass(frozen=True)
class _Subject:
    """A field that a condition is about."""

    field: str
    now: datetime
    zone: ZoneInfo

    @property
    def value(self) -> pl.Expr:
        return FIELDS[self.field]

    def text(self, value: Any) -> str:
        if self.field not in TEXTS:
            raise PlaylistRulesError(f"{self.field!r} is no text.")
        return str(value).lower()

    def any_text(self, test: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
        """Whether the text, or one of the genres, passes a test."""
        if self.field == "genre":
            return self.value.list.eval(test(pl.element().str.to_lowercase())).list.any()
        return test(self.value.str.to_lowercase())

    def comparable(self, value: Any) -> Any:
        """A value as the field has it."""
        if self.field in DATES:
            return self._instant(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise PlaylistRulesError(f"{self.field!r} is compared with a number, unlike {value!r}.")
        return value

    def _instant(self, value: Any) -> datetime:
        try:
            return local_midnight(date.fromisoformat(str(value)), self.zone)
        except ValueError:
            raise PlaylistRulesError(
                f"{self.field!r} is compared with a date like 2026-01-31, unlike {value!r}."
            ) from None

    def since(self, value: Any) -> datetime:
        """The instant so many days ago."""
        if self.field not in DATES:
            raise PlaylistRulesError(f"{self.field!r} is no date.")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 100 * 366:
            raise PlaylistRulesError(f"{self.field!r} needs a number of days, unlike {value!r}.")
        return self.now - timedelta(days=value)


def _is(subject: _Subject, value: Any) -> pl.Expr:
    if isinstance(value, bool):
        return subject.value.eq(value)
    if subject.field in TEXTS:
        text = subject.text(value)
        return subject.any_text(lambda found: found == text)
    wanted = subject.comparable(value)
    if subject.field in DATES:
        return subject.value.is_between(wanted, wanted + timedelta(days=1), closed="left")
    return subject.value.eq(wanted)


def _in_range(subject: _Subject, value: Any) -> pl.Expr:
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004
        raise PlaylistRulesError(f"`inTheRange` needs two values, unlike {value!r}.")
    return subject.value.is_between(subject.comparable(value[0]), subject.comparable(value[1]))


def _contains(subject: _Subject, value: Any) -> pl.Expr:
    text = subject.text(value)
    return subject.any_text(lambda found: found.str.contains(text, literal=True))


def _starts_with(subject: _Subject, value: Any) -> pl.Expr:
    text = subject.text(value)
    return subject.any_text(lambda found: found.str.starts_with(text))


def _ends_with(subject: _Subject, value: Any) -> pl.Expr:
    text = subject.text(value)
    return subject.any_text(lambda found: found.str.ends_with(text))


OPERATORS: Mapping[str, Callable[[_Subject, Any], pl.Expr]] = {
    "is": _is,
    "isnot": lambda subject, value: ~_is(subject, value).fill_null(value=False),
    "gt": lambda subject, value: subject.value > subject.comparable(value),
    "lt": lambda subject, value: subject.value < subject.comparable(value),
    "before": lambda subject, value: subject.value < subject.comparable(value),
    "after": lambda subject, value: subject.value > subject.comparable(value),
    "contains": _contains,
    "notcontains": lambda subject, value: ~_contains(subject, value).fill_null(value=False),
    "startswith": _starts_with,
    "endswith": _ends_with,
    "intherange": _in_range,
    "inthelast": lambda subject, value: subject.value >= subject.since(value),
    "notinthelast": lambda subject, value: subject.value.is_null() | (subject.value < subject.since(value)),
}
"""The operators, in small letters."""

READY_MADE: Mapping[str, RulePlaylist] = MappingProxyType(
    {
        made.key: made
        for made in (
            RulePlaylist(
                "forgotten_favourites",
                "Forgotten favourites",
                "Played ten times or more, and not for half a year.",
                {
                    "all": [{"gt": {"playCount": 9}}, {"notInTheLast": {"lastPlayed": 180}}],
                    "sort": "-playCount",
                    "limit": 50,
                },
            ),
            RulePlaylist(
                "this_season_last_year",
                "This season, last year",
                "What was played most in the same three months a year ago.",
                {"all": [{"gt": {"seasonPlays": 1}}], "sort": "-seasonPlays,-playCount", "limit": 50},
            ),
            RulePlaylist(
                "never_finished",
                "Never finished",
                "Begun, left early, and never heard to the end.",
                {
                    "all": [{"gt": {"skipCount": 0}}, {"is": {"playCount": 0}}],
                    "sort": "-skipCount",
                    "limit": 50,
                },
            ),
            RulePlaylist(
                "new_this_month",
                "New this month",
                "Heard for the first time, or added to the library, in the last 30 days.",
                {
                    "any": [{"inTheLast": {"firstPlayed": 30}}, {"inTheLast": {"dateAdded": 30}}],
                    "sort": "-playCount,-firstPlayed",
                    "limit": 50,
                },
            ),
        )
    }
)
"""The rule playlists that every user gets."""
