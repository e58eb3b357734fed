"""The files in `deploy`, as far as they can be tried without a container engine."""

import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import click
import dagster as dg
import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from dagster._cli import create_dagster_cli
from dagster._daemon.cli import create_dagster_daemon_cli

from echostats_pipeline.cli import dagster_webserver
from echostats_pipeline.cli.main import echostats
from echostats_pipeline.settings import SECRETS, Settings
from echostats_pipeline_tests.docs.pages import CHECKOUT, page
from echostats_pipeline_tests.postgres_server import PASSWORD, PostgresServer

DEPLOY = CHECKOUT / "deploy"
COMPOSE = ("compose.yaml", "compose.cluster.yaml")
INSTANCES = ("dagster.yaml", "dagster.celery.yaml", "dagster.k8s.yaml")
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
OF_CELERY = {"CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"}
OF_COMPOSE = {"ECHOSTATS_INSTANCE"}
"""Read by the Compose file alone."""
OF_POSTGRES = {f"DAGSTER_PG_{name}" for name in ("HOST", "USERNAME", "PASSWORD", "DB")}
OF_IMAGES = re.compile(r"POSTGRES_\w+|MONGO_INITDB_\w+|MONGO_(ROOT_)?PASSWORD|MONGO_KEY")
KNOWN = {str(field.validation_alias) for field in Settings.model_fields.values()} | OF_POSTGRES | OF_CELERY
KNOWN |= {f"{name}_FILE" for name in SECRETS}
IMAGE = {"repository": str, "tag": str, "pullPolicy": str}
PROCESS = {
    "image": IMAGE,
    "envSecrets": [{"name": str}],
    "envConfigMaps": [{"name": str}],
    "resources": {kind: {"cpu": str, "memory": str} for kind in ("requests", "limits")},
    "labels": dict,
    "annotations": dict,
}
CHART = {
    "global": {
        "dagsterHome": str,
        "postgresqlSecretName": str,
        "dagsterInstanceConfigMap": str,
        "serviceAccountName": str,
        "celeryConfigSecretName": str,
    },
    "dagsterWebserver": {**PROCESS, "replicaCount": int, "enableReadOnly": bool, "pathPrefix": str},
    "dagsterDaemon": {**PROCESS, "enabled": bool, "heartbeatTolerance": int},
    "dagster-user-deployments": {
        "enabled": bool,
        "deployments": [
            {
                **PROCESS,
                "name": str,
                "port": int,
                "codeServerArgs": [str],
                "dagsterApiGrpcArgs": [str],
                "includeConfigInLaunchedRuns": {"enabled": bool},
            }
        ],
    },
    "postgresql": {
        "enabled": bool,
        "postgresqlHost": str,
        "postgresqlUsername": str,
        "postgresqlDatabase": str,
        "postgresqlPassword": str,
        "postgresqlScheme": str,
    },
}
"""Options of Dagster's chart that values may name, from its schema. Its own is in no package that can be installed."""
WEBSERVER = ["python", "-m", dagster_webserver.__name__]


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def options(unit: Path, name: str) -> list[str]:
    """The values of an option of a systemd unit."""
    return re.findall(rf"^{name}=-?(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)


def commands() -> Iterator[list[str]]:
    """Every command of ours in the files."""
    for name in COMPOSE:
        for service in read(name)["services"].values():
            if "build" in service:
                yield from [service["command"]] if "command" in service else []
                test = service.get("healthcheck", {}).get("test", ["NONE"])
                yield from [test[1:]] if test[0] == "CMD" else []
    for unit in UNITS:
        program, *arguments = shlex.split(*options(unit, "ExecStart"))
        yield [Path(program).name, *arguments]
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    yield json.loads(re.findall(r"^CMD (.*)$", dockerfile, re.MULTILINE)[-1])


def called(program: str) -> click.Command:
    if program == "celery":
        found: click.Command = pytest.importorskip("celery.bin.celery").celery
        return found
    made = {"echostats": lambda: echostats, "dagster": create_dagster_cli, "dagster-daemon": create_dagster_daemon_cli}
    return made[program]()


@pytest.mark.parametrize("command", sorted({tuple(command) for command in commands()}), ids=" ".join)
def test_each_command_exists_and_has_the_options_that_it_is_given(command: Sequence[str]) -> None:
    if list(command[:3]) == WEBSERVER:
        given = inspect.signature(dagster_webserver.main).bind(*command[3:])
        assert dagster_webserver.place_of(given.arguments["place"])[1] == 3000
        return
    program, *arguments = command
    names = {each.partition("=")[0] for each in arguments if each.startswith("--")}
    found = [called(program)]
    for each in arguments:
        if isinstance(group := found[-1], click.Group) and (one := group.get_command(click.Context(group), each)):
            found.append(one)
    assert not isinstance(found[-1], click.Group), "it ends with a subcommand"
    assert names <= {option for each in found for parameter in each.params for option in parameter.opts}


def test_each_role_has_its_command() -> None:
    assert len(UNITS) == 5
    assert {"postgres", "mongo", "webserver", "daemon", "code"} < read("compose.cluster.yaml")["services"].keys()
    assert len((DEPLOY / "compose.yaml").read_text(encoding="utf-8").splitlines()) == 8


@pytest.mark.parametrize("name", COMPOSE)
def test_the_compose_files_are_as_compose_wants_them(name: str) -> None:
    pytest.importorskip("check_jsonschema")
    schema = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    content = read(name)
    jsonschema.validate(content, json.loads(schema.read_text(encoding="utf-8")))
    for service in content["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), "the UI has no login"


def test_the_dockerfile_has_no_fault_that_hadolint_knows() -> None:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    hadolint = shutil.which("hadolint", path=places)
    if hadolint is None:
        pytest.skip("hadolint is not installed: the extra test brings it for Linux on x86_64")
    said = subprocess.run([hadolint, "--no-color", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "")


def unknown(values: Any, known: Any, path: str = "") -> Iterator[str]:
    """The options among some values that a chart does not know, or whose kind is another."""
    if isinstance(known, dict) and isinstance(values, dict):
        for name, value in values.items():
            if name in known:
                yield from unknown(value, known[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(known, list) and isinstance(values, list):
        for number, value in enumerate(values):
            yield from unknown(value, known[0], f"{path}[{number}]")
    elif not (isinstance(known, type) and type(values) is known):
        yield path


def test_the_values_are_options_of_the_chart() -> None:
    values = read("helm-values.yaml")
    assert list(unknown(values, CHART)) == []
    changed = {**values, "dagsterDaemon": {**values["dagsterDaemon"], "enable": True}}
    assert list(unknown(changed, CHART)) == [".dagsterDaemon.enable"]


def test_each_variable_is_one_that_somebody_reads() -> None:
    cluster = (DEPLOY / "compose.cluster.yaml").read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{(\w+)", cluster))
    services = read("compose.cluster.yaml")["services"].values()
    named = {name for service in services for name in service.get("environment", {})}
    set_by_units = [each for unit in UNITS for text in options(unit, "Environment") for each in text.split()]
    named |= {each.partition("=")[0] for each in set_by_units}
    assert {
        name for name in (asked | named) - OF_COMPOSE if name not in KNOWN and not OF_IMAGES.fullmatch(name)
    } == set()
    example = set(re.findall(r"^(\w+)=", (DEPLOY / "example.env").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+):\?", cluster)) <= example <= asked


@pytest.mark.parametrize("name", INSTANCES)
def test_an_instance_differs_from_that_of_one_machine_in_its_storages(name: str) -> None:
    ours, theirs = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text(encoding="utf-8")), read(name)
    differ = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    storages = {"run_storage", "event_log_storage", "schedule_storage", "local_artifact_storage"}
    more = {
        "dagster.celery.yaml": {"run_launcher", "run_monitoring"},
        "dagster.k8s.yaml": {"run_launcher", "run_monitoring"},
    }
    assert differ == storages | {"storage", "compute_logs"} | more.get(name, set())
    (storage,) = re.findall(r"```yaml\n(storage:.*?)```", page("operate/scale.md"), re.DOTALL)
    if name == "dagster.yaml":
        assert yaml.safe_load(storage)["storage"] == theirs["storage"]


def test_the_instance_opens_in_postgresql(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dagster_postgres")
    content = (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")
    place = "hostname: { env: DAGSTER_PG_HOST }"
    assert place in content
    (tmp_path / "dagster.yaml").write_text(content.replace(place, f"{place}\n        port: {postgres.port}"))
    name = postgres.create()
    for each, value in zip(sorted(OF_POSTGRES), (name, "127.0.0.1", PASSWORD, "loader"), strict=True):
        monkeypatch.setenv(each, value)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.get_runs_count() == 0
        assert type(instance.event_log_storage).__name__ == "BatchingPostgresEventLogStorage"
        assert instance.run_monitoring_enabled
    postgres.drop(name)


def test_the_image_holds_what_it_names_and_does_not_run_as_root() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    lines = re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE)
    copied = [path for line in lines for path in line.split()[:-1]]
    assert copied
    for path in copied:
        assert (CHECKOUT / path).exists(), path
        assert f"!{path}" in allowed, path
    extras = re.findall(r"^(\w+) = \[", (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    files = dockerfile + (DEPLOY / "helm-values.yaml").read_text(encoding="utf-8")
    for wanted in re.findall(r"EXTRAS=([\w,]+)", files):
        assert set(wanted.split(",")) <= set(extras), wanted
    assert re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE) != ["0"]


def test_the_chart_and_its_instance_name_the_same_things() -> None:
    values, launcher = read("helm-values.yaml"), read("dagster.k8s.yaml")["run_launcher"]["config"]
    assert launcher["instance_config_map"] == values["global"]["dagsterInstanceConfigMap"]
    assert launcher["postgres_password_secret"] == values["global"]["postgresqlSecretName"]
    assert launcher["dagster_home"] == values["global"]["dagsterHome"]
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    assert [{"name": name} for name in launcher["env_secrets"]] == deployment["envSecrets"]
    arguments = ["code-server", "start", *deployment["codeServerArgs"], "--help"]
    assert CliRunner().invoke(called("dagster"), arguments).exit_code == 0
