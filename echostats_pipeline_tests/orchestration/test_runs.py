"""The type of a run's job, and its record at the end."""

import dagster as dg
import pytest
from pymongo.errors import OperationFailure

from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.orchestration.resources.spotify import SPOTIFY_POOL
from echostats_pipeline.orchestration.runs import job_type
from echostats_pipeline.storage.plays import PlayStore
from echostats_pipeline_tests.conftest import NOW, Pipeline


@pytest.mark.parametrize(
    ("assets", "synced", "kind"),
    [
        ({"recently_played", "listening_history", "daily_rollups"}, False, "initial"),
        ({"recently_played", "listening_history", "daily_rollups"}, True, "periodic"),
        ({"playlists"}, False, "periodic"),
        ({"tracks", "artists"}, True, "periodic"),
        ({"streaming_history_import"}, False, "import"),
        ({"streaming_history_import", "recently_played"}, True, "import"),
        ({"listening_history", "daily_rollups"}, True, "rollup_build"),
        ({"analytics_snapshots"}, False, "rollup_build"),
    ],
)
def test_a_run_is_named_after_what_it_does(assets: set[str], synced: bool, kind: str) -> None:
    user = User(spotify_id="u", partition_key="u-123456", last_synced_at=NOW if synced else None)
    definitions = [each for each in build_definitions().assets or () if isinstance(each, dg.AssetsDefinition)]
    pools = {each.key.to_user_string(): each.op.pool for each in definitions if each.is_executable}
    assert job_type(frozenset(assets), user, calls_spotify=SPOTIFY_POOL in map(pools.get, assets)) == kind


def test_what_mongodb_refuses_in_the_middle_of_a_run_is_told_by_its_cause(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        details = {"errmsg": "Authentication failed.", "codeName": "AuthenticationFailed"}
        raise OperationFailure("Authentication failed.", 18, details)

    user = pipeline.connect()
    monkeypatch.setattr(PlayStore, "read", refuse)
    result = pipeline.run("user_sync", tags=range_tags(NOW.date(), NOW.date(), user.partition_key))
    assert not result.success
    (job,) = pipeline.store.jobs.of_run(result.run_id)
    assert job.error_message.startswith("OperationFailure: MongoDB at 127.0.0.1:")
    assert "has refused the user or password (authentication failed)" in job.error_message
    assert "stopped answering" not in job.error_message
