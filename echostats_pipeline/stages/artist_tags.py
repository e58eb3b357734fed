"""Reads genres of artists from the sources besides Spotify, in the order of the settings, the most played first.

MusicBrainz is asked twice, each time in hundreds: for the ids of artists whom Spotify's id identifies, then for their
tags. Last.fm is asked about one artist in each call. Answers are stored in batches, also those that know nothing, so
that no source is asked again before its answer expires. An artist gets the genres of the first source that has any.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from echostats_pipeline.errors import WaitRequired
from echostats_pipeline.model.catalog import ArtistTags, GenreList
from echostats_pipeline.spotify import lastfm, musicbrainz
from echostats_pipeline.spotify.patience import waiting_out
from echostats_pipeline.spotify.quota import OWN_BUDGETS, PACES
from echostats_pipeline.spotify.retry_after import Clock
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.audio_features import FAMILIES
from echostats_pipeline.stages.catalog import EnrichmentResult, listeners_wait, read_in_batches
from echostats_pipeline.storage.catalog import Completeness
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.genre_queue import SPOTIFY
from echostats_pipeline.transforms.genres import genre_tags

DAY_S = 24 * 60 * 60
MOST_OF_A_UNIT = {"minute": 90, "hour": 48, "day": 10**9}
LIST_LASTS = timedelta(days=30)
"""When the list of all genres is read again."""
MOST_CALLS = 1000
"""The most calls to a source in one run, so that other work of the catalogue is not kept waiting."""
CALLS_PER_ARTIST: Mapping[str, float] = {"musicbrainz": 2 / musicbrainz.MOST_FOUND, "lastfm": 1.0}
LICENCES: Mapping[str, str] = {"musicbrainz": musicbrainz.LICENCE, "lastfm": lastfm.LICENCE}

GenreNames = Callable[[], Sequence[str]]
"""Returns the names of all genres."""


@dataclass(frozen=True)
class TagSource:
    """A source of genres besides Spotify. Both functions may raise `WaitRequired` after some answers.

    Attributes:
        read: Takes MusicBrainz ids by Spotify id, and yields each Spotify id with the genres; None if it is not known.
        identify: Takes Spotify ids, and yields each with its MusicBrainz id; None if there is none. A source without it
            is asked about artists without MusicBrainz id, too.
    """

    read: Callable[[Mapping[str, str]], Iterator[tuple[str, ArtistTags | None]]]
    identify: Callable[[Sequence[str]], Iterator[tuple[str, str | None]]] | None = None


def from_musicbrainz(service: musicbrainz.MusicBrainz, genres: GenreNames, clock: Clock) -> TagSource:
    """Return MusicBrainz as a source."""

    def identify(spotify_ids: Sequence[str]) -> Iterator[tuple[str, str | None]]:
        with waiting_out("musicbrainz", clock):
            found = service.mbids(spotify_ids)
            yield from ((spotify_id, found.get(spotify_id)) for spotify_id in spotify_ids)

    def read(artists: Mapping[str, str]) -> Iterator[tuple[str, ArtistTags | None]]:
        with waiting_out("musicbrainz", clock):
            names = genres()
            votes = dict(service.votes(list(dict.fromkeys(artists.values()))))
            for spotify_id, mbid in artists.items():
                tags = genre_tags(votes.get(mbid, ()), names)
                yield spotify_id, ArtistTags(spotify_id=spotify_id, source="musicbrainz", tags=tags, mbid=mbid)

    return TagSource(read, identify)


def from_lastfm(
    service: lastfm.LastFm, genres: GenreNames, named: Callable[[Sequence[str]], Mapping[str, str]], clock: Clock
) -> TagSource:
    """Return Last.fm as a source: asked by MusicBrainz id where it is known, else by a name that only one artist has.

    Args:
        service: Last.fm.
        genres: Which tags are genres.
        named: Returns such names by Spotify id.
        clock: The present instant.
    """

    def read(artists: Mapping[str, str]) -> Iterator[tuple[str, ArtistTags | None]]:
        names = named(list(artists))
        with waiting_out("lastfm", clock):
            known = genres()
            for spotify_id, mbid in artists.items():
                votes = service.votes(mbid=mbid) if mbid else None
                if votes is None and spotify_id in names:
                    votes = service.votes(name=names[spotify_id])
                tags = genre_tags(votes or (), known)
                yield spotify_id, ArtistTags(spotify_id=spotify_id, source="lastfm", tags=tags, mbid=mbid)

    return TagSource(read)


def genre_list(store: Store, service: musicbrainz.MusicBrainz, clock: Clock) -> Callable[[], list[str]]:
    """Return a function that returns the names of all genres: as stored, or if that is too old, from MusicBrainz."""

    def names() -> list[str]:
        stored = store.artist_tags.genre_list("musicbrainz")
        if stored is not None and clock() - stored.read_at < LIST_LASTS:
            return stored.names
        try:
            with waiting_out("musicbrainz", clock):
                read = GenreList(source="musicbrainz", names=service.genre_names(), read_at=clock())
        except WaitRequired:
            if stored is None:
                raise
            return stored.names
        store.artist_tags.put_genre_list(read)
        return read.names

    return names


def enrich_artist_tags(
    store: Store, sources: Mapping[str, TagSource], order: Sequence[str], now: datetime, progress: Progress
) -> EnrichmentResult:
    """Ask each source about the artists that no source before it knows, and give the artists their genres.

    A source that asks to wait is not called again in this run; the other sources are.

    Args:
        store: The database.
        sources: The sources besides Spotify, by name.
        order: All sources, also Spotify, in the order of the settings.
        now: The present instant.
        progress: Counts what is to be looked up.
    """
    with listeners_wait(store) as changed:

        def settle(spotify_ids: Sequence[str] | None = None) -> None:
            others = store.artist_tags.settle(order, spotify_ids)
            changed.update(store.catalog.tracks_of("artists", others) if others else ())

        settle()  # the order may have changed, or a run may have died
        done = [_ask(store, name, sources[name], order, now, progress, settle) for name in order if name in sources]
    waits = [result.waiting for result in done if result.waiting is not None]
    for wait in waits:
        store.limits.postpone(wait.family, wait.until, wait.reason)
    return EnrichmentResult(
        sum(result.completed for result in done),
        sum(result.unavailable for result in done),
        sum(result.left for result in done),
        next(iter(waits), None),
    )


def _ask(
    store: Store,
    name: str,
    source: TagSource,
    order: Sequence[str],
    now: datetime,
    progress: Progress,
    settle: Callable[[Sequence[str]], None],
) -> EnrichmentResult:
    """Ask one source: if it needs that, who the artists are; then for their genres."""
    wanting = store.artist_tags.wanting(name, order, now)
    most = int(MOST_CALLS / CALLS_PER_ARTIST[name])
    mbids, beyond = dict(islice(wanting.items(), most)), max(0, len(wanting) - most)

    def put(answers: Iterable[ArtistTags]) -> None:
        stamped = {"licence": LICENCES[name], "read_at": now}
        store.artist_tags.put(answer.model_copy(update=stamped) for answer in answers)

    def keep_ids(found: Mapping[str, str | None]) -> int:
        known = {spotify_id: mbid for spotify_id, mbid in found.items() if mbid}
        store.artist_tags.put_mbids(known)
        put(ArtistTags(spotify_id=spotify_id, source=name) for spotify_id in found.keys() - known.keys())
        mbids.update(known)
        return len(known)

    def keep(found: Mapping[str, ArtistTags | None]) -> int:
        answers = [answer for answer in found.values() if answer is not None]
        put(answers)
        settle(list(found))
        return sum(bool(answer.tags) for answer in answers)

    def read(spotify_ids: Sequence[str]) -> Iterator[tuple[str, ArtistTags | None]]:
        return source.read({spotify_id: mbids[spotify_id] for spotify_id in spotify_ids})

    if source.identify is None:
        result = read_in_batches(list(mbids), read, keep, progress)
        return replace(result, left=result.left + beyond)
    nameless = [spotify_id for spotify_id, mbid in mbids.items() if not mbid]
    identified = read_in_batches(nameless, source.identify, keep_ids, progress)
    if identified.waiting is not None:
        return EnrichmentResult(0, identified.unavailable, len(wanting) - identified.unavailable, identified.waiting)
    read_now = read_in_batches([each for each, mbid in mbids.items() if mbid], read, keep, progress)
    unavailable = identified.unavailable + read_now.unavailable
    return replace(read_now, unavailable=unavailable, left=read_now.left + beyond)


@dataclass(frozen=True)
class TagProgress(Completeness):
    """Progress of the genres of all artists.

    Attributes:
        known: Number of artists whose genres are known, or of whom every source has said that it knows none.
        total: Number of all artists.
        seconds_left: Least time until all sources have answered; None if no source besides Spotify is asked.
    """

    seconds_left: float | None

    @property
    def days_left(self) -> int | None:
        """Days until all sources have answered, a part of a day as one."""
        return None if self.seconds_left is None else math.ceil(self.seconds_left / DAY_S)

    @property
    def time_left(self) -> str:
        """The least time left in words; empty if nothing is left."""
        return _length(self.seconds_left) if self.seconds_left else ""

    @property
    def text(self) -> str:
        """The progress in words."""
        ready = f", ready in about {self.time_left}" if self.time_left else ""
        return f"{self.known:,} of {self.total:,} artists asked about{ready}"


def tag_progress(store: Store, order: Sequence[str], now: datetime) -> TagProgress:
    """The progress of the genres of all artists, from the calls that are left, the pace and the wait of each source."""
    known, total, lacking = store.artist_tags.progress(order, now)
    waits = store.limits.waiting([FAMILIES[name] for name in lacking], now)
    seconds = 0.0
    for name, count in lacking.items():
        family = FAMILIES[name]
        calls = math.ceil(count * CALLS_PER_ARTIST[name])
        until, _ = waits.get(family, (now, ""))
        seconds += calls * PACES[family].total_seconds() + (until - now).total_seconds()
        seconds += (calls // OWN_BUDGETS[family]) * DAY_S
    return TagProgress(known, total, seconds if any(name != SPOTIFY for name in order) else None)


def _length(seconds: float) -> str:
    """A length of time in words, in the unit that gives a small number."""
    for unit, length in (("minute", 60), ("hour", 3600), ("day", DAY_S)):
        count = math.ceil(seconds / length)
        if count <= MOST_OF_A_UNIT[unit]:
            break
    return f"{count} {unit}{'' if count == 1 else 's'}"
