"""``echostats report``: a file that contains everything it shows, or a sentence about what is missing."""

import json
import re
import stat
import webbrowser
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from echostats_pipeline.cli import report as command
from echostats_pipeline.stages import statistics
from echostats_pipeline.stages.statistics import rebuild_rollups
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import NOW, Counted, Installation
from echostats_pipeline_tests.report.page_assertions import assert_loads_nothing, parsed, text_of


@pytest.fixture
def user(installation: Installation, monkeypatch: pytest.MonkeyPatch, progress: Counted) -> Any:
    """A user with half a year of plays, built."""
    monkeypatch.setattr(command, "utc_now", lambda: NOW)
    user, store = installation.connect(), installation.store
    plays = installation.simulator.world.plays(installation.person(user), NOW.replace(month=1, day=2), NOW)
    store.db["listening_history"].insert_many(
        {
            "user_id": user.user_id,
            "played_at": play.played_at,
            "ms_played": play.ms_played,
            "track": {
                "spotify_id": play.track.id,
                "name": play.track.name,
                "artist_name": play.track.artists[0].name,
                "album_name": play.track.album.name,
                "album_image_url": "",
                "duration_ms": play.track.duration_ms,
            },
            "source": "import",
            "context_type": "",
            "context_uri": "",
        }
        for play in plays
        if play.track
    )
    days = list(DayWindow(NOW.date().replace(month=1, day=1), NOW.date()).dates())
    rebuild_rollups(store, user, days, min_play_ms=30_000, progress=progress)
    statistics.rebuild_snapshots(store, user, NOW)
    return user


def written(ended: Any) -> Path:
    assert ended.returncode == 0, ended.stderr
    return Path(ended.stdout.strip())


def test_all_time_and_a_year_are_written_where_only_the_owner_can_read_them(
    installation: Installation, user: Any, echostats: Echostats
) -> None:
    path = written(echostats("report", "--user", user.display_name))
    assert path == installation.settings.home / "reports" / f"{user.partition_key}.html"
    year = written(echostats("report", "--user", user.partition_key, "--year", "2025"))
    assert year.name == f"{user.partition_key}-2025.html"
    for each in (path, year):
        html = each.read_text(encoding="utf-8")
        assert_loads_nothing(html)
        assert user.display_name in text_of(html)
        assert stat.S_IMODE(each.stat().st_mode) == 0o600
    plays = installation.store.db["calendar_snapshots"].find_one({"period": "this_year"})
    assert plays is not None
    assert f"plays {plays['total_tracks_played']:,}" in text_of(year.read_text(encoding="utf-8"))


def test_the_numbers_beside_a_report_are_those_of_the_plays(
    installation: Installation, user: Any, echostats: Echostats
) -> None:
    db = installation.store.db
    first = db["listening_history"].find_one() or {}
    names = {"name": first["track"]["name"], "artist_name": first["track"]["artist_name"], "added_at": NOW}
    db["saved_tracks"].insert_many(
        {"user_id": user.user_id, **names, **each}
        for each in (
            {"spotify_id": first["track"]["spotify_id"]},
            {"spotify_id": "another id", "name": names["name"].upper()},
            {"spotify_id": "unheard", "name": "Never played"},
        )
    )
    db["library_readings"].insert_one({"user_id": user.user_id, "part": "saved_tracks", "finished_at": NOW})
    path = written(echostats("report", "--user", user.partition_key, "--no-pictures"))
    assert "Of 3 liked songs, 2 are among your known plays." in text_of(path.read_text(encoding="utf-8"))
    made = json.loads(path.with_name(f"{user.partition_key}-summary.json").read_text(encoding="utf-8"))
    zone = ZoneInfo(user.timezone)
    plays = [
        (play["played_at"].astimezone(zone).date(), play["ms_played"], play["track"], play["played_at"])
        for play in db["listening_history"].find().sort("played_at", 1)
    ]
    counted = [play for play in plays if play[1] >= 30_000]
    today = NOW.astimezone(zone).date()
    for period, days in (("week", 7), ("month", 30), ("year", 365), ("all_time", 10_000)):
        first, found = today - timedelta(days=days - 1), made["periods"][period]
        within = [play for play in counted if play[0] >= first]
        assert found["plays"] == len(within)
        for kind, names in (("top_tracks", ("name", "artist_name")), ("top_artists", ("artist_name",))):
            most = Counter(tuple(play[2][name] for name in names) for play in within).most_common(5)
            assert [line["plays"] for line in found[kind]] == [count for _, count in most], kind
        assert found["ms"] == sum(play[1] for play in plays if play[0] >= first)
        assert found["hours"] == round(found["ms"] / 3_600_000, 2)
    assert made["last_played"]["name"] == counted[-1][2]["name"]
    assert made["last_played"]["played_at"] == f"{counted[-1][3]:%Y-%m-%dT%H:%M:%SZ}"
    feed = path.with_name(f"{user.partition_key}-feed.xml").read_text(encoding="utf-8")
    titles = re.findall(r"<title>Play number ([0-9,]+)</title>", feed)
    assert {int(title.replace(",", "")) for title in titles} == {n for n in (100, 1_000, 5_000) if n <= len(counted)}
    assert f"Play number 100 was on {counted[99][0]:%A}, {counted[99][0].day} {counted[99][0]:%B %Y}." in feed
    assert stat.S_IMODE(path.with_name(f"{user.partition_key}-badge.svg").stat().st_mode) == 0o600


