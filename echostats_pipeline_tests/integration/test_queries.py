"""The queries of the docs, run as printed, return what they promise, each by the index it names.

The database holds some months of a user among others, a few thousand plays each, so that the server must choose.
"""

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline_tests.conftest import NOW, Pipeline
from echostats_pipeline_tests.docs.pages import blocks, page
from echostats_pipeline_tests.integration.operation_profiler import Operation, profiled
from echostats_pipeline_tests.integration.readme_examples import PAGE, furnish, run_printed

pytestmark = pytest.mark.xdist_group("queries")
OVERVIEW = {
    *("period", "total_tracks_played", "total_ms_played", "total_hours", "listening_streak_days", "computed_at"),
    *("unique_tracks", "unique_artists", "unique_albums", "unique_genres", "top_artists", "top_tracks", "top_genres"),
    *("hourly_distribution", "daily_distribution", "avg_audio_features"),
}
"""The fields of EchoStats' endpoint."""
PAGE_OF_QUERIES = "use/reading-results.md"
SECTION = page(PAGE_OF_QUERIES)
INDEX = r"`([a-z_]+)`:\s+`([\w., ]+)`"
TABLE = set(re.findall(r"^\| `([a-z_]+)` \| `([\w., ]+)` \|", SECTION, re.MULTILINE))


@dataclass(frozen=True)
class Question:
    """The text before a printed query, and the query."""

    asked: str
    indexes: frozenset[tuple[str, str]]
    code: str


def questions() -> Iterator[Question]:
    for before, code in re.findall(r"\n\n([^\n].*?)\n\n?```python\n(.*?)```", SECTION, re.DOTALL):
        paragraph = before.rpartition("\n\n")[2]
        asked = re.match(r"\*\*(.*?)\*\*", paragraph)
        yield Question(asked[1] if asked else "", frozenset(re.findall(INDEX, paragraph)), code)


QUESTIONS = list(questions())


@dataclass(frozen=True)
class Truth:
    """The stored data of the user in the queries, to compute the results again by hand."""

    db: Db
    user: Document

    @property
    def mine(self) -> Document:
        return {"user_id": str(self.user["_id"])}

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.user["timezone"])

    @property
    def today(self) -> date:
        return NOW.astimezone(self.zone).date()

    def plays(self, *, counted: bool = True) -> list[Document]:
        found = self.db["listening_history"].find(self.mine)
        return [play for play in found if not counted or play.get("ms_played") is None or play["ms_played"] >= 30_000]

    def day_of(self, play: Document) -> date:
        ended: datetime = play["played_at"]
        return ended.astimezone(self.zone).date()


def numbers(lines: list[str]) -> list[int]:
    """The number at the beginning of each line."""
    return [int(line.split(" ", 1)[0]) for line in lines]


def overview(truth: Truth, lines: list[str]) -> None:
    reported = json.loads("\n".join(lines))
    stored = truth.db["analytics_snapshots"].find_one({**truth.mine, "period": "month"})
    assert stored is not None
    assert reported.keys() == OVERVIEW
    assert reported["total_hours"] == round(stored["total_ms_played"] / 3_600_000, 1) > 0
    for name in OVERVIEW - {"total_hours", "computed_at"}:
        assert reported[name] == (stored[name][:10] if name.startswith("top_") else stored[name]), name
    assert [artist["rank"] for artist in reported["top_artists"]] == list(range(1, 11))


def tops(truth: Truth, lines: list[str]) -> None:
    month = [play["track"] for play in truth.plays() if truth.day_of(play) >= truth.today.replace(day=1)]
    for reported, field in ((lines[:10], "spotify_id"), (lines[10:], "artist_name")):
        assert numbers(reported) == [plays for _, plays in Counter(track[field] for track in month).most_common(10)]


def months(truth: Truth, lines: list[str]) -> None:
    plays = Counter(f"{truth.day_of(play):%Y-%m}" for play in truth.plays())
    reported = {month: int(count) for month, count in (line.split(" ")[:2] for line in lines)}
    assert reported == dict(sorted(plays.items()))
    assert list(reported) == sorted(reported)


