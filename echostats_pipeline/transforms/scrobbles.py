"""Chooses the plays that are sent to a service, and writes each as a listen of ListenBrainz' API.

The form of a listen is https://listenbrainz.readthedocs.io/en/latest/users/json.html. Here: which plays, when each
began, and whether it was sent before. Not here: the requests (`spotify.listenbrainz`).
"""

import json
import re
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline import __version__
from echostats_pipeline.model.rules import Rule
from echostats_pipeline.transforms.days import local_midnight
from echostats_pipeline.transforms.history.matching import EXPORT_TOLERANCE_MS
from echostats_pipeline.transforms.history.named_rows import kind_of_key, named_identities
from echostats_pipeline.transforms.isrcs import well_formed_code
from echostats_pipeline.transforms.statistics.exclusions import NO_PRIMARY, with_exclusions
from echostats_pipeline.transforms.statistics.plays import PLAYS_SCHEMA, with_listening_time, with_local_day
from echostats_pipeline.transforms.statistics.songs import NOBODY

Listen = dict[str, Any]
"""A listen as it is sent."""
READ_SCHEMA = pl.Schema({**PLAYS_SCHEMA, "id": pl.String(), "import_key": pl.String()})
"""Plays as they are read: ``id`` is the hex of ``_id``; ``import_key`` is null for plays from Spotify's API."""
MOST_LISTENS, LARGEST_LISTEN = 1_000, 10_240
"""Listens in a request, and bytes of a listen, that ListenBrainz accepts."""
LARGEST_REQUEST = 900_000
"""Bytes of listens in a request. Many proxies in front of a service accept a megabyte."""
FIRST_INSTANT = datetime(2002, 10, 1, tzinfo=UTC)
"""ListenBrainz accepts no earlier listen. An earlier play comes from a device with a wrong clock."""
LISTENBRAINZ = "https://api.listenbrainz.org"
SUBMISSION_CLIENT = "echostats_pipeline"
_TRACK_ID = re.compile(r"[0-9A-Za-z]{22}")
_OPTIONAL = ("artist_names", "isrc", "origin_url")


class SentBefore(NamedTuple):
    """What is known of a play that was sent: ids as hex, instants in milliseconds, the start in seconds."""

    sent_id: str
    play_id: str
    track_id: str
    song: str
    played_at_ms: int
    listened_at: int


class TrackFacts(NamedTuple):
    """What the catalogue knows of a track."""

    artist_names: Sequence[str] = ()
    isrc: str = ""


class NewListen(NamedTuple):
    """A play to send, and how it is sent."""

    play_id: str
    track_id: str
    song: str
    played_at: datetime
    listen: Listen

    @property
    def listened_at(self) -> int:
        """The start of the play, in seconds since 1970."""
        return int(self.listen["listened_at"])


@dataclass(frozen=True)
class ScrobblePlan:
    """What is to be sent of some plays.

    Attributes:
        listens: The plays to send, in the order in which they began.
        moved: New ids of plays that were sent under another id, by the id of the record.
        left_out: How many plays of the time to be sent are not, by the reason.
    """

    listens: list[NewListen]
    moved: dict[str, str]
    left_out: dict[str, int] = field(default_factory=dict)


def countable_plays(
    plays: pl.DataFrame, *, timezone: str, rules: Iterable[Rule], min_play_ms: int, primary: pl.DataFrame = NO_PRIMARY
) -> pl.DataFrame:
    """The plays that count and that no rule leaves out, in the order of plays.

    Args:
        plays: As `READ_SCHEMA`, from a day before the first one of interest.
        timezone: Of the user.
        rules: Of the user.
        min_play_ms: Plays known to be shorter do not count.
        primary: The primary artists of the tracks, as `exclusions.PRIMARY_SCHEMA`; needed if a rule names an artist.

    Returns:
        The same columns with ``started_at``: the end less the time that the play lasted, as statistics count it.
    """
    marked = with_exclusions(with_local_day(plays.lazy(), timezone), rules, primary)
    timed = with_listening_time(marked.with_columns(listener=pl.lit(0)), min_play_ms)
    lasted = pl.duration(milliseconds=pl.col("ms").fill_null(0).clip(lower_bound=0))
    return (
        timed.filter(pl.col("counted"), pl.col("rule_ids").is_null())
        .with_columns(started_at=pl.col("played_at") - lasted)
        .select(*READ_SCHEMA, "started_at")
        .collect()
    )


