"""The shared catalogue: what plays mention becomes full documents.

Data that came embedded in an answer is used before any call is made: a track read here brings stubs of its artists
and of its album.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from echostats_pipeline.errors import SpotifyResponseError
from echostats_pipeline.model.catalog import Album, Artist, Track
from echostats_pipeline.spotify.answers import JsonObject
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.mapping import (
    album_document,
    album_stub,
    artist_document,
    artist_stubs,
    audio_features_document,
    track_document,
)
from echostats_pipeline.stages import Progress
from echostats_pipeline.storage.store import Store

Answer = dict[str, JsonObject | None]

BATCH = 100
"""Ids per write; a run that dies has lost at most the answers for these."""


@dataclass(frozen=True)
class Enriched:
    """How many documents were completed, and how many Spotify does not know."""

    completed: int = 0
    unavailable: int = 0

    def __add__(self, other: "Enriched") -> "Enriched":
        return Enriched(self.completed + other.completed, self.unavailable + other.unavailable)


def enrich_tracks(store: Store, client: SpotifyClient, now: datetime, progress: Progress) -> Enriched:
    """Read the tracks that plays mention; their artists and albums become stubs, the plays get length and cover."""
    total = Enriched()
    for answer in _answers(store.catalog.wanting("tracks"), client.tracks, progress):
        found = _found(answer)
        documents: list[Track] = [track_document(track, now, spotify_id=asked) for asked, track in found]
        store.catalog.put("tracks", documents, missing=_missing(answer), at=now)
        store.catalog.add_stubs("artists", [stub for _, track in found for stub in artist_stubs(track, now)])
        store.catalog.add_stubs("albums", [stub for _, track in found if (stub := album_stub(track, now))])
        store.plays.fill_tracks(documents)
        total += Enriched(len(found), len(answer) - len(found))
    return total


def enrich_artists(store: Store, client: SpotifyClient, now: datetime, progress: Progress) -> Enriched:
    """Read the artists that tracks mention; their genres are passed on to the tracks."""
    total = Enriched()
    for answer in _answers(store.catalog.wanting("artists"), client.artists, progress):
        documents: list[Artist] = [artist_document(artist, now, spotify_id=asked) for asked, artist in _found(answer)]
        store.catalog.put("artists", documents, missing=_missing(answer), at=now)
        store.catalog.pass_genres_to_tracks(documents)
        total += Enriched(len(documents), len(answer) - len(documents))
    return total


def enrich_albums(store: Store, client: SpotifyClient, now: datetime, progress: Progress) -> Enriched:
    """Read the albums that tracks mention."""
    total = Enriched()
    for answer in _answers(store.catalog.wanting("albums"), client.albums, progress):
        documents: list[Album] = [album_document(album, now, spotify_id=asked) for asked, album in _found(answer)]
        store.catalog.put("albums", documents, missing=_missing(answer), at=now)
        total += Enriched(len(documents), len(answer) - len(documents))
    return total


def enrich_audio_features(store: Store, client: SpotifyClient, now: datetime, progress: Progress) -> Enriched:
    """Read the audio features of known tracks; that Spotify has none is remembered too."""

    def read(ids: Sequence[str]) -> Answer:
        try:
            return client.audio_features(ids)
        except SpotifyResponseError as error:
            if error.status_code == HTTPStatus.FORBIDDEN:  # apps registered since November 2024 are refused
                return dict.fromkeys(ids)
            raise

    total = Enriched()
    for answer in _answers(store.catalog.wanting_audio_features(), read, progress):
        features = {asked: audio_features_document(found) if found else None for asked, found in answer.items()}
        store.catalog.put_audio_features(features, now)
        completed = sum(found is not None for found in features.values())
        total += Enriched(completed, len(features) - completed)
    return total


def _answers(wanting: Sequence[str], read: Callable[[Sequence[str]], Answer], progress: Progress) -> Iterator[Answer]:
    """Ask for everything wanted, batch by batch; a batch counts as processed once the caller has stored it."""
    progress.expect(len(wanting))
    for start in range(0, len(wanting), BATCH):
        answer = read(wanting[start : start + BATCH])
        yield answer
        progress.advance(len(answer))


def _found(answer: Answer) -> list[tuple[str, JsonObject]]:
    return [(asked, found) for asked, found in answer.items() if found is not None]


def _missing(answer: Answer) -> list[str]:
    return [asked for asked, found in answer.items() if found is None]
