"""Plays sent on to the simulated ListenBrainz: each once, whatever happens to the history or to the process."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pydantic import SecretStr

from echostats_pipeline.accounts.connecting import token_cipher
from echostats_pipeline.accounts.key_rotation import rotate_target_keys
from echostats_pipeline.accounts.scrobbling import add_target, open_target, target_address
from echostats_pipeline.errors import (
    LeaseLostError,
    ListensRefused,
    ScrobbleTokenRefused,
    SettingsError,
    SpotifyResponseError,
)
from echostats_pipeline.model.rules import Exclusion, Rule
from echostats_pipeline.model.scrobbles import ScrobbleTarget
from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring import health
from echostats_pipeline.simulator.behaviour import Fault
from echostats_pipeline.simulator.exports import write_extended_export
from echostats_pipeline.simulator.listenbrainz import ACCOUNT, WRONG_TOKEN
from echostats_pipeline.spotify.crypto import TokenCipher
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.stages.scrobbles import Scrobbler, ScrobbleResult, waits_for_sending
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Counted, Installation, documents
from echostats_pipeline_tests.stages.merge_steps import DiedError, DyingCollection, WritesLeft
from echostats_pipeline_tests.stages.test_ingestion import sync

TOKEN = "listenbrainz-canary-token"


@pytest.fixture
def user(installation: Installation) -> User:
    """A user with 50 plays from the API."""
    user = installation.connect()
    sync(installation, user)
    return user


def address(installation: Installation) -> str:
    return installation.simulator.base_url


def add(installation: Installation, user: User, token: str = TOKEN, since: str | None = None) -> ScrobbleTarget:
    return add_target(
        installation.settings,
        installation.store,
        user,
        target=address(installation),
        token=SecretStr(token),
        since=since,
        now=installation.now(),
        sleep=installation.sleep,
    )


def send(installation: Installation, user: User, store: Store | None = None) -> ScrobbleResult:
    store = store or installation.store
    (target,) = store.scrobbles.targets(user.user_id)
    scrobbler = Scrobbler(store, user, target, 30_000, installation.now)
    with open_target(installation.settings, store, user, target, installation.now, installation.sleep) as server:
        return scrobbler.send(server, Counted())


def kept(installation: Installation) -> list[dict[str, Any]]:
    listens: list[dict[str, Any]] = installation.simulator.controls.listens.report()["listens"]
    return listens


def songs(listens: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(each["listened_at"], each["track_metadata"]["track_name"]) for each in listens]


def countable(store: Store, user: User) -> int:
    lasted = {"$or": [{"ms_played": None}, {"ms_played": {"$gte": 30_000}}]}
    return store.db["listening_history"].count_documents({"user_id": user.user_id, **lasted})


def test_each_play_is_sent_once_though_an_export_replaces_it_and_ids_change(
    installation: Installation, user: User, tmp_path: Path
) -> None:
    store = installation.store
    assert add(installation, user).account == ACCOUNT
    assert waits_for_sending(store, store.scrobbles.targets()[0], installation.now())
    first = send(installation, user)
    assert first.sent == countable(store, user) == len(kept(installation)) > 40
    assert not waits_for_sending(store, store.scrobbles.targets()[0], installation.now())
    known = songs(kept(installation))
    path = tmp_path / "export.zip"
    write_extended_export(installation.simulator.world, installation.person(user), NOW - timedelta(days=20), NOW, path)
    import_export(store, user, [path], progress=Counted(), clock=installation.now)
    assert store.db["listening_history"].count_documents({"source": "api"}) < first.sent
    assert waits_for_sending(store, store.scrobbles.targets()[0], installation.now())
    second = send(installation, user)
    assert second.sent > 0
    assert first.sent + second.sent == countable(store, user) == len(kept(installation))
    assert set(known) < set(songs(kept(installation)))
    # A restored or emptied history gets new ids, and a second import moves nothing.
    history = store.db["listening_history"]
    plays = list(history.find({"user_id": user.user_id}))
    history.delete_many({"user_id": user.user_id})
    for number, play in enumerate(plays):
        play |= {"_id": ObjectId(), "played_at": play["played_at"] + timedelta(seconds=number % 9 - 4)}
    history.insert_many(plays)
    add(installation, user)
    third = send(installation, user)
    assert (third.sent, third.recognised) == (0, countable(store, user))
    assert send(installation, user).recognised == 0
    report = installation.simulator.controls.listens.report()
    assert (report["exact_doubles"], report["received"]) == (0, len(report["listens"]))
    assert store.scrobbles.counts(store.scrobbles.targets()[0]) == {"sent": len(report["listens"])}


def test_a_process_that_dies_before_any_write_or_answer_sends_nothing_else_twice_and_misses_nothing(
    installation: Installation, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests of five listens; each process makes one write more than the one before it."""
    monkeypatch.setattr("echostats_pipeline.transforms.scrobbles.MOST_LISTENS", 5)
    add(installation, user)
    deaths = 0
    for lives in count():
        store = Store.of(installation.store.db)
        left = WritesLeft(lives)
        store.scrobbles._sent = Dying(store.scrobbles._sent, left)  # type: ignore[assignment]
        store.scrobbles._targets = Dying(store.scrobbles._targets, left)  # type: ignore[assignment]
        try:
            send(installation, user, store)
            break
        except DiedError:
            deaths += 1
    assert deaths > 5
    report = installation.simulator.controls.listens.report()
    assert len(report["listens"]) == countable(installation.store, user)
    assert report["exact_doubles"] > 0  # requests that were repeated as they were
    assert report["other_contents"] == 0
    assert documents(installation.store.db, "sent_plays")[0]["listen"] is None


