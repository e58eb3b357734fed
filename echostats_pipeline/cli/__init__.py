"""The command line ``echostats``: one thin module per command group."""
