"""The extended streaming history: JSON arrays of plays with track ids, the whole life of an account."""

import json
import re
from typing import Any

import polars as pl

from echostats_pipeline.errors import ExportError
from echostats_pipeline.exports.rows import EXPORT_SCHEMA, ExportRows, RejectedRow
from echostats_pipeline.model.base import storable_text
from echostats_pipeline.transforms.identity import stable_id
from echostats_pipeline.transforms.plays import UTC_MS

RAW_SCHEMA = {
    "ts": pl.String(),
    "platform": pl.String(),
    "ms_played": pl.Int64(),
    "conn_country": pl.String(),
    "master_metadata_track_name": pl.String(),
    "master_metadata_album_artist_name": pl.String(),
    "master_metadata_album_album_name": pl.String(),
    "spotify_track_uri": pl.String(),
    "spotify_episode_uri": pl.String(),
    "episode_name": pl.String(),
    "audiobook_uri": pl.String(),
    "audiobook_title": pl.String(),
    "reason_start": pl.String(),
    "reason_end": pl.String(),
    "shuffle": pl.Boolean(),
    "skipped": pl.Boolean(),
    "offline": pl.Boolean(),
    "offline_timestamp": pl.Int64(),
    "incognito_mode": pl.Boolean(),
}
"""The keys that are read. Personal ones (address, user agent, user name, device) are never taken over."""

TRACK_URI = r"^spotify:track:([0-9A-Za-z]{22})$"
MILLISECONDS_FROM = 100_000_000_000
"""``offline_timestamp`` is in seconds or milliseconds by era; seconds reach this in the year 5138."""
MILLISECONDS_UNTIL = 253_402_300_799_999
"""The end of the year 9999: later instants are none."""
PLATFORM_FAMILIES = (
    ("web", "web"),
    ("android", "android"),
    ("ios", "ios"),
    ("ipad", "ios"),
    ("iphone", "ios"),
    ("windows", "windows"),
    ("os x", "macos"),
    ("macos", "macos"),
    ("osx", "macos"),
    ("cast", "cast"),
    ("linux", "linux"),
)
"""What a family's free text contains, first match wins; anything else is ``other``."""


def read_extended(name: str, data: bytes) -> ExportRows:
    """Read one file of the extended streaming history.

    Args:
        name: File name, for messages; video files hold no plays of tracks.
        data: Its bytes.

    Raises:
        ExportError: it is not a JSON array, or breaks off.
    """
    raw = _array(name, data)
    objects = [
        (number, {key: _storable(value) for key, value in row.items()})
        for number, row in enumerate(raw)
        if isinstance(row, dict)
    ]
    rejects = [
        RejectedRow(number, "the row is not an object", {"type": type(row).__name__})
        for number, row in enumerate(raw)
        if not isinstance(row, dict)
    ]
    frame = _frame(objects)
    not_music = pl.lit(value="_video_" in name.lower()) | (
        pl.col("spotify_track_uri").is_null()
        & pl.any_horizontal(
            pl.col("spotify_episode_uri", "episode_name", "audiobook_uri", "audiobook_title").is_not_null()
        )
    )
    music = frame.filter(~not_music)
    rejected = music.filter(pl.col("reason").is_not_null()).select("row_number", "reason")
    by_number = dict(objects)
    rejects += [
        RejectedRow(number, reason, {key: _kept(by_number[number].get(key)) for key in RAW_SCHEMA if key != "platform"})
        for number, reason in rejected.iter_rows()
    ]
    plays = _plays(music.filter(pl.col("reason").is_null()))
    return ExportRows(rows=len(raw), plays=plays, not_music=frame.height - music.height, rejects=rejects)


def _array(name: str, data: bytes) -> list[Any]:
    try:
        parsed = json.loads(data)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ExportError(
            f"{name} is not valid JSON ({error}). It may have been cut off; download it again and repeat the import."
        ) from error
    if not isinstance(parsed, list):
        raise ExportError(f"{name} is not a streaming history: it holds a JSON {type(parsed).__name__}, not an array.")
    return parsed


