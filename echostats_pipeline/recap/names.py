"""The names under which a recap shows tracks, artists and albums: those of the rankings."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from echostats_pipeline.recap.document import Item
from echostats_pipeline.transforms.statistics.listening import ListeningFrames


@dataclass(frozen=True, eq=False)
class Names:
    """What is shown of the things that a user has heard.

    Attributes:
        heard: All that the user has heard.
        ids: ``track_id``, ``track``, ``artist``: a row per id of a track. A track whose id is made of names has the
            numbers of one of its spellings.
        artists: The shown name of the artist of a track, by the track's id.
        album_artists: The shown name of the artist of an album, by the album's id; only where it is one artist.
    """

    heard: ListeningFrames
    ids: pl.DataFrame
    artists: Mapping[str, str]
    album_artists: Mapping[str, str]

    @classmethod
    def of(cls, heard: ListeningFrames) -> "Names":
        """Read off the frames of a listener."""
        known = heard.known.select("track_id", "track", "artist", "album")
        ids = known.unique("track_id", keep="first", maintain_order=True)
        named = heard.artists.select("artist", artist_name="name")
        of_tracks = ids.join(named, on="artist", how="inner").select("track_id", "artist_name")
        of_albums = (
            known.drop_nulls(["album", "artist"])
            .join(named, on="artist", how="inner")
            .group_by("album")
            .agg(pl.col("artist_name").first(), artists=pl.col("artist").n_unique())
            .filter(pl.col("artists") == 1)
            .join(heard.albums.select("album", "spotify_id"), on="album", how="inner")
            .filter(pl.col("spotify_id").fill_null("") != "")
            .select("spotify_id", "artist_name")
        )
        return cls(heard, ids, dict(of_tracks.iter_rows()), dict(of_albums.iter_rows()))

    def artist_of(self, kind: str, spotify_id: str) -> str:
        """The artist of a track or an album; empty for an artist, and where it is unknown."""
        of_kind = {"tracks": self.artists, "albums": self.album_artists}.get(kind, {})
        return of_kind.get(spotify_id) or ""

    def track(self, track_id: str, plays: int = 1, ms: int = 0) -> Item:
        """A track by any of its ids, as its song is shown."""
        (number,) = self.ids.filter(pl.col("track_id") == track_id)["track"].to_list() or (None,)
        if number is None:
            return Item("tracks", "", "", track_id, "", plays, ms)
        (shown,) = self.heard.shown(pl.Series([number], dtype=pl.UInt32)).to_dicts()
        spotify_id = shown["spotify_id"]
        by = self.artist_of("tracks", spotify_id) or shown["artist_name"] or ""
        return Item("tracks", shown["name"] or "", by, spotify_id, shown["image_url"] or "", plays, ms)
