"""Rule playlists in the form of Navidrome's ``.nsp`` files: conditions over fields, an order, and a limit.

A file is JSON: ``all`` or ``any`` of conditions, each ``{operator: {field: value}}`` or again ``all`` or ``any``; then
``sort`` (fields, a leading ``-`` for descending), ``order`` and ``limit``. Names are not case sensitive.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from math import isfinite
from types import MappingProxyType
from typing import Any, Literal
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.errors import PlaylistRulesError
from echostats_pipeline.transforms.days import local_midnight

Kind = Literal["text", "texts", "number", "date", "flag"]


@dataclass(frozen=True, eq=False)
class Field:
    """A field of a rule: what it is called in files, what it is in a pool, and what it holds."""

    name: str
    value: pl.Expr
    kind: Kind


_SOUND = (
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
FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        field.name.lower(): field
        for field in (
            Field("title", pl.col("name"), "text"),
            Field("artist", pl.col("artist_name"), "text"),
            Field("album", pl.col("album_name"), "text"),
            Field("genre", pl.col("tags"), "texts"),
            Field("year", pl.col("year"), "number"),
            Field("duration", pl.col("duration_ms") / 1000, "number"),
            Field("playCount", pl.col("plays"), "number"),
            Field("skipCount", pl.col("skips"), "number"),
            Field("seasonPlays", pl.col("season_plays"), "number"),
            Field("lastPlayed", pl.col("last_played_at"), "date"),
            Field("firstPlayed", pl.col("first_played_at"), "date"),
            Field("dateAdded", pl.col("added_at"), "date"),
            Field("loved", pl.col("in_library"), "flag"),
            Field("explicit", pl.col("explicit"), "flag"),
            Field("bpm", pl.col("tempo"), "number"),
            *(Field(name, pl.col(name), "number") for name in _SOUND),
        )
    }
)
"""The fields of a rule, by their names in small letters. `seasonPlays` counts the plays in this season of last year;
`loved` is true for liked songs and songs of playlists; `duration` is in seconds."""
KEYS = ("name", "comment", "all", "any", "sort", "order", "limit")
MOST = 500
DEEPEST = 8
MOST_DAYS = 100 * 366


@dataclass(frozen=True)
class RulePlaylist:
    """A playlist by rules.

    Attributes:
        key: A short name.
        name: As shown.
        comment: What it is, in a sentence.
        rules: The file, its names in small letters.
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
            given = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise PlaylistRulesError(f"The rules are not JSON: {error}") from error
        if not isinstance(given, dict):
            raise PlaylistRulesError("The rules must be an object with `all` or `any`.")
        rules = {name.lower(): value for name, value in given.items()}
        for name in given:
            if name.lower() not in KEYS:
                raise PlaylistRulesError(f"There is no key {name!r}. There are: {', '.join(KEYS)}.")
        found = cls(key, str(rules.get("name") or key), str(rules.get("comment") or ""), rules)
        found.conditions(datetime(2000, 1, 1, tzinfo=ZoneInfo("UTC")), ZoneInfo("UTC"))
        found.ordering()
        found.limit()
        return found

    def conditions(self, now: datetime, zone: ZoneInfo) -> pl.Expr:
        """Whether a song of a pool fits."""
        return _group({name: self.rules[name] for name in ("all", "any") if name in self.rules}, now, zone, depth=0)

    def ordering(self) -> list[tuple[pl.Expr, bool]]:
        """What songs are sorted by, and whether descending; the track id decides between equals."""
        text, order = self.rules.get("sort", "title"), self.rules.get("order", "asc")
        if not isinstance(text, str):
            raise PlaylistRulesError("`sort` must be a text: fields separated by commas.")
        if not isinstance(order, str) or order.lower() not in ("asc", "desc"):
            raise PlaylistRulesError(f"`order` must be asc or desc, unlike {order!r}.")
        turned = order.lower() == "desc"
        parts = [part for part in (each.strip() for each in text.split(",")) if part]
        return [(_sortable(part.lstrip("+-")), part.startswith("-") != turned) for part in parts]

    def fields(self) -> set[str]:
        """The fields that the conditions are about, in small letters."""
        found, waiting = set[str](), [each for name in ("all", "any") for each in self.rules.get(name, ())]
        while waiting:
            ((name, body),) = waiting.pop().items()
            if name.lower() in ("all", "any"):
                waiting += body
            else:
                found |= {field.lower() for field in body}
        return found

    def limit(self) -> int:
        """Most songs."""
        most = self.rules.get("limit", MOST)
        if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MOST:
            raise PlaylistRulesError(f"`limit` must be a whole number from 1 to {MOST}.")
        return most

    def songs(self, pool: pl.DataFrame, now: datetime, zone: ZoneInfo) -> pl.DataFrame:
        """The songs of a pool that fit, in order."""
        fitting, keys = pool.filter(self.conditions(now, zone)), self.ordering()
        by, descending = [each for each, _ in keys], [turned for _, turned in keys]
        ordered = fitting.sort([*by, pl.col("track_id")], descending=[*descending, False], nulls_last=True)
        return ordered.head(self.limit())


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number.")


def _sortable(name: str) -> pl.Expr:
    if name.lower() == "random":
        raise PlaylistRulesError("Songs are not sorted at random: the same rules always give the same songs.")
    field = _field(name)
    value = field.value.list.first() if field.kind == "texts" else field.value
    return value.str.to_lowercase() if field.kind in ("text", "texts") else value


