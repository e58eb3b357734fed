"""Decides which artists a source of genres is asked about, and whose genres an artist gets. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

SPOTIFY = "spotify"
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TagAnswer:
    """The answer of one source about one artist, as far as it decides when to ask again.

    Attributes:
        read_at: When the source answered; None while only the MusicBrainz id is known.
        genres: The genres that the artist gets from this answer, if it is the one to use.
    """

    mbid: str = ""
    read_at: datetime | None = None
    genres: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArtistGenres:
    """The genres of one artist, and the answers of all sources.

    Attributes:
        source: Whose the present genres are; empty without genres.
        answers: By source.
    """

    spotify_id: str
    genres: tuple[str, ...] = ()
    source: str = ""
    answers: Mapping[str, TagAnswer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expiry:
    """After how long a source is asked again: about an artist without genres there, and with genres."""

    negative: timedelta
    positive: timedelta


def open_artists(
    artists: Iterable[ArtistGenres], source: str, order: Sequence[str], now: datetime, expiry: Expiry
) -> Iterator[ArtistGenres]:
    """Artists to ask a source about: those without genres of a source that comes before it, and without a fresh answer.

    Args:
        artists: The artists of the catalogue.
        source: The source to ask; a member of `order`.
        order: All sources in the order of the settings.
        now: The present instant.
        expiry: When an answer is no longer fresh.
    """
    for artist in artists:
        due = _due(artist, source, order, expiry)
        if due is not None and due < now:
            yield artist


def next_due(
    artists: Iterable[ArtistGenres], sources: Sequence[str], order: Sequence[str], expiry: Expiry
) -> datetime | None:
    """When one of the sources is to be asked about an artist, long ago for a new one; None if never.

    Args:
        artists: The artists of the catalogue.
        sources: The sources that can be asked; members of `order`.
        order: All sources in the order of the settings.
        expiry: When an answer is no longer fresh.
    """
    dues = (_due(artist, source, order, expiry) for artist in artists for source in sources)
    return min((due for due in dues if due is not None), default=None)


def _due(artist: ArtistGenres, source: str, order: Sequence[str], expiry: Expiry) -> datetime | None:
    if artist.genres and artist.source in order[: order.index(source)]:
        return None
    answer = artist.answers.get(source, TagAnswer())
    if answer.read_at is None:
        return LONG_AGO
    return answer.read_at + (expiry.positive if answer.genres else expiry.negative)


def is_settled(artist: ArtistGenres, order: Sequence[str], now: datetime, expiry: Expiry) -> bool:
    """Whether the genres of an artist are known, or no source other than Spotify is left to ask."""
    asked = (source for source in order if source != SPOTIFY)
    return bool(artist.genres) or not any(any(open_artists([artist], each, order, now, expiry)) for each in asked)


def chosen(artist: ArtistGenres, order: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The source whose genres an artist gets, and these genres.

    The first source of the order that has any decides. A source that is no longer in the order comes last: genres that
    are known are never replaced by none.
    """
    known = {source: answer.genres for source, answer in artist.answers.items() if answer.genres}
    if artist.genres and artist.source not in known:
        known[artist.source] = artist.genres
    if not known:
        return "", ()
    places = {source: place for place, source in enumerate(order)}
    best = min(known, key=lambda source: (places.get(source, len(places)), source))
    return best, known[best]
