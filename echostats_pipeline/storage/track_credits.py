"""Reads which artists the catalogue credits on tracks."""

from collections.abc import Collection, Iterable
from datetime import datetime
from itertools import chain

import polars as pl

from echostats_pipeline.model.rules import Rule
from echostats_pipeline.storage.database import AWARE, Db, Document
from echostats_pipeline.storage.frame_cache.catalog_frames import MOST_OF, ROWS_AT_ONCE, SLACK
from echostats_pipeline.storage.garbage_collection import paused_collection
from echostats_pipeline.transforms.history.identity import made_up
from echostats_pipeline.transforms.statistics.credits import NO_CREDITS, known_credits
from echostats_pipeline.transforms.statistics.exclusions import NO_PRIMARY, PRIMARY_SCHEMA, asks_for_artists

CREDITED = {"_id": 0, "row": ["$spotify_id", {"$ifNull": ["$artists.spotify_id", []]}]}
PRIMARY = {"_id": 0, "row": ["$spotify_id", {"$first": "$artists.spotify_id"}, {"$first": "$artists.name"}]}


class TrackCredits:
    """The credits of tracks, each read once, and again if the track has changed meanwhile.

    One object serves the passes of one rebuild, which share most of their tracks.
    """

    def __init__(self, db: Db, passes: int = 1) -> None:
        """Args: the database, and about how many passes will ask for tracks."""
        self._db = db
        self._passes = passes
        self._known = NO_CREDITS
        self._as_of: datetime | None = None

    def of(self, track_ids: pl.Series) -> pl.DataFrame:
        """The credits of at least these tracks, as `credits.known_credits` returns them.

        A track without a credited artist is read each time, because stubs are added without a change of any document.
        """
        wanted = track_ids.to_frame("id").filter(~made_up(pl.col("id")))["id"].unique()
        now: datetime = self._db.command("hello", codec_options=AWARE)["localTime"]
        if self._as_of is not None:
            query = {"changed_at": {"$gte": self._as_of - SLACK}}
            changed = [each["spotify_id"] for each in self._db["tracks"].find(query, {"_id": 0, "spotify_id": 1})]
            self._known = self._known.filter(~pl.col("track_id").is_in(changed))
        self._as_of = now
        unknown = wanted.filter(~wanted.is_in(self._known["track_id"].implode()))
        if not unknown.is_empty():
            # Looking up half of a collection costs more than reading it completely.
            most = self._db["tracks"].estimated_document_count() < MOST_OF * self._passes * unknown.len()
            if most:
                self._known = read_credits(self._db, None)
            else:
                self._known = pl.concat([self._known, read_credits(self._db, unknown.to_list())])
            self._passes = 1
        return self._known


def read_credits(db: Db, track_ids: Collection[str] | None) -> pl.DataFrame:
    """The credits of tracks, as far as the catalogue has them; None means all tracks."""
    matched: list[Document] = [] if track_ids is None else [{"$match": {"spotify_id": {"$in": list(track_ids)}}}]
    pipeline = [*matched, {"$project": CREDITED}]
    with paused_collection(), db["tracks"].aggregate(pipeline, batchSize=ROWS_AT_ONCE) as found:
        rows = [each["row"] for each in found]
    artists = [listed if isinstance(listed, list) else [] for _, listed in rows]
    tracks = pl.Series("track_id", [track_id for track_id, _ in rows], dtype=pl.String)
    ids = pl.select(
        track_id=pl.lit(tracks).repeat_by(pl.Series([*map(len, artists)], dtype=pl.Int64)).explode(empty_as_null=False)
    )
    # Other programs may have written ids of other types; strict=False turns them into null.
    named = pl.Series("artist_id", list(chain.from_iterable(artists)), dtype=pl.String, strict=False)
    return known_credits(ids.with_columns(named.fill_null("")))


def primary_artists_for(db: Db, rules: Iterable[Rule], track_ids: pl.Series) -> pl.DataFrame:
    """The primary artists of tracks, as `exclusions.PRIMARY_SCHEMA`; nothing is read if no rule names an artist."""
    if not asks_for_artists(rules):
        return NO_PRIMARY
    return read_primary_artists(db, track_ids.unique().to_list())


def read_primary_artists(db: Db, track_ids: Collection[str]) -> pl.DataFrame:
    """The primary artists of tracks, as far as the catalogue has them, as `exclusions.PRIMARY_SCHEMA`."""
    query = {"spotify_id": {"$in": list(track_ids)}, "artists.0": {"$type": "object"}}
    with db["tracks"].aggregate([{"$match": query}, {"$project": PRIMARY}], batchSize=ROWS_AT_ONCE) as found:
        rows = [each["row"] for each in found]
    # Other programs may have written values of other types; strict=False turns them into null.
    columns = zip(PRIMARY_SCHEMA.items(), zip(*rows, strict=True) if rows else [()] * len(PRIMARY_SCHEMA), strict=True)
    known = pl.DataFrame([pl.Series(name, values, dtype=dtype, strict=False) for (name, dtype), values in columns])
    return known.with_columns(pl.exclude("track_id").fill_null("")).filter(~made_up(pl.col("track_id")))
