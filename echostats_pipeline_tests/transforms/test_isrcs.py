"""Which texts are recording codes."""

import polars as pl
import pytest

from echostats_pipeline.transforms.isrcs import spellings, well_formed, well_formed_code

CODE = "GBAYE0601498"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (CODE, CODE),
        ("gb-aye-06-01498", CODE),
        (" GB AYE 06 01498 ", CODE),
        ("GB\u2010AYE\u201006\u201001498", CODE),
        ("ISRC:GBAYE0601498", CODE),
        *((code, code) for code in ("USABC1234567", "QZZZZ2112345", "GBXXY9900001")),
        *((text, "") for text in ("", "0", "N/A", "GBAYE060149", "GBAYE06014981", "000000000000", "GBAYE0000000")),
        *((text, "") for text in ("XXAYE0601498", "12AYE0601498", "GBAYE06O1498", "unknown", "GBAYE0601498,")),
        *((text, "") for text in ("ZZZZZ9999999", "USXXX9999999", "USXXX0601498", "GB-AYE-99-99999")),
    ],
)
def test_only_a_well_formed_code_is_one(text: str, code: str) -> None:
    assert well_formed_code(text) == pl.select(well_formed(pl.lit(text))).item() == code


def test_a_code_has_four_spellings() -> None:
    assert spellings(CODE) == [CODE, "gbaye0601498", "GB-AYE-06-01498", "gb-aye-06-01498"]
    assert {well_formed_code(each) for each in spellings(CODE)} == {CODE}
