"""Behaviour of the simulated Spotify towards an app: regime, limits, rotation of tokens, faults by name.

Belongs here: `Behaviour`, `Fault`, the table of fault names, and their text and JSON forms. Not here: the code that
applies them (``endpoints``, ``faults``, ``history``, ``limits``, ``regimes``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, PlainSerializer, TypeAdapter, ValidationError

Regime = Literal["extended", "legacy_dev", "restricted_dev"]
REGIMES: tuple[Regime, ...] = get_args(Regime)
Rotation = Literal["never", "always", "random"]
ROTATIONS: tuple[Rotation, ...] = get_args(Rotation)
RowKeys = Literal["regime", "both", "track"]
Family = Literal[
    "recently-played",
    "tracks",
    "artists",
    "albums",
    "audio-features",
    "playlists",
    "saved-tracks",
    "top-items",
    "me",
    "other",
    "reccobeats",
    "musicbrainz",
    "lastfm",
    "listenbrainz",
]
FAMILIES: tuple[Family, ...] = get_args(Family)
OTHER_SERVICES: frozenset[Family] = frozenset({"reccobeats", "musicbrainz", "lastfm", "listenbrainz"})
"""Families that are not Spotify's; faults of refused users and tokens do not occur there."""
ArtistGenres = Literal["regime", "filled", "empty", "null", "absent"]

DEV_QUOTA = 600  # measured in 2026: successful calls per endpoint family in 24 h
ALLOW_LIST_SIZE = 5

_STATUSES, _BODIES = (500, 502, 503, 504), ("json", "html", "empty")
_SERVER_ERRORS = tuple(f"{_STATUSES[n % 4]}-{_BODIES[n % 3]}" for n in range(12))  # 4 and 3 are coprime: all pairs


class BehaviourError(ValueError):
    """A behaviour is not valid; the message says what is wrong and which values exist."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault.

    Attributes:
        description: What happens.
        struck: What a rate is a share of, and what numbers count; rows are rows of recently-played.
        variants: The forms of the fault, which are used in turn.
    """

    description: str
    struck: Literal["calls", "token calls", "rows", "intervals"] = "calls"
    variants: tuple[str, ...] = ("plain",)


