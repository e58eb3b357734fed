"""Rules as people name them: what is meant, what is refused with the reason, and files of rules."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.accounts.data_export import export_user
from echostats_pipeline.accounts.rules_file import read_rules
from echostats_pipeline.errors import NotFoundError, RuleError
from echostats_pipeline.model.rules import Rule
from echostats_pipeline.model.users import User
from echostats_pipeline.stages.rule_wishes import Conditions, Wishes
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.rule_texts import described
from echostats_pipeline_tests.conftest import Counted
from echostats_pipeline_tests.stages.rules_of_ann import (
    ARTIST,
    ASLEEP,
    AWAKE,
    NOW,
    OTHER,
    PLAYLIST,
    TRACK,
    add,
    ann,
    book,
    learn,
    listen,
    wishes,
)
from echostats_pipeline_tests.stages.statistics_oracle import MIN_PLAY_MS

__all__ = ["ann"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (f"spotify:track:{AWAKE}", [AWAKE]),
        (f"https://open.spotify.com/intl-de/track/{AWAKE}?si=abc", [AWAKE]),
        (AWAKE, [AWAKE]),
        ("title of björk", [AWAKE]),
    ],
)
def test_a_track_is_named_by_link_uri_id_or_title(store: Store, ann: User, typed: str, meant: list[str]) -> None:
    assert wishes(store, ann).exclude(Conditions(tracks=[typed])).exclusion.track_ids == meant


@pytest.mark.parametrize("typed", [PLAYLIST, f"https://open.spotify.com/playlist/{PLAYLIST}", "morning"])
def test_a_playlist_is_named_by_link_id_or_name(store: Store, ann: User, typed: str) -> None:
    found = wishes(store, ann).exclude(Conditions(context=typed)).exclusion
    assert found.context_uri == f"spotify:playlist:{PLAYLIST}"


def test_an_artist_by_id_is_stored_with_the_name_that_plays_have(store: Store, ann: User) -> None:
    found = wishes(store, ann).exclude(Conditions(artist=f"spotify:artist:{ARTIST}")).exclusion.artist
    assert found is not None
    assert (found.spotify_id, found.name) == (ARTIST, "Prince")


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ({}, "A rule without a condition would leave out every play. Give at least one"),
        (
            {"artist": "Sleep Sound"},
            "has not played the artist 'Sleep Sound' as the primary artist. Did you mean Sleep",
        ),
        ({"artist": "B" * 22}, f"has not played the artist {'B' * 22}, as far as the catalogue knows"),
        ({"artist": f"spotify:track:{AWAKE}"}, "is the link of a track, where the link of the artist is needed"),
        ({"artist": "https://example.org/x"}, "is no link or uri of Spotify"),
        ({"album": "None such"}, "has not played the album 'None such'"),
        ({"tracks": ["x" * 22]}, f"has not played the track {'x' * 22}"),
        ({"context": "Evening"}, "has no playlist called 'Evening'"),
        ({"artist": "x" * 5_000}, f"has not played the artist '{'x' * 100}…'"),
        ({"context": "spotify:playlist:" + "q" * 22}, "has played nothing from spotify:playlist:"),
        ({"hours": "evening"}, "are no hours. Write them like 23-7"),
        ({"hours": "23-25"}, "Hours go from 0 to 24"),
        ({"hours": "5-5"}, "begin and end at 05:00"),
        ({"hours": "0-24"}, "are all hours of the day"),
        ({"weekdays": "someday"}, "Write them like sat,sun or mon-fri"),
        ({"weekdays": "mon-sun"}, "are all days of the week"),
        ({"from_date": date(2024, 5, 2), "to_date": date(2024, 5, 1)}, "--from 2024-05-02 is after --to 2024-05-01"),
        ({"from_date": date(2000, 1, 1)}, "no play of ann-"),
    ],
)
def test_a_wrong_exclusion_is_refused_with_the_reason(
    store: Store, ann: User, conditions: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RuleError) as refused:
        add(store, ann, wishes(store, ann).exclude(Conditions(**conditions)))
    assert reason in str(refused.value)
    assert store.db["rules"].count_documents({}) == 0


Made = Sequence[tuple[str, Sequence[str]]]


@pytest.mark.parametrize(
    ("there_are", "new", "reason"),
    [
        ([("same_song", (AWAKE, OTHER))], ("same_song", (AWAKE, OTHER)), "says this already"),
        ([("same_song", (AWAKE, OTHER))], ("same_song", (OTHER, AWAKE)), "makes these tracks one song already"),
        ([], ("same_song", (AWAKE, AWAKE)), "is named twice"),
        ([], ("same_song", (AWAKE,)), "it takes at least two tracks"),
        ([], ("different", (AWAKE,)), "it takes at least two tracks"),
        ([], ("same_artist", ("Prince",)), "it takes at least two artists"),
        ([("different", (AWAKE, OTHER))], ("same_song", (AWAKE, OTHER)), "are different songs; this rule would make"),
        ([("same_song", (AWAKE, OTHER))], ("different", (OTHER, AWAKE)), "one song. Remove it first"),
        (
            [("same_song", (AWAKE, OTHER)), ("same_song", (OTHER, ASLEEP))],
            ("different", (ASLEEP, AWAKE)),
            "one song. Remove one of them first",
        ),
        (
            [("same_song", (AWAKE, OTHER)), ("different", (ASLEEP, AWAKE))],
            ("same_song", (OTHER, ASLEEP)),
            "are different songs",
        ),
        (
            [("same_artist", ("Prince", "Björk")), ("same_artist", ("Björk", "Sleep Sounds"))],
            ("same_artist", ("Sleep Sounds", "Prince")),
            "make these artists one already",
        ),
        ([], ("same_artist", ("Prince", "prince")), "is named twice"),
        (
            [("exclude", ("Sleep Sounds",)), ("exclude", ("Prince",))],
            ("same_artist", ("Prince", "Björk")),
            "all 25 plays would be left out. Another rule leaves out one of the artists",
        ),
        ([("rename", ("Prince", "A"))], ("rename", ("Prince", "B")), "shows this artist as A already"),
        ([], ("rename", ("Prince", "  ")), "The new name is empty"),
        ([], ("rename", ("Prince", "x" * 5_000)), "The new name has 5,000 characters; at most 1,000 are possible"),
        (
            [],
            ("rename", ("Prince", "BJÖRK")),
            'show another artist as Björk. .* make this rule instead: same-artist "Prince" "Björk"',
        ),
        ([("rename", ("Björk", "B"))], ("rename", ("Prince", "b")), "Rankings show another artist as B"),
        ([], ("rename", ("Prince", "Prince")), "is the name of this artist already"),
        ([], ("rename_track", (AWAKE, "Title of Björk")), "is the name of this track already"),
    ],
)
def test_a_contradiction_is_refused_with_the_rules_that_it_contradicts(
    store: Store, ann: User, there_are: Made, new: tuple[str, Sequence[str]], reason: str
) -> None:
    for kind, items in there_are:
        add(store, ann, _made(store, ann, kind, items))
    with pytest.raises(RuleError, match=reason):
        add(store, ann, _made(store, ann, *new))
    assert store.db["rules"].count_documents({}) == len(there_are)


def test_an_artist_may_have_the_name_that_no_other_one_has_any_more(store: Store, ann: User) -> None:
    add(store, ann, wishes(store, ann).rename("artist", "Björk", "B"))
    add(store, ann, wishes(store, ann).rename("artist", "Prince", "Björk"))
    add(store, ann, wishes(store, ann).same_artist(["B", "Sleep Sounds"]))
    add(store, ann, wishes(store, ann).rename("artist", "Sleep Sounds", "B"))  # they are one


@pytest.mark.parametrize(
    ("conditions", "hint"),
    [
        ({"from_date": date(2000, 1, 1)}, "Narrow the conditions, or add one, for example --artist or --hours."),
        ({"from_date": date(2000, 1, 1), "hours": "1-23"}, "for example --artist or --to."),
    ],
)
def test_a_rule_that_leaves_no_play_is_refused_with_conditions_that_it_lacks(
    store: Store, ann: User, conditions: dict[str, Any], hint: str
) -> None:
    with pytest.raises(RuleError) as refused:
        add(store, ann, wishes(store, ann).exclude(Conditions(**conditions)))
    assert str(refused.value).endswith(hint)


def _made(store: Store, user: User, kind: str, items: Sequence[str]) -> Rule:
    typed = wishes(store, user)
    if kind == "rename":
        return typed.rename("artist", *items)
    if kind == "exclude":
        return typed.exclude(Conditions(artist=items[0]))
    if kind == "rename_track":
        return typed.rename("track", *items)
    make = {"same_song": typed.same_song, "different": typed.different, "same_artist": typed.same_artist}
    return make[kind](items)


def test_a_rule_is_named_by_its_id_or_the_end_of_it(store: Store, ann: User) -> None:
    rule, _ = add(store, ann, wishes(store, ann).exclude(Conditions(hours="1-2")))
    for ending in (rule.rule_id, rule.rule_id[-6:].upper()):
        assert book(store, ann).named(ending).id == rule.id
    with pytest.raises(NotFoundError, match=f"Rules: {rule.rule_id}"):
        book(store, ann).named("0000")
    for short in (rule.rule_id[-3:], ""):
        with pytest.raises(NotFoundError, match=r"too short .* at least its last 4 characters; `echostats rules list"):
            book(store, ann).named(short)


def test_a_rule_is_described_with_names(store: Store, ann: User) -> None:
    def text(rule: Rule) -> str:
        return described(rule, wishes(store, ann).names_in(rule))

    listen(store, ann, NOW, "b" * 22, "Björk")
    store.db["albums"].insert_one({"spotify_id": "B" * 22, "name": "Debut"})
    listen(store, ann, NOW, ASLEEP, "Sleep Sounds", context_uri=f"spotify:album:{'B' * 22}")
    typed = wishes(store, ann)
    assert text(typed.exclude(Conditions(context="morning"))) == "leave out plays from the playlist Morning"
    album = typed.exclude(Conditions(context=f"spotify:album:{'B' * 22}"))
    assert text(album) == "leave out plays from the album Debut"
    both = typed.exclude(Conditions(tracks=["title of björk"]))
    assert both.exclusion.track_ids == [AWAKE, "b" * 22]
    assert text(both) == "leave out plays of Title of Björk by Björk"
    apart = text(typed.different([AWAKE, "b" * 22]))
    assert (
        apart
        == f"never count {' and '.join(f'Title of Björk by Björk ({each})' for each in (AWAKE, 'b' * 22))} as one song"
    )


def test_a_track_is_described_with_the_artist_that_rankings_show(store: Store, ann: User) -> None:
    listen(store, ann, NOW, TRACK, "Various Artists")
    learn(store, ann, TRACK, ("S" * 22, "Singer"))
    renaming = wishes(store, ann).rename("track", TRACK, "Song")
    apart = wishes(store, ann).different([TRACK, OTHER])

    def texts() -> list[str]:
        return [described(rule, wishes(store, ann).names_in(rule)) for rule in (renaming, apart)]

    both = "never count {} and Title of Prince by Prince as one song"
    assert texts() == ["show the track Title by Singer as Song", both.format("Title by Singer")]
    add(store, ann, renaming)
    add(store, ann, wishes(store, ann).rename("artist", "Singer", "She"))
    assert texts() == ["show the track Title by She as Song", both.format("Title by She")]


def test_rules_that_were_exported_can_be_imported_for_another_user(store: Store, ann: User, tmp_path: Path) -> None:
    typed = Wishes(book(store, ann), note="the cat did it")
    for rule in (
        typed.exclude(Conditions(artist="Sleep Sounds", hours="23-7", weekdays="mon", to_date=date(2024, 5, 14))),
        typed.same_artist(["Prince", "Björk"]),
        typed.different([AWAKE, OTHER]),
        typed.rename("track", AWAKE, "Another"),
    ):
        add(store, ann, rule)
    export_user(store, ann, tmp_path / "ann", progress=Counted(), at=NOW, min_play_ms=MIN_PLAY_MS)
    bob = store.users.connect({"spotify_id": "bob"}, authorized_at=NOW, simulated=False)
    for path in (tmp_path / "ann", tmp_path / "ann" / "rules.jsonl"):
        read = read_rules(path, bob.user_id)
        alike = [rule.model_dump(exclude={"id", "user_id"}) for rule in book(store, ann).rules]
        assert [rule.model_dump(exclude={"id", "user_id"}) for rule in read] == alike
    for rule in read:
        add(store, bob, rule)
    assert [rule.note for rule in book(store, bob).rules] == ["the cat did it"] * 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "it is not a JSON object"),
        ("{", "it is not a JSON object"),
        ('{"kind": "exclude", "exclude": {}}', "a rule without a condition would leave out every play"),
        ('{"kind": "sing"}', "kind: Input should be 'exclude'"),
    ],
)
def test_a_file_without_rules_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "rules.jsonl").write_text(text)
    with pytest.raises(RuleError, match=f"Line 1 of rules.jsonl is not a rule: {reason}"):
        read_rules(tmp_path, "u")
    with pytest.raises(RuleError, match="cannot be read"):
        read_rules(tmp_path / "elsewhere", "u")
