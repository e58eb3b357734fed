"""`echostats demo`: something is shown at once, and at the end no collection without a word about it."""

import os
import pty
import select
import subprocess
import sys
import time

import pytest

from echostats_pipeline.cli.demo import UNTOLD, WHY_EMPTY, collections_table, empty_collections
from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.settings import load_settings
from echostats_pipeline.storage.installed import MARTS, mart_database

FIRST_WORDS_S = 10.0
"""Two seconds on an idle machine; CI runs several tests at once. Loading everything takes six times as long."""
ASKED = """
import sys
from echostats_pipeline.cli import demo_start
def loaded(*_): raise SystemExit("dagster" in sys.modules)
sys.modules["echostats_pipeline.cli.demo"] = type(sys)("demo")
sys.modules["echostats_pipeline.cli.demo"].run_demo = loaded
sys.argv = ["echostats", "demo"]
from echostats_pipeline.cli.main import main
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="terminals")
def test_the_first_words_come_before_anything_is_loaded() -> None:
    ours, theirs = pty.openpty()
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", ASKED], stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        assert select.select([ours], [], [], FIRST_WORDS_S)[0], "no output"
        first, lasted = os.read(ours, 1_000).decode(), time.monotonic() - began
        assert process.wait(60) == 0
    os.close(ours)
    assert "this takes a minute or more" in first
    assert lasted < FIRST_WORDS_S


def test_empty_collections_are_not_in_the_table_but_told_with_the_reason() -> None:
    counts = {"users": 3, "rules": 0, "incidents": 0, "playlist_edits": 0, "odd": 0}
    assert list(collections_table(counts, "Database x").columns[0].cells) == ["users"]
    assert empty_collections(counts) == [
        "Empty, because nothing is wrong: incidents.",
        "Empty, because you have not asked for it: rules, playlist_edits.",
        f"Empty, {UNTOLD}: odd.",
    ]


def test_only_collections_that_exist_have_a_reason() -> None:
    marts = (mart_database(mart, load_settings()) for mart in MARTS)
    known = set(COLLECTIONS) | {mart.label(each.name) for mart in marts for each in mart.collections}
    assert {label for labels in WHY_EMPTY.values() for label in labels} <= known
