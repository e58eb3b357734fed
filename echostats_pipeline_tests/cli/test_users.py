"""``echostats users``: its output, and its commands."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from echostats_pipeline.cli.instance import open_instance
from echostats_pipeline.cli.users import calls_lines, consent_text, users
from echostats_pipeline.errors import APP_FAMILY
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import NOW, Installation


@pytest.fixture
def ann(installation: Installation) -> User:
    user = installation.store.users.connect(
        {"spotify_id": "ann", "display_name": "Ann [red]B.[/red]"},
        authorized_at=utc_now() - timedelta(days=2),
        simulated=True,
    )
    installation.store.db["listening_history"].insert_many(
        {"user_id": user.user_id, "played_at": datetime(2025, 3, day, 23, tzinfo=UTC), "track": {"spotify_id": "t"}}
        for day in range(1, 5)
    )
    return user


def line_of(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if word in line)


def test_the_list_shows_each_user_in_a_line(installation: Installation, ann: User, echostats: Echostats) -> None:
    installation.store.users.synced(ann.user_id, utc_now() - timedelta(minutes=12, seconds=30))
    bob = installation.store.users.connect({"spotify_id": "bob"}, authorized_at=NOW, simulated=True)
    ended = echostats("users")
    assert ended.returncode == 0, ended.stderr
    line = line_of(ended.stdout, ann.partition_key)
    for part in ("Ann [red]B.[/red]", "active", "UTC", "12 min ago", "180 days", " 4 "):
        assert part in line
    for part in ("bob", "never", "ended: connect again"):
        assert part in line_of(ended.stdout, bob.partition_key)


@pytest.mark.parametrize(
    ("age", "said", "style"),
    [
        (0, "182 days", ""),
        (151, "31 days", ""),
        (152, "30 days ! connect again soon", "yellow"),
        (174, "8 days ! connect again soon", "yellow"),
        (175, "7 days !! connect again now", "bold red"),
        (181, "1 day !! connect again now", "bold red"),
        (182, "ended: connect again", "bold red"),
    ],
)
def test_a_consent_is_flagged_before_it_ends(ann: User, age: int, said: str, style: str) -> None:
    text = consent_text(ann.model_copy(update={"authorized_at": NOW - timedelta(days=age)}), NOW)
    assert (text.plain, text.style) == (said, style)


def test_a_consent_that_is_gone_or_unknown_is_said(ann: User) -> None:
    assert "ended" in consent_text(ann.model_copy(update={"status": "needs_reauth"}), NOW).plain
    assert "unknown" in consent_text(ann.model_copy(update={"authorized_at": None}), NOW).plain


def test_the_calls_of_a_day_are_shown_against_the_budget(installation: Installation) -> None:
    limits = installation.store.limits
    assert calls_lines(installation.store, 2, NOW) == ["Calls in the last 24 hours: none", "Nothing waits."]
    for hours in (1, 2, 3, 25):
        limits.record("recently-played", NOW - timedelta(hours=hours))
    for hours in (1, 2):
        limits.record("tracks", NOW - timedelta(hours=hours))
    limits.postpone("artists", NOW + timedelta(hours=5), "Spotify answered 429 (QUOTA_EXCEEDED)")
    limits.postpone(APP_FAMILY, NOW + timedelta(minutes=5), "Spotify answered 429")
    limits.postpone("albums", NOW - timedelta(minutes=5), "over")
    assert calls_lines(installation.store, 2, NOW) == [
        "Calls in the last 24 hours: recently-played 3, tracks 2/2",
        "Everything waits until 2025-06-15 12:05 UTC: Spotify answered 429",
        "artists waits until 2025-06-15 17:00 UTC: Spotify answered 429 (QUOTA_EXCEEDED)",
        "tracks waits until 2025-06-16 10:00 UTC: the 2 calls of 24 hours are used up",
    ]


def test_a_user_is_paused_and_resumed(installation: Installation, ann: User, echostats: Echostats) -> None:
    assert echostats("users", "pause", "ann").returncode == 0
    assert installation.store.users.find("ann").status == "paused"
    assert "Resumed" in echostats("users", "resume", ann.partition_key).stdout
    assert installation.store.users.find("ann").status == "active"


def test_why_a_user_was_paused_is_shown_until_they_are_resumed(
    installation: Installation, ann: User, echostats: Echostats
) -> None:
    installation.store.users.set_status(ann.user_id, "paused", "Spotify answered 403 (not registered)")
    said = f"{ann.partition_key} is paused: Spotify answered 403 (not registered)"
    assert said in echostats("users").stdout.splitlines()
    assert echostats("users", "resume", "ann").returncode == 0
    assert "is paused" not in echostats("users").stdout


def test_a_user_without_a_consent_has_to_connect_whatever_is_asked(
    installation: Installation, ann: User, echostats: Echostats
) -> None:
    installation.store.users.set_status(ann.user_id, "needs_reauth")
    assert "echostats connect" in refused(echostats("users", "resume", "ann"))
    assert "not synced anyway" in echostats("users", "pause", "ann").stdout
    assert installation.store.users.find("ann").status == "needs_reauth"


def test_a_zone_is_set_and_the_days_that_wait_are_said(
    installation: Installation, ann: User, echostats: Echostats
) -> None:
    ended = echostats("users", "timezone", "ann", "Asia/Tokyo")
    assert "from 2025-03-01 to 2025-03-05" in ended.stdout
    assert installation.store.users.find("ann").timezone == "Asia/Tokyo"
    assert len(installation.store.marks.pending_days(ann.user_id)) == 5
    assert echostats("users", "timezone", "ann", "Mars/Olympus").returncode == 2


@pytest.mark.parametrize("command", [("pause",), ("resume",), ("remove", "--yes"), ("timezone", "UTC")])
def test_an_unknown_user_is_named_with_who_there_is(ann: User, echostats: Echostats, command: tuple[str, ...]) -> None:
    said = refused(echostats("users", command[0], "nobody", *command[1:]))
    assert "nobody" in said
    assert ann.partition_key in said


def test_a_user_is_removed_with_their_partition(installation: Installation, ann: User, echostats: Echostats) -> None:
    with open_instance(installation.settings) as instance:
        instance.add_dynamic_partitions("users", [ann.partition_key, "another"])
    ended = echostats("users", "remove", "ann", "--yes")
    assert ended.returncode == 0, ended.stderr
    to_be, removed = ended.stdout.split("Removed", maxsplit=1)
    for said in (to_be, removed):
        assert "4" in line_of(said, "listening_history")
    assert installation.store.owned.counts(ann) == {}
    with open_instance(installation.settings) as instance:
        assert list(instance.get_dynamic_partitions("users")) == ["another"]


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "y\n"])
def test_only_a_yes_removes_a_user(
    installation: Installation, ann: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = installation.store.owned.counts(ann)
    ended = CliRunner(env=dict(installation.environ)).invoke(users, ["remove", "ann"], input=answer)
    assert ended.exit_code == (0 if answer == "y\n" else 1)
    assert installation.store.owned.counts(ann) == ({} if answer == "y\n" else before)


def test_a_run_that_died_does_not_hold_a_removal_up(
    installation: Installation, ann: User, echostats: Echostats
) -> None:
    with open_instance(installation.settings) as instance:
        gone = dg.DagsterRun(job_name="user_sync", status=dg.DagsterRunStatus.FAILURE)
        instance.add_run(gone)
    installation.store.db["sync_jobs"].insert_one(
        {"user_id": ann.user_id, "status": "running", "dagster_run_id": gone.run_id}
    )
    assert echostats("users", "remove", "ann", "--yes").returncode == 0
    assert installation.store.users.all() == []
