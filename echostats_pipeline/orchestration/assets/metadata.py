"""Metadata that a run shows of its work: tables and charts.

A run may serve several users. Its tables then have a line for each user; charts are drawn only for a single user.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from echostats_pipeline.model.operations import FileImport
from echostats_pipeline.model.playlists import FASTEST, GeneratedPlaylist, PlaylistSong
from echostats_pipeline.model.recommendations import (
    ModelEvaluation,
    RecommendationList,
    RecommendationWeek,
    RecommendedTrack,
    Task,
)
from echostats_pipeline.model.statistics import PERIODS
from echostats_pipeline.monitoring.api_usage import FamilyCalls
from echostats_pipeline.orchestration.partitions import days_by_user
from echostats_pipeline.report.charts import bar_chart, curve_chart, embedded, heat_map, interval_chart
from echostats_pipeline.report.make import WrittenReport
from echostats_pipeline.stages.artist_tags import TagProgress
from echostats_pipeline.stages.statistics import Snapshots
from echostats_pipeline.storage.catalog import CatalogProgress
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.statistics.overview import HOURS_A_DAY, plays_per_day, plays_per_weekday_and_hour

OUTCOMES = ("rows", "inserted", "merged", "duplicate", "not_music", "rejected", "gaps_closed", "short")
DAYS_SHOWN, HABIT_DAYS, WEEKS_SHOWN, TOP = 90, 365, 26, 10
REPORTED = ("size_bytes", "charts", "pictures", "pictures_missing")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOUR_MS = 3_600_000

Cell = str | int | float | bool | None


def shown(context: dg.AssetExecutionContext, metadata: Mapping[str, Any]) -> dg.MaterializeResult:
    """The result of an asset, with all of its metadata at the last partition of the run.

    Dagster stores the metadata once for each partition. A table of a hundred users at three days of each of them took
    more time than their sync. So tables and charts stand at the last partition only. Numbers stand at each partition of
    a run for one user; in a run for several they are sums over all of them, which say nothing of one.
    """
    keys = context.partition_keys
    alone = len(days_by_user(keys)) == 1
    at_each = {name: value for name, value in metadata.items() if alone and not isinstance(value, dg.MetadataValue)}
    if len(keys) > 1:
        last = {name: value for name, value in metadata.items() if name not in at_each}
        context.add_asset_metadata(last, partition_key=keys[-1])
        return dg.MaterializeResult(metadata=at_each)
    return dg.MaterializeResult(metadata=metadata)


def by_user(rows: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """The sums of the counts, and for several users also a line for each, by partition key.

    A run over 5,000 days of one user stores its numbers 5,000 times, so none is repeated. A count that only some users
    have is 0 for the others.
    """
    sums: Counter[str] = Counter()
    for row in rows.values():
        sums.update(row)
    lines: Iterable[Mapping[str, Cell]] = (
        {"user": user, **dict.fromkeys(sums, 0), **row} for user, row in rows.items()
    )
    return {**sums, **(_table("users", lines) if len(rows) > 1 else {})}


def row_counts(store: Store, collection: str, of_run: int) -> dict[str, Any]:
    """Number of documents in a collection, and number of documents the run was about, under Dagster's own names."""
    return {"dagster/row_count": store.documents_in(collection), "dagster/partition_row_count": of_run}


def import_outcomes(files: Sequence[FileImport]) -> dict[str, Any]:
    """A table of the outcome of the rows of each file, and of all files."""
    return {
        **{key: sum(getattr(file, key) for file in files) for key in OUTCOMES},
        **_table("files", map(_outcome, files)),
    }


def calls_table(calls: Iterable[FamilyCalls]) -> dict[str, Any]:
    """A table of the calls of the last 24 hours against the budget, and of the families that wait."""
    return _table("api_calls", map(_against_budget, calls))


def progress_numbers(progress: CatalogProgress | TagProgress) -> dict[str, Any]:
    """Numbers on the completeness of the catalogue, plotted by Dagster over time; no days if no source can be asked."""
    return {
        "progress": progress.text,
        "known": progress.known,
        "total": progress.total,
        "percent_known": progress.percent,
        **({} if progress.days_left is None else {"days_left": progress.days_left}),
    }


def snapshot_overview(rebuilt: Mapping[str, Snapshots]) -> dict[str, Any]:
    """Statistics by partition key of the user; for a single user also periods, rankings and charts."""
    if len(rebuilt) == 1:
        return _of_one(*rebuilt.values())
    return _table("users", ({"user": user, **_totals(made)} for user, made in rebuilt.items()))


