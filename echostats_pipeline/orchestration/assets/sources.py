"""Where everything comes from: what this pipeline reads and does not make."""

import dagster as dg

from echostats_pipeline.orchestration.assets import OWNER

GROUP = "sources"

spotify = dg.AssetSpec(
    "spotify",
    description="Spotify's Web API: recent plays, library, rankings and catalogue of every user who is connected.\n\n"
    "Not made here. How it has answered of late stands under Checks, every call in api_logs.",
    group_name=GROUP,
    kinds={"spotify"},
    owners=[OWNER],
)
exports = dg.AssetSpec(
    "exports",
    description="Histories that users have asked Spotify, Last.fm, ListenBrainz and others for, as files.\n\n"
    "Not made here. Drop them into a user's import folder, or name them to history_import or `echostats import`.",
    group_name=GROUP,
    kinds={"json", "csv"},
    owners=[OWNER],
)
feature_sources = dg.AssetSpec(
    "feature_sources",
    description="Where audio features come from beside Spotify: ReccoBeats, or a file, as ECHOSTATS_AUDIO_FEATURES "
    "says.\n\nNot made here.",
    group_name=GROUP,
    kinds={"json", "csv"},
    owners=[OWNER],
)
