"""External sources: data that this pipeline reads and does not make."""

import dagster as dg

from echostats_pipeline.orchestration.assets import OWNER

GROUP = "sources"

spotify = dg.AssetSpec(
    "spotify",
    description="Spotify's Web API: recent plays, library, rankings and catalogue of every user who is connected.\n\n"
    "Not made here. Its recent responses are summed up under Checks; api_logs holds every call.",
    group_name=GROUP,
    kinds={"spotify"},
    owners=[OWNER],
)
exports = dg.AssetSpec(
    "exports",
    description="Listening histories as files, which users have requested from Spotify, Last.fm, ListenBrainz and "
    "others.\n\nNot made here. Drop them into a user's import folder, or give their paths to history_import or "
    "`echostats import`.",
    group_name=GROUP,
    kinds={"json", "csv"},
    owners=[OWNER],
)
genre_sources = dg.AssetSpec(
    "genre_sources",
    description="Sources of artists' genres other than Spotify: MusicBrainz and Last.fm, as ECHOSTATS_GENRES says.\n\n"
    "Not made here. Each value keeps its source and licence.",
    group_name=GROUP,
    kinds={"json"},
    owners=[OWNER],
)
feature_sources = dg.AssetSpec(
    "feature_sources",
    description="Sources of audio features other than Spotify: ReccoBeats, or a file, as ECHOSTATS_AUDIO_FEATURES "
    "says.\n\nNot made here.",
    group_name=GROUP,
    kinds={"json", "csv"},
    owners=[OWNER],
)
