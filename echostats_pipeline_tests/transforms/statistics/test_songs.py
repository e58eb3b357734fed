"""Which ids of tracks are one song."""

import random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.transforms.statistics.songs import NO_RULES, Rules, alike, songs
from echostats_pipeline_tests.transforms.listening_factories import quick, titles
from echostats_pipeline_tests.transforms.oracle_songs import SongFacts, song_ids

SCHEMA = pl.Schema(
    {
        **dict.fromkeys(("track_id", "name", "artist_id", "artist_name", "album_name"), pl.String()),
        "duration_ms": pl.Int64(),
        "isrc": pl.String(),
        "plays": pl.Int64(),
        "ms": pl.Int64(),
    }
)


X, Y = "DEX012300001", "GBAYE0601498"
"""Recording codes."""


def track(
    track_id: str,
    name: str = "Song",
    *,
    length: int = 200_000,
    isrc: str = "",
    album: str = "Album",
    artist: str = "artist",
    artist_id: str = "id",
    plays: int = 1,
) -> SongFacts:
    return SongFacts(track_id, name, artist_id, artist, album, length, isrc, plays, plays * 200_000)


def joined(*tracks: SongFacts, rules: Rules = NO_RULES) -> dict[str, tuple[str, str]]:
    """Ids that share a song: the id that shows it, and why."""
    frame = pl.DataFrame([vars(each) for each in tracks], schema=SCHEMA, orient="row")
    found = songs(alike(frame, rules), rules)
    return {track_id: (song, why) for song, _, track_id, why in found.iter_rows()}


def are_one(one: SongFacts, other: SongFacts) -> bool:
    return len(joined(one, other)) == 2


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        # ISRC, whatever the titles are.
        (track("a", isrc=X, plays=2), track("b", "Lied", isrc="de-x01-23-00001", length=0), "isrc"),
        (track("a", isrc=X, plays=2), track("b", isrc=X, length=260_000), "isrc"),
        # Title, artist and length.
        (track("a", plays=2), track("b", "SONG - 2011 Remaster", album="Best of"), "length"),
        (track("a", plays=2), track("b", length=202_000), "length"),
        (track("a", plays=2, isrc=X), track("b", isrc=Y, length=201_999), "length"),
        (track("a", plays=2), track("b", "Song - Radio Edit", length=199_000), "length"),
        # A name alone means the only artist of that name.
        (track("a", plays=2), track("b", artist_id="", artist="ARTIST", length=0), "title"),
        (track("a", plays=2, length=0, artist_id=""), track("unresolved:b", artist_id="", length=0), "title"),
        # Live, but the same live recording.
        (track("a", "Song - Live", plays=2), track("b", "Song", album="Live at Leeds"), "length"),
        (track("a", "Intro", plays=2), track("b", "Intro", album="Album (Deluxe)"), "length"),
        # Words of one meaning, and what says more of one recording.
        (track("a", "Song - Live", length=0, plays=2), track("b", "Song (Ao Vivo)", length=0), "title"),
        (track("a", "Song - Live", isrc=X, plays=2), track("b", "Song - Live at Wembley 1986", isrc=X), "isrc"),
        (track("a", "Song", album="Live 1975", isrc=X, plays=2), track("b", album="Live 2003", isrc=X), "isrc"),
        (track("a", "Song", album="Live at A", plays=2), track("b", album="The Best, Live"), "length"),
        # Spellings of one name.
        (track("a", "What\u2019s Up? / Mr. Day-Off", length=0, plays=2), track("b", "What's up? Mr Day Off"), "title"),
        (track("a", "What?", plays=2), track("b", "What"), "length"),
        *(
            (track("a", one, length=0, plays=2), track("b", other, length=0), "title")
            for one, other in (
                ("Rain", "Rain - 2011 - Remaster"),
                ("Wave - Live 1999", "Wave (Live, 1999)"),
                ("Wave - Live at Hall 1986", "Wave - Live at Hall, 1986"),
                ("C#", "C\u266f"),
                ("\u22121", "-1"),
                ("Song, Part 2", "Song, Pt. 2"),
                ("Song, Pt. 2", "Song (Pt. 2)"),
                ("Song (Slowed + Reverb)", "Song slowed and reverbed"),
                ('Song (7" Single Version)', 'Song - 7" Version'),
                ("Song (Spanish Version)", "Song - Versión en Español"),
            )
        ),
        (track("a", "Song - Sped Up", length=0, plays=2), track("b", album="Song: Sped Up", length=0), "title"),
    ],
)
def test_one_recording_is_one_song(one: SongFacts, other: SongFacts, why: str) -> None:
    assert joined(one, other) == {one.track_id: ("a", "shown"), other.track_id: ("a", why)}