def report_links(written: Mapping[str, WrittenReport]) -> dict[str, Any]:
    """Path, size and content of each report by partition key of the user; for a single user also a link."""
    counted = {user: {name: getattr(made, name) for name in REPORTED} for user, made in written.items()}
    sums = {name: sum(row[name] for row in counted.values()) for name in REPORTED} if written else {}
    if len(written) != 1:
        rows = ({"user": user, "file": str(made.path), **counted[user]} for user, made in written.items())
        return {**sums, **_table("users", rows)}
    ((user, made),) = written.items()
    if not made.path.is_absolute():  # kept in the database only
        year = made.path.stem.removeprefix(user).removeprefix("-")
        of_year = f" --year {year}" if year else ""
        return {**sums, "file": f"echostats report --user {user}{of_year} --stored"}
    return {
        **sums,
        "file": dg.MetadataValue.path(made.path),
        "open": dg.MetadataValue.url(made.path.as_uri()),
    }


def list_overview(made: Mapping[str, Mapping[Task, RecommendationList]]) -> dict[str, Any]:
    """The lists by partition key of the user; for a single user also the first songs of each with their reasons."""
    lines: list[dict[str, Cell]] = [
        {"user": user, "list": task, "songs": len(each.tracks), "ordered_by": each.model, "why": each.why}
        for user, lists in made.items()
        for task, each in lists.items()
    ]
    songs: dict[str, Any] = {}
    if len(made) == 1:
        (lists,) = made.values()
        for task, each in lists.items():
            songs |= _table(task, map(_recommended, each.tracks[:TOP]))
    return {**_table("lists", lines), **songs}


def playlist_overview(made: Mapping[str, Sequence[GeneratedPlaylist]]) -> dict[str, Any]:
    """The playlists by partition key of the user; for a single playlist also its songs, its curve and its words."""
    lines: list[dict[str, Cell]] = [
        {
            "user": user,
            "playlist": each.name,
            "made_by": each.generator,
            "songs": len(each.tracks),
            "minutes": round(sum(track.duration_ms for track in each.tracks) / 60_000),
            "status": each.status,
            "note": each.note or each.error,
        }
        for user, playlists in made.items()
        for each in playlists
    ]
    alone = [each for playlists in made.values() for each in playlists]
    return {**_table("playlists", lines), **(_of_playlist(alone[0]) if len(alone) == 1 else {})}


def _of_playlist(made: GeneratedPlaylist) -> dict[str, Any]:
    counts = made.counts.model_dump()
    found: dict[str, Any] = {**counts, **({"widened": " ".join(made.widened)} if made.widened else {})}
    if made.understanding is not None:
        found |= _table("understood", (each.model_dump() for each in made.understanding.understood))
        if made.understanding.unknown:
            found["not_understood"] = ", ".join(made.understanding.unknown)
    found |= _table("songs_in_order", map(_of_song, made.tracks))
    if made.tracks:
        energy = [track.energy for track in made.tracks]
        tempo = [None if track.tempo is None else track.tempo / FASTEST for track in made.tracks]
        svg = curve_chart({"energy": energy, f"tempo, of {FASTEST:.0f} bpm": tempo})
        found["curve"] = _picture(svg, f"Energy and tempo of {made.name}, song by song")
    return found


def _of_song(track: PlaylistSong) -> dict[str, Cell]:
    shown = ("position", "name", "artist_name", "energy", "brightness", "tempo", "is_new", "reason")
    return {name: getattr(track, name) for name in shown}


def evaluation_overview(
    kept: Mapping[Task, Sequence[ModelEvaluation]], weeks: Sequence[RecommendationWeek]
) -> dict[str, Any]:
    """The verdict, the numbers and the history of each kind of list; and what users have played of earlier lists."""
    found: dict[str, Any] = {}
    for task, evaluations in kept.items():
        last = evaluations[-1]
        points = {f"{each.evaluated_at:%d %b %Y}": (each.lower, each.difference, each.upper) for each in evaluations}
        chart = interval_chart(points)
        found |= {
            f"{task}_served": last.served,
            f"{task}_verdict": last.why,
            f"{task}_ndcg_difference": last.difference,
            f"{task}_ndcg_difference_lower": last.lower,
            f"{task}_history": _picture(chart, f"NDCG@20 of the best model minus that of the best baseline, to {task}"),
            **_table(f"{task}_results", (result.model_dump() for result in last.results)),
        }
    return {**found, **_table("weeks", map(_hits, _by_week(weeks)))}


def _recommended(track: RecommendedTrack) -> dict[str, Cell]:
    return {"rank": track.rank, "name": track.name, "artist": track.artist_name, "why": track.reason}


def _by_week(weeks: Sequence[RecommendationWeek]) -> list[list[RecommendationWeek]]:
    """The counted weeks of all users, by week and kind of list, the latest first."""
    grouped: dict[tuple[str, str], list[RecommendationWeek]] = {}
    for week in weeks:
        grouped.setdefault((week.week, week.task), []).append(week)
    return [grouped[key] for key in sorted(grouped, reverse=True)][:WEEKS_SHOWN]


