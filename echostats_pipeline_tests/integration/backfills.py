"""Backfills, sensors and checks of the Dagster UI, over GraphQL."""

from datetime import UTC, date, datetime, time
from subprocess import Popen
from typing import Any

from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.partitions import RANGE_END, RANGE_START, range_tags
from echostats_pipeline.orchestration.tags import USER_TAG
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline_tests.integration.processes import eventually
from echostats_pipeline_tests.integration.up_process import BACKFILL, RUN, Ui

BACKFILL_RUNS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status runs { status tags { key value } } } } }"""
STATUSES = """query { assetNodes(assetKeys: [{path: ["daily_rollups"]}]) {
  partitionStats { numMaterialized numFailed }
  assetPartitionStatuses { ... on MultiPartitionStatuses { primaryDimensionName ranges {
    primaryDimStartKey primaryDimEndKey secondaryDim {
      ... on DefaultPartitionStatuses { materializedPartitions failedPartitions }
      ... on TimePartitionStatuses { ranges { startKey endKey status } } } } } } } }"""
SENSOR = """query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) {
  ... on Sensor { sensorState { id status } } } }"""
STOP = """mutation($id: String!) { stopSensor(id: $id) {
  ... on StopSensorMutationResult { instigationState { status } } } }"""
START = """mutation($selector: SensorSelector!) { startSensor(sensorSelector: $selector) {
  ... on Sensor { sensorState { status } } } }"""
RELOAD = """mutation($location: String!) { reloadRepositoryLocation(repositoryLocationName: $location) {
  ... on WorkspaceLocationEntry { loadStatus } } }"""
CHECKS = """query { assetNodes(assetKeys: [{path: ["daily_rollups"]}]) { assetChecksOrError { ... on AssetChecks {
  checks { name blocking } } } } }"""
UNFINISHED = """query($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs { results { id } } } }"""
EXECUTIONS = """query { assetCheckExecutions(
  assetKey: {path: ["daily_rollups"]}, checkName: "daily_rollups_match_history", limit: 50) {
    status runId evaluation { success description } } }"""


def play(user: User, day: date, **more: Any) -> Document:
    """A play at noon."""
    track = {"spotify_id": "t", "name": "Name", "artist_name": "Artist", "album_name": "Album", "duration_ms": 200_000}
    return {
        "user_id": user.user_id,
        "played_at": datetime.combine(day, time(12), UTC),
        "ms_played": 200_000,
        "track": {**track, "album_image_url": ""},
        "source": "import",
        **more,
    }


def backfill(ui: Ui, assets: tuple[str, ...], days: dict[str, list[date]]) -> str | None:
    """Select partitions and launch. Return the id of the backfill; None while these days do not exist yet."""
    params = {
        "assetSelection": [{"path": [asset]} for asset in assets],
        "partitionNames": [f"{day}|{key}" for key, chosen in days.items() for day in chosen],
        "tags": [],
    }
    launched = ui.ask(BACKFILL, params=params)["launchPartitionBackfill"]
    if launched["__typename"] == "PartitionKeysNotFoundError":
        return None
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    return str(launched["backfillId"])


def ranges_of(ui: Ui, backfill_id: str) -> list[tuple[str, str]] | None:
    """First and last partition of each of a backfill's runs, once all have succeeded."""
    answer = ui.ask(BACKFILL_RUNS, id=backfill_id)["partitionBackfillOrError"]
    assert "FAIL" not in answer["status"], answer
    if answer["status"] != "COMPLETED_SUCCESS":
        return None
    assert {run["status"] for run in answer["runs"]} == {"SUCCESS"}
    tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in answer["runs"]]
    return sorted((run[RANGE_START], run[RANGE_END]) for run in tags)


