-- The star: plays and what is summed up from them, and how each user's tracks are shown and counted.
-- Every table begins with `user_id`, and so does every key: join on `user_id` and the id.
CREATE TABLE IF NOT EXISTS plays (
    user_id UUID NOT NULL,
    played_at TIMESTAMP(3) WITH TIME ZONE NOT NULL,
    track_id TEXT NOT NULL,
    local_date DATE NOT NULL,
    local_hour SMALLINT NOT NULL,
    local_weekday SMALLINT NOT NULL,
    ms_played INTEGER,
    listened_ms INTEGER NOT NULL,
    counts BOOLEAN NOT NULL,
    excluded BOOLEAN NOT NULL,
    skipped BOOLEAN,
    starts_session BOOLEAN,
    source TEXT NOT NULL,
    context_type TEXT,
    context_uri TEXT,
    reason_start TEXT,
    reason_end TEXT,
    shuffle BOOLEAN,
    offline BOOLEAN,
    private_session BOOLEAN,
    platform TEXT,
    country TEXT,
    PRIMARY KEY (user_id, played_at, track_id)
) PARTITION BY LIST (user_id);
CREATE INDEX IF NOT EXISTS idx_plays_user_date ON plays(user_id, local_date);
CREATE INDEX IF NOT EXISTS idx_plays_user_track ON plays(user_id, track_id);
COMMENT ON TABLE plays IS 'One row per play of a track by a user. Each user''s plays are a partition.';
COMMENT ON COLUMN plays.user_id IS 'The user who listened.';
COMMENT ON COLUMN plays.played_at IS 'The end of the play.';
COMMENT ON COLUMN plays.track_id IS 'Id of the track at Spotify, or an id made of names where an export has none.';
COMMENT ON COLUMN plays.local_date IS 'Date of the end in the user''s time zone: the day that the play belongs to.';
COMMENT ON COLUMN plays.local_hour IS 'Hour of the end in the user''s time zone, 0 to 23.';
COMMENT ON COLUMN plays.local_weekday IS 'Weekday of the end in the user''s time zone; 0 is Monday.';
COMMENT ON COLUMN plays.ms_played IS 'How long it was played, in milliseconds, as the source says; null where it does not (the API never does).';
COMMENT ON COLUMN plays.listened_ms IS 'Listening time in milliseconds: ms_played, else the track''s length but not more than has passed since the previous play; 0 if a rule leaves the play out. Sum it up over all rows.';
COMMENT ON COLUMN plays.counts IS 'Whether it counts as a play: it was long enough, or its length is unknown, and no rule leaves it out.';
COMMENT ON COLUMN plays.excluded IS 'Whether a rule of the user leaves the play out.';
COMMENT ON COLUMN plays.skipped IS 'Whether the user left the track early; null where the source does not say it.';
COMMENT ON COLUMN plays.starts_session IS 'Whether a session begins with this play: the pause before it is longer than half an hour. Null for excluded plays.';
COMMENT ON COLUMN plays.source IS 'api, or import.';
COMMENT ON COLUMN plays.context_type IS 'What it was played from: playlist, album, artist, collection; null if unknown.';
COMMENT ON COLUMN plays.context_uri IS 'Spotify''s address of what it was played from; null if unknown.';
COMMENT ON COLUMN plays.reason_start IS 'Why the play began, as the export says.';
COMMENT ON COLUMN plays.reason_end IS 'Why the play ended, as the export says.';
COMMENT ON COLUMN plays.shuffle IS 'Whether shuffle was on; null if unknown.';
COMMENT ON COLUMN plays.offline IS 'Whether the device was offline; null if unknown.';
COMMENT ON COLUMN plays.private_session IS 'Whether it was a private session; null if unknown.';
COMMENT ON COLUMN plays.platform IS 'Family of the device (ios, windows), never the device.';
COMMENT ON COLUMN plays.country IS 'Country of the connection (ISO 3166-1), as the export says.';

