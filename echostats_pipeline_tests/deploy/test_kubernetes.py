"""The Job of a run that Dagster's launcher creates in Kubernetes with our instance and our values of the chart."""

import sys
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.base import WorkerStatus
from dagster._core.origin import DEFAULT_DAGSTER_ENTRY_POINT, JobPythonOrigin, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster_shared.serdes import deserialize_value

from echostats_pipeline_tests.deploy.kubernetes_stub import PODS, Cluster, running_cluster
from echostats_pipeline_tests.deploy.test_files import read

pytest.importorskip("dagster_k8s", reason="needs the extra kubernetes: pip install 'echostats-pipeline[kubernetes]'")

pytestmark = pytest.mark.dagster
JOBS = "/apis/batch/v1/namespaces/echostats/jobs"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture(scope="module")
def kubernetes(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """The instance of `deploy/dagster.k8s.yaml` with a storage of this test, whose launcher reaches the stub."""
    tmp_path, config = tmp_path_factory.mktemp("kubernetes"), read("dagster.k8s.yaml")
    config["storage"] = {"sqlite": {"base_dir": str(tmp_path / "history")}}
    place = {"load_incluster_config": False, "kubeconfig_file": str(cluster.kubeconfig(tmp_path / "kubeconfig"))}
    config["run_launcher"]["config"] |= place
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    with dg.DagsterInstance.from_config(str(tmp_path)) as opened:
        yield opened


def code_location() -> RepositoryPythonOrigin:
    """What the code server of the chart says of itself: the image, and nothing else that would change its runs."""
    (deployment,) = read("helm-values.yaml")["dagster-user-deployments"]["deployments"]
    # The chart would give runs the resources of the code server, and these win over those of the launcher.
    assert not deployment["includeConfigInLaunchedRuns"]["enabled"]
    image = deployment["image"]
    return RepositoryPythonOrigin(
        executable_path=sys.executable,
        code_pointer=ModuleCodePointer(deployment["codeServerArgs"][1], "defs", None),
        container_image=f"{image['repository']}:{image['tag']}",
        entry_point=DEFAULT_DAGSTER_ENTRY_POINT,
    )


@pytest.fixture(scope="module")
def run(kubernetes: dg.DagsterInstance) -> dg.DagsterRun:
    """A run that was launched."""

    @dg.job
    def retention() -> None:
        pass

    made = kubernetes.create_run_for_job(
        retention, job_code_origin=JobPythonOrigin("retention", code_location()), tags={"echostats/user": "ann"}
    )
    kubernetes.run_launcher.launch_run(LaunchRunContext(made, workspace=None))
    return made


def test_a_run_is_a_job_with_the_image_secrets_and_resources_that_the_files_name(
    cluster: Cluster, run: dg.DagsterRun
) -> None:
    ((path, job),) = cluster.jobs.items()
    assert path == f"{JOBS}/dagster-run-{run.run_id}"
    assert job["spec"]["ttlSecondsAfterFinished"] == 86400
    pod = job["spec"]["template"]
    assert pod["spec"]["serviceAccountName"] == "echostats-dagster"
    assert pod["spec"]["restartPolicy"] == "Never"
    (container,) = pod["spec"]["containers"]
    assert (container["image"], container["imagePullPolicy"]) == (
        "registry.example.org/echostats:0.1.0",
        "IfNotPresent",
    )
    wanted: dict[str, Any] = read("dagster.k8s.yaml")["run_launcher"]["config"]["run_k8s_config"]["container_config"]
    assert container["resources"] == wanted["resources"], "those of a run, not those of the code server"
    assert {each["secretRef"]["name"] for each in container["envFrom"]} == {"echostats"}
    variables = {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}
    assert variables["DAGSTER_HOME"] == "/opt/echostats/instance"
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    volumes = {each["configMap"]["name"]: each["name"] for each in pod["spec"]["volumes"] if "configMap" in each}
    assert mounts[volumes["echostats-instance"]] == "/opt/echostats/instance"
    secret = variables["DAGSTER_PG_PASSWORD"]["secretKeyRef"]
    assert (secret["name"], secret["key"]) == ("dagster-postgresql-secret", "postgresql-password")
    for labels in (job["metadata"]["labels"], pod["metadata"]["labels"]):
        assert (labels["dagster/job"], labels["dagster/run-id"]) == ("retention", run.run_id)
        assert labels["app.kubernetes.io/component"] == "run_worker"


def test_its_command_executes_that_run_of_our_code(cluster: Cluster, run: dg.DagsterRun) -> None:
    (job,) = cluster.jobs.values()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    *command, given = container["args"]
    assert command[-2:] == ["api", "execute_run"]
    arguments = deserialize_value(given, ExecuteRunArgs)
    assert arguments.run_id == run.run_id
    assert arguments.instance_ref is not None, "the Job needs no dagster.yaml"
    assert arguments.job_origin.repository_origin.code_pointer == code_location().code_pointer


def test_a_job_that_died_is_noticed_and_one_that_is_ended_is_deleted(
    cluster: Cluster, kubernetes: dg.DagsterInstance, run: dg.DagsterRun
) -> None:
    cluster.status = {"active": 1}
    assert kubernetes.run_launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    cluster.status = {"failed": 1}
    assert kubernetes.run_launcher.check_run_worker_health(run).status == WorkerStatus.FAILED
    assert kubernetes.run_launcher.terminate(run.run_id)
    assert cluster.deleted == [f"{JOBS}/dagster-run-{run.run_id}", f"{PODS}/dagster-run-{run.run_id}-pod"]
