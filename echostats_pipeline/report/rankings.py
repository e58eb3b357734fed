"""Builds the rankings of a report: what was played most, by plays and by time."""

from collections.abc import Mapping, Sequence

from echostats_pipeline.model.statistics import PeriodStatistics, TopAlbum, TopContext, TopItem
from echostats_pipeline.report.document import LISTED, CreditedSource, RankingEntry, RankingList, ReportInput
from echostats_pipeline.report.formatting import duration, plural

LITTLE = 0.2
"""Least share of plays with known genres or audio features: for less, a ranking or a mean would be misleading."""
GENRE_CREDITS = {
    "musicbrainz": CreditedSource("MusicBrainz", "https://musicbrainz.org", "CC BY-NC-SA 3.0"),
    "lastfm": CreditedSource("Last.fm", "https://www.last.fm", ""),
}
"""Sources of genres whose owners ask for credit and a link."""
CREDITED = (
    "Every artist on a track gets its plays and its full time, guests too. "
    "In the list of artists only the first one does."
)


def build_rankings(material: ReportInput, *, outdated: bool) -> list[RankingList]:
    """Build the lists of artists, tracks, albums, genres and contexts; those without data are left out.

    Args:
        material: The stored data.
        outdated: Whether an earlier version built the statistics.
    """
    statistics, makers = material.statistics, material.credits
    found: list[RankingList] = []
    for kind in ("artists", "tracks", "albums", "genres"):
        by_plays: list[TopItem] = getattr(statistics, f"top_{kind}")
        by_time: list[TopItem] = getattr(statistics, f"top_{kind}_by_time")
        by = makers if kind in ("tracks", "albums") else {}
        note = ""
        if kind == "genres" and "genres_coverage" in statistics.model_fields_set and not outdated:
            note = coverage(material, "genres")
            if statistics.genres_coverage < LITTLE:
                by_plays = by_time = []
        if by_plays or by_time or note:
            sources = [GENRE_CREDITS[each] for each in material.genre_sources if each in GENRE_CREDITS]
            lists = build_entries(by_plays, by, "play_count"), build_entries(by_time, by, "total_ms")
            found.append(RankingList(kind, *lists, note, sources=sources if kind == "genres" and by_plays else ()))
        if kind == "artists" and statistics.top_artists_credited:
            found.append(_credited(statistics))
    if statistics.top_contexts:
        found.append(_contexts(statistics))
    return found


def _credited(statistics: PeriodStatistics) -> RankingList:
    by_plays, by_time = statistics.top_artists_credited, statistics.top_artists_credited_by_time
    return RankingList(
        "artists",
        build_entries(by_plays, {}, "play_count"),
        build_entries(by_time, {}, "total_ms"),
        CREDITED,
        title="All credited artists",
    )


def _contexts(statistics: PeriodStatistics) -> RankingList:
    plays = statistics.total_tracks_played
    known = f"{round(statistics.contexts_coverage * plays):,} of {plural(plays, 'play')}"
    by_plays, by_time = statistics.top_contexts, statistics.top_contexts_by_time
    kinds = {each.uri: each.type for each in (*by_plays, *by_time) if each.name and each.type != "collection"}
    return RankingList(
        "contexts",
        build_entries([_as_item(each) for each in by_plays], kinds, "play_count"),
        build_entries([_as_item(each) for each in by_time], kinds, "total_ms"),
        f"Playlists, albums and artists from which you started. Known for {known}, because exports do not say it.",
        title="Played from",
    )


def _as_item(context: TopContext) -> TopItem:
    """Return the context as an item; if it has no name, it is shown by its type and id."""
    name = context.name or f"{context.type} {context.uri.split(':')[-1]}".strip()
    return TopItem(
        spotify_id=context.uri,
        name=name,
        play_count=context.play_count,
        total_ms=context.total_ms,
        image_url="",
        rank=context.rank,
    )


def build_entries(items: Sequence[TopItem], makers: Mapping[str, str], measure: str) -> list[RankingEntry]:
    """Return the lines of a ranking.

    Args:
        items: What was played, in order.
        makers: Artists of tracks and albums by Spotify id.
        measure: The field of an item to which the lines are relative.
    """
    shown = items[:LISTED]
    most = max((getattr(item, measure) for item in shown), default=0)
    return [
        RankingEntry(
            rank=rank,
            name=item.name or "Unnamed",
            by=makers.get(item.spotify_id, ""),
            plays=plural(item.play_count, "play"),
            time=duration(item.total_ms),
            share=getattr(item, measure) / most if most > 0 else 0.0,
            spotify_id=item.spotify_id,
            image_url=item.image_url,
            more=_full_listens(item),
        )
        for rank, item in enumerate(shown, start=1)
    ]


def _full_listens(item: TopItem) -> str:
    times = item.full_listens if isinstance(item, TopAlbum) else None
    return f"heard in full {plural(times, 'time')}" if times else ""


def coverage(material: ReportInput, kind: str) -> str:
    """Say for how many plays genres or audio features are known; if they are few, also when more will be known."""
    plays = material.statistics.total_tracks_played
    share: float = getattr(material.statistics, f"{kind}_coverage")
    known = f"{round(share * plays):,} of {plural(plays, 'play')}"
    if share >= LITTLE:
        return f"Known for {known}."
    left = material.filling.get(kind, "")
    return f"The catalogue is filling: {kind.replace('_', ' ')} are known for {known}{left and f', {left}'}."
