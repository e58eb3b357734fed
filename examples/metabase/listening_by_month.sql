-- Hours and plays of each month.
SELECT date_trunc('month', local_date)::date AS month, sum(plays) AS plays, round(sum(listened_ms) / 3600000.0, 1) AS hours
FROM days
GROUP BY 1
ORDER BY 1;
