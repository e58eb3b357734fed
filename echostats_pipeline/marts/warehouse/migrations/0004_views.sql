-- Views for people. They run with the rights of whoever reads them, so row-level security holds in them.
CREATE OR REPLACE VIEW listening WITH (security_invoker = true) AS
SELECT
    p.user_id, p.played_at, p.local_date, p.local_hour, p.local_weekday,
    p.track_id, t.song_id, t.name AS track_name,
    t.artist_id, a.name AS artist_name, t.album_id, b.name AS album_name,
    p.counts, p.listened_ms, p.ms_played, p.skipped, p.context_type, p.context_uri, p.platform, p.country, p.source
FROM plays p
JOIN tracks t ON t.user_id = p.user_id AND t.track_id = p.track_id
LEFT JOIN artists a ON a.user_id = t.user_id AND a.artist_id = t.artist_id
LEFT JOIN albums b ON b.user_id = t.user_id AND b.album_id = t.album_id
WHERE NOT p.excluded;
COMMENT ON VIEW listening IS 'Plays with the names of track, artist and album as the user''s statistics show them, without plays that a rule leaves out.';

CREATE OR REPLACE VIEW first_plays WITH (security_invoker = true) AS
SELECT p.user_id, t.song_id, min(p.local_date) AS local_date
FROM plays p
JOIN tracks t ON t.user_id = p.user_id AND t.track_id = p.track_id
WHERE p.counts
GROUP BY p.user_id, t.song_id;
COMMENT ON VIEW first_plays IS 'When each song was heard for the first time.';

REVOKE ALL ON listening, first_plays FROM PUBLIC;
GRANT SELECT ON listening, first_plays TO echostats_reader, echostats_application;
