-- New songs of each year, and the share of plays that were of songs known before.
WITH days AS (
    SELECT t.user_id, t.song_id, p.local_date, count(*) AS plays
    FROM plays p
    JOIN tracks t ON t.user_id = p.user_id AND t.track_id = p.track_id
    WHERE p.counts
    GROUP BY 1, 2, 3
), numbered AS (
    SELECT local_date, plays, row_number() OVER (PARTITION BY user_id, song_id ORDER BY local_date) AS nth_day
    FROM days
)
SELECT extract(year FROM local_date)::int AS year, sum(plays) AS plays, count(*) FILTER (WHERE nth_day = 1) AS new_songs,
    round(sum(plays) FILTER (WHERE nth_day > 1) / sum(plays), 3) AS known_before
FROM numbered
GROUP BY 1
ORDER BY 1;
