"""Makes a listening report: reads the statistics of a year or of all time, and writes one HTML file."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from echostats_pipeline.errors import NotFoundError, StorageError
from echostats_pipeline.model.statistics import DayTotal, PeriodStatistics, TopItem
from echostats_pipeline.model.users import User
from echostats_pipeline.report.beside import BESIDE, write_beside
from echostats_pipeline.report.build import build_report
from echostats_pipeline.report.document import LISTED, RANKED, Report, ReportInput
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.report.page import render
from echostats_pipeline.report.pictures import Fetch, FetchResult, fetch_pictures, fitting
from echostats_pipeline.report.reads import ReportStore
from echostats_pipeline.settings import Settings
from echostats_pipeline.stages.artist_tags import tag_progress
from echostats_pipeline.stages.catalog import objects_a_day
from echostats_pipeline.stages.statistics import listening_frames
from echostats_pipeline.state_folder import StateFolder, replace_file
from echostats_pipeline.storage.files import FileKey
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import DayWindow, local_date
from echostats_pipeline.transforms.statistics.period_statistics import span_statistics


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written.

    Attributes:
        path: Path of the file.
        size_bytes: Size of the file.
        charts: Number of charts.
        pictures: Number of pictures.
        pictures_missing: Number of pictures that could not be fetched.
        beside: Paths of the files beside it (`report.beside`).
    """

    path: Path
    size_bytes: int
    charts: int
    pictures: int
    pictures_missing: int
    beside: Sequence[Path] = ()


def make_report(
    store: Store,
    user: User,
    folder: StateFolder,
    now: datetime,
    *,
    year: int | None = None,
    output: Path | None = None,
    fetch: Fetch | None = None,
    settings: Settings | None = None,
) -> WrittenReport:
    """Write the report of a year, or of all time.

    Args:
        store: The database with the statistics.
        user: The user whose report it is.
        folder: State folder, for reports and pictures.
        now: The present instant.
        year: Calendar year; None for all time.
        output: Path to write to; None for the file in `folder` that `report_file` names. The files of `report.beside`
            are written beside a file of that name.
        fetch: Fetches pictures; None leaves them out.
        settings: Least length of a play that counts, and the budget of calls; None for the defaults.

    Raises:
        NotFoundError: there are no statistics of this time; the message says what to do.
        StorageError: the file cannot be written; an existing file is not changed.
    """
    reads = ReportStore(store.db)
    material = read_material(reads, user, now, year)
    if settings is not None:
        material = replace(material, min_play_ms=settings.min_play_ms, filling=_filling(store, settings, now))
        if settings.recommends and year is None:
            lists = store.recommendations.lists(user.user_id)
            weeks = store.recommendations.weeks(user.user_id)
            material = replace(material, lists=[lists[task] for task in sorted(lists)], weeks=weeks)
    if year is not None:
        same_recording = settings is None or settings.same_recording
        material = replace(material, months=artists_by_month(store, user, year, now, same_recording=same_recording))
    report = build_report(replace(material, covered=store.coverage.stretches(user.user_id)))
    folder.ensure()
    fetched = FetchResult() if fetch is None else _pictures(reads, report, folder.pictures_dir, fetch)
    page = render(report, fetched.pictures)
    path = (output or report_file(folder, user, year)).absolute()
    content = page.html.encode("utf-8", "replace")
    beside: Sequence[Path] = ()
    try:
        replace_file(path, content)
        if path.name == report_file(folder, user, year).name:
            beside = write_beside(store, user, path.parent, now, min_play_ms=material.min_play_ms)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}. Choose another path with --output."
        ) from error
    return WrittenReport(path, len(content), page.charts, page.pictures, fetched.missing, beside)


def keep_report(store: Store, user: User, written: WrittenReport) -> None:
    """Keep a written report and the files beside it in the database, from which a removal deletes them.

    It does not matter which machine has written them.

    Raises:
        UserRemovedError: the user was removed.
    """
    for path in (written.path, *written.beside):
        content = path.read_bytes()
        key = FileKey(user.user_id, "report", path.name)
        store.files.put(key, hashlib.sha256(content).hexdigest(), BytesIO(content))


def report_file(folder: StateFolder, user: User, year: int | None) -> Path:
    """Return the default path of a report."""
    return folder.reports_dir / f"{user.partition_key}{'' if year is None else f'-{year}'}.html"


def reports_of(folder: StateFolder, user: User) -> list[Path]:
    """Return the reports and recaps of a user in the default folder, and the files beside the report."""
    patterns = (
        *(".html", "-[0-9][0-9][0-9][0-9].html", "-recap-[0-9]*.html", "-recap-[0-9]*.png"),
        *(f"-{name}" for name in BESIDE),
    )
    return [path for each in patterns for path in folder.reports_dir.glob(f"{user.partition_key}{each}")]


