"""Hypothesis strategies for zones, tracks, plays and catalogues, and their frames."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from echostats_pipeline.model.rules import Rule
from echostats_pipeline.transforms.history.identity import made_up
from echostats_pipeline.transforms.statistics.credits import CREDITS_SCHEMA, known_credits
from echostats_pipeline.transforms.statistics.exclusions import PRIMARY_SCHEMA
from echostats_pipeline.transforms.statistics.frames import (
    CATALOG_ALBUMS_SCHEMA,
    CATALOG_ARTISTS_SCHEMA,
    CATALOG_TRACKS_SCHEMA,
    DOCUMENT_SCHEMAS,
    CatalogFrames,
    RollupFrames,
)
from echostats_pipeline.transforms.statistics.listening import ListeningFrames, identified
from echostats_pipeline.transforms.statistics.own_rules import song_pairs, with_rules
from echostats_pipeline.transforms.statistics.plays import PLAYS_SCHEMA
from echostats_pipeline.transforms.statistics.rollups import Listener, RollupDocument, build_daily_rollups
from echostats_pipeline.transforms.statistics.songs import Rules
from echostats_pipeline_tests.hypothesis_profiles import examples
from echostats_pipeline_tests.transforms.oracle import (
    FEATURES,
    VARIOUS,
    Catalogue,
    Document,
    Known,
    KnownTrack,
    OraclePlay,
)
from echostats_pipeline_tests.transforms.oracle_songs import TITLES

STARTS = {
    "UTC": (datetime(2024, 2, 28, 12, tzinfo=UTC),),
    "America/New_York": (datetime(2024, 3, 9, 12, tzinfo=UTC), datetime(2024, 11, 2, 12, tzinfo=UTC)),
    "Asia/Kolkata": (datetime(2023, 12, 30, 12, tzinfo=UTC),),
    # Clocks move by half an hour.
    "Australia/Lord_Howe": (datetime(2024, 4, 5, 12, tzinfo=UTC), datetime(2024, 10, 4, 12, tzinfo=UTC)),
    # 30 December 2011 never was.
    "Pacific/Apia": (datetime(2011, 12, 29, 0, tzinfo=UTC), datetime(2011, 12, 30, 2, tzinfo=UTC)),
    # Until 2011 clocks moved at 00:01: in autumn the day before came back for 59 minutes.
    "America/St_Johns": (
        datetime(2010, 11, 6, 12, tzinfo=UTC),
        datetime(2010, 3, 13, 12, tzinfo=UTC),
        datetime(2024, 11, 2, 12, tzinfo=UTC),
    ),
}
"""Zones, each with an instant half a day before a change of its clocks."""

quick = settings(
    max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
"""Settings for properties whose examples are slow."""

HOUR_MS, HALF_HOUR_MS = 3_600_000, 1_800_000
NAMES = ("", "$uicideboy$", "Mr. Oizo", "will.i.am", "Björk", "bjo\u0308rk", "Nirvana")
DURATIONS_MS = (0, 15_000, 200_000, 2 * HOUR_MS)
TRACK_IDS = (*(f"track{number}" for number in range(7)), "local:a", "unresolved:a", "unresolved:b")

CONTEXTS = (
    None,
    "",
    "spotify:playlist:id1",
    "spotify:user:ann:playlist:id1",
    "spotify:playlist:id2",
    "spotify:album:id1",
    "spotify:artist:id2",
    "spotify:user:ann:collection",
    "https://elsewhere",
)

zones = st.sampled_from(sorted(STARTS))
names = st.sampled_from(NAMES)
titles = names | st.sampled_from(tuple(TITLES))
track_ids = st.one_of(st.sampled_from(TRACK_IDS[:2]), st.sampled_from(TRACK_IDS))
gaps_ms = st.one_of(
    st.sampled_from((0, 1, 15_000, 29_999, 30_000, 200_000, HOUR_MS, 23 * HOUR_MS, 23 * HOUR_MS + 1)),
    st.sampled_from((HALF_HOUR_MS, HALF_HOUR_MS + 1, HALF_HOUR_MS + 30_000, HALF_HOUR_MS + 30_001)),
    st.integers(0, 4 * HOUR_MS),
)
heard_ms = st.one_of(st.none(), st.sampled_from((0, 29_999, 30_000, 3 * HOUR_MS)), st.integers(0, 400_000))


@st.composite
def histories(draw: st.DrawFn, zone: str, *, max_plays: int = 25) -> list[OraclePlay]:
    """Plays over a few days around a change of the zone's clocks, in any order; no two of one track end together."""
    at = draw(st.sampled_from(STARTS[zone])) + timedelta(milliseconds=draw(st.integers(0, 24 * HOUR_MS)))
    plays: dict[tuple[datetime, str], OraclePlay] = {}
    for gap in draw(st.lists(gaps_ms, min_size=1, max_size=max_plays)):
        at += timedelta(milliseconds=gap)
        play = OraclePlay(
            played_at=at,
            track_id=draw(track_ids),
            track_name=draw(titles),
            artist_name=draw(names),
            album_name=draw(names),
            duration_ms=draw(st.sampled_from(DURATIONS_MS)),
            ms_played=draw(heard_ms),
            skipped=draw(st.sampled_from((None, True, False))),
            reason_end=draw(st.sampled_from((None, "", "trackdone", "fwdbtn", "backbtn"))),
            context_uri=draw(st.sampled_from(CONTEXTS)),
            private_session=draw(st.sampled_from((None, True, False))),
        )
        plays[play.played_at, play.track_id] = play
    return draw(st.permutations(list(plays.values())))


