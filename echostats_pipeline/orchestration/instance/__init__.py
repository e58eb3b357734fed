"""Upkeep of a Dagster instance: dead runs, retention, health, metrics, the roster of sensors."""
