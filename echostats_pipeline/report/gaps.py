"""The text about open gaps of the history: when plays may be missing, and how to close the gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.report.formatting import TO, duration, instant, plural, span
from echostats_pipeline.transforms.days import local_date

SHOWN = 5
"""Most gaps that are listed."""


@dataclass(frozen=True)
class GapNotice:
    """The text about all gaps of a report.

    Attributes:
        told: All gaps in a few sentences.
        spans: The longest gaps, in order of time.
        more: Number of gaps that are not in `spans`.
        todo: How to close the gaps.
        command: The command that closes them.
    """

    told: str
    spans: Sequence[str]
    more: int
    todo: str
    command: str


def gap_notice(gaps: Sequence[ListeningGap], zone: ZoneInfo, partition_key: str) -> GapNotice | None:
    """Return the text about open gaps; None if there are none.

    Args:
        gaps: The open gaps.
        zone: Time zone of the user, for the dates.
        partition_key: Partition key of the user, for the command.
    """
    if not gaps:
        return None
    intervals = [gap for gap in gaps if gap.to > gap.from_]
    single = len(gaps) - len(intervals)
    unseen = [gap for gap in intervals if gap.kind == "unseen"]
    lines = []
    if unknown := [gap for gap in intervals if gap.kind == "unknown"]:
        total = sum((gap.to - gap.from_ for gap in unknown), timedelta())
        lines.append(
            f"Nothing is known about {plural(len(unknown), 'stretch', 'stretches')} of time, {_days(total)} in "
            "all: no import and no sync covers them. They do not count as days without music."
        )
    if unseen:
        total = sum((gap.to - gap.from_ for gap in unseen), timedelta())
        lines.append(
            f"Plays may be missing in {plural(len(unseen), 'stretch', 'stretches')} of time, "
            f"{duration(total // timedelta(milliseconds=1))} in all: more was played than Spotify shows at once. "
            "The true figures are at least as high as these."
        )
    if single:
        lines.append(f"Spotify does not name the track of {plural(single, 'play')}.")
    longest = sorted(intervals, key=lambda gap: (gap.from_ - gap.to, gap.from_))[:SHOWN]
    first = min(local_date(gap.from_, zone) for gap in gaps)
    last = max(local_date(gap.to, zone) for gap in gaps)
    return GapNotice(
        told=" ".join(lines),
        spans=[
            f"{instant(gap.from_, zone)}{TO}{instant(gap.to, zone)}"
            for gap in sorted(longest, key=lambda gap: gap.from_)
        ],
        more=len(intervals) - len(longest),
        todo=f"An export of your streaming history that covers {span(first, last)} closes them:",
        command=f"echostats import my_spotify_data.zip --user {partition_key}",
    )


def _days(length: timedelta) -> str:
    return plural(length.days, "day") if length.days > 1 else duration(length // timedelta(milliseconds=1))
