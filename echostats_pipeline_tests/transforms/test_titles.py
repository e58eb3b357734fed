"""How titles are read: what names the song, what names a version of it, and what says nothing."""

import polars as pl
import pytest

from echostats_pipeline.transforms.titles import (
    artist_stem,
    edition_of,
    is_generic,
    name_other_versions,
    read_title,
    stem,
)

SONG = ("song", (), set[str]())
READ = [
    # Editions of one recording, guests, and where it is from.
    ("Song", *SONG),
    ("SONG", *SONG),
    ("“Song”", *SONG),
    ("Song - Remastered 2011", *SONG),
    ("Song (2011 Remaster)", *SONG),
    ("Song [Remastered]", *SONG),
    ("Song - Remasterizado", *SONG),
    ("Song - Mono / Remastered", *SONG),
    ("Song - Single Version", *SONG),
    ("Song - Album Version (Explicit)", *SONG),
    ("Song (Deluxe Edition)", *SONG),
    ("Song [Bonus Track]", *SONG),
    ("Song - Original Mix", *SONG),
    ("Song - 24-Bit Remastered 2004", *SONG),
    ("Song - 96kHz/24bit Remaster", *SONG),
    ("Song - 2011 - Remaster", *SONG),
    ("Song (Remastered, 2009)", *SONG),
    ("Song (2009) [Remaster]", *SONG),
    ("Song - Remastered en 2009", *SONG),
    ("Song - Remasterizado em 2009", *SONG),
    ("Song (Versión Remasterizada del 2009)", *SONG),
    ("Song - Rimasterizzato nel 2009", *SONG),
    ("Song - Remastérisé", *SONG),
    ("Song - New Remaster", *SONG),
    ("Song - 2011年リマスター", *SONG),
    ("Song (feat. A, B & C)", *SONG),
    ("Song feat. A", *SONG),
    ("Song (with Anna)", *SONG),
    ("Song ft. A - Remastered", *SONG),
    ('Song - From "Film"', *SONG),
    ('Song (From "Film" / Soundtrack Version)', *SONG),
    # Versions.
    ("Song - Live", "song", (), {"live"}),
    ("Song (Live)", "song", (), {"live"}),
    ("Song - Live / 2007 Remaster", "song", (), {"live"}),
    ("Song feat. A - Live", "song", (), {"live"}),
    ("Song - Live at Wembley", "song", ("liveatwembley",), {"live"}),
    ("Song - Live 2019", "song", ("live2019",), {"live"}),
    ("Song (Live, 2019)", "song", ("live2019",), {"live"}),
    ("Song - Live (2019) - Remastered 2020", "song", ("live2019",), {"live"}),
    ("Song - Live - 2011 - Remaster", "song", (), {"live"}),
    ("Song - Live at Hall, 1986", "song", ("liveathall1986",), {"live"}),
    ("Song - Live at Hall / 1986 / Remastered", "song", ("liveathall1986",), {"live"}),
    ("Song (En Concierto)", "song", (), {"live"}),
    ("Song (En Vivo)", "song", (), {"live"}),
    ("Song - Ao Vivo", "song", (), {"live"}),
    ("Song (ライブ)", "song", (), {"live"}),
    ("Song - MTV Unplugged", "song", ("mtvunplugged",), {"live", "unplugged"}),
    ("Song (Someone Remix)", "song", ("someoneremix",), {"remix"}),
    ("Song - Someone Edit", "song", ("someoneedit",), {"edited by others"}),
    ("Song - 2019 Mix", "song", ("2019mix",), {"mix"}),
    ("Song - Extended Mix", "song", (), {"extended", "mix"}),
    ("Song - Acoustic Version", "song", (), {"acoustic"}),
    ("Song (Acústico)", "song", (), {"acoustic"}),
    ("Song - Demo", "song", (), {"demo"}),
    ("Song - Take 2", "song", ("take2",), {"take"}),
    ("Song (Cover)", "song", (), {"cover"}),
    ("Song - Karaoke Version", "song", (), {"karaoke"}),
    ("Song (Instrumental)", "song", (), {"instrumental"}),
    ("Song - A Cappella", "song", (), {"vocals only"}),
    ("Song - Sped Up", "song", (), {"sped up"}),
    ("Song (slowed + reverb)", "song", (), {"slowed", "reverb"}),
    ("Song (Ultra Slowed)", "song", (), {"slowed", "ultra so"}),
    ("Song - slowed and reverbed", "song", (), {"slowed", "reverb"}),
    ("Song (Slowed w/ Reverb)", "song", (), {"slowed", "reverb"}),
    ("Song sped up", "song", (), {"sped up"}),
    ("Song super slowed + reverb", "song", (), {"slowed", "super so", "reverb"}),
    ("Song acoustic version", "song", (), {"acoustic"}),
    ("Song (Daycore)", "song", (), {"daycore"}),
    ("Song (Faster)", "song", (), {"faster"}),
    ("Song - Guitar Version", "song", (), {"guitar"}),
    ("Song - Lofi Version", "song", (), {"lo-fi"}),
    ("Song (Bass Boosted)", "song", (), {"bass boosted"}),
    ("Song (Spanish Version)", "song", (), {"spanish"}),
    ("Song - En Español", "song", (), {"spanish"}),
    ("Song (Japanese ver.)", "song", (), {"japanese"}),
    ("Song - Jazz Version", "song", ("jazzversion",), {"other version"}),
    ('Song (7" Single Version)', "song", (), {"7 inch"}),
    ("Song (7\u2033 Version)", "song", (), {"7 inch"}),
    ("Song (Someone's Version)", "song", ("someonesversion",), {"own version"}),
    ("Song - 2012 Version", "song", ("2012version",), {"of a year"}),
    ("Song - 2012 Remastered Version", *SONG),
    ("Song (with the City Orchestra)", "song", ("withthecityorchestra",), {"orchestral"}),
    # Words that belong to the name.
    ("Live and Let Die", "liveandletdie", (), set()),
    ("(I Can't Get No) Satisfaction - Mono Version", "icantgetnosatisfaction", (), set()),
    ("Song (Pt. 2)", "song", ("pt2",), set()),
    ("Song - Pt. 2", "song", ("pt2",), set()),
    ("Song, Part II", "song", ("pt2",), set()),
    ("Song Pt.2", "song", ("pt2",), set()),
    ("Song, Part Two: The End", "song", ("pt2theend",), set()),
    ("Song, Pts. I-V", "song", ("pt1and5",), set()),
    ("Song (Volume 2)", "song", ("vol2",), set()),
    ("Song (1979) - Remastered 2012", "song", ("1979",), set()),
    ("Song - Film Version", "song", ("filmversion",), set()),
    ("Song (Spanish Guitar)", "song", ("spanishguitar",), set()),
    ("Spanish Guitar", "spanishguitar", (), set()),
    ("Faster", "faster", (), set()),
    ("Live Forever", "liveforever", (), set()),
    ("Remix to Ignition", "remixtoignition", (), set()),
    ("Speed Up", "speedup", (), set()),
    ("Part 1", "part1", (), set()),
    ("My Favorite Part", "myfavoritepart", (), set()),
    ("Part of Your World", "partofyourworld", (), set()),
    ("-1", "\u22121", (), set()),
    ("C♯", "c#", (), set()),
    ("Song (With You)", "song", ("withyou",), set()),
    ("Remix (I Like The)", "remix", ("ilikethe",), set()),
    ("Rock & Roll", "rockandroll", (), set()),
    ("Björk", "björk", (), set()),
    ("bjo\u0308rk", "björk", (), set()),
    ("C#", "c#", (), set()),
    ("C++", "c++", (), set()),
    ("1.5", "1=5", (), set()),
    ("1.2.3", "1=2=3", (), set()),
    ("24-7", "24=7", (), set()),
    ("10,000 Hours", "10000hours", (), set()),
    ("2 + 2 = 5", "2+2=5", (), set()),
    ("You + Me", "youandme", (), set()),
    ("$ign", "$ign", (), set()),
    ("P!nk", "p!nk", (), set()),
    ("What!", "what", (), set()),
    ("What\u2019s Up?", "whatsup", (), set()),
    ("???", "???", (), set()),
    ("??? - Remastered 2011", "???", (), set()),
]


