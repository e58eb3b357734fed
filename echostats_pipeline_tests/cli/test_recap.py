"""``echostats recap`` with a real database: the files it writes, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.cli import recap as command
from echostats_pipeline.recap import cards
from echostats_pipeline.recap.cards import Card, DrawnCards
from echostats_pipeline.recap.make import WrittenRecap
from echostats_pipeline.report.make import reports_of
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.cli.test_report import user  # noqa: F401 - a fixture
from echostats_pipeline_tests.conftest import NOW, Installation
from echostats_pipeline_tests.report.page_assertions import assert_loads_nothing, text_of


def test_a_year_and_a_month_are_written_and_equal_the_statistics(
    installation: Installation,
    user: Any,  # noqa: F811
    echostats: Echostats,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(command, "utc_now", lambda: NOW)
    monkeypatch.setattr(
        cards, "draw_cards", lambda *_: DrawnCards([Card("1-overview-1200x630", b"png")], ["夜", "森", "オ", "ル"])
    )
    db, key, folder = installation.store.db, user.partition_key, StateFolder(installation.settings.home)
    earlier = folder.ensure().reports_dir / f"{key}-recap-2025-7-gone-1200x630.png"
    earlier.write_bytes(b"png")
    ended = echostats("recap", "--user", key, "--png")
    assert ended.returncode == 0, ended.stderr
    page, card = map(Path, ended.stdout.split())
    assert (page.name, card.name) == (f"{key}-recap-2025.html", f"{key}-recap-2025-1-overview-1200x630.png")
    assert "4 names on the cards have letters that no font of this computer has (夜, 森, オ, ...)" in ended.stderr
    html = page.read_text(encoding="utf-8")
    assert_loads_nothing(html)
    stored = db["calendar_snapshots"].find_one({"period": "this_year"})
    assert stored is not None
    assert f"plays {stored['total_tracks_played']:,} songs {stored['unique_tracks']:,} " in text_of(html)
    month = echostats(
        "recap", "--user", key, "--month", f"{NOW:%Y-%m}", "--no-pictures", "--output", str(tmp_path / "new")
    )
    assert month.returncode == 0, month.stderr
    this_month = db["calendar_snapshots"].find_one({"period": "this_month"})
    assert this_month is not None
    html = (tmp_path / "new" / f"{key}-recap-{NOW:%Y-%m}.html").read_text(encoding="utf-8")
    assert f"plays {this_month['total_tracks_played']:,} " in text_of(html)
    assert set(reports_of(folder, user)) == {page, card}
    assert f'href="{page.name}"' in (folder.reports_dir / "index.html").read_text(encoding="utf-8")
    said = refused(echostats("recap", "--user", key, "--year", "2019"))
    assert "no play that counts in 2019. There are plays of 2025." in said
    said = refused(echostats("recap", "--user", key, "--month", "2025-12"))
    assert "no play that counts in December 2025. There are plays of 2025-01, " in said
    said = refused(echostats("recap", "--user", key, "--no-pictures", "--output", str(page / "x")))
    assert "cannot be written" in said


def test_what_is_no_month_is_refused_before_anything_starts(echostats: Echostats) -> None:
    for month in ("2026-13", "2026", "November", "0000-01"):
        ended = echostats("recap", "--month", month)
        assert ended.returncode == 2
        assert "write it like 2026-11" in ended.stderr
    ended = echostats("recap", "--month", "2026-11", "--year", "2026")
    assert ended.returncode == 2
    assert "not both" in ended.stderr


def test_before_anything_is_built_it_says_what_to_do(installation: Installation, echostats: Echostats) -> None:
    name = installation.connect().partition_key
    assert f"echostats backfill --user {name}" in refused(echostats("recap", "--user", name))


def test_missing_pictures_and_letters_are_said_in_words() -> None:
    made = WrittenRecap(Path("page"), [Path("card")], 1, 2, ["夜"])
    said = command.said_of(made, no_pictures=False)
    assert "Wrote a page and 1 card with 1 picture" in said
    assert "2 more could not be fetched" in said
    assert "1 name on the cards has letters that no font of this computer has (夜)" in said
    assert "fetched" not in command.said_of(made, no_pictures=True)
