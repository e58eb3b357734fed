"""Composes the documents to write from reported rows and stored plays."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from echostats_pipeline.model.operations import RowOutcome
from echostats_pipeline.model.plays import Play, RecentlyPlayedItem
from echostats_pipeline.transforms.history.facts import API_STAMP, Composition, NamedFact, Reconciliation, Source
from echostats_pipeline.transforms.history.matching import match_api_rows, without_repeats
from echostats_pipeline.transforms.history.named_rows import kind_of_key, parsed_key, split_track_id
from echostats_pipeline.transforms.history.play_changes import (
    PLAYBACK,
    UNKNOWN,
    Document,
    KnownTrack,
    PlainPlays,
    PlayChanges,
    Rewrite,
)
from echostats_pipeline.transforms.history.reconciling import TrackIds, reconcile
from echostats_pipeline.transforms.history.repeats import FreshRows, fresh_rows
from echostats_pipeline.transforms.statistics.plays import UTC_MS

NAMES = ("name", "artist_name", "album_name")
EXPORT_FIELDS = ("import_key", "import_ts", "ms_played")
KNOWN_FIELDS = frozenset(Play.model_fields) | {"_id"}
UNSEEN = ("also_imported", "api_played_at")
"""Fields that no statistic uses."""


class Lookup(TrackIds, Protocol):
    """What a merge has to look up beside the frame of stored plays."""

    def plays(self, ids: Collection[str]) -> Mapping[str, Document]:
        """Stored plays by the hex of their ``_id``."""

    def tracks(self, ids: Collection[str]) -> Mapping[str, KnownTrack]:
        """What the catalogue knows of tracks, by id; unknown ones are left out."""


def merge_recently_played(
    items: Sequence[RecentlyPlayedItem], stored: pl.DataFrame, user_id: str, lookup: Lookup
) -> PlayChanges:
    """Merge one recently-played response into the history.

    Args:
        items: The whole response; single rows of a short song played twice would be matched to the wrong play.
        stored: Frame of `facts.STORED_SCHEMA` that reaches `READ_AROUND` further than `items` on both sides.
        user_id: Owner of the plays.
        lookup: The database.
    """
    new = _new_items(items, stored)
    changes = _merged(new, None, stored, user_id, lookup) if new else PlayChanges()
    changes.outcomes["duplicate"] += len(items) - len(new)
    return changes


def merge_export(rows: pl.DataFrame, stored: pl.DataFrame, user_id: str, lookup: Lookup) -> PlayChanges:
    """Merge rows of an export, all of one format, into the history.

    Args:
        rows: Frame of `importers.rows.EXPORT_SCHEMA`.
        stored: Frame of `facts.STORED_SCHEMA` that reaches `READ_AROUND` further than `rows` on both sides.
        user_id: Owner of the plays.
        lookup: The database.
    """
    new, renamed = _new_rows(rows, stored)
    changes = _merged((), new, stored, user_id, lookup, renamed=renamed) if new.height else PlayChanges()
    changes.outcomes["duplicate"] += rows.height - new.height
    return changes


def merge_again(stamps: pl.Series, stored: pl.DataFrame, user_id: str, lookup: Lookup) -> PlayChanges:
    """Decide again about stored facts, because the catalogue has learned more about their tracks.

    Args:
        stamps: Instants of the facts, UTC.
        stored: Frame of `facts.STORED_SCHEMA` with names, which reaches `READ_AROUND` further on both sides.
        user_id: Owner of the plays.
        lookup: The database.
    """
    return _merged((), None, stored, user_id, lookup, reconsidered=stamps)


def _new_rows(rows: pl.DataFrame, stored: pl.DataFrame) -> FreshRows:
    """The rows that no stored play contains."""
    if rows.height and kind_of_key(rows["import_key"][0]) is None:
        return fresh_rows(rows, stored)
    keys = pl.concat([stored.select("import_key"), stored.select(import_key=pl.col("also_imported").explode())])
    known = keys.drop_nulls().unique()
    new = rows.join(known, on="import_key", how="anti", maintain_order="left")
    # The same row, but with more or less about its track than at the first import.
    numbered = new.select(*split_track_id("import_key")).with_row_index("place")
    pairs = numbered.join(known.select(*split_track_id("import_key")), on="bare")
    places = pairs.filter(pl.col("id_length") != pl.col("id_length_right"))["place"].implode()
    return FreshRows(new.with_row_index("place").filter(~pl.col("place").is_in(places)).drop("place"), {})


def _merged(
    items: Sequence[RecentlyPlayedItem],
    rows: pl.DataFrame | None,
    stored: pl.DataFrame,
    user_id: str,
    lookup: Lookup,
    *,
    renamed: Mapping[str, str] | None = None,
    reconsidered: pl.Series | None = None,
) -> PlayChanges:
    renamed = renamed or {}
    item_rows = _item_rows(items) if items else None
    reconciliation = reconcile(stored, lookup, rows=rows, items=item_rows, reconsidered=reconsidered, renamed=renamed)
    track_ids = {composition.track_id for composition in reconciliation.changed}
    track_ids |= set(reconciliation.inserts["track_id"])
    facts = Facts(user_id, rows, items, _renamed(lookup, reconciliation, renamed), lookup.tracks(track_ids))
    return _changes(reconciliation, facts)


def _renamed(lookup: Lookup, reconciliation: Reconciliation, keys: Mapping[str, str]) -> dict[str, Document]:
    """The stored plays of a reconciliation; those in `keys` with their new import keys."""
    plays = lookup.plays(reconciliation.stored)
    return {play: {**found, "import_key": keys[play]} if play in keys else found for play, found in plays.items()}


def _new_items(items: Sequence[RecentlyPlayedItem], stored: pl.DataFrame) -> list[RecentlyPlayedItem]:
    """The rows of a recently-played response that an earlier response did not contain."""
    reported = without_repeats(_item_rows(items).with_row_index("item").rename({"api_played_at": "played_at"}))
    known = stored.select("track_id", api_played_at=API_STAMP).drop_nulls("api_played_at")
    seen = set(reported["item"].gather(match_api_rows(reported, known)["left"]))
    return [items[number] for number in reported["item"] if number not in seen]


def _item_rows(items: Sequence[RecentlyPlayedItem]) -> pl.DataFrame:
    """Rows of recently-played as `reconcile` takes them."""
    schema = {
        "track_id": pl.String(),
        "track_name": pl.String(),
        "artist_name": pl.String(),
        "duration_ms": pl.Int64(),
        "api_played_at": UTC_MS,
    }
    rows = [
        (item.track.spotify_id, item.track.name, item.track.artist_name, item.track.duration_ms, item.played_at)
        for item in items
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")


@dataclass(frozen=True)
class Facts:
    """Where to find the content of facts.

    Attributes:
        user_id: Owner of the plays.
        rows: New rows of an export: frame of `importers.rows.EXPORT_SCHEMA`.
        items: New rows of recently-played.
        stored: Stored plays by the hex of their ``_id``: those with facts that move.
        tracks: What the catalogue knows, by track id.
    """

    user_id: str
    rows: pl.DataFrame | None
    items: Sequence[RecentlyPlayedItem]
    stored: Mapping[str, Document]
    tracks: Mapping[str, KnownTrack]

    def export(self, source: Source) -> Document:
        """A row of an export: names, playback, and `EXPORT_FIELDS`."""
        if source.row is not None and self.rows is not None:
            row = self.rows.row(source.row, named=True)
            video = {"video": True} if row["video"] else {}
            return {**row, "playback": {**{name: row[name] for name in PLAYBACK}, **video}}
        play = self.stored[source.play or ""]
        track = play["track"]
        names = {"track_name": track["name"], **{name: track[name] for name in ("artist_name", "album_name")}}
        return {**names, **{name: play.get(name) for name in (*EXPORT_FIELDS, "playback")}}

    def api(self, source: Source) -> Document:
        """A row of recently-played: the track, the context and ``api_played_at``."""
        if source.row is not None:
            item = self.items[source.row]
            fields = {"track": item.track.model_dump(), "api_played_at": item.played_at}
            return {**fields, "context_type": item.context_type, "context_uri": item.context_uri}
        play = self.stored[source.play or ""]
        track = play["track"]
        if "import_key" in play and (known := self.tracks.get(track["spotify_id"])):
            # The play has the names of the export; the API's names for the track are in the catalogue.
            track = track | {name: value for name, value in known._asdict().items() if value or name in NAMES}
        fields = {"track": track, **{name: play[name] for name in ("context_type", "context_uri")}}
        # EchoStats' own imports have no key: they are treated as API rows with a known time played.
        imported = {} if "import_key" in play else {name: play.get(name) for name in ("ms_played", "source")}
        return {**fields, **imported, "api_played_at": play.get("api_played_at") or play["played_at"]}

    def named(self, fact: NamedFact) -> Document:
        """A row that contains only names. Fields beyond its key are kept while no better source reports the play."""
        if fact.source.row is not None and self.rows is not None:
            return self.rows.row(fact.source.row, named=True)
        key = parsed_key(fact.key)
        identity = {"import_key": fact.key, "track_name": key.title, "artist_name": key.artist}
        play = self.stored[fact.source.play or ""]
        own = play["track"] if play.get("import_key") == fact.key else {}
        # If Spotify has reported the play, too, the stored length is Spotify's.
        duration_ms = 0 if "api_played_at" in play else own.get("duration_ms", 0)
        kept = {"album_name": own.get("album_name", ""), "duration_ms": duration_ms}
        return {**identity, **kept, "import_ts": key.stamp, "ms_played": key.ms_played}


def _changes(reconciliation: Reconciliation, facts: Facts) -> PlayChanges:
    """What has to be written to carry out a reconciliation."""
    changes = PlayChanges(plain=_plain_plays(reconciliation.inserts, facts))
    changes.inserted_at = reconciliation.inserts["played_at"]
    changes.outcomes["inserted"] += reconciliation.inserts.height
    for composition in reconciliation.changed:
        document = _document(composition, facts) | _foreign(composition, facts)
        if composition.stored:
            changes.rewrites.append(Rewrite(composition.play, document))
        else:
            changes.inserts.append(document)
        _count(changes.outcomes, composition)
        before = [facts.stored[play] for play in sorted(composition.stored)]
        changes.left |= {play["track"]["spotify_id"] for play in before} - {composition.track_id}
        if [_worth(play) for play in before] != [_worth(document)]:
            changes.touched |= {play["played_at"] for play in (document, *before)}
    changes.deletes = reconciliation.vanished
    changes.touched |= {facts.stored[play]["played_at"] for play in reconciliation.vanished}
    return changes


def _count(outcomes: Counter[RowOutcome], composition: Composition) -> None:
    """Count the outcome of each row: the row that creates a play is inserted, further rows of it are merged."""
    for number, source in enumerate(composition.sources):
        if source.row is not None:
            outcomes["merged" if number or composition.play else "inserted"] += 1


def _worth(play: Document) -> Document:
    return {name: value for name, value in play.items() if name not in UNSEEN and name != "_id"}


def _document(composition: Composition, facts: Facts) -> Document:
    export = None if composition.export is None else facts.export(composition.export)
    api = None if composition.api is None else facts.api(composition.api)
    named = composition.named
    if export is None and named and (api is None or parsed_key(named[0].key).ms_played is not None):
        export, named = {**facts.named(named[0]), "playback": None}, named[1:]
    document: Document = {
        "user_id": facts.user_id,
        "track": _track(composition.track_id, export, api, facts.tracks.get(composition.track_id, UNKNOWN)),
        "played_at": composition.played_at,
        "ms_played": export["ms_played"] if export else (api or {}).get("ms_played"),
        "source": "import" if export else (api or {}).get("source") or "api",
        "context_type": api["context_type"] if api else "",
        "context_uri": api["context_uri"] if api else "",
        "played_at_estimated": composition.played_at_estimated,
    }
    if export:
        document |= {"import_key": export["import_key"], "import_ts": export["import_ts"]}
        if export["playback"] is not None:
            document["playback"] = export["playback"]
        if api:
            document["api_played_at"] = api["api_played_at"]
        elif kind_of_key(export["import_key"]) == "basic":
            document["played_at_precision"] = "minute"
    if named:
        document["also_imported"] = [fact.key for fact in named]
    return document


def _foreign(composition: Composition, facts: Facts) -> Document:
    """Fields of other programs in the stored plays that become one; the play that stays takes precedence."""
    others = sorted(composition.stored - {composition.play})
    plays = [facts.stored[play] for play in (*others, *([composition.play] if composition.play else []))]
    return {name: value for play in plays for name, value in play.items() if name not in KNOWN_FIELDS}


def _track(track_id: str, export: Document | None, api: Document | None, known: KnownTrack) -> Document:
    """Take the names from the export, which names the artist of the album, and the rest from the API."""
    reported = api["track"] if api else {}
    named = export or {}
    return {
        "spotify_id": track_id,
        "name": named.get("track_name") or reported.get("name") or known.name,
        "artist_name": named.get("artist_name") or reported.get("artist_name") or known.artist_name,
        "album_name": named.get("album_name") or reported.get("album_name") or known.album_name,
        "album_image_url": reported.get("album_image_url") or known.album_image_url,
        "duration_ms": reported.get("duration_ms") or known.duration_ms or named.get("duration_ms") or 0,
    }


def _plain_plays(inserts: pl.DataFrame, facts: Facts) -> PlainPlays:
    if facts.rows is None or inserts.is_empty():
        return PlainPlays()
    rows = facts.rows.drop("track_id").with_row_index("row").join(inserts, on="row", maintain_order="left")
    return PlainPlays(rows, facts.user_id, facts.tracks)