FAULTS: Mapping[str, FaultKind] = MappingProxyType(
    {
        "disconnect": FaultKind("the connection closes without an answer"),
        "unauthorized": FaultKind("401 although the token is new", variants=("classic", "2026")),
        "not-registered": FaultKind(
            "403 as text: the user is not on the allow-list", variants=("dashboard", "settings", "settings-https")
        ),
        "premium-required": FaultKind("403: the owner of the app lost Premium", variants=("json", "text")),
        "rate-limit": FaultKind(
            "429 with an odd Retry-After",
            variants=("seconds", "http-date", "zero", "missing", "13749", "86236", "text"),
        ),
        "server-error": FaultKind("500, 502, 503 or 504 with JSON, HTML or nothing", variants=_SERVER_ERRORS),
        "slow": FaultKind("the answer comes after slow_seconds"),
        "truncated-json": FaultKind("200 with half a body"),
        "token-error": FaultKind(
            "the token endpoint answers like server-error", struck="token calls", variants=_SERVER_ERRORS
        ),
        "late-rows": FaultKind(
            "the plays of two hours appear late_seconds later, with their old stamps", struck="intervals"
        ),
        "doubled-rows": FaultKind("a play appears twice, a few seconds apart", struck="rows"),
        "start-stamps": FaultKind("played_at is the start of the play", struck="rows"),
        "null-track": FaultKind("the track of a row is null", struck="rows"),
        "episode-row": FaultKind("an episode appears before a play", struck="rows"),
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """When a fault happens.

    Attributes:
        rate: Share of calls, rows or intervals (0..1); always the same ones for a seed.
        calls: Numbers of calls; the first call after this behaviour is set is 1; only calls of `families` are counted.
            For faults of rows: calls of recently-played by one user, in which the newest row (or interval) is struck.
        variants: The forms to use in turn; empty means all forms of this kind.
        families: The endpoint families; empty means all of these. Calls of other services than Spotify are numbered
            apart, and struck by number only if named here.

    Raises:
        BehaviourError: A number out of bounds.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    rate: float = 0.0
    calls: tuple[int, ...] = ()
    variants: tuple[str, ...] = ()
    families: tuple[Family, ...] = ()

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not 0 <= self.rate <= 1:
            raise BehaviourError(f"the rate of a fault is a share from 0 to 1, not {self.rate}")
        if any(number < 1 for number in self.calls):
            raise BehaviourError("calls are numbered from 1")


def parse_faults(text: str) -> dict[str, Fault]:
    """Parse faults from text: ``server-error=0.1,rate-limit@3+7:zero+missing`` (rates, call numbers, variants).

    Raises:
        BehaviourError: An unknown name, or text of another form.
    """
    return dict(_parse_fault(part.strip()) for part in text.split(",") if part.strip())


def describe_faults() -> str:
    """Return one line per fault: name, description, variants."""
    return "\n".join(
        f"{name}: {kind.description} (of {kind.struck}{_variants_text(kind)})" for name, kind in FAULTS.items()
    )


def _variants_text(kind: FaultKind) -> str:
    return f"; variants {', '.join(kind.variants)}" if len(kind.variants) > 1 else ""


def _parse_fault(text: str) -> tuple[str, Fault]:
    when, _, variants = text.partition(":")
    name = when.partition("=")[0].partition("@")[0]
    _check_name(name)
    chosen = tuple(variants.split("+")) if variants else ()
    try:
        if when.startswith(f"{name}="):
            return name, Fault(rate=float(when.removeprefix(f"{name}=")), variants=chosen)
        numbers = tuple(int(number) for number in when.removeprefix(f"{name}@").split("+"))
        return name, Fault(calls=numbers, variants=chosen)
    except BehaviourError:
        raise
    except ValueError:
        raise BehaviourError(f"{text!r} is not NAME=RATE or NAME@CALL+CALL, optionally :VARIANT+VARIANT") from None


def _check_name(name: str) -> None:
    if name not in FAULTS:
        raise BehaviourError(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")


def _faults_from_json(value: object) -> object:
    """Read faults from JSON: per name a rate, a list of call numbers, or both in an object; or the text form."""
    if isinstance(value, str):
        return parse_faults(value)
    if not isinstance(value, dict):
        return value
    return {name: _fault_from_json(fault) for name, fault in value.items()}


def _fault_from_json(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"rate": value}
    return {"calls": value} if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The behaviour of Spotify towards an app.

    Attributes:
        regime: Extended quota, a development app from before February 2026, or one from after it.
        quota: Limit of successful calls per endpoint family in a rolling 24 h, one number or one per family. None means
            the limit of the regime (no limit in extended, else 600), 0 means no limit.
        rate_limit: Limit of successful calls in a rolling 30 s; None and 0 mean no limit.
        rotation: Whether a refresh returns a new refresh token and revokes the old one.
        faults: Faults by name; `FAULTS` lists them.
        allowed_users: Ids of the users on the app's allow-list; None allows all users.
        premium_owner: Whether the owner of the app has Premium.
        row_keys: Names of the track in rows of ``/playlists/{id}/items``: as the regime has it, or one of the
            transitional forms, ``item`` and ``track`` or only ``track``.
        slow_seconds: Real time, in seconds, by which the fault ``slow`` delays an answer.
        late_seconds: How long after their interval the plays of ``late-rows`` appear.
        reccobeats_limit: Limit of successful ReccoBeats calls in a rolling 30 s; None and 0 mean no limit.
        reccobeats_share: Share of the tracks that ReccoBeats knows.
        musicbrainz_limit: Limit of successful MusicBrainz calls in a second; None and 0 mean no limit.
        musicbrainz_share: Share of the artists whom MusicBrainz links to Spotify, the well-known ones rather.
        lastfm_limit: Limit of successful Last.fm calls in a second; None and 0 mean no limit.
        lastfm_share: Share of the artists whom Last.fm knows.
        listenbrainz_limit: Limit of successful calls to ListenBrainz' API in ten seconds; None and 0 mean no limit.
        artist_genres: Form of `genres` in full artists: as the regime has it (filled, and absent for restricted apps),
            or one of the forms that apps of 2026 get.

    Raises:
        BehaviourError: An unknown fault or variant, a number out of bounds, an allow-list that is too long.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    regime: Regime = "extended"
    quota: int | Mapping[Family, int] | None = None
    rate_limit: int | None = None
    rotation: Rotation = "never"
    faults: Annotated[Mapping[str, Fault], BeforeValidator(_faults_from_json)] = field(default_factory=dict)
    allowed_users: Annotated[frozenset[str] | None, PlainSerializer(lambda ids: ids and sorted(ids))] = None
    premium_owner: bool = True
    row_keys: RowKeys = "regime"
    slow_seconds: float = 2.0
    late_seconds: float = 10_800.0
    reccobeats_limit: int | None = None
    reccobeats_share: float = 0.8
    musicbrainz_limit: int | None = 1
    musicbrainz_share: float = 0.84
    lastfm_limit: int | None = 5
    lastfm_share: float = 0.95
    listenbrainz_limit: int | None = 30
    artist_genres: ArtistGenres = "regime"

    def __post_init__(self) -> None:
        """Check the values that types do not check."""
        for name, fault in self.faults.items():
            _check_name(name)
            known = FAULTS[name].variants
            if not set(fault.variants) <= set(known):
                raise BehaviourError(f"{name} has the variants {', '.join(known)}, not {', '.join(fault.variants)}")
        if self.regime == "restricted_dev" and len(self.allowed_users or ()) > ALLOW_LIST_SIZE:
            raise BehaviourError(f"the allow-list of a restricted app holds {ALLOW_LIST_SIZE} users")
        quotas = self.quota.values() if isinstance(self.quota, Mapping) else (self.quota,)
        others = (self.reccobeats_limit, self.musicbrainz_limit, self.lastfm_limit, self.listenbrainz_limit)
        limits = (self.rate_limit, *others)
        numbers = (*quotas, *limits, self.slow_seconds, self.late_seconds)
        shares = (self.reccobeats_share, self.musicbrainz_share, self.lastfm_share)
        if any(number is not None and number < 0 for number in numbers) or not all(0 <= share <= 1 for share in shares):
            raise BehaviourError(
                "limits and seconds are not negative; "
                "reccobeats_share, musicbrainz_share and lastfm_share are from 0 to 1"
            )

    def quota_of(self, family: Family) -> int | None:
        """Return the limit of calls of a family in 24 h; None without a limit."""
        default = None if self.regime == "extended" else DEV_QUOTA
        own = self.quota.get(family, default) if isinstance(self.quota, Mapping) else self.quota
        return (default if own is None else own) or None

    def rate(self, fault: str) -> float:
        """Return the share that a fault strikes; 0 if it is not set."""
        return self.faults[fault].rate if fault in self.faults else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the behaviour as a JSON object that `changed` understands."""
        dumped: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return dumped

    def changed(self, changes: object) -> "Behaviour":
        """Return this behaviour with the fields of a JSON object replaced; ``faults`` is replaced as a whole.

        Raises:
            BehaviourError: The value is not an object, or has an unknown field or an invalid value.
        """
        if not isinstance(changes, dict):
            raise BehaviourError("a behaviour is a JSON object")
        try:
            given = _ADAPTER.validate_python(changes)
        except ValidationError as error:
            problems = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}".lstrip(": ") for one in error.errors())
            raise BehaviourError("; ".join(problems)) from None
        return replace(self, **{name: getattr(given, name) for name in changes})


_ADAPTER = TypeAdapter(Behaviour)
