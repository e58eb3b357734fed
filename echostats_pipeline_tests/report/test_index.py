"""The index: every user and year, and only links to files that are there."""

from echostats_pipeline.report.index import IndexedUser, IndexedYear, render_index
from echostats_pipeline.report.page import Picture
from echostats_pipeline_tests.report import samples
from echostats_pipeline_tests.report.document_factories import NASTY
from echostats_pipeline_tests.report.page_assertions import FORBIDDEN, parsed, text_of

PICTURE = Picture("image/png", b"\x89PNG\r\n\x1a\n")


def user(name: str, key: str, **changes: object) -> IndexedUser:
    years = [IndexedYear(2025, "812 h, 9 plays", NASTY[1], "", "https://i.scdn.co/a", f"{key}-2025.html", "")]
    given = {
        "image_url": "", "told": "900 h, 12 plays since 2024", "report": f"{key}.html", "bars": [0.5, 1.0],
        "bars_told": "Hours per month", "years": years, "has_imports": True, **changes,
    }  # fmt: skip
    return IndexedUser(name=name, partition_key=key, **given)  # type: ignore[arg-type]


def test_every_user_and_year_is_there_and_names_are_text() -> None:
    users = [user(NASTY[0], "ann-123456"), user("Ben", "ben-123456", report="", years=[], bars=[], has_imports=False)]
    html = render_index(users, {"https://i.scdn.co/a": PICTURE}, samples.NOW)
    tags = {element.tag for element in parsed(html).iter()}
    assert not tags & FORBIDDEN
    links = [element.get("href") for element in parsed(html).iter("a")]
    assert links == ["ann-123456.html", "ann-123456-2025.html"]
    text = text_of(html)
    for words in (NASTY[0], NASTY[1], "2 users, as of 11 February 2026", "812 h, 9 plays", "There is no report yet"):
        assert words in text, words
    assert "echostats import my_spotify_data.zip --user ben-123456" in text
    assert html.count("data:image/png") == 1
    assert "There is no user yet" in text_of(render_index([], {}, samples.NOW))