class Statuses:
    """The statuses of partitions on the page of `daily_rollups`."""

    def __init__(self, ui: Ui) -> None:
        (node,) = ui.ask(STATUSES)["assetNodes"]
        self.failed = node["partitionStats"]["numFailed"]
        self.by_status: dict[str, set[str]] = {"MATERIALIZED": set(), "FAILED": set()}
        assert node["assetPartitionStatuses"]["primaryDimensionName"] == "date"
        for each in node["assetPartitionStatuses"]["ranges"]:
            ends = (date.fromisoformat(each[name]) for name in ("primaryDimStartKey", "primaryDimEndKey"))
            for day in DayWindow(*ends).dates():
                for status, keys in zip(self.by_status, each["secondaryDim"].values(), strict=True):
                    self.by_status[status] |= {f"{day}|{key}" for key in keys}

    def of(self, user: User, days: list[date]) -> set[str]:
        keys = {f"{day}|{user.partition_key}" for day in days}
        return {status for status, found in self.by_status.items() if keys & found}

    def materialized(self, user: User, first: date, last: date) -> set[str]:
        """The materialized days of a user from first to last."""
        keys = {f"{day}|{user.partition_key}" for day in DayWindow(first, last).dates()}
        return {key.partition("|")[0] for key in self.by_status["MATERIALIZED"] & keys}


class Switch:
    """The switch of a sensor."""

    def __init__(self, ui: Ui, repository: Any, sensor: str) -> None:
        self.ui = ui
        self.selector = {
            "repositoryName": repository["name"],
            "repositoryLocationName": repository["location"]["name"],
            "sensorName": sensor,
        }

    def state(self) -> dict[str, str]:
        return dict(self.ui.ask(SENSOR, selector=self.selector)["sensorOrError"]["sensorState"])

    def status(self) -> str:
        return self.state()["status"]

    def stop(self) -> str:
        return str(self.ui.ask(STOP, id=self.state()["id"])["stopSensor"]["instigationState"]["status"])

    def start(self) -> str:
        return str(self.ui.ask(START, selector=self.selector)["startSensor"]["sensorState"]["status"])


def failed_and_healed(ui: Ui, process: Popen[str], store: Store, user: User, days: list[date]) -> str:
    """A failed run marks its days, and a later run clears them. Return the id of the last run."""
    tags = {USER_TAG: user.partition_key, **range_tags(days[0], days[-1], user.partition_key)}

    def built() -> tuple[str, str]:
        run_id = str(ui.launched(ui.repository(), "rollup_build", tags)["run"]["runId"])
        return run_id, eventually("end of the run", lambda: ui.ended(RUN, run_id), process)

    assert built()[1] == "SUCCESS"
    shown = Statuses(ui)
    assert (shown.of(user, days), shown.failed) == ({"MATERIALIZED"}, 0)
    store.db["listening_history"].insert_one(play(user, days[1], played_at=datetime.combine(days[1], time(13), UTC)))
    store.db.command("collMod", "daily_rollups", validator={"date": {"$ne": days[1].isoformat()}})
    assert built()[1] == "FAILURE"
    shown = Statuses(ui)
    assert (shown.of(user, days), shown.failed) == ({"FAILED"}, len(days))
    store.db.command("collMod", "daily_rollups", validator={})
    run_id, status = built()
    shown = Statuses(ui)
    assert (status, shown.of(user, days), shown.failed) == ("SUCCESS", {"MATERIALIZED"}, 0)
    return run_id


def unfinished(ui: Ui, user: User) -> list[Any]:
    """The runs of a user that wait or are executed."""
    statuses = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
    of_user = {"tags": [{"key": USER_TAG, "value": user.partition_key}], "statuses": statuses}
    return list(ui.ask(UNFINISHED, filter=of_user)["runsOrError"]["results"])


def syncs_since(store: Store, user: User, instant: datetime, *statuses: str) -> int:
    kinds = {"$in": ["initial", "periodic"]}
    wanted = {"status": {"$in": statuses}} if statuses else {}
    since = {"$gt": instant}
    return store.db["sync_jobs"].count_documents(
        {"user_id": user.user_id, "job_type": kinds, "started_at": since, "steps.0.action": "recently_played", **wanted}
    )
