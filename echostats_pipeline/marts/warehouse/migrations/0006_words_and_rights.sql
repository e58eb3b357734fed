-- Comments on the columns of views. Applications change only playlists of their own: the pipeline writes the others anew.
COMMENT ON COLUMN listening.user_id IS 'The user who listened.';
COMMENT ON COLUMN listening.played_at IS 'The end of the play.';
COMMENT ON COLUMN listening.local_date IS 'Date of the end in the user''s time zone.';
COMMENT ON COLUMN listening.local_hour IS 'Hour of the end in the user''s time zone, 0 to 23.';
COMMENT ON COLUMN listening.local_weekday IS 'Weekday of the end in the user''s time zone; 0 is Monday.';
COMMENT ON COLUMN listening.track_id IS 'As in plays.';
COMMENT ON COLUMN listening.song_id IS 'As in tracks: count songs by it.';
COMMENT ON COLUMN listening.track_name IS 'Name of the track.';
COMMENT ON COLUMN listening.artist_id IS 'The artist under whom the play is counted, as in artists; null if no artist is known.';
COMMENT ON COLUMN listening.artist_name IS 'Name of the artist, as the user''s rules show it; null if no artist is known.';
COMMENT ON COLUMN listening.album_id IS 'The album under which the play is counted, as in albums; null if no album is known.';
COMMENT ON COLUMN listening.album_name IS 'Name of the album, as the user''s rules show it; null if no album is known.';
COMMENT ON COLUMN listening.counts IS 'Whether it counts as a play.';
COMMENT ON COLUMN listening.listened_ms IS 'Listening time in milliseconds. Sum it up over all rows.';
COMMENT ON COLUMN listening.ms_played IS 'How long it was played, in milliseconds, as the source says; null where it does not.';
COMMENT ON COLUMN listening.skipped IS 'Whether the user left the track early; null where the source does not say it.';
COMMENT ON COLUMN listening.context_type IS 'What it was played from: playlist, album, artist, collection; null if unknown.';
COMMENT ON COLUMN listening.context_uri IS 'Spotify''s address of what it was played from; null if unknown.';
COMMENT ON COLUMN listening.platform IS 'Family of the device; null if unknown.';
COMMENT ON COLUMN listening.country IS 'Country of the connection (ISO 3166-1); null if unknown.';
COMMENT ON COLUMN listening.source IS 'api, or import.';
COMMENT ON COLUMN first_plays.user_id IS 'The user.';
COMMENT ON COLUMN first_plays.song_id IS 'As in tracks.';
COMMENT ON COLUMN first_plays.local_date IS 'Local date of the first play that counts.';

DO $$
DECLARE
    of_setting CONSTANT TEXT := '(SELECT nullif(current_setting(''echostats.user_id'', true), '''')::uuid)';
BEGIN
    DROP POLICY IF EXISTS own_rows_of_setting ON playlists;
    EXECUTE format('CREATE POLICY own_rows_of_setting ON playlists FOR SELECT TO echostats_application '
        'USING (user_id = %s)', of_setting);
    DROP POLICY IF EXISTS own_playlists_of_setting ON playlists;
    EXECUTE format('CREATE POLICY own_playlists_of_setting ON playlists TO echostats_application '
        'USING (user_id = %s AND source = ''application'') WITH CHECK (user_id = %s AND source = ''application'')',
        of_setting, of_setting);
END
$$;
