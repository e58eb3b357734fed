-- New songs of each year, and the share of plays that were of songs known before.
SELECT extract(year FROM p.local_date)::int AS year, count(*) AS plays,
    count(DISTINCT t.song_id) FILTER (WHERE extract(year FROM f.local_date) = extract(year FROM p.local_date)) AS new_songs,
    round(avg((f.local_date < p.local_date)::int), 3) AS known_before
FROM plays p
JOIN tracks t ON t.user_id = p.user_id AND t.track_id = p.track_id
JOIN first_plays f ON f.user_id = t.user_id AND f.song_id = t.song_id
WHERE p.counts
GROUP BY 1
ORDER BY 1;
