import pytest

from echostats_pipeline import __version__
from echostats_pipeline.backup.manifest import (
    FORMAT,
    StoredCollection,
    StoredDatabase,
    in_order,
    key_action,
    moved,
    refuse_newer,
    targets,
)
from echostats_pipeline.errors import BackupError
from echostats_pipeline.model.collections import COLLECTIONS


def database(*names: str) -> StoredDatabase:
    stored = (StoredCollection(entry=each, size=0, sha256="", name=each, documents=0) for each in names)
    return StoredDatabase(role="echotune", name="echotune", declared=names, collections=tuple(stored))


def test_what_says_how_far_work_has_come_is_read_before_that_work_and_users_last() -> None:
    names = in_order(COLLECTIONS)
    assert names[0] == "change_marks"
    assert names[-2:] == ["users", "removed_users"]
    for before, after in (
        ("mart_states", "daily_rollups"),
        ("recently_played", "listening_history"),
        ("imports", "listening_history"),
        ("unfinished_merges", "listening_history"),
        ("stored.files", "stored.chunks"),
        ("spotify_tokens", "users"),
    ):
        assert names.index(before) < names.index(after)
    assert sorted(names) == sorted(COLLECTIONS)


def test_collections_of_a_mart_get_the_prefix_of_the_place_where_they_are_restored() -> None:
    stored = database("a_users", "a_plays")
    assert targets(stored, ["b_users", "b_plays"]) == {"a_users": "b_users", "a_plays": "b_plays"}
    # Another version declares others: the names stay.
    assert targets(stored, ["b_users", "b_more", "b_plays"]) == {"a_users": "a_users", "a_plays": "a_plays"}


def test_a_source_has_moved_if_its_newest_mark_is_another() -> None:
    before = {("ann", "catalog"): "1", ("ann", "users"): "1"}
    after = {("ann", "catalog"): "2", ("ann", "users"): "1", ("bob", "users"): "1"}
    found = [(each.user_id, each.source) for each in moved(before, after)]  # type: ignore[arg-type]
    assert found == [("ann", "catalog"), ("bob", "users")]


@pytest.mark.parametrize(("format_", "made_by"), [(FORMAT + 1, __version__), (FORMAT, "99.0.0")])
def test_a_newer_backup_is_refused(format_: int, made_by: str) -> None:
    with pytest.raises(BackupError, match=rf"written by echostats_pipeline {made_by}.*Nothing|nothing was restored"):
        refuse_newer(format_, made_by, __version__)
    refuse_newer(FORMAT, __version__, __version__)
    refuse_newer(FORMAT, "0.0.1", __version__)


@pytest.mark.parametrize(
    ("key_id", "configured", "has_keys", "may_write", "action"),
    [
        ("", (), False, True, "none"),
        ("", ("b",), False, False, "none"),
        ("a", ("a",), True, True, "keep"),
        ("a", ("b", "a"), False, False, "keep"),
        ("a", (), True, True, "write"),
        ("a", ("b",), True, True, "write"),
    ],
)
def test_the_key_of_the_backup_is_written_only_where_another_is_in_the_state_folder_or_none(
    key_id: str, configured: tuple[str, ...], has_keys: bool, may_write: bool, action: str
) -> None:
    assert key_action(key_id, configured, has_keys=has_keys, may_write=may_write) == action


@pytest.mark.parametrize(
    ("configured", "has_keys", "may_write", "said"),
    [
        (("b",), True, False, "here it is b. Set ENCRYPTION_KEY to the key of the backup"),
        (("b",), False, True, "The backup holds no key"),
        ((), False, True, "here there is none"),
    ],
)
def test_a_key_that_does_not_fit_is_refused(
    configured: tuple[str, ...], has_keys: bool, may_write: bool, said: str
) -> None:
    with pytest.raises(BackupError, match=said):
        key_action("a", configured, has_keys=has_keys, may_write=may_write)
