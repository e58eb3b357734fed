"""Which plays are sent on, when each began, and which were sent before under another id or time."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline import __version__
from echostats_pipeline.model.rules import Exclusion, Rule
from echostats_pipeline.transforms.scrobbles import (
    LARGEST_LISTEN,
    LARGEST_REQUEST,
    LISTENBRAINZ,
    MOST_LISTENS,
    READ_SCHEMA,
    NewListen,
    ScrobblePlan,
    SentBefore,
    TrackFacts,
    countable_plays,
    first_instant,
    requests_of,
    scrobble_plan,
    size_of,
)

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
TRACK = "4uLU6hMCjMI75M1A2tKUQC"
URL = f"https://open.spotify.com/track/{TRACK}"
SONG_MS = 200_000


def play(number: int, end: datetime, **fields: Any) -> dict[str, Any]:
    """A play from Spotify's API, unless fields say otherwise."""
    known = {
        "track_id": TRACK,
        "track_name": "Song",
        "artist_name": "Ann",
        "album_name": "Album",
        "duration_ms": SONG_MS,
        "private_session": None,
    }
    return {**dict.fromkeys(READ_SCHEMA), **known, "id": f"{number:024x}", "played_at": end, **fields}


def plan(
    plays: Sequence[dict[str, Any]],
    sent: Sequence[SentBefore] = (),
    *,
    target: str = "http://koito.local",
    since: datetime | None = None,
    facts: TrackFacts | None = None,
    rules: Sequence[Rule] = (),
) -> ScrobblePlan:
    frame = pl.DataFrame(list(plays), schema=READ_SCHEMA)
    countable = countable_plays(frame, timezone="UTC", rules=rules, min_play_ms=30_000)
    known = {} if facts is None else {TRACK: facts}
    now = NOON + timedelta(days=1)
    return scrobble_plan(countable, frame["id"], sent, target=target, since=since, now=now, facts=known)


def record(number: int, listen: NewListen) -> SentBefore:
    """What is stored of a listen."""
    at = round(listen.played_at.timestamp() * 1000)
    return SentBefore(f"{number:024x}", listen.play_id, listen.track_id, listen.song, at, listen.listened_at)


def test_a_listen_begins_when_the_play_began_and_leaves_out_what_is_unknown() -> None:
    (known,) = plan([play(1, NOON, ms_played=61_900)], facts=TrackFacts(["Ann", "Bob"], "us-rc1-76-07839")).listens
    assert known.listen == {
        "listened_at": int(NOON.timestamp()) - 62,
        "track_metadata": {
            "artist_name": "Ann",
            "track_name": "Song",
            "release_name": "Album",
            "additional_info": {
                "duration_ms": SONG_MS,
                "duration_played": 61,
                "spotify_id": URL,
                "origin_url": URL,
                "isrc": "USRC17607839",
                "artist_names": ["Ann", "Bob"],
                "media_player": "Spotify",
                "music_service": "spotify.com",
                "submission_client": "echostats_pipeline",
                "submission_client_version": __version__,
            },
        },
    }
    (unknown,) = plan([play(1, NOON, track_id="unresolved:abc", album_name="", duration_ms=0)]).listens
    assert unknown.listened_at == int(NOON.timestamp())
    assert unknown.listen["track_metadata"].keys() == {"artist_name", "track_name", "additional_info"}
    assert unknown.listen["track_metadata"]["additional_info"].keys() == {
        "media_player",
        "music_service",
        "submission_client",
        "submission_client_version",
    }


def test_a_compilation_is_no_artist() -> None:
    for named, artists, sent in (
        ("Various Artists", ["", "Veldra Solber", "Bob"], "Veldra Solber"),
        ("Verschiedene Interpreten", ["Ann"], "Ann"),
        ("Various Artists", [], "Various Artists"),
        ("Various Cruelties", ["Ann"], "Various Cruelties"),
    ):
        (listen,) = plan([play(1, NOON, artist_name=named)], facts=TrackFacts(artists)).listens
        assert listen.listen["track_metadata"]["artist_name"] == sent


def test_a_play_of_unknown_length_lasts_no_longer_than_since_the_play_before_it() -> None:
    before = play(1, NOON - timedelta(seconds=50), ms_played=1_000)  # too short to count
    (after,) = plan([play(2, NOON), before]).listens
    assert after.listened_at == int(NOON.timestamp()) - 50


def test_only_what_counts_and_no_rule_leaves_out_is_sent_and_the_rest_is_counted() -> None:
    plays = [
        play(1, NOON, ms_played=29_999),
        play(2, NOON - timedelta(hours=1), ms_played=40_000, private_session=True),
        play(3, NOON - timedelta(hours=2), ms_played=40_000, artist_name=" "),
        play(4, NOON - timedelta(hours=3), ms_played=40_000, track_name=None),
        play(5, datetime(1999, 1, 1, tzinfo=UTC), ms_played=40_000),
        play(6, NOON + timedelta(days=9), ms_played=40_000),
        play(7, NOON - timedelta(days=40), ms_played=40_000),
        play(8, NOON - timedelta(hours=4), ms_played=40_000, track_name="x" * LARGEST_LISTEN),
        play(9, NOON - timedelta(hours=5), ms_played=40_000),
    ]
    rule = Rule(id=ObjectId(), user_id="u", kind="exclude", exclude=Exclusion(private_session=True))
    made = plan(plays, since=NOON - timedelta(days=30), rules=[rule])
    assert [each.play_id for each in made.listens] == [f"{9:024x}"]
    assert made.left_out == {"without_a_name": 2, "in_the_future": 1, "too_long": 1}
    assert plan(plays[4:5]).left_out == {"impossible_date": 1}


