"""What kind of job a run is."""

import pytest

from echostats_pipeline.model.users import User
from echostats_pipeline.resources.jobs import job_type
from echostats_pipeline_tests.conftest import NOW


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
    assert job_type(frozenset(assets), user) == kind
