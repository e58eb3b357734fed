"""Builds what a report says about artists over the years, about liked songs, and about other users who agree."""

from collections.abc import Mapping, Sequence

from echostats_pipeline.model.statistics import TopItem
from echostats_pipeline.report.document import (
    LISTED,
    RANKED,
    ArtistRanks,
    Comparison,
    LikedNotice,
    RankingEntry,
    ReportInput,
    SharedArtist,
    song_key,
)
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.report.rankings import build_entries

FEWEST_YEARS = 2
"""With fewer years, ranks by year say nothing that the lists do not say."""


def build_ranks(material: ReportInput) -> tuple[list[int], list[ArtistRanks]]:
    """Return the years in order, and the ranks in them of the artists played most; empty if there are too few years.

    Args:
        material: The stored data.
    """
    years = sorted(year for year, artists in material.years.items() if artists)
    if material.year is not None or len(years) < FEWEST_YEARS:
        return [], []
    ranks: Mapping[int, Mapping[str, int]] = {
        year: {_identity(artist): artist.rank for artist in material.years[year][:LISTED]} for year in years
    }
    found = [
        ArtistRanks(artist.name or "Unnamed", artist.spotify_id, [ranks[year].get(_identity(artist)) for year in years])
        for artist in material.statistics.top_artists[:RANKED]
    ]
    return years, found


def build_liked(material: ReportInput) -> LikedNotice | None:
    """Return the section about liked songs; None if they are not known, or for a year.

    Args:
        material: The stored data.
    """
    liked = material.liked
    if liked is None or not liked.count or material.year is not None:
        return None
    tops = [each for each in material.statistics.top_tracks if not _is_liked(material, each)]
    heard = liked.count - len(liked.unplayed)
    return LikedNotice(
        f"Of {plural(liked.count, 'liked song')}, {heard:,} {'is' if heard == 1 else 'are'} among your known plays.",
        not_liked(material, tops),
        liked.unplayed[:RANKED],
        max(len(liked.unplayed) - RANKED, 0),
    )


def build_comparisons(material: ReportInput) -> list[Comparison]:
    """Return the user beside each other user who agrees; empty for a year.

    Args:
        material: The stored data.
    """
    mine = material.statistics.top_artists
    if material.year is not None or not mine:
        return []
    return [_compared(mine, name, theirs) for name, theirs in sorted(material.others.items()) if theirs]


def _compared(mine: Sequence[TopItem], name: str, theirs: Sequence[TopItem]) -> Comparison:
    ranks = {_identity(artist): artist.rank for artist in theirs}
    shared = [
        SharedArtist(artist.name or "Unnamed", artist.spotify_id, artist.rank, ranks[_identity(artist)])
        for artist in mine
        if _identity(artist) in ranks
    ]
    shared.sort(key=lambda artist: (artist.rank + artist.other_rank, artist.rank))
    told = f"Of your {plural(len(mine), 'artist')} played most, {len(shared):,} {'is' if len(shared) == 1 else 'are'} "
    told += f"among the {len(theirs):,} of {name}. Number one of {name} is {theirs[0].name or 'Unnamed'}."
    return Comparison(name, told, shared[:RANKED])


def not_liked(material: ReportInput, tops: list[TopItem]) -> list[RankingEntry]:
    """Return the first songs of a ranking as lines, with the ranks that they have in it."""
    return build_entries(tops[:RANKED], material.credits, "play_count")


def _identity(artist: TopItem) -> str:
    return artist.spotify_id or artist.name


def _is_liked(material: ReportInput, track: TopItem) -> bool:
    liked = material.liked
    by = material.credits.get(track.spotify_id, "").split(", ")[0]
    return liked is not None and (track.spotify_id in liked.songs or song_key(track.name, by) in liked.songs)
