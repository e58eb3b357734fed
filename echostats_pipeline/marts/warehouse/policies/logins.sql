-- Without Supabase: what policies/supabase.sql has granted is taken back.
DO $$
DECLARE
    name TEXT;
    was_supabase BOOLEAN := false;
BEGIN
    FOR name IN
        SELECT tablename FROM pg_policies WHERE schemaname = current_schema() AND policyname = 'own_rows_of_account'
    LOOP
        EXECUTE format('DROP POLICY own_rows_of_account ON %I', name);
        EXECUTE format('REVOKE ALL ON %I FROM authenticated', name);
        was_supabase := true;
    END LOOP;
    IF was_supabase THEN
        DROP POLICY IF EXISTS own_playlists_of_account ON playlists;
        REVOKE ALL ON listening, first_plays FROM authenticated;
    END IF;
END
$$;