def _storable(value: Any) -> Any:
    """The value as polars and MongoDB can hold it; a number beyond 64 bits is none."""
    if isinstance(value, str):
        return storable_text(value)
    return None if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def _kept(value: Any) -> Any:
    """What a rejected row shows of a value: nothing but the type of what is no text, number or truth value."""
    return value if value is None or isinstance(value, str | int | float) else type(value).__name__


def _frame(objects: list[tuple[int, dict[str, Any]]]) -> pl.DataFrame:
    """The raw rows with typed columns, plus ``import_ts``, ``track_id`` and ``reason`` (why a row is rejected)."""
    columns: dict[str, pl.Series] = {"row_number": pl.Series([number for number, _ in objects], dtype=pl.UInt32)}
    for key, dtype in RAW_SCHEMA.items():
        expected = {pl.String(): str, pl.Int64(): int, pl.Boolean(): bool}[dtype]
        values = [row.get(key) for _, row in objects]
        columns[key] = pl.Series([value if type(value) is expected else None for value in values], dtype=dtype)
    frame = pl.DataFrame(columns).with_columns(
        import_ts=pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="ms", time_zone="UTC", strict=False),
        track_id=pl.col("spotify_track_uri").str.extract(TRACK_URI),
    )
    named = pl.col("master_metadata_track_name").is_not_null()
    return frame.with_columns(
        reason=pl.when(pl.col("import_ts").is_null())
        .then(pl.lit("ts is not an instant like 2023-03-19T18:31:37Z"))
        .when(pl.col("ms_played").is_null() | (pl.col("ms_played") < 0))
        .then(pl.lit("ms_played is not a whole number of milliseconds"))
        .when(pl.col("track_id").is_null() & ~named)
        .then(pl.lit("the row names neither a track, an episode nor an audiobook"))
    )


def _plays(rows: pl.DataFrame) -> pl.DataFrame:
    """Valid rows of tracks as a frame of `EXPORT_SCHEMA`, still without ``played_at``."""
    names = {
        "track_name": pl.col("master_metadata_track_name").fill_null(""),
        "artist_name": pl.col("master_metadata_album_artist_name").fill_null(""),
        "album_name": pl.col("master_metadata_album_album_name").fill_null(""),
    }
    offline_ms = (
        pl.when(pl.col("offline_timestamp").is_between(MILLISECONDS_FROM, MILLISECONDS_UNTIL))
        .then(pl.col("offline_timestamp"))
        .when(pl.col("offline_timestamp").is_between(1, MILLISECONDS_FROM - 1))
        .then(pl.col("offline_timestamp") * 1000)
    )
    identified = rows.with_columns(**names).with_columns(
        track_id=pl.coalesce("track_id", _local_ids(rows.with_columns(**names))),
        offline_at=offline_ms.cast(UTC_MS),
        incognito=pl.col("incognito_mode"),
        country=pl.when(pl.col("conn_country") != "ZZ").then(pl.col("conn_country")),
        platform=_platform_family(),
    )
    content = ["ts", "track_id", "ms_played"]
    occurrence = pl.int_range(1, pl.len() + 1).over(content).cast(pl.String)
    return identified.with_columns(
        import_key=pl.concat_str(*(pl.col(name).cast(pl.String) for name in content), occurrence, separator="|")
    ).select(pl.col(name).cast(dtype) for name, dtype in EXPORT_SCHEMA.items())


def _local_ids(rows: pl.DataFrame) -> pl.Series:
    """Ids for the rows without one: files from the listener's own disk, known by artist and title only."""
    return pl.Series(
        [
            None if known is not None else stable_id("local", artist, title)
            for known, artist, title in rows.select("track_id", "artist_name", "track_name").iter_rows()
        ],
        dtype=pl.String,
    )


def _platform_family() -> pl.Expr:
    text = pl.col("platform").str.to_lowercase()
    families = [
        pl.when(text.str.contains(rf"(^|[^a-z]){re.escape(part)}")).then(pl.lit(family))
        for part, family in PLATFORM_FAMILIES
    ]
    stated = text.is_not_null() & ~text.is_in(["", "not_applicable"])
    return pl.when(stated).then(pl.coalesce(*families, pl.lit("other")))
