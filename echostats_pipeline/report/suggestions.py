"""Shows recommended songs in the report, and what was played of past lists."""

from collections.abc import Mapping, Sequence

from echostats_pipeline.model.recommendations import RecommendationList, RecommendationWeek, Task
from echostats_pipeline.report.document import RANKED, RecommendedSong, SongList
from echostats_pipeline.report.formatting import plural

LISTS: Mapping[Task, str] = {"discover": "New to you", "rediscover": "Not heard for half a year"}


def song_list(made: RecommendationList) -> SongList:
    """Return the first songs of a list, with what ordered it."""
    songs = [
        RecommendedSong(track.name, track.artist_name, track.reason, track.spotify_id, track.image_url)
        for track in made.tracks[:RANKED]
    ]
    return SongList(LISTS[made.task], songs, made.why)


def hits_in_words(weeks: Sequence[RecommendationWeek]) -> str:
    """Return how much of past lists was played, and of lists that were not shown; empty before the first week ends."""
    if not weeks:
        return ""
    shown, hidden = sum(len(week.shown_ids) for week in weeks), sum(len(week.control_ids) for week in weeks)
    hits, others = sum(week.hits or 0 for week in weeks), sum(week.control_hits or 0 for week in weeks)
    return (
        f"Of {plural(shown, 'song')} listed in past weeks, {hits:,} were played within 7 days; of {hidden:,} on lists "
        f"that were not shown, {others:,}."
    )
