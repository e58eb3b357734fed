-- The most played artists of the month before this one.
SELECT artist_name, count(*) AS plays, round(sum(listened_ms) / 3600000.0, 1) AS hours
FROM listening
WHERE counts
    AND played_at >= date_trunc('month', now()) - interval '1 month' AND played_at < date_trunc('month', now())
GROUP BY artist_id, artist_name
ORDER BY plays DESC, artist_name
LIMIT 20;