@st.composite
def zoned_histories(draw: st.DrawFn, *, max_plays: int = 25) -> tuple[str, list[OraclePlay]]:
    """A zone and a history in it."""
    zone = draw(zones)
    return zone, draw(histories(zone, max_plays=max_plays))


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    """Some tracks, artists and albums; ids without an entry; namesakes with other ids."""
    ids = st.sampled_from(("", "id1", "id2", "id3", VARIOUS))
    features = st.one_of(st.none(), st.lists(st.integers(0, 100), min_size=8, max_size=8).map(_fractions))
    guests = st.lists(st.tuples(ids, names), max_size=2)
    known_track = st.builds(
        _known_track,
        guests,
        name=titles,
        artist_id=ids,
        artist_name=names,
        album_id=ids.filter(lambda each: each != VARIOUS),
        album_name=names,
        image_url=st.sampled_from(("", "https://i/track")),
        features=features,
        duration_ms=st.sampled_from((0, 200_000, 201_500, 203_000)),
        isrc=st.sampled_from(("", "", "DEX012300001", "de-x01-23-00001", "DEX012300002")),
    )
    named = names.filter(bool)
    genres = st.lists(st.sampled_from(("rock", "Rock", "hip hop", "Hip-Hop")), unique=True, max_size=3).map(tuple)
    artist = st.builds(Known, name=named, image_url=st.sampled_from(("", "https://i/artist")), genres=genres)
    album = st.builds(
        Known, name=named, image_url=st.sampled_from(("", "https://i/album")), total_tracks=st.integers(0, 3)
    )
    own_ids = st.sampled_from(("id1", "id2", "id3"))
    return Catalogue(
        tracks=draw(st.dictionaries(st.sampled_from(TRACK_IDS), known_track, max_size=6)),
        artists=draw(st.dictionaries(own_ids, artist)),
        albums=draw(st.dictionaries(own_ids, album)),
        playlists=draw(st.dictionaries(own_ids, named)),
    )


def _known_track(guests: list[tuple[str, str]], **known: Any) -> KnownTrack:
    """A track with its primary artist and its guests; no artist at all if the primary one is quite unknown."""
    credited = [(known["artist_id"], known["artist_name"]), *guests]
    if credited[0] == ("", ""):
        credited = []
    ids, artist_names = zip(*credited, strict=True) if credited else ((), ())
    return KnownTrack(**known, artist_ids=ids, artist_names=artist_names)


def _fractions(hundredths: list[int]) -> tuple[float, ...]:
    return tuple(value / 100 for value in hundredths)


def plays_frame(plays: Sequence[OraclePlay]) -> pl.DataFrame:
    return pl.DataFrame([vars(play) for play in plays], schema=PLAYS_SCHEMA, orient="row")


def daily_rollups(
    plays: Sequence[OraclePlay],
    zone: str,
    catalogue: Catalogue | None = None,
    *,
    min_play_ms: int = 30_000,
    days: Collection[date] | None = None,
    rules: Sequence[Rule] = (),
) -> list[RollupDocument]:
    """The rollups of one listener."""
    catalogue = catalogue or Catalogue()
    listener = Listener("u", zone, plays_frame(plays), days, rules, primary_artists(catalogue))
    (found,) = build_daily_rollups([listener], track_credits(catalogue), min_play_ms=min_play_ms)
    return found


