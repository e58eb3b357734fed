"""The rules of EchoTune's documents, each by examples: skips, repeats, moods, features, release years, feedback."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from bson import ObjectId

from echostats_pipeline.marts.echotune.events import click_events, play_events
from echostats_pipeline.marts.echotune.plays import KNOWN_SCHEMA, LISTENED_SCHEMA, derived_plays
from echostats_pipeline.marts.echotune.recommendations import (
    Feedback,
    RecommendedList,
    Said,
    last_words,
    of_sets,
    recommendation_documents,
)
from echostats_pipeline.marts.echotune.tracks import audio_features, release_year, track_document
from echostats_pipeline.model.operations import SetFeedback
from echostats_pipeline.transforms.statistics.plays import UTC_MS

NOW = datetime(2025, 6, 15, 12, tzinfo=UTC)
USER = ObjectId()
MINUTE = timedelta(minutes=1)


def derived(*plays: dict[str, Any]) -> pl.DataFrame:
    """What is derived from plays, one a minute, of one track of 200 seconds unless they say otherwise."""
    usual = {"track_id": "a", "track_name": "A", "artist_name": "B", "album_name": "C", "duration_ms": 200_000}
    rows = [{**usual, "played_at": NOW + number * MINUTE, **each} for number, each in enumerate(plays)]
    frame = pl.DataFrame(rows, schema={**LISTENED_SCHEMA, "played_at": UTC_MS})
    return derived_plays(frame, pl.DataFrame(schema=KNOWN_SCHEMA))


@pytest.mark.parametrize(
    ("play", "skip"),
    [
        ({"ms_played": 5_000, "skipped": True}, 1),
        ({"ms_played": 5_000, "reason_end": "fwdbtn", "skipped": False}, 1),
        ({"ms_played": 5_000, "reason_end": "backbtn"}, 1),
        ({"ms_played": 5_000, "reason_end": "endplay"}, 1),
        ({"ms_played": 29_999, "skipped": True}, 1),
        ({"ms_played": 30_000, "skipped": True}, 0),
        ({"ms_played": None, "skipped": True}, 0),
        ({"ms_played": 5_000, "skipped": True, "reason_end": "trackdone"}, 0),
        ({"ms_played": 5_000, "skipped": False, "reason_end": "logout"}, 0),
        ({"ms_played": 5_000, "skipped": False}, 0),
        ({"ms_played": 5_000}, 1),
        ({"ms_played": 18_000, "duration_ms": 20_000}, 0),
        ({"ms_played": 17_999, "duration_ms": 20_000}, 1),
        ({"ms_played": 29_000, "duration_ms": 0}, 1),
    ],
)
def test_a_skip_is_a_short_play_that_the_user_left(play: dict[str, Any], skip: int) -> None:
    assert derived(play)["skip_count"].to_list() == [skip]


def test_the_catalogue_names_the_artist_as_in_rankings() -> None:
    row = {"track_id": "a", "track_name": "A", "artist_name": "Various Artists", "played_at": NOW}
    plays = pl.DataFrame([row], schema={**LISTENED_SCHEMA, "played_at": UTC_MS})
    known = pl.DataFrame([("a", "Another", "Wrebri", "1", "C", 9, 5)], schema=KNOWN_SCHEMA, orient="row")
    assert derived_plays(plays, known).select("track_name", "artist_name").row(0) == ("A", "Wrebri")
    assert derived_plays(plays, known.clear())["artist_name"].to_list() == ["Various Artists"]


def test_the_forward_button_of_the_next_row_tells_how_a_row_without_an_end_was_left() -> None:
    left = {"ms_played": 19_000, "duration_ms": 20_000}
    assert derived(left, {"reason_start": "fwdbtn"})["skip_count"].to_list() == [1, 0]
    assert derived(left, {"reason_start": "trackdone"})["skip_count"].to_list() == [0, 0]
    assert derived({**left, "ms_played": 31_000}, {"reason_start": "fwdbtn"})["skip_count"].to_list() == [0, 0]


def test_the_first_of_repeated_plays_counts_those_that_follow_in_its_session() -> None:
    long = {"ms_played": 60_000}
    assert derived(long, long, long)["repeat_count"].to_list() == [2, 0, 0]
    assert derived(long, {**long, "track_id": "b"}, long)["repeat_count"].to_list() == [0, 0, 0]
    hours_later = {**long, "played_at": NOW + timedelta(hours=2)}
    assert derived(long, hours_later)["repeat_count"].to_list() == [0, 0]


def test_contexts_and_devices_have_the_names_of_echotune() -> None:
    rows = derived({"context_type": "collection", "platform": "ios"}, {"context_type": "album", "platform": "osx"})
    assert rows["context_type"].to_list() == [None, "album"]
    assert rows["device_type"].to_list() == ["smartphone", "computer"]


def test_events_are_plays_of_half_a_minute_and_skips_and_nothing_else() -> None:
    rows = derived(
        {"ms_played": None},
        {"ms_played": 30_000},
        {"ms_played": 5_000, "skipped": True},
        {"ms_played": 5_000, "reason_end": "logout"},
    )
    found = [(each["eventType"], each["metadata"].get("reason")) for each in play_events(rows, USER)]
    assert found == [("track.played", None), ("track.played", None), ("track.skipped", "lt_30s")]


def test_a_click_is_the_first_play_while_the_set_was_valid() -> None:
    item = {"strategy": "hybrid", "score": 0.5}
    valid = {"_id": ObjectId(), "createdAt": NOW, "expiresAt": NOW + timedelta(days=7)}
    tracks = [{**item, "trackId": name} for name in ("before", "within", "after", "never")]
    plays = {"before": [NOW - MINUTE], "within": [NOW + MINUTE, NOW + 2 * MINUTE], "after": [NOW + timedelta(days=7)]}
    (click,) = click_events([{**valid, "tracks": tracks}], plays, USER, NOW - timedelta(days=90))
    assert (click["timestamp"], click["metadata"]["position"]) == (NOW + MINUTE, 1)
    assert click["metadata"]["inferred"] is True


def recommended(number: int, kind: str = "collaborative") -> dict[str, Any]:
    """A track of a list of the recommender."""
    return {
        "spotify_id": f"t{number}",
        "name": "N",
        "artist_name": "A",
        "artist_id": "a",
        "album_name": "",
        "score": 0.5,
        "reason": "Why.",
        "reason_kind": kind,
        "score_shares": {"basket_knn": 0.5, "content": 0.5},
        "supporting": [{"spotify_id": "seed"}],
        "audio_features": {},
    }


TRACKS = [recommended(number) for number in range(4)]
HAPPY = {"valence": 0.8, "energy": 0.7, "danceability": 0.7}
MADE: dict[str, Any] = {
    "task": "discover",
    "strategy": "hybrid",
    "model": "hybrid",
    "is_baseline": False,
    "why": "Why.",
    "confidence": 0.4,
    "created_at": NOW,
    "parameters": {"weight_content": 0.5},
    "tracks": TRACKS,
}
ALONE = {"strategy": "collaborative", "mood": "", "targets": {}, "model": "basket_knn", "is_active": False}
OF_MOOD = {"strategy": "mood_based", "mood": "happy", "targets": HAPPY, "model": "content", "is_active": False}


def sets(*lists: dict[str, Any], disliked: tuple[str, ...] = (), now: datetime = NOW) -> list[dict[str, Any]]:
    """The sets of lists of the recommender."""
    stored = [each for made in lists for each in RecommendedList.stored(made)]
    return [dict(each.fields) for each in recommendation_documents(stored, USER, disliked, now)]


def test_each_list_is_a_set_of_its_type_and_a_type_that_nothing_fits_has_none() -> None:
    others = [recommended(number) for number in range(2, 9)]
    further = [{**ALONE, "confidence": 0.2, "tracks": others[:4]}, {**OF_MOOD, "confidence": 0.9, "tracks": others}]
    found = sets({**MADE, "further": further})
    assert [each["recommendation_type"] for each in found] == ["hybrid", "collaborative", "mood_based"]
    assert [[track["trackId"] for track in each["tracks"]] for each in found] == [
        ["t0", "t1", "t2", "t3"],
        ["t4", "t5"],
        ["t6", "t7", "t8"],
    ], "no track is in two sets"
    assert "basket_knn alone, which is not the active model." in found[1]["why"]
    assert found[2]["parameters"]["context"] == "happy"
    assert found[2]["parameters"]["target_features"] == HAPPY
    assert found[0]["parameters"]["seed_tracks"] == ["seed"]
    assert found[0]["parameters"]["weights"] == {"weight_content": 0.5}
    assert [each["recommendation_type"] for each in sets(MADE)] == ["hybrid"]
    assert sets(MADE, now=NOW + timedelta(days=7)) == []


def test_disliked_tracks_are_left_out() -> None:
    assert [each["trackId"] for each in sets(MADE, disliked=("t1",))[0]["tracks"]] == ["t0", "t2", "t3"]
    assert sets(MADE, disliked=("t0", "t1", "t2", "t3")) == []


def test_the_newest_set_of_a_type_is_the_list_of_unheard_songs() -> None:
    again = {**MADE, "task": "rediscover", "tracks": [recommended(9)]}
    newest = max(sets(MADE, again), key=lambda each: each["createdAt"])
    assert newest["parameters"]["context"] == "discover"


def test_a_baseline_says_so_in_every_track() -> None:
    tracks = [{**each, "reason_kind": "baseline", "score_shares": {"popularity": 1.0}} for each in TRACKS]
    (made,) = sets({**MADE, "strategy": "baseline", "model": "popularity", "is_baseline": True, "tracks": tracks})
    assert (made["recommendation_type"], made["is_baseline"]) == ("hybrid", True)
    assert {each["strategy"] for each in made["tracks"]} == {"baseline"}
    assert all(each["components"] == {"popularity": 1.0} for each in made["tracks"])


def test_the_last_word_about_a_track_counts_and_other_values_are_ignored() -> None:
    said = [{"liked_tracks": ["a"], "disliked_tracks": ["b"]}, {"liked_tracks": ["b"], "saved_tracks": [7, None]}, 5]
    sets = [{"_id": place, "createdAt": NOW, "user_feedback": each} for place, each in enumerate(said)]
    feedback = last_words(Feedback(disliked=frozenset("a")), of_sets(sets, []).values())
    assert (feedback.liked, feedback.disliked, feedback.saved) == ({"a", "b"}, frozenset(), frozenset())


def test_a_like_before_a_dismissal_is_not_the_last_word_and_a_later_one_is() -> None:
    """A set does not say when a track was liked: only that it was after the last time it was read."""
    dismissal = Said(NOW, Feedback(disliked=frozenset("a")))

    def after_reading(liked: list[str], made_at: datetime) -> Feedback:
        now = {"_id": 1, "createdAt": made_at, "user_feedback": {"liked_tracks": ["a"]}}
        read = SetFeedback(set_id="1", liked=liked)
        return last_words(Feedback(frozenset(liked)), [dismissal, *of_sets([now], [read]).values()])

    assert after_reading(["a"], NOW - timedelta(days=1)).disliked == {"a"}
    assert after_reading([], NOW - timedelta(days=1)).disliked == {"a"}, "both are new: a dismissal ends a set's say"
    assert after_reading([], NOW + timedelta(hours=1)).liked == {"a"}


def test_what_a_user_takes_back_counts_no_longer() -> None:
    read = [SetFeedback(set_id="1", liked=["a", "b"], disliked=["c"])]
    now = {"_id": 1, "createdAt": NOW, "user_feedback": {"liked_tracks": ["a", "c"], "disliked_tracks": ["c"]}}
    feedback = last_words(Feedback(frozenset("ab"), frozenset("c")), of_sets([now], read).values())
    assert (feedback.liked, feedback.disliked) == ({"a", "c"}, frozenset())


@pytest.mark.parametrize(
    ("date", "year"),
    [("2001-05-06", 2001), ("2001-05", 2001), ("2001", 2001), ("0000", None), ("", None), ("soon", None)],
)
def test_the_year_of_a_release_date(date: str, year: int | None) -> None:
    assert release_year(date) == year


def test_impossible_features_are_left_out_and_a_bare_track_has_only_what_is_known() -> None:
    assert audio_features({"energy": 1.2, "valence": 0.5, "key": -1, "time_signature": 1, "duration_ms": 5}) == {
        "valence": 0.5,
        "key": -1,
    }
    bare = track_document({"spotify_id": "a", "name": None, "artists": None, "album": None, "popularity": 0}, None)
    assert bare.fields == {"spotifyId": "a", "name": "", "artists": [], "explicit": False, "genres": []}
