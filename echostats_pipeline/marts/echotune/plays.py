"""Maps plays to EchoTune's history: which plays are skips and repeats, and which of them a change may concern."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
from bson import ObjectId

from echostats_pipeline.marts.ids import id_maker
from echostats_pipeline.transforms.statistics.plays import (
    PLAYS_SCHEMA,
    SAME_SESSION_MS,
    with_listening_time,
    with_sessions,
)

SKIPPED_BEFORE_MS = 30_000
"""A play that lasted longer is no skip, whatever the export says (EchoTune: skipped < 30 s)."""
SKIP_ENDS = ("fwdbtn", "backbtn", "endplay")
NOT_LEFT = 0.9
"""Where nothing says how a play ended, a play of this share of the track was not left early."""
CONTEXTS = ("playlist", "album", "artist", "search")
DEVICES = {
    **dict.fromkeys(("ios", "android", "windows_phone"), "smartphone"),
    **dict.fromkeys(("windows", "osx", "macos", "linux", "web", "web_player", "chromeos"), "computer"),
    **dict.fromkeys(("cast", "sonos", "speaker", "tv", "partner"), "speaker"),
}
"""EchoTune's kinds of devices by the platform's family."""
LISTENED_SCHEMA = pl.Schema(
    {
        **PLAYS_SCHEMA,
        "reason_start": pl.String(),
        "context_type": pl.String(),
        "context_uri": pl.String(),
        "platform": pl.String(),
    }
)
"""One row per stored play of one user, with where and on what it was started; null or empty where unknown."""
KNOWN_SCHEMA = pl.Schema(
    {
        "track_id": pl.String(),
        "known_name": pl.String(),
        "known_artist": pl.String(),
        "artist_id": pl.String(),
        "known_album": pl.String(),
        "known_duration_ms": pl.Int64(),
        "popularity": pl.Int64(),
    }
)
"""One row per track of the catalogue. Texts are empty, `popularity` is null, and the length is 0 where unknown."""
DAY = timedelta(days=1)


def derived_plays(plays: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Derive what EchoTune's history says of each play.

    Args:
        plays: As `LISTENED_SCHEMA`, in any order.
        known: As `KNOWN_SCHEMA`.

    Returns:
        The plays in order (end, then track id) with names and lengths completed from the catalogue, `skip_count`,
        `repeat_count`, `repeat` (a number that plays of one track right after each other in one session share),
        `context_type` and `device_type` as EchoTune names them or null, `artist_id` and `popularity`.
    """
    numbered = plays.lazy().with_columns(listener=pl.lit(0), bucket=pl.lit(0))
    in_order = with_sessions(with_listening_time(numbered, SKIPPED_BEFORE_MS))
    following_ms = pl.col("since_previous_ms").shift(-1)
    went_on = (pl.col("reason_start").shift(-1) == "fwdbtn") & (following_ms <= SAME_SESSION_MS)
    return (
        in_order.join(known.lazy(), on="track_id", how="left", maintain_order="left")
        .with_columns(
            duration_ms=pl.when(pl.col("duration_ms").fill_null(0) > 0)
            .then("duration_ms")
            .otherwise(pl.col("known_duration_ms").fill_null(0)),
            went_on=went_on.fill_null(value=False),
        )
        .with_columns(skip_count=_skipped().cast(pl.Int64), repeat_count=_repeats(), **_named())
        .drop("known_name", "known_artist", "known_album", "known_duration_ms")
        .collect()
    )


def _skipped() -> pl.Expr:
    """Whether a play is a skip: shorter than half a minute, and left by the user as far as the source says.

    API rows have no time played, and are never skips. A row of an export without ``reason_end`` counts as left if the
    next row was started by the forward button. Without any word about it, it is the share of the track that decides.
    """
    short = pl.col("ms_played") < SKIPPED_BEFORE_MS
    end, skipped = pl.col("reason_end").fill_null(""), pl.col("skipped")
    length = pl.col("duration_ms")
    unsaid = skipped.is_null() & (end == "")
    left = skipped.fill_null(value=False) | end.is_in(SKIP_ENDS) | ((end == "") & pl.col("went_on"))
    partly = (length <= 0) | (pl.col("ms_played") < NOT_LEFT * length)
    return (short & (end != "trackdone") & (left | (unsaid & partly))).fill_null(value=False)


