"""Writes single rows of the privacy exports, with the faults of real exports.

Belongs here: one play in each kind of export. Not here: files and zips (``exports``). The faults and their dates follow
reports that users published about their own exports. All random draws use the source that the caller passes.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from random import Random
from typing import Any

from echostats_pipeline.simulator.catalogue import Episode, Track
from echostats_pipeline.simulator.dice import happens, weighted
from echostats_pipeline.simulator.habits import SimulatedPlay

Row = dict[str, Any]

SKIPPED_KNOWN_FROM = datetime(2021, 1, 1, tzinfo=UTC)  # null before
SKIPPED_TRUE_FROM = datetime(2022, 11, 1, tzinfo=UTC)  # false for every row before
OFFLINE_SECONDS_FROM = datetime(2022, 10, 1, tzinfo=UTC)  # milliseconds before
PLATFORM_SHORT_FROM = datetime(2023, 10, 1, tzinfo=UTC)  # free text before

WITHDRAWN_RATE = 0.002  # the names are null, the track's address is kept
REPEAT_RATE = 0.003
_UNKNOWN_COUNTRY_RATE = 0.004
_NO_OFFLINE_STAMP_RATE = 0.1

_LONG_PLATFORMS = {
    "ios": "iOS 15.1 (iPhone12,8)",
    "android": "Android OS 11 API 30 (velno, VM-A515F)",
    "windows": "Windows 10 (10.0.19044; x64; AppX)",
    "web_player": "web_player windows 10;chrome 96.0.4664.45;desktop",
    "linux": "Linux [x86-64 0]",
    "osx": "OS X 12.0.1 [arm 2]",
    "cast": "Partner google cast_tv;Velnotron;;;tpapi",
}


def uploaded_at(plays: Iterable[SimulatedPlay]) -> Iterator[tuple[SimulatedPlay, datetime]]:
    """Yield each play with the instant that an export gives as its end.

    All plays of an offline session have the end of its last play, because they were uploaded together.
    """
    for (_, offline), sitting in groupby(plays, key=lambda play: (play.session_started_at, play.offline)):
        together = list(sitting)
        for play in together:
            yield play, together[-1].played_at if offline else play.played_at


def extended_row(rng: Random, play: SimulatedPlay, ended_at: datetime, country: str) -> Row:
    """A row of the extended streaming history: 23 keys; `ended_at` is written with a precision of one second."""
    row: Row = {
        "ts": ended_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "platform": play.platform if ended_at >= PLATFORM_SHORT_FROM else _LONG_PLATFORMS[play.platform],
        "ms_played": play.ms_played,
        "conn_country": "ZZ" if happens(rng, _UNKNOWN_COUNTRY_RATE) else country,
        "ip_addr": f"203.0.113.{rng.randint(1, 254)}",  # a range reserved for documentation (RFC 5737)
        "master_metadata_track_name": None,
        "master_metadata_album_artist_name": None,
        "master_metadata_album_album_name": None,
        "spotify_track_uri": None,
        "episode_name": None,
        "episode_show_name": None,
        "spotify_episode_uri": None,
        "audiobook_title": None,
        "audiobook_uri": None,
        "audiobook_chapter_uri": None,
        "audiobook_chapter_title": None,
        "reason_start": weighted(rng, ((play.reason_start, 990), ("", 5), (None, 5))),
        "reason_end": weighted(rng, ((play.reason_end, 990), ("", 5), (None, 5))),
        "shuffle": play.shuffle,
        "skipped": _skipped(play),
        "offline": play.offline,
        "offline_timestamp": _offline_timestamp(rng, play),
        "incognito_mode": play.private,
    }
    match play.item:
        case Track() as track:
            row["spotify_track_uri"] = track.uri
            if not happens(rng, WITHDRAWN_RATE):
                row["master_metadata_track_name"] = track.name
                row["master_metadata_album_artist_name"] = track.album.artists[0].name
                row["master_metadata_album_album_name"] = track.album.name
        case Episode() as episode:
            row["episode_name"] = episode.name
            row["episode_show_name"] = episode.show_name
            row["spotify_episode_uri"] = episode.uri
        case _:  # a local file: the export does not say which
            pass
    return row


def basic_row(play: SimulatedPlay) -> Row:
    """A row of the account data: UTC end to the minute, names, no address; of a local file only the title."""
    end_time = play.played_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    match play.item:
        case Episode() as episode:
            names = {"podcastName": episode.show_name, "episodeName": episode.name}
        case Track() as track:
            names = {"artistName": track.artists[0].name, "trackName": track.name}
        case local:
            names = {"artistName": "", "trackName": local.name}
    return {"endTime": end_time, **names, "msPlayed": play.ms_played}


def _skipped(play: SimulatedPlay) -> bool | None:
    if play.played_at < SKIPPED_KNOWN_FROM:
        return None
    return play.skipped and play.played_at >= SKIPPED_TRUE_FROM


def _offline_timestamp(rng: Random, play: SimulatedPlay) -> int | None:
    """The start of the play, in seconds or (earlier) milliseconds; 0 or null for some rows that were online."""
    if not play.offline and happens(rng, _NO_OFFLINE_STAMP_RATE):
        return rng.choice((0, None))
    unit = timedelta(seconds=1) if play.played_at >= OFFLINE_SECONDS_FROM else timedelta(milliseconds=1)
    return (play.started_at - datetime(1970, 1, 1, tzinfo=UTC)) // unit
