"""Readers of export files: one per format, all returning the same frame. No database, no Dagster."""
