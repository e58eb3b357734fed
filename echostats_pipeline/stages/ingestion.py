"""Ingestion: reads Spotify's recently-played, and merges its answers into the listening history."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from echostats_pipeline.model.catalog import Track
from echostats_pipeline.model.operations import RowOutcome
from echostats_pipeline.model.plays import ListeningGap, RecentlyPlayedPage
from echostats_pipeline.model.users import User
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.mapping import (
    RecentlyPlayedCounts,
    album_stub,
    artist_stubs,
    content,
    recently_played_items,
    track_document,
    withheld_stamps,
)
from echostats_pipeline.stages.coverage import SYNCS, cover_sync, ensure_spans
from echostats_pipeline.stages.credits import storing_tracks
from echostats_pipeline.stages.merging import fill_tracks, forget_left, merge_items, resolve_named_plays, stored_around
from echostats_pipeline.storage.coverage import stretches_of
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store

PAGE_LIMIT = 50
"""Most plays that recently-played returns."""


def read_recently_played(store: Store, client: SpotifyClient, user: User, now: datetime) -> RecentlyPlayedCounts:
    """Read the newest 50 plays and store the answer for merging; embedded tracks are added to the catalogue.

    This always reads the newest 50 plays, never those after the last known play: rows may appear late, with old stamps.
    """
    answer = client.recently_played(PAGE_LIMIT)
    items, counts = recently_played_items(answer)
    page = RecentlyPlayedPage(
        user_id=user.user_id,
        items=items,
        withheld=withheld_stamps(answer),
        full=len(answer["items"]) >= PAGE_LIMIT,
        fetched_at=now,
    )
    kept = store.pages.keep(page)
    if not kept and page.items and not store.pages.unmerged(user.user_id):
        cover_sync(store, user, page, now)
    if kept:
        _keep_embedded(store, [track for row in answer["items"] if row and (track := content(row))], now)
    return counts


@dataclass(frozen=True)
class MergeResult:
    """The result of a merge: outcomes of the reported rows, and the number of new gaps."""

    outcomes: Counter[RowOutcome] = field(default_factory=Counter)
    gaps: int = 0

    def __add__(self, other: "MergeResult") -> "MergeResult":
        return MergeResult(self.outcomes + other.outcomes, self.gaps + other.gaps)

    def as_metadata(self) -> dict[str, int]:
        """Return the counts by name."""
        return {
            "inserted": self.outcomes["inserted"],
            "merged": self.outcomes["merged"],
            "duplicate": self.outcomes["duplicate"],
            "gaps": self.gaps,
        }


def merge_pages(store: Store, user: User, now: datetime) -> MergeResult:
    """Merge every stored answer of recently-played into the history, oldest first."""
    merged = MergeResult()
    pages = store.pages.unmerged(user.user_id)
    if pages:
        ensure_spans(store, user, now)
    for page in pages:
        stamps = [*(item.played_at for item in page.items), *page.withheld]
        stored = stored_around(store, user, stamps)
        gaps = _record_gaps(store, page, stored, now)
        changes = merge_items(store, user, page.items, stored)
        store.coverage.close_instants(
            user.user_id, [item.played_at for item in page.items], closed_by="recently_played"
        )
        cover_sync(store, user, page, now)
        store.pages.mark_merged(page, now)
        merged += MergeResult(changes.outcomes, gaps)
    if merged.outcomes["inserted"]:
        forget_left(store, resolve_named_plays(store, user))
    return merged


def _record_gaps(store: Store, page: RecentlyPlayedPage, stored: pl.DataFrame, now: datetime) -> int:
    """Record gaps: plays that Spotify no longer shows; return the number of new gaps.

    A full page that does not reach back to the newest play of earlier syncs leaves an interval. Before the first sync
    there is no such interval: time that no import covers is unknown (`stages.coverage`). A row without a track leaves
        an
    instant, unless an earlier answer named the track.
    """
    known = {*stored["played_at"], *stored["api_played_at"]}
    intervals = [(stamp, stamp) for stamp in page.withheld if stamp not in known]
    newest = store.plays.newest(page.user_id)
    oldest = min([*(item.played_at for item in page.items), *page.withheld])
    spans = store.coverage.spans(page.user_id)
    if page.full and newest is not None and oldest > newest and (stretches_of(spans, SYNCS) or not spans):
        intervals.append((newest, oldest))
    return store.coverage.record_gaps(
        [
            ListeningGap.model_validate({"user_id": page.user_id, "from": start, "to": end, "detected_at": now})
            for start, end in intervals
        ]
    )


def _keep_embedded(store: Store, tracks: Sequence[dict[str, object]], now: datetime) -> None:
    """Store the tracks that are embedded in recently-played, and stubs of their artists and albums.

    All users share the catalogue. So if the data of a track changes, the snapshots of all its listeners are marked for
    a rebuild.
    """
    music = [track for track in tracks if track.get("type") == "track" and track.get("id")]
    documents = [track_document(track, now) for track in music]
    before = _as_shown(store, documents)
    with storing_tracks(store) as stored:
        stored.put(documents, at=now)
    fill_tracks(store, documents)
    store.catalog.add_stubs("artists", [stub for track in music for stub in artist_stubs(track, now)])
    store.catalog.add_stubs("albums", [stub for track in music if (stub := album_stub(track, now))])
    shown = _as_shown(store, documents)
    store.mark_snapshots_of_listeners(track for track in shown if shown[track] != before.get(track))


def _as_shown(store: Store, tracks: Sequence[Track]) -> dict[str, tuple[Any, ...]]:
    """Return the data of tracks, artists and albums that snapshots show or join songs by, by track id."""
    found = store.catalog.documents("tracks", [track.spotify_id for track in tracks])
    firsts = [artist["spotify_id"] for track in found for artist in track["artists"][:1]]
    artists = _looks(store.catalog.documents("artists", firsts))
    records = [track["album"]["spotify_id"] for track in found if track["album"]]
    albums = _looks(store.catalog.documents("albums", records))
    return {
        track["spotify_id"]: (
            track["name"],
            track["artists"][:1],
            track["album"],
            (track["duration_ms"], track["isrc"]),
            [artists.get(artist["spotify_id"]) for artist in track["artists"][:1]],
            track["album"] and albums.get(track["album"]["spotify_id"]),
        )
        for track in found
    }


def _looks(documents: Sequence[Document]) -> dict[str, tuple[Any, ...]]:
    return {each["spotify_id"]: (each["name"], each["images"], each["genres"]) for each in documents}