def pages(truth: Truth, lines: list[str]) -> None:
    plays = len(truth.plays(counted=False))
    assert numbers(lines) == [PAGE] * (plays // PAGE) + [plays % PAGE] * (plays % PAGE > 0)


def plays_of_a_day(truth: Truth, lines: list[str]) -> None:
    ended = sorted(play["played_at"] for play in truth.plays(counted=False) if truth.day_of(play) == truth.today)
    assert [line[:5] for line in lines] == [f"{end.astimezone(truth.zone):%H:%M}" for end in ended] != []


def track(truth: Truth, lines: list[str]) -> None:
    heard: dict[str, list[datetime]] = {}
    name = lines[0].split(" times ")[1].rpartition(" - ")[0]
    for play in truth.plays(counted=False):
        if play["track"]["name"] == name:
            heard.setdefault(play["track"]["artist_name"], []).append(play["played_at"])
    reported = {f"{len(ends)} times {name} - {by} from {min(ends)} to {max(ends)}" for by, ends in heard.items()}
    assert set(lines) == reported


def sessions(truth: Truth, lines: list[str]) -> None:
    rollup = truth.db["daily_rollups"].find_one({**truth.mine, "date": truth.today.isoformat()})
    assert rollup is not None
    assert lines == [
        "from {:%H:%M} to {:%H:%M} {} plays".format(
            *(part[name].astimezone(truth.zone) for name in ("started_at", "ended_at")), part["plays"]
        )
        for part in rollup["sessions"]
    ]
    assert lines


def two_months(truth: Truth, lines: list[str]) -> None:
    first = truth.today.replace(day=1)
    days = [truth.day_of(play) for play in truth.plays()]
    this, last = (
        len([day for day in days if (day.year, day.month) == (month.year, month.month)])
        for month in (first, first - timedelta(days=1))
    )
    assert [line.split(" plays,")[0] for line in lines] == [f"this_month {this}", f"last_month {last}"]


def years(truth: Truth, lines: list[str]) -> None:
    assert lines == ["2024 7 plays, 3 new tracks, most of all Ann, Bob, Cy", "2023 5 plays, 0 new tracks, most of all "]


def silences(truth: Truth, lines: list[str]) -> None:
    days = sorted({truth.day_of(play) for play in truth.plays(counted=False)})
    silent = [
        f"{(after - before).days - 1} silent days after {before}"
        for before, after in pairwise(days)
        if (after - before).days > 1
    ]
    gaps = list(truth.db["listening_gaps"].find({**truth.mine, "closed_by": None}))
    assert silent
    assert lines == [*silent, *(f"unknown from {gap['from']} to {gap['to']}" for gap in gaps)]
    assert len(gaps) == 1


def syncs(truth: Truth, lines: list[str]) -> None:
    assert len(lines) == 5
    assert lines[0].startswith("initial completed ['Fetched 50 recent plays")
    assert all(line.startswith("periodic completed") for line in lines[1:])


def answers(truth: Truth, lines: list[str]) -> None:
    day = {"timestamp": {"$gte": NOW - timedelta(days=1)}}
    reported = [line.split(" ") for line in lines]
    assert sum(int(calls) for _, _, calls, _, _ in reported) == truth.db["api_logs"].count_documents(day)
    assert {status for status, *_ in reported} == {"200", "429"}


ANSWERS: dict[str, Callable[[Truth, list[str]], None]] = {
    "How was the last month?": overview,
    "What was played most in a month?": tops,
    "How much was played in each month?": months,
    "What was played before that?": pages,
    "What was played on that day?": plays_of_a_day,
    "When was a track played first and last, and how often?": track,
    "When was music on that day?": sessions,
    "How is this month against the last?": two_months,
    "How were the years?": years,
    "Which days were silent, and where may plays be missing?": silences,
    "How did the last syncs go?": syncs,
    "What did Spotify answer in the last 24 hours?": answers,
}


def test_every_query_answers_its_question_by_the_index_it_names(pipeline: Pipeline, tmp_path: Path) -> None:
    assert [question.asked for question in QUESTIONS] == ["", *ANSWERS]
    user = furnish(pipeline, tmp_path)
    db = pipeline.store.db
    with profiled(db) as operations:
        reported = run_printed(pipeline.installation, [question.code for question in QUESTIONS])
    stored = db["users"].find_one({"_id": user.id})
    assert stored is not None
    truth = Truth(db, stored)
    for question, lines in zip(QUESTIONS[1:], reported[1:], strict=True):
        ANSWERS[question.asked](truth, lines)

    named = set().union(*(question.indexes for question in QUESTIONS))
    assert_indexed(operations, named)
    used = {(each.collection, index) for each in operations for index in each.indexes}
    assert named <= used
    pages_read = [each for each in operations if each.collection == "listening_history" and "$nin" in each.asked]
    assert len(pages_read) > 1_000 // PAGE
    assert [each for each in pages_read if each.sorted_afterwards or each.examined > PAGE + 3] == []


def assert_indexed(operations: list[Operation], named: set[tuple[str, str]]) -> None:
    """Check that no operation read a whole collection, and that each used a named index, or a prefix of one."""
    for each in operations:
        indexes = {index for collection, index in named if collection == each.collection} | {"_id"}
        assert not each.scans, each
        assert each.indexes, each
        assert all(any(index.startswith(used) for index in indexes) for used in each.indexes), each


def test_the_table_lists_the_indexes_that_the_questions_name() -> None:
    assert set().union(*(question.indexes for question in QUESTIONS)) == TABLE - {("sync_jobs", "status")}
    for collection, fields in TABLE:
        declared = {", ".join(name for name, _ in index.keys) for index in COLLECTIONS[collection].indexes}
        assert fields in declared, collection


@pytest.mark.skipif(shutil.which("mongosh") is None, reason="mongosh is not installed: npm install --global mongosh")
def test_what_is_typed_into_mongosh_works_too(pipeline: Pipeline, tmp_path: Path) -> None:
    furnish(pipeline, tmp_path)
    db, (code,) = pipeline.store.db, blocks("javascript", PAGE_OF_QUERIES)
    uri = pipeline.installation.environ["MONGO_URI"].replace("/?", f"/{db.name}?")
    with profiled(db) as operations:
        ran = subprocess.run(
            ["mongosh", uri, "--quiet", "--norc"],
            input=code,
            env={**os.environ, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    shown = Counter(re.findall(r"rank:|played_at:|status: 'failed',\n    started_at", ran.stdout))
    assert shown == {"rank:": 5, "played_at:": 20, "status: 'failed',\n    started_at": 5}, ran.stdout
    assert_indexed(operations, TABLE)
