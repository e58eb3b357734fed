"""Marks what has changed in each source, and which consumers have read it (collection ``change_marks``).

A source (`Source`) marks its change once and does not know its consumers. A consumer reads the marks of its sources
that do not have its name in `read_by`, and adds its name. `CONSUMERS` lists the consumers and their sources: a new
consumer is one line there.

These rules make a change of a source and its reading safe at the same time, without a lock:

- A writer sets open marks before it writes and makes them plain after. No consumer takes an open mark for read, because
  it cannot know whether it read before or after the write. The marks of a killed writer stay open; after `OPEN_FOR`
  they count as plain. So a crash may cost an unnecessary rebuild, but no rebuild is ever missed. Each writer has marks
  of its own, so no writer closes the marks of another one.
- A consumer remembers the newest mark before it reads and compares it after it has written. If the mark has changed,
  the result may be older than what another process wrote meanwhile: the consumer asks for its own dates again.

A mark that all consumers have read is deleted. So marks cannot show a new consumer what existed before it. Therefore
the newest mark of each user and source stays, and lists the consumers that have read the whole source once. A consumer
that is not listed there waits to be built from nothing. If a consumer stops, its marks wait. A later mark of the same
date replaces them, so at most one plain mark per user, source and date waits.

All times are by the database's clock, which all processes share.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, get_args

from pymongo import ReturnDocument

from echostats_pipeline.model.collections import Database
from echostats_pipeline.model.operations import Reads, Source
from echostats_pipeline.storage.database import Db, Document

NEWEST = ""
"""The ``date`` of the document with the newest mark of a user and source."""
WHOLE = "all"
"""The ``date`` of a change that is not about single dates; a consumer built by date then reads all its dates."""


CONSUMERS: Mapping[str, Reads] = {
    "daily_rollups": Reads(("listening_history", "track_credits", "exclusions"), by_date=True, from_nothing=False),
    "statistics_years": Reads(("daily_rollups",)),
    "analytics_snapshots": Reads(("daily_rollups", "catalog", "playlists", "covered_spans", "users", "rules")),
}
"""The collections, or databases, that are built from sources and read their changes.

