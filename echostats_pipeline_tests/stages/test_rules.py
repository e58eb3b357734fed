"""Rules of a user in the database: what was typed, what is refused and marked, and what is left when all are gone."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.accounts.data_export import export_user
from echostats_pipeline.accounts.rules_file import read_rules
from echostats_pipeline.errors import NotFoundError, RuleError
from echostats_pipeline.model.catalog import ArtistRef, Track
from echostats_pipeline.model.rules import Rule
from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring.audit import AuditedUser, daily_rollups_match_history
from echostats_pipeline.report.reads import ReportStore
from echostats_pipeline.settings import Settings
from echostats_pipeline.stages.credits import storing_tracks
from echostats_pipeline.stages.rule_wishes import Conditions, Wishes
from echostats_pipeline.stages.rules import RuleBook
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.rule_texts import described
from echostats_pipeline_tests.conftest import Counted
from echostats_pipeline_tests.stages.dying_rebuilds import dying_statistics
from echostats_pipeline_tests.stages.merge_steps import DiedError
from echostats_pipeline_tests.stages.statistics_oracle import (
    MIN_PLAY_MS,
    bytes_of,
    catch_up,
    check_truth,
    derived,
    rebuild_waiting,
)

SETTINGS = Settings(home=Path())
NOW = datetime(2024, 5, 15, 12, tzinfo=UTC)
ASLEEP, AWAKE, OTHER, TRACK = (letter * 22 for letter in "saot")
PLAYLIST = "p" * 22
ARTIST = "A" * 22


def listen(store: Store, user: User, at: datetime, track: str, artist: str, **more: Any) -> None:
    names = {"name": f"Title of {artist}", "artist_name": artist, "album_name": f"Album of {artist}"}
    store.db["listening_history"].insert_one(
        {
            "user_id": user.user_id,
            "played_at": at,
            "track": {"spotify_id": track, **names, "duration_ms": 200_000},
            "ms_played": 60_000,
            "source": "import",
            "context_uri": "",
            **more,
        }
    )


@pytest.fixture
def ann(store: Store) -> User:
    """A user who has heard Sleep Sounds at night on five of ten days, and something else at noon on each."""
    user = store.users.connect({"spotify_id": "ann", "display_name": "Ann"}, authorized_at=NOW, simulated=False)
    for day in range(10):
        noon = NOW - timedelta(days=day, hours=1)
        listen(store, user, noon, AWAKE, "Björk", context_uri=f"spotify:playlist:{PLAYLIST}")
        listen(store, user, noon + timedelta(minutes=3), OTHER, "Prince", playback={"incognito": day == 3})
        if day % 2:
            listen(store, user, noon - timedelta(hours=9), ASLEEP, "Sleep Sounds")
    store.marks.mark(user.user_id, "listening_history", [str(NOW.date() - timedelta(days=day)) for day in range(10)])
    store.db["artists"].insert_one({"spotify_id": ARTIST, "name": "Prince", "genres": [], "images": []})
    store.db["playlists"].insert_one({"user_id": user.user_id, "spotify_id": PLAYLIST, "name": "Morning"})
    return user


def book(store: Store, user: User) -> RuleBook:
    return RuleBook(store, user, MIN_PLAY_MS)


def wishes(store: Store, user: User) -> Wishes:
    return Wishes(book(store, user))


def add(store: Store, user: User, rule: Rule) -> tuple[Rule, set[date]]:
    return book(store, user).add(rule)


def all_time(store: Store, user: User) -> dict[str, Any]:
    return store.db["analytics_snapshots"].find_one({"user_id": user.user_id, "period": "all_time"}) or {}


def test_a_rule_marks_only_the_days_that_hold_what_it_leaves_out(store: Store, scratch: Store, ann: User) -> None:
    catch_up(store, NOW)
    rule, days = add(store, ann, wishes(store, ann).exclude(Conditions(artist="sleep  SOUNDS")))
    asleep = {NOW.date() - timedelta(days=day) for day in range(1, 10, 2)}
    assert days == store.marks.pending_days(ann.user_id) == asleep
    assert not store.marks.pending("analytics_snapshots")
    check_truth(store, scratch, NOW)
    assert (all_time(store, ann)["total_tracks_played"], all_time(store, ann)["excluded_plays"]) == (20, 5)
    assert ReportStore(store.db).short_plays(ann.user_id, None) == 0
    found = daily_rollups_match_history(store, SETTINGS, NOW, [AuditedUser(ann, None)])
    assert found.passed, found.rows
    store.db["rules"].delete_one({"_id": rule.id})  # by hand: nothing is marked, and the audit notices
    assert not daily_rollups_match_history(store, SETTINGS, NOW, [AuditedUser(ann, None)]).passed
    store.db["rules"].insert_one({"_id": rule.id, **rule.to_bson()})
    assert book(store, ann).remove(rule) == asleep == store.marks.pending_days(ann.user_id)
    check_truth(store, scratch, NOW)
    assert all_time(store, ann)["total_tracks_played"] == 25


def test_a_rule_means_the_artist_under_whom_plays_are_counted(store: Store, scratch: Store, ann: User) -> None:
    """Plays from exports name the artist of the album; the catalogue knows who sang."""
    day = NOW.date()
    for back in (1, 3, 5):
        listen(store, ann, NOW - timedelta(days=back, hours=2), TRACK, "Various Artists")
    store.marks.mark(ann.user_id, "listening_history", [str(day - timedelta(days=back)) for back in (1, 3, 5)])
    learn(store, ann, TRACK, ("S" * 22, "Singer"))
    catch_up(store, NOW)
    without = bytes_of(derived(store.db))
    with pytest.raises(RuleError, match="has not played the artist 'Various Artists' as the primary artist"):
        wishes(store, ann).exclude(Conditions(artist="Various Artists"))
    shown, _ = add(store, ann, wishes(store, ann).rename("artist", "singer", "She"))
    rule, days = add(store, ann, wishes(store, ann).exclude(Conditions(artist="she")))
    assert rule.exclusion.artist == ArtistRef(spotify_id="S" * 22, name="Singer")
    assert days == {day - timedelta(days=back) for back in (1, 3, 5)}
    check_truth(store, scratch, NOW)
    assert {top["name"] for top in all_time(store, ann)["top_artists"]} == {"Björk", "Prince", "Sleep Sounds"}
    found = daily_rollups_match_history(store, SETTINGS, NOW, [AuditedUser(ann, None)])
    assert found.passed, found.rows
    for artist, left_out in ((("G" * 22, "Guest"), 0), (("S" * 22, "Singer, as she is called now"), 3)):
        assert learn(store, ann, TRACK, artist) == days, "the rule depends on who is first"
        check_truth(store, scratch, NOW)
        assert all_time(store, ann)["excluded_plays"] == left_out
    learn(store, ann, TRACK, ("S" * 22, "Singer"))
    joined = wishes(store, ann).same_artist(["She", "Prince"])
    effect = book(store, ann).effect(joined)
    joined, days = add(store, ann, joined)
    assert days == {day - timedelta(days=back) for back in range(10)}, "whoever is one is left out as one"
    check_truth(store, scratch, NOW)
    assert all_time(store, ann)["excluded_plays"] == effect.after.excluded_plays == 13
    found = daily_rollups_match_history(store, SETTINGS, NOW, [AuditedUser(ann, None)])
    assert found.passed, found.rows
    assert book(store, ann).remove(joined) == days
    check_truth(store, scratch, NOW)
    for each in (rule, shown):
        book(store, ann).remove(each)
    check_truth(store, scratch, NOW)
    assert bytes_of(derived(store.db)) == without


def learn(store: Store, user: User, track: str, *artists: tuple[str, str]) -> set[date]:
    """Store the artists of a track; returns the days that wait for a rebuild then."""
    refs = [ArtistRef(spotify_id=spotify_id, name=name) for spotify_id, name in artists]
    with storing_tracks(store) as stored:
        stored.put([Track(spotify_id=track, name="Title", artists=refs, enriched_at=NOW)], at=NOW)
    store.mark_all_snapshots()
    return store.marks.pending_days(user.user_id)


def test_a_rule_about_names_marks_the_statistics_of_periods_alone(store: Store, scratch: Store, ann: User) -> None:
    catch_up(store, NOW)
    add(store, ann, wishes(store, ann).same_artist(["Björk", f"https://open.spotify.com/artist/{ARTIST}?si=1"]))
    add(store, ann, wishes(store, ann).rename("artist", "Prince", "Symbol"))
    assert not store.marks.pending_days(ann.user_id)
    assert store.marks.pending("analytics_snapshots") == {ann.user_id: ["all"]}
    check_truth(store, scratch, NOW)
    assert [top["name"] for top in all_time(store, ann)["top_artists"]] == ["Symbol", "Sleep Sounds"]
    bjork = {"spotify_id": "", "name": "Björk"}
    for track, artists in ((OTHER, [{"spotify_id": ARTIST, "name": "Prince"}, bjork]), (AWAKE, [bjork])):
        store.db["tracks"].insert_one({"spotify_id": track, "artists": artists})
    found = ReportStore(store.db).credits(ann.user_id, [OTHER, AWAKE])
    assert found == {OTHER: "Symbol", AWAKE: "Symbol"}, "the report has one name for them, once"


def test_tracks_of_a_rule_are_one_song_under_its_new_name(store: Store, scratch: Store, ann: User) -> None:
    catch_up(store, NOW)
    add(store, ann, wishes(store, ann).same_song([AWAKE, OTHER]))
    add(store, ann, wishes(store, ann).rename("track", OTHER, "Both"))
    check_truth(store, scratch, NOW)
    tops = [(top["name"], top["play_count"]) for top in all_time(store, ann)["top_tracks"]]
    assert tops == [("Both", 20), ("Title of Sleep Sounds", 5)]


def test_removing_all_rules_leaves_nothing_of_them(store: Store, scratch: Store, ann: User) -> None:
    catch_up(store, NOW)
    without = bytes_of(derived(store.db))
    typed = wishes(store, ann)
    made = [
        typed.exclude(Conditions(hours="23-7")),
        typed.exclude(Conditions(context="Morning", weekdays="sat-sun")),
        typed.exclude(Conditions(private_session=True)),
        typed.same_artist(["Prince", "Sleep Sounds"]),
        typed.rename("track", "Title of Prince", "Another"),
        typed.rename("album", "Album of Björk", "Another"),
    ]
    stored = [add(store, ann, rule)[0] for rule in made]
    rebuild_waiting(store, ann)  # and some while the statistics of periods still wait
    for rule in (stored[1], stored[4], stored[0]):
        book(store, ann).remove(rule)
    check_truth(store, scratch, NOW)
    assert bytes_of(derived(store.db)) != without
    for rule in (stored[5], stored[3], stored[2]):
        book(store, ann).remove(rule)
    check_truth(store, scratch, NOW)
    assert bytes_of(derived(store.db)) == without
    assert store.db["rules"].count_documents({}) == 0


def test_a_process_may_die_at_any_write_of_a_rule(store: Store, ann: User) -> None:
    catch_up(store, NOW)
    for lives in range(40):
        dying = book(dying_statistics(store.db, lives), ann)
        try:
            rule, _ = dying.add(Wishes(dying).exclude(Conditions(artist="Sleep Sounds")))
            dying.remove(rule)
        except DiedError:
            aged = [{"$set": {"open_since": {"$subtract": ["$open_since", 400_000]}}}]
            store.db["change_marks"].update_many({}, aged)
            catch_up(store, NOW)
            assert all_time(store, ann)["excluded_plays"] == 5 * store.db["rules"].count_documents({})
            for left in book(store, ann).rules:
                book(store, ann).remove(left)
        else:
            assert lives > 2, "it has died at some writes"
            return
    raise AssertionError("it never lived")


def test_a_preview_says_what_comes_true(store: Store, ann: User) -> None:
    catch_up(store, NOW)
    for rule in (
        wishes(store, ann).exclude(Conditions(hours="23-7")),
        wishes(store, ann).same_artist(["Prince", "Björk"]),
    ):
        effect = book(store, ann).effect(rule)
        assert _totals(all_time(store, ann)) == _totals_of(effect.before)
        stored, days = add(store, ann, rule)
        assert effect.days == days
        catch_up(store, NOW)
        assert _totals(all_time(store, ann)) == _totals_of(effect.after)
        if stored.exclude is not None:
            assert effect.plays == store.rules.left_out(ann.user_id)[stored.rule_id] == 5
            undone = book(store, ann).effect(stored)
            assert (undone.plays, set(undone.days), undone.after) == (5, days, effect.before)


def _totals(snapshot: dict[str, Any]) -> list[Any]:
    tops = [[(top["name"], top["play_count"]) for top in snapshot[f"top_{kind}"]] for kind in ("artists", "tracks")]
    return [snapshot["total_tracks_played"], snapshot["total_ms_played"], snapshot["excluded_plays"], *tops]


def _totals_of(found: Any) -> list[Any]:
    tops = [[(each.name, each.plays) for each in ranked] for ranked in (found.artists, found.tracks)]
    return [found.plays, found.ms, found.excluded_plays, *tops]


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


def test_a_snapshot_that_is_rebuilt_at_once_waits_for_nothing(store: Store, ann: User) -> None:
    catch_up(store, NOW)
    asleep = book(store, ann)
    _, days = asleep.add(wishes(store, ann).exclude(Conditions(artist="Sleep Sounds")))
    assert asleep.rebuild(days, NOW, Counted())["excluded_plays"] == 5
    assert not store.marks.pending_days(ann.user_id)
    assert not store.marks.pending("analytics_snapshots")