class Dying(DyingCollection):
    """Also dies before an update."""

    def update_many(self, query: Any, update: Any) -> None:
        self.lives.spend()
        self.collection.update_many(query, update)

    def update_one(self, query: Any, update: Any) -> None:
        self.lives.spend()
        self.collection.update_one(query, update)


def test_a_wrong_token_stores_nothing_and_one_that_is_withdrawn_stops_the_sending(
    installation: Installation, user: User
) -> None:
    store = installation.store
    with pytest.raises(ScrobbleTokenRefused, match="does not accept the token"):
        add(installation, user, WRONG_TOKEN)
    assert store.scrobbles.targets() == []
    add(installation, user)
    withdrawn = token_cipher(installation.settings).encrypt(WRONG_TOKEN, user.user_id)
    store.db["scrobble_targets"].update_one({}, {"$set": {"token_encrypted": withdrawn}})
    with pytest.raises(ScrobbleTokenRefused):
        send(installation, user)
    (target,) = store.scrobbles.targets()
    assert "does not accept the token" in target.refusal
    assert not waits_for_sending(store, target, installation.now())
    (found,) = health.scrobbles(store)
    assert (found.level, TOKEN in found.text) == ("problem", False)
    add(installation, user)
    assert send(installation, user).sent == len(kept(installation)) > 0
    (found,) = health.scrobbles(store)
    assert (found.level, f"{len(kept(installation))} plays sent on to" in found.text) == ("ok", True)


def test_the_token_is_encrypted_and_in_no_record_and_keys_can_be_changed(
    installation: Installation, user: User
) -> None:
    store = installation.store
    add(installation, user)
    send(installation, user)
    for name in store.db.list_collection_names():
        assert TOKEN not in repr(documents(store.db, name))
    calls = {call["endpoint"]: call for call in store.db["api_logs"].find({"service": "listenbrainz"})}
    assert calls.keys() == {"/1/validate-token", "/1/submit-listens"}
    assert {call["user_id"] for call in calls.values()} == {user.user_id}
    rotated = TokenCipher(SecretStr("a7" * 32), [SecretStr(installation.environ["ENCRYPTION_KEY"])])
    assert (rotate_target_keys(store.scrobbles, rotated), rotate_target_keys(store.scrobbles, rotated)) == (1, 0)
    alone = TokenCipher(SecretStr("a7" * 32))
    assert alone.decrypt(store.scrobbles.targets()[0].token_encrypted, user.user_id) == TOKEN


