"""``echostats rules``: what it says before and after a change."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from echostats_pipeline.model.users import User
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import NOW, Installation

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAYS = 8


@pytest.fixture
def ann(installation: Installation) -> User:
    """A user who has heard one artist by day and another at night, on eight days."""
    user = installation.store.users.connect({"spotify_id": "ann"}, authorized_at=NOW, simulated=True)
    for artist, hour in (("By day", 0), ("Sleep Sounds", 12)):
        names = {"name": f"Song {artist}", "artist_name": artist, "album_name": "", "duration_ms": 0}
        installation.store.db["listening_history"].insert_many(
            {
                "user_id": user.user_id,
                "played_at": NOON + timedelta(days=day, hours=hour),
                "track": {"spotify_id": artist[0] * 22, **names},
                "ms_played": 3_600_000,
                "source": "import",
            }
            for day in range(DAYS)
        )
    return user


def test_a_rule_is_tried_added_listed_and_removed(ann: User, echostats: Echostats) -> None:
    tried = echostats("rules", "preview", "--user", "ann", "exclude", "--artist", "sleep sounds")
    assert (tried.returncode, tried.stderr) == (0, "")
    assert tried.stdout.startswith(
        "This rule would leave out plays by the artist Sleep Sounds.\nIt leaves out 8 plays on"
    )
    shown = [line.split() for line in tried.stdout.splitlines()]
    for line in (["plays", "16", "8"], ["listening", "time", "16", "h", "8", "h"], ["plays", "left", "out", "0", "8"]):
        assert line in shown
    assert "There are no rules." in echostats("rules", "list").stdout

    added = echostats("rules", "add", "--user", "ann", "--note", "the baby", "exclude", "--artist", "Sleep Sounds")
    assert "Added the rule" in added.stdout
    assert "8 days from 2025-03-02 to 2025-03-09 wait for a rebuild." in added.stdout
    listed = echostats("rules", "list", "--user", "ann").stdout
    assert "leave out plays by the artist Sleep Sounds" in listed
    assert "the baby" in listed
    assert f"8 days of {ann.partition_key} wait for a rebuild." in listed
    (rule,) = json.loads(echostats("rules", "list", "--json").stdout)
    assert (rule["kind"], rule["excluded_plays"], rule["exclude"]["artist"]["name"]) == ("exclude", 0, "Sleep Sounds")

    removed = echostats("rules", "remove", rule["id"][-8:], "--user", "ann", "--now")
    assert removed.stdout.startswith(f"Removed the rule {rule['id']}: leave out plays by the artist Sleep Sounds.")
    assert "Rebuilt 8 days from 2025-03-02 to 2025-03-09." in removed.stdout
    joined = echostats("rules", "add", "same_artist", "By day", "Sleep Sounds", "--user", "ann", "--now")
    assert "count By day and Sleep Sounds as one artist.\nRebuilt" in joined.stdout


def test_rules_from_elsewhere_must_name_what_is_there_and_those_of_an_own_export_may_wait(
    ann: User, echostats: Echostats, tmp_path: Path
) -> None:
    rules = [
        {"kind": "exclude", "exclude": {"artist": {"spotify_id": "", "name": artist}}}
        for artist in ("Sleep Sounds", "Nobody")
    ]
    rules.append({"kind": "different", "track_ids": ["B" * 22, "x" * 22]})
    (tmp_path / "rules.jsonl").write_text("\n".join(json.dumps({"user_id": "someone", **rule}) for rule in rules))
    of_others = echostats("rules", "import", str(tmp_path), "--user", "ann").stdout
    assert f"artist Nobody. {ann.partition_key} has not played the artist 'Nobody'" in of_others
    assert f"has not played the track {'x' * 22}" in of_others
    assert "Added 1 rule, left out 2.\n" in of_others
    (tmp_path / "manifest.json").write_text(json.dumps({"user": {"spotify_id": "ann"}}))
    of_ann = echostats("rules", "import", str(tmp_path / "rules.jsonl"), "--user", "ann").stdout
    assert "Added 2 rules, left out 1.\n2 of them name nothing in the history yet." in of_ann


def test_what_is_wrong_is_said_in_one_line(ann: User, echostats: Echostats) -> None:
    assert "has not played the artist 'Nobody'" in refused(
        echostats("rules", "preview", "--user", "ann", "exclude", "--artist", "Nobody")
    )
    assert "has no single rule 'abcdef'" in refused(echostats("rules", "remove", "abcdef", "--user", "ann"))
    for wrong, reason in (
        (("add", "--user", "ann", "rename", "--artist", "A", "--track", "B", "C"), "Give one of --artist, --album"),
        (("add", "--user", "ann", "exclude", "--from", "yesterday"), "write it like 2025-12-24"),
    ):
        ended = echostats("rules", *wrong)
        assert ended.returncode == 2
        assert reason in ended.stderr
