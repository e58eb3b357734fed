-- How often songs are left early, by what they were played from.
SELECT coalesce(context_type, 'unknown') AS context, count(*) AS plays, round(avg(skipped::int), 3) AS skip_rate
FROM plays
WHERE skipped IS NOT NULL AND NOT excluded
GROUP BY 1
ORDER BY plays DESC;
