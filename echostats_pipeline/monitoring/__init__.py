"""Monitoring: audit of the data, state of the pipeline, health checks, incidents, notices, API usage."""
