"""Recomputes sums of rollups and snapshots in plain Python, and reports where the stored ones differ.

This module is independent of the code it checks on purpose: no polars, calendar days by `zoneinfo`, nothing of
`transforms.statistics`. A shared function could make the same mistake on both sides.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from types import MappingProxyType
from typing import NamedTuple
from zoneinfo import ZoneInfo

from echostats_pipeline.model.catalog import ArtistRef
from echostats_pipeline.model.rules import HOURS_A_DAY, Exclusion, Rule
from echostats_pipeline.model.statistics import PERIOD_DAYS, Period
from echostats_pipeline.transforms.days import local_date, local_midnight
from echostats_pipeline.transforms.history.identity import folded_name

Artists = Sequence[tuple[str, str]]
"""Ids and names of the artists of a track, the primary one first; what is unknown is empty."""
NOBODY = frozenset({"", "0LyfQWJT6nXafLPZqxe9Of"})
"""Ids that credit nobody: an unknown one, and Spotify's "Various Artists"."""


class PlayFacts(NamedTuple):
    """What the sums need to know of a play; `ended_ms` is its end in milliseconds since 1970."""

    ended_ms: int
    track_id: str
    duration_ms: int
    ms_played: int | None
    artist_name: str = ""
    album_name: str = ""
    context_uri: str = ""
    private_session: bool = False


class DaySums(NamedTuple):
    """Sums of a local day.

    All plays, the plays that count, their time in milliseconds, the plays that count once for each credited artist, and
    the plays that rules leave out.
    """

    rows: int = 0
    plays: int = 0
    ms: int = 0
    credited: int = 0
    excluded_plays: int = 0


@dataclass(frozen=True)
class Difference:
    """A document that differs from its source.

    Attributes:
        key: The date or period of the document.
        fields: The fields that differ.
        expected: Counted plays according to the source.
        found: Counted plays according to the document; None without a document.
        expected_ms: Listening time according to the source.
        found_ms: Listening time according to the document.
    """

    key: str
    fields: tuple[str, ...]
    expected: int
    found: int | None
    expected_ms: int
    found_ms: int | None

    @property
    def size(self) -> tuple[int, int]:
        """How large the difference is, to find the worst one."""
        return abs(self.expected - (self.found or 0)), abs(self.expected_ms - (self.found_ms or 0))


def history_sums(
    plays: Iterable[PlayFacts],
    zone: ZoneInfo,
    min_play_ms: int,
    artists: Mapping[str, Artists] = MappingProxyType({}),
    rules: Sequence[Exclusion] = (),
) -> dict[date, DaySums]:
    """The sums of every local day that has a play.

    A play counts if its length is unknown or at least `min_play_ms`. Its time is the reported one, else the length of
    its track, but no more than has passed since the play before it. Of plays that end at the same instant, the one with
    the smaller track id comes first. A play that rules leave out is a row of its day, and its time has passed.

    Args:
        plays: Plays of one user in order of their end, from a day before the first one of interest.
        zone: Where the user's days begin.
        min_play_ms: Plays known to be shorter do not count.
        artists: The artists in the catalogue of tracks with a Spotify id, by track id.
        rules: The conditions of the user's rules, each of which leaves plays out.
    """
    found: dict[date, DaySums] = {}
    previous_ms: int | None = None
    for ended_ms, together in groupby(plays, key=lambda play: play.ended_ms):
        local = datetime.fromtimestamp(ended_ms / 1000, zone)
        day = local.date()
        rows, counted, total_ms, for_artists, excluded = found.get(day, DaySums())
        for play in sorted(together, key=lambda play: play.track_id):
            at_most = play.duration_ms if previous_ms is None else min(play.duration_ms, ended_ms - previous_ms)
            rows += 1
            counts = play.ms_played is None or play.ms_played >= min_play_ms
            of_track = artists.get(play.track_id, ())
            if any(is_left_out(play, local, rule, of_track) for rule in rules):
                excluded += counts
            else:
                counted += counts
                for_artists += len({artist_id for artist_id, _ in of_track} - NOBODY) if counts else 0
                total_ms += at_most if play.ms_played is None else play.ms_played
            previous_ms = ended_ms
        found[day] = DaySums(rows, counted, total_ms, for_artists, excluded)
    return found


