"""Recording codes (ISRC): which texts are one, and their one form."""

import re

import polars as pl

ISRC = "[A-Z]{2}[A-Z0-9]{3}[0-9]{7}"
"""A recording code: country, registrant, year and number, without the hyphens of its printed form."""
_CODE = re.compile(ISRC)
_PLACEHOLDER = re.compile("^(?:XX|ZZZZZ|..XXX)|0{7}$|9{7}$")
"""Codes that stand where none is known: of no country or registrant, or without year and number."""
_BETWEEN = re.compile(r"[\s\u2010-\u2015-]")


def well_formed(codes: pl.Expr) -> pl.Expr:
    """Recording codes in capitals without hyphens and spaces; empty for texts that are none (``0``, ``N/A``)."""
    plain = codes.str.to_uppercase().str.replace_all(_BETWEEN.pattern, "").str.strip_prefix("ISRC:")
    is_code = plain.str.contains(f"^{ISRC}$") & ~plain.str.contains(_PLACEHOLDER.pattern)
    return pl.when(is_code).then(plain).otherwise(pl.lit(""))


def well_formed_code(code: str) -> str:
    """The same of one text."""
    plain = _BETWEEN.sub("", code.upper()).removeprefix("ISRC:")
    return plain if _CODE.fullmatch(plain) and not _PLACEHOLDER.search(plain) else ""


def spellings(code: str) -> list[str]:
    """The forms in which Spotify may have a well-formed code: with hyphens or without, in capitals or not."""
    printed = "-".join((code[:2], code[2:5], code[5:7], code[7:]))
    return [code, code.lower(), printed, printed.lower()]
