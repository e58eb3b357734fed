"""How many of a user's artists and plays have genres, by the source of the genres."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from echostats_pipeline.model.users import User
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.genre_queue import SPOTIFY


@dataclass(frozen=True)
class GenreCoverage:
    """The primary artists of a user's tracks, and the plays that count, by the source of the artists' genres.

    Attributes:
        artists: Number of artists by source; an empty text stands for artists without genres.
        plays: Number of plays by source; plays of tracks without a known artist count as those without genres.
    """

    artists: Mapping[str, int]
    plays: Mapping[str, int]

    @property
    def artists_covered(self) -> float:
        """Share of the artists that have genres, 0 to 1; 0 without artists."""
        return _covered(self.artists)

    @property
    def plays_covered(self) -> float:
        """Share of the plays whose artist has genres, 0 to 1; 0 without plays."""
        return _covered(self.plays)


def genre_coverage(store: Store, user: User, min_play_ms: int) -> GenreCoverage:
    """Count a user's artists and plays by the source of the genres.

    Args:
        store: The database.
        user: Whose plays are counted.
        min_play_ms: Least length of a play that counts.
    """
    plays = store.plays.counted_by_track(user.user_id, min_play_ms)
    of_track = store.catalog.artist_and_album(plays)
    by_artist: Counter[str] = Counter()
    for track_id, count in plays.items():
        by_artist[of_track.get(track_id, (None, None))[0] or ""] += count
    nobody = by_artist.pop("", 0)
    sources = {each["spotify_id"]: _source(each) for each in store.catalog.documents("artists", by_artist)}
    artists = Counter(sources.get(artist_id, "") for artist_id in by_artist)
    counted: Counter[str] = Counter({"": nobody} if nobody else {})
    for artist_id, count in by_artist.items():
        counted[sources.get(artist_id, "")] += count
    return GenreCoverage(dict(artists), dict(counted))


def _source(artist: Document) -> str:
    return (artist.get("genres_source") or SPOTIFY) if artist.get("genres") else ""


def _covered(counts: Mapping[str, int]) -> float:
    total = sum(counts.values())
    return 1 - counts.get("", 0) / total if total else 0.0
