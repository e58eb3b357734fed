"""Vega-Lite specifications to SVG that lies in a page as it is: without a script, without the network.

`vl_convert` is imported when the first chart is drawn (decision 0015): it brings a JavaScript engine along.
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
    """The chart as an ``svg`` element that fills its parent's width.

    Its marks say what they are when pointed at; those who do not see it are told `description` instead.

    Args:
        spec: As `report.specs` makes them.
        description: In a sentence.
    """
    import vl_convert  # noqa: PLC0415 - loading definitions must not load a JavaScript engine

    return compact(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]), description)


def compact(svg: str, description: str) -> str:
    """Vega's SVG without what a page does not need, and with tooltips that need no script."""
    svg = _EMPTY.sub("", svg)
    svg = _MARK.sub(r"<path\2><title>\1</title></path>", svg)
    svg = _DECIMALS.sub(r"\1", _NOISE.sub("", svg))
    return _FRAME.sub(f'<svg role="img" aria-label="{escape(description)}"', svg, count=1)
