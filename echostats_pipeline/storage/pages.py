"""Stores recently-played responses until they are merged into the history (``recently_played``)."""

from datetime import datetime

from echostats_pipeline.model.plays import RecentlyPlayedPage
from echostats_pipeline.storage.database import Db


class PageStore:
    """Recently-played responses."""

    def __init__(self, db: Db) -> None:
        self._pages = db["recently_played"]

    def keep(self, page: RecentlyPlayedPage) -> bool:
        """Store a recently-played response until it is merged.

        Returns:
            False if it is empty or has the same rows as the newest stored response; nothing is written then.
        """
        document = page.to_bson()
        newest = self._pages.find_one({"user_id": page.user_id}, {"items": 1, "withheld": 1}, sort=[("fetched_at", -1)])
        same = newest is not None and all(newest.get(rows, []) == document[rows] for rows in ("items", "withheld"))
        if same or not (page.items or page.withheld):
            return False
        self._pages.insert_one(document)
        return True

    def unmerged(self, user_id: str) -> list[RecentlyPlayedPage]:
        """Recently-played responses that have not been merged yet, oldest first."""
        query = {"user_id": user_id, "merged_at": None}
        return [RecentlyPlayedPage.model_validate(page) for page in self._pages.find(query).sort("fetched_at")]

    def mark_merged(self, page: RecentlyPlayedPage, at: datetime) -> None:
        """Record that a response has been merged."""
        self._pages.update_one({"_id": page.id}, {"$set": {"merged_at": at}})
