"""Writes the files beside a report: ``summary.json``, ``badge.svg`` and ``feed.xml``.

Here: reading their data, and writing. Not here: their content (`report.summary`, `report.badge`, `report.feed`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.model.statistics import AnalyticsSnapshot, DayTotal, Period
from echostats_pipeline.model.users import User
from echostats_pipeline.report.badge import build_badge
from echostats_pipeline.report.feed import build_feed
from echostats_pipeline.report.reads import ReportStore
from echostats_pipeline.report.summary import SUMMED, TOP, LastPlay, SummaryInput, build_summary
from echostats_pipeline.state_folder import replace_file
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.track_credits import primary_artists_for
from echostats_pipeline.transforms.coverage import unknown_days
from echostats_pipeline.transforms.days import DayWindow, local_date
from echostats_pipeline.transforms.statistics.rule_effects import judged

BESIDE = ("summary.json", "badge.svg", "feed.xml")


def beside_files(folder: Path, user: User) -> list[Path]:
    """Return the paths of the three files of a user in a folder, in the order of `BESIDE`."""
    return [folder / f"{user.partition_key}-{name}" for name in BESIDE]


def write_beside(store: Store, user: User, folder: Path, now: datetime, *, min_play_ms: int) -> list[Path]:
    """Write the three files from stored statistics; return their paths.

    Args:
        store: The database.
        user: The user whose files they are.
        folder: The folder of the report.
        now: The present instant.
        min_play_ms: Least length of a play that counts, in milliseconds.

    Raises:
        OSError: a file cannot be written.
    """
    reads = ReportStore(store.db)
    days, snapshots = reads.days(user.user_id), reads.snapshots(user.user_id, SUMMED)
    material = SummaryInput(
        user=user,
        now=now,
        snapshots=snapshots,
        gaps=reads.open_gaps(user.user_id),
        last=read_last_play(store, user, days, min_play_ms),
        credits=reads.credits(user.user_id, _credited(snapshots)),
    )
    zone = ZoneInfo(user.timezone)
    unknown = unknown_days(store.coverage.stretches(user.user_id), local_date(now, zone), zone).touched
    material = replace(material, first_day=days[0].date if days else "", unknown=unknown)
    pages = {path.name for path in folder.glob("*.html")}
    texts = (
        json.dumps(build_summary(material), ensure_ascii=False, indent=2) + "\n",
        build_badge(snapshots.get("week")),
        build_feed(user, days, reads.reviews(user.user_id), now, pages, unknown),
    )
    paths = beside_files(folder, user)
    for path, text in zip(paths, texts, strict=True):
        replace_file(path, text.encode("utf-8", "replace"))
    return paths


def read_last_play(store: Store, user: User, days: Sequence[DayTotal], min_play_ms: int) -> LastPlay | None:
    """Return the newest play that counts, as the rollups count; None without one."""
    newest = next((day for day in reversed(days) if day.count), None)
    if newest is None:
        return None
    day, zone = date.fromisoformat(newest.date), ZoneInfo(user.timezone)
    plays = store.plays.read(user.user_id, *DayWindow(day, day).instants(zone))
    rules = store.rules.of(user.user_id)
    found = judged(plays, user.timezone, min_play_ms, rules, primary_artists_for(store.db, rules, plays["track_id"]))
    counted = found.filter(pl.col("counted"), pl.col("rule_ids").is_null(), pl.col("date") == day)
    if counted.is_empty():
        return None
    play = counted.row(-1, named=True)
    name, artist, album = (play[column] or "" for column in ("track_name", "artist_name", "album_name"))
    return LastPlay(play["played_at"], name, artist, album, play["track_id"])


def _credited(snapshots: Mapping[Period, AnalyticsSnapshot]) -> set[str]:
    tops = (top for each in snapshots.values() for top in (each.top_tracks[:TOP], each.top_albums[:TOP]))
    return {item.spotify_id for top in tops for item in top} - {""}
