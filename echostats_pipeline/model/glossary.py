"""Explains the fields of all documents to the people who read them.

A field name means the same in every document, so most meanings stand here once. ``Class.field`` is the meaning in one
document only. A docstring at the field itself wins over both: it explains the field to those who write it, too.
"""

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise

from pydantic import BaseModel

MEANINGS: Mapping[str, str] = {
    # Owners and names.
    "id": "MongoDB's own id.",
    "user_id": "The user it belongs to: `users._id` as text.",
    "spotify_id": "Spotify's id; empty where only a name is known; begins `unresolved:` or `local:` if made of names.",
    "name": "Name as Spotify or the export spells it.",
    "artist_name": "The primary artist.",
    "album_name": "The album.",
    "artists": "Artists in Spotify's order; the first is the primary artist.",
    "album": "The album the track is on.",
    "track": "The track as it was known when the play was stored.",
    "tracks": "The tracks, in order.",
    "genres": "Genres of the primary artist; Spotify has genres of artists only.",
    "Artist.genres": "Genres, strongest first; `genres_source` says whose.",
    "ArtistTags.source": "Who answered: `musicbrainz` or `lastfm`; `spotify` where another source comes first.",
    "ArtistTags.tags": "The genres, strongest first; none if the source knows none.",
    "ArtistTags.read_at": "When the source last answered; null while only the MusicBrainz id is known.",
    "ArtistTag.name": "Name of the genre, in the one spelling that joins all spellings of it.",
    "weight": "How strongly the source's users agree, 0 to 1; the strongest genre of an artist has 1.",
    "mbid": "The artist's id at MusicBrainz; empty if MusicBrainz does not link the Spotify artist.",
    "licence": "The licence under which the source gives these values.",
    "GenreList.read_at": "When the list was read.",
    "GenreList.names": "Every name of a genre.",
    "GenreList.source": "Whose list it is.",
    "Album.genres": "Genres from Spotify; usually none.",
    "popularity": "Spotify's popularity, 0 to 100.",
    "followers": "How many users follow the artist on Spotify.",
    "explicit": "Whether Spotify marks the track as explicit.",
    "isrc": "International recording code.",
    "description": "The description that its owner wrote.",
    # Rules.
    "Rule.kind": "What the rule does.",
    "Rule.created_at": "When the user added it.",
    "Renaming.spotify_id": "Its id; empty if only the name is known.",
    "Renaming.name": "Its name without the rule.",
    # Pictures and links.
    "images": "Pictures on Spotify's servers, widest first.",
    "url": "Address of the picture.",
    "height": "In pixels.",
    "width": "In pixels.",
    "image_url": "Address of a picture; empty if none is known.",
    "album_image_url": "Address of the cover; empty if none is known.",
    "preview_url": "Address of a short preview, where Spotify still has one.",
    "external_url": "Page on open.spotify.com.",
    # Time.
    "played_at": "When the play ended, UTC.",
    "duration_ms": "Length of the track in ms; 0 while unknown.",
    "ms_played": "How long it was played, in ms; null where the source does not have it (Spotify's API never does).",
    "played_at_estimated": "Whether several rows of an export had the same instant, so that this one was estimated.",
    "date": "The local date, YYYY-MM-DD, in the user's time zone.",
    "day_of_week": "0 is Monday.",
    "hour": "The local hour, 0 to 23.",
    "day": "Weekday, 0 is Monday.",
    "added_at": "When the user added it.",
    "release_date": "As exact as Spotify knows it: a year, a month or a day.",
    "fetched_at": "When it was read from Spotify.",
    "Track.fetched_at": "When a play first mentioned it.",
    "Artist.fetched_at": "When a track first mentioned it.",
    "Album.fetched_at": "When a track first mentioned it.",
    "updated_at": "When it was last read from Spotify.",
    "enriched_at": "When Spotify's full object was read; null while only a play mentions it.",
    "unavailable_at": "When Spotify was asked and did not know it.",
    "changed_at": "When a field that statistics use last changed, by the database's clock; null until it was read.",
    "merged_at": "When its plays were added to the history; null until then.",
    "started_at": "When it began.",
    "completed_at": "When it ended.",
    "computed_at": "When it was computed.",
    # A play.
    "source": "`api`: recently played; `import`: an export, whose facts take precedence.",
    "context_type": "What it was played from: playlist, album, artist …",
    "context_uri": "Spotify's address of what it was played from.",
    "playback": "Details that only exports hold.",
    "reason_start": "Why the play began, in Spotify's words.",
    "reason_end": "Why the play ended, in Spotify's words.",
    "shuffle": "Whether shuffle was on.",
    "skipped": "Whether the user skipped it.",
    "offline": "Whether it was played offline.",
    "incognito": "Whether it was played in a private session.",
    "country": "Country of the play, two letters.",
    "platform": "Family of the platform (ios, windows …), never the device.",
    "video": "True for the video of a song.",
    "RecentlyPlayedPage.items": "The plays as Spotify reported them.",
    # Totals.
    "count": "Plays that count: long enough, or of unknown length.",
    "ms": "Listening time in ms, short plays included.",
    "total_ms": "Listening time in ms, short plays included.",
    "total_plays": "Plays that count: long enough, or of unknown length.",
    "total_rows": "All plays, short ones included.",
    "excluded_ms": "Their listening time, in ms.",
    "excluded_by": "How many each rule leaves out; a play that several rules leave out stands under each of them.",
    "rule_id": "The rule: `rules._id` as text.",
    "LeftOut.plays": "Plays that would count otherwise.",
    "total_skips": "Plays that the user left early.",
    "total_skips_known": "Plays for which it is known whether they were left early; Spotify's API never says.",
    "DailyRollup.sessions": "Parts of listening sessions: plays with no pause of more than half an hour between them.",
    "repeats": "Tracks played several times in a row: the longest of the day, one that continues, and the last.",
    "SessionPart.started_at": "When its first play began.",
    "ended_at": "When its last play ended.",
    "plays": "Plays that count.",
    "continues": "Whether it continues one from the day before.",
    "credited_artist_plays": "Counted plays by the id of every credited artist, guests too.",
    "contexts": "What was played from: playlists, albums, artists, liked songs; only where Spotify says so.",
    "uri": "Spotify's address of it.",
    "ContextPlays.type": "playlist, album, artist, collection (liked songs) …; empty if the address does not say it.",
    "TopContext.type": "playlist, album, artist, collection (liked songs) …; empty if the address does not say it.",
    "TopContext.name": "Its name in the user's library or the catalogue; empty if it has none there.",
    "SessionPart.tracks": "The counted plays in order, each as its track's place in `track_plays`, from 0.",
    "uncounted_tracks": "Tracks without a counted play that day; their time belongs to their artist and album.",
    "named_tracks": "Plays of tracks without a Spotify id, by the title, artist and album in the plays.",
    "hourly": "By local hour; hours without plays are left out.",
    "artist_plays": "Counted plays by artist's name.",
    "album_plays": "Counted plays by album's name.",
    "track_plays": "Tracks with counted plays, the most played first.",
    # Periods.
    "period": "The period: 7, 30, 90, 365 local dates that end today, or all time.",
    "period_start": "First local midnight; null for all time.",
    "period_end": "The midnight that ends the last date, exclusive.",
    "total_tracks_played": "Plays that count.",
    "total_ms_played": "Listening time in ms.",
    "unique_tracks": "Different songs; a recording that was played under several ids counts once.",
    "unique_track_ids": "Different ids of tracks, as EchoStats counts.",
    "counts_songs": "Whether songs are counted, and not ids of tracks (`ECHOSTATS_SAME_RECORDING`).",
    "unique_artists": "Different artists.",
    "unique_albums": "Different albums.",
    "unique_genres": "Different genres, of all artists of the period.",
    "listening_streak_days": "Dates in a row with a counted play, until today or yesterday.",
    "longest_streak_days": "The most dates in a row with a counted play, of all time.",
    "top_artists": "The 50 most played artists.",
    "top_tracks": "The 50 most played songs, each under its most played id.",
    "top_albums": "The 50 most played albums.",
    "top_genres": "The 50 most played genres.",
    "top_artists_credited": "The 50 artists credited on most plays: every artist of a track gets the play.",
    "top_artists_credited_by_time": "The 50 artists credited longest: every artist of a track gets the full time.",
    "top_contexts": "The 50 contexts most played from.",
    "top_contexts_by_time": "The 50 contexts played from longest.",
    "contexts_coverage": "Share of plays for which it is known what they were played from, 0 to 1.",
    "full_listens": "How often all its tracks were heard in one session; null if unknown how many it has, or only one.",
    "active_days": "Local dates with a counted play.",
    "top_artists_by_time": "The 50 artists heard longest.",
    "top_tracks_by_time": "The 50 songs heard longest, each under its most played id.",
    "top_albums_by_time": "The 50 albums heard longest.",
    "top_genres_by_time": "The 50 genres heard longest.",
    "weekday_hours": "Plays by weekday and local hour; hours without plays are left out.",
    "months": "Plays by calendar month, and what was new in it.",
    "month": "Calendar month, YYYY-MM.",
    "sessions": "Listening sessions: plays with no pause of more than half an hour between them.",
    "SessionTotals.count": "How many sessions; a session that crosses an end of the period is cut there.",
    "mean_ms": "Mean length from the start of the first play to the end of the last, in ms.",
    "longest_ms": "Length of the longest session, in ms.",
    "new_tracks": "Songs heard for the first time ever.",
    "new_artists": "Artists heard for the first time ever.",
    "repeat_ratio": "Share of plays whose song had been played before, ever; null without plays.",
    "artist_entropy_bits": "Diversity: Shannon entropy of the artists' shares of plays; null without plays.",
    "effective_artists": "How many equally played artists would be as diverse: 2 to the power of the entropy.",
    "skip_rate": "Share of plays left early, among plays for which this is known; null if it is known for none.",
    "most_replayed": "The id of a track played most often with no other in between; null if none was played twice.",
    "MostReplayed.count": "How many times in a row it was played.",
    "MostReplayed.date": "The local date on which the last of these plays ended.",
    "comebacks": "Artists heard again after 180 days or more, the longest absence first.",
    "away_days": "Days without the artist before the return.",
    "returned_on": "The local date on which the artist was heard again.",
    "CalendarSnapshot.period": "This or the last week (from Monday), month or year.",
    "CalendarSnapshot.period_end": "The midnight that ends it, exclusive; it may be in the future.",
    "CalendarSnapshot.period_start": "Its first local midnight.",
    "year": "The calendar year.",
    "YearlyReview.period_start": "Its first local midnight.",
    "YearlyReview.listening_streak_days": "Dates in a row with a counted play, until the last of the year.",
    "YearlyReview.longest_streak_days": "The most dates in a row with a counted play, within the year.",
    "busiest_day": "The date with the most plays; null if none counted.",
    "play_count": "Plays that count.",
    "rank": "Place in the ranking; 1 is the top.",
    "hourly_distribution": "Plays by local hour; hours without plays are left out.",
    "daily_distribution": "Plays by weekday; weekdays without plays are left out.",
    "avg_audio_features": "Means weighted by plays, over plays whose track has audio features; null if none has.",
    "genres_coverage": "Share of plays whose primary artist has genres, 0 to 1.",
    "listening_streak_at_least": "Whether nothing is known of the days next to the streak: it may be longer.",
    "longest_streak_at_least": "Whether nothing is known of the days next to the longest streak: it may be longer.",
    "Comeback.play_count": "Plays of the artist that count, from the return to the end of the period.",
    "audio_features_coverage": "Share of plays whose track has audio features, 0 to 1.",
    # Audio features.
    "audio_features": "Audio analysis of the track; null where no source has it, never zeros.",
    "audio_features_checked_at": "When a source was last asked for the audio features.",
    "danceability": "How suitable for dancing, 0 to 1.",
    "energy": "Intensity and activity, 0 to 1.",
    "key": "Pitch class, 0 is C; -1 if unknown.",
    "loudness": "In dB, about -60 to 0.",
    "mode": "1 is major, 0 is minor.",
    "speechiness": "Share of spoken words, 0 to 1.",
    "acousticness": "Confidence that it is acoustic, 0 to 1.",
    "instrumentalness": "Confidence that there are no vocals, 0 to 1.",
    "liveness": "Confidence that an audience is present, 0 to 1.",
    "valence": "How cheerful, 0 to 1.",
    "tempo": "In beats per minute.",
    "AudioFeatures.duration_ms": "Length as analysed, in ms; null where the source does not have it.",
    "time_signature": "Beats in a bar; null where the source does not have it.",
    # Library.
    "album_type": "album, single or compilation.",
    "total_tracks": "How many tracks Spotify says it has.",
    "public": "Whether other people can see it.",
    "collaborative": "Whether other people can change it.",
    "owner_id": "Spotify's id of the owner.",
    "owner_name": "Name of the owner.",
    "snapshot_id": "Spotify's version of it, which changes whenever its tracks change.",
    "kind": "`artists` or `tracks`.",
    "time_range": "About four weeks, six months, or a year.",
    "TopItems.items": "Spotify's own ranking.",
    # Imports.
    "file_name": "Name of the file.",
    "format": "The kind of export.",
    "status": "The state or result of it.",
    "rows": "Rows of the file: the sum of the five outcomes.",
    "inserted": "Rows that became plays.",
    "merged": "Rows merged with a play that was known already.",
    "duplicate": "Rows that had been imported before.",
    "not_music": "Rows of podcasts, audiobooks and videos.",
    "rejected": "Rows that could not become plays; `import_rejects` keeps the first 1,000 of each reason.",
    "short": "Rows of plays too short to count; these plays are kept all the same.",
    "gaps_closed": "Gaps in the history that the file covers.",
    "reject_reasons": "Rejected rows by reason.",
    "rejected_ms": "Listening time of rejected rows, where they have one; no statistic includes it.",
    "first_played_at": "End of its first play.",
    "last_played_at": "End of its last play.",
    "error_message": "What went wrong; empty if nothing did.",
    "dagster_run_id": "The id of the run in the Dagster UI.",
    # Users and tokens.
    "User.spotify_id": "Spotify's id of the account.",
    "display_name": "Name as Spotify shows it.",
    "User.image_url": "Address of the profile picture; empty if there is none.",
    "User.country": "Country of the account, two letters.",
    "product": "Spotify's subscription: premium, free.",
    "User.created_at": "When the user was added.",
    "last_synced_at": "When recent plays were last read; null until then.",
    "timezone": "IANA time zone in which the user's days begin.",
    "User.status": "Whether the user is synced; `needs_reauth` until the user connects again.",
    "authorized_at": "When the user gave consent; Spotify ends it six months later.",
    "partition_key": "The user's name in Dagster and on the command line.",
    "simulated": "Whether the account is the simulator's.",
    "refresh_token_encrypted": "The refresh token, encrypted with AES-256-GCM.",
    "access_token_encrypted": "The access token that all processes share, encrypted likewise.",
    "expires_at": "When the access token expires.",
    "scope": "What the user has allowed, as Spotify words it.",
    "SpotifyTokens.updated_at": "When the tokens were last stored.",
    "refresh_leased_at": "Since when a process refreshes the tokens; null while none does.",
    "removed_at": "When the user was removed.",
    # Jobs, calls and rejected rows.
    "job_type": "What the run did; `initial` is a user's first sync.",
    "items_processed": "Items done so far.",
    "items_total": "Items to do, as far as it is known.",
    "steps": "The steps so far, in order.",
    "action": "The asset that did the step.",
    "detail": "What the step did, in a sentence.",
    "items": "How many items the step handled.",
    "counts": "The same in numbers, by the names of the asset's metadata.",
    "error": "What went wrong; empty if nothing did.",
    "created_at": "When the document was created.",
    "service": "The service called: spotify, reccobeats, musicbrainz, lastfm.",
    "method": "HTTP method.",
    "ApiLog.endpoint": "Path and query, without secrets.",
    "status_code": "HTTP status; 0 without an answer.",
    "latency_ms": "Time until the answer, in ms.",
    "request_id": "Identifies the attempt.",
    "timestamp": "When the call was made.",
    "family": "The group of endpoints that shares a quota, for example recently-played.",
    "row_number": "Number of the row in its file.",
    "reason": "Why it was rejected.",
    "row": "The row, without personal fields.",
    "rejected_at": "When the row was rejected.",
    # What is known of time.
    "ListeningGap.kind": "`unseen`: plays may have passed between two syncs; `unknown`: no source covers the time.",
    "from_": "Begin, UTC.",
    "to": "End, UTC; equal to `from` for one play whose track Spotify did not name.",
    "CoveredSpan.to": "End, UTC.",
    "CoveredSpan.source": "`recently_played`, or the format of an export.",
    "detected_at": "When the gap was found.",
    "closed_by": "What closed the gap; null while it is open.",
    # What has changed, and who works on it.
    "vouched": "Whether the columns are correct except for dates with unread marks; others are not used.",
    "layout": "Version of the columns' layout; older ones are built again.",
    "StatisticsCatalog.kind": "`tracks`, `artists` or `albums`.",
    "StatisticsCatalog.number": "Number of the part, from 0.",
    "StatisticsCatalog.revision": "Identifies the state that all parts of a kind belong to.",
    "ChangeMark.source": "What changed: a collection, or the catalogue as one user hears it.",
    "ChangeMark.date": "The local date; empty for the newest mark of a user and source, `all` for what has no date.",
    "writer": "Identifies the change: each change has marks of its own.",
    "mark": "Identifies the state of the mark; it is another one when the change is complete.",
    "marked_at": "When the mark was set, by the database's clock.",
    "read_by": "The consumers that have read the change; of the newest mark, those that were built once.",
    "open_since": "Since when the source is being changed; null once the change is complete.",
    "UserLease.scope": "What the run may change.",
    "UserLease.dagster_run_id": "The run that holds the lease.",
    "renewed_at": "When the run last renewed the lease, by the database's clock.",
    # Spotify's limits.
    "at": "When the call was made.",
    "not_before": "No call is made before this instant.",
    "SpotifyLimit.reason": "What Spotify answered.",
    "endpoint": "The route that is refused.",
    "until": "When the route is tried again.",
    # Incidents.
    "Incident.key": "What is wrong with whom; one open incident per key.",
    "Incident.kind": "Whether a run, a check or a user is in trouble.",
    "Incident.count": "How often it was seen.",
    "subject": "What is wrong with whom, in words.",
    "cause": "Why, in one line without secrets.",
    "advice": "What a person can do about it.",
    "job_name": "The job whose success ends the incident; empty for other kinds.",
    "user_key": "Partition key of the user it is about; empty if it is about all users.",
    "Incident.user_id": "The user it is about; empty if it is about all users.",
    "run_id": "The Dagster run in which it was last seen.",
    "opened_at": "When it was first seen.",
    "last_seen_at": "When it was last seen.",
    "notified_at": "When the first notice was accepted; null until then.",
    "closed_at": "When it was over; null while it is open.",
    "pending": "The notice that is still to be sent; empty if none is.",
    "attempts": "How often sending was tried.",
    "next_attempt_at": "When to try again.",
    "accepted_by": "Marks of the addresses that have the notice already.",
    # Recommendations.
    "task": "Which kind of list: `discover` or `rediscover`.",
    "artist_id": "Spotify's id of the artist; empty if unknown.",
    "tag": "The tag: a genre of artists.",
    "activated_at": "When it came into force.",
    "evaluated_at": "When the models were compared.",
}


def meaning(model: type[BaseModel], field: str) -> str:
    """What a field of a document means.

    Raises:
        KeyError: neither the field nor the glossary explains it.
    """
    own = model.model_fields[field].description or _docstrings(_declaring(model, field)).get(field)
    return own or MEANINGS.get(f"{model.__name__}.{field}") or MEANINGS[field]


def _declaring(model: type[BaseModel], field: str) -> type:
    """The class whose body has the field: the model, or the nearest one that it inherits the field from."""
    return next(each for each in model.__mro__ if field in inspect.get_annotations(each))


@cache
def _docstrings(model: type) -> Mapping[str, str]:
    """The docstrings of fields in the body of a class."""
    return _docstrings_of_module(model.__module__).get(model.__qualname__, {})


@cache
def _docstrings_of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    """The docstrings of fields, by class.

    Pydantic would find them, too, but reads and parses the source again for each class: a tenth of the time in which
    a process with all definitions starts.
    """
    tree = ast.parse(inspect.getsource(sys.modules[name]))
    return {each.name: _documented(each) for each in tree.body if isinstance(each, ast.ClassDef)}


def _documented(definition: ast.ClassDef) -> Mapping[str, str]:
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
