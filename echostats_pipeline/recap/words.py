"""The sentences of a recap that both its page and its cards show."""

from collections.abc import Sequence
from datetime import timedelta

from echostats_pipeline.recap.document import Anniversary, Comparison, Hours, Item, LeftBehind, Moment, Part, Recap
from echostats_pipeline.report.formatting import calendar_date, duration, listed, percent, plural, span

UNNAMED = "Unnamed"


def shown_name(item: Item) -> str:
    """The name of an item, or a word for one without a name."""
    return item.name or UNNAMED


def titled(item: Item) -> str:
    """The name of an item with its artist."""
    return f"{shown_name(item)} by {item.by}" if item.by else shown_name(item)


def amount(plays: int, ms: int) -> str:
    """Plays and time."""
    return f"{plural(plays, 'play')}, {duration(ms)}"


def compared(comparison: Comparison) -> str:
    """How the period compares with an earlier span, or why it is not compared; one or two sentences."""
    before, now = comparison.before, comparison.now
    holes = [
        f"not everything is known of {plural(totals.holes, 'day')} of {totals.name}"
        for totals in (now, before)
        if totals.holes
    ]
    if comparison.plays or comparison.time:
        line = f"{now.name} has {_differences(comparison)} {before.name}"
        return f"{line}, although {' and '.join(holes)}." if holes else f"{line}."
    if holes:
        return f"Not compared with {before.name}: {' and '.join(holes)}."
    return f"Nothing was played in {before.name}."


def _differences(comparison: Comparison) -> str:
    """``12 % more plays and 3 % less time than``: both differences, the shared end only once."""
    found = [
        _about(change, noun, same)
        for change, noun, same in (
            (comparison.plays, "plays", "as many plays as"),
            (comparison.time, "time", "as much time as"),
        )
        if change
    ]
    ends = {text.rpartition(" ")[2] for text in found}
    if len(found) > 1 and len(ends) == 1:
        (end,) = ends
        found[0] = found[0].removesuffix(f" {end}")
    return " and ".join(found)


def _about(change: str, noun: str, same: str) -> str:
    """A change with what has changed: ``12 % more plays than``, ``3 times the time of``."""
    if change.startswith("as "):
        return same
    if change.endswith(" times"):
        return f"{change} the {noun} of"
    return f"{change.removesuffix(' than')} {noun} than"


def streak(recap: Recap) -> tuple[str, str]:
    """The length of the longest streak, and its dates."""
    if recap.streak is None:
        return "", ""
    found = recap.streak
    return f"{'at least ' if found.at_least else ''}{plural(found.days, 'day')}", span(found.first, found.last)


def moment_title(moment: Moment) -> str:
    """What a moment is."""
    return "The first play that is known" if moment.number == 1 else f"Play number {moment.number:,}"


def back(recap: Recap, each: LeftBehind) -> str:
    """How often an artist who was left behind was played, and when last."""
    plays = f"{plural(each.item.plays, 'play')} in {recap.before_name}"
    return f"{plays}, the last on {calendar_date(each.last_played)}"


def on_this_day(each: Anniversary) -> str:
    """What was played on the same day of an earlier year."""
    if not each.known:
        return "Not known"
    if not each.plays:
        return "No music"
    said = plural(each.plays, "play")
    return f"{said}, {duration(each.ms)}"


def hours_text(each: Hours) -> str:
    """Plays of an artist in some hours, among all."""
    return f"{each.artist.plays:,} of {plural(each.plays, 'play')} {each.span}"


def part_text(part: Part) -> str:
    """Plays and time of a part, or that it is not known."""
    if not part.known:
        return "Not known"
    return amount(part.plays, part.ms) if part.plays else "No music"


def unknown_parts(recap: Recap) -> str:
    """The parts of which nothing is known, in one sentence; empty without any."""
    named = _named(recap, [part for part in recap.parts if not part.known])
    return f"Nothing is known of {named}." if named else ""


def silent_parts(recap: Recap) -> str:
    """The parts without music, in one sentence; empty without any."""
    named = _named(recap, [part for part in recap.parts if part.known and not part.plays])
    return f"No music in {named}." if named else ""


def _named(recap: Recap, parts: Sequence[Part]) -> str:
    """Some of the parts in words; those that follow each other are named by the first and the last."""
    runs: list[list[Part]] = []
    for part in parts:
        if runs and runs[-1][-1].last + timedelta(days=1) == part.first:
            runs[-1].append(part)
        else:
            runs.append([part])
    if recap.kind == "month":
        return listed([span(run[0].first, run[-1].last) for run in runs]) if runs else ""
    names = [run[0].name if len(run) == 1 else f"{run[0].name} to {run[-1].name}" for run in runs]
    return listed(names) if names else ""


def decades_note(recap: Recap) -> str:
    """For how many plays the year of release is known."""
    if recap.decades_coverage >= 1:
        return "By the year in which the album came out."
    known = percent(recap.decades_coverage)
    return f"By the year in which the album came out, which is known for {known} of the plays."


def beginning(recap: Recap) -> str:
    """Why nothing can be called new."""
    return f"The history begins in {recap.title}, so nothing in it can be called new."


def reservations(recap: Recap) -> list[str]:
    """What holes in the data mean for what is called new, and for what was left behind."""
    if recap.begins_here:
        return [beginning(recap)]
    found = []
    if recap.earlier_holes:
        days = plural(recap.earlier_holes, "earlier day")
        found.append(f"New is what no known play came before: not everything is known of {days}.")
    if recap.totals.holes:
        days = plural(recap.totals.holes, "day")
        found.append(f"What was left behind is not said: not everything is known of {days} of {recap.title}.")
    return found
