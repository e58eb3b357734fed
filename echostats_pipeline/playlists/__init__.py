"""Playlists from words: what words mean, which songs fit, in what order, why, and what came of it.

The modules are pure but for the edges `reading`, `building` and `spotify_copies`.
"""
