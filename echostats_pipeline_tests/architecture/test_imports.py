"""Imports only point left. The test reads the source, so that imports inside functions count too."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

import echostats_pipeline

PACKAGE = Path(echostats_pipeline.__file__).parent

LAYERS = (
    {"errors"},
    {"settings", "state_folder"},
    {"model"},
    {"transforms"},
    {"storage", "spotify", "importers"},
    {"local"},
    {"stages"},
    {"recommender", "playlists"},
    {"marts"},
    {"report", "accounts"},
    {"recap", "backup"},
    {"monitoring"},
    {"orchestration"},
    {"definitions"},
    {"cli"},
)
ORCHESTRATION = (
    {"tags", "partitions"},
    {"dagster_patches"},
    {"resources"},
    {"instance"},
    {"runs", "quiet_days"},
    {"assets"},
    {"mart_checks"},
    {"checks"},
    {"jobs"},
    {"automation"},
    {"health"},
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
WITHOUT_DAGSTER = {part for part, level in LEVEL.items() if level < LEVEL["orchestration"]} | {"simulator"}
PURE = {"model", "transforms"}
I_O = {"requests", "pymongo", "socket", "subprocess", "sqlite3", "httpx", "urllib.request", "starlette", "uvicorn"}

Import = tuple[Path, int, str]


def part_of(path: Path) -> str:
    """The part of the package that a module belongs to: its folder, or its own name at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path, nodes: Sequence[ast.AST]) -> Iterator[Import]:
    """Every imported name of a module, with its full dotted name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((path, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from ((path, node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def reads_environment(nodes: Sequence[ast.AST]) -> bool:
    """Whether a module names the environment, or anything of `os` without saying so."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "putenv", "environb"))
        or (isinstance(node, ast.ImportFrom) and node.module == "os")
        for node in nodes
    )


class Module(NamedTuple):
    """What the tests ask of a module, so that each is parsed once."""

    name: str
    imports: Sequence[Import]
    purpose: str
    reads_environment: bool

    @classmethod
    def of(cls, path: Path) -> "Module":
        """Read a module."""
        tree = ast.parse(path.read_text())
        nodes = list(ast.walk(tree))
        name = path.relative_to(PACKAGE).as_posix()
        return cls(name, list(imports_of(path, nodes)), ast.get_docstring(tree) or "", reads_environment(nodes))


MODULES = [
    Module.of(path) for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE) != Path("__init__.py")
]
IMPORTS = [found for module in MODULES for found in module.imports]


def shown(imports: list[Import]) -> list[str]:
    return [f"{path.relative_to(PACKAGE)}:{line} imports {name}" for path, line, name in imports]


def internal(name: str) -> str | None:
    """The part of this package that contains an imported name."""
    package, _, rest = name.partition(".")
    return rest.split(".")[0] if package == "echostats_pipeline" else None


def test_every_module_has_its_place() -> None:
    assert {part_of(PACKAGE / module.name) for module in MODULES} <= LEVEL.keys() | {"simulator"}
    assert len(MODULES) > 60
    assert len(IMPORTS) > 300


def test_an_import_only_points_left() -> None:
    wrong = [
        found
        for found in IMPORTS
        if (target := internal(found[2])) in LEVEL
        and (origin := part_of(found[0])) in LEVEL
        and LEVEL[target] > LEVEL[origin]
    ]
    assert shown(wrong) == []


def test_an_import_within_orchestration_only_points_left() -> None:
    level = {part: level for level, parts in enumerate(ORCHESTRATION) for part in parts}

    def room(dotted: str) -> str | None:
        package, _, rest = dotted.partition(".orchestration.")
        return rest.split(".")[0] if package == "echostats_pipeline" and rest else None

    within = [
        (found, level[origin], level[target])
        for found in IMPORTS
        if (origin := room("echostats_pipeline." + ".".join(found[0].relative_to(PACKAGE).with_suffix("").parts)))
        and origin != "__init__"
        and (target := room(found[2]))
        and target != origin
    ]
    assert shown([found for found, origin, target in within if target >= origin]) == []
    assert len(within) > 50


def test_parts_of_one_layer_do_not_know_each_other() -> None:
    wrong = [
        found
        for found in IMPORTS
        if (target := internal(found[2])) in LEVEL
        and (origin := part_of(found[0])) in LEVEL
        and target != origin
        and LEVEL[target] == LEVEL[origin]
    ]
    assert shown(wrong) == []


