"""All code that imports Dagster."""
