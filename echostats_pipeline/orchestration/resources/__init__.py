"""Dagster resources: the database, Spotify, the clock and the job records, as assets and sensors receive them."""
