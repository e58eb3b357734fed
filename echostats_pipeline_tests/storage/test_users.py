"""Users and tokens in the database."""

from datetime import timedelta

import pytest

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.users import SpotifyTokens, User
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW


def connect(store: Store, spotify_id: str = "ann", name: str = "Ann B.", **arguments: object) -> User:
    profile = {"spotify_id": spotify_id, "display_name": name}
    return store.users.connect(profile, authorized_at=NOW, **{"simulated": False, **arguments})  # type: ignore[arg-type]


def test_a_new_user_has_every_field_and_a_readable_partition_key(store: Store, db: Db) -> None:
    user = connect(store, timezone="Asia/Tokyo")
    stored = db["users"].find_one()
    assert stored is not None
    assert set(stored) == {"_id", *(set(User.model_fields) - {"id"})}
    assert user.partition_key == f"ann-b-{str(stored['_id'])[-6:]}"
    assert (user.timezone, user.status, user.authorized_at) == ("Asia/Tokyo", "active", NOW)
    assert user.user_id == str(stored["_id"])


def test_a_renewed_user_keeps_id_key_zone_and_history_of_syncs(store: Store) -> None:
    first = connect(store, timezone="Asia/Tokyo")
    store.users.synced(first.user_id, NOW)
    store.users.set_status(first.user_id, "needs_reauth")
    again = connect(store, name="Ann C.", timezone="UTC")
    assert (again.id, again.partition_key, again.timezone) == (first.id, first.partition_key, "Asia/Tokyo")
    assert (again.status, again.display_name, again.last_synced_at) == ("active", "Ann C.", NOW)
    assert len(store.users.all()) == 1


def test_users_come_in_the_order_they_were_added_and_by_kind(store: Store) -> None:
    added = [connect(store, f"u{number}", simulated=number == 1) for number in range(3)]
    assert store.users.all() == added
    assert store.users.all(simulated=True) == [added[1]]
    assert store.users.all(simulated=False) == [added[0], added[2]]


def test_a_user_is_found_by_key_name_and_spotify_id(store: Store) -> None:
    user = connect(store)
    for name in (user.partition_key, "Ann B.", "ann"):
        assert store.users.find(name) == user
    assert store.users.by_partition_key(user.partition_key) == user


def test_an_unknown_user_is_an_error_that_lists_who_there_is(store: Store) -> None:
    with pytest.raises(NotFoundError, match="none yet"):
        store.users.find("bob")
    user = connect(store)
    for lookup in (store.users.find, store.users.by_partition_key):
        with pytest.raises(NotFoundError, match=rf"'bob'.*{user.partition_key}"):
            lookup("bob")


def test_a_name_of_several_users_is_no_choice_between_them(store: Store) -> None:
    connect(store, "a", "Ann")
    connect(store, "b", "Ann")
    with pytest.raises(NotFoundError, match="Several"):
        store.users.find("Ann")


def test_the_only_user_needs_no_name(store: Store) -> None:
    ann = connect(store)
    assert store.users.find(None) == ann
    bob = connect(store, "bob", "Bob")
    with pytest.raises(NotFoundError, match=f"Name the user. Users: {ann.partition_key}, {bob.partition_key}"):
        store.users.find(None)


def test_the_case_of_a_name_does_not_matter_and_its_beginning_is_enough(store: Store) -> None:
    ann, anja = connect(store, "31xyz", "Ann B."), connect(store, "77abc", "Anja Straße")
    for name in ("ANN B.", "ann", "Ann", ann.partition_key[:4].upper(), "31X"):
        assert store.users.find(name) == ann
    assert store.users.find("anja STRASSE") == anja
    with pytest.raises(NotFoundError, match="Several"):
        store.users.find("an")
    with pytest.raises(NotFoundError, match="no user ''"):
        store.users.find("")
    with pytest.raises(NotFoundError, match="no user 'ann'"):
        store.users.find("ann", beginnings=False)
    assert store.users.find("ANN B.", beginnings=False) == ann


def test_a_whole_name_is_not_the_beginning_of_another(store: Store) -> None:
    connect(store, "a", "Annabel")
    ann = connect(store, "b", "ann")
    assert store.users.find("Ann") == ann


def test_a_name_that_is_another_users_key_or_id_names_that_other_user(store: Store) -> None:
    ann = connect(store)
    connect(store, "joker", ann.partition_key)
    connect(store, "fool", "ann")
    connect(store, "double", "Bo")
    connect(store, "twin", "Bo")
    assert store.users.find(ann.partition_key) == ann
    assert store.users.find("ann") == ann
    with pytest.raises(NotFoundError, match=r"Several users are called 'Bo'. Name one by its key: bo-\w{6}, bo-\w{6}"):
        store.users.find("Bo")


@pytest.mark.parametrize("zone", ["localtime", "posixrules", "Factory", "posix/Europe/Berlin", "right/UTC", "", "Mars"])
def test_a_stored_zone_that_is_none_stops_nobody(store: Store, db: Db, zone: str) -> None:
    ann, bob = connect(store), connect(store, "bob", "Bob", timezone="Asia/Tokyo")
    db["users"].update_one({"spotify_id": "ann"}, {"$set": {"timezone": zone}})
    assert [user.timezone for user in store.users.all()] == ["UTC", "Asia/Tokyo"]
    assert store.users.bad_timezones() == {ann.partition_key: zone}
    with pytest.raises(ValueError, match="is not a time zone"):
        store.users.set_timezone(bob.user_id, zone)
    with pytest.raises(ValueError, match="is not a time zone"):
        connect(store, "new", "New", timezone=zone)


def test_an_older_sync_never_takes_a_newer_ones_place(store: Store) -> None:
    user = connect(store)
    store.users.synced(user.user_id, NOW)
    store.users.synced(user.user_id, NOW - timedelta(hours=1))
    assert store.users.find("ann").last_synced_at == NOW


def test_tokens_are_one_document_per_user(store: Store, db: Db) -> None:
    with pytest.raises(NotFoundError, match="echostats connect"):
        store.users.tokens("u")
    for number in range(2):
        tokens = SpotifyTokens(user_id="u", refresh_token_encrypted=f"r{number}", expires_at=NOW, updated_at=NOW)
        store.users.store_tokens(tokens)
    assert store.users.tokens("u").refresh_token_encrypted == "r1"
    assert db["spotify_tokens"].count_documents({}) == 1