CREATE TABLE IF NOT EXISTS days (
    user_id UUID NOT NULL,
    local_date DATE NOT NULL,
    local_weekday SMALLINT NOT NULL,
    plays INTEGER NOT NULL,
    listened_ms BIGINT NOT NULL,
    row_count INTEGER NOT NULL,
    skips INTEGER NOT NULL,
    skips_known INTEGER NOT NULL,
    track_count INTEGER NOT NULL,
    excluded_plays INTEGER NOT NULL,
    PRIMARY KEY (user_id, local_date)
);
COMMENT ON TABLE days IS 'One row per user and local date with a row in plays.';
COMMENT ON COLUMN days.user_id IS 'The user.';
COMMENT ON COLUMN days.local_date IS 'Date in the user''s time zone.';
COMMENT ON COLUMN days.local_weekday IS '0 is Monday.';
COMMENT ON COLUMN days.plays IS 'Plays that count.';
COMMENT ON COLUMN days.listened_ms IS 'Listening time in milliseconds, of all plays that no rule leaves out.';
COMMENT ON COLUMN days.row_count IS 'All rows of the day in plays.';
COMMENT ON COLUMN days.skips IS 'Plays known to have been left early.';
COMMENT ON COLUMN days.skips_known IS 'Plays of which it is known whether they were left early.';
COMMENT ON COLUMN days.track_count IS 'Different tracks with a play that counts.';
COMMENT ON COLUMN days.excluded_plays IS 'Plays that would count if no rule left them out.';

CREATE TABLE IF NOT EXISTS sessions (
    user_id UUID NOT NULL,
    first_played_at TIMESTAMP(3) WITH TIME ZONE NOT NULL,
    started_at TIMESTAMP(3) WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP(3) WITH TIME ZONE NOT NULL,
    local_date DATE NOT NULL,
    plays INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    PRIMARY KEY (user_id, first_played_at)
);
COMMENT ON TABLE sessions IS 'Plays without a pause of more than half an hour. Plays that a rule leaves out are no part of one.';
COMMENT ON COLUMN sessions.user_id IS 'The user.';
COMMENT ON COLUMN sessions.first_played_at IS 'played_at of the first play of the session.';
COMMENT ON COLUMN sessions.started_at IS 'When the first play began.';
COMMENT ON COLUMN sessions.ended_at IS 'When the last play ended.';
COMMENT ON COLUMN sessions.local_date IS 'Local date of the first play.';
COMMENT ON COLUMN sessions.plays IS 'Plays that count.';
COMMENT ON COLUMN sessions.row_count IS 'All rows of the session in plays.';

CREATE TABLE IF NOT EXISTS tracks (
    user_id UUID NOT NULL,
    track_id TEXT NOT NULL,
    song_id TEXT NOT NULL,
    name TEXT NOT NULL,
    artist_id TEXT,
    artist_name TEXT NOT NULL,
    album_id TEXT,
    album_name TEXT NOT NULL,
    duration_ms INTEGER,
    isrc TEXT,
    image_url TEXT,
    danceability DOUBLE PRECISION,
    energy DOUBLE PRECISION,
    valence DOUBLE PRECISION,
    acousticness DOUBLE PRECISION,
    instrumentalness DOUBLE PRECISION,
    liveness DOUBLE PRECISION,
    speechiness DOUBLE PRECISION,
    tempo DOUBLE PRECISION,
    PRIMARY KEY (user_id, track_id)
);
COMMENT ON TABLE tracks IS 'The tracks that a user has played, as this user''s statistics count and show them.';
COMMENT ON COLUMN tracks.user_id IS 'The user who has played the track.';
COMMENT ON COLUMN tracks.track_id IS 'As in plays.';
COMMENT ON COLUMN tracks.song_id IS 'The track that stands for the song: a recording may have several ids. Count songs by it.';
COMMENT ON COLUMN tracks.name IS 'Name of the track.';
COMMENT ON COLUMN tracks.artist_id IS 'The artist under whom plays are counted, as in artists; null if no artist is known.';
COMMENT ON COLUMN tracks.artist_name IS 'Name of the artist.';
COMMENT ON COLUMN tracks.album_id IS 'The album under which plays are counted, as in albums; null if no album is known.';
COMMENT ON COLUMN tracks.album_name IS 'Name of the album.';
COMMENT ON COLUMN tracks.duration_ms IS 'Length in milliseconds; null while it is unknown.';
COMMENT ON COLUMN tracks.isrc IS 'International Standard Recording Code; null if unknown.';
COMMENT ON COLUMN tracks.image_url IS 'Address of the cover; null if unknown.';
COMMENT ON COLUMN tracks.danceability IS 'Audio feature from 0 to 1; null if unknown.';
COMMENT ON COLUMN tracks.energy IS 'Audio feature from 0 to 1; null if unknown.';
COMMENT ON COLUMN tracks.valence IS 'Audio feature from 0 (sad) to 1 (cheerful); null if unknown.';
COMMENT ON COLUMN tracks.acousticness IS 'Audio feature from 0 to 1; null if unknown.';
COMMENT ON COLUMN tracks.instrumentalness IS 'Audio feature from 0 to 1; null if unknown.';
COMMENT ON COLUMN tracks.liveness IS 'Audio feature from 0 to 1; null if unknown.';
COMMENT ON COLUMN tracks.speechiness IS 'Audio feature from 0 to 1; null if unknown.';
COMMENT ON COLUMN tracks.tempo IS 'Beats per minute; null if unknown.';

