"""Pure functions from frames to frames and documents. No clock, no I/O, no Dagster."""
