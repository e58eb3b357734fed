"""Oracle for daily rollups: the contract (spec sections 3, 4 and 7) by brute force, with lists, dicts and zoneinfo.

It is slow and simple on purpose, and uses no polars. It shares only the names of the fields with the code it checks.
Here: plays and the statistics of a local date; `oracle_periods` has the statistics of spans of dates.

Where the contract leaves a choice, these rules hold:

- Plays have a total order: by their end, then by track id. A play begins its listening time before its end.
- A play continues the session of the play before it if it begins at most half an hour after that play's end, and ends
  at most 23 hours after it (older plays are not read to build a day). Short plays belong to the session.
- A new part of a session begins wherever the local date changes, also if clocks go back across midnight and a date
  comes twice: then a date has two parts of one session. A part continues if the session does, from any date.
- A repeat is a run of one track within one part. Plays that do not count neither end it nor add to its count; plays of
  another track end it even if they do not count. A rollup keeps these runs: one that continues, the last one before the
  date ends, and the first of the longest runs of a date, if that has two plays or more.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

Document = dict[str, Any]
K = TypeVar("K")
P = ParamSpec("P")
T = TypeVar("T")

FEATURES = (
    "danceability",
    "energy",
    "valence",
    "acousticness",
    "instrumentalness",
    "liveness",
    "speechiness",
    "tempo",
)
VARIOUS = "0LyfQWJT6nXafLPZqxe9Of"
"""Spotify's id of "Various Artists", which is no artist."""
PAUSE, REACH = timedelta(minutes=30), timedelta(hours=23)
"""The longest pause within a session, and the longest time from one end to the next."""


REMEMBERED = 16


def once_for_each(function: Callable[P, T]) -> Callable[P, T]:
    """Call a function only once for the same objects, which must not change. What it gives takes all of a history.

    The oracle asks for it at each play, and brute force at each play is minutes for a history of three thousand.
    """
    known: dict[tuple[int, ...], tuple[Any, T]] = {}

    @wraps(function)
    def remembered(*arguments: P.args, **named: P.kwargs) -> T:
        key = tuple(map(id, (*arguments, *named.values())))
        if key not in known:
            if len(known) == REMEMBERED:
                known.pop(next(iter(known)))
            known[key] = (arguments, named), function(*arguments, **named)  # kept objects keep their ids
        return known[key][1]

    return remembered


Variant = tuple[str, str, str, str]
"""Id of a track, title, artist, album."""


@dataclass(frozen=True)
class OraclePlay:
    """A stored play, with the fields that statistics use."""

    played_at: datetime
    track_id: str
    track_name: str = "Song"
    artist_name: str = "Artist"
    album_name: str = "Album"
    duration_ms: int = 200_000
    ms_played: int | None = None
    skipped: bool | None = None
    reason_end: str | None = None
    context_uri: str | None = None
    private_session: bool | None = None

    @property
    def is_made_up(self) -> bool:
        """Whether the id of its track is made of names."""
        return self.track_id.startswith(("local:", "unresolved:"))

    @property
    def variant(self) -> Variant:
        """The id of its track, and the names of the play if the id is made of names."""
        names = (self.track_name, self.artist_name, self.album_name) if self.is_made_up else ("", "", "")
        return self.track_id, *names


@dataclass(frozen=True)
class KnownTrack:
    """A track of the catalogue; empty strings are unknown. Without other artists the primary one is alone."""

    name: str = ""
    artist_id: str = ""
    artist_name: str = ""
    album_id: str = ""
    album_name: str = ""
    image_url: str = ""
    features: tuple[float, ...] | None = None
    duration_ms: int = 0
    isrc: str = ""
    artist_ids: tuple[str, ...] = ()
    artist_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.artist_ids and (self.artist_id or self.artist_name):
            object.__setattr__(self, "artist_ids", (self.artist_id,))
            object.__setattr__(self, "artist_names", (self.artist_name,))


@dataclass(frozen=True)
class Known:
    """An artist or an album of the catalogue."""

    name: str
    image_url: str = ""
    genres: tuple[str, ...] = ()
    total_tracks: int = 0


@dataclass(frozen=True)
class Catalogue:
    """Tracks, artists and albums by id, and a user's playlists."""

    tracks: Mapping[str, KnownTrack] = field(default_factory=dict)
    artists: Mapping[str, Known] = field(default_factory=dict)
    albums: Mapping[str, Known] = field(default_factory=dict)
    playlists: Mapping[str, str] = field(default_factory=dict)
    """Names by id, of the playlists of one user."""


