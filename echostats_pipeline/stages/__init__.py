"""Stages: the work of each asset, without Dagster: reads, one pure call, idempotent writes.

A stage takes the store, the present instant and, if it calls Spotify, a client. It reports progress through `Progress`
and returns what it did.
"""

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of a stage."""

    def expect(self, items: int) -> None:
        """Announce items still to be processed."""

    def advance(self, items: int) -> None:
        """Report items as processed."""
