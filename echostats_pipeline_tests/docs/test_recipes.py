"""The recipes of the docs, followed in a copy of the repository, lead to what they promise."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from echostats_pipeline_tests.docs.pages import CHECKOUT, DOCS

pytestmark = [pytest.mark.dagster, pytest.mark.xdist_group("recipes")]
RECIPES = DOCS / "contribute" / "recipes.md"
COPIED = ("echostats_pipeline", "echostats_pipeline_tests", "docs", "pyproject.toml", "README.md", "CONTRIBUTING.md")
BLOCK = re.compile(r"^```(python|diff)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NEW = re.compile(r"# new file: (\S+)\n")
NAMED_FILE = re.compile(r"`([\w/]+\.(?:py|md))`")
PROBE = """
from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.importers.recognition import recognised
from echostats_pipeline.orchestration.checks import CHECKS

print(recognised(b'[{"spun_at": 1, "by": "Ann", "song": "Once"}]'))
print(*sorted(spec.key.to_user_string() for spec in build_definitions().resolve_all_asset_specs()))
print(*sorted(spec.name for definition in CHECKS for spec in definition.check_specs))
"""


class Change(NamedTuple):
    """A block of a recipe: a whole new file, or lines that take the place of others."""

    file: str
    old: str
    new: str


def changes(text: str) -> Iterator[Change]:
    """The blocks of the recipes in their order; a diff changes the existing file that was named last."""
    file = ""
    for found in BLOCK.finditer(text):
        before, (language, code) = text[: found.start()], found.groups()
        if language == "python":
            if head := NEW.match(code):
                yield Change(head[1], "", code[head.end() :])
            continue
        named = [name for name in NAMED_FILE.findall(before.rpartition("\n## ")[2]) if (CHECKOUT / name).exists()]
        file = named[-1]
        lines = code.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        yield Change(file, old, "".join(line[1:] for line in lines if line[0] in " +"))


def follow(change: Change, copy: Path) -> None:
    path = copy / change.file
    if not change.old:
        assert not path.exists(), f"{change.file} is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(change.new, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    assert text.count(change.old) == 1, f"{change.file} holds {text.count(change.old)} times:\n{change.old}"
    path.write_text(text.replace(change.old, change.new), encoding="utf-8")


def run(copy: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is compiled for the first command serves the others
    ran = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-3000:]
    return ran.stdout


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Change]]:
    """A copy in which all recipes were followed, and what that changed."""
    copy = tmp_path_factory.mktemp("recipes")
    for name in COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.png"))
        else:
            shutil.copy(source, copy / name)
    made = list(changes(RECIPES.read_text(encoding="utf-8")))
    for change in made:
        follow(change, copy)
    for change in made:
        room = (copy / change.file).parent
        if change.file.endswith(".py") and not (room / "__init__.py").exists():
            (room / "__init__.py").write_text("", encoding="utf-8")
    return copy, made


def test_a_format_an_asset_a_check_and_a_mart_are_recognised(followed: tuple[Path, list[Change]]) -> None:
    copy, _ = followed
    kind, assets, checks = run(copy, "-c", PROBE).splitlines()
    assert kind == "spinlist"
    assert {"monthly_totals", "disco_profiles"} <= set(assets.split())
    assert "plays_are_named" in checks.split()


def test_what_the_recipes_add_passes_their_tests_and_the_rules_of_the_house(
    followed: tuple[Path, list[Change]],
) -> None:
    copy, made = followed
    tests = [change.file for change in made if Path(change.file).name.startswith("test_") and not change.old]
    assert len(tests) == 4
    run(copy, "-m", "echostats_pipeline_tests.docs.generate")
    rules = ("architecture", "model", "docs/test_generated.py", "docs/test_architecture.py")
    folders = [f"echostats_pipeline_tests/{rule}" for rule in rules]
    out = run(copy, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *folders, *tests)
    assert " passed" in out
