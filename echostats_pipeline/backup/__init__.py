"""Backs up an installation into one file, and restores it on any machine and kind of MongoDB.

`manifest` says what a file holds and decides without reading or writing; `archive` is the file; `dumping` and
`restoring` stand between it and MongoDB; `moment` keeps the data still while it is read; `runs` copies Dagster's
history.
"""
