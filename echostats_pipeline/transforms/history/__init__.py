"""Decides which plays a user's history contains, by reconciling the facts of several sources."""
