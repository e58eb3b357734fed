"""Makes a recap: reads its data, and writes one HTML file, and the cards as pictures if they are wanted."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from echostats_pipeline.errors import StorageError
from echostats_pipeline.model.users import User
from echostats_pipeline.recap.build import build_recap
from echostats_pipeline.recap.document import Recap
from echostats_pipeline.recap.page import render_recap
from echostats_pipeline.recap.read import read_recap
from echostats_pipeline.report.pictures import Fetch, FetchResult, fetch_pictures, fitting
from echostats_pipeline.report.reads import ReportStore
from echostats_pipeline.settings import Settings
from echostats_pipeline.state_folder import StateFolder, replace_file
from echostats_pipeline.storage.store import Store


@dataclass(frozen=True)
class WrittenRecap:
    """A recap that was written.

    Attributes:
        page: Path of the HTML file.
        cards: Paths of the cards.
        pictures: Number of pictures of artists and albums.
        pictures_missing: Number of pictures that could not be fetched.
        undrawable: Names with letters that no font on this machine has, as the cards should have shown them.
    """

    page: Path
    cards: list[Path]
    pictures: int
    pictures_missing: int
    undrawable: list[str]


def make_recap(
    store: Store,
    user: User,
    settings: Settings,
    now: datetime,
    *,
    year: int | None = None,
    month: date | None = None,
    cards: bool = False,
    output: Path | None = None,
    fetch: Fetch | None = None,
) -> WrittenRecap:
    """Write the recap of a year or a month.

    Args:
        store: The database.
        user: The user whose recap it is.
        settings: The settings; the state folder is `Settings.home`.
        now: The present instant.
        year: A calendar year; None for that of `month`, or without one for the latest year with plays.
        month: Any date of a month; None for a whole year.
        cards: Whether to write the cards. Earlier ones of the same period that are no longer drawn are deleted.
        output: Folder to write to; None for the folder of reports.
        fetch: Fetches pictures; None leaves them out.

    Raises:
        NotFoundError: there is no counted play in the period; the message names those with plays.
        StorageError: a file cannot be written.
    """
    given = read_recap(store, user, now, settings, year=year, month=month)
    recap = build_recap(given)
    folder = StateFolder(settings.home).ensure()
    fetched = FetchResult() if fetch is None else _pictures(store, recap, folder.pictures_dir, fetch)
    base = (output or folder.reports_dir).absolute()
    name = f"{user.partition_key}-recap-{given.period.key}"
    page = render_recap(recap, fetched.pictures)
    path = _written(base / f"{name}.html", page.html.encode("utf-8", "replace"))
    drawn, undrawable = [], []
    if cards:
        from echostats_pipeline.recap.cards import draw_cards  # noqa: PLC0415 - it loads a renderer

        result = draw_cards(recap, fetched.pictures)
        drawn = [_written(base / f"{name}-{each.name}.png", each.content) for each in result.cards]
        undrawable = result.undrawable
        for earlier in set(base.glob(f"{name}-[1-9]-[a-z]*x*.png")) - set(drawn):
            earlier.unlink(missing_ok=True)
    return WrittenRecap(path, drawn, page.pictures, fetched.missing, undrawable)


def _pictures(store: Store, recap: Recap, cache: Path, fetch: Fetch) -> FetchResult:
    ids = {item.spotify_id for item in recap.items} - {""}
    return fetch_pictures(fitting(recap.pictured, ReportStore(store.db).sizes(ids)), cache, fetch)


def _written(path: Path, content: bytes) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}. Choose another folder with --output."
        ) from error
    return path