VERSIONS = (
    "Original Mix",
    *("Live", "Unplugged", "BBC Session", "Remix", "Rework", "Dub", "Bootleg", "Mashup", "Flip", "Refix", "VIP"),
    "Mixed",
    *("Extended", '12" Version', '7" Version', "Long Version", "Club Mix", "Club Version", "Acoustic", "Stripped"),
    *("Piano Version", "Orchestral Version", "Symphonic Version", "Strings Version", "with the City Orchestra"),
    *("Demo", "Rehearsal", "Outtake", "Alternate Take", "Take 3", "Early Version", "Rough Mix", "Cover", "Tribute"),
    *("In the Style of A", "Karaoke Version", "Backing Track", "Sing-along", "Instrumental", "A Cappella", "Sped Up"),
    *("Slowed", "Super Slowed", "Ultra Slowed", "Slowed + Reverb", "Slower Version", "Faster Version", "Daycore"),
    *(
        "Guitar Version",
        "Ukulele Version",
        "Jazz Version",
        "Lo-Fi",
        "Bass Boosted",
        "Spanish Version",
        "English Version",
    ),
    *("Nightcore", "8D", "Chopped", "Pitched", "Re-recorded"),
    *("Someone's Version", "2012 Version", "Reimagined", "Revisited", "Someone Edit", "Radio Edit", "TV Edit", "Pt. 2"),
)
"""One of each kind of version; the first is the original."""


@pytest.mark.parametrize("length", [0, 200_000])
def test_no_version_is_another_one(length: int) -> None:
    named = [name for name in VERSIONS if length == 0 or "Edit" not in name]
    of_any_kind = [track(name, f"Song - {name}", length=length) for name in named]
    assert joined(*of_any_kind) == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (track("a"), track("b", length=202_001)),
        (track("a"), track("b", artist_id="other")),
        (track("a"), track("b", "Song II")),
        (track("a", isrc=X), track("b", isrc=Y, length=210_000)),
        # Other versions, even if they have one ISRC.
        *(
            (track("a", isrc=X), track("b", f"Song - {version}", isrc=X))
            for version in (
                "Live",
                "Someone Remix",
                "Acoustic",
                "Demo",
                "Karaoke Version",
                "Instrumental",
                "Sped Up",
                "Cover",
                "En Concierto",
                "Guitar Version",
                "Spanish Version",
                "Jazz Version",
            )
        ),
        (track("a", "Rain", isrc=X), track("b", "Rain sped up", isrc=X)),
        (track("a", isrc=X), track("b", album="Song - Sped Up", isrc=X)),
        (track("a", length=0), track("b", album="Live in Paris", length=0)),
        (track("a", "Song - Live 2019", length=0), track("b", "Song - Live 2003", length=0)),
        (track("a"), track("b", "Song - Radio Edit", length=180_000)),
        (track("a", isrc=X), track("b", "Song - Radio Edit", length=180_000, isrc=X)),
        (track("a", length=0), track("b", "Song - Radio Edit", length=0)),
        # Versions of one kind by other people, in other years, at other places.
        *(
            (track("a", f"Song - {one}", isrc=X), track("b", f"Song - {other}", isrc=X))
            for one, other in (
                ("Someone Remix", "Other Remix"),
                ("Live 2019", "Live 2003"),
                ("Live at Wembley", "Live in Paris"),
                ("Take 2", "Take 3"),
                ("Ultra Slowed", "Super Slowed"),
                ("Live, 1999", "Live, 2001"),
                ("2012 Version", "2017 Version"),
                ("Radio Edit", "Live Edit"),
            )
        ),
        (track("a", "Song - Radio Edit", length=0), track("b", "Song - TV Edit", length=0)),
        (track("a", length=0, album="Live at Leeds"), track("b", album="Live in Paris")),
        (track("a", album="Live 2019"), track("b", album="Live 2003")),
        # Names that only signs tell apart.
        *(
            (track("a", one), track("b", other))
            for one, other in (
                ("C", "C#"),
                ("C#", "C++"),
                ("1.5", "15"),
                ("-1", "1"),
                ("24/7", "247"),
                ("$ign", "Sign"),
                ("$ign", "ign"),
            )
        ),
        *(
            (track("a", one, length=0), track("b", other))
            for one, other in (("What!", "What?"), ("I'll", "Ill"), ("Every Day", "Everyday"), ("!!!", "???"))
        ),
        (track("a", artist_id="", artist="C"), track("b", artist_id="", artist="C#")),
        # Codes that are none.
        *(
            (track("a", isrc=code), track("b", "Lied", isrc=code))
            for code in ("0", "N/A", "DEX0123", "DEX0123000012", "000000000000", "DEX010000000", "XXX012300001")
        ),
        # Titles that say nothing.
        (track("a", "Intro", length=0), track("b", "Intro", length=0, album="Another")),
        (track("a", "Intro"), track("b", "Intro", album="Another")),
        # Tracks without an artist, or without a title.
        (track("a", artist_id="", artist=""), track("b", artist_id="", artist="")),
        (track("a", ""), track("b", "")),
        (
            track("a", artist_id="", artist="Various Artists", length=0),
            track("b", artist_id="", artist="Various Artists", length=0),
        ),
    ],
)
def test_what_may_be_two_recordings_stays_two(one: SongFacts, other: SongFacts) -> None:
    assert not are_one(one, other)