def _repeats() -> pl.Expr:
    """In the first play of a repeat, how many follow; 0 in all others."""
    first = pl.int_range(pl.len()).over("repeat") == 0
    return pl.when(first).then(pl.len().over("repeat").cast(pl.Int64) - 1).otherwise(0)


def _named() -> dict[str, pl.Expr]:
    def text(column: str, otherwise: str) -> pl.Expr:
        stated = pl.col(column).fill_null("")
        return pl.when(stated == "").then(pl.col(otherwise).fill_null("")).otherwise(stated)

    context = pl.col("context_type")
    return {
        "track_name": text("track_name", "known_name"),
        # Whom rankings name: exports say "Various Artists" where the catalogue knows better.
        "artist_name": text("known_artist", "artist_name"),
        "album_name": text("album_name", "known_album"),
        "context_type": pl.when(context.is_in(CONTEXTS)).then(context),
        "device_type": pl.col("platform").str.to_lowercase().replace_strict(DEVICES, default=None),
    }


class Affected(NamedTuple):
    """What a change of plays in a window may concern.

    Attributes:
        rows: All plays from the first to the last that may look different, in order.
        back: Whether plays before those that were read may belong to it.
        forth: Whether plays after those that were read may belong to it.
    """

    rows: pl.DataFrame
    back: bool
    forth: bool


def affected_plays(
    derived: pl.DataFrame, window: tuple[datetime, datetime], read: tuple[datetime, datetime]
) -> Affected:
    """The plays in a window, and those around it whose repeats or skips may depend on plays in it.

    These are the whole repeats that the last play before the window and the first one after it belong to.

    Args:
        derived: As `derived_plays` returns it, of all plays in `read`.
        window: The half-open interval in which plays have changed.
        read: The half-open interval whose plays were read; it begins and ends at least a day beyond the window.
    """
    start, end = window
    at = pl.col("played_at")
    before, after = derived.filter(at < start).tail(1), derived.filter(at >= end).head(1)
    within = derived.filter(at.is_between(start, end, closed="left"))
    touched = pl.concat([each["repeat"] for each in (before, within, after)]).unique()
    rows = derived.filter(pl.col("repeat").is_in(touched.implode()))
    if rows.is_empty():
        return Affected(rows, back=False, forth=False)
    same_session = timedelta(milliseconds=SAME_SESSION_MS)
    first, last = rows["played_at"][0], rows["played_at"][-1]
    return Affected(
        rows,
        back=first == derived["played_at"][0] and first - read[0] < same_session,
        forth=last == derived["played_at"][-1] and read[1] - last < same_session,
    )


def play_documents(rows: pl.DataFrame, user: ObjectId, run_id: str) -> Iterator[dict[str, Any]]:
    """The documents of `documents.EchoTunePlay`, as pymongo takes them."""
    make_id = id_maker("echotune_listening_history", user)
    columns = rows.select(
        pl.col("played_at").dt.timestamp("ms").cast(pl.String).alias("stamp"),
        pl.col("played_at"),
        "track_id",
        "track_name",
        "artist_name",
        "album_name",
        "duration_ms",
        "popularity",
        "context_type",
        "context_uri",
        "device_type",
        "skip_count",
        "repeat_count",
    )
    for (
        stamp,
        at,
        track,
        name,
        artist,
        album,
        length,
        popularity,
        kind,
        uri,
        device,
        skips,
        repeats,
    ) in columns.iter_rows():
        context = {"context_type": kind}
        if uri:
            context["context_uri"] = uri
        if device is not None:
            context["device_type"] = device
        document = {
            "_id": make_id(f"{track}|{stamp}"),
            "userId": user,
            "trackId": track,
            "trackName": name,
            "artistName": artist,
            "albumName": album,
            "playedAt": at,
            "durationMs": length,
        }
        if popularity is not None:
            document["popularity"] = popularity
        yield {
            **document,
            "context": context,
            "skip_count": skips,
            "repeat_count": repeats,
            "createdAt": at,
            "source": "pipeline",
            "runId": run_id,
        }
