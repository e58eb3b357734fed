"""What has changed in each source, and which of its consumers have read it (collection ``change_marks``).

A source (`Source`) marks its change once and knows no consumer. A consumer (`Consumer`) reads the marks of its sources
that do not bear its name yet; these names are its position. `READERS` says who reads what: a mart adds a line there.

Rules that make a change of a source and its reading safe side by side, without a lock:

- A writer sets open marks before it writes and makes them plain after. No consumer takes an open mark for read, for it
  cannot know whether it read before or after the write. A writer that was killed leaves its marks open; after
  `OPEN_FOR` they count as plain. A crash then costs a rebuild too many, and never one too few. Each writer has marks of
  its own, so that none closes what another has opened.
- A consumer remembers the newest mark before it reads and compares it after it has written. If it moved, what was just
  written may be older than what another process wrote meanwhile: the consumer asks for its own dates again.

A mark that all consumers have read is deleted. Time is the database's, the one clock that all processes share.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pymongo import ReturnDocument

from echostats_pipeline.model.operations import Consumer, Source
from echostats_pipeline.storage.database import Db, Document

NEWEST = ""
"""The ``date`` of the document that holds the newest mark of a user and source."""
WHOLE = "all"
"""The ``date`` of a source that does not change by date, and of a consumer that is not built by date."""

READERS: Mapping[Consumer, tuple[Source, ...]] = {
    "daily_rollups": ("listening_history",),
    "statistics_years": ("daily_rollups",),
    "analytics_snapshots": ("daily_rollups", "catalog", "covered_spans", "users"),
}
"""The sources of each consumer; what it asks for itself stands among the marks of the first."""
BUILT_BY_DATE: frozenset[Consumer] = frozenset({"daily_rollups"})
"""Consumers that may read some dates of their source and leave others."""

OPEN_FOR = timedelta(minutes=5)
"""Longer than any change is under way: the process that opened an older mark is gone."""
WAITING: Document = {
    "date": {"$ne": NEWEST},
    "$expr": {"$lt": ["$open_since", {"$subtract": ["$$NOW", int(OPEN_FOR.total_seconds() * 1000)]}]},
}
"""Plain marks, and open ones whose writer is gone (null sorts before every date)."""


@dataclass(frozen=True)
class OpenMarks:
    """The marks that a writer has opened."""

    user_id: str
    source: Source
    dates: list[str]
    writer: str


@dataclass(frozen=True)
class BegunReading:
    """What was marked when a consumer began to read: marks of its dates, and the newest of each of its sources."""

    user_id: str
    consumer: Consumer
    dates: list[str]
    seen: list[str]
    newest: dict[str, str]


@dataclass(frozen=True)
class UnreadChanges:
    """What a consumer of one source has not read.

    Attributes:
        marks: Marks by date, those of changes that are under way included.
        open: Dates that are just being changed.
        newest: The newest mark of the source.
    """

    user_id: str
    consumer: Consumer
    marks: dict[str, set[str]]
    open: set[str]
    newest: dict[str, str]


class ChangeMarks:
    """Marks of what has changed, per user, source and date, with the consumers that have read them."""

    def __init__(self, db: Db, readers: Mapping[Any, tuple[Source, ...]] = READERS) -> None:
        self._marks = db["change_marks"]
        self._readers = readers

    def mark(self, user_id: str, source: Source, dates: Iterable[str] = (WHOLE,)) -> None:
        """Say that a source has changed on the given dates (``YYYY-MM-DD``), after it has."""
        if dates := sorted(set(dates)):
            self._become_plain(OpenMarks(user_id, source, dates, writer=""))

    @contextmanager
    def changing(
        self, user_id: str, days: Iterable[date | str] = (WHOLE,), source: Source = "listening_history"
    ) -> Iterator[None]:
        """Mark `days` of a source before and after the block that changes it."""
        opened = self.open(user_id, source, map(str, days))
        try:
            yield
        finally:  # a block that fails may have written some of it
            self.close(opened)

    def open(self, user_id: str, source: Source, dates: Iterable[str]) -> OpenMarks:
        """Say that a change of the given dates begins."""
        opened = OpenMarks(user_id, source, sorted(set(dates)), secrets.token_hex(8))
        if opened.dates:
            at = self._move_newest(user_id, source)
            self._insert(opened, mark=opened.writer, marked_at=at, open_since=at, read_by=[])
        return opened

    def close(self, opened: OpenMarks) -> None:
        """Say that the change is over, whether it was made or not."""
        if opened.dates:
            self._become_plain(opened)

    def ask(self, user_id: str, consumer: Consumer, dates: Iterable[str] = (WHOLE,)) -> None:
        """Have one consumer read some dates again, though its source has not changed; no other one reads them."""
        if dates := sorted(set(dates)):
            source = self._readers[consumer][0]
            fresh = OpenMarks(user_id, source, dates, secrets.token_hex(8))
            others = sorted(self._readers_of(source) - {consumer})
            older = self._plain(fresh, read_by=others)
            self._insert(fresh, mark=fresh.writer, marked_at=self._now(user_id, source), read_by=others)
            self._remove(older)

    def pending(self, consumer: Consumer) -> dict[str, list[str]]:
        """User ids with the dates that a consumer has to read, in order."""
        waiting: dict[str, set[str]] = {}
        for entry in self._marks.find(self._unread(consumer) | WAITING, {"user_id": 1, "date": 1}):
            day = entry["date"] if consumer in BUILT_BY_DATE else WHOLE
            waiting.setdefault(entry["user_id"], set()).add(day)
        return {user_id: sorted(waiting[user_id]) for user_id in sorted(waiting)}

    def pending_days(self, user_id: str) -> set[date]:
        """The dates of one user whose rollups wait."""
        return self._days({"user_id": user_id, **self._unread("daily_rollups"), **WAITING})

    def unread(self, user_id: str, consumer: Consumer) -> UnreadChanges:
        """What a consumer has not read of its source, for one that has to know each date."""
        scope = {"user_id": user_id, **self._unread(consumer)}
        fields = {"source": 1, "date": 1, "mark": 1, "over": WAITING["$expr"]}
        found = list(self._marks.aggregate([{"$match": scope}, {"$project": fields}]))
        dated = [each for each in found if each["date"] not in (NEWEST, WHOLE)]
        marks: dict[str, set[str]] = {}
        for each in dated:
            marks.setdefault(each["date"], set()).add(each["mark"])
        newest = {each["source"]: each["mark"] for each in found if each["date"] == NEWEST}
        return UnreadChanges(user_id, consumer, marks, {each["date"] for each in dated if not each["over"]}, newest)

    def has_moved(self, seen: UnreadChanges) -> bool:
        """Whether anything was marked since."""
        return self._newest(seen.user_id, seen.consumer) != seen.newest

    def take_for_read(self, seen: UnreadChanges, dates: Iterable[str]) -> None:
        """Take what a consumer has seen of some dates for read; none of them may have been open."""
        if dates := sorted(set(dates)):
            marks = set[str]().union(*(seen.marks[day] for day in dates))
            self._read(seen.user_id, seen.consumer, {"date": {"$in": dates}, "mark": {"$in": sorted(marks)}})

    def changing_days(self, user_id: str) -> set[date]:
        """The dates of one user that are just being changed, or were when the process died that changed them."""
        return self._days({"user_id": user_id, **self._unread("daily_rollups"), "open_since": {"$ne": None}})

    def _days(self, query: Document) -> set[date]:
        return {date.fromisoformat(each["date"]) for each in self._marks.find(query, {"date": 1})}

    def marks(self, user_id: str, consumer: Consumer) -> dict[str, str]:
        """All marks that a consumer has not read, by their date.

        Those of changes that are still under way are among them, and the newest one of all its sources.
        """
        found: dict[str, list[str]] = {}
        for entry in self._marks.find({"user_id": user_id, **self._unread(consumer)}):
            found.setdefault(entry["date"], []).append(entry["mark"])
        return {day: " ".join(sorted(marks)) for day, marks in found.items()}

    @contextmanager
    def reading(self, user_id: str, consumer: Consumer, dates: Iterable[str] = (WHOLE,)) -> Iterator[None]:
        """Run the block that reads `dates` of a consumer's sources and writes what comes of them, then move on."""
        begun = self.begin(user_id, consumer, dates)
        yield
        self.finish(begun)

    def begin(self, user_id: str, consumer: Consumer, dates: Iterable[str] = (WHOLE,)) -> BegunReading:
        """Remember what is marked, before a consumer reads anything of `dates`."""
        dates = sorted(set(dates))
        waiting = self._unread(consumer) | WAITING
        if consumer in BUILT_BY_DATE:
            waiting |= {"date": {"$in": dates}}
        seen = [entry["mark"] for entry in self._marks.find({"user_id": user_id, **waiting}, {"mark": 1})]
        return BegunReading(user_id, consumer, dates, sorted(set(seen)), self._newest(user_id, consumer))

    def finish(self, begun: BegunReading) -> None:
        """Take what a consumer has seen for read, once all that comes of it is written."""
        if self._newest(begun.user_id, begun.consumer) != begun.newest:
            self.ask(begun.user_id, begun.consumer, begun.dates)
        elif begun.seen:
            dates = {"date": {"$in": begun.dates} if begun.consumer in BUILT_BY_DATE else {"$ne": NEWEST}}
            self._read(begun.user_id, begun.consumer, {**dates, "mark": {"$in": begun.seen}})

    def _read(self, user_id: str, consumer: Consumer, seen: Document) -> None:
        """Note that a consumer has read marks, and delete those that all have read."""
        sources = {source: self._readers_of(source) for source in self._readers[consumer]}
        alone = [source for source, readers in sources.items() if len(readers) == 1]
        if alone:
            self._marks.delete_many({"user_id": user_id, "source": {"$in": alone}, **seen})
        for source in sources.keys() - set(alone):
            scope = {"user_id": user_id, "source": source, **seen}
            self._marks.update_many(scope, {"$addToSet": {"read_by": consumer}})
            self._marks.delete_many({**scope, "read_by": {"$all": sorted(sources[source])}})

    def _become_plain(self, opened: OpenMarks) -> None:
        """Set plain marks in the place of open ones, or of none.

        A plain mark stands for all older ones of its date, so that what no consumer reads is one document a date. Only
        those go that were there before it came: of two writers, neither deletes what the other has just set.
        """
        at = self._move_newest(opened.user_id, opened.source)
        scope = {"user_id": opened.user_id, "source": opened.source}
        older = self._plain(opened)
        content: Document = {"mark": secrets.token_hex(8), "marked_at": at, "open_since": None, "read_by": []}
        mine = {**scope, "writer": opened.writer, "date": {"$in": opened.dates}}
        made_plain = self._marks.update_many(mine, {"$set": content}).matched_count if opened.writer else 0
        if made_plain < len(opened.dates):  # those of a writer slower than `OPEN_FOR` are read and gone
            fresh = OpenMarks(opened.user_id, opened.source, opened.dates, content["mark"])
            self._insert(fresh, **content)
        self._remove(older)

    def _plain(self, marks: OpenMarks, **query: Any) -> list[Any]:
        """Ids of the plain marks that there are of the same dates."""
        scope = {"user_id": marks.user_id, "source": marks.source, "date": {"$in": marks.dates}, "open_since": None}
        return [each["_id"] for each in self._marks.find({**scope, **query}, {"_id": 1})]

    def _remove(self, ids: list[Any]) -> None:
        if ids:
            self._marks.delete_many({"_id": {"$in": ids}})

    def _insert(self, marks: OpenMarks, **content: Any) -> None:
        """Documents of a writer that has none yet."""
        scope = {"user_id": marks.user_id, "source": marks.source, "writer": marks.writer}
        self._marks.insert_many(
            [{**scope, "date": day, "open_since": None, **content} for day in marks.dates], ordered=False
        )

    def _move_newest(self, user_id: str, source: Source) -> datetime:
        """Give the newest mark another value, before the marks themselves: who is overtaken then sees it for sure."""
        return self._set_newest(user_id, source, {"mark": secrets.token_hex(8), "marked_at": "$$NOW"})

    def _now(self, user_id: str, source: Source) -> datetime:
        return self._set_newest(user_id, source, {"mark": {"$ifNull": ["$mark", ""]}, "marked_at": "$$NOW"})

    def _set_newest(self, user_id: str, source: Source, content: Document) -> datetime:
        """Returns the database's time."""
        newest: Any = self._marks.find_one_and_update(
            {"user_id": user_id, "source": source, "date": NEWEST, "writer": ""},
            [{"$set": {"open_since": None, "read_by": [], **content}}],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        at: datetime = newest["marked_at"]
        return at

    def _newest(self, user_id: str, consumer: Consumer) -> dict[str, str]:
        """The newest mark of each source of a consumer."""
        query = {"user_id": user_id, "source": {"$in": list(self._readers[consumer])}, "date": NEWEST}
        return {entry["source"]: entry["mark"] for entry in self._marks.find(query)}

    def _unread(self, consumer: Consumer) -> Document:
        return {"source": {"$in": list(self._readers[consumer])}, "read_by": {"$ne": consumer}}

    def _readers_of(self, source: Source) -> set[Any]:
        return {consumer for consumer, sources in self._readers.items() if source in sources}
