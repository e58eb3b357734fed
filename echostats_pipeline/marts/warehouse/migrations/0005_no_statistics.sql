-- No statistics of columns. The planner uses them for other users' rows, too: by EXPLAIN, a login could learn how often
-- another user has played a song. Keys begin with `user_id`, so plans use their indexes without statistics.
DO $$
DECLARE
    name TEXT;
    columns TEXT;
BEGIN
    FOR name, columns IN
        SELECT c.oid::regclass::text, string_agg(format('ALTER COLUMN %I SET STATISTICS 0', a.attname), ', ')
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
        WHERE c.relkind IN ('r', 'p') AND (i.inhparent = 'plays'::regclass OR c.oid IN (
            SELECT to_regclass(ours) FROM unnest(ARRAY['users', 'playlists', 'user_preferences', 'plays', 'days',
                'sessions', 'tracks', 'artists', 'track_artists', 'albums', 'genres', 'track_genres', 'snapshots', 'gaps',
                'loads', 'logins', 'schema_migrations']) AS ours))
        GROUP BY c.oid
    LOOP
        EXECUTE format('ALTER TABLE %s %s', name, columns);
    END LOOP;
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN  -- those that were made before
        DELETE FROM pg_statistic WHERE starelid IN (
            SELECT c.oid FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
                AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attstattarget = 0));
    END IF;
END
$$;