def test_pictures_come_from_the_simulator_for_simulated_users(
    installation: Installation, user: Any, echostats: Echostats, tmp_path: Path
) -> None:
    world, db = installation.simulator.world, installation.store.db
    artist = next(iter(world.catalogue.artists))
    images = world_images(installation, artist)
    item = {"spotify_id": artist, "name": "X", "play_count": 9, "total_ms": 9, "image_url": images[0], "rank": 1}
    db["analytics_snapshots"].update_one({"period": "all_time"}, {"$set": {"top_artists": [item]}})
    ended = echostats("report", "--user", user.partition_key, "--output", str(tmp_path / "mine.html"))
    path = written(ended)
    assert path == tmp_path / "mine.html"
    assert "data:image/jpeg" in path.read_text(encoding="utf-8")
    kept = list((installation.settings.home / "pictures").iterdir())
    assert kept
    without = written(echostats("report", "--user", user.partition_key, "--no-pictures"))
    assert "data:image/jpeg" not in without.read_text(encoding="utf-8")


def world_images(installation: Installation, artist: str) -> list[str]:
    from echostats_pipeline.simulator.bodies import Bodies  # noqa: PLC0415 - only this test needs it

    body = Bodies("x").artist(installation.simulator.world.catalogue.artists[artist])
    return [image["url"] for image in body["images"]]


def test_offline_the_report_is_made_and_says_what_it_lacks(
    installation: Installation, user: Any, echostats: Echostats, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(_: str) -> bytes:
        raise OSError("no network")

    monkeypatch.setattr(command, "from_network", lambda *_: offline)
    installation.store.db["users"].update_one({}, {"$set": {"simulated": False, "image_url": "https://i.scdn.co/i/x"}})
    ended = echostats("report", "--user", user.partition_key)
    assert "could not be fetched" in ended.stderr
    assert_loads_nothing(written(ended).read_text(encoding="utf-8"))


def test_a_year_without_plays_says_which_years_there_are(user: Any, echostats: Echostats) -> None:
    said = refused(echostats("report", "--user", user.partition_key, "--year", "2019"))
    assert "no play in 2019" in said
    assert "2025" in said


def test_before_anything_is_built_it_says_what_to_do(installation: Installation, echostats: Echostats) -> None:
    user = installation.connect()
    said = refused(echostats("report", "--user", user.partition_key))
    assert f"echostats backfill --user {user.partition_key}" in said
    assert user.partition_key in refused(echostats("report", "--user", "nobody"))


def test_a_path_that_cannot_be_written_is_named(user: Any, echostats: Echostats, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = refused(echostats("report", "--user", user.partition_key, "--output", str(tmp_path / "file" / "x.html")))
    assert "x.html cannot be written" in said


def test_it_opens_in_the_browser(user: Any, echostats: Echostats, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    path = written(echostats("report", "--user", user.partition_key, "--no-pictures", "--open"))
    assert opened == [path.as_uri()]


def test_with_several_users_the_index_is_written(installation: Installation, user: Any, echostats: Echostats) -> None:
    other = installation.connect(1)
    written(echostats("report", "--user", user.partition_key, "--no-pictures"))
    path = written(echostats("report", "--no-pictures"))
    assert path == installation.settings.home / "reports" / "index.html"
    links = [element.get("href") for element in parsed(path.read_text(encoding="utf-8")).iter("a")]
    assert links == [f"{user.partition_key}.html"]
    assert f"--user {other.partition_key}" in text_of(path.read_text(encoding="utf-8"))
    refused(echostats("report", "--year", "2025"))
    snapshot = installation.store.db["analytics_snapshots"].find_one({"period": "all_time"}, {"_id": 0}) or {}
    installation.store.db["analytics_snapshots"].insert_one({**snapshot, "user_id": other.user_id})
    for agreeing, answers in (((), ("on", "off")), ((user,), ("on", "off")), ((user, other), ("on", "on"))):
        for each, answer in zip((user, other), answers, strict=True):
            echostats("users", "comparing", each.partition_key, answer if each in agreeing else "off")
        html = written(echostats("report", "--user", user.partition_key, "--no-pictures")).read_text(encoding="utf-8")
        assert ("You and others" in html) is (len(agreeing) == 2)


def test_removing_a_user_removes_their_reports(installation: Installation, user: Any, echostats: Echostats) -> None:
    for arguments in ((), ("--year", "2025")):
        written(echostats("report", "--user", user.partition_key, "--no-pictures", *arguments))
    other = installation.settings.home / "reports" / "ben-000000.html"
    other.write_text("theirs")
    assert echostats("users", "remove", user.partition_key, "--yes").returncode == 0
    assert list((installation.settings.home / "reports").iterdir()) == [other]