def conditions_of(rules: Sequence[Rule]) -> list[Exclusion]:
    """The conditions that leave plays out; those about an artist once for each artist that rules count as one."""
    found = [rule.exclude for rule in rules if rule.exclude is not None]
    groups = [list(rule.artists) for rule in rules if rule.artists is not None]
    for conditions in found:  # grows while it is read
        one = conditions.artist
        for group in groups:
            if one is not None and any(_are_one(one, other) for other in group):
                others = (conditions.model_copy(update={"artist": other}) for other in group)
                found += [other for other in others if other not in found]
    return found


def _are_one(one: ArtistRef, other: ArtistRef) -> bool:
    if one.spotify_id and other.spotify_id:
        return one.spotify_id == other.spotify_id
    return one.name != "" and folded_name(one.name) == folded_name(other.name)


def is_left_out(play: PlayFacts, local: datetime, rule: Exclusion, artists: Artists = ()) -> bool:
    """Whether all conditions of a rule hold for a play that ended at this local time.

    Args:
        play: The play.
        local: When it ended.
        rule: The conditions.
        artists: The artists of its track, as far as the catalogue has them.
    """
    context = re.sub(r"^spotify:user:[^:]+:playlist:", "spotify:playlist:", play.context_uri)
    artist_id, artist_name = artists[0] if artists else ("", "")
    by_id = rule.artist is not None and "" not in (rule.artist.spotify_id, artist_id)
    names = ((None if by_id else rule.artist, artist_name or play.artist_name), (rule.album, play.album_name))
    first, end = rule.from_hour, rule.to_hour
    return (
        all(wanted is None or folded_name(wanted.name) == folded_name(name.replace("\0", "")) for wanted, name in names)
        and (not by_id or rule.artist is None or rule.artist.spotify_id == artist_id)
        and (not rule.track_ids or play.track_id in rule.track_ids)
        and rule.context_uri in ("", context)
        and (first is None or end is None or (local.hour - first) % HOURS_A_DAY < (end - first) % HOURS_A_DAY)
        and (not rule.weekdays or local.weekday() in rule.weekdays)
        and (rule.from_date or "0") <= local.date().isoformat() <= (rule.to_date or "9")
        and (play.private_session or not rule.private_session)
    )


COUNTS = ("total_plays", "hourly_plays", "artist_plays", "album_plays", "track_plays")
TIMES = ("total_ms", "hourly_ms", "track_ms")
RollupSums = Mapping[str, int]
"""Sums over a rollup and its lists.

``total_rows``, ``excluded_plays``, `COUNTS`, `TIMES`, and ``credited_plays`` if it has them.
"""


def day_difference(day: date, history: DaySums | None, rollup: RollupSums | None) -> Difference | None:
    """How the rollup of a day differs from its history; None if every sum is right."""
    if history is None and rollup is None:
        return None
    sums = history or DaySums()
    wanted = {"total_rows": sums.rows, "excluded_plays": sums.excluded_plays}
    wanted |= {**dict.fromkeys(COUNTS, sums.plays), **dict.fromkeys(TIMES, sums.ms)}
    if rollup is not None and "credited_plays" in rollup:
        wanted["credited_plays"] = sums.credited
    if rollup is None or history is None:
        fields: tuple[str, ...] = ("no document" if rollup is None else "no plays",)
    else:
        fields = tuple(name for name, value in wanted.items() if rollup.get(name) != value)
    found = (None, None) if rollup is None else (rollup.get("total_plays"), rollup.get("total_ms"))
    return Difference(day.isoformat(), fields, sums.plays, found[0], sums.ms, found[1]) if fields else None


def day_length(day: date, zone: ZoneInfo) -> timedelta:
    """How long a local day was: 23 or 25 hours where the clocks change, zero where the calendar skips it."""
    last = datetime.combine(day, time.max, zone).replace(fold=1).astimezone(UTC) + timedelta(microseconds=1)
    return max(last - local_midnight(day, zone), timedelta(0))


@dataclass(frozen=True)
class SnapshotSums:
    """A snapshot with the sums of its distributions; `total`, `hourly` and `daily` are (plays, ms).

    `credited` has the plays of its top credited artists by id; None in a snapshot of an earlier version.
    """

    period_start: datetime | None
    period_end: datetime | None
    unique_tracks: int
    unique_track_ids: int
    counts_songs: bool
    total: tuple[int, int]
    hourly: tuple[int, int]
    daily: tuple[int, int]
    credited: Mapping[str, int] | None = None


