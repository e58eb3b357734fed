"""Rule playlists in Navidrome's form."""

import json
from datetime import date

import pytest

from echostats_pipeline.errors import PlaylistRulesError
from echostats_pipeline.playlists.pool import season_last_year
from echostats_pipeline.playlists.reasons import rule_reason_of
from echostats_pipeline.playlists.rule_playlists import READY_MADE, RulePlaylist
from echostats_pipeline_tests.playlists.songs import BERLIN, NOW, pool_of, some_tracks, track_id

POOL = pool_of(
    some_tracks(40),
    [(1, 200, True)] * 12 + [(2, 5, True)] * 12 + [(3, 9, False)] + [(4, 370, True)] * 3 + [(5, 2, True)],
    saved=[1, 6, 39],
)


def songs(rules: object) -> list[int]:
    found = RulePlaylist.parsed("mine", json.dumps(rules)).songs(POOL, NOW, BERLIN)
    return [int(each) for each in found["track_id"]]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"all": [{"gt": {"playCount": 9}}], "sort": "title"}, [1, 2]),
        ({"all": [{"gt": {"playcount": 9}}, {"notInTheLast": {"lastPlayed": 180}}]}, [1]),
        ({"all": [{"inTheLast": {"lastPlayed": 30}}], "sort": "-playCount"}, [2, 5]),
        ({"any": [{"is": {"title": "song 7"}}, {"is": {"artist": "Artist 0"}}], "sort": "title"}, [0, 1, 2, 7]),
        ({"all": [{"is": {"loved": True}}, {"lt": {"year": 1990}}], "sort": "-year"}, [6, 1]),
        ({"all": [{"inTheRange": {"year": [1961, 1963]}}, {"isNot": {"genre": "jazz"}}], "sort": "year"}, [1, 2, 3]),
        ({"all": [{"contains": {"genre": "ROCK"}}, {"startsWith": {"title": "song 1"}}], "sort": "title"}, [1, 11, 16]),
        ({"all": [{"endsWith": {"title": " 9"}}]}, [9]),
        ({"all": [{"after": {"lastPlayed": "2026-03-01"}}], "sort": "lastPlayed", "order": "desc"}, [5, 2]),
        ({"all": [{"inTheRange": {"lastPlayed": ["2026-03-06", "2026-03-10"]}}], "sort": "title"}, [2]),
        ({"all": [{"before": {"lastPlayed": "2026-03-01"}}], "sort": "-lastPlayed"}, [1, 4]),
        ({"all": [{"is": {"lastPlayed": "2026-03-10"}}]}, [2]),
        ({"ALL": [{"ISNOT": {"Loved": False}}], "SORT": "TITLE", "Limit": 2}, [1, 39]),
        ({"all": [{"notContains": {"title": "song 3"}}, {"contains": {"title": "3"}}]}, [13, 23]),
        ({"all": [{"any": [{"is": {"year": 1961}}, {"all": [{"is": {"year": 1962}}]}]}], "sort": "-year"}, [2, 1]),
        ({"all": [{"is": {"playCount": 1}}, {"any": [{"gt": {"year": 1900}}]}], "limit": 3}, [5]),
    ],
)
def test_conditions_select_and_sort_songs(rules: object, expected: list[int]) -> None:
    assert songs(rules) == expected


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([], "must be an object"),
        ({}, "either `all` or `any`"),
        ({"all": []}, "either `all` or `any`"),
        ({"all": [{"is": {"rating": 5}}]}, "no field 'rating'"),
        ({"all": [{"near": {"year": 5}}]}, "no operator 'near'. There are: is, isNot, gt, lt, before"),
        ({"all": [{"gt": {"title": 5}}]}, "'gt' does not go with 'title'. It goes with: "),
        ({"all": [{"inTheRange": {"genre": [1, 2]}}]}, "'inTheRange' does not go with 'genre'"),
        ({"all": [{"contains": {"year": "5"}}]}, "'contains' does not go with 'year'. It goes with: album, artist"),
        ({"all": [{"is": {"title": True}}]}, "'title' is compared with a text, unlike True"),
        ({"all": [{"is": {"year": True}}]}, "'year' is compared with a number, unlike True"),
        ({"all": [{"is": {"loved": "true"}}]}, "'loved' is compared with true or false, unlike 'true'"),
        ({"all": [{"gt": {"loved": True}}]}, "'gt' does not go with 'loved'"),
        ({"all": [{"inTheRange": {"year": [1990, 1980]}}]}, "the smaller value first"),
        ({"all": [{"gt": {"year": 10**400}}]}, "compared with a number"),
        ({"all": [{"gt": {"year": float("nan")}}]}, "not JSON: NaN is no number"),
        ({"all": [{"gt": {"year": 1}}], "limitPercent": 5}, "no key 'limitPercent'. There are: name, comment, all"),
        ({"all": [{"gt": {"year": 1}}], "order": "sideways"}, "`order` must be asc or desc"),
        ({"all": [{"gt": {"year": 1}}], "sort": "random"}, "the same rules always give the same songs"),
        ({"all": [{"gt": {"year": "new"}}]}, "compared with a number"),
        ({"all": [{"after": {"lastPlayed": "soon"}}]}, "compared with a date"),
        (
            {"all": [{"inTheLast": {"year": 5}}]},
            "'inTheLast' does not go with 'year'. It goes with: dateAdded, firstPlayed, lastPlayed",
        ),
        ({"all": [{"inTheRange": {"year": 5}}]}, "two values"),
        ({"all": [{"gt": {"year": 1, "bpm": 2}}]}, "about one field"),
        ({"all": [{"gt": {"year": 1}}], "limit": 0}, "whole number"),
        ({"all": [{"gt": {"year": 1}}], "sort": "stars"}, "no field 'stars'"),
    ],
)
def test_wrong_rules_say_what_is_wrong(rules: object, said: str) -> None:
    with pytest.raises(PlaylistRulesError, match=said):
        RulePlaylist.parsed("mine", json.dumps(rules))
    with pytest.raises(PlaylistRulesError, match="not JSON"):
        RulePlaylist.parsed("mine", "{")


