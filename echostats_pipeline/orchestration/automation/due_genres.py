"""Decides whether a source of genres is to be asked, and remembers in a cursor until when none is."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from echostats_pipeline.storage.artist_tags import ArtistTagStore

NEVER = datetime.max.replace(tzinfo=UTC)


class DueGenres(NamedTuple):
    """Whether a source is to be asked about an artist now; and the cursor for the next look."""

    now: bool
    cursor: str


def due_genres(
    tags: ArtistTagStore, sources: Sequence[str], order: Sequence[str], now: datetime, cursor: str
) -> DueGenres:
    """Look whether one of the sources is to be asked about an artist.

    To find out, all artists are read. If nothing is due, the cursor says until when that stays so, and for which
    version of the artists. While both hold, nothing is read.

    Args:
        tags: The artists and the answers about them.
        sources: The sources that can be called now, without Spotify; members of `order`.
        order: All sources in the order of the settings.
        now: The present instant.
        cursor: The cursor of the last look; empty for the first one.
    """
    if not sources:
        return DueGenres(now=False, cursor=cursor)
    # Before the artists are read: what changes meanwhile is seen at the next look.
    version = [list(order), list(sources), *tags.version()]
    known = json.loads(cursor or "{}")
    if known.get("version") == version and now <= datetime.fromisoformat(known["until"]):
        return DueGenres(now=False, cursor=cursor)
    due = tags.next_due(sources, order) or NEVER
    if due < now:
        return DueGenres(now=True, cursor="")
    return DueGenres(now=False, cursor=json.dumps({"version": version, "until": due.isoformat()}))
