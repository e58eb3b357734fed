"""Tests of `echostats_pipeline.spotify`; handler functions replace the network."""
