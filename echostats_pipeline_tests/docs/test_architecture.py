"""The diagram of the architecture shows the package as it is, and pages name modules that exist."""

import re
from pathlib import Path

import pytest

from echostats_pipeline_tests.architecture.test_imports import LAYERS, PACKAGE
from echostats_pipeline_tests.docs.pages import DOCS, pages

TEXT = (DOCS / "understand" / "architecture.md").read_text(encoding="utf-8")
DIAGRAM = TEXT[TEXT.index("```text\n┌") : TEXT.index("┘\n```")]
BESIDE = {"simulator"}
"""Rooms outside the arrow."""


def bands() -> list[set[str]]:
    """The rooms of each band, from the top."""
    parts = re.split(r"^├─.*$", DIAGRAM, flags=re.MULTILINE)
    return [set(re.findall(r"^│ ([a-z_]+) ", part, re.MULTILINE)) for part in parts]


def test_its_bands_are_the_layers_that_imports_keep_to() -> None:
    assert bands()[::-1] == [set(layer) for layer in LAYERS]


def test_it_shows_every_part_of_the_package_and_no_other() -> None:
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set().union(*bands()) | BESIDE == there - {"__init__"}
    assert all(re.search(rf"│ {room} ", DIAGRAM) for room in BESIDE)


def test_its_lines_are_of_one_width() -> None:
    left = {line.index("│", 1) for line in DIAGRAM.splitlines() if line.startswith("│")}
    assert len(left) == 1


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_names_modules_that_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    named = set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", text))
    roots = (PACKAGE, PACKAGE.parent, PACKAGE.parent / "echostats_pipeline_tests", DOCS)
    assert [name for name in sorted(named) if not any((root / name).exists() for root in roots)] == []