def test_what_came_from_another_service_does_not_say_spotify_and_never_goes_back_to_listenbrainz() -> None:
    heard = play(1, NOON, import_key=f"listenbrainz|{int(NOON.timestamp())}|Ann\x1fSong||1")
    (listen,) = plan([heard]).listens
    assert not listen.listen["track_metadata"]["additional_info"].keys() & {"media_player", "music_service"}
    assert plan([heard], target=LISTENBRAINZ).left_out == {"from_there": 1}


def test_long_names_cost_what_is_optional_first() -> None:
    (listen,) = plan([play(1, NOON)], facts=TrackFacts(["Ann" * 100] * 50)).listens
    assert "artist_names" not in listen.listen["track_metadata"]["additional_info"]
    assert size_of(listen.listen) <= LARGEST_LISTEN


def test_two_plays_of_a_song_never_begin_in_the_same_second() -> None:
    ended = [play(number, NOON + timedelta(milliseconds=number), ms_played=40_000) for number in range(3)]
    sent = plan(ended).listens
    assert len({each.listened_at for each in sent}) == 3
    again = plan(
        [*ended, play(7, NOON + timedelta(milliseconds=7), ms_played=40_000)], list(map(record, range(3), sent))
    )
    assert [each.play_id for each in again.listens] == [f"{7:024x}"]
    assert again.listens[0].listened_at not in {each.listened_at for each in sent}


@pytest.mark.parametrize(
    ("stored", "shift"),
    [
        ({"ms_played": 150_000}, 40),  # an export knows how long it lasted, and when it ended
        ({"ms_played": 150_000}, -89),
        ({"ms_played": SONG_MS}, 200),  # the API had reported its start
        ({"ms_played": 35_000, "track_id": "unresolved:other"}, 2),
    ],
)
def test_a_play_that_got_another_id_and_time_is_not_sent_again(stored: dict[str, Any], shift: int) -> None:
    (sent,) = plan([play(1, NOON)]).listens
    moved = plan([play(2, NOON + timedelta(seconds=shift), **stored)], [record(9, sent)])
    assert (moved.listens, moved.moved) == ([], {f"{9:024x}": f"{2:024x}"})


def test_another_song_or_another_time_is_another_play() -> None:
    (sent,) = plan([play(1, NOON, ms_played=40_000)]).listens
    later = play(2, NOON + timedelta(seconds=200), ms_played=40_000)
    other = play(3, NOON + timedelta(seconds=5), ms_played=40_000, track_id="x" * 22, track_name="Other")
    assert len(plan([later, other], [record(9, sent)]).listens) == 2
    # A play that is still there keeps its record, so that none is left for the other one.
    beside = plan(
        [play(1, NOON, ms_played=40_000), play(4, NOON + timedelta(seconds=60), ms_played=40_000)], [record(9, sent)]
    )
    assert [each.play_id for each in beside.listens] == [f"{4:024x}"]


@given(
    st.lists(st.tuples(st.integers(35, 400), st.integers(-12, 12)), min_size=1, max_size=12),
    st.integers(0, 11),
)
def test_after_an_import_that_replaces_every_play_only_new_ones_are_sent(
    plays: list[tuple[int, int]], new: int
) -> None:
    """All plays are of one song, in a row; the last ones were not sent."""
    ends, end = [], NOON
    for seconds, _ in plays:
        end += timedelta(seconds=seconds)
        ends.append(end)
    lasted = [seconds * 1000 for seconds, _ in plays]
    old = [play(number, at, ms_played=ms) for number, (at, ms) in enumerate(zip(ends, lasted, strict=True), 1)]
    sent = plan(old).listens[: max(len(plays) - new, 0)]
    replaced = [
        play(100 + number, at + timedelta(seconds=shift), ms_played=ms)
        for number, (at, ms, (_, shift)) in enumerate(zip(ends, lasted, plays, strict=True))
    ]
    made = plan(replaced, list(map(record, range(len(sent)), sent)))
    assert len(made.listens) == len(plays) - len(sent)
    assert len(made.moved) == len(sent)
    again = [*map(record, range(len(sent)), sent)]
    owned = [each._replace(play_id=made.moved[each.sent_id]) for each in again]
    assert plan(replaced, [*owned, *map(record, range(50, 99), made.listens)]).listens == []


def test_a_request_has_at_most_a_thousand_listens_and_stays_below_a_megabyte() -> None:
    many = plan([play(n, NOON - timedelta(minutes=n), ms_played=40_000) for n in range(1, 2_302)]).listens
    assert [len(batch) for batch in requests_of(many)] == [MOST_LISTENS, MOST_LISTENS, 301]
    assert [each.listened_at for each in many] == sorted(each.listened_at for each in many)
    long = [each._replace(listen={**each.listen, "x": "y" * 9_000}) for each in many[:250]]
    sizes = [len(json.dumps([each.listen for each in batch])) for batch in requests_of(long)]
    assert len(sizes) > 1
    assert max(sizes) <= LARGEST_REQUEST + 2


def test_the_first_date_begins_at_midnight_in_the_zone_of_the_user() -> None:
    assert first_instant("2025-03-01", "Europe/Berlin") == datetime(2025, 2, 28, 23, tzinfo=UTC)
    assert first_instant(None, "Europe/Berlin") is None
