"""Damaged quotes, separators and line ends in every text format: each costs at most its own row, and is counted."""

import csv
import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO, StringIO
from typing import Any

import polars as pl
import pytest

from echostats_pipeline.importers import arrays
from echostats_pipeline.importers.reading import READERS, read_export
from echostats_pipeline.importers.recognition import recognised
from echostats_pipeline.importers.rows import ExportFile, ExportFormat
from echostats_pipeline_tests.importers.whole_files import WholeFile, read_whole

ROWS = 400
EVERY = 10
"""One row in this number is damaged. The rows between show whether damage spreads."""
START = 1_700_000_000


def title(number: int) -> str:
    return f"Song {number}, with é"


def iso(number: int, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    return datetime.fromtimestamp(START + 300 * number, UTC).strftime(form)


def table(header: Sequence[str], row: Callable[[int], Sequence[str]], **style: Any) -> list[str]:
    """The lines of a CSV without their ends."""
    lines = []
    for values in ([header] if header else []) + [row(number) for number in range(ROWS)]:
        text = StringIO()
        csv.writer(text, lineterminator="", **style).writerow(values)
        lines.append(text.getvalue())
    return lines


def ghan(number: int) -> list[str]:
    return [str(START + 300 * number), iso(number, "%d %b %Y, %H:%M"), "Björk", "", "Vespertine", "", title(number), ""]


def echotune(number: int) -> list[str]:
    uri = f"spotify:track:{number:022}"
    return [uri, iso(number), "200000", title(number), "Björk", "Vespertine", "clickrow", *(["x"] * 50)]


ECHOTUNE = (
    *("spotify_track_uri", "ts_x", "ms_played_x", "master_metadata_track_name_x"),
    *("master_metadata_album_artist_name_x", "master_metadata_album_album_name_x", "reason_start"),
    *(f"joined {number}" for number in range(50)),
)


def track(number: int) -> dict[str, Any]:
    return {
        "artist": {"mbid": "", "#text": "Björk"},
        "image": [{"size": "small", "#text": ""}],
        "name": title(number),
        "album": {"mbid": "", "#text": "Vespertine"},
        "date": {"uts": str(START + 300 * number), "#text": iso(number, "%d %b %Y, %H:%M")},
    }


def listen(number: int) -> dict[str, Any]:
    names = {"artist_name": "Björk", "track_name": title(number), "additional_info": {"duration": 200}}
    return {"listened_at": START + 300 * number, "track_metadata": names}


def koito(number: int) -> dict[str, Any]:
    def named(name: str) -> list[dict[str, Any]]:
        return [{"alias": name, "source": "Canonical", "is_primary": True}]

    return {
        "listened_at": iso(number),
        "track": {"mbid": None, "duration": 200, "aliases": named(title(number))},
        "album": {"image_url": "", "aliases": named("Vespertine")},
        "artists": [{"is_primary": True, "aliases": named("Björk")}],
    }


def maloja(number: int) -> dict[str, Any]:
    names = {"artists": ["Björk"], "title": title(number), "album": None, "length": 200}
    return {"time": START + 300 * number, "track": names, "duration": 200, "origin": "client:x"}


def extended(number: int) -> dict[str, Any]:
    return {
        "ts": iso(number),
        "ms_played": 200_000,
        "master_metadata_track_name": title(number),
        "master_metadata_album_artist_name": "Björk",
        "spotify_track_uri": f"spotify:track:{number:022}",
    }


def basic(number: int) -> dict[str, Any]:
    stamp = iso(number, "%Y-%m-%d %H:%M")
    return {"endTime": stamp, "artistName": "Björk", "trackName": title(number), "msPlayed": 200_000}


def array(row: Callable[[int], Any], before: str = "[", after: str = "]", indent: int | None = None) -> list[str]:
    """The rows of an array, each with its comma, and the text around them."""
    rows = [json.dumps(row(number), ensure_ascii=False, indent=indent) for number in range(ROWS)]
    return [before, *(f"{text}," for text in rows[:-1]), rows[-1], after]


@dataclass(frozen=True)
class Form:
    """A file as pieces: the rows from `first` on, each followed by `end`."""

    format: ExportFormat
    pieces: list[str]
    first: int = 1
    end: str = "\n"
    separators: str = ","


FORMS = {
    "last.fm, all quoted": Form("lastfm", table(("uts", "utc_time", "artist", "artist_mbid", "album", "album_mbid",
        "track", "track_mbid"), ghan, quoting=csv.QUOTE_ALL)),
    "last.fm, quoted where needed": Form("lastfm", table(("uts", "utc_time", "artist", "artist_mbid", "album",
        "album_mbid", "track", "track_mbid"), ghan)),
    "last.fm, semicolons": Form("lastfm", table(("Artist", "Album", "AlbumId", "Track", "Date#ann"), lambda number:
        ("Björk", "Vespertine", "", title(number), f"{START + 300 * number}000"), delimiter=";"), separators=";"),
    "last.fm, tabs and no header": Form("lastfm", table((), lambda number: ("Björk", "Vespertine", title(number),
        iso(number, "%d %b %Y %H:%M")), delimiter="\t"), first=0, separators="\t"),
    "echotune": Form("echotune", table(ECHOTUNE, echotune)),
    "player's log": Form("scrobblerlog", ["#AUDIOSCROBBLER/1.1", "#TZ/UTC", "#CLIENT/x", *("\t".join(("Björk",
        "Vespertine", title(number), "1", "200", "L", str(START + 300 * number), "")) for number in range(ROWS))],
        first=3, separators="\t"),
    "listenbrainz, lines": Form("listenbrainz", [json.dumps(listen(number), ensure_ascii=False)
        for number in range(ROWS)], first=0, separators=",:"),
    "listenbrainz, array": Form("listenbrainz", array(listen), end="", separators=",:"),
    "extended": Form("extended", array(extended, indent=1), separators=",:"),
    "account data": Form("basic", array(basic), end="", separators=",:"),
    "last.fm, one page": Form("lastfm", array(track, '{"recenttracks": {"track": [', '], "@attr": {"page": "1"}}}'),
        separators=",:"),
    "last.fm, tracks": Form("lastfm", array(track, indent=2), separators=",:"),
    "koito": Form("koito", array(koito, '{"version": "1", "user": "ann", "listens": [', "]}", 2), separators=",:"),
    "maloja": Form("maloja", array(maloja, '{"maloja": {}, "scrobbles": [', "]}"), end="", separators=",:"),
}  # fmt: skip


TABLES = [name for name, form in FORMS.items() if form.pieces[0][0] not in "[{#"]


def encoded(form: Form, pieces: Iterable[str]) -> bytes:
    return form.end.join(pieces).encode("utf-8", "surrogateescape") + form.end.encode()


def read(form: Form, data: bytes) -> WholeFile:
    return read_whole(READERS[form.format], data, chunk_rows=150)


def titles(whole: WholeFile) -> list[int]:
    """The numbers of the rows that became plays under their own names."""
    found = whole.plays["track_name"].str.extract(r"^Song (\d+), with é$").drop_nulls().cast(pl.Int64)
    return found.to_list()


def at_one_of(dice: random.Random, text: str, characters: str) -> int:
    """The position in the text of one of the characters, or of the end if there is none."""
    places = [place for place, character in enumerate(text) if character in characters]
    return dice.choice(places) if places else len(text)


def quote_added(dice: random.Random, text: str, _: Form) -> str:
    place = dice.randrange(len(text) + 1)
    return f'{text[:place]}"{text[place:]}'


def quote_lost(dice: random.Random, text: str, _: Form) -> str:
    place = at_one_of(dice, text, '"')
    return text[:place] + text[place + 1 :]


def separator_added(dice: random.Random, text: str, form: Form) -> str:
    place = dice.randrange(len(text) + 1)
    return text[:place] + dice.choice(form.separators) + text[place:]


def separator_lost(dice: random.Random, text: str, form: Form) -> str:
    place = at_one_of(dice, text, form.separators)
    return text[:place] + text[place + 1 :]


def separator_changed(dice: random.Random, text: str, form: Form) -> str:
    place = at_one_of(dice, text, form.separators)
    return text[:place] + dice.choice(';"x ]') + text[place + 1 :]


def byte_damaged(dice: random.Random, text: str, _: Form) -> str:
    place = dice.randrange(len(text) + 1)
    return text[:place] + dice.choice(("\0", "\udcff", "\udcc3", "\r", "\n", "\\")) + text[place:]


MUTATIONS = (quote_added, quote_lost, separator_added, separator_lost, separator_changed, byte_damaged)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
@pytest.mark.parametrize("name", FORMS)
def test_a_damaged_row_costs_itself_at_most(name: str, mutation: Callable[[random.Random, str, Form], str]) -> None:
    form = FORMS[name]
    dice = random.Random(f"{name} {mutation.__name__}")
    pieces = list(form.pieces)
    damaged = range(EVERY // 2, ROWS - 1, EVERY)
    for number in damaged:
        pieces[form.first + number] = mutation(dice, pieces[form.first + number], form)
    whole = read(form, encoded(form, pieces))
    assert whole.error is None
    assert set(range(ROWS)) - set(titles(whole)) <= set(damaged)
    assert len(titles(whole)) == len(set(titles(whole)))
    # A line break within a row splits it in two; a lost comma joins two objects into one.
    assert ROWS - len(damaged) <= whole.rows <= ROWS + len(damaged)
    assert ROWS - whole.plays.height <= len(damaged)
    assert all(reject.reason for reject in whole.rejects)


@pytest.mark.parametrize("end", ["", "\r", "\n\n", "\r\r\n", " ", "\0\n"])
@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form.end])
def test_a_damaged_line_end_costs_the_rows_on_both_sides_at_most(name: str, end: str) -> None:
    form = FORMS[name]
    damaged = range(EVERY // 2, ROWS - 1, EVERY)
    ends = [form.end] * len(form.pieces)
    for number in damaged:
        ends[form.first + number] = end
    data = "".join(piece + end for piece, end in zip(form.pieces, ends, strict=True)).encode()
    whole = read(form, data)
    assert whole.error is None
    assert set(range(ROWS)) - set(titles(whole)) <= {number + side for number in damaged for side in (0, 1)}
    assert whole.rows >= ROWS - len(damaged)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
def test_every_encoding_and_line_end_gives_the_same_plays(name: str, encoding: str, end: str) -> None:
    form = FORMS[name]
    for last in (end, ""):
        data = (form.end and end).join(form.pieces) + (form.end and last)
        assert recognised(data.encode(encoding)[: 1 << 16]) == form.format
        whole = read(form, data.replace("\n", end).encode(encoding) if form.end else data.encode(encoding))
        assert titles(whole) == list(range(ROWS))
        assert (whole.rejects, whole.error) == ([], None)


@pytest.mark.parametrize(("name", "longest"), [*((name, 1 << 20) for name in FORMS), ("extended", arrays.LONGEST_ROW)])
def test_a_file_of_one_endless_line_is_not_held(name: str, longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "LONGEST_ROW", longest)
    form = FORMS[name]
    endless = "x" * (longest + (1 << 18))
    pieces = [*form.pieces[: form.first + 3], f"{endless},", *form.pieces[form.first + 3 :]]
    whole = read(form, encoded(form, pieces))
    assert whole.error is None
    assert set(range(ROWS)) - set(titles(whole)) <= {3}
    assert 1 <= len(whole.rejects) <= 2


def test_a_stray_quote_costs_one_row_wherever_it_is_and_however_large_the_file() -> None:
    form = FORMS["last.fm, quoted where needed"]
    for number in (0, 1, 1000, 4998, 4999):
        lines = [
            form.pieces[0],
            *(f"{START + n},,Björk,,Vespertine,,Song {n}," for n in range(5000)),
        ]
        lines[1 + number] = lines[1 + number].replace("Björk", '"Björk')
        whole = read(form, "\n".join(lines).encode())
        assert (whole.rows, whole.plays.height) == (5000, 4999)
        assert [reject.row_number for reject in whole.rejects] == [number]


@pytest.mark.parametrize("name", TABLES)
def test_a_stray_quote_in_the_first_line_costs_that_at_most(name: str) -> None:
    form = FORMS[name]
    for place in range(0, len(form.pieces[0]) + 1, max(7, len(form.pieces[0]) // 30)):
        pieces = [f'{form.pieces[0][:place]}"{form.pieces[0][place:]}', *form.pieces[1:]]
        assert recognised(encoded(form, pieces)[: 1 << 16]) == form.format
        assert set(range(ROWS)) - set(titles(read(form, encoded(form, pieces)))) <= ({0} if form.first == 0 else set())


def test_bytes_are_accounted_for_to_the_last() -> None:
    for form in FORMS.values():
        data = encoded(form, form.pieces)
        file = ExportFile("F", form.format, len(data), lambda data=data: BytesIO(data))  # type: ignore[misc]
        *_, last = read_export(file, datetime(2025, 6, 15, tzinfo=UTC), 150)
        assert len(data) - 30 <= last.bytes_read <= len(data)
