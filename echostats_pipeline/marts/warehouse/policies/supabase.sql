-- Supabase: people sign in through its API as `authenticated`, and `auth.uid()` is the id of their account. Give the
-- account the id that `users.id` has (`echostats warehouse status` lists it). `anon` gets nothing.
DO $$
DECLARE
    name TEXT;
    owner_column TEXT;
BEGIN
    IF EXISTS (SELECT FROM pg_namespace WHERE nspname = 'auth') AND NOT has_schema_privilege('auth', 'USAGE') THEN
        RAISE EXCEPTION 'The user % may not use the schema auth. As its owner: GRANT USAGE ON SCHEMA auth TO %',
            current_user, current_user;
    END IF;
    IF to_regprocedure('auth.uid()') IS NULL OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
        RAISE EXCEPTION 'This is no database of Supabase: it has no function auth.uid() and role authenticated.';
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO authenticated', current_schema());
    FOREACH name IN ARRAY ARRAY['users', 'playlists', 'user_preferences', 'plays', 'days', 'sessions', 'tracks',
        'artists', 'track_artists', 'albums', 'genres', 'track_genres', 'snapshots', 'gaps'] LOOP
        owner_column := CASE name WHEN 'users' THEN 'id' ELSE 'user_id' END;
        EXECUTE format('DROP POLICY IF EXISTS own_rows_of_account ON %I', name);
        EXECUTE format('CREATE POLICY own_rows_of_account ON %I TO authenticated USING (%I = (SELECT auth.uid())) '
            'WITH CHECK (%I = (SELECT auth.uid()))', name, owner_column, owner_column);
    END LOOP;
    -- Of playlists, people change only those that applications have added.
    DROP POLICY own_rows_of_account ON playlists;
    CREATE POLICY own_rows_of_account ON playlists FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
    DROP POLICY IF EXISTS own_playlists_of_account ON playlists;
    CREATE POLICY own_playlists_of_account ON playlists TO authenticated
        USING (user_id = (SELECT auth.uid()) AND source = 'application')
        WITH CHECK (user_id = (SELECT auth.uid()) AND source = 'application');
    -- Supabase grants everything on new tables of some schemas by itself.
    FOR name IN
        SELECT c.relname FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
        WHERE c.relnamespace = current_schema()::regnamespace AND (i.inhparent = 'plays'::regclass AND c.relkind = 'r'
            OR c.relname IN ('users', 'playlists', 'user_preferences', 'plays', 'days', 'sessions', 'tracks', 'artists',
            'track_artists', 'albums', 'genres', 'track_genres', 'snapshots', 'gaps', 'loads', 'logins',
            'schema_migrations', 'listening', 'first_plays'))
    LOOP
        EXECUTE format('REVOKE ALL ON %I FROM authenticated', name);
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN
            EXECUTE format('REVOKE ALL ON %I FROM anon', name);
        END IF;
    END LOOP;
    GRANT SELECT ON users, playlists, user_preferences, plays, days, sessions, tracks, artists, track_artists, albums,
        genres, track_genres, snapshots, gaps, listening, first_plays TO authenticated;
    GRANT INSERT, UPDATE, DELETE ON playlists, user_preferences TO authenticated;
END
$$;