@dataclass(frozen=True)
class Heard:
    """A play with its listening time, its place in the listener's local calendar, and the play before it that stays.

    `left_out_by` has the ids of the rules that leave it out.
    """

    play: OraclePlay
    counts: bool
    ms: int
    local: datetime
    before: "Heard | None" = field(default=None, repr=False, compare=False)
    left_out_by: tuple[str, ...] = ()

    @property
    def day(self) -> date:
        return self.local.date()

    @property
    def began(self) -> datetime:
        return self.play.played_at - timedelta(milliseconds=self.ms)

    @property
    def left_early(self) -> bool:
        return self.play.skipped is True or self.play.reason_end in ("fwdbtn", "backbtn")

    @property
    def end_is_known(self) -> bool:
        return self.play.skipped is not None or self.play.reason_end not in (None, "")

    @property
    def goes_on(self) -> bool:
        """Whether this play continues the session of the play before."""
        if self.before is None:
            return False
        end = self.before.play.played_at
        return self.began - end <= PAUSE and self.play.played_at - end <= REACH

    @property
    def repeats(self) -> bool:
        """Whether this play continues the track of the play before."""
        return self.goes_on and self.before is not None and self.before.play.track_id == self.play.track_id

    @property
    def begins_part(self) -> bool:
        return not self.goes_on or self.before is None or self.before.day != self.day


