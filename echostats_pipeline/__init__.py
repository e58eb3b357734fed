"""A self-hosted Spotify listening-statistics pipeline on Dagster and MongoDB."""

__version__ = "0.1.0"
