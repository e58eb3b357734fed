"""Builds the content of a report from stored documents: words and numbers about a year or all time.

Here: which figures are shown, and the text for figures that are not known. Not here: layout (`report.page`), reads from
the database (`report.reads`). Values that a document already holds are not computed again.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.statistics import (
    Comeback,
    DayTotal,
    MonthTotal,
    PeriodStatistics,
    YearlyReview,
)
from echostats_pipeline.report.calendar import build_calendar, build_week, days_of_gaps
from echostats_pipeline.report.document import (
    Figure,
    Month,
    Quality,
    Report,
    ReportInput,
    ReturnedArtist,
    Sound,
)
from echostats_pipeline.report.formatting import (
    WEEKDAYS,
    calendar_date,
    change,
    days_and_nights,
    duration,
    hours,
    percent,
    plural,
    span,
)
from echostats_pipeline.report.gaps import gap_notice
from echostats_pipeline.report.rankings import LITTLE, build_rankings, coverage
from echostats_pipeline.report.suggestions import hits_in_words, song_list
from echostats_pipeline.report.tastes import build_comparisons, build_liked, build_playlists, build_ranks
from echostats_pipeline.transforms.coverage import unknown_days
from echostats_pipeline.transforms.days import DayWindow, local_date
from echostats_pipeline.transforms.rule_texts import left_out_text

COMEBACKS = 5
"""Most artists in the list of comebacks."""
SOUND = {
    "danceability": "Danceable",
    "energy": "Energetic",
    "valence": "Cheerful",
    "acousticness": "Acoustic",
    "instrumentalness": "Instrumental",
    "liveness": "Live",
    "speechiness": "Spoken",
}
"""The names in the report of the audio features that are between 0 and 1."""


def build_report(material: ReportInput) -> Report:
    """Build the content of the page.

    Args:
        material: The stored data.
    """
    user, statistics = material.user, material.statistics
    zone = ZoneInfo(user.timezone)
    today = local_date(material.now, zone)
    known = known_days(material)
    shown = _shown(material.year, known, today)
    unknown = unknown_days(material.covered, today, zone)
    open_gaps = [gap for gap in material.gaps if gap.closed_by is None and _touches(gap, shown, zone)]
    name = user.display_name or user.partition_key
    ranked_spans, ranks = build_ranks(material)
    outdated = bool(statistics.total_tracks_played) and "months" not in statistics.model_fields_set
    return Report(
        listener=name,
        partition_key=user.partition_key,
        title=str(material.year) if material.year else "All time",
        year=material.year,
        span=span(shown.first, shown.last),
        zone=user.timezone,
        made_on=calendar_date(today),
        is_empty=not statistics.total_tracks_played and not statistics.total_ms_played,
        hours=hours(statistics.total_ms_played),
        told=_time_in_other_words(material, outdated=outdated),
        figures=_figures(material, known, today),
        rankings=build_rankings(material, outdated=outdated),
        calendar=build_calendar(
            material.days,
            shown=shown,
            known=known,
            gaps=days_of_gaps(open_gaps, shown, zone),
            unknown=unknown.touched,
        ),
        week=build_week(statistics.weekday_hours) if statistics.weekday_hours else [],
        habits=_habits(statistics),
        months=_months(statistics.months, unknown.whole, shown, known),
        discovery=[] if outdated else _discovery(statistics),
        variety=_variety(statistics, known, shown),
        streaks=_streaks(material, outdated=outdated),
        replayed=_replayed(statistics),
        comebacks=[_returned(each) for each in statistics.comebacks[:COMEBACKS]],
        sound=_sound(statistics),
        recommended=[song_list(each) for each in material.lists if each.tracks],
        hits=hits_in_words(material.weeks),
        ranked_spans=ranked_spans,
        ranks=ranks,
        liked=build_liked(material),
        playlists=build_playlists(material),
        comparisons=build_comparisons(material),
        import_hint=_import_hint(material, known, shown),
        gaps=gap_notice(open_gaps, zone, user.partition_key),
        unknown=_unknown(material, known, shown, today, outdated=outdated),
        links=not user.simulated,
        avatar_url=user.image_url,
    )


def known_days(material: ReportInput) -> DayWindow | None:
    """Return the days from the first one with data to the last sync or the last one with data; None without data."""
    if not material.days:
        return None
    first, last = (date.fromisoformat(day.date) for day in (material.days[0], material.days[-1]))
    synced = material.user.last_synced_at
    looked = last if synced is None else local_date(synced, ZoneInfo(material.user.timezone))
    return DayWindow(first, max(last, looked))


def _shown(year: int | None, known: DayWindow | None, today: date) -> DayWindow:
    if year is not None:
        return DayWindow(date(year, 1, 1), max(min(date(year, 12, 31), today), date(year, 1, 1)))
    first = known.first if known else today
    return DayWindow(min(first, today), today)


def _touches(gap: ListeningGap, shown: DayWindow, zone: ZoneInfo) -> bool:
    return local_date(gap.to, zone) >= shown.first and local_date(gap.from_, zone) <= shown.last


def _time_in_other_words(material: ReportInput, *, outdated: bool) -> list[str]:
    """Return sentences about the listening time: days without a pause, mean per day, longest day."""
    statistics = material.statistics
    lines = [f"That is {days_and_nights(statistics.total_ms_played)} without a pause"]
    if not outdated and statistics.active_days:
        mean = duration(statistics.total_ms_played // statistics.active_days)
        lines[0] += f", {mean} on each of {plural(statistics.active_days, 'day')} with music"
    lines[0] += "."
    busiest = statistics.busiest_day if isinstance(statistics, YearlyReview) else None
    if busiest is not None:
        day = date.fromisoformat(busiest.date)
        lines.append(
            f"The longest day was {WEEKDAYS[day.weekday()]}, {calendar_date(day)}: "
            f"{duration(busiest.total_ms)}, {plural(busiest.count, 'play')}."
        )
    return lines


def _figures(material: ReportInput, known: DayWindow | None, today: date) -> list[Figure]:
    now, before = material.statistics, material.before
    counts = {
        "plays": (now.total_tracks_played, before and before.total_tracks_played),
        "songs": (now.unique_tracks, before and before.unique_tracks),
        "artists": (now.unique_artists, before and before.unique_artists),
        "albums": (now.unique_albums, before and before.unique_albums),
        "genres": (now.unique_genres, before and before.unique_genres),
    }
    if "genres_coverage" in now.model_fields_set and now.genres_coverage < LITTLE:
        del counts["genres"]
    if "active_days" in now.model_fields_set:
        counts["days with music"] = (now.active_days, before and before.active_days)
    earlier = _previous_year(material, known, today)
    time = change(earlier.ms, earlier.before_ms, less="less", same="as much as") if earlier else ""
    figures = [Figure("hours", hours(now.total_ms_played), f"{time} {earlier.name}" if earlier and time else "")]
    for name, (count, count_before) in counts.items():
        compared = ""
        if earlier is not None and name == "plays":
            compared = change(earlier.plays, earlier.before_plays)
        elif earlier is not None and earlier.whole:
            compared = change(count, count_before or 0)
        figures.append(Figure(name, f"{count:,}", f"{compared} {earlier.name}" if earlier and compared else ""))
    return figures


@dataclass(frozen=True)
class _PreviousYear:
    """The year of the report beside the year before, both whole or, while it goes on, both up to yesterday."""

    name: str
    plays: int
    ms: int
    before_plays: int
    before_ms: int
    whole: bool


def _previous_year(material: ReportInput, known: DayWindow | None, today: date) -> _PreviousYear | None:
    """Return the years to compare; None if there is no year before, or if not all of it is known."""
    year, now = material.year, material.statistics
    if year is None or known is None or known.first > date(year - 1, 1, 1):
        return None
    if year == today.year:
        last = today - timedelta(days=1)  # today is not over
        if last.year < year:
            return None
        then, until = (_until(material.days, each, last) for each in (year - 1, year))
        name = f"{year - 1} until {last.day} {last:%B}"
        return _PreviousYear(name, until.count, until.total_ms, then.count, then.total_ms, whole=False)
    before = material.before
    if before is None:
        return None
    return _PreviousYear(
        str(year - 1),
        now.total_tracks_played,
        now.total_ms_played,
        before.total_tracks_played,
        before.total_ms_played,
        whole=True,
    )


def _until(days: Iterable[DayTotal], year: int, last: date) -> DayTotal:
    """Return a year's plays and time up to a day of the calendar."""
    end = f"{year}-{last:%m-%d}"
    within = [day for day in days if f"{year}-01-01" <= day.date <= end]
    return DayTotal(date=end, count=sum(day.count for day in within), total_ms=sum(day.total_ms for day in within))


