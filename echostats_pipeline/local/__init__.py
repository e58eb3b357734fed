"""One machine: the embedded MongoDB server, the database it serves, the running webserver, processes."""
