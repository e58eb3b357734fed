"""Cached frames of rollups and of the catalogue."""
