"""From plays to rollups, and from rollups to snapshots."""
