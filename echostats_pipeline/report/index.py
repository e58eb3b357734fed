"""Builds the index: one page with every user, and their years, with small pictures.

Here: reading what it shows, and rendering. It links the reports and recaps that lie beside it in the folder of reports.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from echostats_pipeline.model.statistics import DayTotal, MonthTotal, PeriodStatistics
from echostats_pipeline.model.users import User
from echostats_pipeline.report.document import LARGE_PX
from echostats_pipeline.report.formatting import calendar_date, duration, plural
from echostats_pipeline.report.page import Picture, of_every_page, template
from echostats_pipeline.report.pictures import Fetch, fetch_pictures, fitting, pictures_kept
from echostats_pipeline.report.reads import ReportStore
from echostats_pipeline.state_folder import StateFolder, replace_file
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import local_date

INDEX = "index.html"
BARS = 24
"""Most months in the small chart of a user."""
PICTURE_PX = 60


@dataclass(frozen=True)
class IndexedYear:
    """A year of a user; links are empty where there is no such page."""

    year: int
    told: str
    artist: str
    artist_id: str
    image_url: str
    report: str
    recap: str


@dataclass(frozen=True)
class IndexedUser:
    """A user with what the card shows; `bars` are the hours of the last months, relative to the longest, 0 to 1."""

    name: str
    partition_key: str
    image_url: str
    told: str
    report: str
    bars: Sequence[float]
    bars_told: str
    years: Sequence[IndexedYear]
    has_imports: bool


def write_index(store: Store, folder: StateFolder, now: datetime, fetch: Fetch | None = None) -> Path:
    """Write the index of all users into the folder of reports. Return its path.

    Args:
        store: The database.
        folder: State folder, for reports and pictures.
        now: The present instant.
        fetch: Fetches pictures; None leaves them out.

    Raises:
        OSError: the file cannot be written.
    """
    reads = ReportStore(store.db)
    names = {path.name for path in folder.ensure().reports_dir.glob("*.html")}
    users = [read_user(reads, user, names) for user in store.users.all()]
    wanted = {url: PICTURE_PX for user in users for url in _pictures(user) if url}
    found: dict[str, Picture] = {}
    if fetch is not None:
        sizes = reads.sizes({year.artist_id for user in users for year in user.years} - {""})
        found = fetch_pictures(fitting(wanted, sizes), folder.pictures_dir, fetch).pictures
        # Reports keep the picture of a number one in a larger size.
        larger = fitting({url: LARGE_PX for url in wanted if url not in found}, sizes)
        found |= fetch_pictures(larger, folder.pictures_dir, pictures_kept).pictures
    path = folder.reports_dir / INDEX
    replace_file(path, render_index(users, found, now).encode("utf-8", "replace"))
    return path


def read_user(reads: ReportStore, user: User, names: Iterable[str]) -> IndexedUser:
    """Read what the index shows of a user.

    Args:
        reads: The database.
        user: The user.
        names: Names of the files in the folder of reports.
    """
    key, files = user.partition_key, set(names)
    years: dict[int, PeriodStatistics] = {review.year: review for review in reads.reviews(user.user_id)}
    current = reads.this_year(user.user_id)
    if current is not None and current.period_start is not None and current.total_tracks_played:
        years[local_date(current.period_start, ZoneInfo(user.timezone)).year] = current
    whole = reads.all_time(user.user_id)
    months = whole.months[-BARS:] if whole else []
    return IndexedUser(
        name=user.display_name or key,
        partition_key=key,
        image_url=user.image_url,
        told=_told(whole, reads.days(user.user_id)) if whole else "Nothing has been heard yet.",
        report=_link(f"{key}.html", files),
        bars=_bars(months),
        bars_told=f"Hours per month, {months[0].month} to {months[-1].month}" if months else "",
        years=[_year(key, year, years[year], files) for year in sorted(years, reverse=True)],
        has_imports=reads.has_imports(user.user_id),
    )


def render_index(users: Sequence[IndexedUser], pictures: Mapping[str, Picture], now: datetime) -> str:
    """Render the page.

    Args:
        users: The users in order.
        pictures: Pictures by address; initials replace a missing one.
        now: When the page is made.
    """
    used = {url: pictures[url] for user in users for url in _pictures(user) if url in pictures}
    return template("index.html").render(
        users=users,
        **of_every_page(used, links=False),
        made_on=calendar_date(now.date()),
    )


def _year(key: str, year: int, statistics: PeriodStatistics, files: set[str]) -> IndexedYear:
    first = next(iter(statistics.top_artists), None)
    return IndexedYear(
        year=year,
        told=f"{duration(statistics.total_ms_played)}, {plural(statistics.total_tracks_played, 'play')}",
        artist=first.name or "Unnamed" if first else "",
        artist_id=first.spotify_id if first else "",
        image_url=first.image_url if first else "",
        report=_link(f"{key}-{year}.html", files),
        recap=_link(f"{key}-recap-{year}.html", files),
    )


def _told(whole: PeriodStatistics, days: Sequence[DayTotal]) -> str:
    since = f" since {days[0].date[:4]}" if days else ""
    return f"{duration(whole.total_ms_played)}, {plural(whole.total_tracks_played, 'play')}{since}"


def _bars(months: Sequence[MonthTotal]) -> list[float]:
    most = max((month.total_ms for month in months), default=0)
    return [month.total_ms / most for month in months] if most > 0 and len(months) > 1 else []


def _link(name: str, files: set[str]) -> str:
    return name if name in files else ""


def _pictures(user: IndexedUser) -> list[str]:
    return [user.image_url, *(year.image_url for year in user.years)]