def test_nothing_left_of_orchestration_imports_dagster() -> None:
    wrong = [
        found
        for found in IMPORTS
        if part_of(found[0]) in WITHOUT_DAGSTER and found[2].split(".")[0].startswith("dagster")
    ]
    assert shown(wrong) == []
    assert any(found[2].startswith("dagster") for found in IMPORTS)


def test_nothing_in_the_core_knows_the_recommender() -> None:
    known_by = {
        part_of(path) for path, _, name in IMPORTS if internal(name) == "recommender" and part_of(path) != "recommender"
    }
    assert known_by <= {"marts", "orchestration", "cli", "definitions"}


def test_only_the_edges_of_the_recommender_read_and_write() -> None:
    edges = {"reading", "building", "models", "albums"}
    wrong = [
        found
        for found in IMPORTS
        if part_of(found[0]) == "recommender"
        and found[0].stem not in edges
        and (internal(found[2]) not in (None, "model", "transforms", "recommender") or found[2].split(".")[0] in I_O)
    ]
    assert shown(wrong) == []


def test_only_the_edges_of_playlists_read_and_write() -> None:
    edges = {"reading", "building", "spotify_copies"}
    wrong = [
        found
        for found in IMPORTS
        if part_of(found[0]) == "playlists"
        and found[0].stem not in edges
        and (
            internal(found[2]) not in (None, "errors", "model", "transforms", "playlists")
            or found[2].split(".")[0] in I_O
        )
    ]
    assert shown(wrong) == []


def test_nothing_in_the_core_knows_a_mart() -> None:
    known_by = {part_of(path) for path, _, name in IMPORTS if internal(name) == "marts" and part_of(path) != "marts"}
    assert known_by <= {"orchestration", "cli", "definitions"}


def test_one_machine_is_known_to_commands_alone() -> None:
    """Under `echostats up`, the resource opens the embedded database, and runs that died are known by their process."""
    knows = {
        str(path.relative_to(PACKAGE))
        for path, _, name in IMPORTS
        if internal(name) == "local" and part_of(path) not in ("local", "cli")
    }
    assert knows == {"orchestration/resources/store.py", "orchestration/instance/dead_runs.py"}


def test_the_middle_does_no_input_or_output() -> None:
    wrong = [
        found
        for found in IMPORTS
        if part_of(found[0]) in PURE and (found[2] in I_O or found[2].split(".")[0] in I_O | {"os", "pathlib"})
    ]
    assert shown(wrong) == []


def test_polars_stays_out_of_the_documents() -> None:
    assert shown([found for found in IMPORTS if part_of(found[0]) == "model" and "polars" in found[2]]) == []


def test_the_simulator_stands_apart() -> None:
    knows = [
        found
        for found in IMPORTS
        if part_of(found[0]) == "simulator"
        and internal(found[2]) not in (None, "simulator", "model", "errors", "settings", "__version__")
    ]
    known_by = [
        found
        for found in IMPORTS
        if internal(found[2]) == "simulator" and part_of(found[0]) not in ("simulator", "cli")
    ]
    assert shown(knows) == []
    assert shown(known_by) == []


def test_only_settings_reads_the_environment() -> None:
    assert [module.name for module in MODULES if module.reads_environment] == ["settings/loading.py"]


PROBE = """
import os, socket, sys
from pathlib import Path

def refuse(event, arguments):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        raise SystemExit(f"importing used the network: {event} {arguments}")
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        raise SystemExit(f"importing wrote {arguments[0]}")
    if event in ("os.mkdir", "subprocess.Popen", "os.posix_spawn"):
        raise SystemExit(f"importing did {event} {arguments}")

import dagster, polars, pymongo, requests  # theirs is not ours to judge
sys.dont_write_bytecode = True
sys.addaudithook(refuse)
import echostats_pipeline.definitions
print(sorted(path.name for path in Path(os.environ["HOME"]).iterdir()))
print("echostats_pipeline.simulator" in sys.modules)
"""


@pytest.mark.dagster
def test_importing_the_code_location_does_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE],
        env={"HOME": str(home), "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), str(tmp_path)])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert finished.stdout.split("\n")[:2] == ["[]", "False"]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_every_module_says_what_it_is_for() -> None:
    assert [module.name for module in MODULES if not module.purpose] == []
