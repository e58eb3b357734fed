-- The three tables of EchoTune's architecture guide, with their names, columns and indexes. Columns after
-- `updated_at` are additions. The ids of rows that the pipeline loads are computed, never random.
CREATE TABLE IF NOT EXISTS users (
    id UUID DEFAULT gen_random_uuid() PRIMARY KEY,
    spotify_user_id TEXT UNIQUE,
    email TEXT UNIQUE,
    username TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    user_key TEXT UNIQUE,
    timezone TEXT,
    status TEXT,
    last_synced_at TIMESTAMP WITH TIME ZONE,
    country TEXT
);
COMMENT ON TABLE users IS 'One row per user of the installation.';
COMMENT ON COLUMN users.id IS 'Computed from the id of the user in the core; every other table names the user by it.';
COMMENT ON COLUMN users.spotify_user_id IS 'Id of the account at Spotify.';
COMMENT ON COLUMN users.email IS 'Written by applications only: the pipeline does not know it.';
COMMENT ON COLUMN users.username IS 'Name that the user shows at Spotify.';
COMMENT ON COLUMN users.created_at IS 'When the account was connected.';
COMMENT ON COLUMN users.updated_at IS 'When a column of this row last changed.';
COMMENT ON COLUMN users.user_key IS 'Partition key of the user in Dagster, by which commands name the user.';
COMMENT ON COLUMN users.timezone IS 'Time zone of local dates and hours (IANA).';
COMMENT ON COLUMN users.status IS 'active, paused, or needs_reauth if the user must connect again.';
COMMENT ON COLUMN users.last_synced_at IS 'When recent plays were last read from Spotify.';
COMMENT ON COLUMN users.country IS 'Country of the account (ISO 3166-1).';

CREATE TABLE IF NOT EXISTS playlists (
    id UUID DEFAULT gen_random_uuid() PRIMARY KEY,
    user_id UUID REFERENCES users(id) ON DELETE CASCADE,
    spotify_playlist_id TEXT,
    name TEXT NOT NULL,
    description TEXT,
    public BOOLEAN DEFAULT false,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    owner_name TEXT,
    track_count INTEGER,
    source TEXT NOT NULL DEFAULT 'application'
);
COMMENT ON TABLE playlists IS 'Playlists that a user owns or follows at Spotify, and those that applications add.';
COMMENT ON COLUMN playlists.id IS 'Computed from user and playlist for rows of the pipeline.';
COMMENT ON COLUMN playlists.user_id IS 'The user in whose library the playlist is.';
COMMENT ON COLUMN playlists.spotify_playlist_id IS 'Id of the playlist at Spotify.';
COMMENT ON COLUMN playlists.name IS 'Name of the playlist.';
COMMENT ON COLUMN playlists.description IS 'Description of the playlist; null if there is none.';
COMMENT ON COLUMN playlists.public IS 'Whether the playlist is shown in its owner''s profile.';
COMMENT ON COLUMN playlists.created_at IS 'When its oldest track was added; when it was loaded if that is unknown.';
COMMENT ON COLUMN playlists.updated_at IS 'When a column of this row last changed.';
COMMENT ON COLUMN playlists.owner_name IS 'Name of the owner at Spotify.';
COMMENT ON COLUMN playlists.track_count IS 'Number of tracks.';
COMMENT ON COLUMN playlists.source IS 'pipeline for rows that the pipeline keeps up to date, application for all others.';

CREATE TABLE IF NOT EXISTS user_preferences (
    id UUID DEFAULT gen_random_uuid() PRIMARY KEY,
    user_id UUID REFERENCES users(id) ON DELETE CASCADE,
    preferred_genres TEXT[],
    audio_feature_weights JSONB,
    recommendation_settings JSONB,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    loaded JSONB
);
COMMENT ON TABLE user_preferences IS 'Taste and settings of a user. The pipeline stops to change a row once an application has.';
COMMENT ON COLUMN user_preferences.id IS 'Computed from the user for rows of the pipeline.';
COMMENT ON COLUMN user_preferences.user_id IS 'The user.';
COMMENT ON COLUMN user_preferences.preferred_genres IS 'Most played genres, the first most.';
COMMENT ON COLUMN user_preferences.audio_feature_weights IS 'Means of the audio features of all plays, as far as they are known.';
COMMENT ON COLUMN user_preferences.recommendation_settings IS 'Settings of recommendations.';
COMMENT ON COLUMN user_preferences.created_at IS 'When the row was loaded first.';
COMMENT ON COLUMN user_preferences.updated_at IS 'When a column of this row last changed.';
COMMENT ON COLUMN user_preferences.loaded IS 'What the pipeline loaded last; a row that differs from it belongs to an application.';

CREATE INDEX IF NOT EXISTS idx_users_spotify_id ON users(spotify_user_id);
CREATE INDEX IF NOT EXISTS idx_playlists_user_id ON playlists(user_id);
CREATE INDEX IF NOT EXISTS idx_playlists_created_at ON playlists(created_at DESC);
CREATE INDEX IF NOT EXISTS idx_user_prefs_user_genres ON user_preferences(user_id, preferred_genres);
CREATE INDEX IF NOT EXISTS idx_user_prefs_audio_weights ON user_preferences USING GIN(audio_feature_weights);
CREATE INDEX IF NOT EXISTS idx_user_prefs_rec_settings ON user_preferences USING GIN(recommendation_settings);
