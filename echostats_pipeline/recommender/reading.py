"""Reads what recommendations are computed from: plays, library, albums, and what others have heard."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from scipy import sparse

from echostats_pipeline.model.recommendations import ArtistAlbums
from echostats_pipeline.model.rules import Rule
from echostats_pipeline.model.users import User
from echostats_pipeline.recommender.evaluation import Library
from echostats_pipeline.recommender.items import Catalogue, described
from echostats_pipeline.recommender.listening import Floats, Listening, Numbers, sessions_of
from echostats_pipeline.recommender.neighbours import Neighbours
from echostats_pipeline.recommender.scoring import Shared
from echostats_pipeline.storage.recommendations import SONGS_SCHEMA
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.track_credits import primary_artists_for
from echostats_pipeline.transforms.statistics.own_rules import song_pairs
from echostats_pipeline.transforms.statistics.song_of_track import songs_of
from echostats_pipeline.transforms.statistics.songs import Rules


@dataclass(frozen=True, eq=False)
class Known:
    """Plays of some users, and what is known of all songs in question.

    Attributes:
        listening: The plays.
        catalogue: What is known of the songs.
        numbers: The number of the song by the id of each track.
    """

    listening: Listening
    catalogue: Catalogue
    numbers: Mapping[str, int]

    def flags(self, track_ids: Iterable[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """The songs of some tracks; unknown ids are ignored."""
        found = np.zeros(self.listening.size, dtype=bool)
        found[[self.numbers[each] for each in track_ids if each in self.numbers]] = True
        return found

    def library(self, rows: pl.DataFrame) -> Library:
        """The songs of a library with the time at which they were added; rows without that time are left out."""
        dated = rows.drop_nulls("added_at").filter(pl.col("track_id").is_in(list(self.numbers)))
        songs = np.array([self.numbers[each] for each in dated["track_id"]], dtype=np.int64)
        return Library(songs, dated["added_at"].to_list())


def read_sessions(store: Store, user: User, min_play_ms: int, since: datetime | None = None) -> pl.DataFrame:
    """The plays of a user that count or were left early, as `sessions_of` returns them."""
    plays, rules = store.plays.read(user.user_id, since), store.rules.of(user.user_id)
    primary = primary_artists_for(store.db, rules, plays["track_id"])
    return sessions_of(plays, min_play_ms, user.timezone, rules, primary)


def known_songs(
    store: Store,
    played: Sequence[tuple[User, pl.DataFrame]],
    *,
    also: pl.DataFrame | None = None,
    albums: Sequence[ArtistAlbums] = (),
    with_library: bool = False,
    same_recording: bool = True,
    rules: Iterable[Rule] = (),
) -> Known:
    """Join the plays of users with what the catalogue knows of the songs.

    Args:
        store: The database.
        played: The plays of each user.
        also: What is known of further tracks, as `shared_tracks` returns it.
        albums: Albums whose tracks may be recommended.
        with_library: Whether the libraries of these users belong to it.
        same_recording: Whether recordings under several ids are one song.
        rules: Rules of one user, for that user's lists: which tracks are one song, and which are not.
    """
    ids = {track_id for _, plays in played for track_id in plays["track_id"].unique()}
    named = _album_tracks(albums, store.recommendations.artist_tags([each.artist_id for each in albums]))
    read = also if also is not None else SONGS_SCHEMA.to_frame()
    if with_library:
        libraries = [store.recommendations.library_names(user.user_id) for user, _ in played]
        rows = [{"track_id": track_id, **names} for each in libraries for track_id, names in sorted(each.items())]
        named = pl.concat([named, _rows(rows)])
    ids |= set(named["track_id"])
    tracks = pl.concat([read, store.recommendations.songs(sorted(ids - set(read["track_id"]))), named])
    ids |= set(read["track_id"])
    nameless = pl.Series(
        "track_id", sorted(ids - set(tracks.filter(pl.col("name") != "")["track_id"])), dtype=pl.String
    )
    if nameless.len():
        last = [store.plays.last_names(user.user_id, nameless) for user, _ in played]
        unnamed = _rows([{"track_id": each} for each in nameless])
        tracks = pl.concat([tracks, *(_rows(each.to_dicts()) for each in last), unnamed])
    song_of = songs_of(tracks, Rules(*song_pairs(rules)) if same_recording else None)
    listening = Listening.of(
        {user.user_id: plays for user, plays in played},
        song_of,
        {user.user_id: user.shares for user, _ in played},
        song_of["song"].unique().to_list(),
    )
    place = {song: number for number, song in enumerate(listening.items)}
    numbers = {track_id: place[song] for track_id, song in song_of.iter_rows()}
    return Known(listening, described(listening.items, tracks, song_of), numbers)


def shared_tracks(store: Store, songs: pl.DataFrame) -> pl.DataFrame:
    """What is known of the songs of users who share their plays, as `storage.recommendations.SONGS_SCHEMA`.

    Args:
        store: The database.
        songs: As `storage.recommendations.SHARED_SCHEMA`. Their names complete what the catalogue does not know.
    """
    named = _rows(songs.select("name", "artist_name", track_id="spotify_id").to_dicts())
    return pl.concat([store.recommendations.songs(songs["spotify_id"].to_list()), named])


def shared_plays(store: Store, known: Known, seeds: Numbers, songs: pl.DataFrame) -> Shared:
    """What the shared plays of all users say, as stored: of all songs, and the neighbours of some.

    Args:
        store: The database.
        known: Must contain all `songs`.
        seeds: Songs whose neighbours are needed.
        songs: As `storage.recommendations.SHARED_SCHEMA`.
    """
    size = known.listening.size
    place = np.array([known.numbers[each] for each in songs["spotify_id"]], dtype=np.int64)

    def summed(name: str) -> Floats:
        return np.bincount(place, songs[name].cast(pl.Float64).to_numpy(), minlength=size).astype(np.float64)

    wanted = np.isin(place, seeds)
    asked = songs["spotify_id"].filter(pl.Series(wanted)).to_list()
    cells = [
        (known.numbers[found["spotify_id"]], known.numbers[each["spotify_id"]], each["weight"], each["listeners"])
        for found in store.recommendations.neighbours(asked)
        for each in found["neighbours"]
        if each["spotify_id"] in known.numbers
    ]
    rows, columns, weights, listeners = (np.array(each) for each in zip(*cells, strict=True)) if cells else _no_cells()
    neighbours = Neighbours(
        sparse.csr_array((weights.astype(np.float32), (rows, columns)), shape=(size, size)),
        sparse.csr_array((listeners.astype(np.float32), (rows, columns)), shape=(size, size)),
        summed("weight"),
    )
    return Shared(neighbours, summed("plays_28_days"), summed("recent_plays"), summed("listeners").astype(np.int64))


def _no_cells() -> tuple[Numbers, Numbers, Floats, Floats]:
    return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0)


def _album_tracks(albums: Sequence[ArtistAlbums], tags: Mapping[str, list[str]]) -> pl.DataFrame:
    rows: list[dict[str, object]] = [
        {
            "track_id": track.spotify_id,
            "name": track.name,
            "artist_id": track.artist_id,
            "artist_name": track.artist_name,
            "album_name": album.name,
            "image_url": album.image_url,
            "duration_ms": track.duration_ms,
            "tags": tags.get(track.artist_id, []),
        }
        for artist in albums
        for album in artist.albums
        for track in album.tracks
    ]
    return _rows(rows)


def _rows(rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    """Rows with some columns of `SONGS_SCHEMA`; the others are empty."""
    texts = ("track_id", "name", "artist_id", "artist_name", "album_name", "image_url", "isrc")
    empty: dict[str, object] = {**dict.fromkeys(texts, ""), "duration_ms": 0, "tags": []}
    return pl.DataFrame([{**empty, **row} for row in rows], schema=SONGS_SCHEMA)
