"""Fields of the pipeline that not every document of a collection has."""

from collections.abc import Mapping

OPTIONAL: Mapping[str, frozenset[str]] = {
    "users": frozenset({"profileImageUrl", "country", "listening_stats"}),
    "user_preferences": frozenset(),
    "playlists": frozenset(
        {"description", "spotifyPlaylistId", "followedPlaylistId", "generation_parameters", "createdAt"}
    ),
    "recommendations": frozenset(),
    "track_metadata": frozenset(
        {
            "album",
            "durationMs",
            "popularity",
            "previewUrl",
            "externalUrls",
            "audioFeatures",
            "releaseYear",
            "listedOnly",
        }
    ),
}
"""Fields of the pipeline that not every document has."""
