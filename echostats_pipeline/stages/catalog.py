"""The shared catalogue: what plays mention becomes full documents, the most played first.

Data that came embedded in an answer is used before any call is made: a track read here brings stubs of its artists
and of its album. What was read is stored in batches, also when Spotify asks to wait in the middle.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from echostats_pipeline.errors import WaitRequired
from echostats_pipeline.model.catalog import Album, Artist, Track
from echostats_pipeline.spotify.answers import JsonObject
from echostats_pipeline.spotify.client import Asked, SpotifyClient
from echostats_pipeline.spotify.mapping import (
    album_document,
    album_stub,
    artist_document,
    artist_stubs,
    track_document,
)
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.features import FeatureSource, ask_in_turn
from echostats_pipeline.storage.store import Store

Answer = dict[str, JsonObject | None]

BATCH = 100
"""Ids per write; a run that dies has lost at most the answers for these."""


@dataclass(frozen=True)
class Enriched:
    """What enrichment did, and what is left of it.

    Attributes:
        completed: Documents that are complete now.
        unavailable: Documents that nobody could complete.
        left: Documents still to be asked about, because Spotify asks to wait.
        waiting: Why, and until when.
    """

    completed: int = 0
    unavailable: int = 0
    left: int = 0
    waiting: WaitRequired | None = None


def enrich_tracks(store: Store, client: SpotifyClient, now: datetime, progress: Progress) -> Enriched:
    """Read the tracks that plays mention; their artists and albums become stubs, the plays get length and cover."""

    def keep(answer: Answer) -> int:
        found = _found(answer)
        documents: list[Track] = [track_document(track, now, spotify_id=asked) for asked, track in found]
        store.catalog.put("tracks", documents, missing=_missing(answer), at=now)
        store.catalog.add_stubs("artists", [stub for _, track in found for stub in artist_stubs(track, now)])
        store.catalog.add_stubs("albums", [stub for _, track in found if (stub := album_stub(track, now))])
        store.plays.fill_tracks(documents)
        return len(found)

    return _enrich(store.catalog.wanting("tracks", now), client.tracks_iter, keep, progress)


def enrich_artists(store: Store, client: SpotifyClient, now: datetime, progress: Progress) -> Enriched:
    """Read the artists that tracks mention; their genres are passed on to the tracks."""

    def keep(answer: Answer) -> int:
        documents: list[Artist] = [artist_document(artist, now, spotify_id=asked) for asked, artist in _found(answer)]
        store.catalog.put("artists", documents, missing=_missing(answer), at=now)
        store.catalog.pass_genres_to_tracks(documents)
        return len(documents)

    return _enrich(store.catalog.wanting("artists", now), client.artists_iter, keep, progress)


def enrich_albums(store: Store, client: SpotifyClient, now: datetime, progress: Progress) -> Enriched:
    """Read the albums that tracks mention."""

    def keep(answer: Answer) -> int:
        documents: list[Album] = [album_document(album, now, spotify_id=asked) for asked, album in _found(answer)]
        store.catalog.put("albums", documents, missing=_missing(answer), at=now)
        return len(documents)

    return _enrich(store.catalog.wanting("albums", now), client.albums_iter, keep, progress)


def enrich_audio_features(
    store: Store, sources: Sequence[FeatureSource], now: datetime, progress: Progress
) -> Enriched:
    """Ask the sources for the audio features of known tracks; that none of them has any is remembered too."""
    wanting = store.catalog.wanting_audio_features(now)
    progress.expect(len(wanting))
    completed = unavailable = 0
    waited: WaitRequired | None = None
    for start in range(0, len(wanting), BATCH):
        batch = wanting[start : start + BATCH]
        answers, waiting = ask_in_turn(sources, batch)
        store.catalog.put_audio_features(answers, now)
        progress.advance(len(answers))
        found = sum(features is not None for features in answers.values())
        completed += found
        unavailable += len(answers) - found
        waited = waited or waiting
        if waiting is not None and not answers:  # none of the sources can be asked now
            break
    return Enriched(completed, unavailable, len(wanting) - completed - unavailable, waited)


def _enrich(
    wanting: Sequence[str],
    read: Callable[[Sequence[str]], Iterator[Asked]],
    keep: Callable[[Answer], int],
    progress: Progress,
) -> Enriched:
    """Ask for everything wanted and store it batch by batch, until there is no more or Spotify asks to wait."""
    progress.expect(len(wanting))
    completed = asked = 0
    waiting: WaitRequired | None = None
    for start in range(0, len(wanting), BATCH):
        answer: Answer = {}
        try:
            answer.update(read(wanting[start : start + BATCH]))
        except WaitRequired as wait:
            waiting = wait
        completed += keep(answer)
        asked += len(answer)
        progress.advance(len(answer))
        if waiting is not None:
            break
    return Enriched(completed, asked - completed, len(wanting) - asked, waiting)


def _found(answer: Answer) -> list[tuple[str, JsonObject]]:
    return [(asked, found) for asked, found in answer.items() if found is not None]


def _missing(answer: Answer) -> list[str]:
    return [asked for asked, found in answer.items() if found is None]
