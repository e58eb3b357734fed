"""The command line ``echostats``: one module per command group, thin."""