CREATE TABLE IF NOT EXISTS artists (
    user_id UUID NOT NULL,
    artist_id TEXT NOT NULL,
    name TEXT NOT NULL,
    image_url TEXT,
    PRIMARY KEY (user_id, artist_id)
);
COMMENT ON TABLE artists IS 'The artists of a user''s tracks.';
COMMENT ON COLUMN artists.user_id IS 'The user.';
COMMENT ON COLUMN artists.artist_id IS 'Id at Spotify, or name: and the name where only that is known.';
COMMENT ON COLUMN artists.name IS 'Name of the artist, as the user''s rules show it.';
COMMENT ON COLUMN artists.image_url IS 'Address of a picture; null if unknown.';

CREATE TABLE IF NOT EXISTS track_artists (
    user_id UUID NOT NULL,
    track_id TEXT NOT NULL,
    artist_id TEXT NOT NULL,
    PRIMARY KEY (user_id, track_id, artist_id)
);
CREATE INDEX IF NOT EXISTS idx_track_artists_artist ON track_artists(user_id, artist_id);
COMMENT ON TABLE track_artists IS 'Every artist who is credited on a track, guests too.';
COMMENT ON COLUMN track_artists.user_id IS 'The user.';
COMMENT ON COLUMN track_artists.track_id IS 'As in tracks.';
COMMENT ON COLUMN track_artists.artist_id IS 'As in artists.';

CREATE TABLE IF NOT EXISTS albums (
    user_id UUID NOT NULL,
    album_id TEXT NOT NULL,
    name TEXT NOT NULL,
    image_url TEXT,
    PRIMARY KEY (user_id, album_id)
);
COMMENT ON TABLE albums IS 'The albums of a user''s tracks.';
COMMENT ON COLUMN albums.user_id IS 'The user.';
COMMENT ON COLUMN albums.album_id IS 'Id at Spotify, or name: and the names where only these are known.';
COMMENT ON COLUMN albums.name IS 'Name of the album, as the user''s rules show it.';
COMMENT ON COLUMN albums.image_url IS 'Address of the cover; null if unknown.';

CREATE TABLE IF NOT EXISTS genres (
    user_id UUID NOT NULL,
    genre TEXT NOT NULL,
    PRIMARY KEY (user_id, genre)
);
COMMENT ON TABLE genres IS 'The genres of a user''s tracks, in one spelling each.';
COMMENT ON COLUMN genres.user_id IS 'The user.';
COMMENT ON COLUMN genres.genre IS 'Name of the genre.';

CREATE TABLE IF NOT EXISTS track_genres (
    user_id UUID NOT NULL,
    track_id TEXT NOT NULL,
    genre TEXT NOT NULL,
    PRIMARY KEY (user_id, track_id, genre)
);
CREATE INDEX IF NOT EXISTS idx_track_genres_genre ON track_genres(user_id, genre);
COMMENT ON TABLE track_genres IS 'The genres of a track: those of the artist under whom it is counted.';
COMMENT ON COLUMN track_genres.user_id IS 'The user.';
COMMENT ON COLUMN track_genres.track_id IS 'As in tracks.';
COMMENT ON COLUMN track_genres.genre IS 'As in genres.';