def read_material(reads: ReportStore, user: User, now: datetime, year: int | None) -> ReportInput:
    """Read the data of a report.

    Raises:
        NotFoundError: there are no statistics of this year, or none at all; the message says what to do.
    """
    days = reads.days(user.user_id)
    if year is None:
        statistics: PeriodStatistics | None = reads.all_time(user.user_id)
    else:
        _require_plays(user, days, year)
        statistics = _year_statistics(reads, user, year)
    if statistics is None:
        what = "statistics" if year is None else f"statistics of {year}"
        raise NotFoundError(
            f"There are no {what} of {user.partition_key} yet. Sync the account with: echostats up; "
            f"or build them from the stored plays: echostats backfill --user {user.partition_key}"
        )
    shown = {item.spotify_id for item in _ranked(statistics)} - {""}
    return ReportInput(
        user=user,
        statistics=statistics,
        days=days,
        now=now,
        year=year,
        before=None if year is None else reads.review(user.user_id, year - 1),
        gaps=reads.open_gaps(user.user_id),
        short_plays=reads.short_plays(user.user_id, year),
        credits=reads.credits(user.user_id, shown),
        years=reads.artists_by_year(user) if year is None else {},
        liked=reads.liked(user.user_id) if year is None else None,
        playlists=reads.playlists(user.user_id) if year is None else (),
        has_imports=reads.has_imports(user.user_id),
        others=reads.others(user) if year is None else {},
        genre_sources=reads.genre_sources({item.name for item in _genres(statistics)}),
    )


def artists_by_month(
    store: Store, user: User, year: int, now: datetime, *, same_recording: bool
) -> dict[str, list[TopItem]]:
    """Return the artists played most in each month of a year that has begun, by the month's short name."""
    today = local_date(now, ZoneInfo(user.timezone))
    heard = listening_frames(store, user.user_id, same_recording=same_recording).until(today)
    firsts = [first for month in range(1, 13) if (first := date(year, month, 1)) <= today]
    spans = [DayWindow(first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)) for first in firsts]
    found = span_statistics(heard, spans, ())
    return {
        f"{span.first:%b}": [TopItem.model_validate(item) for item in statistics["top_artists"]]
        for span, statistics in zip(spans, found, strict=True)
    }


def _year_statistics(reads: ReportStore, user: User, year: int) -> PeriodStatistics | None:
    """Return the review of a finished year; if there is none yet, the statistics of the current year, if it is that."""
    review = reads.review(user.user_id, year)
    if review is not None:
        return review
    zone = ZoneInfo(user.timezone)
    current = reads.this_year(user.user_id)
    begun = None if current is None else current.period_start
    return current if begun is not None and local_date(begun, zone).year == year else None


def _require_plays(user: User, days: Sequence[DayTotal], year: int) -> None:
    years = sorted({int(day.date[:4]) for day in days if day.count or day.total_ms})
    if years and year not in years:
        raise NotFoundError(
            f"{user.partition_key} has no play in {year}. There are plays of: {', '.join(map(str, years))}."
        )


def _ranked(statistics: PeriodStatistics) -> list[TopItem]:
    kinds = ("artists", "artists_credited", "tracks", "albums")
    lists = [f"top_{kind}{order}" for kind in kinds for order in ("", "_by_time")]
    return [item for name in lists for item in getattr(statistics, name)[:LISTED]]


def _genres(statistics: PeriodStatistics) -> list[TopItem]:
    return [*statistics.top_genres[:LISTED], *statistics.top_genres_by_time[:LISTED]]


def _pictures(reads: ReportStore, report: Report, cache: Path, fetch: Fetch) -> FetchResult:
    lists = [each[:RANKED] for ranking in report.rankings for each in (ranking.by_plays, ranking.by_time)]
    lists += [report.liked.not_liked] if report.liked else []
    ids = {line.spotify_id for lines in lists for line in lines}
    ids |= {each.spotify_id for each in report.comebacks}
    ids |= {song.spotify_id for each in report.recommended for song in each.songs}
    return fetch_pictures(fitting(report.pictured, reads.sizes(ids - {""})), cache, fetch)


def _filling(store: Store, settings: Settings, now: datetime) -> dict[str, str]:
    """Say when genres and audio features will be read; leave out a kind that has no source."""
    found = {}
    elsewhere = tag_progress(store, settings.genres, now)
    if elsewhere.time_left:
        found["genres"] = f"about {elsewhere.time_left} left"
    for kind, asset in (("genres", "artists"), ("audio_features", "audio_features")):
        if kind == "genres" and elsewhere.seconds_left is not None:
            continue  # the other sources do not wait for Spotify
        a_day = objects_a_day(settings, store, asset.replace("_", "-"), now)
        if days := store.catalog.progress(asset, now, a_day).days_left:
            found[kind] = f"about {plural(days, 'day')} left"
    return found
