"""Supervision: audit, operation, health, incidents, notifications, use of Spotify's API."""
