"""Finds the moments of a recap: first plays, round numbers, newcomers, who was left behind, hours, decades."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count
from typing import Any, cast

import polars as pl

from echostats_pipeline.recap.document import Decade, Hours, Item, Kind, LeftBehind, Moment
from echostats_pipeline.recap.names import Names
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.statistics.listening import ListeningFrames
from echostats_pipeline.transforms.statistics.period_statistics import Listening
from echostats_pipeline.transforms.statistics.ranking import top_items

MOST_MILESTONES = 4
"""The largest round numbers that are listed."""
MOST_LEFT_BEHIND, LEAST_PLAYS = 6, 3
"""Most artists that are listed as left behind, and the plays of the period before that one of them has at least."""
TEN = 10
HOURS = (("morning", "from 5:00 to 11:00", range(5, 11)), ("night", "from 22:00 to 4:00", (22, 23, 0, 1, 2, 3)))
"""Parts of the day: name, span in words, and the local hours in which the plays end."""
COUNTED = pl.col("counted") & pl.col("rule_ids").is_null()
"""Of plays as `rule_effects.judged` returns them, those that count and that no rule leaves out."""


def tops_of(kind: str, documents: Sequence[Mapping[str, Any]], names: Names) -> list[Item]:
    """Documents of `model.statistics.TopItem` as items."""
    return [
        Item(
            kind=cast("Kind", kind),
            name=each["name"] or "",
            by=names.artist_of(kind, each["spotify_id"]),
            spotify_id=each["spotify_id"] or "",
            image_url=each["image_url"] or "",
            plays=each["play_count"],
            ms=each["total_ms"],
        )
        for each in documents
    ]


def newcomers(heard: ListeningFrames, window: DayWindow, names: Names) -> tuple[Item | None, Item | None]:
    """The artist and the track with most plays in the window among those first heard in it."""
    listening = Listening(heard, [window])
    found: list[Item | None] = []
    for key, kind in (("artist", "artists"), ("track", "tracks")):
        new = listening.firsts[key].filter(pl.col("date").is_between(window.first, window.last))
        played = listening.grouped(key).join(new.select(key), on=key, how="semi")
        shown = heard.shown if key == "track" else (lambda _: heard.artists)
        by_plays, _ = top_items(played, shown)
        found.append(next(iter(tops_of(kind, by_plays.get(0, [])[:1], names)), None))
    artist, track = found
    return artist, track


def first_play(plays: pl.DataFrame, names: Names) -> Moment | None:
    """The first counted play of a day; None without any."""
    counted = plays.filter(COUNTED)
    return None if counted.is_empty() else _moment(1, counted.row(0, named=True), names)


def milestones(heard: ListeningFrames, plays: pl.DataFrame, window: DayWindow, names: Names) -> list[Moment]:
    """The plays of the window that are a round number of all counted plays since the first known one, in order."""
    before = int(heard.days.filter(pl.col("date") < window.first)["plays"].sum())
    counted = plays.filter(COUNTED, pl.col("date").is_between(window.first, window.last))
    reached = [number for number in _round_numbers(before + counted.height) if number > before]
    return [
        _moment(number, counted.row(number - before - 1, named=True), names) for number in reached[-MOST_MILESTONES:]
    ]


def _round_numbers(most: int) -> Iterator[int]:
    """100, 1,000, 5,000, then every ten thousand."""
    for number in chain((100, 1_000, 5_000), count(10_000, 10_000)):
        if number > most:
            return
        yield number


def _moment(number: int, play: Mapping[str, Any], names: Names) -> Moment:
    track = names.track(play["track_id"])
    if not track.name:
        track = Item("tracks", play["track_name"] or "", play["artist_name"] or "", play["track_id"], "", 1, 0)
    return Moment(number, play["date"], track)


def morning_and_night(plays: pl.DataFrame, window: DayWindow, names: Names) -> list[Hours]:
    """For each of `HOURS` the counted plays that ended in it, and the artist with most of them."""
    within = plays.filter(COUNTED, pl.col("date").is_between(window.first, window.last)).join(
        names.ids.select("track_id", "artist"), on="track_id", how="left"
    )
    found = []
    for name, span, hours in HOURS:
        heard = within.filter(pl.col("hour").is_in(list(hours)))
        by_artist = heard.drop_nulls("artist").group_by("artist").len("plays")
        ranked = by_artist.join(names.heard.artists, on="artist", how="left").sort(
            "plays", "name", "spotify_id", descending=[True, False, False]
        )
        for best in ranked.head(1).iter_rows(named=True):
            artist = Item(
                "artists", best["name"] or "", "", best["spotify_id"] or "", best["image_url"] or "", best["plays"], 0
            )
            found.append(Hours(name, span, heard.height, artist))
    return found


def decades(heard: ListeningFrames, window: DayWindow, release_years: Mapping[str, int]) -> tuple[list[Decade], float]:
    """Counted plays by decade of release, and the share of plays whose year is known.

    Args:
        heard: All that the user has heard.
        window: The dates that are counted.
        release_years: By id of a track.
    """
    by_variant = (
        heard.tracks.filter(pl.col("date").is_between(window.first, window.last), pl.col("plays") > 0)
        .group_by("variant")
        .agg(pl.col("plays").sum())
    )
    ids = heard.known["track_id"].gather(by_variant["variant"])
    sums: dict[int, int] = {}
    for track_id, plays in zip(ids, by_variant["plays"], strict=True):
        year = release_years.get(track_id)
        if year is not None:
            sums[year // TEN * TEN] = sums.get(year // TEN * TEN, 0) + plays
    known, every = sum(sums.values()), int(by_variant["plays"].sum())
    found = [Decade(first, plays, plays / known) for first, plays in sorted(sums.items())]
    return found, known / every if every else 0.0


def left_behind(heard: ListeningFrames, before: DayWindow, window: DayWindow) -> list[LeftBehind]:
    """Artists with at least `LEAST_PLAYS` in the dates before and without any in the window; most plays first."""
    listening = Listening(heard, [before, window])
    artists = listening.grouped("artist").filter(pl.col("plays") > 0)
    gone = artists.filter(pl.col("span") == 0, pl.col("plays") >= LEAST_PLAYS).join(
        artists.filter(pl.col("span") == 1), on="artist", how="anti"
    )
    shown = gone.join(heard.artists, on="artist", how="left").sort(
        "plays", "ms", "name", "spotify_id", descending=[True, True, False, False]
    )
    ended = listening.of_variants(heard.tracks.filter(pl.col("plays") > 0, pl.col("date") < window.first), "artist")
    last = dict(ended.group_by("artist").agg(pl.col("date").max()).iter_rows())
    return [
        LeftBehind(
            Item(
                "artists", each["name"] or "", "", each["spotify_id"] or "", each["image_url"] or "", each["plays"],
                each["ms"],
            ),
            last[each["artist"]],
        )
        for each in shown.head(MOST_LEFT_BEHIND).iter_rows(named=True)
    ]  # fmt: skip
