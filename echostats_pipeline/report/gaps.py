"""Open gaps of the history in words: when plays may be missing, and what closes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.report.formatting import TO, duration, instant, plural, span
from echostats_pipeline.transforms.days import local_date

SHOWN = 5


@dataclass(frozen=True)
class GapNotice:
    """What is said of all gaps of a report.

    Attributes:
        told: In one or two sentences.
        spans: The longest, from the earliest to the latest.
        more: How many others there are.
        todo: What closes them.
        command: What to type then.
    """

    told: str
    spans: Sequence[str]
    more: int
    todo: str
    command: str


def gap_notice(gaps: Sequence[ListeningGap], zone: ZoneInfo, partition_key: str) -> GapNotice | None:
    """What to say of gaps that are open; None without any.

    Args:
        gaps: The open ones.
        zone: Of the user, for the dates.
        partition_key: Of the user, for the command.
    """
    if not gaps:
        return None
    intervals = [gap for gap in gaps if gap.to > gap.from_]
    single = len(gaps) - len(intervals)
    unseen = [gap for gap in intervals if gap.kind == "unseen"]
    told = []
    if unknown := [gap for gap in intervals if gap.kind == "unknown"]:
        total = sum((gap.to - gap.from_ for gap in unknown), timedelta())
        told.append(
            f"Of {plural(len(unknown), 'stretch', 'stretches')} of time, {_days(total)} in all, nobody has told: "
            "no import and no sync covers them. They are not silence, and nothing is concluded from them."
        )
    if unseen:
        total = sum((gap.to - gap.from_ for gap in unseen), timedelta())
        told.append(
            f"Plays may be missing in {plural(len(unseen), 'stretch', 'stretches')} of time, "
            f"{duration(total // timedelta(milliseconds=1))} in all: more was played than Spotify shows at once. "
            "The true figures are at least as high as these."
        )
    if single:
        told.append(f"Of {plural(single, 'play')} Spotify does not name the track.")
    longest = sorted(intervals, key=lambda gap: (gap.from_ - gap.to, gap.from_))[:SHOWN]
    first = min(local_date(gap.from_, zone) for gap in gaps)
    last = max(local_date(gap.to, zone) for gap in gaps)
    return GapNotice(
        told=" ".join(told),
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