def snapshot_difference(
    period: Period,
    snapshot: SnapshotSums | None,
    days: Mapping[date, RollupSums],
    last_heard: Mapping[date, int],
    zone: ZoneInfo,
    credited: Mapping[str, int] = MappingProxyType({}),
) -> Difference | None:
    """How a snapshot differs from the rollups of its days; None if it does not.

    Args:
        period: The period of the snapshot.
        snapshot: As stored; None if there is none.
        days: All rollups of the user.
        last_heard: For each date, the number of ids of tracks whose last counted play was on it.
        zone: Where the user's days begin.
        credited: Plays of the artist on whom the rollups of the period count most, by id. The snapshot has at least as
            many: it also counts tracks that it knows by the artist's name.
    """
    if snapshot is None or snapshot.period_end is None:
        return Difference(period, ("no document",), 0, None, 0, None) if days else None
    last = local_date(snapshot.period_end - timedelta(milliseconds=1), zone)
    length = PERIOD_DAYS[period]
    first = None if length is None else last - timedelta(days=length - 1)
    within = [sums for day, sums in days.items() if (first is None or first <= day) and day <= last]
    total = (sum(sums["total_plays"] for sums in within), sum(sums["total_ms"] for sums in within))
    tracks = sum(count for day, count in last_heard.items() if first is None or first <= day)
    wanted = {
        "period_start": None if first is None else local_midnight(first, zone),
        "unique_track_ids": tracks,
        # Which ids are one song is decided elsewhere; there is no more than one song for an id, and one for all.
        "unique_tracks": min(max(snapshot.unique_tracks, 1), tracks) if snapshot.counts_songs else tracks,
        **dict.fromkeys(("total", "hourly", "daily"), total),
    }
    fields = tuple(name for name, value in wanted.items() if getattr(snapshot, name) != value)
    if snapshot.credited is not None and any(snapshot.credited.get(key, 0) < plays for key, plays in credited.items()):
        fields += ("top_artists_credited",)
    if not fields:
        return None
    return Difference(period, fields, total[0], snapshot.total[0], total[1], snapshot.total[1])


@dataclass(frozen=True)
class CallRates:
    """How the calls of one family of endpoints ended; `errors` are 5xx, 401, 403 and calls without a response."""

    family: str
    calls: int
    errors: int
    too_many: int
    not_found: int

    @property
    def error_rate(self) -> float:
        """Share of calls that were errors."""
        return self.errors / self.calls if self.calls else 0.0


def call_rates(statuses: Mapping[tuple[str, int], int]) -> list[CallRates]:
    """The rates of every family, the worst first.

    Args:
        statuses: Number of calls by family and HTTP status; 0 stands for no response.
    """
    by_family: dict[str, dict[int, int]] = {}
    for (family, status), calls in statuses.items():
        by_family.setdefault(family, {})[status] = calls
    rates = [
        CallRates(
            family,
            calls=sum(counts.values()),
            errors=sum(calls for status, calls in counts.items() if status in (0, 401, 403) or status >= 500),  # noqa: PLR2004
            too_many=counts.get(429, 0),
            not_found=counts.get(404, 0),
        )
        for family, counts in by_family.items()
    ]
    return sorted(rates, key=lambda rate: (-rate.error_rate, -rate.calls, rate.family))


@dataclass(frozen=True)
class Coverage:
    """Counted plays by what the catalogue knows of their track.

    Attributes:
        enriched: Spotify's full object was read.
        unavailable: Spotify does not know the track.
        made_up: The track has no Spotify id: local files, and rows that contain only names.
        waiting: The track is still to be read.
    """

    enriched: int = 0
    unavailable: int = 0
    made_up: int = 0
    waiting: int = 0

    @property
    def plays(self) -> int:
        """All counted plays."""
        return self.enriched + self.unavailable + self.made_up + self.waiting

    @property
    def share(self) -> float:
        """Share of counted plays whose track was read; 1 without plays."""
        return self.enriched / self.plays if self.plays else 1.0

    @property
    def waiting_share(self) -> float:
        """Share of counted plays whose track is still to be read."""
        return self.waiting / self.plays if self.plays else 0.0

    def __add__(self, other: "Coverage") -> "Coverage":
        return Coverage(
            self.enriched + other.enriched,
            self.unavailable + other.unavailable,
            self.made_up + other.made_up,
            self.waiting + other.waiting,
        )
