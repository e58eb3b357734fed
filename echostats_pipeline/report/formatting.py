"""Numbers, spans and dates as people say them, in English.

Here: one quantity to its words. Not here: which quantities a page shows (`report.build`).
"""

from datetime import date, datetime
from zoneinfo import ZoneInfo

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
MANY_HOURS = 100
"""From so many hours on nobody asks for the minutes."""
TO = " \N{EN DASH} "
MANIFOLD = 3
"""From so many times as much on, percents say little."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def plural(count: int, noun: str, nouns: str = "") -> str:
    """The count with its noun: ``1 play``, ``1,204 plays``; `nouns` where an s does not make it many."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def duration(ms: int) -> str:
    """Milliseconds as hours and minutes: ``812 h``, ``3 h 20 min``, ``45 min``, ``no time``."""
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
    """Milliseconds in hours, as one number: ``812``, ``9.4``, ``0.3``."""
    value = ms / HOUR_MS
    return f"{value:,.0f}" if value >= MANY_HOURS or value == 0 else f"{value:,.1f}"


def days_and_nights(ms: int) -> str:
    """What the time is without a pause: ``33.8 days``, or hours below one."""
    return f"{ms / DAY_MS:,.1f} days" if ms >= DAY_MS else duration(ms)


def percent(share: float) -> str:
    """A share from 0 to 1, never rounded to nothing or to all: ``62 %``, ``less than 1 %``."""
    value = round(share * 100)
    if share > 0 and value == 0:
        return "less than 1 %"
    if share < 1 and value == 100:  # noqa: PLR2004 - percent
        return "more than 99 %"
    return f"{value} %"


def change(now: float, before: float, *, less: str = "fewer", same: str = "as many as") -> str:
    """How much more or less than before: ``12 % more than``, ``3 % fewer than``, ``as many as``, ``3 times``.

    Empty if there was nothing before to compare with.
    """
    if before <= 0:
        return ""
    if now >= MANIFOLD * before:
        return f"{now / before:,.0f} times"
    value = round((now / before - 1) * 100)
    return same if value == 0 else f"{abs(value)} % {'more' if value > 0 else less} than"


def calendar_date(day: date) -> str:
    """``3 March 2025``."""
    return f"{day.day} {day:%B} {day.year}"


def span(first: date, last: date) -> str:
    """Two dates without saying anything twice: ``3 to 5 March 2025``, with a dash."""
    if first == last:
        return calendar_date(first)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}{TO}{calendar_date(last)}"
    if first.year == last.year:
        return f"{first.day} {first:%B}{TO}{calendar_date(last)}"
    return f"{calendar_date(first)}{TO}{calendar_date(last)}"


def instant(moment: datetime, zone: ZoneInfo) -> str:
    """``3 March 2025, 18:20`` on the clocks of a zone."""
    local = moment.astimezone(zone)
    return f"{calendar_date(local.date())}, {local:%H:%M}"


def listed(names: list[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def initials(name: str) -> str:
    """One or two letters or digits that stand for a name; ``♪`` where it has none."""
    letters = [word[0] for word in "".join(c if c.isalnum() else " " for c in name).split()]
    return "".join(letters[:2]).upper() or "♪"
