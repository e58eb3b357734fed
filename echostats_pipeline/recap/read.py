"""Reads the data of a recap: rollups, the plays of the period, holes in the data, years of release."""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.users import User
from echostats_pipeline.recap.document import RecapInput
from echostats_pipeline.recap.spans import Period, until_today
from echostats_pipeline.report.formatting import listed
from echostats_pipeline.report.reads import ReportStore
from echostats_pipeline.settings import Settings
from echostats_pipeline.stages.statistics import listening_frames
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.track_credits import primary_artists_for
from echostats_pipeline.transforms.days import DayWindow, local_date
from echostats_pipeline.transforms.statistics.listening import ListeningFrames
from echostats_pipeline.transforms.statistics.rule_effects import judged

IDS_AT_ONCE = 10_000
YEAR_DIGITS = 4


def read_recap(
    store: Store, user: User, now: datetime, settings: Settings, *, year: int | None = None, month: date | None = None
) -> RecapInput:
    """Read the data of a recap.

    Args:
        store: The database.
        user: The user whose recap it is.
        now: The present instant.
        settings: Least length of a play that counts, and whether recordings are joined to songs.
        year: A calendar year; None for that of `month`, or without one for the latest year with plays.
        month: Any date of a month; None for a whole year.

    Raises:
        NotFoundError: there is no counted play in the period; the message names those with plays.
    """
    zone = ZoneInfo(user.timezone)
    today = local_date(now, zone)
    heard = listening_frames(store, user.user_id, same_recording=settings.same_recording)
    played = heard.days.filter(pl.col("plays") > 0, pl.col("date") <= today)["date"].sort()
    period = _period(user, played, year, month)
    window = until_today(period, today)
    judge = _Judge(store, user, settings.min_play_ms)
    first = played[0]
    return RecapInput(
        user=user,
        period=period,
        now=now,
        heard=heard,
        plays=judge.plays(window),
        first_plays=judge.plays(DayWindow(first, first)),
        covered=store.coverage.stretches(user.user_id),
        gaps=ReportStore(store.db).open_gaps(user.user_id),
        release_years=release_years(store, _tracks_of(heard, window)),
        pending=sorted(store.marks.pending_days(user.user_id)),
    )


class _Judge:
    """Reads plays and decides which of them count, as the rollups do."""

    def __init__(self, store: Store, user: User, min_play_ms: int) -> None:
        self._store = store
        self._user = user
        self._min_play_ms = min_play_ms
        self._rules = store.rules.of(user.user_id)

    def plays(self, window: DayWindow) -> pl.DataFrame:
        """The plays of some dates, as `rule_effects.judged` returns them."""
        zone = ZoneInfo(self._user.timezone)
        plays = self._store.plays.read(self._user.user_id, *window.instants(zone))
        primary = primary_artists_for(self._store.db, self._rules, plays["track_id"])
        found = judged(plays, self._user.timezone, self._min_play_ms, self._rules, primary)
        return found.filter(pl.col("date").is_between(window.first, window.last))


def release_years(store: Store, track_ids: Collection[str]) -> Mapping[str, int]:
    """The years of release of tracks, by id: those of their albums, as far as the catalogue has them."""
    ids, found = sorted(track_ids), {}
    for at in range(0, len(ids), IDS_AT_ONCE):
        some = {"spotify_id": {"$in": ids[at : at + IDS_AT_ONCE]}}
        tracks = list(store.db["tracks"].find(some, {"_id": 0, "spotify_id": 1, "album": 1}))
        albums = {(track.get("album") or {}).get("spotify_id") for track in tracks} - {None, ""}
        dated = store.db["albums"].find({"spotify_id": {"$in": sorted(albums)}}, {"spotify_id": 1, "release_date": 1})
        dates = {album["spotify_id"]: album.get("release_date") for album in dated}
        for track in tracks:
            album = track.get("album") or {}
            year = _year(album.get("release_date")) or _year(dates.get(album.get("spotify_id")))
            if year:
                found[track["spotify_id"]] = year
    return found


def _year(release_date: object) -> int:
    """The year of a date as Spotify writes it (``1969``, ``1969-09``, ``1969-09-26``); 0 if it is none."""
    digits = str(release_date or "")[:YEAR_DIGITS]
    return int(digits) if len(digits) == YEAR_DIGITS and digits.isascii() and digits.isdigit() else 0


def _tracks_of(heard: ListeningFrames, window: DayWindow) -> list[str]:
    variants = heard.tracks.filter(pl.col("date").is_between(window.first, window.last))["variant"].unique()
    return heard.known["track_id"].gather(variants).unique().to_list()


def _period(user: User, played: pl.Series, year: int | None, month: date | None) -> Period:
    """The period that is asked for."""
    key = user.partition_key
    if played.is_empty():
        raise NotFoundError(
            f"There are no statistics of {key} yet. Sync the account with: echostats up; "
            f"or build them from the stored plays: echostats backfill --user {key}"
        )
    years = played.dt.year().unique().sort().to_list()
    period = Period(years[-1] if year is None else year) if month is None else Period(month.year, month.month)
    window = period.window
    if not played.is_between(window.first, window.last).any():
        of_year = played.filter(played.dt.year() == period.year).dt.strftime("%Y-%m").unique().sort().to_list()
        there = of_year or [str(each) for each in years]
        raise NotFoundError(f"{key} has no play that counts in {period.name}. There are plays of {listed(there)}.")
    return period
