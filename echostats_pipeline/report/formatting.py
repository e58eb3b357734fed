"""Formats numbers, lengths of time and dates as English text.

Here: the text for one quantity. Not here: which quantities a page shows (`report.build`).
"""

from datetime import date, datetime
from zoneinfo import ZoneInfo

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
MANY_HOURS = 100
"""From this many hours on, minutes are left out."""
TO = " \N{EN DASH} "
MANIFOLD = 3
"""From this factor on, a change is given as a factor instead of a percentage."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return the count with its noun: ``1 play``, ``1,204 plays``; `nouns` is the plural if it does not just add s."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def duration(ms: int) -> str:
    """Format milliseconds as hours and minutes: ``812 h``, ``3 h 20 min``, ``45 min``, ``no time``."""
    if ms <= 0:
        return "no time"
    minutes = round(ms / MINUTE_MS)
    if minutes < 1:
        return "less than a minute"
    hours, rest = divmod(minutes, 60)
    if hours >= MANY_HOURS:
        return f"{round(ms / HOUR_MS):,} h"
    return " ".join([*([f"{hours} h"] if hours else []), *([f"{rest} min"] if rest or not hours else [])])


def hours(ms: int) -> str:
    """Format milliseconds as hours in one number: ``812``, ``9.4``, ``0.3``."""
    value = ms / HOUR_MS
    return f"{value:,.0f}" if value >= MANY_HOURS or value == 0 else f"{value:,.1f}"


def days_and_nights(ms: int) -> str:
    """Format a time in days, ``33.8 days``, or in hours if it is less than one day."""
    return f"{ms / DAY_MS:,.1f} days" if ms >= DAY_MS else duration(ms)


def percent(share: float) -> str:
    """Format a share from 0 to 1, never rounded to 0 % or 100 %: ``62 %``, ``less than 1 %``."""
    value = round(share * 100)
    if share > 0 and value == 0:
        return "less than 1 %"
    if share < 1 and value == 100:  # noqa: PLR2004 - percent
        return "more than 99 %"
    return f"{value} %"


def change(now: float, before: float, *, less: str = "fewer", same: str = "as many as") -> str:
    """Say how a number has changed: ``12 % more than``, ``3 % fewer than``, ``as many as``, ``3 times``.

    Empty if the number before was 0.
    """
    if before <= 0:
        return ""
    if now >= MANIFOLD * before:
        return f"{now / before:,.0f} times"
    value = round((now / before - 1) * 100)
    return same if value == 0 else f"{abs(value)} % {'more' if value > 0 else less} than"


def calendar_date(day: date) -> str:
    """Format a date: ``3 March 2025``."""
    return f"{day.day} {day:%B} {day.year}"


def span(first: date, last: date) -> str:
    """Format two dates without repeating month or year: ``3 to 5 March 2025``, with a dash."""
    if first == last:
        return calendar_date(first)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}{TO}{calendar_date(last)}"
    if first.year == last.year:
        return f"{first.day} {first:%B}{TO}{calendar_date(last)}"
    return f"{calendar_date(first)}{TO}{calendar_date(last)}"


def instant(moment: datetime, zone: ZoneInfo) -> str:
    """Format an instant as local time of a zone: ``3 March 2025, 18:20``."""
    local = moment.astimezone(zone)
    return f"{calendar_date(local.date())}, {local:%H:%M}"


def listed(names: list[str]) -> str:
    """Join texts to a list: ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def initials(name: str) -> str:
    """Return one or two letters or digits of a name as its initials; ``♪`` if it has none."""
    letters = [word[0] for word in "".join(c if c.isalnum() else " " for c in name).split()]
    return "".join(letters[:2]).upper() or "♪"
