from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.spotify.retry_after import LONGEST_WAIT, retry_after

NOW = datetime(1994, 11, 6, 8, 49, 0, tzinfo=UTC)
NOTHING = timedelta()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("0", 0), ("1", 1), (" 120 ", 120), ("48925", 48925), ("1.5", 1.5), ("7.", 7), ("9" * 5000, 7 * 86_400)],
)
def test_seconds_are_understood(header: str, seconds: float) -> None:
    assert retry_after(header, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "header",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_the_three_forms_of_http_dates_are_understood(header: str) -> None:
    assert retry_after(header, NOW) == timedelta(seconds=37)
    assert retry_after(header, NOW.astimezone(timezone(timedelta(hours=-5)))) == timedelta(seconds=37)


@pytest.mark.parametrize("header", [None, "", " ", "-1", "soon", "1e3", "nan", "inf", "٣", "1 2", "Sun, 99 Nov 1994"])
def test_what_says_nothing_is_no_wait(header: str | None) -> None:
    assert retry_after(header, NOW) is None


@given(st.integers(0, 10**7))
def test_a_number_is_that_many_seconds_up_to_the_longest(seconds: int) -> None:
    assert retry_after(str(seconds), NOW) == min(timedelta(seconds=seconds), LONGEST_WAIT)


@given(st.timedeltas(timedelta(days=-30), timedelta(days=30)))
def test_a_date_is_the_time_until_then(distance: timedelta) -> None:
    then = (NOW + distance).replace(microsecond=0)
    assert retry_after(format_datetime(then, usegmt=True), NOW) == min(max(then - NOW, NOTHING), LONGEST_WAIT)


dates = st.from_regex(
    r"[A-Z][a-z]{2}, ?[0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,5} [0-9]{1,2}:[0-9]{1,3}(:[0-9]+)? ?[-+A-Z0-9]*"
)


@given(st.none() | st.text() | dates | st.from_regex(r"-?[0-9]+[.,]?[0-9]*"))
def test_any_header_is_a_bounded_wait_or_none(header: str | None) -> None:
    wait = retry_after(header, NOW)
    assert wait is None or NOTHING <= wait <= LONGEST_WAIT
