"""The page of `dagster_patches` names every private module of Dagster that the code uses, and the test for each."""

import re

from echostats_pipeline.orchestration.dagster_patches import __file__ as patches
from echostats_pipeline_tests.architecture.test_imports import IMPORTS, PACKAGE

PAGE = PACKAGE / "orchestration/dagster_patches/README.md"
TESTS = PACKAGE.parent / "echostats_pipeline_tests"
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|\n").split(" | ")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]


def test_the_page_lies_beside_the_patches() -> None:
    assert patches is not None
    assert PAGE.parent.samefile(patches.removesuffix("__init__.py"))


def test_it_names_what_the_code_uses_and_nothing_else() -> None:
    private = {
        (str(path.relative_to(PACKAGE)), name.rpartition(".")[0])
        for path, _, name in IMPORTS
        if re.match(r"dagster\._", name)
    }
    assert private == {(row[0], row[1]) for row in ROWS if row[1].startswith("dagster._")}


def test_each_patch_is_on_the_page() -> None:
    modules = {str(path.relative_to(PACKAGE)) for path in PAGE.parent.glob("[a-z]*.py")}
    assert modules == {row[0] for row in ROWS if not row[1].startswith("dagster._")}


def test_the_tests_that_it_names_exist() -> None:
    assert {row[3] for row in ROWS if not (TESTS / row[3]).is_file()} == set()
