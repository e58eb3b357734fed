"""The warehouse: a copy of the core in PostgreSQL, for dashboards and SQL, where each login sees one user alone."""
