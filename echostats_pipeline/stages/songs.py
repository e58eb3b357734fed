"""Lists the songs that a user has played under several ids, and why these are one song."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import polars as pl

from echostats_pipeline.model.users import User
from echostats_pipeline.stages.statistics import listening_frames
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.statistics.songs import Why


@dataclass(frozen=True)
class PlayedId:
    """An id of a song; `play_count` is the number of this user's plays that count, over all time."""

    spotify_id: str
    name: str
    artist_name: str
    album_name: str
    play_count: int
    why: Why


@dataclass(frozen=True)
class JoinedSong:
    """A song with all its ids: first the one under which it is shown, then the others, the most played first."""

    ids: tuple[PlayedId, ...]

    @property
    def play_count(self) -> int:
        """Plays that count, of all ids."""
        return sum(each.play_count for each in self.ids)


def joined_songs(store: Store, user: User) -> list[JoinedSong]:
    """The songs of a user that have several ids, the most played first."""
    heard = listening_frames(store, user.user_id)
    wanted = heard.songs["track_id"]
    variants = heard.known.select("track_id").with_row_index("variant")
    plays = heard.tracks.join(variants, on="variant", how="inner").group_by("track_id").agg(pl.col("plays").sum())
    names = heard.names.filter(pl.col("track_id").is_in(wanted.implode())).collect()
    rows = (
        heard.songs.join(names, on="track_id", how="left")
        .join(plays, on="track_id", how="left")
        .sort("song", "place")
        .with_columns(pl.col("plays").fill_null(0))
    )
    songs = [JoinedSong(tuple(_ids(of_song))) for _, of_song in groupby(rows.iter_rows(named=True), _song)]
    return sorted(songs, key=lambda song: (-song.play_count, song.ids[0].spotify_id))


def _song(row: dict[str, Any]) -> Any:
    return row["song"]


def _ids(rows: Iterator[dict[str, Any]]) -> Iterator[PlayedId]:
    fields = ("track_id", "name", "artist_name", "album_name", "plays", "why")
    for row in rows:
        yield PlayedId(*(row[field] for field in fields))