@pytest.mark.parametrize(("title", "name", "details", "versions"), READ)
def test_a_title_names_a_song_and_a_version(
    title: str, name: str, details: tuple[str, ...], versions: set[str]
) -> None:
    found = read_title(title)
    assert pl.select(stem(pl.lit(title))).item() == name
    assert (found.details, found.versions, found.edit) == (details, versions, "")


@pytest.mark.parametrize(
    ("title", "edit"),
    [
        ("Song (Radio Edit)", "radio"),
        ("Song - Radio Edit; Remastered", "radio"),
        ("Song - Radio Mix", "radio"),
        ("Song - Single Edit", "single"),
        ("Song (Edit)", "edit"),
    ],
)
def test_an_edit_is_named_as_one(title: str, edit: str) -> None:
    assert read_title(title) == ((), frozenset(), edit, frozenset(), "song")


def test_a_version_has_the_names_that_tell_it_from_others() -> None:
    assert read_title("Song - Live at Wembley / 1986 (Someone Remix)").named == {"wembley", "1986", "someone"}
    one, more, other = (frozenset(names.split()) for names in ("wembley 1986", "wembley stadium", "paris"))
    assert not name_other_versions(one, one)
    assert not name_other_versions(frozenset(), one)
    assert not name_other_versions(one, more)
    assert name_other_versions(one, other)
    assert name_other_versions(one, frozenset({"wembley", "2003"}))


