"""Merges reported plays into the history: reads stored plays around them, decides, writes, marks changed days."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.model.catalog import Track
from echostats_pipeline.model.plays import RecentlyPlayedItem
from echostats_pipeline.model.users import User
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import touched_days
from echostats_pipeline.transforms.history.changes import merge_again, merge_export, merge_recently_played
from echostats_pipeline.transforms.history.facts import READ_AROUND
from echostats_pipeline.transforms.history.identity import made_up
from echostats_pipeline.transforms.history.named_rows import kind_of_key, parsed_key
from echostats_pipeline.transforms.history.play_changes import KnownTrack, PlayChanges
from echostats_pipeline.transforms.history.reconciling import named_facts
from echostats_pipeline.transforms.statistics.plays import UTC_MS

Clock = Callable[[], datetime]

APART = timedelta(days=60)
"""Rows with a longer pause between them are merged separately, so that the time between them is not read."""
MOST_AT_ONCE = 50_000
"""Most stored plays that one merge reads, so that memory stays bounded for rows in any order."""


@dataclass(frozen=True)
class StoreLookup:
    """Lookups in the database during a merge.

    Attributes:
        store: The database.
        asked: Ids of tracks that were read in advance.
        known: The tracks that were found, by track id.
    """

    store: Store
    asked: Set[str] = frozenset()
    known: Mapping[str, KnownTrack] = field(default_factory=dict)

    def plays(self, ids: Collection[str]) -> Mapping[str, Document]:
        """Return stored plays by the hexadecimal digits of their ``_id``."""
        return self.store.plays.documents(ids)

    def tracks(self, ids: Collection[str]) -> Mapping[str, KnownTrack]:
        """Return the tracks that the catalogue knows, by track id."""
        others = set(ids) - self.asked  # plays of other tracks may change, too, when they are matched again
        return {**self.known, **self.store.catalog.known_tracks(others)}

    def resolved(self, identities: Collection[str]) -> Mapping[str, str]:
        """Return Spotify's track ids by the ids that were made from names."""
        return self.store.catalog.resolved(identities)

    def recordings(self, isrcs: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Return Spotify's track ids by ISRC."""
        return self.store.catalog.recordings(isrcs)


def merge_items(store: Store, user: User, items: Sequence[RecentlyPlayedItem], stored: pl.DataFrame) -> PlayChanges:
    """Merge one answer of recently-played; `stored` is the result of `stored_around` for its stamps."""
    changes = merge_recently_played(items, stored, user.user_id, StoreLookup(store)) if items else PlayChanges()
    write_changes(store, user, changes)
    forget_left(store, changes.left)
    return changes


@dataclass
class RowMerger:
    """Merges the rows of an import into the history of a user, chunk by chunk.

    Attributes:
        store: The database.
        user: The user whose history it is.
        clock: Returns the present instant.
    """

    store: Store
    user: User
    clock: Clock
    left: set[str] = field(default_factory=set)
    """Ids of tracks that a play had before, and no longer has."""
    _in_catalogue: set[str] = field(default_factory=set)

    def merge(self, rows: pl.DataFrame) -> Iterator[PlayChanges]:
        """Merge rows of an export, all of one format; yield the changes for each stretch of time, in order."""
        if rows.is_empty():
            return
        of_names = kind_of_key(rows["import_key"][0]) is not None
        if of_names:
            self._introduce(rows)
        asked = frozenset[str]() if of_names else frozenset(rows["track_id"])
        lookup = StoreLookup(self.store, asked, self.store.catalog.known_tracks(asked))
        for stretch in stretches(self.store, self.user, _named(rows, lookup.known)):
            stored = stored_around(self.store, self.user, stretch["import_ts"], names=of_names)
            changes = merge_export(stretch, stored, self.user.user_id, lookup)
            self._mention(changes.tracks())
            write_changes(self.store, self.user, changes)
            self.left |= changes.left
            yield changes

    def _introduce(self, rows: pl.DataFrame) -> None:
        """Add tracks to the catalogue whose Spotify id stands in rows beside the names."""
        known = rows.filter(~made_up(pl.col("track_id"))).unique("track_id", maintain_order=True)
        names = {
            "spotify_id": "track_id",
            "name": "track_name",
            "artist_name": "artist_name",
            "album_name": "album_name",
        }
        tracks = known.select(pl.col(column).alias(name) for name, column in names.items()).to_dicts()
        self.store.catalog.introduce(
            [track for track in tracks if track["spotify_id"] not in self._in_catalogue], self.clock()
        )

    def _mention(self, tracks: Mapping[str, Document]) -> None:
        """Add the tracks of new plays to the catalogue, before these plays are written and counted."""
        new = [track for spotify_id, track in tracks.items() if spotify_id not in self._in_catalogue]
        self.store.catalog.mention(new, self.clock())
        self._in_catalogue |= tracks.keys()


def _named(rows: pl.DataFrame, known: Mapping[str, KnownTrack]) -> pl.DataFrame:
    """Return the rows with names from the catalogue for tracks that Spotify has withdrawn.

    The plays get these names, and rows of less exact sources are matched with plays by name.
    """
    nameless = rows.filter(pl.col("track_name") == "")["track_id"].unique().to_list()
    names = {track: known[track] for track in nameless if track in known}
    if not names:
        return rows

    def filled(column: str, name: str) -> pl.Expr:
        remembered = {track: getattr(found, name) for track, found in names.items()}
        unknown = pl.col(column) == ""
        return pl.when(unknown).then(pl.col("track_id").replace_strict(remembered, default="")).otherwise(column)

    columns = {"track_name": "name", "artist_name": "artist_name", "album_name": "album_name"}
    return rows.with_columns(filled(column, name).alias(column) for column, name in columns.items())


def resolve_named_plays(store: Store, user: User) -> set[str]:
    """Replace ids made from names by Spotify ids, where the catalogue knows them now; return the replaced ids."""
    left = _resolve_recordings(store, user)
    unresolved = store.plays.unresolved(user.user_id)
    resolved = store.catalog.resolved(unresolved)
    if resolved:
        days = days_of(store, user, pl.Series(store.plays.ends_of(user.user_id, list(resolved)), dtype=UTC_MS))
        with store.marks.changing(user.user_id, days):
            store.plays.resolve(user.user_id, resolved, store.catalog.known_tracks(set(resolved.values())))
    return left | set(resolved)


def _resolve_recordings(store: Store, user: User) -> set[str]:
    """Merge plays again whose ISRC belongs to another track than theirs; return the replaced track ids."""
    plays = store.plays.of_recordings(user.user_id)
    listens = [(parsed_key(key).isrc or "", stamp, track_id) for key, stamp, track_id in plays]
    recordings = store.catalog.recordings({isrc for isrc, _, _ in listens})
    stamps = [stamp for isrc, stamp, track_id in listens if isrc in recordings and recordings[isrc][0] != track_id]
    left = set[str]()
    for stretch in stretches(store, user, pl.DataFrame({"import_ts": pl.Series(stamps, dtype=UTC_MS)})):
        stored = stored_around(store, user, stretch["import_ts"], names=True)
        changes = merge_again(stretch["import_ts"], stored, user.user_id, StoreLookup(store))
        write_changes(store, user, changes)
        left |= changes.left
    return left


def fill_tracks(store: Store, tracks: Sequence[Track]) -> None:
    """Fill in length and cover of plays that lack them; mark days for a rebuild if no source gave the play's length."""
    untimed = store.plays.untimed([track.spotify_id for track in tracks if track.duration_ms > 0])
    with ExitStack() as changing:
        for user in store.users.all() if untimed else ():
            if ends := untimed.get(user.user_id):
                days = days_of(store, user, pl.Series(ends, dtype=UTC_MS))
                changing.enter_context(store.marks.changing(user.user_id, days))
        store.plays.fill_tracks(tracks)


def forget_left(store: Store, track_ids: Collection[str]) -> None:
    """Remove tracks from the catalogue whose id was made from names, if no play has them any more."""
    if track_ids:
        store.catalog.forget_made_up(set(track_ids) - store.plays.played(track_ids))


def stretches(store: Store, user: User, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the rows in order of time, cut at long pauses, and where a merge would read too many stored plays."""
    ordered = rows.sort("import_ts", maintain_order=True)
    pause = (pl.col("import_ts").diff() > APART).fill_null(value=False).cum_sum()
    parts = ordered.with_columns(pause=pause).partition_by("pause", maintain_order=True, include_key=False)
    while parts:
        part = parts.pop(0)
        first, last = part["import_ts"][0], part["import_ts"][-1]
        days = (last - first).days
        if days and store.plays.count(user.user_id, first - READ_AROUND, last + READ_AROUND) > MOST_AT_ONCE:
            middle = first + timedelta(days=days / 2)
            early = pl.col("import_ts") < middle
            parts = [half for half in (part.filter(early), part.filter(~early)) if half.height] + parts
        else:
            yield part


def stored_around(
    store: Store, user: User, stamps: Sequence[datetime] | pl.Series, *, names: bool = False
) -> pl.DataFrame:
    """Return the stored plays that a merge of rows with these stamps needs; finish interrupted merges first."""
    finish_merges(store, user)
    start, end = min(stamps) - READ_AROUND, max(stamps) + READ_AROUND
    stored = store.plays.stored(user.user_id, start, end, names=names)
    if named_facts(stored) and not names:
        return store.plays.stored(user.user_id, start, end, names=True)
    return stored


def finish_merges(store: Store, user: User) -> None:
    """Finish merges that a killed process had begun."""
    for merge in store.plays.unfinished(user.user_id):
        with store.marks.changing(user.user_id, days_of(store, user, pl.Series(merge.touched, dtype=UTC_MS))):
            store.plays.finish(merge)


def write_changes(store: Store, user: User, changes: PlayChanges) -> None:
    """Write plays; the days that they touch are marked for a rebuild before and after the write."""
    if not changes:
        return
    with store.marks.changing(user.user_id, days_of(store, user, changes.ends)):
        store.plays.apply(changes)


def days_of(store: Store, user: User, ends: pl.Series) -> set[date]:
    """Return the local days whose rollups depend on plays that ended at these instants."""
    latest = [stamp for stamp in (store.plays.newest(user.user_id), ends.max()) if isinstance(stamp, datetime)]
    return touched_days(ends, max(latest, default=None), ZoneInfo(user.timezone))
