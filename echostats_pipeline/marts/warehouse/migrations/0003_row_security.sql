-- Who sees what. Row-level security is enabled and forced on every table: without a policy, nobody sees a row.
-- `echostats_reader` has the logins of single users: the name of the login decides whom it sees, nothing it can set.
-- `echostats_application` is for an application that serves many users and names one by the setting
-- `echostats.user_id` for each transaction. Never let people send SQL of their own as this role: they can set it, too.
DO $$
DECLARE
    role_name TEXT;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['echostats_reader', 'echostats_application'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another database of this server has made it at the same moment
        END;
        BEGIN  -- so that the owner can look as the role does: echostats warehouse query --user
            EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;  -- another owner has made it, and gives it to whom it likes
        END;
    END LOOP;
END
$$;

CREATE TABLE IF NOT EXISTS logins (
    role_name TEXT PRIMARY KEY,
    user_id UUID NOT NULL,
    granted_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW()
);
COMMENT ON TABLE logins IS 'The login of each user who may read the warehouse.';
COMMENT ON COLUMN logins.role_name IS 'Name of the login.';
COMMENT ON COLUMN logins.user_id IS 'The one user whom the login sees.';
COMMENT ON COLUMN logins.granted_at IS 'When the login was made, or got a new password.';

DO $$
DECLARE
    name TEXT;
    owner_column TEXT;
    of_login CONSTANT TEXT :=
        '(SELECT l.user_id FROM logins l WHERE l.role_name = (SELECT current_user::text))';
    of_setting CONSTANT TEXT := '(SELECT nullif(current_setting(''echostats.user_id'', true), '''')::uuid)';
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO echostats_reader, echostats_application', current_schema());
    FOREACH name IN ARRAY ARRAY['users', 'playlists', 'user_preferences', 'plays', 'days', 'sessions', 'tracks',
        'artists', 'track_artists', 'albums', 'genres', 'track_genres', 'snapshots', 'gaps', 'loads', 'logins',
        'schema_migrations'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('REVOKE ALL ON %I FROM PUBLIC', name);
        EXECUTE format('DROP POLICY IF EXISTS loader ON %I', name);
        EXECUTE format('CREATE POLICY loader ON %I TO %I USING (true) WITH CHECK (true)', name, current_user);
        CONTINUE WHEN name IN ('loads', 'logins', 'schema_migrations');
        owner_column := CASE name WHEN 'users' THEN 'id' ELSE 'user_id' END;
        EXECUTE format('DROP POLICY IF EXISTS own_rows_of_login ON %I', name);
        EXECUTE format('CREATE POLICY own_rows_of_login ON %I FOR SELECT TO echostats_reader USING (%I = %s)',
            name, owner_column, of_login);
        EXECUTE format('DROP POLICY IF EXISTS own_rows_of_setting ON %I', name);
        EXECUTE format('CREATE POLICY own_rows_of_setting ON %I TO echostats_application USING (%I = %s) '
            'WITH CHECK (%I = %s)', name, owner_column, of_setting, owner_column, of_setting);
        EXECUTE format('GRANT SELECT ON %I TO echostats_reader, echostats_application', name);
    END LOOP;
    GRANT INSERT, UPDATE, DELETE ON playlists, user_preferences TO echostats_application;
END
$$;
DROP POLICY IF EXISTS own_login ON logins;
CREATE POLICY own_login ON logins FOR SELECT TO echostats_reader USING (role_name = (SELECT current_user::text));
GRANT SELECT ON logins TO echostats_reader;
DROP POLICY IF EXISTS everyone ON schema_migrations;
CREATE POLICY everyone ON schema_migrations FOR SELECT TO echostats_reader, echostats_application USING (true);
GRANT SELECT ON schema_migrations TO echostats_reader, echostats_application;
