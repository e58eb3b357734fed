"""What a backup holds: the manifest in the file, and what follows from it. Nothing here reads or writes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from packaging.version import Version
from pydantic import BaseModel, ConfigDict

from echostats_pipeline.errors import BackupError
from echostats_pipeline.model.base import UtcDatetime
from echostats_pipeline.model.operations import Source

FORMAT = 1
"""Version of the layout of the file; it changes when earlier versions cannot restore it."""
Stillness = Literal["snapshot", "pause"]
FIRST = ("change_marks", "mart_states", "unfinished_merges", "recently_played", "imports", "stored.files")
"""Collections that say how far work on others has come, or that others are whole. They are read before those: what a
process writes meanwhile is then done again after a restore, and never taken for done."""
LAST = ("users", "removed_users")
"""Read last: the documents of a user who has just come are never without their user, and those of a user who is removed
meanwhile never without the record of it."""
NOT_KEPT = frozenset({"user_leases"})
"""Collections that are restored without documents: the runs to which these belonged are gone."""


class Part(BaseModel):
    """A file in the backup.

    Attributes:
        entry: Its name there.
        size: Its size in bytes, before compression.
        sha256: Of its content.
    """

    model_config = ConfigDict(frozen=True)

    entry: str
    size: int
    sha256: str


class StoredCollection(Part):
    """A collection in the backup: its BSON documents, one after another in the order of the server.

    Attributes:
        name: Its name in the database.
        documents: Number of its documents.
    """

    name: str
    documents: int


class StoredDatabase(BaseModel):
    """A database in the backup.

    Attributes:
        role: ``core``, or the mart's name. Databases and collections may have other names where they are restored.
        name: Its name on the server.
        declared: The collections of ours, in the order of their declaration.
        collections: All collections in the backup, in the order in which they were read.
    """

    model_config = ConfigDict(frozen=True)

    role: str
    name: str
    declared: tuple[str, ...]
    collections: tuple[StoredCollection, ...]

    @property
    def documents(self) -> int:
        """Number of documents in all collections."""
        return sum(each.documents for each in self.collections)


class Moved(BaseModel):
    """A source of a user that changed while it was read."""

    model_config = ConfigDict(frozen=True)

    user_id: str
    source: Source


class Manifest(BaseModel):
    """What a backup holds.

    Attributes:
        format: Version of the layout of the file.
        made_by: Version of echostats_pipeline that wrote it.
        made_at: When it was begun.
        still: How the data was kept still: a snapshot of a replica set, or a pause of all runs.
        databases: The core's database first, then those of marts.
        moved: Sources that changed meanwhile nevertheless; what is built from them is built again after a restore.
        key_id: Id of the key that encrypts tokens; empty if there is none.
        keys: The part with the keys; None if they were left out.
        runs: SQLite databases of Dagster's history, by their paths below its folder.
    """

    model_config = ConfigDict(frozen=True)

    format: int
    made_by: str
    made_at: UtcDatetime
    still: Stillness
    databases: tuple[StoredDatabase, ...]
    moved: tuple[Moved, ...] = ()
    key_id: str = ""
    keys: Part | None = None
    runs: tuple[Part, ...] = ()

    @property
    def parts(self) -> list[Part]:
        """All parts with a checksum."""
        collections = [each for database in self.databases for each in database.collections]
        return [*collections, *([] if self.keys is None else [self.keys]), *self.runs]

    @property
    def documents(self) -> int:
        """Number of documents in all databases."""
        return sum(each.documents for each in self.databases)


class Keys(BaseModel):
    """The secrets of an installation that its database does not hold.

    Attributes:
        encryption_key: The key that encrypts tokens, 64 hexadecimal digits.
        former_keys: Keys with which some tokens may still be encrypted.
        public_links: Tokens of links to reports, by partition key of the user.
    """

    model_config = ConfigDict(frozen=True)

    encryption_key: str = ""
    former_keys: tuple[str, ...] = ()
    public_links: Mapping[str, str] = {}


def in_order(names: Iterable[str]) -> list[str]:
    """The names of collections in the order in which they are read."""
    present = set(names)
    others = sorted(present - {*FIRST, *LAST})
    return [name for name in (*FIRST, *others, *LAST) if name in present]


def targets(stored: StoredDatabase, declared: Sequence[str]) -> dict[str, str]:
    """The names that collections of a backup get where they are restored, by their names in the backup.

    Args:
        stored: The database in the backup.
        declared: The collections of the same role where it is restored, in the order of their declaration; a setting
            may give them another prefix.
    """
    ours = dict(zip(stored.declared, declared, strict=False)) if len(stored.declared) == len(declared) else {}
    return {each.name: ours.get(each.name, each.name) for each in stored.collections}


def moved(before: Mapping[tuple[str, Source], str], after: Mapping[tuple[str, Source], str]) -> tuple[Moved, ...]:
    """The sources of users whose newest mark differs between two moments, in order."""
    keys = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return tuple(Moved(user_id=user_id, source=source) for user_id, source in keys)


def refuse_newer(format_: int, made_by: str, ours: str) -> None:
    """Refuse a backup of a version that may store what this one does not know.

    Raises:
        BackupError: the backup is newer.
    """
    if format_ > FORMAT or Version(made_by) > Version(ours):
        raise BackupError(
            f"The backup was written by echostats_pipeline {made_by}, and this is {ours}: an older version cannot "
            "restore what a newer one has written. Install that version first; nothing was restored."
        )


KeyAction = Literal["none", "keep", "write"]


def key_action(key_id: str, configured: Sequence[str], *, has_keys: bool, may_write: bool) -> KeyAction:
    """What a restore does about the key.

    Args:
        key_id: Id of the key of the backup; empty if it has none.
        configured: Ids of the keys of this installation, the present one first.
        has_keys: Whether the backup holds the key.
        may_write: Whether the key of this installation is in its state folder, and not in the environment.

    Returns:
        ``none`` if there is no key, ``keep`` if that of this installation fits, ``write`` to write that of the backup.

    Raises:
        BackupError: the keys differ, and that of the backup cannot take the place of the other.
    """
    if not key_id:
        return "none"
    if key_id in configured:
        return "keep"
    if has_keys and may_write:
        return "write"
    present = f"it is {configured[0]}" if configured else "there is none"
    remedy = (
        "Set ENCRYPTION_KEY to the key of the backup, which is in its keys.json"
        if has_keys
        else "The backup holds no key. Set ENCRYPTION_KEY to the key that it was made with"
    )
    raise BackupError(
        f"The tokens in the backup are encrypted with key {key_id}, and here {present}. {remedy}, or name that key in "
        "ENCRYPTION_KEYS_OLD; or restore with --without-keys, after which every user must connect again. "
        "Nothing was restored."
    )
