"""What each collection is for and what writes it, for the pages of the schema."""

from collections.abc import Mapping
from typing import NamedTuple


class Purpose(NamedTuple):
    """What a collection holds, as a sentence; what writes it, as the end of one that begins with "Written by"."""

    holds: str
    written_by: str


PURPOSES: Mapping[str, Purpose] = {
    "users": Purpose(
        "One document per person with a Spotify account.",
        "`echostats connect`, `echostats users`, EchoStats' sign-in page and the sync (`last_synced_at`)",
    ),
    "spotify_tokens": Purpose(
        "The encrypted tokens of a user.", "`echostats connect`, `echostats keys rotate` and each refresh of a token"
    ),
    "listening_history": Purpose(
        "One document per play, whatever source reported it.",
        "the assets `listening_history` and `streaming_history_import`",
    ),
    "tracks": Purpose(
        "One document per track that has been played.",
        "the assets `tracks` and `audio_features`; `listening_history` and `streaming_history_import` add what they "
        "mention first",
    ),
    "artists": Purpose(
        "One document per artist of a played track.",
        "the asset `artists`; `tracks` and `listening_history` add what they mention first",
    ),
    "albums": Purpose(
        "One document per album of a played track.",
        "the asset `albums`; `tracks` and `listening_history` add what they mention first",
    ),
    "playlists": Purpose("The playlists a user owns or follows, with their tracks.", "the asset `playlists`"),
    "recommendations": Purpose(
        "Two lists per user: songs not heard yet, and songs to hear again.",
        "the asset `recommendations`, and `echostats recommend` before its first run",
    ),
    "recommendation_weeks": Purpose(
        "The first list of each week, a list that was not shown, and how many songs of both the user played.",
        "the asset `recommendations`",
    ),
    "taste_vectors": Purpose("One document per user: how the songs played lately sound.", "the asset `taste_vectors`"),
    "item_neighbours": Purpose(
        "One document per song that users who share their plays have played in two years: what is heard along with it.",
        "the asset `item_neighbours`",
    ),
    "model_evaluation": Purpose(
        "One document per night and kind of list: models against baselines.", "the asset `model_evaluation`"
    ),
    "model_registry": Purpose(
        "What orders the lists, since when and why; the newest document of a kind is in force.",
        "the asset `model_evaluation` and `echostats models`",
    ),
    "generated_playlists": Purpose(
        "Playlists made from words, moods and rules: what was asked, what was understood, and why each song is there.",
        "`echostats playlist`, the asset `generated_playlists`, and a mart for the texts that its applications insert",
    ),
    "playlist_copies": Purpose(
        "The playlists at Spotify that are kept for a user, one per generator.",
        "`echostats playlist`, the asset `generated_playlists`",
    ),
    "playlist_edits": Purpose(
        "What users have changed in these playlists at Spotify.",
        "`echostats playlist`, the asset `generated_playlists`, before the playlist is overwritten",
    ),
    "artist_albums": Purpose(
        "Albums of much played artists, with songs that users may not know.", "the asset `artist_albums`"
    ),
    "daily_rollups": Purpose("One document per user and local day.", "the asset `daily_rollups`"),
    "analytics_snapshots": Purpose("One document per user and rolling period.", "the asset `analytics_snapshots`"),
    "sync_jobs": Purpose(
        "One user's part of one run: its steps, its progress and its end. Old ones are deleted at night.", "every run"
    ),
    "api_logs": Purpose("One document per HTTP attempt, without secrets, for 30 days.", "every call to Spotify"),
    "recently_played": Purpose(
        "Answers of Spotify on their way into the history, kept for a week.",
        "the asset `recently_played`; `listening_history` sets `merged_at`",
    ),
    "unfinished_merges": Purpose(
        "Changes of stored plays while they are written, so that a crash in between loses nothing.",
        "the assets `listening_history` and `streaming_history_import`",
    ),
    "listening_gaps": Purpose(
        "Time of which not every play is known.",
        "the assets `listening_history` and `streaming_history_import`; an import that covers a gap closes it",
    ),
    "covered_spans": Purpose(
        "Time of which a source reports everything. Exports cover from their first to their last row, account data "
        "the whole of it, a sync what its 50 plays reach back to. Scrobbling services cover nothing, because they "
        "miss what no client sent them.",
        "the assets `listening_history` and `streaming_history_import`",
    ),
    "rules": Purpose(
        "Rules of a user: plays to leave out of statistics, tracks and artists to count as one or apart, other names.",
        "`echostats rules add`, `echostats rules remove` and `echostats rules import`",
    ),
    "saved_tracks": Purpose("A user's liked songs.", "the asset `saved_tracks`"),
    "top_items": Purpose("Spotify's own rankings of a user.", "the asset `top_items`"),
    "library_readings": Purpose(
        "How far each library is read, and where reading goes on.", "the assets `playlists` and `saved_tracks`"
    ),
    "unread_playlists": Purpose("Playlists that wait for their contents.", "the asset `playlists`"),
    "imports": Purpose(
        "One document per imported file: what became of its rows.", "the asset `streaming_history_import`"
    ),
    "import_rejects": Purpose(
        "Rows that could not become plays, without personal fields: the first 1,000 of each file and reason.",
        "the asset `streaming_history_import`",
    ),
    "calendar_snapshots": Purpose(
        "This and the last week, month and year by the calendar.", "the asset `analytics_snapshots`"
    ),
    "yearly_reviews": Purpose("Each calendar year that is over.", "the asset `analytics_snapshots`"),
    "statistics_years": Purpose(
        "A user's days of a year, in the columns that snapshots are built from.", "the asset `analytics_snapshots`"
    ),
    "statistics_catalog": Purpose(
        "The part of the catalogue that a user has played, in columns.", "the asset `analytics_snapshots`"
    ),
    "change_marks": Purpose(
        "What changed in each source, and which consumers have read it.",
        "every change of a source; a consumer adds its name, and the last one deletes the mark",
    ),
    "mart_states": Purpose(
        "How far each mart has read, what a user liked or disliked in an application, and events by month.",
        "the assets of marts",
    ),
    "scrobble_targets": Purpose(
        "The services to which plays of users are sent on, with the encrypted tokens.",
        "`echostats scrobble`, `echostats keys rotate` and the asset `sent_plays`",
    ),
    "sent_plays": Purpose(
        "One document per play that was sent to a service, written before it is sent.", "the asset `sent_plays`"
    ),
    "user_leases": Purpose(
        "Which run may change a user's history or library now.", "every run that changes one, every 15 seconds"
    ),
    "spotify_calls": Purpose(
        "The calls of the last 24 hours, which Spotify counts against the app's quota.", "every call to Spotify"
    ),
    "spotify_limits": Purpose(
        "Until when a family of endpoints waits, and why.", "calls that Spotify answers with a wait"
    ),
    "refused_endpoints": Purpose("Routes that Spotify refuses this app.", "calls that Spotify refuses"),
    "incidents": Purpose(
        "What is wrong or was wrong: cause, since when, how often, and who was notified.",
        "the sensors `run_failure_alerts`, `check_alerts`, `user_alerts` and `incident_notices`",
    ),
    "artist_tags": Purpose(
        "One document per artist and source of genres, also where the source knows none.", "the asset `artist_tags`"
    ),
    "genre_lists": Purpose(
        "The names that MusicBrainz calls genres, which tell genres from other tags.", "the asset `artist_tags`"
    ),
    "stored.files": Purpose(
        "Files that processes on several machines hand to each other, as GridFS describes them: exports until they are "
        "imported, each user's last reports, and files of audio features, whose user is empty. "
        "No export contains them.",
        "the sensors `import_folder` and `incomplete_catalog`, and the asset `listening_report`",
    ),
    "stored.chunks": Purpose("The parts of these files.", "the same"),
    "unfinished_restores": Purpose(
        "A restore that has not ended, and how far it has come; nothing else uses the database until then.",
        "`echostats restore`",
    ),
    "removed_users": Purpose("The ids of users who were removed, and nothing else of them.", "`echostats remove`"),
}
"""By the name of the collection."""