def _field(name: str) -> Field:
    if name.lower() not in FIELDS:
        known = ", ".join(sorted(field.name for field in FIELDS.values()))
        raise PlaylistRulesError(f"There is no field {name!r}. There are: {known}.")
    return FIELDS[name.lower()]


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
    operator = _BY_NAME.get(name.lower())
    if operator is None:
        raise PlaylistRulesError(f"There is no operator {name!r}. There are: {', '.join(OPERATORS)}.")
    if not isinstance(body, dict) or len(body) != 1:
        raise PlaylistRulesError(f"{name!r} must be about one field, unlike {body!r}.")
    (field, value), *_ = body.items()
    return operator(_Subject(_field(field), name, now, zone), value).fill_null(value=False)


@dataclass(frozen=True)
class _Subject:
    """A field that a condition is about, and the condition's operator."""

    field: Field
    operator: str
    now: datetime
    zone: ZoneInfo

    @property
    def value(self) -> pl.Expr:
        return self.field.value

    def must_be(self, *kinds: Kind) -> None:
        if self.field.kind not in kinds:
            fitting = sorted(field.name for field in FIELDS.values() if field.kind in kinds)
            raise PlaylistRulesError(
                f"{self.operator!r} does not go with {self.field.name!r}. It goes with: {', '.join(fitting)}."
            )

    def refused(self, wanted: str, value: Any) -> PlaylistRulesError:
        return PlaylistRulesError(f"{self.field.name!r} is compared with {wanted}, unlike {value!r}.")

    def text(self, value: Any) -> str:
        self.must_be("text", "texts")
        if not isinstance(value, str):
            raise self.refused("a text", value)
        return value.lower()

    def any_text(self, test: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
        """Whether the text, or one of the genres, passes a test."""
        if self.field.kind == "texts":
            return self.value.list.eval(test(pl.element().str.to_lowercase())).list.any()
        return test(self.value.str.to_lowercase())

    def flag(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self.refused("true or false", value)
        return value

    def bounds(self, value: Any) -> tuple[Any, Any]:
        """A number twice, or the instants at which a local date begins and ends."""
        self.must_be("number", "date")
        if self.field.kind == "date":
            return self._day(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(_float(value)):
            raise self.refused("a number", value)
        return _float(value), _float(value)

    def _day(self, value: Any) -> tuple[datetime, datetime]:
        try:
            day = date.fromisoformat(value)
            return local_midnight(day, self.zone), local_midnight(day + timedelta(days=1), self.zone)
        except (TypeError, ValueError, OverflowError):
            raise self.refused("a date like 2026-01-31", value) from None

    def since(self, value: Any) -> datetime:
        """The instant so many days ago."""
        self.must_be("date")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < MOST_DAYS:
            raise PlaylistRulesError(f"{self.operator!r} needs a number of days, unlike {value!r}.")
        return self.now - timedelta(days=value)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _is(subject: _Subject, value: Any) -> pl.Expr:
    match subject.field.kind:
        case "text" | "texts":
            text = subject.text(value)
            return subject.any_text(lambda found: found == text)
        case "flag":
            return subject.value.eq(subject.flag(value))
        case "date":
            return subject.value.is_between(*subject.bounds(value), closed="left")
        case "number":
            return subject.value.eq(subject.bounds(value)[0])


def _in_range(subject: _Subject, value: Any) -> pl.Expr:
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004
        raise PlaylistRulesError(f"{subject.operator!r} needs two values, unlike {value!r}.")
    low, high = (subject.bounds(each) for each in value)
    if high < low:
        raise PlaylistRulesError(f"{subject.operator!r} needs the smaller value first, unlike {value!r}.")
    return subject.value.is_between(low[0], high[1], closed="left" if subject.field.kind == "date" else "both")


def _contains(subject: _Subject, value: Any) -> pl.Expr:
    text = subject.text(value)
    return subject.any_text(lambda found: found.str.contains(text, literal=True))


def _starts_with(subject: _Subject, value: Any) -> pl.Expr:
    text = subject.text(value)
    return subject.any_text(lambda found: found.str.starts_with(text))


def _ends_with(subject: _Subject, value: Any) -> pl.Expr:
    text = subject.text(value)
    return subject.any_text(lambda found: found.str.ends_with(text))


def _above(subject: _Subject, value: Any) -> pl.Expr:
    return subject.value.gt(subject.bounds(value)[0])


def _below(subject: _Subject, value: Any) -> pl.Expr:
    return subject.value.lt(subject.bounds(value)[0])


Operator = Callable[[_Subject, Any], pl.Expr]
OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "is": _is,
        "isNot": lambda subject, value: ~_is(subject, value).fill_null(value=False),
        "gt": _above,
        "lt": _below,
        "before": _below,
        "after": _above,
        "contains": _contains,
        "notContains": lambda subject, value: ~_contains(subject, value).fill_null(value=False),
        "startsWith": _starts_with,
        "endsWith": _ends_with,
        "inTheRange": _in_range,
        "inTheLast": lambda subject, value: subject.value >= subject.since(value),
        "notInTheLast": lambda subject, value: subject.value.is_null() | (subject.value < subject.since(value)),
    }
)
"""The operators. A date means its whole day for `is` and for the end of `inTheRange`, and its beginning elsewhere."""
_BY_NAME: Mapping[str, Operator] = {name.lower(): operator for name, operator in OPERATORS.items()}

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
                "Heard for the first time in the last 30 days, or added to the library and not heard yet.",
                {
                    "any": [
                        {"inTheLast": {"firstPlayed": 30}},
                        {"all": [{"inTheLast": {"dateAdded": 30}}, {"is": {"playCount": 0}}]},
                    ],
                    "sort": "-playCount,-firstPlayed",
                    "limit": 50,
                },
            ),
        )
    }
)
"""The rule playlists that every user gets."""
