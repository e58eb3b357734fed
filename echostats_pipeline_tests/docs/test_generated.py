"""What the docs state from the code is what the code has now."""

import re
from pathlib import Path

import pytest

from echostats_pipeline.settings import Settings
from echostats_pipeline_tests.docs.generate import MARKED, PARTS, generated
from echostats_pipeline_tests.docs.pages import CHECKOUT, DOCS, pages

COMMAND = "python -m echostats_pipeline_tests.docs.generate"


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_is_not_stale(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert generated(text) == text, f"run {COMMAND}"


def test_every_part_is_on_one_page_and_every_mark_is_closed() -> None:
    texts = [page.read_text(encoding="utf-8") for page in pages()]
    marked = [found["part"] for text in texts for found in MARKED.finditer(text)]
    assert sorted(marked) == sorted(PARTS)
    begun = [part for text in texts for part in re.findall(r"^<!-- generated: ([a-z-]+) -->$", text, re.MULTILINE)]
    assert sorted(begun) == sorted(marked)


def test_the_table_of_settings_has_name_default_bounds_and_meaning() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.*?) \| (.+?) \|$", PARTS["settings"](), re.MULTILINE)
    assert [name for name, *_ in rows] == [field.validation_alias for field in Settings.model_fields.values()]
    (burst,) = (row for row in rows if row[0] == "SPOTIFY_BURST_CALLS")
    assert burst[1:3] == ("`90`", "1 or more")


def test_generating_twice_changes_nothing() -> None:
    for page in pages():
        once = generated(page.read_text(encoding="utf-8"))
        assert generated(once) == once


def test_the_command_that_is_named_is_the_one_that_is_there() -> None:
    assert COMMAND in (CHECKOUT / "docs" / "contribute" / "index.md").read_text(encoding="utf-8")
