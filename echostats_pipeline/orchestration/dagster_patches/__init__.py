"""Patches of Dagster 1.13."""
