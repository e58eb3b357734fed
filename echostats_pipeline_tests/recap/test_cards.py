"""Cards: everything stays within them, whatever the names are, and no letter becomes a box."""

import struct
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from echostats_pipeline.recap import cards, lettering
from echostats_pipeline.recap.build import build_recap
from echostats_pipeline.recap.cards import STORY, WIDE, Format, drawn_faces, lettering_of
from echostats_pipeline.recap.document import Recap
from echostats_pipeline.recap.lettering import NAMELESS, Lettering, marked_up
from echostats_pipeline.recap.spans import Period
from echostats_pipeline.report.formatting import percent, plural
from echostats_pipeline_tests.recap.histories import ARTISTS, LONG, given, play, years_with_holes

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "a\x00\ud800<script>&\ufffe"


@cache
def recap(name: str = LONG) -> Recap:
    plays, covered = years_with_holes()
    return build_recap(given(plays, Period(2019), covered=covered, name=name))


@cache
def letters() -> Lettering:
    return lettering_of(recap())


@cache
def faces(form: Format) -> dict[str, ET.Element]:
    return {name: ET.fromstring(svg) for name, svg in drawn_faces(recap(), {}, letters(), form)}


def text_of(svg: ET.Element) -> str:
    return " | ".join("".join(text.itertext()) for text in svg.iter(f"{SVG}text"))


@pytest.mark.parametrize("form", [STORY, WIDE], ids=lambda form: form.name)
def test_text_stays_within_the_margins(form: Format) -> None:
    for name, svg in faces(form).items():
        for text in svg.iter(f"{SVG}text"):
            x, y, size = (float(text.get(key, "0")) for key in ("x", "y", "font-size"))
            width = letters().width("".join(text.itertext()), size, int(text.get("font-weight", "400")))
            left = {"end": x - width, "middle": x - width / 2}.get(text.get("text-anchor", ""), x)
            assert left >= form.margin - size * 0.06, (name, text_of(svg))
            assert left + width <= form.width - form.margin + size * 0.06 or size >= 60, "".join(text.itertext())
            assert form.margin / 2 < y <= form.bottom


@pytest.mark.parametrize("form", [STORY, WIDE], ids=lambda form: form.name)
def test_lines_of_text_do_not_touch(form: Format) -> None:
    for name, svg in faces(form).items():
        placed = sorted((float(each.get("x", 0)), float(each.get("y", 0)), float(each.get("font-size", 0)))
                        for each in svg.iter(f"{SVG}text") if not each.get("text-anchor"))  # fmt: skip
        for (x, y, _), (other_x, other_y, size) in pairwise(placed):
            if x == other_x:
                assert other_y - y >= size * 0.95, name


def test_the_numbers_on_the_cards_are_those_of_the_recap() -> None:
    found, overview = recap(), text_of(faces(STORY)["overview"])
    for number in (found.totals.plays, found.totals.tracks, found.totals.artists, found.totals.active_days):
        assert f"{number:,} |" in overview
    assert "93 of 365 days are not fully known." in overview
    assert "Not compared with 2018" in overview
    months = text_of(faces(WIDE)["months"])
    for part in found.parts:
        said = f"| {part.name} \N{MIDDLE DOT} {plural(part.plays, 'play')} in all |"
        assert (said in f"| {months}") == bool(part.plays)
    assert found.busiest is not None
    assert f"known for {percent(found.decades_coverage)} of the plays" in text_of(faces(WIDE)["times"])
    assert f"{found.busiest.plays} plays" in text_of(faces(STORY)["moments"])


def test_a_short_history_has_no_almost_empty_cards() -> None:
    found = build_recap(given([play(datetime(2026, 11, 28, 12, tzinfo=UTC), 4)], Period(2026)))
    svgs = dict(drawn_faces(found, {}, lettering_of(found), STORY))
    assert list(svgs) == ["overview", "top", "moments"]
    assert "1 | day with music" in text_of(ET.fromstring(svgs["overview"]))


def test_both_formats_have_the_same_cards() -> None:
    assert list(faces(STORY)) == list(faces(WIDE)) == ["overview", "top", "months", "moments", "times", "past"]


def test_letters_without_a_font_are_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_has_font", lambda letter: not "\u3000" < letter < "\U0010ffff")
    found = Lettering()
    assert found.drawable("夜ノ森") == NAMELESS
    assert found.drawable("星の signal") == "\N{HORIZONTAL ELLIPSIS} signal"
    assert found.drawable("Julo \N{HEADPHONE}\ufe0f") == "Julo"
    assert found.drawable("Nuitée") == "Nuitée"
    assert list(found.undrawable) == ["夜ノ森", "星の signal", "Julo \N{HEADPHONE}\ufe0f"]


def test_every_machine_can_draw_latin_greek_and_cyrillic() -> None:
    for name in ("Überfluß", "Łódź", "Сольдра", "Ελληνικά", "Ünlü şark"):
        assert all(lettering._drawn(letter) != lettering._drawn(lettering.MISSING) for letter in name)


def test_text_is_cut_at_the_width_and_broken_between_words() -> None:
    found = letters()
    assert found.cut("short", 30, 500) == "short"
    cut = found.cut(LONG, 30, 300)
    assert cut.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert found.width(cut, 30) <= 300
    first, second = found.lines(LONG, 30, 400)
    assert LONG.startswith(first)
    assert LONG[len(first)] == " "
    assert max(found.width(line, 30) for line in (first, second)) <= 400
    assert len(found.lines("x" * 200, 30, 300)) == 2


def test_names_are_only_text() -> None:
    svg = f"<svg>{marked_up(lettering.readable(NASTY))}</svg>"
    assert ET.fromstring(svg).text == "a ?<script>&"
    assert "\N{FIRST STRONG ISOLATE}" in marked_up(ARTISTS[8])


def test_a_card_is_a_png_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="{}"/>'
    monkeypatch.setattr(cards, "drawn_faces", lambda *_: [("x", svg.format(_[3].width, _[3].height))])
    drawn = cards.draw_cards(recap(), {})
    sizes = [struct.unpack(">II", card.content[16:24]) for card in drawn.cards]
    assert sizes == [(1080, 1920), (1200, 630)]
    assert [card.name for card in drawn.cards] == ["1-x-1080x1920", "1-x-1200x630"]
