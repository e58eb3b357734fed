"""Reads how long a response asks to wait, and defines which waits are short enough to sleep."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

Clock = Callable[[], datetime]
"""The current instant, aware."""
Sleep = Callable[[float], None]
"""Waits for a number of seconds."""

SHORT_WAIT = timedelta(seconds=60)
"""Longer waits are not slept: they are stored, and the run ends."""
LONGEST_WAIT = timedelta(days=7)
"""Longer waits are cut to this: Spotify's longest window is a day, so more can only be a mistake."""

_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """The wait that a ``Retry-After`` header asks for, from zero to `LONGEST_WAIT`.

    The value is in seconds or an HTTP date (RFC 9110, section 10.2.3); a date in the past means no wait.

    Returns:
        None if the header is missing or is neither.
    """
    text = (value or "").strip()
    wait = timedelta(seconds=min(float(text), LONGEST_WAIT.total_seconds())) if _SECONDS.fullmatch(text) else None
    if wait is None:
        moment = _http_date(text)
        wait = None if moment is None else moment - now
    return None if wait is None else min(max(wait, timedelta()), LONGEST_WAIT)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        # Of the three forms of HTTP dates, the oldest has no time zone; all mean UTC.
        return moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
