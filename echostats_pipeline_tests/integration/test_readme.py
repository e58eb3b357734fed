"""The commands that the README prints exist, and what it lists is what there is. Its queries: `test_queries`."""

import re
from pathlib import Path

import click
import pytest

from echostats_pipeline import settings
from echostats_pipeline.accounts.data_export import export_user
from echostats_pipeline.cli.main import echostats
from echostats_pipeline.model.collections import ECHOSTATS_COLLECTIONS, EXTRA_COLLECTIONS
from echostats_pipeline.orchestration.checks import CHECKS
from echostats_pipeline.orchestration.jobs import JOBS
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline_tests.conftest import NOW, Counted, Pipeline
from echostats_pipeline_tests.integration.test_documents import SEED

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("line", re.findall(r"echostats [a-z][^\n`|#)]*", "\n".join(blocks("bash"))))
def test_its_commands_exist_with_the_options_they_are_shown_with(line: str) -> None:
    name, *arguments = line.split("  ", maxsplit=1)[0].split()[1:]
    command = echostats.commands[name]
    if isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= known


def test_its_commands_for_beginners_are_one_line_each_in_an_environment_of_their_own() -> None:
    (demo,), (tests,) = (
        [line for line in "".join(blocks("bash")).splitlines() if line.endswith(end)]
        for end in ("&& echostats demo", "&& pytest")
    )
    for line in (demo, tests):
        assert line.startswith("python3 -m venv .venv && . .venv/bin/activate && pip install ")
    run = README.with_name(".ci") / "run"
    assert tests.replace(".venv", '"$environment"') == run.read_text(encoding="utf-8").splitlines()[-1]


def test_the_exported_plays_are_read_as_printed(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    user = pipeline.connect()
    assert pipeline.run("user_sync", tags=range_tags(NOW.date(), NOW.date(), user.partition_key)).success
    export_user(pipeline.store, user, tmp_path / "ann", progress=Counted(), at=NOW, min_play_ms=30_000)
    monkeypatch.chdir(tmp_path)
    (block,) = (code for code in blocks("python") if "plays.parquet" in code)
    exec(compile(block, "README.md", "exec"), {})
    assert "track_artist_name" in capsys.readouterr().out


def test_it_lists_every_setting() -> None:
    source = Path(settings.__file__).read_text(encoding="utf-8")
    read = set(re.findall(r'"((?:SPOTIFY|MONGO|ENCRYPTION|ECHOSTATS|SYNC)_[A-Z_]+)"', source))
    assert read == set(re.findall(r"^\| `([A-Z_]+)` \|", README.read_text(encoding="utf-8"), re.MULTILINE))


def test_it_lists_every_job() -> None:
    text = README.read_text(encoding="utf-8")
    assert {job.name for job in JOBS} <= set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE))


def test_it_lists_every_check_with_its_asset_and_whether_it_blocks() -> None:
    rows = re.findall(
        r"^\| `([a-z_]+)`(?: ●)? \| ([a-z_]+) \| (yes|no) \|", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    specs = [spec for definition in CHECKS for spec in definition.check_specs]
    assert set(rows) == {
        (spec.name, spec.asset_key.to_user_string(), "yes" if spec.blocking else "no") for spec in specs
    }


def test_it_lists_every_collection_and_field_beyond_the_echostats_schema() -> None:
    text = README.read_text(encoding="utf-8")
    table = text[text.index("### Beyond the EchoStats schema") : text.index("## Settings")]
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", table, re.MULTILINE)
    mentioned = {name for names, _ in rows for name in re.findall(r"`([a-z_]+)`", names)}
    for collection in EXTRA_COLLECTIONS:
        assert collection.name in mentioned
    for collection in ECHOSTATS_COLLECTIONS:
        listed = " ".join(fields for names, fields in rows if f"`{collection.name}`" in names)
        extra = set(collection.document.model_fields) - SEED[collection.name].keys() - {"id"}
        assert extra == set(re.findall(r"`([a-z_]+)`", listed)), collection.name
