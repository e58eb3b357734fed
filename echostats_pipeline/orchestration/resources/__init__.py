"""Dagster resources for assets and sensors: the database, Spotify, the clock and the heartbeat."""