def _months(
    months: Iterable[MonthTotal], unknown: Collection[date], shown: DayWindow, known: DayWindow | None
) -> list[Month]:
    """Return every calendar month from the first to the last one with plays, including months without plays."""
    by_month = {month.month: month for month in months}
    if not by_month:
        return []
    last = max(*by_month, f"{min(known.last, shown.last):%Y-%m}" if known else "")
    found, first = [], date.fromisoformat(f"{min(by_month)}-01")
    while f"{first:%Y-%m}" <= last:
        following = (first + timedelta(days=31)).replace(day=1)
        month = by_month.get(f"{first:%Y-%m}")
        if month is not None:
            found.append(Month(first, month.count, month.total_ms, month.new_tracks, month.new_artists))
        else:
            dates = DayWindow(first, following - timedelta(days=1)).dates()
            found.append(Month(first, 0, 0, 0, 0, known=not any(day in unknown for day in dates)))
        first = following
    return found


def _habits(statistics: PeriodStatistics) -> str:
    """Say which weekday and which hour have the most listening time."""
    days = max(statistics.daily_distribution, key=lambda each: (each.total_ms, -each.day), default=None)
    clock = max(statistics.hourly_distribution, key=lambda each: (each.total_ms, -each.hour), default=None)
    if days is None or clock is None or not days.total_ms:
        return ""
    return f"Most of it on {WEEKDAYS[days.day]}s, and around {clock.hour:02}:00."