def _hits(weeks: Sequence[RecommendationWeek]) -> dict[str, Cell]:
    return {
        "week": weeks[0].week,
        "list": weeks[0].task,
        "users": len(weeks),
        "songs_shown": sum(len(week.shown_ids) for week in weeks),
        "played_within_7_days": sum(week.hits or 0 for week in weeks),
        "songs_not_shown": sum(len(week.control_ids) for week in weeks),
        "of_these_played": sum(week.control_hits or 0 for week in weeks),
        "songs_in_both": sum(week.in_both for week in weeks),
    }


def _against_budget(made: FamilyCalls) -> dict[str, Cell]:
    return {
        "endpoints": made.family,
        "calls_24h": made.calls,
        "budget": "unlimited" if made.budget is None else f"{made.budget:,}",
        "waits_until": f"{made.waits_until:%Y-%m-%d %H:%M} UTC" if made.waits_until else "",
        "why": made.reason,
    }


def _outcome(file: FileImport) -> dict[str, Cell]:
    counts: dict[str, Cell] = {name: getattr(file, name) for name in OUTCOMES}
    span = {"from": str(file.first_played_at or ""), "to": str(file.last_played_at or "")}
    return {"file": file.file_name, **counts, **span, "error": file.error_message}


def _totals(snapshots: Snapshots) -> dict[str, Cell]:
    plays: dict[str, Cell] = {
        f"plays_{period}": snapshots.documents[period]["total_tracks_played"] for period in PERIODS
    }
    streak = snapshots.documents["all_time"]["listening_streak_days"]
    return {**plays, "streak_days": streak, "rules": snapshots.left_out or "No play left out"}


def _of_one(snapshots: Snapshots) -> dict[str, Any]:
    days = plays_per_day(snapshots.days, last=snapshots.today, count=DAYS_SHOWN)
    hours = plays_per_weekday_and_hour(snapshots.hours, last=snapshots.today, count=HABIT_DAYS)
    bars = bar_chart(
        {str(day): plays for day, plays in days.items()},
        ticks=_mondays(days),
        unknown={str(day) for day in snapshots.unknown},
    )
    cells = heat_map(
        dict(zip(WEEKDAYS, hours, strict=True)),
        columns=[f"{hour}:00" if hour % 3 == 0 else "" for hour in range(HOURS_A_DAY)],
    )
    year = snapshots.documents["year"]
    return {
        **_totals(snapshots),
        "plays_per_day": _picture(bars, f"Plays per day of the last {DAYS_SHOWN} days"),
        "plays_by_weekday_and_hour": _picture(cells, f"Plays by weekday and hour of the last {HABIT_DAYS} days"),
        **_table("periods", (_period(snapshots.documents[period]) for period in PERIODS)),
        **{
            f"{kind}_known_of_plays": f"{round(year[f'{kind}_coverage'] * 100)} %"
            for kind in ("genres", "audio_features")
        },
        **_table("top_artists_of_the_year", map(_ranked, year["top_artists"][:TOP])),
        **_table("top_tracks_of_the_year", map(_ranked, year["top_tracks"][:TOP])),
    }


def _mondays(days: Iterable[date]) -> dict[str, str]:
    """Labels for the Mondays among some days, with the year where it differs from that of the Monday before."""
    found, year = {}, 0
    for day in days:
        if day.weekday() == 0:
            found[str(day)] = f"{day:%d %b}" if day.year == year else f"{day:%d %b %Y}"
            year = day.year
    return found


def _period(snapshot: Mapping[str, Any]) -> dict[str, Cell]:
    counts: dict[str, Cell] = {name: snapshot[f"unique_{name}"] for name in ("tracks", "artists", "albums", "genres")}
    hours = round(snapshot["total_ms_played"] / HOUR_MS, 1)
    return {"period": snapshot["period"], "plays": snapshot["total_tracks_played"], "hours": hours, **counts}


def _ranked(item: Mapping[str, Any]) -> dict[str, Cell]:
    hours = round(item["total_ms"] / HOUR_MS, 1)
    return {"rank": item["rank"], "name": item["name"], "plays": item["play_count"], "hours": hours}


def _picture(svg: str, description: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(embedded(svg, description))


def _table(name: str, lines: Iterable[Mapping[str, Cell]]) -> dict[str, Any]:
    """A table under its name. Without lines there is no table, because Dagster takes the columns from them."""
    records = [dg.TableRecord(dict(line)) for line in lines]
    return {name: dg.MetadataValue.table(records)} if records else {}
