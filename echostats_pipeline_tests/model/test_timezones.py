"""Time zones are those of the IANA database, whatever the machine's folder of zones contains."""

from zoneinfo import ZoneInfo

import pytest

from echostats_pipeline.model.users import known_timezone, timezones


@pytest.mark.parametrize("zone", ["UTC", "Europe/Kyiv", "America/Argentina/Ushuaia", "Etc/GMT+5", "EST5EDT", "GMT"])
def test_every_zone_of_the_iana_database_is_known(zone: str) -> None:
    assert known_timezone(zone) == ZoneInfo(zone).key


@pytest.mark.parametrize(
    "zone", ["localtime", "posixrules", "Factory", "posix/UTC", "right/Europe/Paris", "../UTC", ""]
)
def test_what_lies_among_a_machines_zones_and_is_none_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="not a time zone of the IANA database"):
        known_timezone(zone)


def test_a_zone_in_other_letters_is_told_rightly() -> None:
    with pytest.raises(ValueError, match="Did you mean Europe/Berlin"):
        known_timezone("europe/berlin")


def test_every_zone_that_is_known_can_be_used() -> None:
    assert all(ZoneInfo(zone).key == zone for zone in timezones())
    assert len(timezones()) > 590