def _discovery(statistics: PeriodStatistics) -> list[Figure]:
    again = statistics.repeat_ratio
    return [
        Figure("new songs", f"{statistics.new_tracks:,}", "never played before"),
        Figure("new artists", f"{statistics.new_artists:,}", "never played before"),
        Figure("heard before", "unknown" if again is None else percent(again), "of plays were of songs played before"),
    ]


def _variety(statistics: PeriodStatistics, known: DayWindow | None, shown: DayWindow) -> list[str]:
    lines = []
    if statistics.effective_artists is not None:
        equal = max(round(statistics.effective_artists), 1)
        lines.append(
            f"You played {plural(statistics.unique_artists, 'artist')}. Your plays are spread as evenly as if there "
            f"were {equal:,} with equally many plays."
        )
    if statistics.months and known is not None and shown.first <= known.first:
        lines.append("Where a history begins, everything is new.")
    return lines


def _streaks(material: ReportInput, *, outdated: bool) -> list[Figure]:
    statistics, year = material.statistics, material.year
    ended = year is not None and isinstance(statistics, YearlyReview)
    now = "until the last day of the year" if ended else "until now"
    figures = [
        Figure(
            "longest streak",
            _at_least(statistics.longest_streak_days, at_least=statistics.longest_streak_at_least),
            "with music, one after the other",
        ),
        Figure(
            "streak", _at_least(statistics.listening_streak_days, at_least=statistics.listening_streak_at_least), now
        ),
    ]
    if outdated:
        return figures
    sessions = statistics.sessions
    skipped = statistics.skip_rate
    return [
        *figures,
        Figure("sessions", f"{sessions.count:,}", "without half an hour of silence"),
        Figure("mean session", duration(sessions.mean_ms), f"on average; the longest {duration(sessions.longest_ms)}"),
        Figure("skipped", "unknown", "only exports say whether a play was left early")
        if skipped is None
        else Figure("skipped", percent(skipped), "of the plays for which this is known"),
    ]


def _at_least(days: int, *, at_least: bool) -> str:
    return f"{'at least ' if at_least else ''}{plural(days, 'day')}"


def _replayed(statistics: PeriodStatistics) -> str:
    most = statistics.most_replayed
    if most is None:
        return ""
    by = f" by {most.artist_name}" if most.artist_name else ""
    when = calendar_date(date.fromisoformat(most.date))
    return f"{most.name or 'A track without a name'}{by}: {plural(most.count, 'time')} in a row, on {when}."


def _returned(each: Comeback) -> ReturnedArtist:
    back = calendar_date(date.fromisoformat(each.returned_on))
    text = f"{plural(each.away_days, 'day')} away, back on {back}, {plural(each.play_count, 'play')} since"
    return ReturnedArtist(each.name or "Unnamed", text, each.spotify_id, each.image_url)


def _sound(statistics: PeriodStatistics) -> Sound | None:
    means = statistics.avg_audio_features
    if means is None or statistics.audio_features_coverage < LITTLE:
        return None
    qualities = [Quality(name, min(max(getattr(means, field), 0.0), 1.0)) for field, name in SOUND.items()]
    return Sound(qualities, f"{means.tempo:.0f}", percent(statistics.audio_features_coverage))


def _import_hint(material: ReportInput, known: DayWindow | None, shown: DayWindow) -> str:
    """Say to a user who has imported nothing what an import would add; empty for all others."""
    if material.has_imports or known is None or known.first < shown.first:
        return ""
    return (
        f"This report begins on {calendar_date(known.first)}. Spotify only tells the last 50 plays, and these are "
        "kept from then on. Your earlier plays are in your extended streaming history: ask for it at "
        "spotify.com/account/privacy. It comes by e-mail after some days. Then import the file:"
    )


def _unknown(
    material: ReportInput, known: DayWindow | None, shown: DayWindow, today: date, *, outdated: bool
) -> list[str]:
    """Return sentences about data that is missing in the figures; gaps have their own text."""
    lines = []
    key = material.user.partition_key
    if outdated:
        lines.append(
            "These statistics were built by an earlier version: sessions, discovery and more are not in them yet. "
            f"Build them with: echostats backfill --user {key}"
        )
    if known is not None and shown.first < known.first <= shown.last and material.has_imports:
        lines.append(
            f"Nothing is known of the days before {calendar_date(known.first)}. "
            "If you listened before, import an export of your streaming history."
        )
    if known is not None and known.last < min(shown.last, today):
        lines.append(f"The last sync was on {calendar_date(known.last)}: plays after it are not included.")
    if material.statistics.avg_audio_features is None:
        lines.append("The sound of the music is not known yet: no track here has audio features.")
    elif material.statistics.audio_features_coverage < LITTLE:
        lines.append(coverage(material, "audio_features"))
    if left_out := left_out_text(material.statistics.excluded_plays, len(material.statistics.excluded_by)):
        lines.append(f"{left_out}. To see the rules: echostats rules list --user {key}")
    if material.short_plays:
        seconds = f"{material.min_play_ms / 1000:g} s"
        lines.append(f"{plural(material.short_plays, 'play')} under {seconds} are kept and not counted.")
    return lines
