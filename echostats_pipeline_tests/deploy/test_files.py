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
from echostats_pipeline.orchestration.instance.code_location import LOCATION
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
RESOURCES = {kind: {"cpu": str, "memory": str} for kind in ("requests", "limits")}
PROCESS = {
    "image": IMAGE,
    "env": [{"name": str, "value": str}],
    "envSecrets": [{"name": str}],
    "envConfigMaps": [{"name": str}],
    "volumes": [{"name": str, "configMap": {"name": str, "defaultMode": int}}],
    "volumeMounts": [{"name": str, "mountPath": str}],
    "readinessProbe": {"httpGet": {"path": str, "port": int, "httpHeaders": [{"name": str, "value": str}]}},
    "resources": RESOURCES,
    "labels": dict,
    "annotations": dict,
}
CHART = {
    "global": {"dagsterHome": str, "postgresqlSecretName": str, "serviceAccountName": str},
    "dagsterWebserver": {
        **PROCESS,
        "replicaCount": int,
        "enableReadOnly": bool,
        "pathPrefix": str,
        "service": {"type": str, "port": int, "annotations": dict},
        "workspace": {"enabled": bool, "servers": [{"host": str, "port": int, "name": str, "ssl": bool}]},
    },
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
"""Options of Dagster's chart that values may name and that its templates use. No package to install holds it.

Read in the chart's schema (`webserver.py`, `daemon.py` and `values.py` in `helm/dagster/schema`) and its templates. Its
`global.dagsterInstanceConfigMap` is left out: webserver and daemon mount the chart's own instance, whatever it says.
"""
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
    changed |= {"global": {**values["global"], "dagsterInstanceConfigMap": "echostats-instance"}}
    assert sorted(unknown(changed, CHART)) == [".dagsterDaemon.enable", ".global.dagsterInstanceConfigMap"]


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


def processes() -> dict[str, dict[str, Any]]:
    """What the values say of each process of the chart that opens the instance."""
    values = read("helm-values.yaml")
    (code,) = values["dagster-user-deployments"]["deployments"]
    return {"webserver": values["dagsterWebserver"], "daemon": values["dagsterDaemon"], "code": code}


def test_the_chart_and_its_instance_name_the_same_things() -> None:
    values, instance = read("helm-values.yaml"), read("dagster.k8s.yaml")
    launcher = instance["run_launcher"]["config"]
    assert launcher["postgres_password_secret"] == values["global"]["postgresqlSecretName"]
    database, place = values["postgresql"], instance["storage"]["custom"]["config"]["postgres_db"]
    assert (place["username"], place["db_name"]) == (database["postgresqlUsername"], database["postgresqlDatabase"])
    assert place["hostname"] == "echostats-postgresql", "the name of the release and of the chart within the chart"
    assert launcher["service_account_name"] == "echostats-dagster", "the name of the release and of the chart"
    deployment = processes()["code"]
    (server,) = values["dagsterWebserver"]["workspace"]["servers"]
    assert server == {"host": deployment["name"], "port": deployment["port"], "name": LOCATION}
    assert [{"name": name} for name in launcher["env_secrets"]] == deployment["envSecrets"]
    arguments = ["code-server", "start", *deployment["codeServerArgs"], "--help"]
    assert CliRunner().invoke(called("dagster"), arguments).exit_code == 0


@pytest.mark.parametrize("name", ["code", "daemon", "webserver"])
def test_each_process_of_the_chart_opens_our_instance(name: str) -> None:
    process, launcher = processes()[name], read("dagster.k8s.yaml")["run_launcher"]["config"]
    # The chart puts DAGSTER_HOME into a config map of its own. A list reaches the container itself, and wins.
    assert isinstance(process["env"], list)
    variables = {each["name"]: each["value"] for each in process["env"]}
    (mount,), (volume,) = process["volumeMounts"], process["volumes"]
    assert variables["DAGSTER_HOME"] == mount["mountPath"] == launcher["dagster_home"]
    assert mount["name"] == volume["name"]
    assert volume["configMap"] == {"name": launcher["instance_config_map"], "defaultMode": 0o555}
    assert mount["mountPath"] != read("helm-values.yaml")["global"]["dagsterHome"], "there is the chart's own"


def test_only_code_and_runs_know_the_secrets() -> None:
    assert [name for name, process in processes().items() if "envSecrets" in process] == ["code"]
    keys = set(re.findall(r"^(\w+)=", (DEPLOY / "kubernetes.example.env").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"MONGO_URI", "MONGO_DB", "ENCRYPTION_KEY"} < keys <= KNOWN
    assert not any(OF_IMAGES.fullmatch(name) for name in keys)
    assert not read("helm-values.yaml")["postgresql"]["postgresqlPassword"], "no password that everybody knows"


def test_the_webserver_of_the_chart_is_the_guarded_one(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    process = processes()["webserver"]
    (path,) = [each["value"] for each in process["env"] if each["name"] == "PATH"]
    assert path.split(":")[0] == process["volumeMounts"][0]["mountPath"], "before Dagster's own"
    assert "/opt/venv/bin" in path.split(":"), "the programs of the image"
    of_the_chart = ["dagster-webserver", "-h", "0.0.0.0", "-p", "3000", "-w", "/dagster-workspace/workspace.yaml"]
    with_ours = {"PATH": os.pathsep.join([str(DEPLOY), str(tmp_path), "/usr/bin:/bin"])}
    said = subprocess.run(of_the_chart, env=with_ours, capture_output=True, text=True, check=True).stdout.split()
    assert ["python", *said[:2]] == WEBSERVER
    given = inspect.signature(dagster_webserver.main).bind(*said[2:]).arguments
    assert given == {"workspace": of_the_chart[-1], "place": f"0.0.0.0:{process['service']['port']}"}
    asked = process["readinessProbe"]["httpGet"]
    assert asked["port"] == process["service"]["port"]
    assert [each["value"] for each in asked["httpHeaders"] if each["name"] == "Host"] == ["localhost"]
