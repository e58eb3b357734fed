"""The database ``spotify_analytics`` of EchoTune's architecture guide: plays as documents for analysis and search."""
