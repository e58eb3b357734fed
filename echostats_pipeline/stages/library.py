"""Syncs saved tracks, page by page and over several days if needed, and Spotify's top items of a user.

Playlists are in `stages.playlists`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

from echostats_pipeline.model.library import LibraryReading, TimeRange, TopItemKind
from echostats_pipeline.model.users import User
from echostats_pipeline.spotify.client import ListPage, SpotifyClient
from echostats_pipeline.spotify.fields import text
from echostats_pipeline.spotify.mapping import content, saved_track_document, top_items_document
from echostats_pipeline.spotify.responses import JsonObject
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.library_progress import CHECKED_FOR
from echostats_pipeline.stages.visits import DAILY_CALLS, LibraryVisit, visiting
from echostats_pipeline.storage.store import Store

TOP_ITEMS_AGE = CHECKED_FOR
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def sync_saved_tracks(
    store: Store, client: SpotifyClient, user: User, now: datetime, progress: Progress, daily_calls: int = DAILY_CALLS
) -> int:
    """Store a user's saved tracks as Spotify has them; return the number of stored tracks.

    A pass begins at the newest row and stores page by page. It ends as soon as all rows that follow are as they were at
    the last pass; if nothing has changed, this takes one call. Otherwise it goes to the end of the list, and stored
    tracks that it did not see are removed.

    The list may change during a pass. Added rows push the others down, so that no row is missed; another pass reads the
    added rows. Removed rows pull the others up, so the pass goes back by as many rows as the list has lost. The number
    of stored tracks says nothing about the length of the list: local files have no ids, and Spotify counts rows that it
    does not show.

    Args:
        store: The database.
        client: Reads Spotify on behalf of the user.
        user: The user whose saved tracks are read.
        now: The present instant.
        progress: Receives the progress.
        daily_calls: Budget of calls in 24 hours for saved tracks, of which this user gets a fair share.
    """
    with visiting(store, user, "saved_tracks", now, progress, daily_calls) as visit:
        reading = visit.reading()
        in_one_go = not reading.place
        while visit.may_call():
            page = client.saved_tracks(reading.place)
            if reading.place and page.total < reading.total:
                visit.step_back(reading.place, reading.total - page.total)
                visit.note(total=page.total)
                reading, in_one_go = visit.reading(), False
                continue
            ids = tuple(_row_id(row or {}) for row in page.entries)
            if not reading.place:
                reading, in_one_go = _begin_pass(store, visit, page, ids), True
            rows = [saved_track_document(row, user.user_id, now) for row in page.entries if row is not None]
            store.library.put_saved_tracks(
                [row.model_copy(update={"seen_in": reading.number}) for row in rows if row is not None]
            )
            earlier = SavedVersion.read(store.users.saved_tracks_version(user.user_id))
            present = SavedVersion(page.total, ids, reading.first_stored)
            is_known = present.added_since(earlier, page.offset) is not None
            if not visit.has_announced:
                visit.expect(len(page.entries) if is_known else page.total - page.offset)
            visit.advance(len(page.entries))
            if not is_known and page.following is not None:
                visit.note(place=page.following, total=page.total)
                reading = visit.reading()
                continue
            _end_pass(store, visit, reading, saw_all=not is_known)
            if in_one_go and page.total == reading.first_total:
                visit.finish()
                break
            reading = visit.reading()  # start again at the newest row: rows may have been added meanwhile
    return store.library.saved_count(user.user_id)


def _begin_pass(store: Store, visit: LibraryVisit, page: ListPage, ids: Sequence[str]) -> LibraryReading:
    visit.note(
        is_open=True,
        number=visit.reading().number + 1,
        newest=list(ids),
        total=page.total,
        first_total=page.total,
        first_stored=store.library.saved_count(visit.user_id),
    )
    return visit.reading()


def _end_pass(store: Store, visit: LibraryVisit, reading: LibraryReading, *, saw_all: bool) -> None:
    """After a pass that saw all rows, remove the tracks that it did not see; then store the version it began with.

    If the process dies here, the next run reads the last page again.
    """
    if saw_all:
        store.library.keep_seen_tracks(visit.user_id, reading.number)
    stored = store.library.saved_count(visit.user_id)
    version = SavedVersion(reading.first_total, tuple(reading.newest), stored)
    store.users.set_saved_tracks_version(visit.user_id, version.write())
    store.library.forget_pass(visit.user_id)
    visit.note(place=0, finished_at=visit.now)


@dataclass(frozen=True)
class SavedVersion:
    """The version of a user's saved tracks that was read.

    Attributes:
        total: Number of saved tracks, according to Spotify.
        newest: Short ids of the newest rows.
        stored: Number of stored tracks.
    """

    total: int
    newest: tuple[str, ...]
    stored: int

    @classmethod
    def read(cls, text: str) -> "SavedVersion | None":
        """Read a version from its text form; return None if nothing was read yet."""
        if not text:
            return None
        total, stored, newest = text.split(":")
        return cls(int(total), tuple(newest.split(",")), int(stored))

    def write(self) -> str:
        """Return the text form, which `read` understands."""
        return f"{self.total}:{self.stored}:{','.join(self.newest)}"

    def added_since(self, earlier: "SavedVersion | None", offset: int = 0) -> int | None:
        """Return how many of the newest rows were added, if nothing else has changed; None if more may have changed.

        Args:
            earlier: The version to compare with.
            offset: The place of `newest` in the list.
        """
        if earlier is None or earlier.stored != self.stored:
            return None
        added = self.total - earlier.total
        first = added - offset  # the first row that was there before
        same = self.newest[first:] == earlier.newest[: len(self.newest) - first] if first >= 0 else False
        return added if same and first < max(len(self.newest), 1) else None


def _row_id(row: JsonObject) -> str:
    identity = [text(row, "added_at"), text(content(row) or {}, "uri")]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]


def sync_top_items(
    store: Store, client: SpotifyClient, user: User, now: datetime, progress: Progress, daily_calls: int = DAILY_CALLS
) -> int:
    """Store Spotify's rankings of artists and tracks for its three time ranges; return the number of items read.

    Spotify computes the rankings at most once a day, so a ranking younger than `TOP_ITEMS_AGE` is not read again. The
    oldest ranking is read first; each one is stored as soon as it is read.

    Args:
        store: The database.
        client: Reads Spotify on behalf of the user.
        user: The user whose rankings are read.
        now: The present instant.
        progress: Receives the progress.
        daily_calls: Budget of calls in 24 hours for top items, of which this user gets a fair share.
    """
    items_read = 0
    with visiting(store, user, "top_items", now, progress, daily_calls) as visit:
        read_at = store.library.top_items_read().get(user.user_id, {})
        rankings: list[tuple[TopItemKind, TimeRange]] = [
            (kind, time_range) for kind in get_args(TopItemKind) for time_range in get_args(TimeRange)
        ]
        wanted = [ranking for ranking in rankings if read_at.get(ranking, NEVER) <= now - TOP_ITEMS_AGE]
        visit.expect(len(wanted))
        visit.note(is_open=True)
        for kind, time_range in sorted(wanted, key=lambda ranking: read_at.get(ranking, NEVER)):
            if not visit.may_call():
                break
            items = client.top_items(kind, time_range)
            store.library.put_top_items(
                top_items_document(items, user_id=user.user_id, kind=kind, time_range=time_range, read_at=now)
            )
            items_read += len(items)
            visit.advance(1)
        else:
            visit.finish()
    return items_read
