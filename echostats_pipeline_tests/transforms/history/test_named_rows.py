"""Rows with only names and a rough instant, among better ones, on a history in memory."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.importers.rows import EXPORT_SCHEMA
from echostats_pipeline.model.plays import Play
from echostats_pipeline.transforms.history.identity import stable_id
from echostats_pipeline_tests.transforms.history.fake_history import History
from echostats_pipeline_tests.transforms.listening_factories import quick
from echostats_pipeline_tests.transforms.row_factories import ExportRow, at, export, item, row, track_id

Named = tuple[int, str, int | None]
"""Seconds after the epoch, track, milliseconds."""


def named(rows: Sequence[Named], kind: str = "basic", *, spelt: str = "{}") -> pl.DataFrame:
    """Rows as the readers of account data (minutes) and of scrobbling services return them; the spelling may differ."""
    seen: dict[Any, int] = {}
    records = []
    for number, (seconds, letter, ms_played) in enumerate(rows):
        track = spelt.format(letter)
        stamp = at(seconds // 60 * 60) if kind == "basic" else at(seconds)
        told = stamp.strftime("%Y-%m-%d %H:%M") if kind == "basic" else str(int(stamp.timestamp()))
        key = f"{kind}|{told}|Artist\x1f{track}|{'' if ms_played is None else ms_played}"
        seen[key] = seen.get(key, 0) + 1
        record = {
            "row_number": number,
            "import_key": f"{key}|{seen[key]}",
            "import_ts": stamp,
            "ms_played": ms_played,
            "track_id": stable_id("unresolved", "Artist", track),
            "track_name": track,
            "artist_name": "Artist",
            "album_name": "",
        }
        records.append({name: record.get(name) for name in EXPORT_SCHEMA})
    return pl.DataFrame(records, schema=EXPORT_SCHEMA)


def of_artist(seconds: float, track: str) -> Any:
    reported = item(seconds, track)
    return reported.model_copy(update={"track": reported.track.model_copy(update={"artist_name": "Artist"})})


TRACKS = "ab"
LENGTHS = (0, 703, 15_011, 200_023)
extended_rows = st.lists(
    st.builds(row, seconds=st.integers(0, 900), track=st.sampled_from(TRACKS), ms_played=st.sampled_from(LENGTHS)),
    max_size=6,
    unique_by=lambda listed: (listed["ts"], listed["spotify_track_uri"], listed["ms_played"]),
)
named_rows = st.lists(
    st.tuples(st.integers(0, 900), st.sampled_from(TRACKS), st.sampled_from(LENGTHS)),
    max_size=6,
    # Rows of equal content are distinct only within one file.
    unique_by=lambda listed: (listed[0] // 60, *listed[1:]),
)
scrobbles = st.lists(st.tuples(st.integers(0, 900), st.sampled_from(TRACKS), st.none()), max_size=6, unique=True)
pages = st.lists(st.builds(of_artist, st.integers(0, 900), st.sampled_from(TRACKS)), min_size=1, max_size=5)


def test_a_row_of_the_account_data_stands_alone_until_the_extended_export_tells_more() -> None:
    history = History()
    assert history.export(named([(330, "a", 200_000)])).outcomes == {"inserted": 1, "duplicate": 0}
    (play,) = history.documents()
    assert (play["played_at"], play["ms_played"], play["played_at_precision"]) == (at(300), 200_000, "minute")
    assert play["track"]["spotify_id"] == stable_id("unresolved", "Artist", "a")
    changes = history.export(export([row(331, "a", 200_000)]))
    assert +changes.outcomes == {"merged": 1}
    assert set(changes.ends) == {at(300), at(331)}
    (upgraded,) = history.documents()
    assert (upgraded["played_at"], upgraded["track"]["spotify_id"]) == (at(331), track_id("a"))
    assert upgraded["also_imported"] == [play["import_key"]]
    assert "played_at_precision" not in upgraded
    assert +history.export(named([(330, "a", 200_000)])).outcomes == {"duplicate": 1}
    assert history.documents() == [upgraded]


@pytest.mark.parametrize(
    ("seconds", "ms_played", "same"),
    [
        (359, 200_000, True),
        (300, 200_000, True),
        (449, 200_000, True),
        (451, 200_000, False),
        (560, 200_000, False),
        (330, 199_999, False),
    ],
)
def test_an_extended_row_is_the_play_of_the_minute_if_it_lasted_as_long(
    seconds: int, ms_played: int, same: bool
) -> None:
    history = History()
    history.export(export([row(seconds, "a", ms_played)]))
    history.export(named([(330, "a", 200_000)]))
    assert len(history.plays) == (1 if same else 2)


@pytest.mark.parametrize("kind", ["listenbrainz", "koito", "maloja", "scrobblerlog", "lastfm"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("stamp", [130, 330])
def test_a_service_tells_of_an_extended_row_from_its_start_or_end(kind: str, first: bool, stamp: int) -> None:
    history = History()
    told = named([(stamp, "a", 200_000 if kind == "maloja" else None)], kind)
    for rows in (told, export([row(331, "a", 200_467)])) if first else (export([row(331, "a", 200_467)]), told):
        history.export(rows)
    (play,) = history.documents()
    assert (play["played_at"], play["ms_played"], play["also_imported"]) == (at(331), 200_467, list(told["import_key"]))
    assert history.export(told).outcomes["duplicate"] == 1
    assert history.documents() == [play]


def test_all_services_that_saw_a_play_tell_of_one() -> None:
    history = History()
    for kind in ("lastfm", "scrobblerlog", "maloja", "koito", "listenbrainz"):
        history.export(named([(130, "a", 200_000 if kind == "maloja" else None), (900, "a", None)], kind))
    assert len(history.plays) == 2


def test_account_data_tell_the_api_how_long_a_play_lasted() -> None:
    history = History()
    history.page([of_artist(345, "a")])
    history.export(named([(330, "a", 123_000)]))
    (play,) = history.documents()
    assert (play["played_at"], play["ms_played"], play["source"]) == (at(345), 123_000, "import")
    assert play["api_played_at"] == at(345)


@pytest.mark.parametrize("stamp", [100, 300])
def test_a_scrobble_of_a_known_play_adds_nothing_whether_it_names_the_start_or_the_end(stamp: int) -> None:
    history = History()
    history.export(export([row(300, "a", 200_000)]))
    before = {**history.documents()[0]}
    changes = history.export(named([(stamp, "a", None)], "lastfm"))
    assert (+changes.outcomes, set(changes.ends)) == ({"merged": 1}, set())
    (play,) = history.documents()
    assert len(play.pop("also_imported")) == 1
    assert play == before


def test_what_two_services_tell_is_one_play() -> None:
    history = History()
    history.export(named([(300, "a", None)], "lastfm"))
    history.export(named([(310, "a", None)], "listenbrainz"))
    (play,) = history.documents()
    assert play["import_key"].startswith("listenbrainz|")
    assert (play["ms_played"], play["played_at_estimated"]) == (None, True)
    assert play["also_imported"][0].startswith("lastfm|")


@pytest.mark.scale
@quick
@given(
    extended=extended_rows,
    basic=named_rows,
    listens=scrobbles,
    page=pages,
    cut=st.integers(0, 6),
    random=st.randoms(use_true_random=False),
)
def test_the_order_of_sources_does_not_matter(
    extended: list[ExportRow], basic: list[Named], listens: list[Named], page: Any, cut: int, random: Any
) -> None:
    def steps(history: History) -> list[Any]:
        rows = [export(extended[:cut]), export(extended[cut:]), named(basic[:cut]), named(basic[cut:])]
        rows += [named(listens[:cut], "lastfm"), named(listens[cut:], "lastfm", spelt='"{}" (feat. Guest)')]
        rows += [named(listens[cut:], "listenbrainz", spelt="{} - 2011 Remaster")]
        return [partial(history.page, page), *(partial(history.export, part) for part in rows)]

    in_order, shuffled = History(), History()
    for step in steps(in_order):
        step()
    others = steps(shuffled)
    random.shuffle(others)
    for step in others:
        step()
    assert shuffled.documents() == in_order.documents()
    for play in in_order.documents():
        Play.model_validate(play)
    told = [key for play in in_order.documents() for key in [play.get("import_key"), *play.get("also_imported", [])]]
    assert len(set(told) - {None}) == len(extended) + len(basic) + len(listens) + len(listens[cut:])
