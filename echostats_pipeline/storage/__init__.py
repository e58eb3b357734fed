"""MongoDB: connection, indexes, reads into frames, idempotent writes. No Dagster."""
