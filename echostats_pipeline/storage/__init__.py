"""MongoDB: connection, indexes, reads into frames, idempotent writes, and the embedded server. No Dagster."""
