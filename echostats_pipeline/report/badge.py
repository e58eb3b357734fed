"""Draws ``badge.svg``: the listening time of the last 7 days, in the form of the badges in READMEs."""

from html import escape

from echostats_pipeline.model.statistics import AnalyticsSnapshot
from echostats_pipeline.report.formatting import duration, plural

LABEL = "last 7 days"
HEIGHT_PX, PADDING_PX, LETTER_PX = 20, 6, 6.1
"""Height of the badge; space beside each text; mean width of a letter of 11 px. Each text is drawn to its width."""
GREY, GREEN = "#4a4a4a", "#157a50"


def build_badge(week: AnalyticsSnapshot | None) -> str:
    """Return the badge as an SVG document that loads nothing.

    Args:
        week: Statistics of the last 7 days; None if they were never built.
    """
    value = "not known"
    if week is not None:
        value = f"{duration(week.total_ms_played)}, {plural(week.total_tracks_played, 'play')}"
    left, right = _width(LABEL), _width(value)
    said = escape(f"{LABEL}: {value}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{HEIGHT_PX}" role="img" '
        f'aria-label="{said}"><title>{said}</title>'
        f'<clipPath id="round"><rect width="{left + right}" height="{HEIGHT_PX}" rx="3"/></clipPath>'
        f'<g clip-path="url(#round)"><rect width="{left}" height="{HEIGHT_PX}" fill="{GREY}"/>'
        f'<rect x="{left}" width="{right}" height="{HEIGHT_PX}" fill="{GREEN}"/></g>'
        '<g fill="#fff" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11">'
        f"{_text(LABEL, 0)}{_text(value, left)}</g></svg>\n"
    )


def _width(text: str) -> int:
    return round(len(text) * LETTER_PX) + 2 * PADDING_PX


def _text(text: str, x: int) -> str:
    length = _width(text) - 2 * PADDING_PX
    return f'<text x="{x + PADDING_PX}" y="14" textLength="{length}">{escape(text)}</text>'
