"""Tests of `echostats_pipeline.spotify`; handler functions stand in for the network."""