def test_faults_of_the_service_cost_neither_a_play_nor_a_double(
    installation: Installation, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echostats_pipeline.transforms.scrobbles.MOST_LISTENS", 7)
    add(installation, user)
    families = ("listenbrainz",)
    installation.simulator.behave(
        listenbrainz_limit=3,
        faults={
            "server-error": Fault(calls=(2,), families=families),
            "disconnect": Fault(calls=(3,), families=families),
            "rate-limit": Fault(calls=(4,), families=families),
            "truncated-json": Fault(calls=(5,), families=families),  # it has taken the plays
        },
    )
    with pytest.raises(SpotifyResponseError, match="readable JSON"):
        send(installation, user)
    assert send(installation, user).repeated == 7
    report = installation.simulator.controls.listens.report()
    assert len(report["listens"]) == countable(installation.store, user)
    assert (report["exact_doubles"], report["other_contents"]) == (7, 0)


class Picky:
    """A service that refuses requests with some songs."""

    def __init__(self, *refused: str, everything: bool = False) -> None:
        self.refused = refused
        self.everything = everything
        self.taken: list[int] = []

    def submit(self, listens: Sequence[dict[str, Any]]) -> None:
        at = [each["listened_at"] for each in listens]
        if self.everything or any(str(each) in self.refused for each in at):
            raise ListensRefused("400", status_code=400, reason="bad listen")
        self.taken += at


def test_one_bad_listen_is_named_and_the_others_are_sent(installation: Installation, user: User) -> None:
    store = installation.store
    target = add(installation, user)
    listens = Scrobbler(store, user, target, 30_000, installation.now)
    wanted = [each.listened_at for plan in listens._plans(whole=True) for each in plan.listens]
    service = Picky(str(wanted[7]))
    result = listens.send(service, Counted())
    assert sorted(service.taken) == sorted(set(wanted) - {wanted[7]})
    assert (result.sent, len(result.refused)) == (len(wanted) - 1, 1)
    assert result.refused[0].endswith(" UTC: bad listen")
    (refused,) = store.scrobbles.refused(target, 5)
    assert (refused.listened_at, refused.reason, refused.listen) == (wanted[7], "bad listen", None)
    again = Picky()
    Scrobbler(store, user, store.scrobbles.targets()[0], 30_000, installation.now).send(again, Counted())
    assert again.taken == []


def test_a_service_that_refuses_everything_is_an_error_and_no_play_is_given_up(
    installation: Installation, user: User
) -> None:
    store, target = installation.store, add(installation, user)
    with pytest.raises(ListensRefused):
        Scrobbler(store, user, target, 30_000, installation.now).send(Picky(everything=True), Counted())
    assert store.scrobbles.counts(target).keys() == {"pending"}
    assert send(installation, user).sent == countable(store, user)


def test_two_processes_never_record_the_same_play(installation: Installation, user: User) -> None:
    store, target = installation.store, add(installation, user)
    (plan,) = Scrobbler(store, user, target, 30_000, installation.now)._plans(whole=True)
    store.scrobbles.begin(target, plan.listens[3:5])
    with pytest.raises(LeaseLostError):
        store.scrobbles.begin(target, plan.listens)


def test_a_play_that_moves_by_hours_keeps_its_record_and_gives_it_to_no_other(
    installation: Installation, user: User
) -> None:
    """As rows of an upload do, when another export has more rows of it."""
    store, history = installation.store, installation.store.db["listening_history"]
    add(installation, user)
    before = send(installation, user).sent
    (first, *_) = history.find({"user_id": user.user_id}).sort("played_at", 1)
    history.update_one({"_id": first["_id"]}, {"$set": {"played_at": first["played_at"] - timedelta(days=900)}})
    history.insert_one({**first, "_id": ObjectId(), "played_at": first["played_at"] + timedelta(seconds=3)})
    add(installation, user)
    again = send(installation, user)
    assert (again.sent, again.recognised) == (1, 0)
    assert store.scrobbles.counts(store.scrobbles.targets()[0]) == {"sent": before + 1}


def test_rules_and_the_first_date_decide_and_a_rule_that_goes_lets_its_plays_follow(
    installation: Installation, user: User
) -> None:
    store = installation.store
    newest = store.plays.newest(user.user_id)
    assert newest is not None
    artist = store.db["listening_history"].find_one(sort=[("played_at", -1)])["track"]["artist_name"]
    add(installation, user)
    left_out = Exclusion.model_validate({"artist": {"spotify_id": "", "name": artist}})
    rule = store.rules.add(Rule(user_id=user.user_id, kind="exclude", exclude=left_out))
    send(installation, user)
    assert artist not in {each["track_metadata"]["artist_name"] for each in kept(installation)}
    store.rules.remove(rule)
    store.marks.mark(user.user_id, "exclusions", [f"{newest:%Y-%m-%d}"])
    send(installation, user)
    assert len(kept(installation)) == countable(store, user)
    other = add_target(
        installation.settings,
        store,
        user,
        target=f"{address(installation)}/",  # the same service under another address is another target
        token=SecretStr("other"),
        since=f"{newest:%Y-%m-%d}",
        now=installation.now(),
    )
    previewed = Scrobbler(store, user, other, 30_000, installation.now).preview()
    assert 0 < previewed.sent < len(kept(installation))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("listenbrainz", "https://api.listenbrainz.org"),
        ("https://listenbrainz.org/", "https://api.listenbrainz.org"),
        ("https://API.listenbrainz.org/1/submit-listens", "https://api.listenbrainz.org"),
        ("http://koito.local:4110/apis/listenbrainz/1", "http://koito.local:4110/apis/listenbrainz"),
    ],
)
def test_an_address_is_stored_without_the_endpoint(given: str, meant: str) -> None:
    assert target_address(given) == meant


@pytest.mark.parametrize("given", ["koito", "ftp://koito", "http://ann:pw@koito/", "http://koito/?token=x", "http://["])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match="address"):
        target_address(given)
