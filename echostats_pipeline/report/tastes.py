"""Builds what a report says about artists over time, liked songs and playlists, and other users who agree."""

from collections.abc import Mapping, Sequence

from echostats_pipeline.model.statistics import TopItem
from echostats_pipeline.report.document import (
    LISTED,
    RANKED,
    ArtistRanks,
    Comparison,
    LikedNotice,
    PlaylistLine,
    PlaylistNotice,
    RankingEntry,
    ReportInput,
    SharedArtist,
    song_key,
)
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.report.rankings import build_entries

FEWEST_SPANS = 2
"""With fewer years or months, ranks by them say nothing that the lists do not say."""


def build_ranks(material: ReportInput) -> tuple[list[str], list[ArtistRanks]]:
    """Return the years in order, or the months of a year, and the ranks in them of the artists played most.

    Both are empty if there are too few years or months.

    Args:
        material: The stored data.
    """
    by_span: Mapping[str, Sequence[TopItem]] = material.months
    if material.year is None:
        by_span = {str(year): material.years[year] for year in sorted(material.years)}
    spans = [name for name, artists in by_span.items() if artists]
    if len(spans) < FEWEST_SPANS:
        return [], []
    ranks: Mapping[str, Mapping[str, int]] = {
        name: {_identity(artist): artist.rank for artist in by_span[name][:LISTED]} for name in spans
    }
    found = [
        ArtistRanks(artist.name or "Unnamed", artist.spotify_id, [ranks[name].get(_identity(artist)) for name in spans])
        for artist in material.statistics.top_artists[:RANKED]
    ]
    return spans, found


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
        liked.unplayed[:LISTED],
        max(len(liked.unplayed) - LISTED, 0),
    )


def build_playlists(material: ReportInput) -> PlaylistNotice | None:
    """Return the section about playlists; None without any, or for a year.

    Args:
        material: The stored data.
    """
    if not material.playlists or material.year is not None:
        return None
    plays = {context.uri: context.play_count for context in material.statistics.top_contexts}
    lines = [
        PlaylistLine(
            each.name or "Unnamed",
            each.spotify_id,
            each.songs,
            each.unplayed,
            plays.get(f"spotify:playlist:{each.spotify_id}", 0),
        )
        for each in material.playlists
    ]
    most = max(lines, key=lambda line: line.unplayed)
    told = "Every song of your playlists is among your known plays."
    if most.unplayed:
        told = (
            f"In {most.name}, {most.unplayed:,} of {plural(most.songs, 'song')} "
            f"{'is' if most.unplayed == 1 else 'are'} not among your known plays: more than in any other playlist."
            if len(lines) > 1
            else f"In {most.name}, {most.unplayed:,} of {plural(most.songs, 'song')} "
            f"{'is' if most.unplayed == 1 else 'are'} not among your known plays."
        )
    return PlaylistNotice(told, lines)


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
    return build_entries(tops[:LISTED], material.credits, "play_count")


def _identity(artist: TopItem) -> str:
    return artist.spotify_id or artist.name


def _is_liked(material: ReportInput, track: TopItem) -> bool:
    liked = material.liked
    by = material.credits.get(track.spotify_id, "").split(", ")[0]
    return liked is not None and (track.spotify_id in liked.songs or song_key(track.name, by) in liked.songs)
