"""Renders a recap as one HTML file in the look of the listening report; it loads nothing from the network."""

from collections.abc import Mapping

from echostats_pipeline.recap import words
from echostats_pipeline.recap.document import Recap
from echostats_pipeline.report.document import Figure, Month, RankingEntry
from echostats_pipeline.report.formatting import calendar_date, duration, hours, percent, plural, span
from echostats_pipeline.report.page import (
    Chart,
    Page,
    Picture,
    chart_of_months,
    of_every_page,
    safe,
    template,
)
from echostats_pipeline.report.specs import NARROW, WIDE

RANKED = (("artists", "Artists"), ("tracks", "Songs"), ("albums", "Albums"))


def render_recap(recap: Recap, pictures: Mapping[str, Picture]) -> Page:
    """Render the page of a recap.

    Args:
        recap: The content.
        pictures: Pictures by the addresses in the recap; a drawn placeholder replaces a missing one.
    """
    used = {url: picture for url, picture in pictures.items() if url in recap.pictured}
    chart = _chart(recap)
    html = template("recap.html").render(
        recap=recap,
        words=words,
        figures_of=_figures(recap),
        rankings=[(kind, title, _ranked(recap, kind)) for kind, title in RANKED],
        month_chart=chart and Chart(safe(chart.wide), safe(chart.narrow)),
        **of_every_page(used, links=recap.links),
        calendar_date=calendar_date,
        duration=duration,
        hours=hours,
        percent=percent,
        plural=plural,
        span=span,
    )
    return Page(html, 0 if chart is None else 1, len(used))


def _figures(recap: Recap) -> list[Figure]:
    totals = recap.totals
    found = [
        Figure("plays", f"{totals.plays:,}"),
        Figure("songs", f"{totals.tracks:,}"),
        Figure("artists", f"{totals.artists:,}"),
        Figure("days with music", f"{totals.active_days:,}"),
    ]
    if not recap.begins_here:
        found.append(Figure("new songs", f"{totals.new_tracks:,}", "never played before"))
        found.append(Figure("new artists", f"{totals.new_artists:,}", "never played before"))
    return found


def _ranked(recap: Recap, kind: str) -> list[RankingEntry]:
    items = getattr(recap, kind)
    most = max((item.plays for item in items), default=1)
    return [
        RankingEntry(
            rank=rank,
            name=words.shown_name(item),
            by=item.by,
            plays=plural(item.plays, "play"),
            time=duration(item.ms),
            share=item.plays / most,
            spotify_id=item.spotify_id,
            image_url=item.image_url,
        )
        for rank, item in enumerate(items, start=1)
    ]


def _chart(recap: Recap) -> Chart | None:
    """Hours per month of a year with more than one month."""
    if recap.kind == "month" or sum(part.known for part in recap.parts) < 2:  # noqa: PLR2004 - one bar says nothing
        return None
    months = [Month(part.first, part.plays, part.ms, 0, 0, known=part.known) for part in recap.parts]
    return chart_of_months(months, "hours", WIDE, NARROW)
