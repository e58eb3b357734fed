"""Factories for the same plays in every source: export files, pages of Spotify, and catalogue entries of few tracks."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from echostats_pipeline.model.catalog import AVERAGED_FEATURES, AudioFeatures
from echostats_pipeline_tests.transforms.oracle import VARIOUS

DAY, HOUR = 24 * 60 * 60, 60 * 60


@dataclass(frozen=True)
class Track:
    """A track as every source would name it if no source had renamed anything."""

    letter: str
    name: str
    artist: str
    album: str
    duration_ms: int = 200_000

    @property
    def spotify_id(self) -> str:
        return self.letter * 22


TRACKS = (
    Track("a", "Smells", "Nirvana", "Nevermind"),
    Track("b", "Rainbow", "Nirvana", "Nevermind"),  # of the other Nirvana
    Track("c", "Flat Beat", "Mr. Oizo", "$", 15_000),
    Track("d", "$.a", "$uicideboy$", "a.b.c", 2 * HOUR * 1_000),
    Track("e", "Untold", "", ""),
    Track("f", "Smells - Remastered 2011", "Nirvana", "Smells", 201_000),  # the single of the first Nirvana
    Track("g", "Smells - Live", "Nirvana", "Nevermind"),
)
PERFORMERS = {"a": "nirvana-a", "b": "nirvana-b", "f": "nirvana-a", "g": "nirvana-a"}
"""Ids of the artists of tracks whose artist has a namesake."""


@dataclass(frozen=True)
class Row:
    """A play that ended a number of seconds after the beginning."""

    end: int
    track: Track
    ms_played: int
    skipped: bool | None
    reason_end: str | None
    private: bool | None = None


_pauses = st.sampled_from((0, 0, 1, 60, 60, 200, 1_800, 1_801, 5 * HOUR, 23 * HOUR))


@st.composite
def _bursts(draw: st.DrawFn) -> list[Row]:
    """Some consecutive plays, from an instant that is often midnight in some zone."""
    end = draw(st.sampled_from((DAY, 2 * DAY, 12 * HOUR, 36 * HOUR, 0))) + draw(
        st.one_of(st.integers(-HOUR, HOUR), st.sampled_from((-60, -1, 0, 1, 60, 16_200, 18_000, -19_800)))
    )
    rows = []
    for pause in draw(
        st.lists(st.sampled_from((0, 0, 1, 60, 60, 200, 1_800, 1_801, 5 * HOUR, 23 * HOUR)), min_size=2, max_size=8)
    ):
        end += pause
        rows.append(
            Row(
                end=end,
                track=draw(st.sampled_from(TRACKS)),
                ms_played=draw(st.sampled_from((0, 1_000, 29_999, 30_000, 60_000, 200_000, 3 * HOUR * 1_000))),
                skipped=draw(st.sampled_from((None, True, False))),
                reason_end=draw(st.sampled_from((None, "", "trackdone", "fwdbtn"))),
                private=draw(st.sampled_from((None, False, True))),
            )
        )
    return rows


bursts = _bursts()
kinds = st.sampled_from(("extended", "extended", "basic", "lastfm"))


SPELLINGS: tuple[Callable[[Track], tuple[str, str, str]], ...] = (
    lambda track: (track.artist, track.album, track.name),
    lambda track: (track.artist.upper(), track.album.lower(), track.name.upper()),
    lambda track: (track.artist, f"{track.album} (Deluxe)", track.name),
    lambda track: (f"{track.artist} feat. Guest", track.album, f'"{track.name}" (with Guest)'),
    lambda track: (track.artist.replace(".", ""), track.album, track.name.replace("$", "")),
)
"""Artist, album and title of a track as some scrobblers spell them."""


def is_of(kind: str, import_key: str) -> bool:
    """Whether a row with this key comes from that kind of export."""
    return import_key.startswith(kind) if kind in ("basic", "lastfm") else import_key[:1].isdigit()


def write_export(folder: Path, number: int, kind: str, beginning: datetime, rows: Sequence[Row]) -> Path:
    """Write a file of one kind that contains the rows."""
    ends = [beginning + timedelta(seconds=row.end) for row in rows]
    if kind == "lastfm":
        path = folder / f"scrobbles{number}.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("uts", "artist", "album", "track"))
            spell = SPELLINGS[number % len(SPELLINGS)]
            for row, end in zip(rows, ends, strict=True):
                started = int(end.timestamp()) - row.ms_played // 1_000
                writer.writerow((started, *spell(row.track)))
        return path
    path = folder / {"extended": f"endsong_{number}.json", "basic": f"StreamingHistory{number}.json"}[kind]
    row_of = {"extended": _extended, "basic": _basic}[kind]
    path.write_text(json.dumps([row_of(row, end) for row, end in zip(rows, ends, strict=True)]))
    return path


def _extended(row: Row, end: datetime) -> dict[str, Any]:
    return {
        "ts": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ms_played": row.ms_played,
        "master_metadata_track_name": row.track.name,
        "master_metadata_album_artist_name": row.track.artist,
        "master_metadata_album_album_name": row.track.album,
        "spotify_track_uri": f"spotify:track:{row.track.spotify_id}",
        "skipped": row.skipped,
        "reason_end": row.reason_end,
        "incognito_mode": row.private,
    }


def _basic(row: Row, end: datetime) -> dict[str, Any]:
    return {
        "endTime": end.strftime("%Y-%m-%d %H:%M"),
        "artistName": row.track.artist,
        "trackName": row.track.name,
        "msPlayed": row.ms_played,
    }


CONTEXTS: tuple[dict[str, str] | None, ...] = (
    None,
    {"type": "playlist", "uri": "spotify:playlist:mine"},
    {"type": "album", "uri": "spotify:album:Nevermind"},
    {"type": "artist", "uri": "spotify:artist:guest"},
    {"type": "collection", "uri": "spotify:user:me:collection"},
)


def recently_played(
    beginning: datetime, rows: Sequence[Row], as_known: Callable[[Track], dict[str, Any]]
) -> list[dict[str, Any]]:
    """A page of Spotify's, newest first. It has no short plays. Some plays have a context."""
    ends = sorted({(row.end, row.track.letter): row.track for row in rows if row.ms_played >= 30_000}.items())
    return [
        {
            "played_at": (beginning + timedelta(seconds=end)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "track": as_known(track),
            "context": CONTEXTS[end // 60 % len(CONTEXTS)],
        }
        for (end, _), track in reversed(ends)
    ]


@st.composite
def versions(draw: st.DrawFn, track: Track) -> dict[str, Any]:
    """A track as Spotify may report it: namesakes with other ids, present names, guests, often no length or ISRC."""
    artist_id = PERFORMERS.get(track.letter, track.artist) if draw(st.booleans()) else None
    guests = draw(st.lists(st.sampled_from(("guest", "nirvana-a", "nirvana-b", VARIOUS)), max_size=2, unique=True))
    isrc = draw(st.sampled_from((None, None, "DEX012300001", "de-x01-23-00001", "DEX012300002")))
    return {
        "type": "track",
        "id": track.spotify_id,
        "name": track.name,
        "duration_ms": draw(st.sampled_from((0, track.duration_ms))),
        "artists": [{"id": artist_id, "name": draw(st.sampled_from((track.artist, "Renamed")))}]
        + [{"id": guest, "name": f"The {guest}"} for guest in guests],
        "album": {
            "id": draw(st.sampled_from((None, track.album))),
            "name": draw(st.sampled_from((track.album, "Deluxe"))),
            "images": draw(st.sampled_from(([], [{"url": "https://i/album"}]))),
        },
        **({} if isrc is None else {"external_ids": {"isrc": isrc}}),
    }


ARTIST_IDS = ("nirvana-a", "nirvana-b", "Mr. Oizo", "$uicideboy$", "guest")
_images = st.sampled_from(([], [{"url": "https://i/1"}], [{"url": "https://i/2"}]))
artists = st.fixed_dictionaries(
    {
        "id": st.sampled_from(ARTIST_IDS),
        "name": st.sampled_from(("Nirvana", "Mr. Oizo", "Formerly known")),
        "genres": st.lists(
            st.sampled_from(("rock", "Rock", "hip-hop", "hip hop", "flat.beat", "$")), unique=True, max_size=2
        ),
        "images": _images,
    }
)
albums = st.fixed_dictionaries(
    {
        "id": st.sampled_from(("Nevermind", "$", "a.b.c")),
        "name": st.sampled_from(("Nevermind", "New")),
        "images": _images,
        "total_tracks": st.sampled_from((1, 2, 2)),
    }
)
features = st.none() | st.integers(0, 100).map(
    lambda value: AudioFeatures(
        **dict.fromkeys(AVERAGED_FEATURES, value / 100), key=1, loudness=-5.0, mode=1, duration_ms=None
    )
)


tags = st.dictionaries(
    st.sampled_from(ARTIST_IDS), st.lists(st.sampled_from(("rock", "Hip-Hop", "seen live")), unique=True), min_size=1
)
orders = st.permutations(("spotify", "musicbrainz"))


@dataclass(frozen=True)
class Learned:
    """New data for the catalogue: a track, an artist or an album as Spotify reports it, features, or tags."""

    kind: str
    reported: dict[str, Any]


learned = st.one_of(
    st.sampled_from(TRACKS).flatmap(versions).map(lambda track: Learned("track", track)),
    artists.map(lambda artist: Learned("artist", artist)),
    albums.map(lambda album: Learned("album", album)),
    st.dictionaries(st.sampled_from([track.spotify_id for track in TRACKS]), features, min_size=1).map(
        lambda features: Learned("features", features)
    ),
    st.tuples(tags, orders).map(lambda each: Learned("tags", {"answers": each[0], "order": each[1]})),
)


_spelt = st.sampled_from(("Nirvana", "NIRVANA", "Mr. Oizo", "$uicideboy$", "Renamed", "Formerly known"))
_some_artist = st.builds(
    lambda artist, name: {"spotify_id": artist, "name": name}, st.sampled_from(("", *ARTIST_IDS)), _spelt
)
_some_tracks = st.lists(st.sampled_from([track.spotify_id for track in TRACKS]), min_size=2, max_size=3, unique=True)
_conditions = st.one_of(
    _some_artist.map(lambda artist: {"artist": artist}),
    st.sampled_from(("Nevermind", "Deluxe", "$")).map(lambda name: {"album": {"spotify_id": "", "name": name}}),
    _some_tracks.map(lambda tracks: {"track_ids": tracks}),
    st.sampled_from(({"from_hour": 23, "to_hour": 7}, {"from_hour": 0, "to_hour": 1}, {"weekdays": [5, 6]})),
    st.sampled_from(({"to_date": "2011-12-30"}, {"from_date": "2023-12-31", "to_date": "2024-10-06"})),
    st.just({"private_session": True}),
)


def _renamed(what: str, item: dict[str, str]) -> dict[str, Any]:
    return {"kind": "rename", "rename": {"what": what, **item, "shown_name": "Another name"}}


rule_contents = st.one_of(
    _conditions.map(lambda conditions: {"kind": "exclude", "exclude": conditions}),
    st.lists(_some_artist, min_size=2, max_size=2).map(lambda found: {"kind": "same_artist", "artists": found}),
    st.builds(_renamed, st.sampled_from(("artist", "album")), _some_artist),
    st.sampled_from(TRACKS).map(lambda track: _renamed("track", {"spotify_id": track.spotify_id, "name": ""})),
    st.builds(
        lambda kind, ids: {"kind": kind, "track_ids": ids}, st.sampled_from(("same_song", "different")), _some_tracks
    ),
)
"""Rules as the database has them, without their user."""
