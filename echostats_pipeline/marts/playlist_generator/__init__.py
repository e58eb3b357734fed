"""The database of Playlist Generator: its documents, and how they are kept up to date."""
