-- The most played artists of the last month that is over, in local days.
SELECT artist_name, count(*) AS plays, round(sum(listened_ms) / 3600000.0, 1) AS hours
FROM listening
WHERE counts
    AND local_date >= date_trunc('month', current_date)::date - interval '1 month'
    AND local_date < date_trunc('month', current_date)::date
GROUP BY artist_id, artist_name
ORDER BY plays DESC, artist_name
LIMIT 20;
