"""What time it is in the simulated Spotify.

Belongs here: the one clock that the server, the tokens and recently-played share. Not here: any date arithmetic.
"""

from datetime import UTC, datetime, timedelta


class Clock:
    """Real time plus an offset, or an instant that stands still.

    Args:
        frozen_at: The instant at which time stands still (an aware datetime); None follows real time.
    """

    def __init__(self, *, frozen_at: datetime | None = None) -> None:
        self._frozen_at = None if frozen_at is None else frozen_at.astimezone(UTC)
        self._offset = timedelta(0)

    def now(self) -> datetime:
        """The simulated instant, UTC."""
        return (self._frozen_at or datetime.now(UTC)) + self._offset

    def advance(self, by: timedelta) -> None:
        """Move on (or back, if negative) by `by`; a frozen clock moves too and then stands still again."""
        self._offset += by