CREATE TABLE IF NOT EXISTS snapshots (
    user_id UUID NOT NULL,
    period TEXT NOT NULL,
    period_start TIMESTAMP(3) WITH TIME ZONE,
    period_end TIMESTAMP(3) WITH TIME ZONE,
    computed_at TIMESTAMP(3) WITH TIME ZONE,
    plays INTEGER NOT NULL,
    listened_ms BIGINT NOT NULL,
    unique_tracks INTEGER NOT NULL,
    unique_artists INTEGER NOT NULL,
    unique_albums INTEGER NOT NULL,
    unique_genres INTEGER NOT NULL,
    document JSONB NOT NULL,
    PRIMARY KEY (user_id, period)
);
COMMENT ON TABLE snapshots IS 'The statistics of the core by user and period, as the report shows them.';
COMMENT ON COLUMN snapshots.user_id IS 'The user.';
COMMENT ON COLUMN snapshots.period IS 'week, month, quarter, year or all_time: the last 7, 30, 90 or 365 days, or all.';
COMMENT ON COLUMN snapshots.period_start IS 'First instant of the period; null for all_time.';
COMMENT ON COLUMN snapshots.period_end IS 'First instant after the period.';
COMMENT ON COLUMN snapshots.computed_at IS 'When the statistics were computed.';
COMMENT ON COLUMN snapshots.plays IS 'Plays that count.';
COMMENT ON COLUMN snapshots.listened_ms IS 'Listening time in milliseconds.';
COMMENT ON COLUMN snapshots.unique_tracks IS 'Different songs.';
COMMENT ON COLUMN snapshots.unique_artists IS 'Different artists.';
COMMENT ON COLUMN snapshots.unique_albums IS 'Different albums.';
COMMENT ON COLUMN snapshots.unique_genres IS 'Different genres.';
COMMENT ON COLUMN snapshots.document IS 'The whole snapshot with its top lists, named as in MongoDB.';

CREATE TABLE IF NOT EXISTS gaps (
    user_id UUID NOT NULL,
    started_at TIMESTAMP(3) WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP(3) WITH TIME ZONE NOT NULL,
    kind TEXT NOT NULL,
    closed_by TEXT,
    PRIMARY KEY (user_id, started_at)
);
COMMENT ON TABLE gaps IS 'Times in which plays may be missing.';
COMMENT ON COLUMN gaps.user_id IS 'The user.';
COMMENT ON COLUMN gaps.started_at IS 'Beginning of the gap.';
COMMENT ON COLUMN gaps.ended_at IS 'End of the gap.';
COMMENT ON COLUMN gaps.kind IS 'unseen: more plays may have passed between two syncs than Spotify gives; unknown: nothing covers that time.';
COMMENT ON COLUMN gaps.closed_by IS 'The import that has filled the gap; null while it is open.';

CREATE TABLE IF NOT EXISTS loads (
    user_id UUID PRIMARY KEY,
    layout INTEGER NOT NULL,
    timezone TEXT NOT NULL,
    min_play_ms INTEGER NOT NULL,
    load_id TEXT NOT NULL,
    plays_loaded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    tracks_digest TEXT,
    loaded_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE loads IS 'How far each user is loaded, for the pipeline itself.';
COMMENT ON COLUMN loads.user_id IS 'The user.';
COMMENT ON COLUMN loads.layout IS 'Version of the rows; those of another version are loaded again.';
COMMENT ON COLUMN loads.timezone IS 'The time zone of local dates and hours; another one means that the user is loaded again.';
COMMENT ON COLUMN loads.min_play_ms IS 'The shortest play that counts; another one means that the user is loaded again.';
COMMENT ON COLUMN loads.load_id IS 'Identifies the last load of plays; the core knows it, too.';
COMMENT ON COLUMN loads.plays_loaded_at IS 'When plays were last loaded.';
COMMENT ON COLUMN loads.tracks_digest IS 'Identifies the rows of tracks, artists, albums and genres as last loaded; null before.';
COMMENT ON COLUMN loads.loaded_at IS 'When anything was last loaded.';