def scrobble_plan(
    countable: pl.DataFrame,
    all_ids: Iterable[str],
    sent: Sequence[SentBefore],
    *,
    target: str,
    since: datetime | None,
    now: datetime,
    facts: Mapping[str, TrackFacts],
) -> ScrobblePlan:
    """What is to be sent of some plays.

    Args:
        countable: As `countable_plays` returns them.
        all_ids: Ids of the plays that are in the history, counted or not: at least those that `sent` names.
        sent: What was sent of that time and an hour around it.
        target: The address of the service.
        since: Plays that began earlier are not sent, and not counted.
        now: Plays that begin later are not sent yet.
        facts: What the catalogue knows, by track id.
    """
    known = {each.play_id for each in sent}
    rows = list(countable.filter(~pl.col("id").is_in(list(known))).iter_rows(named=True))
    songs = named_identities((row["artist_name"] or "", row["track_name"] or "") for row in rows).to_list()
    existing = set(all_ids)
    again = _sent_under_another_id(rows, songs, [each for each in sent if each.play_id not in existing])
    taken = {(each.listened_at, each.song) for each in sent}
    listens: list[NewListen] = []
    left_out: dict[str, int] = {}
    for row, song in zip(rows, songs, strict=True):
        if row["id"] in again or (since is not None and row["started_at"] < since):
            continue
        reason = _why_not(row, target, now)
        listen = None if reason else _listen(row, facts.get(row["track_id"], TrackFacts()))
        if listen is None:
            reason = reason or "too_long"
            left_out[reason] = left_out.get(reason, 0) + 1
            continue
        while (listen["listened_at"], song) in taken:  # a service keeps one listen of a song in a second
            listen["listened_at"] += 1
        taken.add((listen["listened_at"], song))
        listens.append(NewListen(row["id"], row["track_id"], song, row["played_at"], listen))
    listens.sort(key=lambda each: (each.listened_at, each.track_id, each.play_id))
    return ScrobblePlan(listens, {sent_id: play_id for play_id, sent_id in again.items()}, left_out)


def requests_of(listens: Iterable[NewListen]) -> Iterator[list[NewListen]]:
    """The listens in their order, as many in a list as one request may hold."""
    batch: list[NewListen] = []
    size = 0
    for each in listens:
        length = size_of(each.listen)
        if batch and (len(batch) == MOST_LISTENS or size + length > LARGEST_REQUEST):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += length
    if batch:
        yield batch


def size_of(listen: Listen) -> int:
    """The bytes of a listen in a request."""
    return len(json.dumps(listen)) + 2


def first_instant(since: str | None, timezone: str) -> datetime | None:
    """The midnight with which a stored local date begins."""
    return None if since is None else local_midnight(date.fromisoformat(since), ZoneInfo(timezone))


def _why_not(row: Mapping[str, Any], target: str, now: datetime) -> str:
    """Why a play is not sent; empty if it is."""
    started: datetime = row["started_at"]
    if started < FIRST_INSTANT:
        return "impossible_date"
    if started > now + timedelta(minutes=1):
        return "in_the_future"
    if not (row["track_name"] or "").strip() or not (row["artist_name"] or "").strip():
        return "without_a_name"
    if target == LISTENBRAINZ and kind_of_key(row["import_key"] or "") == "listenbrainz":
        return "from_there"
    return ""


