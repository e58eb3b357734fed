"""Draws Vega-Lite specifications as SVG elements for a page, without scripts and without the network.

`vl_convert` contains a JavaScript engine, so it is imported when the first chart is drawn (decision 0015).
"""

import re
from html import escape

from echostats_pipeline.report.specs import Spec

_MARK = re.compile(r'<path aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="[^"]*"([^>]*?)/>')
_EMPTY = re.compile(r'<path class="(?:background|foreground)"[^>]*?/>')
_NOISE = re.compile(
    r' (?:aria-[a-z]+|role|class|pointer-events|font-family|xmlns(?::xlink)?)="[^"]*"| (?:stroke-width|opacity)="1"'
)
_DECIMALS = re.compile(r"(\.\d)\d+")
_FRAME = re.compile(r'<svg version="1.1" width="\d+" height="\d+"')


def drawn(spec: Spec, description: str) -> str:
    """Return the chart as an ``svg`` element that fills the width of its parent.

    Its marks have tooltips; `description` is the text for screen readers.

    Args:
        spec: A specification from `report.specs`.
        description: What the chart shows, in a sentence.
    """
    import vl_convert  # noqa: PLC0415 - loading definitions must not load a JavaScript engine

    return compact(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]), description)


def compact(svg: str, description: str) -> str:
    """Remove the parts of Vega's SVG that a page does not need, and add tooltips that need no script."""
    svg = _EMPTY.sub("", svg)
    svg = _MARK.sub(r"<path\2><title>\1</title></path>", svg)
    svg = _DECIMALS.sub(r"\1", _NOISE.sub("", svg))
    return _FRAME.sub(f'<svg role="img" aria-label="{escape(description)}"', svg, count=1)
