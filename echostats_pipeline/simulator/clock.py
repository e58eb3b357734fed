"""The clock of the simulated Spotify.

Belongs here: the one clock that the server, the tokens and recently-played share. Not here: any date arithmetic.
"""

from datetime import UTC, datetime, timedelta


class Clock:
    """A clock that shows real time plus an offset, or a frozen instant.

    Args:
        frozen_at: The instant at which the clock is frozen (an aware datetime); None follows real time.
    """

    def __init__(self, *, frozen_at: datetime | None = None) -> None:
        self._frozen_at = None if frozen_at is None else frozen_at.astimezone(UTC)
        self._offset = timedelta(0)

    def now(self) -> datetime:
        """Return the simulated instant, in UTC."""
        return (self._frozen_at or datetime.now(UTC)) + self._offset

    def advance(self, by: timedelta) -> None:
        """Move the clock by `by`, back if negative; a frozen clock is frozen at the new instant."""
        self._offset += by