@pytest.mark.parametrize(
    ("album", "versions"),
    [
        ("Live at Leeds (Deluxe Edition)", {"live"}),
        ("Songs (Live)", {"live"}),
        ("Alchemy: A Band Live", {"live"}),
        ("MTV Unplugged in New York", {"live", "unplugged"}),
        ("Acústico (Ao Vivo)", {"live"}),
        ("The Instrumentals", {"instrumental"}),
        ("Karaoke Hits", {"karaoke"}),
        ("A Tribute to Velno", {"tribute"}),
        ("Demos 1987", {"demo"}),
        ("Song - Sped Up", {"sped up"}),
        ("Sped Up Hits", {"sped up"}),
        ("Songs: Slowed + Reverb", {"slowed", "reverb"}),
        ("Song \u2013 Ultra Slowed", {"slowed", "ultra so"}),
        ("Songs (Spanish Version)", {"spanish"}),
        ("Songs - Instrumental", {"instrumental"}),
        ("Song (Sped Up & Slowed)", set()),
        ("Speed Up", set()),
        ("Songs: Slow Burn", set()),
        ("Mozart: Piano", set()),
        ("Songs (Deluxe Live Edition)", set()),
        ("Live Through This", set()),
        ("Where We Live", set()),
        ("The World We Live In", set()),
        ("Long Live", set()),
        ("Songs (Remixes)", set()),
        ("", set()),
    ],
)
def test_an_album_names_the_version_of_its_tracks(album: str, versions: set[str]) -> None:
    assert read_title("Song", album).versions == versions


def test_a_track_names_its_own_speed_on_an_album_of_another_one() -> None:
    assert read_title("Song - Slowed", "Song (Sped Up)").versions == {"slowed"}


@pytest.mark.parametrize("name", ["intro", "outro", "interlude", "skit", "untitled", "track1", "interlude2", "pt1"])
def test_some_titles_say_nothing(name: str) -> None:
    assert is_generic(name)


@pytest.mark.parametrize("name", ["introducing", "1999", "songintro", "partyup", "trackmeet"])
def test_titles_that_only_begin_like_these_say_something(name: str) -> None:
    assert not is_generic(name)


def test_editions_of_an_album_are_one_album() -> None:
    assert {
        edition_of(name) for name in ("Songs", "Songs (Deluxe Edition)", "Songs - Remastered", "SONGS [Expanded]")
    } == {"songs"}
    assert edition_of("Songs (Vol. 2)") == "songsvol2"


def test_guests_are_no_part_of_an_artist() -> None:
    names = pl.Series(["Some One feat. Other", "Some One ft. Other", "some one", "SOME ONE (feat. Other)"])
    assert set(pl.select(artist_stem(pl.lit(names))).to_series()) == {"someone"}
