"""Single-machine installation: the embedded MongoDB server, its database, the local webserver, processes."""
