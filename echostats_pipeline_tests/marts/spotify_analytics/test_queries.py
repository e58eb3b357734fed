"""The queries of the page about spotify_analytics run as printed, each on the index that the page names."""

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from echostats_pipeline.local.mongod import EmbeddedServer
from echostats_pipeline_tests.docs.pages import blocks, page
from echostats_pipeline_tests.marts.echotune.test_queries import Reads, indexes_in
from echostats_pipeline_tests.marts.spotify_analytics.test_mart import Installed, installed, small

__all__ = ["installed", "small"]
PAGE = "use/spotify-analytics.md"


def test_the_queries_of_the_page_run_as_printed_each_on_its_index(
    installed: Installed, small: Path, mongo_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, now = installed.store.db["listening_history"], datetime.now(UTC).replace(microsecond=0)
    installed.imported(small)
    for number, play in enumerate(history.find().sort("played_at", 1)):
        at = now - timedelta(hours=number)
        moved = {"played_at": at, "import_ts": at, "ms_played": 3_600_000}
        history.update_one({"_id": play["_id"]}, {"$set": moved})
    features = {"danceability": 0.5, "energy": 0.25, "valence": 0.75, "tempo": 120.0}
    known = {"enriched_at": now, "genres": ["folk"], "audio_features": features, "name": "Rainy Harbour"}
    installed.store.db["tracks"].update_one({"spotify_id": "a" * 22}, {"$set": known})
    installed.mart.update(installed.user, whole=True)
    reads, said = Reads(), SimpleNamespace(stdout=mongo_server.uri)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: said)
    names = {'["spotify_analytics"]': f'["{installed.mart.settings.analytics_db}"]',
             '"ann-65f1c2"': f'"{installed.user.partition_key}"',
             "MongoClient(uri,": "MongoClient(uri, event_listeners=[reads],"}  # fmt: skip
    printed = "".join(blocks("python", PAGE))
    for name, here in names.items():
        assert name in printed
        printed = printed.replace(name, here)
    found: dict[str, Any] = {"reads": reads}
    exec(compile(printed, PAGE, "exec"), found)
    found["db"].client.close()
    assert [each["ts_x"] for each in found["recent"]] == [now - timedelta(hours=number) for number in range(3)]
    assert [each["listening"]["ms_played"] for each in found["plays"]] == [3_600_000] * 2
    assert (sum(each["plays"] for each in found["months"]), sum(each["hours"] for each in found["months"])) == (3, 3)
    assert found["genres"] == [{"_id": "folk", "plays": 2}]
    assert [each["track"]["name"] for each in found["rainy"]] == ["Rainy Harbour"] * 2
    assert [each["Energy"] for each in found["calm"]] == [0.25] * 2
    questions = re.findall(r"\((?:text index on )?`([^`]*)`\)\n", page(PAGE))
    assert len(reads.commands) == len(questions) == 6
    for command, fields in zip(reads.commands, questions, strict=True):
        database = installed.mart.collection("listening_history").database
        plan = str(database.command("explain", command, verbosity="queryPlanner"))
        assert "COLLSCAN" not in plan, command
        used = [known["key"] for known in indexes_in(database, command, plan)]
        names_asked = fields.split(", ")
        assert any([name for name, _ in keys] == names_asked or ("_fts", "text") in keys for keys in used), fields
