"""Coverage: the time that imports and syncs cover, and the time of which nothing is known."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo

from echostats_pipeline.model.operations import FileImport
from echostats_pipeline.model.plays import CoveredSpan, RecentlyPlayedPage
from echostats_pipeline.model.users import User
from echostats_pipeline.storage.coverage import stretches_of
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.coverage import NEIGHBOURS, Stretch, joined, uncovered, unknown_days
from echostats_pipeline.transforms.days import local_date

SYNCS = "recently_played"
"""Name of the source for time that syncs cover; for imports, the source is the name of the format."""
WHOLE_HISTORIES = ("extended", "echotune", "basic")
"""Export formats that hold all plays of a user in the time they span.

Scrobbling services lack plays that no app sent to them, so their exports do not cover the time between two plays.
"""
ACCOUNT_DATA_REACH = timedelta(days=370)
"""Longest time that the files of one account data export cover together, including time without plays.

Account data holds the year before the request.
"""


def cover_imports(store: Store, user: User, files: Sequence[FileImport], now: datetime) -> int:
    """Record the time that files cover; return the number of unknown intervals that this closes."""
    before = stretches_of(ensure_spans(store, user, now))
    for source in WHOLE_HISTORIES:
        if spans := spans_of_files(file for file in files if file.format == source):
            known = store.coverage.stretches(user.user_id, source)
            store.coverage.replace(user.user_id, source, joined([*known, *spans], NEIGHBOURS))
    names = [file.file_name for file in files if file.format in WHOLE_HISTORIES and file.span]
    return _settle(store, user, before, now, names[-1] if names else "")


def cover_sync(store: Store, user: User, page: RecentlyPlayedPage, now: datetime) -> None:
    """Record the time that an answer of recently-played covers: from its oldest play to the time of the call.

    Spotify keeps the last 50 plays. An answer with fewer plays has lost none since the last sync, so it also covers the
    time back to that sync.
    """
    stamps = [*(item.played_at for item in page.items), *page.withheld]
    if not stamps:
        return
    spans = ensure_spans(store, user, now)
    before, known = stretches_of(spans), stretches_of(spans, SYNCS)
    start = min(stamps) if page.full or not known else min(known[-1].end, *stamps)
    store.coverage.replace(user.user_id, SYNCS, joined([*known, Stretch(start, max(page.fetched_at, *stamps))]))
    _settle(store, user, before, now, SYNCS)


def spans_of_files(files: Iterable[FileImport]) -> list[Stretch]:
    """Return the time that files of one format cover; spans of one export that touch are joined."""
    found: list[Stretch] = []
    by_folder: dict[str, list[Stretch]] = {}
    for file in files:
        if file.span is not None:
            folder = str(PurePosixPath(file.file_name).parent) if file.format == "basic" else ""
            by_folder.setdefault(folder, []).append(Stretch(*file.span))
    for folder, spans in by_folder.items():
        whole = Stretch(min(span.start for span in spans), max(span.end for span in spans))
        found += [whole] if folder and whole.end - whole.start <= ACCOUNT_DATA_REACH else spans
    return joined(found, NEIGHBOURS)


def ensure_spans(store: Store, user: User, now: datetime) -> list[CoveredSpan]:
    """Return the covered spans of a user; derive them from records of earlier versions if none are stored."""
    if stored := store.coverage.spans(user.user_id):
        return stored
    files = store.imports.of_user(user.user_id)
    for source in WHOLE_HISTORIES:
        if spans := spans_of_files(file for file in files if file.format == source):
            store.coverage.replace(user.user_id, source, spans)
    if syncs := _former_syncs(store, user):
        store.coverage.replace(user.user_id, SYNCS, syncs)
    derived = store.coverage.spans(user.user_id)
    settle_unknown(store, user, stretches_of(derived), now)
    return derived


def settle_unknown(store: Store, user: User, covered: Iterable[Stretch], now: datetime, closed_by: str = "") -> int:
    """Store the time that is not covered in ``listening_gaps``, unless a gap holds it; return how many gaps closed."""
    gaps = store.coverage.open_gaps(user.user_id)
    unseen = [gap for gap in gaps if gap.kind == "unseen"]
    unknown = [
        stretch
        for stretch in uncovered(covered, now)
        if not any(gap.from_ <= stretch.start and stretch.end <= gap.to for gap in unseen)
    ]
    return store.coverage.replace_unknown(user.user_id, unknown, now, closed_by, gaps)


def _settle(store: Store, user: User, before: Sequence[Stretch], now: datetime, closed_by: str) -> int:
    """Do the same as `settle_unknown`, and mark the snapshots for a rebuild if other days are unknown than before."""
    zone = ZoneInfo(user.timezone)
    today = local_date(now, zone)
    after = store.coverage.stretches(user.user_id)
    if unknown_days(before, today, zone) != unknown_days(after, today, zone):
        store.marks.mark(user.user_id, "covered_spans")
    return 0 if joined(before) == joined(after) else settle_unknown(store, user, after, now, closed_by)


def _former_syncs(store: Store, user: User) -> list[Stretch]:
    """Return the time from the oldest play that the API reported to the last sync, without the gaps between them."""
    first = store.plays.oldest_reported(user.user_id)
    last = user.last_synced_at
    if first is None or last is None or last <= first:
        return []
    spans, start = [], first
    for gap in store.coverage.open_gaps(user.user_id):
        if gap.kind == "unseen" and gap.to > gap.from_ and start < gap.from_ < last:
            spans.append(Stretch(start, gap.from_))
            start = gap.to
    return [*spans, Stretch(start, max(start, last))]