def heard(
    plays: Iterable[OraclePlay],
    timezone: str,
    min_play_ms: int,
    left_out: Callable[..., tuple[str, ...]] = lambda *_: (),
) -> list[Heard]:
    """Plays in order of their end (then track), each with its time: as reported, or as much as can have passed.

    `left_out` tells which rules leave out a play, from it and its local time.
    """
    found: list[Heard] = []
    latest: OraclePlay | None = None
    before: Heard | None = None
    for play in sorted(plays, key=lambda play: (play.played_at, play.track_id)):
        ms = play.ms_played
        if ms is None:
            ms = play.duration_ms
            if latest is not None:
                ms = min(ms, (play.played_at - latest.played_at) // timedelta(milliseconds=1))
        counts = play.ms_played is None or play.ms_played >= min_play_ms
        local = play.played_at.astimezone(ZoneInfo(timezone))
        found.append(Heard(play, counts, ms, local, before, left_out(play, local)))
        latest = play
        before = before if found[-1].left_out_by else found[-1]
    return found


def rollups(
    plays: Iterable[OraclePlay],
    timezone: str,
    min_play_ms: int,
    user_id: str = "u",
    catalogue: Catalogue | None = None,
    left_out: Callable[..., tuple[str, ...]] = lambda *_: (),
) -> dict[date, Document]:
    """The rollup of every local date that has a play; `left_out` as in `heard`."""
    by_day: dict[date, list[Heard]] = defaultdict(list)
    for item in heard(plays, timezone, min_play_ms, left_out):
        by_day[item.day].append(item)
    tracks = (catalogue or Catalogue()).tracks
    return {day: _rollup(user_id, day, items, tracks) for day, items in sorted(by_day.items())}


def _rollup(user_id: str, day: date, every: Sequence[Heard], known: Mapping[str, KnownTrack]) -> Document:
    items = [item for item in every if not item.left_out_by]
    counted = [item for item in items if item.counts]
    hours = sorted({item.local.hour for item in items})
    tracks = []
    for track_id, of_track in grouped((item.play.track_id, item) for item in items).items():
        last = of_track[-1].play
        tracks.append(
            {
                "spotify_id": track_id,
                "name": last.track_name,
                "artist_name": last.artist_name,
                "count": sum(item.counts for item in of_track),
                "album_name": last.album_name,
                "ms": sum(item.ms for item in of_track),
            }
        )
    tracks.sort(key=lambda track: (-track["count"], -track["ms"], track["spotify_id"]))
    places = {track["spotify_id"]: place for place, track in enumerate(tracks)}
    return {
        "user_id": user_id,
        "date": day.isoformat(),
        "day_of_week": day.weekday(),
        "total_plays": len(counted),
        "total_ms": sum(item.ms for item in items),
        "hourly": [
            {
                "hour": hour,
                "count": sum(item.local.hour == hour for item in counted),
                "ms": sum(item.ms for item in items if item.local.hour == hour),
            }
            for hour in hours
        ],
        "artist_plays": _tally(item.play.artist_name for item in counted),
        "album_plays": _tally(item.play.album_name for item in counted),
        "track_plays": [track for track in tracks if track["count"] > 0],
        "total_rows": len(every),
        "total_skips": sum(item.left_early for item in items),
        "total_skips_known": sum(item.end_is_known for item in items),
        "uncounted_tracks": [track for track in tracks if track["count"] == 0],
        **_named_tracks(items),
        "sessions": [
            {
                "started_at": part[0].began,
                "ended_at": part[-1].play.played_at,
                "plays": sum(item.counts for item in part),
                "continues": part[0].goes_on,
                "tracks": [places[item.play.track_id] for item in part if item.counts],
            }
            for part in _parts(items)
        ],
        "repeats": [
            {
                "spotify_id": run[0].play.track_id,
                "count": sum(item.counts for item in run),
                "ended_at": run[-1].play.played_at,
                "continues": run[0].repeats,
            }
            for run in (_kept_runs(items) if items else ())
        ],
        "credited_artist_plays": _tally(artist_id for item in counted for artist_id in credited_ids(item.play, known)),
        "contexts": _contexts(items),
        **_left_out([item for item in every if item.left_out_by]),
    }


def _left_out(items: Sequence[Heard]) -> Document:
    """What rules leave out of a date; only that there is nothing, if so."""
    more = {
        "excluded_rows": len(items),
        "excluded_ms": sum(item.ms for item in items),
        "excluded_by": left_out_by(items),
    }
    return {"excluded_plays": sum(item.counts for item in items), **(more if items else {})}


def left_out_by(items: Sequence[Heard]) -> list[Document]:
    """How many plays each rule leaves out, most first."""
    plays = _tally(rule_id for item in items if item.counts for rule_id in item.left_out_by)
    return [{"rule_id": rule_id, "plays": count} for rule_id, count in plays.items()]


def credited_ids(play: OraclePlay, known: Mapping[str, KnownTrack]) -> set[str]:
    """The ids of all artists whom the catalogue credits on a track of Spotify's."""
    if play.is_made_up or play.track_id not in known:
        return set()
    return set(known[play.track_id].artist_ids) - {"", VARIOUS}


def _contexts(items: Sequence[Heard]) -> list[Document]:
    lines = []
    for uri in {item.play.context_uri for item in items} - {None, ""}:
        of_context = [item for item in items if item.play.context_uri == uri]
        count, ms = sum(item.counts for item in of_context), sum(item.ms for item in of_context)
        lines.append({"uri": uri, "type": kind_of(uri), "count": count, "ms": ms})
    return sorted(lines, key=lambda line: (-line["count"], -line["ms"], line["uri"]))


def kind_of(uri: str) -> str:
    """What a URI is about: ``spotify:playlist:x`` and ``spotify:user:ann:playlist:x`` are about a playlist."""
    parts = uri.split(":")
    if parts[0] != "spotify":
        return ""
    return parts[3] if parts[1] == "user" and len(parts) > 3 else parts[1]


def _named_tracks(items: Sequence[Heard]) -> Document:
    """The plays of tracks whose id is made of names, by these names; empty if there are none."""
    lines = []
    for variant, of_variant in grouped((item.play.variant, item) for item in items if item.play.is_made_up).items():
        track_id, name, artist_name, album_name = variant
        lines.append(
            {
                "spotify_id": track_id,
                "name": name,
                "artist_name": artist_name,
                "count": sum(item.counts for item in of_variant),
                "album_name": album_name,
                "ms": sum(item.ms for item in of_variant),
            }
        )
    names = ("spotify_id", "name", "artist_name", "album_name")
    lines.sort(key=lambda line: (-line["count"], -line["ms"], *(line[name] for name in names)))
    return {"named_tracks": lines} if lines else {}


def grouped(keyed: Iterable[tuple[K, Heard]]) -> dict[K, list[Heard]]:
    """Plays by key, in their order."""
    found: dict[K, list[Heard]] = defaultdict(list)
    for key, item in keyed:
        found[key].append(item)
    return found


def _parts(items: Sequence[Heard]) -> list[list[Heard]]:
    """The plays of one date, by part of a session."""
    parts: list[list[Heard]] = []
    for item in items:
        if item.begins_part:
            parts.append([])
        parts[-1].append(item)
    return parts


def _kept_runs(items: Sequence[Heard]) -> list[list[Heard]]:
    """The runs of one date that its rollup keeps, in the order of time."""
    runs: list[list[Heard]] = []
    kept: set[int] = set()
    for part in _parts(items):
        if runs and part[0].before is not None and part[0].before.day != part[0].day:
            kept.add(len(runs) - 1)  # clocks went back to this date, or were about to
        if part[0].repeats:
            kept.add(len(runs))
        for item in part:
            if item.begins_part or not item.repeats:
                runs.append([])
            runs[-1].append(item)
    kept.add(len(runs) - 1)
    counts = [sum(item.counts for item in run) for run in runs]
    if max(counts) >= 2:
        kept.add(counts.index(max(counts)))
    return [runs[place] for place in sorted(kept)]


def _tally(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