def test_titles_sort_without_regard_to_case() -> None:
    tracks = [{**track, "name": name} for track, name in zip(some_tracks(3), ("Zed", "abc", "Bee"), strict=True)]
    rules = RulePlaylist.parsed("mine", json.dumps({"all": [{"gt": {"year": 0}}], "sort": "title"}))
    assert rules.songs(pool_of(tracks), NOW, BERLIN)["name"].to_list() == ["abc", "Bee", "Zed"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("forgotten_favourites", [1]),
        ("this_season_last_year", [4]),
        ("never_finished", [3]),
        ("new_this_month", [2, 5, 6]),
    ],
)
def test_every_user_gets_four_rule_playlists(key: str, expected: list[int]) -> None:
    found = READY_MADE[key].songs(POOL, NOW, BERLIN)
    assert found["track_id"].to_list() == [track_id(each) for each in expected]
    assert RulePlaylist.parsed(key, json.dumps(READY_MADE[key].rules)).rules == READY_MADE[key].rules


def test_reasons_name_what_the_rules_are_about() -> None:
    def reasons(key: str) -> list[str]:
        rules = READY_MADE[key]
        found = rules.songs(POOL, NOW, BERLIN).with_columns(pinned=False)
        season = season_last_year(NOW.date())
        return [rule_reason_of(row, rules.fields(), season) for row in found.iter_rows(named=True)]

    assert reasons("this_season_last_year") == [
        "Played 3 times from March 2025 to May 2025. Played 3 times, last on 2025-03-10."
    ]
    assert reasons("new_this_month") == [
        "First heard on 2026-03-10. Played 12 times, last on 2026-03-10.",
        "First heard on 2026-03-13. Played once, last on 2026-03-13.",
        "Added on 2026-03-09. In your library, not played yet.",
    ]
    assert reasons("never_finished") == ["Left early once. Begun, never heard to its end."]


@pytest.mark.parametrize(
    ("today", "first", "last"),
    [
        (date(2026, 3, 15), date(2025, 3, 1), date(2025, 5, 31)),
        (date(2026, 8, 31), date(2025, 6, 1), date(2025, 8, 31)),
        (date(2026, 12, 1), date(2025, 12, 1), date(2026, 2, 28)),
        (date(2026, 1, 31), date(2024, 12, 1), date(2025, 2, 28)),
    ],
)
def test_a_season_has_three_months_and_winter_begins_in_december(today: date, first: date, last: date) -> None:
    assert season_last_year(today) == (first, last)
