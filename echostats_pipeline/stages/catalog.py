"""Enriches the shared catalogue: reads full documents of tracks, artists and albums, the most played first.

Data embedded in other answers is used before any call is made: a track read here also gives stubs of its artists and of
its album. Answers are stored in batches, also if Spotify asks to wait in the middle of one. At the end, the snapshots
of all users who played a changed track are marked for a rebuild.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from echostats_pipeline.errors import WaitRequired
from echostats_pipeline.model.catalog import Album, Artist, Track
from echostats_pipeline.settings import Settings
from echostats_pipeline.spotify.client import MOST_IDS, SpotifyClient, batch_route
from echostats_pipeline.spotify.endpoint_access import is_refused
from echostats_pipeline.spotify.mapping import (
    album_document,
    album_stub,
    artist_document,
    artist_stubs,
    track_document,
)
from echostats_pipeline.spotify.reccobeats import MOST_IDS as MOST_IDS_OF_RECCOBEATS
from echostats_pipeline.spotify.responses import JsonObject
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.audio_features import FeatureSource, ask_in_turn, askable
from echostats_pipeline.stages.credits import storing_tracks
from echostats_pipeline.stages.merging import fill_tracks
from echostats_pipeline.storage.store import Store

Answer = dict[str, JsonObject | None]
T = TypeVar("T")

BATCH = 100
"""Number of ids per write; a run that dies loses at most the answers for these."""


@dataclass(frozen=True)
class EnrichmentResult:
    """The result of an enrichment.

    Attributes:
        completed: Number of documents that are complete now.
        unavailable: Number of documents that no source could complete.
        left: Number of documents that were not requested, because Spotify asks to wait.
        waiting: Why to wait, and until when.
    """

    completed: int = 0
    unavailable: int = 0
    left: int = 0
    waiting: WaitRequired | None = None


def enrich_tracks(store: Store, client: SpotifyClient, now: datetime, progress: Progress) -> EnrichmentResult:
    """Read the tracks that plays mention; store stubs of their artists and albums; give plays a length and a cover."""
    with listeners_wait(store) as changed, storing_tracks(store) as stored:

        def keep(answer: Answer) -> int:
            found = _found(answer)
            documents: list[Track] = [track_document(track, now, spotify_id=asked) for asked, track in found]
            changed.update(track.spotify_id for track in documents)
            stored.put(documents, missing=_missing(answer), at=now)
            store.catalog.add_stubs("artists", [stub for _, track in found for stub in artist_stubs(track, now)])
            store.catalog.add_stubs("albums", [stub for _, track in found if (stub := album_stub(track, now))])
            fill_tracks(store, documents)
            return len(found)

        return read_in_batches(store.catalog.wanting("tracks", now), client.tracks_iter, keep, progress)


def enrich_artists(store: Store, client: SpotifyClient, now: datetime, progress: Progress) -> EnrichmentResult:
    """Read the artists that tracks mention, and copy their genres to the tracks."""
    with listeners_wait(store) as changed:

        def keep(answer: Answer) -> int:
            found = _found(answer)
            documents: list[Artist] = [artist_document(artist, now, spotify_id=asked) for asked, artist in found]
            changed.update(store.catalog.tracks_of("artists", [artist.spotify_id for artist in documents]))
            store.catalog.put("artists", documents, missing=_missing(answer), at=now)
            store.catalog.pass_genres_to_tracks(documents)
            return len(found)

        return read_in_batches(store.catalog.wanting("artists", now), client.artists_iter, keep, progress)


def enrich_albums(store: Store, client: SpotifyClient, now: datetime, progress: Progress) -> EnrichmentResult:
    """Read the albums that tracks mention."""
    with listeners_wait(store) as changed:

        def keep(answer: Answer) -> int:
            found = _found(answer)
            documents: list[Album] = [album_document(album, now, spotify_id=asked) for asked, album in found]
            changed.update(store.catalog.tracks_of("albums", [album.spotify_id for album in documents]))
            store.catalog.put("albums", documents, missing=_missing(answer), at=now)
            return len(found)

        return read_in_batches(store.catalog.wanting("albums", now), client.albums_iter, keep, progress)


def enrich_audio_features(
    store: Store, sources: Mapping[str, FeatureSource], now: datetime, progress: Progress
) -> EnrichmentResult:
    """Read the audio features of known tracks from the named sources; also record the sources that do not have them.

    A source that asks to wait is not called again in this run; the other sources are.
    """
    wanting = store.catalog.wanting_audio_features(now, sources)
    progress.expect(len(wanting))
    done: Counter[str] = Counter()
    waiting: dict[str, WaitRequired] = {}
    tracks = list(wanting.items())
    with listeners_wait(store) as changed:
        for start in range(0, len(tracks), BATCH):
            open_sources = {name: ask for name, ask in sources.items() if name not in waiting}
            heard = ask_in_turn(open_sources, dict(tracks[start : start + BATCH]))
            changed.update(spotify_id for spotify_id, features in heard.answers.items() if features is not None)
            store.catalog.put_audio_features(heard.answers, now, heard.asked)
            waiting |= heard.waiting
            settled = Counter(
                "unavailable" if features is None else "completed"
                for spotify_id, features in heard.answers.items()
                if features is not None or waiting.keys() <= set(heard.asked[spotify_id])
            )
            progress.advance(settled.total())
            done += settled
            if waiting.keys() == sources.keys():
                break
    for wait in waiting.values():  # the result holds only the first of these waits
        store.limits.postpone(wait.family, wait.until, wait.reason)
    return EnrichmentResult(
        done["completed"], done["unavailable"], len(wanting) - done.total(), next(iter(waiting.values()), None)
    )


@contextmanager
def listeners_wait(store: Store) -> Iterator[set[str]]:
    """Provide a set for track ids; at the end, also after an error, mark snapshots of users who played these tracks."""
    changed: set[str] = set()
    try:
        yield changed
    finally:
        store.mark_snapshots_of_listeners(changed)


def objects_a_day(settings: Settings, store: Store, family: str, now: datetime) -> int:
    """Return how many objects of a family can be read per day: in batches, or one per call if batches are refused.

    For audio features, the slowest available source decides; 0 if there is no source.
    """
    refused = is_refused(store.limits, batch_route(family), now)
    if family != "audio-features":
        return settings.daily_calls * (1 if refused else MOST_IDS[family])
    sizes = {"spotify": MOST_IDS[family], "reccobeats": MOST_IDS_OF_RECCOBEATS}
    sources = askable(settings.audio_features, {family} if refused else ())
    return settings.daily_calls * min((sizes.get(name, max(sizes.values())) for name in sources), default=0)


def read_in_batches(
    wanting: Sequence[str],
    read: Callable[[Sequence[str]], Iterator[tuple[str, T | None]]],
    keep: Callable[[dict[str, T | None]], int],
    progress: Progress,
) -> EnrichmentResult:
    """Read and store all wanted objects batch by batch, until all are read or the service asks to wait.

    Args:
        wanting: Ids in the order of the calls.
        read: Yields ids with what the service knows of them; None if it knows nothing.
        keep: Stores the answers, and returns how many objects are complete now.
        progress: Counts the objects.
    """
    progress.expect(len(wanting))
    completed = asked = 0
    waiting: WaitRequired | None = None
    for start in range(0, len(wanting), BATCH):
        answer: dict[str, T | None] = {}
        try:
            answer.update(read(wanting[start : start + BATCH]))
        except WaitRequired as wait:
            waiting = wait
        completed += keep(answer)
        asked += len(answer)
        progress.advance(len(answer))
        if waiting is not None:
            break
    return EnrichmentResult(completed, asked - completed, len(wanting) - asked, waiting)


def _found(answer: Answer) -> list[tuple[str, JsonObject]]:
    return [(asked, found) for asked, found in answer.items() if found is not None]


def _missing(answer: Answer) -> list[str]:
    return [asked for asked, found in answer.items() if found is None]
