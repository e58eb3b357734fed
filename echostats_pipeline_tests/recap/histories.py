"""Histories for tests of recaps, and the input that the database would give for them."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from echostats_pipeline.model.rules import Rule
from echostats_pipeline.recap.document import RecapInput
from echostats_pipeline.recap.spans import Period, until_today
from echostats_pipeline.transforms.coverage import Stretch
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.statistics.rule_effects import judged
from echostats_pipeline_tests.report import samples
from echostats_pipeline_tests.transforms.listening_factories import (
    daily_rollups,
    listened,
    plays_frame,
    primary_artists,
)
from echostats_pipeline_tests.transforms.oracle import Catalogue, Known, KnownTrack, OraclePlay

NOW = datetime(2026, 11, 29, 20, 0, tzinfo=UTC)
ZONE = "Europe/Berlin"
LONG = "The Extraordinarily Long-Winded Orchestra of Everything That Ever Happened, Live"
"""A name of 80 characters."""
ARTISTS = (
    "Velno Kastar", "The Orchard", "Сольдра", "Mr. Osbo", "$ilvalane", "夜ノ森オルカ", "Nuitée", LONG, "مارسول",
    "<b>Fenmarbri</b> & Co", "Julo 🎧", "Satellite of Qui",
)  # fmt: skip
TRACKS_AN_ARTIST = 3
RELEASED = {f"{'t' * 20}{number:02}": 1969 + number for number in range(0, 36, 2)}
"""Of every second track the year of release is known."""


def catalogue() -> Catalogue:
    """Three tracks of each artist, on one album."""
    tracks, artists, albums = {}, {}, {}
    for number, name in enumerate(ARTISTS):
        artist, album = f"{'a' * 20}{number:02}", f"{'b' * 20}{number:02}"
        artists[artist] = Known(name, f"https://i.scdn.co/image/a{number}")
        albums[album] = Known(f"Album of {name}", f"https://i.scdn.co/image/b{number}")
        for place in range(TRACKS_AN_ARTIST):
            track = number * TRACKS_AN_ARTIST + place
            tracks[f"{'t' * 20}{track:02}"] = KnownTrack(
                name=f"{LONG[:70]} {track:02}" if number == 7 else f"Song {track:02}",
                artist_id=artist,
                artist_name=name,
                album_id=album,
                album_name=f"Album of {name}",
                image_url=f"https://i.scdn.co/image/b{number}",
                duration_ms=200_000 + 5_000 * track,
                isrc=f"DEX0123{track:05}",
            )
    return Catalogue(tracks=tracks, artists=artists, albums=albums)


def play(at: datetime, track: int, ms: int | None = 200_000, **more: Any) -> OraclePlay:
    """A play of a track of `catalogue`."""
    artist = ARTISTS[track // TRACKS_AN_ARTIST]
    return OraclePlay(
        at, f"{'t' * 20}{track:02}", f"Song {track:02}", artist, f"Album of {artist}", 210_000, ms_played=ms, **more
    )


def heard_on(
    days: Sequence[date], *, seed: int = 5, tracks: Callable[[date], Sequence[int]] | None = None
) -> list[OraclePlay]:
    """A few plays on each of some days at any hour; some are short, some of unknown length, some tracks rare."""
    dice, found = random.Random(seed), []
    for day in days:
        at = datetime(day.year, day.month, day.day, dice.randrange(24), tzinfo=UTC)
        among = tracks(day) if tracks else range(len(ARTISTS) * TRACKS_AN_ARTIST)
        for _ in range(dice.randrange(1, 9)):
            at += timedelta(seconds=dice.randrange(30, 900))
            number = min(dice.choice(among), dice.choice(among))
            found.append(play(at, number, dice.choice((12_000, 31_000, 200_000, None))))
    return found


def days_of(first: date, last: date, *, every: float = 0.8, seed: int = 9) -> list[date]:
    """Most dates of a window."""
    dice = random.Random(seed)
    return [day for day in DayWindow(first, last).dates() if dice.random() < every]


def given(
    plays: Sequence[OraclePlay],
    period: Period,
    *,
    now: datetime = NOW,
    covered: Sequence[tuple[datetime, datetime]] = (),
    rules: Sequence[Rule] = (),
    **changes: Any,
) -> RecapInput:
    """What the database would give for these plays."""
    known = catalogue()
    documents = daily_rollups(plays, ZONE, known, rules=rules)
    heard = listened(plays, documents, known, rules)
    every = judged(plays_frame(plays), ZONE, 30_000, rules, primary_artists(known))
    window = until_today(period, now.date())
    first = heard.days.filter(pl.col("plays") > 0)["date"].min()
    return RecapInput(
        user=samples.user(timezone=ZONE, display_name=changes.pop("name", "Ann"), last_synced_at=now),
        period=period,
        now=now,
        heard=heard,
        plays=every.filter(pl.col("date").is_between(window.first, window.last)),
        first_plays=every.filter(pl.col("date") == first),
        covered=[Stretch(*span) for span in covered],
        release_years=RELEASED,
        **changes,
    )


def years_with_holes() -> tuple[list[OraclePlay], list[tuple[datetime, datetime]]]:
    """Fourteen years with two holes: three months of 2019, and February to April of 2026."""
    holes = ((date(2019, 5, 1), date(2019, 8, 1)), (date(2026, 2, 1), date(2026, 5, 1)))
    days = [
        day
        for day in days_of(date(2012, 3, 4), date(2026, 11, 29), every=0.6)
        if not any(first <= day < last for first, last in holes)
    ]
    ends = [datetime(2012, 3, 4, tzinfo=UTC), *(_noon(day) for hole in holes for day in hole), NOW]
    return heard_on(days, tracks=_fashion), list(zip(ends[::2], ends[1::2], strict=True))


def _fashion(day: date) -> Sequence[int]:
    """Tracks come and go with the years."""
    first = (day.year - 2012) * 2
    return range(first, min(first + 10, len(ARTISTS) * TRACKS_AN_ARTIST))


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
