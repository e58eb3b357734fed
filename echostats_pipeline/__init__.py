"""A self-hosted Spotify listening-statistics pipeline on Dagster and MongoDB."""

import gc

__version__ = "0.1.0"

gc.set_threshold(10_000)
"""Python looks for cycles each time 700 objects more exist. A start makes half a million objects, and they all stay."""
