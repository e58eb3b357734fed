"""Builds rollups from plays, and snapshots from rollups."""
