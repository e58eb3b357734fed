"""Letters on cards: how wide they are, how to cut text to a width, and which of them no font on this machine has.

Cards are drawn by the renderer of the charts, which brings the typeface `FAMILY` (Latin, Greek, Cyrillic, Hebrew) and
takes other letters from the fonts of the system. A letter that no font has would become an empty box: it is left out
instead, and the name is reported.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from itertools import groupby
from typing import Any

FAMILY = "Liberation Sans"
WEIGHTS = (400, 700)
MEASURED_PX = 100
FAMILIAR = 0x0590
"""Letters from this code on may need another typeface; each run of them is drawn on its own."""
MISSING = "\U0010fffd"
"""A private letter, which no font has: what it looks like is the empty box."""
NAMELESS, SYMBOLS = "a name in another script", "a name of symbols"
BETWEEN = " by "
"""Stands between two names: each is drawn as far as it can be."""
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
NOT_IN_XML = {*map(chr, range(32)), *map(chr, range(127, 160)), "\ufffe", "\uffff"}


def readable(text: str) -> str:
    """Text in one line, with a replacement for what XML does not allow."""
    plain = text.encode("utf-8", "replace").decode()
    return " ".join("".join(" " if letter in NOT_IN_XML else letter for letter in plain).split())


@dataclass
class Lettering:
    """Widths of letters, and names with letters that no font has.

    Attributes:
        widths: Width in parts of the size, by letter and weight.
        undrawable: Texts of which something is left out, as they should be.
    """

    widths: dict[tuple[str, int], float] = field(default_factory=dict)
    undrawable: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Lettering":
        """Measure all letters of some texts and those of plain English."""
        letters = {*map(chr, range(33, 127)), *"\N{EN DASH}\N{MIDDLE DOT}\u266a", ELLIPSIS}
        letters |= {letter for text in texts for letter in text if not letter.isspace()}
        return cls(_measured(sorted(letters)))

    def width(self, text: str, size: float, weight: int = 400, spacing: float = 0.0) -> float:
        """The width of a text in pixels; slightly too much, because pairs of letters move closer."""
        parts = sum(self.widths.get((letter, weight), 0.278 if letter.isspace() else 1.0) for letter in text)
        return parts * size + spacing * len(text)

    def drawable(self, text: str) -> str:
        """The text without letters that no font has; an ellipsis stands for letters, and nothing for symbols."""
        plain = readable(text)
        strange = {letter for letter in plain if ord(letter) >= FAMILIAR and not _has_font(letter)}
        if not strange:
            return plain
        if BETWEEN in plain:
            return BETWEEN.join(map(self.drawable, plain.split(BETWEEN)))
        self.undrawable[plain] = None
        kept = []
        for is_strange, run in groupby(plain, key=lambda letter: letter in strange or _is_joiner(letter)):
            letters = list(run)
            if not is_strange:
                kept += letters
            elif any(unicodedata.category(letter).startswith(("L", "N")) for letter in letters):
                kept.append(ELLIPSIS)
        found = " ".join("".join(kept).split())
        if any(letter.isalnum() for letter in found):
            return found
        return NAMELESS if ELLIPSIS in found else SYMBOLS

    def cut(self, text: str, size: float, most: float, weight: int = 400, spacing: float = 0.0) -> str:
        """The text, or as much of its beginning as fits into a width."""
        if self.width(text, size, weight, spacing) <= most:
            return text
        while text and self.width(text + ELLIPSIS, size, weight, spacing) > most:
            text = text[:-1]
        return text.rstrip() + ELLIPSIS

    def lines(self, text: str, size: float, most: float, weight: int = 400, count: int = 2) -> list[str]:
        """The text in at most so many lines, broken between words where possible; the last one is cut."""
        found: list[str] = []
        rest = text
        while rest and len(found) < count - 1 and self.width(rest, size, weight) > most:
            end = next((at for at in range(len(rest), 0, -1) if self.width(rest[:at], size, weight) <= most), 1)
            space = rest.rfind(" ", 0, end + 1)
            at = space if space > end // 3 else end
            found.append(rest[:at].rstrip())
            rest = rest[at:].lstrip()
        return [*found, self.cut(rest, size, most, weight)] if rest else found


def marked_up(text: str) -> str:
    """The text as content of an SVG element.

    Each run of letters that may need another typeface is an element; what is read from the right does not turn round
    what stands beside it.
    """
    runs = ((unusual, "".join(run)) for unusual, run in groupby(text, key=lambda letter: ord(letter) >= FAMILIAR))
    return "".join(f"<tspan>{_isolated(escape(run))}</tspan>" if unusual else escape(run) for unusual, run in runs)


def _isolated(run: str) -> str:
    from_the_right = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in run)
    return f"\N{FIRST STRONG ISOLATE}{run}\N{POP DIRECTIONAL ISOLATE}" if from_the_right else run


def _is_joiner(letter: str) -> bool:
    return unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f"


def _measured(letters: Sequence[str]) -> dict[tuple[str, int], float]:
    """The widths of letters in parts of the size, by letter and weight."""
    import vl_convert  # noqa: PLC0415 - it contains a JavaScript engine

    asked = [(letter, weight) for letter in letters for weight in WEIGHTS]
    text: dict[str, Any] = {
        "text": {"field": "letter"},
        "font": {"value": FAMILY},
        "fontWeight": {"field": "weight"},
        "fontSize": {"value": MEASURED_PX},
    }
    ends = {"x": {"field": "bounds.x1"}, "x2": {"field": "bounds.x2"}}
    spec = {
        "$schema": "https://vega.github.io/schema/vega/v6.json",
        "width": 1,
        "height": 1,
        "data": [{"name": "asked", "values": [{"letter": letter, "weight": weight} for letter, weight in asked]}],
        "marks": [
            {"type": "text", "name": "drawn", "from": {"data": "asked"}, "encode": {"update": text}},
            {"type": "rule", "from": {"data": "drawn"}, "encode": {"update": ends}},
        ],
    }
    scene = vl_convert.vega_to_scenegraph(spec, allowed_base_urls=[])
    rules = scene["scenegraph"]["items"][0]["items"][1]["items"]
    return {
        key: (rule.get("x2", 0.0) - rule.get("x", 0.0)) / MEASURED_PX for key, rule in zip(asked, rules, strict=True)
    }


@lru_cache(maxsize=10_000)
def _has_font(letter: str) -> bool:
    """Whether any font of this machine has a letter."""
    return letter.isspace() or _is_joiner(letter) or _drawn(letter) != _drawn(MISSING)


@lru_cache(maxsize=1_000)
def _drawn(letter: str) -> bytes:
    import vl_convert  # noqa: PLC0415 - it contains a JavaScript engine

    text = f'<text x="4" y="30" font-family="{FAMILY}" font-size="28">{escape(letter)}</text>'
    return vl_convert.svg_to_png(f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">{text}</svg>')
