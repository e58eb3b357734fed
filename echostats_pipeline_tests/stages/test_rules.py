"""Rules of a user in the database: what was typed, what is refused and marked, and what is left when all are gone."""

from datetime import timedelta
from typing import Any

import pytest

from echostats_pipeline.errors import RuleError
from echostats_pipeline.model.catalog import ArtistRef
from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring.audit import AuditedUser, daily_rollups_match_history
from echostats_pipeline.report.reads import ReportStore
from echostats_pipeline.stages.rule_wishes import Conditions, Wishes
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import Counted
from echostats_pipeline_tests.stages.dying_rebuilds import dying_statistics
from echostats_pipeline_tests.stages.merge_steps import DiedError
from echostats_pipeline_tests.stages.rules_of_ann import (
    ARTIST,
    AWAKE,
    NOW,
    OTHER,
    SETTINGS,
    TRACK,
    add,
    all_time,
    ann,
    book,
    learn,
    listen,
    wishes,
)
from echostats_pipeline_tests.stages.statistics_oracle import bytes_of, catch_up, check_truth, derived, rebuild_waiting

__all__ = ["ann"]


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


def test_a_snapshot_that_is_rebuilt_at_once_waits_for_nothing(store: Store, ann: User) -> None:
    catch_up(store, NOW)
    asleep = book(store, ann)
    _, days = asleep.add(wishes(store, ann).exclude(Conditions(artist="Sleep Sounds")))
    assert asleep.rebuild(days, NOW, Counted())["excluded_plays"] == 5
    assert not store.marks.pending_days(ann.user_id)
    assert not store.marks.pending("analytics_snapshots")