def _listen(row: Mapping[str, Any], facts: TrackFacts) -> Listen | None:
    """A play as a listen, without what is unknown; None if even its names are too long."""
    track_id, played_ms, length_ms = row["track_id"] or "", row["ms_played"], row["duration_ms"] or 0
    url = f"https://open.spotify.com/track/{track_id}" if _TRACK_ID.fullmatch(track_id) else ""
    by_spotify = kind_of_key(row["import_key"] or "") in (None, "basic")
    info = {
        "duration_ms": max(length_ms, 0),
        "duration_played": max(played_ms or 0, 0) // 1000,
        "spotify_id": url,
        "origin_url": url,
        "isrc": well_formed_code(facts.isrc),
        "artist_names": [name for name in facts.artist_names if name],
        "media_player": "Spotify" if by_spotify else "",
        "music_service": "spotify.com" if by_spotify else "",
        "submission_client": SUBMISSION_CLIENT,
        "submission_client_version": __version__,
    }
    names = {
        "artist_name": _artist(row["artist_name"], facts),
        "track_name": row["track_name"],
        **({"release_name": row["album_name"]} if (row["album_name"] or "").strip() else {}),
    }
    known = {name: value for name, value in info.items() if value}
    started = int(row["started_at"].timestamp())
    listen: Listen = {"listened_at": started, "track_metadata": {**names, "additional_info": known}}
    for name in _OPTIONAL:
        if size_of(listen) > LARGEST_LISTEN:
            known.pop(name, None)
    if size_of(listen) > LARGEST_LISTEN:
        listen["track_metadata"].pop("release_name", None)
    return listen if size_of(listen) <= LARGEST_LISTEN else None


def _artist(named: str, facts: TrackFacts) -> str:
    """The artist of a play; where a compilation names nobody, the first one whom the catalogue credits."""
    stands_for_nobody = "".join(named.casefold().split()) in NOBODY
    return next((name for name in facts.artist_names if name), named) if stands_for_nobody else named


def _sent_under_another_id(
    rows: Sequence[Mapping[str, Any]], songs: Sequence[str], orphans: Sequence[SentBefore]
) -> dict[str, str]:
    """Plays that were sent when they had another id: the id of the record by the id of the play.

    A record whose play has gone belongs to a play of the same song that ended or began close to it: one to one, the
    nearest first, as plays themselves are matched. That one ended where the other one began is the last resort, because
    it is also true of a song that was played twice in a row; some clients report the start as the end.
    """
    ends, starts = _Places(), _Places()
    for number, orphan in enumerate(orphans):
        for song in {orphan.track_id, orphan.song}:
            ends.add(song, orphan.played_at_ms, number)
            starts.add(song, orphan.listened_at * 1000, number)
    pairs = []
    for row, named in zip(rows, songs, strict=True) if orphans else ():
        ended, started = (round(row[name].timestamp() * 1000) for name in ("played_at", "started_at"))
        for song in {row["track_id"], named}:
            compared = ((0, ends, ended), (0, starts, started), (1, ends, started), (1, starts, ended))
            for resort, places, at in compared:
                pairs += [(resort, off, row["id"], number) for off, number in places.near(song, at)]
    matched: dict[str, str] = {}
    used: set[int] = set()
    for *_, play_id, number in sorted(pairs):
        if play_id not in matched and number not in used:
            matched[play_id] = orphans[number].sent_id
            used.add(number)
    return matched


class _Places:
    """Instants of songs, in milliseconds, each with the number of its record."""

    def __init__(self) -> None:
        self._of_song: dict[str, list[tuple[int, int]]] = {}

    def add(self, song: str, at: int, number: int) -> None:
        """Add an instant of a song."""
        insort(self._of_song.setdefault(song, []), (at, number))

    def near(self, song: str, at: int) -> Iterator[tuple[int, int]]:
        """The instants of a song within the tolerance: how far away, and the number."""
        places = self._of_song.get(song, [])
        for position in range(bisect_left(places, (at - EXPORT_TOLERANCE_MS, -1)), len(places)):
            place, number = places[position]
            if place > at + EXPORT_TOLERANCE_MS:
                return
            yield abs(place - at), number