The sources of `daily_rollups` are marked by local date: a source that changes as a whole marks all dates with plays.
"""


def consumers_of(databases: Iterable[Database]) -> Mapping[str, Reads]:
    """The consumers of an installation: those of the core, and those of its other databases."""
    return {**CONSUMERS, **{name: reads for each in databases for name, reads in each.consumers.items()}}


OPEN_FOR = timedelta(minutes=5)
"""Longer than any change takes: the process that set an older open mark has died."""
OVER: Document = {"$lt": ["$open_since", {"$subtract": ["$$NOW", int(OPEN_FOR.total_seconds() * 1000)]}]}
"""Selects plain marks, and open marks whose writer has died (null sorts before every date)."""
EVERY_DATE: Document = {"date": {"$ne": NEWEST}}
"""Selects all marks but the newest ones."""
WAITING: Document = {**EVERY_DATE, "$expr": OVER}
"""Selects the marks that a consumer may take for read."""


@dataclass(frozen=True)
class OpenMarks:
    """The marks that a writer has opened."""

    user_id: str
    source: Source
    dates: list[str]
    writer: str


@dataclass(frozen=True)
class BegunReading:
    """The marks when a consumer began to read: those of its dates, and the newest of each of its sources.

    Attributes:
        is_first: Whether the consumer has not been built for this user before.
    """

    user_id: str
    consumer: str
    dates: list[str]
    seen: list[str]
    newest: dict[str, str]
    is_first: bool


@dataclass(frozen=True)
class UnreadChanges:
    """The changes that a consumer of one source has not read.

    Attributes:
        marks: Marks by date, including those of changes in progress.
        open: Dates whose change is in progress.
        newest: The newest mark of the source.
    """

    user_id: str
    consumer: str
    marks: dict[str, set[str]]
    open: set[str]
    newest: dict[str, str]


class ChangeMarks:
    """Marks of changes per user, source and date, with the consumers that have read them."""

    def __init__(self, db: Db, consumers: Mapping[str, Reads] = CONSUMERS) -> None:
        self._marks = db["change_marks"]
        self._consumers = consumers

    def mark(self, user_id: str, source: Source, dates: Iterable[str] = (WHOLE,)) -> None:
        """Mark a change of a source on the given dates (``YYYY-MM-DD``), after it was written."""
        if (dates := sorted(set(dates))) and self._readers_of(source):
            self._become_plain(OpenMarks(user_id, source, dates, writer=""))

    @contextmanager
    def changing(
        self, user_id: str, days: Iterable[date | str] = (WHOLE,), source: Source = "listening_history"
    ) -> Iterator[None]:
        """Mark `days` of a source before and after the block that changes it."""
        opened = self.open(user_id, source, map(str, days))
        try:
            yield
        finally:  # a block that fails may have written some documents
            self.close(opened)

    def open(self, user_id: str, source: Source, dates: Iterable[str]) -> OpenMarks:
        """Mark the given dates before they are changed."""
        dates = sorted(set(dates)) if self._readers_of(source) else []
        opened = OpenMarks(user_id, source, dates, secrets.token_hex(8))
        if opened.dates:
            at = self._move_newest(user_id, source)
            self._insert(opened, mark=opened.writer, marked_at=at, open_since=at, read_by=[])
        return opened

    def close(self, opened: OpenMarks) -> None:
        """Make open marks plain, whether the change was made or not."""
        if opened.dates:
            self._become_plain(opened)

    def ask(self, user_id: str, consumer: str, dates: Iterable[str] = (WHOLE,)) -> None:
        """Have one consumer read some dates again, though its source has not changed. No other consumer reads them."""
        if dates := sorted(set(dates)):
            source = self._consumers[consumer].sources[0]
            fresh = OpenMarks(user_id, source, dates, secrets.token_hex(8))
            others = sorted(self._readers_of(source) - {consumer})
            older = self._over(fresh, read_by=others)
            self._insert(fresh, mark=fresh.writer, marked_at=self._now(user_id, source), read_by=others)
            self._remove(older)

    def pending(self, consumer: str) -> dict[str, list[str]]:
        """The dates that a consumer has to read, in order, by user id.

        `WHOLE` stands alone and means all dates. A consumer that is not built by date always gets it, and every other
        one gets it as long as it has never been built for the user.
        """
        reads, waiting = self._consumers[consumer], dict[str, set[str]]()
        unread = {**self._sources(consumer), "read_by": {"$ne": consumer}, "$expr": OVER}
        if not reads.from_nothing:
            unread |= EVERY_DATE
        for entry in self._marks.find(unread, {"user_id": 1, "date": 1}):
            day = entry["date"] if reads.by_date else WHOLE
            waiting.setdefault(entry["user_id"], set()).add(day or WHOLE)
        return {
            user_id: [WHOLE] if WHOLE in waiting[user_id] else sorted(waiting[user_id]) for user_id in sorted(waiting)
        }

    def pending_days(self, user_id: str) -> set[date]:
        """The dates of one user whose rollups wait for a rebuild."""
        return self._days({"user_id": user_id, **self._unread("daily_rollups"), **WAITING})

    def changing_days(self, user_id: str) -> set[date]:
        """The dates of one user that are being changed now, or were when the process that changed them died."""
        under_way = {"date": {"$ne": NEWEST}, "open_since": {"$ne": None}}
        return self._days({"user_id": user_id, **self._unread("daily_rollups"), **under_way})

    def unread(self, user_id: str, consumer: str) -> UnreadChanges:
        """The changes that a consumer has not read, for a consumer that needs the mark of each date."""
        scope = {"user_id": user_id, **self._unread(consumer)}
        fields = {"source": 1, "date": 1, "mark": 1, "over": OVER}
        found = list(self._marks.aggregate([{"$match": scope}, {"$project": fields}]))
        dated = [each for each in found if each["date"] not in (NEWEST, WHOLE)]
        marks: dict[str, set[str]] = {}
        for each in dated:
            marks.setdefault(each["date"], set()).add(each["mark"])
        newest = {each["source"]: each["mark"] for each in found if each["date"] == NEWEST}
        return UnreadChanges(user_id, consumer, marks, {each["date"] for each in dated if not each["over"]}, newest)

    def has_unread(self, user_id: str, consumer: str) -> bool:
        """Whether there is a change that a consumer has not read, which may still be in progress."""
        unread = {**self._sources(consumer), **EVERY_DATE, "read_by": {"$ne": consumer}}
        return self._marks.find_one({"user_id": user_id, **unread}, {"_id": 1}) is not None

    def has_moved(self, seen: UnreadChanges) -> bool:
        """Whether anything was marked since the changes were read."""
        return self._newest(seen.user_id, seen.consumer)[0] != seen.newest

    def take_for_read(self, seen: UnreadChanges, dates: Iterable[str]) -> None:
        """Take the marks that a consumer has seen of some dates for read. None of these dates may have been open."""
        if dates := sorted(set(dates)):
            marks = set[str]().union(*(seen.marks[day] for day in dates))
            self._read(seen.user_id, seen.consumer, {"date": {"$in": dates}, "mark": {"$in": sorted(marks)}})

    def marks(self, user_id: str, consumer: str) -> dict[str, str]:
        """All marks that a consumer has not read, by date, including those of changes in progress and the newest."""
        found: dict[str, list[str]] = {}
        for entry in self._marks.find({"user_id": user_id, **self._unread(consumer)}):
            found.setdefault(entry["date"], []).append(entry["mark"])
        return {day: " ".join(sorted(marks)) for day, marks in found.items()}

    def newest(self) -> dict[tuple[str, Source], str]:
        """The newest mark of every user and source: it moves before and after each change."""
        return {(each["user_id"], each["source"]): each["mark"] for each in self._marks.find({"date": NEWEST})}

    @contextmanager
    def reading(self, user_id: str, consumer: str, dates: Iterable[str] = (WHOLE,)) -> Iterator[None]:
        """Run the block that builds `dates` of a consumer from its sources, then take their marks for read."""
        begun = self.begin(user_id, consumer, dates)
        yield
        self.finish(begun)

    def begin(self, user_id: str, consumer: str, dates: Iterable[str] = (WHOLE,)) -> BegunReading:
        """Remember the marks, before a consumer reads anything of `dates`."""
        dates = sorted(set(dates))
        waiting = {**self._unread(consumer), **WAITING, **self._selected(consumer, dates)}
        seen = [entry["mark"] for entry in self._marks.find({"user_id": user_id, **waiting}, {"mark": 1})]
        newest, is_first = self._newest(user_id, consumer)
        return BegunReading(user_id, consumer, dates, sorted(set(seen)), newest, is_first)

    def finish(self, begun: BegunReading) -> None:
        """Take the marks that a consumer has seen for read, once everything is written."""
        newest, _ = self._newest(begun.user_id, begun.consumer)
        selected = self._selected(begun.consumer, begun.dates)
        if newest != begun.newest:
            self.ask(begun.user_id, begun.consumer, begun.dates)
            return
        if begun.seen:
            self._read(begun.user_id, begun.consumer, {**selected, "mark": {"$in": begun.seen}})
        if begun.is_first and selected == EVERY_DATE:
            scope = {"user_id": begun.user_id, **self._sources(begun.consumer), "date": NEWEST}
            self._marks.update_many(scope, {"$addToSet": {"read_by": begun.consumer}})

    def follow_consumers(self) -> None:
        """Adapt all marks to the consumers that are installed now, which may differ from those of the last start.

        A consumer that was removed has no position any more. If it comes back, it is built from nothing.
        """
        names = sorted(self._consumers)
        gone = {"date": NEWEST, "read_by": {"$elemMatch": {"$nin": names}}}
        self._marks.update_many(gone, {"$pull": {"read_by": {"$nin": names}}})
        for source in get_args(Source):
            readers = sorted(self._readers_of(source))
            read = {"read_by": {"$all": readers}} if readers else {}
            self._marks.delete_many({"source": source, **EVERY_DATE, **read})

    def _read(self, user_id: str, consumer: str, seen: Document) -> None:
        """Note that a consumer has read marks, and delete those that all consumers have read."""
        sources = {source: self._readers_of(source) for source in self._consumers[consumer].sources}
        alone = [source for source, readers in sources.items() if len(readers) == 1]
        if alone:
            self._marks.delete_many({"user_id": user_id, "source": {"$in": alone}, **seen})
        for source in sources.keys() - set(alone):
            scope = {"user_id": user_id, "source": source, **seen}
            self._marks.update_many(scope, {"$addToSet": {"read_by": consumer}})
            self._marks.delete_many({**scope, "read_by": {"$all": sorted(sources[source])}})

    def _become_plain(self, opened: OpenMarks) -> None:
        """Set plain marks in place of open ones, or of none.

        A plain mark replaces the older ones of its date, so unread marks are one document per date. Only marks that
        existed before are deleted, and only unchanged: of two writers, neither deletes a mark that the other has set.
        """
        at = self._move_newest(opened.user_id, opened.source)
        scope = {"user_id": opened.user_id, "source": opened.source}
        older = self._over(opened)
        content: Document = {"mark": secrets.token_hex(8), "marked_at": at, "open_since": None, "read_by": []}
        mine = {**scope, "writer": opened.writer, "date": {"$in": opened.dates}}
        made_plain = self._marks.update_many(mine, {"$set": content}).matched_count if opened.writer else 0
        if made_plain < len(opened.dates):  # marks of a writer slower than `OPEN_FOR` may have been read and deleted
            fresh = OpenMarks(opened.user_id, opened.source, opened.dates, content["mark"])
            self._insert(fresh, **content)
        self._remove(older)

    def _over(self, marks: OpenMarks, **query: Any) -> list[Document]:
        """The plain marks of the same dates, and the open ones of other writers that have died."""
        scope = {"user_id": marks.user_id, "source": marks.source, "date": {"$in": marks.dates}}
        others = {"writer": {"$ne": marks.writer}, "$expr": OVER}
        return list(self._marks.find({**scope, **others, **query}, {"mark": 1}))

    def _remove(self, found: list[Document]) -> None:
        """Delete marks that have not changed since they were found."""
        if found:
            ids, marks = ([each[name] for each in found] for name in ("_id", "mark"))
            self._marks.delete_many({"_id": {"$in": ids}, "mark": {"$in": marks}})

    def _insert(self, marks: OpenMarks, **content: Any) -> None:
        """Insert the marks of a writer that has none yet."""
        scope = {"user_id": marks.user_id, "source": marks.source, "writer": marks.writer}
        self._marks.insert_many(
            [{**scope, "date": day, "open_since": None, **content} for day in marks.dates], ordered=False
        )

    def _move_newest(self, user_id: str, source: Source) -> datetime:
        """Change the newest mark, before the marks themselves, so that an overtaken consumer always notices."""
        return self._set_newest(user_id, source, {"mark": secrets.token_hex(8), "marked_at": "$$NOW"})

    def _now(self, user_id: str, source: Source) -> datetime:
        return self._set_newest(user_id, source, {"mark": {"$ifNull": ["$mark", ""]}, "marked_at": "$$NOW"})

    def _set_newest(self, user_id: str, source: Source, content: Document) -> datetime:
        """Write the newest mark; return the database's time.

        The first mark of a source names all its consumers: there is nothing before it that they could have missed.
        """
        read_by = {"$ifNull": ["$read_by", sorted(self._readers_of(source))]}
        newest: Any = self._marks.find_one_and_update(
            {"user_id": user_id, "source": source, "date": NEWEST, "writer": ""},
            [{"$set": {"open_since": None, "read_by": read_by, **content}}],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        at: datetime = newest["marked_at"]
        return at

    def _newest(self, user_id: str, consumer: str) -> tuple[dict[str, str], bool]:
        """The newest mark of each source of a consumer, and whether the consumer still has to be built from nothing."""
        found = list(self._marks.find({"user_id": user_id, **self._sources(consumer), "date": NEWEST}))
        is_first = any(consumer not in each["read_by"] for each in found)
        return {each["source"]: each["mark"] for each in found}, is_first

    def _days(self, query: Document) -> set[date]:
        return {date.fromisoformat(each["date"]) for each in self._marks.find(query, {"date": 1})}

    def _selected(self, consumer: str, dates: list[str]) -> Document:
        """Selects the dates that a consumer reads when it is to read `dates`."""
        return {"date": {"$in": dates}} if self._consumers[consumer].by_date and WHOLE not in dates else EVERY_DATE

    def _sources(self, consumer: str) -> Document:
        return {"source": {"$in": list(self._consumers[consumer].sources)}}

    def _unread(self, consumer: str) -> Document:
        """Selects the marks that a consumer has not read, and the newest ones."""
        return {**self._sources(consumer), "$or": [{"date": NEWEST}, {"read_by": {"$ne": consumer}}]}

    def _readers_of(self, source: Source) -> set[str]:
        return {consumer for consumer, reads in self._consumers.items() if source in reads.sources}
