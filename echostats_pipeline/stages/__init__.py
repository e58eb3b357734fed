"""What each asset does, without Dagster: reads, one pure call, idempotent writes.

A stage takes the store, a client where it needs Spotify, and the present instant; it reports progress through
`Progress` and returns what it did.
"""

from typing import Protocol


class Progress(Protocol):
    """Where a stage says how far it is."""

    def expect(self, items: int) -> None:
        """Announce items still to be processed."""

    def advance(self, items: int) -> None:
        """Report items as processed."""
