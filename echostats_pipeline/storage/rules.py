"""Stores the rules of users (``rules``). What they mean is decided elsewhere; marks of what they touch, too."""

from bson import ObjectId

from echostats_pipeline.model.rules import Rule
from echostats_pipeline.storage.conformity import stored_as
from echostats_pipeline.storage.database import Db, Document


class RuleStore:
    """Collection ``rules``."""

    def __init__(self, db: Db) -> None:
        self._rules = db["rules"]
        self._rollups = db["daily_rollups"]

    def of(self, user_id: str) -> list[Rule]:
        """The rules of a user, in the order in which they were added.

        Raises:
            StorageError: another program has written a rule that cannot be read.
        """
        return [stored_as(Rule, "rules", found) for found in self._rules.find({"user_id": user_id}).sort("_id")]

    def add(self, rule: Rule) -> Rule:
        """Store a new rule; returns it with its id."""
        document = {"_id": ObjectId(), **rule.to_bson()}
        self._rules.insert_one(document)
        return stored_as(Rule, "rules", document)

    def remove(self, rule: Rule) -> bool:
        """Delete a rule; returns whether it was there."""
        return self._rules.delete_one({"_id": rule.id, "user_id": rule.user_id}).deleted_count == 1

    def left_out(self, user_id: str) -> dict[str, int]:
        """How many plays each rule leaves out, by rule id, according to the rollups as they are."""
        pipeline: list[Document] = [
            {"$match": {"user_id": user_id, "excluded_by": {"$type": "object"}}},
            {"$unwind": "$excluded_by"},
            {"$group": {"_id": "$excluded_by.rule_id", "plays": {"$sum": "$excluded_by.plays"}}},
        ]
        return {found["_id"]: found["plays"] for found in self._rollups.aggregate(pipeline)}
