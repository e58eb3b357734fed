"""The commands that the README and the docs print exist, and what they list is what there is."""

import re
from pathlib import Path

import pytest

from echostats_pipeline.accounts.data_export import export_user
from echostats_pipeline.cli.main import echostats
from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.model.collections import COLLECTIONS, ECHOSTATS_COLLECTIONS, EXTRA_COLLECTIONS
from echostats_pipeline.orchestration.automation.alerts import ALERT_SENSORS
from echostats_pipeline.orchestration.automation.schedules import SCHEDULES
from echostats_pipeline.orchestration.automation.sensors import SENSORS
from echostats_pipeline.orchestration.checks import CHECKS
from echostats_pipeline.orchestration.jobs import JOBS
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.settings import Settings
from echostats_pipeline_tests.conftest import NOW, Counted, Pipeline
from echostats_pipeline_tests.docs.commands import walk
from echostats_pipeline_tests.docs.pages import CHECKOUT, README, blocks, code_of, page
from echostats_pipeline_tests.docs.purposes import PURPOSES
from echostats_pipeline_tests.integration.test_documents import SEED

COMMAND = r"(?<!-n )(?<!--install )echostats [a-z][^\n`|#)]*"
"""A command, and not the name that Kubernetes or Helm is given."""
COMMANDS = dict(walk(echostats, "echostats"))
LINES = sorted(set(re.findall(COMMAND, "\n".join(blocks("bash")))))


@pytest.mark.parametrize("line", LINES)
def test_its_commands_exist_with_the_options_they_are_shown_with(line: str) -> None:
    words = line.split("  ", maxsplit=1)[0].split()
    path = next(path for path in (" ".join(words[:3]), " ".join(words[:2])) if path in COMMANDS)
    below = [command for name, command in COMMANDS.items() if f"{name} ".startswith(f"{path} ")]
    known = {option for command in below for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_commands_within_sentences_exist_too() -> None:
    text = "\n".join(
        [README.read_text(encoding="utf-8"), *(page(f"use/{name}.md") for name in ("faq", "connecting", "ui"))]
    )
    named = {tuple(line.split()[1:3]) for line in re.findall(r"`(echostats [a-z][^`]*)`", text)}
    known = {tuple(path.split()[1:]) for path in COMMANDS}
    assert {words for words in named if not any(words[: len(path)] == path for path in known if path)} == set()
    assert len(named) > 5


def test_its_commands_for_beginners_are_one_line_each_in_an_environment_of_their_own() -> None:
    bash = "".join(code_of(README.read_text(encoding="utf-8"), "bash"))
    (demo,), (tests,) = (
        [line for line in bash.splitlines() if line.endswith(end)] for end in ("&& echostats demo", "&& pytest")
    )
    for line in (demo, tests):
        assert line.startswith("python3 -m venv .venv && . .venv/bin/activate && pip install ")
    run = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1]
    # The same with what builds the docs, and all that tests need and are skipped without.
    more = '&& pip install ".[dg,dbt,postgres,celery,kubernetes]" && pip install ".[docs]" && finish'
    assert tests.replace(".venv", '"$environment"').replace("&& pytest", f"{more} && pytest") == run


def test_the_exported_plays_are_read_as_printed(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    user = pipeline.connect()
    assert pipeline.run("user_sync", tags=range_tags(NOW.date(), NOW.date(), user.partition_key)).success
    export_user(pipeline.store, user, tmp_path / "ann", progress=Counted(), at=NOW, min_play_ms=30_000)
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("python", "use/your-data.md")
    assert "plays.parquet" in block
    exec(compile(block, "your-data.md", "exec"), {})
    assert "track_artist_name" in capsys.readouterr().out


def rows(name: str) -> set[str]:
    """What the rows of a page's tables begin with."""
    return set(re.findall(r"^\| `([A-Za-z_]+)` \|", page(name), re.MULTILINE))


def test_they_list_every_setting() -> None:
    assert rows("operate/settings.md") == {field.validation_alias for field in Settings.model_fields.values()}


def test_they_list_every_job_sensor_and_schedule() -> None:
    started = {each.name for each in (*SENSORS, *ALERT_SENSORS, *SCHEDULES)}
    assert {job.name for job in JOBS} | started <= rows("use/ui.md")


def test_they_list_every_check_with_its_asset_and_whether_it_blocks() -> None:
    listed = re.findall(r"^\| `([a-z_]+)` \| ([a-z_]+) \| (yes|no) \|", page("use/checks.md"), re.MULTILINE)
    specs = [spec for definition in CHECKS for spec in definition.check_specs]
    assert len(listed) == len(specs)
    assert set(listed) == {
        (spec.name, spec.asset_key.to_user_string(), "yes" if spec.blocking else "no") for spec in specs
    }


def test_they_list_every_command() -> None:
    headings = set(re.findall(r"^### (echostats.*)$", page("use/commands.md"), re.MULTILINE))
    assert headings == COMMANDS.keys()


def test_the_schema_has_every_collection_field_and_index() -> None:
    sections = dict(
        re.findall(r"^### ([a-z_.]+)\n(.*?)(?=^##|\Z)", page("understand/schema.md"), re.DOTALL | re.MULTILINE)
    )
    assert sections.keys() == COLLECTIONS.keys()
    for name, collection in COLLECTIONS.items():
        fields = {field.alias or field_name for field_name, field in collection.document.model_fields.items()}
        listed = set(
            re.findall(r"^\| `([\w.]+)`(?: \+)? \| `[a-zA-Z<>]+`.*? \| \S.*? \|$", sections[name], re.MULTILINE)
        )
        assert fields <= listed, name
        for index in collection.indexes:
            assert f"| `{index.name}` |" in sections[name], index.name


def test_what_is_said_to_write_a_collection_is_there() -> None:
    assets = {spec.key.to_user_string() for spec in build_definitions().resolve_all_asset_specs()}
    known = assets | {sensor.name for sensor in (*SENSORS, *ALERT_SENSORS)} | COMMANDS.keys()
    assert PURPOSES.keys() == COLLECTIONS.keys()
    for name, purpose in PURPOSES.items():
        named = set(re.findall(r"`([^`]+)`", purpose.written_by))
        assert named <= known | set(COLLECTIONS[name].document.model_fields), name


def test_they_list_every_collection_and_field_beyond_the_echostats_schema() -> None:
    text = page("understand/data-model.md")
    table = text[text.index("## Beyond the EchoStats schema") :]
    listed_rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", table, re.MULTILINE)
    mentioned = {name for names, _ in listed_rows for name in re.findall(r"`([a-z_.]+)`", names)}
    for collection in EXTRA_COLLECTIONS:
        assert collection.name in mentioned
    for collection in ECHOSTATS_COLLECTIONS:
        listed = " ".join(fields for names, fields in listed_rows if f"`{collection.name}`" in names)
        extra = set(collection.document.model_fields) - SEED[collection.name].keys() - {"id"}
        assert extra == set(re.findall(r"`([a-z_]+)`", listed)), collection.name
