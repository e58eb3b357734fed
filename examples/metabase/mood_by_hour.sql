-- How cheerful and how energetic the music of each hour of the day is, where audio features are known.
SELECT p.local_hour AS hour, count(*) AS plays, round(avg(t.valence)::numeric, 3) AS valence, round(avg(t.energy)::numeric, 3) AS energy
FROM plays p
JOIN tracks t ON t.user_id = p.user_id AND t.track_id = p.track_id
WHERE p.counts AND t.energy IS NOT NULL
GROUP BY 1
ORDER BY 1;