def test_a_name_of_two_artists_means_neither() -> None:
    found = joined(track("a"), track("b", artist_id="other"), track("c", artist_id="", artist="Artist", length=0))
    assert found == {}


def test_lengths_are_grouped_from_the_shortest_and_unknown_ones_join_the_most_played() -> None:
    found = joined(
        track("a", length=200_000),
        track("b", length=201_500),
        track("c", length=203_000, plays=5),
        track("d", length=204_000),
        track("e", length=0),
    )
    assert {track_id: song for track_id, (song, _) in found.items()} == {
        "a": "a",
        "b": "a",
        "c": "c",
        "d": "c",
        "e": "c",
    }


def test_a_song_shows_its_most_played_id() -> None:
    most_time = SongFacts("c", "Song", "id", "artist", "Album", 200_000, "", 4, 900_000)
    assert {song for song, _ in joined(track("a", plays=4), most_time, track("b", plays=3)).values()} == {"c"}


def test_no_chain_joins_what_contradicts() -> None:
    one, other = track("a", isrc=X, length=190_000), track("c", isrc=Y, length=200_000)
    assert joined(one, track("b", isrc=X, length=200_000), other) == {"a": ("a", "shown"), "b": ("a", "isrc")}


def test_a_rule_joins_whatever_it_names() -> None:
    rules = Rules(same=[("a", "gone"), ("gone", "b")])
    found = joined(track("a", plays=3), track("b", "Lied - Live", isrc=Y, length=9), track("c"), rules=rules)
    assert found == {"a": ("a", "shown"), "b": ("a", "rule"), "c": ("a", "length")}


def test_a_rule_keeps_apart_whatever_it_names() -> None:
    rules = Rules(different=[("b", "a")])
    assert joined(track("a", isrc=X), track("b", isrc=X), rules=rules) == {}
    of_three = joined(track("a", isrc=X), track("b", isrc=X), track("c", isrc=X), rules=rules)
    assert of_three == {"a": ("a", "shown"), "c": ("a", "isrc")}


facts = st.builds(
    SongFacts,
    track_id=st.sampled_from("abcdefghij"),
    name=titles,
    artist_id=st.sampled_from(("", "id1", "id2")),
    artist_name=st.sampled_from(("Nirvana", "NIRVANA", "Björk", "")),
    album_name=st.sampled_from(("Album", "Another")),
    duration_ms=st.sampled_from((0, 200_000, 201_500, 203_000, 204_000)),
    isrc=st.sampled_from(("", X, "de-x01-23-00001", Y, "0")),
    plays=st.integers(0, 3),
    ms=st.integers(0, 3),
)


@quick
@given(tracks=st.lists(facts, max_size=9, unique_by=lambda each: each.track_id), seed=st.integers(0, 99))
def test_songs_are_what_comparing_all_pairs_finds_in_any_order(tracks: list[SongFacts], seed: int) -> None:
    expected = {track_id: ids[0] for track_id, ids in song_ids(tracks).items() if len(ids) > 1}
    found = joined(*random.Random(seed).sample(tracks, len(tracks)))
    assert {track_id: song for track_id, (song, _) in found.items()} == expected
