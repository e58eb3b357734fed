"""``echostats remove``: removes all data of a user, in every place of this installation."""

from pathlib import Path

import pytest

from echostats_pipeline.cli import remove as command
from echostats_pipeline.cli.instance import open_instance
from echostats_pipeline.cli.main import echostats as root
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.instance.sensor_roster import Roster
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.sync_jobs import JobKey
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import NOW, Installation, documents

pytestmark = pytest.mark.dagster

BOTH = [("remove", "--yes", "--user"), ("users", "remove", "--yes")]


@pytest.fixture
def ann(installation: Installation) -> User:
    user = installation.store.users.connect(
        {"spotify_id": "ann", "display_name": "Ann"}, authorized_at=NOW, simulated=True
    )
    installation.store.db["listening_history"].insert_many(
        {"user_id": user.user_id, "track": {"spotify_id": str(number)}} for number in range(4)
    )
    with open_instance(installation.settings) as instance:
        instance.add_dynamic_partitions("users", [user.partition_key, "another"])
    Roster(installation.settings.home).write([user.partition_key, "another"])
    for key in (user.partition_key, "another"):
        folder = installation.settings.imports_dir / key
        folder.mkdir(parents=True)
        (folder / "my_spotify_data.zip").write_bytes(b"x" * 2048)
    simulated = StateFolder(installation.settings.home).simulated_dir
    simulated.mkdir(exist_ok=True)
    for name in ("ann_my_spotify_data.zip", "anna_my_spotify_data.zip"):
        (simulated / name).write_bytes(b"x")
    return user


@pytest.mark.parametrize("spelling", BOTH, ids=" ".join)
def test_both_spellings_remove_documents_partition_roster_and_files(
    installation: Installation, ann: User, echostats: Echostats, spelling: tuple[str, ...]
) -> None:
    ended = echostats(*spelling, "Ann")
    assert ended.returncode == 0, ended.stderr
    to_be, removed = ended.stdout.split("Removed", maxsplit=1)
    for said in (to_be, removed):
        assert "listening_history" in said
        assert f"{ann.partition_key}/my_spotify_data.zip (2.0 kB)" in said
    assert "creates a new user without data" in " ".join(ended.stdout.split())
    assert installation.store.owned.counts(ann) == {}
    with open_instance(installation.settings) as instance:
        assert list(instance.get_dynamic_partitions("users")) == ["another"]
    assert Roster(installation.settings.home).read() == ["another"]
    assert [path.name for path in installation.settings.imports_dir.iterdir()] == ["another"]
    simulated = StateFolder(installation.settings.home).simulated_dir
    assert [path.name for path in simulated.iterdir()] == ["anna_my_spotify_data.zip"]
    left = [
        path
        for path in installation.settings.home.rglob("*")
        if path.is_file() and ann.partition_key.encode() in path.read_bytes()
    ]
    assert left == []


def test_both_take_the_same_options() -> None:
    group = root.commands["users"]
    assert hasattr(group, "commands")
    for each in (root.commands["remove"], group.commands["remove"]):
        assert "--yes" in {option for parameter in each.params for option in parameter.opts}


def test_a_link_in_the_place_of_the_import_folder_goes_and_not_what_it_leads_to(
    installation: Installation, ann: User, echostats: Echostats, tmp_path: Path
) -> None:
    folder = installation.settings.imports_dir / ann.partition_key
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert echostats("remove", "--user", "ann", "--yes").returncode == 0
    assert not folder.is_symlink()
    assert (tmp_path / "elsewhere" / "my_spotify_data.zip").exists()


def test_a_run_at_work_is_said_and_does_not_hold_it_up(
    installation: Installation, ann: User, echostats: Echostats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echostats_pipeline.cli.instance.close_dead_runs", lambda *_: [])
    installation.store.jobs.open(JobKey(ann.user_id, "run"), "periodic", NOW)
    ended = echostats("remove", "--user", "ann", "--yes")
    assert ended.returncode == 0, ended.stderr
    assert command.LATE in ended.stdout
    assert installation.store.owned.counts(ann) == {}


def test_without_a_yes_nothing_is_removed(installation: Installation, ann: User, echostats: Echostats) -> None:
    before = installation.store.owned.counts(ann)
    assert echostats("remove", "--user", "ann").returncode == 130
    assert installation.store.owned.counts(ann) == before
    assert documents(installation.store.db, "removed_users") == []
    assert (installation.settings.imports_dir / ann.partition_key / "my_spotify_data.zip").exists()


def test_an_unknown_user_is_named_with_who_there_is(ann: User, echostats: Echostats) -> None:
    said = refused(echostats("remove", "--user", "nobody", "--yes"))
    assert "nobody" in said
    assert ann.partition_key in said


def test_the_doctor_counts_what_is_left_of_removed_users(
    installation: Installation, ann: User, echostats: Echostats
) -> None:
    assert "Users removed: 0; documents of theirs: 0." in echostats("doctor", "--json").stdout
    assert echostats("remove", "--user", "ann", "--yes").returncode == 0
    assert "Users removed: 1; documents of theirs: 0." in echostats("doctor", "--json").stdout
    installation.store.marks.ask(ann.user_id, "analytics_snapshots")
    assert "Users removed: 1; documents of theirs: 2 (change_marks 2)." in echostats("doctor", "--json").stdout
