"""Renders a report as one HTML file that loads nothing from the network.

Here: drawing the charts, embedding the pictures, filling the template. Not here: the content (`report.build`), and
fetching pictures (`report.pictures`). Jinja2 escapes all text, because names may contain any characters.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from echostats_pipeline import __version__
from echostats_pipeline.report import palette
from echostats_pipeline.report.calendar import Calendar, WeekHour
from echostats_pipeline.report.document import RANKED, Month, Report
from echostats_pipeline.report.drawing import drawn
from echostats_pipeline.report.formatting import MINUTE_MS, duration, initials
from echostats_pipeline.report.specs import NARROW, WIDE, half_year_chart, months_chart, week_chart

if TYPE_CHECKING:
    import jinja2

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
SPOTIFY_ID = re.compile(r"[0-9A-Za-z]{22}")
OPEN_SPOTIFY = "https://open.spotify.com"
RANK_LEVELS = {4: 1, 3: 3, 2: 10}
"""Shades of ranks, the darkest first, with the last rank that has them; later ranks have shade 1."""
HUES = 12
"""Number of colours for placeholders of pictures."""


@dataclass(frozen=True)
class Chart:
    """A drawn chart: one drawing for wide and one for narrow screens, or one for both."""

    wide: Any
    narrow: Any = None


@dataclass(frozen=True)
class Picture:
    """A fetched picture."""

    media_type: str
    content: bytes


@dataclass(frozen=True)
class Page:
    """The text of the file, and the numbers of its charts and pictures."""

    html: str
    charts: int
    pictures: int


def render(report: Report, pictures: Mapping[str, Picture]) -> Page:
    """Render the page of a report.

    Args:
        report: The content.
        pictures: Pictures by the addresses in the report; a drawn placeholder replaces a missing one.
    """
    charts = {} if report.is_empty else charts_of(report)
    used = {url: picture for url, picture in pictures.items() if url in report.pictured}
    html = template("report.html").render(
        report=report,
        charts={
            name: [Chart(safe(chart.wide), safe(chart.narrow)) for chart in drawings]
            for name, drawings in charts.items()
        },
        **of_every_page(used, links=report.links),
        level_names=level_names(report.calendar),
        week_levels=week_levels(report.week),
        ranked=RANKED,
        shade=rank_level,
        duration=duration,
    )
    return Page(html, sum(map(len, charts.values())), len(used))


def of_every_page(pictures: Mapping[str, Picture], *, links: bool) -> dict[str, Any]:
    """Return what every template is rendered with: pictures, colours, links to Spotify, and placeholders.

    Args:
        pictures: The pictures of the page by address.
        links: Whether names link to Spotify.
    """
    return {
        "pictures": [safe(data_uri(picture)) for picture in pictures.values()],
        "picture_numbers": {url: number for number, url in enumerate(pictures)},
        "palette": safe(palette.colour_rules()),
        "light": safe(palette.custom_properties(dark=False)),
        "dark": safe(palette.custom_properties(dark=True)),
        "version": __version__,
        "link": lambda kind, spotify_id: spotify_link(kind, spotify_id) if links else "",
        "initials": initials,
        "hue": hue,
    }


def charts_of(report: Report) -> dict[str, list[Chart]]:
    """Draw every chart for which the report has numbers."""
    found = {
        "calendar": [
            Chart(drawn(half_year_chart(half), f"Listening on each day of {half[0].day:%B} to {half[-1].day:%B %Y}"))
            for year in report.calendar.years
            for half in year.halves
            if half
        ]
    }
    if report.week:
        description = "Listening in each hour of the week. " + report.habits
        found["week"] = [Chart(*(drawn(week_chart(report.week, width=width), description) for width in (WIDE, NARROW)))]
    if report.months:
        found["hours"] = [chart_of_months(report.months, "hours", WIDE, NARROW)]
        if any(month.new_tracks for month in report.months):
            found["new songs"] = [chart_of_months(report.months, "new songs", NARROW)]
            found["new artists"] = [chart_of_months(report.months, "new artists", NARROW)]
    return found


def data_uri(picture: Picture) -> str:
    """Return the picture as a data URI."""
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.content).decode()}"


def spotify_link(kind: str, spotify_id: str) -> str:
    """Return the address of an artist, album, track or playlist on Spotify; empty if the id is not one of Spotify."""
    kind = kind.removesuffix("s")
    known = SPOTIFY_ID.fullmatch(spotify_id) and kind in ("artist", "track", "album", "playlist")
    return f"{OPEN_SPOTIFY}/{kind}/{spotify_id}" if known else ""


def printable(text: str) -> str:
    """Replace the characters that HTML and XML must not contain."""
    return UNPRINTABLE.sub("\ufffd", text)


def hue(name: str) -> int:
    """Return the colour of a placeholder, one of `HUES`, in degrees; it is always the same for a name."""
    return sum(name.encode("utf-8", "replace")) % HUES * (360 // HUES)


def level_names(calendar: Calendar) -> dict[int, str]:
    """Say from which listening time on a day has each level; levels that no day has are left out."""
    return _distinct_levels(dict(enumerate((minutes * 60_000 for minutes in calendar.from_minutes), start=1)))


def week_levels(week: Sequence[WeekHour]) -> dict[int, str]:
    """Say from which listening time on an hour of the week has each level; levels that no hour has are left out."""
    levels = sorted({each.level for each in week} - {0})
    return _distinct_levels({level: min(each.ms for each in week if each.level == level) for level in levels})


def rank_level(rank: int | None) -> int:
    """Return the shade of a rank: number one is the darkest."""
    return 0 if rank is None else next((level for level, last in RANK_LEVELS.items() if rank <= last), 1)


def _distinct_levels(starts: Mapping[int, int]) -> dict[int, str]:
    """Name each level by its least time; of several with the same name the highest one counts, as in the drawing."""
    by_name = {f"from {duration(ms)}" if ms >= MINUTE_MS else "any": level for level, ms in starts.items()}
    return {level: name for name, level in by_name.items()}


@cache
def template(name: str) -> "jinja2.Template":
    """Return a template of a page, which escapes all text that is not marked as `safe`."""
    import jinja2  # noqa: PLC0415 - loading definitions must not load a template engine

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("echostats_pipeline.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    return environment.get_template(name)


def safe(ours: str | None) -> Any:
    """Mark text that this package made as safe, so that it is not escaped."""
    from markupsafe import Markup  # noqa: PLC0415 - part of jinja2

    return None if ours is None else Markup(ours)  # noqa: S704 - drawn or written by this package


def chart_of_months(months: Sequence[Month], measure: str, *widths: int) -> Chart:
    """Draw a measure of months in one or two widths."""
    description = f"{measure.capitalize()} per month, from {months[0].first:%B %Y} to {months[-1].first:%B %Y}"
    return Chart(*(drawn(months_chart(months, measure, width=width), description) for width in widths))


def _printable(value: Any) -> Any:
    """Remove characters that an HTML page must not contain."""
    if hasattr(value, "__html__") or not isinstance(value, str):
        return value
    return printable(value)
