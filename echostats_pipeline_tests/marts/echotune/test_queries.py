"""The queries of the page about EchoTune's database run as printed, each on the index that the page names."""

import re
import subprocess
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo import monitoring

from echostats_pipeline.local.mongod import EmbeddedServer
from echostats_pipeline.marts.echotune.database import user_object_id
from echostats_pipeline_tests.docs.pages import blocks, page
from echostats_pipeline_tests.marts.echotune.conftest import Installed
from echostats_pipeline_tests.marts.echotune.stored import TRACKS, connect, play, playlist, recommended

PAGE = "use/echotune.md"
READS = ("find", "aggregate")
OF_DRIVER = ("lsid", "$db", "$clusterTime", "$readPreference")


class Reads(monitoring.CommandListener):
    """Keeps every command that reads."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in READS:
            self.commands.append({name: value for name, value in event.command.items() if name not in OF_DRIVER})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


def test_the_queries_of_the_page_run_as_printed_each_on_its_index(
    echotune: Installed, mongo_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    user = connect(echotune)
    plays = [play(user, TRACKS[number % 7], now - timedelta(hours=number)) for number in range(1, 40)]
    plays[0] |= {"ms_played": 5_000, "playback": {"reason_end": "fwdbtn"}}
    echotune.store.db["listening_history"].insert_many(plays)
    echotune.store.db["playlists"].insert_one(playlist(user))
    echotune.store.db["recommendations"].insert_one(recommended(user, now))
    echotune.update(user, now)
    reads, said = Reads(), SimpleNamespace(stdout=mongo_server.uri)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: said)
    printed = "".join(blocks("python", PAGE)).replace('["echotune"]', f'["{echotune.settings.echotune_db}"]')
    monitored = printed.replace("MongoClient(uri,", "MongoClient(uri, event_listeners=[reads],")
    found: dict[str, Any] = {"reads": reads}
    exec(compile(monitored, PAGE, "exec"), found)
    found["db"].client.close()
    assert found["user"]["_id"] == user_object_id(user.user_id)
    assert [each["playedAt"] for each in found["recent"]] == sorted((p["played_at"] for p in plays), reverse=True)[:20]
    assert len(found["newest"]["tracks"]) == 6
    assert sum(each["percentage"] for each in found["top_artists"]) == pytest.approx(100)
    assert found["rates"] == [{"_id": None, "skips": pytest.approx(1 / 39), "repeats": 0}]
    assert [each["metadata"]["reason"] for each in found["skips"]] == ["fwdbtn"]
    assert [each["name"] for each in found["rainy"]] == ["Rain"]
    assert found["calm"] == []
    questions = re.findall(r"\((?:text index on )?`([^`]*)`\)\n", page(PAGE))
    assert len(reads.commands) == 1 + len(questions)
    database = echotune.collection("users").database
    for command, fields in zip(reads.commands[1:], questions, strict=True):
        plan = str(database.command("explain", command, verbosity="queryPlanner"))
        assert "COLLSCAN" not in plan, command
        names = fields.split(", ")
        used = [known["key"] for known in indexes_in(database, command, plan)]
        assert any([name for name, _ in keys] == names or ("_fts", "text") in keys for keys in used), (command, fields)


def indexes_in(database: Any, command: dict[str, Any], plan: str) -> list[dict[str, Any]]:
    """The indexes that the plan of a query names."""
    named = set(re.findall(r"'indexName': '([^']*)'", plan))
    collection = database[command.get("find") or command["aggregate"]]
    return [known for name, known in collection.index_information().items() if name in named]
