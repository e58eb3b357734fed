"""Readers of Spotify's export files: one per format, all giving the same frame. No database, no Dagster."""