def primary_artists(catalogue: Catalogue) -> pl.DataFrame:
    rows = [(track_id, track.artist_id, track.artist_name) for track_id, track in catalogue.tracks.items()]
    return pl.DataFrame(rows, schema=PRIMARY_SCHEMA, orient="row").filter(~made_up(pl.col("track_id")))


def track_credits(catalogue: Catalogue) -> pl.DataFrame:
    rows = [(track_id, each) for track_id, track in catalogue.tracks.items() for each in track.artist_ids]
    return known_credits(pl.DataFrame(rows, schema=CREDITS_SCHEMA, orient="row"))


def rollup_frames(documents: Sequence[RollupDocument]) -> RollupFrames:
    """Frames of rollups, made as `storage.frame_cache.rollup_frames` does."""
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in DOCUMENT_SCHEMAS}
    for document in documents:
        day = date.fromisoformat(document["date"])

        def taken(name: str, parts: Iterable[Document], *fields: str, day: date = day) -> None:
            rows[name] += [(day, *(part[field] for field in fields)) for part in parts]

        days = {**document, "whole": "contexts" in document}
        taken("days", [days], "total_plays", "total_ms", "total_skips", "total_skips_known", "excluded_plays", "whole")
        taken("hours", document["hourly"], "hour", "count", "ms")
        tracks = (*document["track_plays"], *document["uncounted_tracks"])
        taken("tracks", tracks, "spotify_id", "count", "ms")
        named = document.get("named_tracks", ())
        taken("named", named, "spotify_id", "name", "artist_name", "album_name", "count", "ms")
        taken("sessions", document["sessions"], "started_at", "ended_at", "continues")
        taken("repeats", document["repeats"], "spotify_id", "count", "ended_at", "continues")
        taken("contexts", document.get("contexts", ()), "uri", "count", "ms")
        for part in document["sessions"]:
            places = ({"ended_at": part["ended_at"], "place": place} for place in part.get("tracks", ()))
            taken("session_tracks", places, "ended_at", "place")
        taken("exclusions", document.get("excluded_by", ()), "rule_id", "plays")
    return RollupFrames.of_documents(
        {name: pl.DataFrame(rows[name], schema=schema, orient="row") for name, schema in DOCUMENT_SCHEMAS.items()}
    )


def listened(
    plays: Sequence[OraclePlay],
    documents: Sequence[RollupDocument],
    catalogue: Catalogue,
    rules: Sequence[Rule] = (),
) -> ListeningFrames:
    """A user's listening from rollups and catalogue, with plays for names that the catalogue lacks."""
    last = {play.track_id: play for play in sorted(plays, key=lambda play: play.played_at)}
    names = ("track_id", "name", "artist_name", "album_name")

    def played_names(track_ids: pl.Series) -> pl.DataFrame:
        played = (last[track_id] for track_id in track_ids)
        rows = [(play.track_id, play.track_name, play.artist_name, play.album_name) for play in played]
        return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")

    catalog, playlists, songs = catalog_frames(catalogue), catalogue.playlists, Rules(*song_pairs(rules))
    return with_rules(identified(rollup_frames(documents), catalog, played_names, songs, playlists), rules)


def catalog_frames(catalogue: Catalogue) -> CatalogFrames:
    unknown = (None,) * len(FEATURES)
    tracks = [
        (
            track_id,
            track.name,
            track.artist_id,
            track.artist_name,
            track.album_id,
            track.album_name,
            track.image_url,
            track.duration_ms,
            track.isrc,
            list(track.artist_ids),
            list(track.artist_names),
            *(track.features or unknown),
        )
        for track_id, track in catalogue.tracks.items()
    ]
    artists = [(key, artist.name, artist.image_url, list(artist.genres)) for key, artist in catalogue.artists.items()]
    albums = [(key, album.name, album.image_url, album.total_tracks) for key, album in catalogue.albums.items()]
    return CatalogFrames(
        pl.DataFrame(tracks, schema=CATALOG_TRACKS_SCHEMA, orient="row").lazy(),
        pl.DataFrame(artists, schema=CATALOG_ARTISTS_SCHEMA, orient="row"),
        pl.DataFrame(albums, schema=CATALOG_ALBUMS_SCHEMA, orient="row"),
    )
