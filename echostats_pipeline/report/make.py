"""A listening report: what is stored about a user's year, or all time, as one HTML file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from echostats_pipeline.errors import NotFoundError, StorageError
from echostats_pipeline.model.statistics import DayTotal, PeriodStatistics, TopItem
from echostats_pipeline.model.users import User
from echostats_pipeline.report.build import build_report
from echostats_pipeline.report.document import RANKED, Report, ReportInput
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.report.page import Page, render
from echostats_pipeline.report.pictures import Fetch, FetchResult, fetch_pictures, fitting
from echostats_pipeline.report.reads import ReportStore
from echostats_pipeline.settings import Settings
from echostats_pipeline.stages.catalog import objects_a_day
from echostats_pipeline.state_folder import StateFolder, replace_file
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import local_date


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written.

    Attributes:
        path: The file.
        size_bytes: Of it.
        charts: How many it has.
        pictures: How many it has.
        pictures_missing: Pictures that could not be had.
    """

    path: Path
    size_bytes: int
    charts: int
    pictures: int
    pictures_missing: int


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
        store: Where the statistics are.
        user: Whose.
        folder: Where reports and pictures are kept.
        now: The present.
        year: Of the calendar; None for all time.
        output: Where to write; None for the file in `folder` that `report_file` names.
        fetch: Fetches pictures; None leaves them out.
        settings: How long a play is that counts, and how fast the catalogue fills; None for the defaults.

    Raises:
        NotFoundError: there are no statistics of it; says what to do.
        StorageError: the file cannot be written; one that was there is untouched.
    """
    reads = ReportStore(store.db)
    material = read_material(reads, user, now, year)
    if settings is not None:
        material = replace(material, min_play_ms=settings.min_play_ms, filling=_filling(store, settings, now))
    report = build_report(replace(material, covered=store.coverage.stretches(user.user_id)))
    folder.ensure()
    fetched = FetchResult() if fetch is None else _pictures(reads, report, folder.pictures_dir, fetch)
    page = render(report, fetched.pictures)
    path = (output or report_file(folder, user, year)).absolute()
    content = page.html.encode("utf-8", "replace")
    try:
        replace_file(path, content)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}. Give another --output.") from error
    return _made(path, content, page, fetched)


def report_file(folder: StateFolder, user: User, year: int | None) -> Path:
    """Where a report is kept unless somebody wants it elsewhere."""
    return folder.reports_dir / f"{user.partition_key}{'' if year is None else f'-{year}'}.html"


def reports_of(folder: StateFolder, user: User) -> list[Path]:
    """The reports of a user where reports are written unless somebody names another place."""
    return [
        path
        for pattern in ("", "-[0-9][0-9][0-9][0-9]")
        for path in folder.reports_dir.glob(f"{user.partition_key}{pattern}.html")
    ]


def read_material(reads: ReportStore, user: User, now: datetime, year: int | None) -> ReportInput:
    """What a report is made of.

    Raises:
        NotFoundError: there are no statistics of that year, or none at all; says what to do.
    """
    days = reads.days(user.user_id)
    if year is None:
        statistics: PeriodStatistics | None = reads.all_time(user.user_id)
    else:
        _require_plays(user, days, year)
        statistics = _of_year(reads, user, year)
    if statistics is None:
        what = "statistics" if year is None else f"statistics of {year}"
        raise NotFoundError(
            f"There are no {what} of {user.partition_key} yet. Sync the account with: echostats up; "
            f"or build them from the plays that are stored: echostats backfill --user {user.partition_key}"
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
    )


def _of_year(reads: ReportStore, user: User, year: int) -> PeriodStatistics | None:
    """The review of a finished year; until it is built, and while the year lasts, what is told of the current one."""
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
    kinds = ("artists", "tracks", "albums")
    lists = [f"top_{kind}{order}" for kind in kinds for order in ("", "_by_time")]
    return [item for name in lists for item in getattr(statistics, name)[:RANKED]]


def _pictures(reads: ReportStore, report: Report, cache: Path, fetch: Fetch) -> FetchResult:
    ids = {line.spotify_id for ranking in report.rankings for line in (*ranking.by_plays, *ranking.by_time)}
    ids |= {each.spotify_id for each in report.comebacks}
    return fetch_pictures(fitting(report.pictured, reads.sizes(ids - {""})), cache, fetch)


def _filling(store: Store, settings: Settings, now: datetime) -> dict[str, str]:
    """In how many days the genres and audio features are read, in words; nothing where nobody can be asked."""
    found = {}
    for kind, asset in (("genres", "artists"), ("audio_features", "audio_features")):
        a_day = objects_a_day(settings, store, asset.replace("_", "-"), now)
        if days := store.catalog.progress(asset, now, a_day).days_left:
            found[kind] = f"about {plural(days, 'day')} left"
    return found


def _made(path: Path, content: bytes, page: Page, fetched: FetchResult) -> WrittenReport:
    return WrittenReport(path, len(content), page.charts, page.pictures, fetched.missing)
