-- Artists who were heard again after at least half a year.
SELECT artist_name, previous AS last_heard, local_date AS heard_again, local_date - previous AS days_away
FROM (
    SELECT artist_name, local_date, lag(local_date) OVER (PARTITION BY user_id, artist_id ORDER BY local_date) AS previous
    FROM (
        SELECT DISTINCT user_id, artist_id, artist_name, local_date
        FROM listening
        WHERE counts AND artist_id IS NOT NULL
    ) AS days
) AS heard
WHERE local_date - previous >= 180
ORDER BY heard_again DESC, artist_name;
