"""Stores which time each source covers, and which time none covers (``covered_spans`` and ``listening_gaps``)."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from pymongo import ReplaceOne, UpdateOne

from echostats_pipeline.model.plays import CoveredSpan, ListeningGap
from echostats_pipeline.storage.database import Db
from echostats_pipeline.transforms.coverage import Stretch


class CoverageStore:
    """Covered spans, merged, and the gaps: time in which plays may be missing."""

    def __init__(self, db: Db) -> None:
        self._spans = db["covered_spans"]
        self._gaps = db["listening_gaps"]

    def spans(self, user_id: str) -> list[CoveredSpan]:
        """All covered spans of a user, by source and time."""
        found = self._spans.find({"user_id": user_id}).sort([("source", 1), ("from", 1)])
        return [CoveredSpan.model_validate(span) for span in found]

    def stretches(self, user_id: str, source: str | None = None) -> list[Stretch]:
        """The covered time of a user, by one source or by any."""
        return stretches_of(self.spans(user_id), source)

    def replace(self, user_id: str, source: str, stretches: Sequence[Stretch]) -> None:
        """Replace the spans of a user and source. New ones are written first, so that no reader misses covered time."""
        documents = [
            CoveredSpan.model_validate({"user_id": user_id, "source": source, "from": start, "to": end})
            for start, end in stretches
        ]
        of_source = {"user_id": user_id, "source": source}
        self._spans.bulk_write(
            [ReplaceOne({**of_source, "from": each.from_}, each.to_bson(), upsert=True) for each in documents]
        )
        self._spans.delete_many({**of_source, "from": {"$nin": [each.from_ for each in documents]}})

    def open_gaps(self, user_id: str) -> list[ListeningGap]:
        """Open gaps of every kind, in order."""
        found = self._gaps.find({"user_id": user_id, "closed_by": None}).sort("from")
        return [ListeningGap.model_validate(gap) for gap in found]

    def record_gaps(self, gaps: Iterable[ListeningGap]) -> int:
        """Record intervals in which plays may be missing; return how many are new. The same interval is stored once."""
        operations = [
            UpdateOne({"user_id": gap.user_id, "from": gap.from_}, {"$setOnInsert": gap.to_bson()}, upsert=True)
            for gap in gaps
        ]
        return self._gaps.bulk_write(operations).upserted_count if operations else 0

    def close_instants(self, user_id: str, stamps: Sequence[datetime], closed_by: str) -> None:
        """Close the gaps that consist of one of `stamps` only: the play that ended then is known now."""
        instants = {"user_id": user_id, "closed_by": None, "from": {"$in": stamps}, "$expr": {"$eq": ["$from", "$to"]}}
        self._gaps.update_many(instants, {"$set": {"closed_by": closed_by}})

    def close_gaps(self, user_id: str, start: datetime, end: datetime, closed_by: str) -> int:
        """Close the gaps that lie within ``[start, end]``; return how many there were."""
        within = {"user_id": user_id, "closed_by": None, "from": {"$gte": start}, "to": {"$lte": end}}
        return self._gaps.update_many(within, {"$set": {"closed_by": closed_by}}).modified_count

    def replace_unknown(
        self, user_id: str, unknown: Sequence[Stretch], now: datetime, closed_by: str, gaps: Iterable[ListeningGap]
    ) -> int:
        """Replace the unknown stretches of a user. A stretch that is covered now is closed; a shorter one is replaced.

        Args:
            user_id: The user.
            unknown: The stretches that are unknown now.
            now: The present instant.
            closed_by: The source that covers the stretches that are closed.
            gaps: The user's open gaps, as `open_gaps` has just returned them.

        Returns:
            The number of closed stretches.
        """
        wanted = {stretch.start: stretch.end for stretch in unknown}
        closed = 0
        for gap in gaps:
            if gap.from_ in wanted:
                end = wanted.pop(gap.from_)
                if gap.kind == "unknown" and gap.to != end:
                    self._gaps.update_one({"_id": gap.id}, {"$set": {"to": end}})
            elif gap.kind == "unknown" and any(gap.from_ < end and start < gap.to for start, end in unknown):
                self._gaps.delete_one({"_id": gap.id})
            elif gap.kind == "unknown":
                self._gaps.update_one({"_id": gap.id}, {"$set": {"closed_by": closed_by}})
                closed += 1
        for start, end in wanted.items():
            gap = ListeningGap.model_validate(
                {"user_id": user_id, "from": start, "to": end, "kind": "unknown", "detected_at": now}
            )
            self._gaps.replace_one({"user_id": user_id, "from": start}, gap.to_bson(), upsert=True)
        return closed


def stretches_of(spans: Iterable[CoveredSpan], source: str | None = None) -> list[Stretch]:
    """The time of spans, of one source or of any."""
    return [Stretch(span.from_, span.to) for span in spans if source is None or span.source == source]
