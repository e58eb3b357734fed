"""Documents of the database and the collections that hold them. No I/O, no Dagster, no polars."""
