"""Every link, anchor and picture of the README, of CONTRIBUTING and of the docs leads somewhere."""

import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline_tests.docs.pages import CHECKOUT, DOCS, pages

PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *pages()]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
README_BYTES = 8 * 1024
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))


def prose(page: Path) -> str:
    """A page without its code: `[…](…)` means something else there."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", lambda code: re.sub(r"[\[\]()]", "", code[0]), text)


def anchors(page: Path) -> set[str]:
    """What the headings of a page can be linked by."""
    titles = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in HEADING.findall(prose(page)))
    return {re.sub(r"\s+", "-", title) for title in titles}


@each_page
def test_its_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), target
        assert not anchor or anchor in anchors(linked), target


@each_page
def test_its_html_holds_no_links_that_nobody_checks(page: Path) -> None:
    assert re.findall(r"<(?:a|img|script|link|iframe)\b", prose(page)) == []


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: str(page.relative_to(DOCS)))
def test_its_lists_and_the_code_in_them_are_such_for_the_site_too(page: Path) -> None:
    """Python's Markdown wants an empty line before a list or table, and four blanks before what belongs to an item."""
    lines = prose(page).splitlines()
    item = re.compile(r"(?:- |\d+\. |\|)")
    glued = [
        after
        for before, after in pairwise(lines)
        if item.match(after) and before and not item.match(before) and not before.startswith(" ")
    ]
    assert glued == []
    assert re.findall(r"^ {1,3}```.*", page.read_text(encoding="utf-8"), re.MULTILINE) == []


def test_the_readme_is_short() -> None:
    assert len((CHECKOUT / "README.md").read_bytes()) <= README_BYTES


def entries(tree: Any) -> Iterator[str]:
    """The pages of the site's navigation, in its order."""
    for item in tree:
        for value in item.values():
            yield from [value] if isinstance(value, str) else entries(value)


def test_every_page_is_in_the_navigation_once() -> None:
    project = tomllib.loads((CHECKOUT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    decisions = {page for page in pages() if re.match(r"\d{4}-", page.name)}
    wanted = sorted(str(page.relative_to(DOCS)) for page in pages() if page not in decisions)
    assert sorted(entries(project["nav"])) == wanted


def test_every_picture_is_shown_somewhere() -> None:
    shown = {(page.parent / target).resolve() for page in PAGES for target in LINK.findall(prose(page))}
    assert {picture.resolve() for picture in (DOCS / "pictures").iterdir()} <= shown


@each_page
def test_it_names_no_path_of_a_machine(page: Path) -> None:
    assert re.findall(r"(?<![\w.~])/(?:home|root|Users|work|tmp)/\S*", page.read_text(encoding="utf-8")) == []
