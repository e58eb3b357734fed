"""Decides which plays follow from all facts, so that each play is one document.

The result depends on the facts alone, not on the order in which they arrived. Around new facts everything is decided
again; plays that come out as they are stored are left alone.

Here: the decision. Not here: the content of documents (``changes``).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import polars as pl

from echostats_pipeline.transforms.history.facts import (
    API_STAMP,
    SETTLED_BEYOND,
    Composition,
    NamedFact,
    Reconciliation,
    Source,
)
from echostats_pipeline.transforms.history.matching import lay_out, match_export_rows, match_named_rows
from echostats_pipeline.transforms.history.name_keys import COMPARED, compared
from echostats_pipeline.transforms.history.named_rows import (
    NAMED_KINDS,
    PRECISION_MS,
    ROUGH_LENGTHS,
    STAMPED_AT_START,
    kind_of,
    parsed_key,
)
from echostats_pipeline.transforms.statistics.plays import UTC_MS


class TrackIds(Protocol):
    """Finds Spotify's ids of tracks."""

    def resolved(self, identities: Collection[str]) -> Mapping[str, str]:
        """Spotify's track id by the id made of names (`named_rows.named_identities`); unknown ones are left out."""

    def recordings(self, isrcs: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Spotify's track ids by ISRC, the smallest first; unknown ones are left out."""


EXPORT_FACTS = {
    "play": pl.String(),
    "row": pl.UInt32(),
    "track_id": pl.String(),
    "track_name": pl.String(),
    "artist_name": pl.String(),
    "import_key": pl.String(),
    "import_ts": UTC_MS,
    "offline_at": UTC_MS,
    "ms_played": pl.Int64(),
}
API_FACTS = {
    "play": pl.String(),
    "row": pl.UInt32(),
    "track_id": pl.String(),
    "track_name": pl.String(),
    "artist_name": pl.String(),
    "duration_ms": pl.Int64(),
    "api_played_at": UTC_MS,
}
PLAY_ROWS = {
    "number": pl.UInt32(),
    "track_id": pl.String(),
    "track_name": pl.String(),
    "artist_name": pl.String(),
    "import_key": pl.String(),
    "import_ts": UTC_MS,
    "ms_played": pl.Int64(),
    "api_played_at": UTC_MS,
    "duration_ms": pl.Int64(),
    "export_play": pl.String(),
    "export_row": pl.UInt32(),
    "api_play": pl.String(),
    "api_row": pl.UInt32(),
    "named": pl.List(pl.Struct({"import_key": pl.String(), "play": pl.String(), "row": pl.UInt32()})),
    "played_at": UTC_MS,
    "played_at_estimated": pl.Boolean(),
}


def named_facts(stored: pl.DataFrame) -> bool:
    """Whether any stored play holds a fact of `NAMED_KINDS`, so that names have to be compared."""
    main = stored.select(kind_of("import_key").is_not_null().any()).item()
    return bool(main or stored["also_imported"].list.len().sum())


def reconcile(
    stored: pl.DataFrame,
    catalogue: TrackIds,
    *,
    rows: pl.DataFrame | None = None,
    items: pl.DataFrame | None = None,
    reconsidered: pl.Series | None = None,
    renamed: Mapping[str, str] | None = None,
) -> Reconciliation:
    """Decide which plays the stored facts and the new ones make.

    Args:
        stored: Frame of `STORED_SCHEMA` that reaches `READ_AROUND` further than the new facts on both sides.
        catalogue: Looks up Spotify's ids of tracks that facts name otherwise.
        rows: New rows of an export, all of one kind: frame of `importers.rows.EXPORT_SCHEMA`.
        items: New rows of recently-played: ``track_id``, ``track_name``, ``artist_name``, ``duration_ms``,
            ``api_played_at``.
        reconsidered: Instants of stored facts about which the catalogue knows more than before.
        renamed: New import keys of stored plays, by their ids.
    """
    if renamed:
        new_key = pl.col("id").replace_strict(renamed, default=pl.col("import_key"), return_dtype=pl.String())
        stored = stored.with_columns(import_key=new_key)
    known = stored.filter(pl.col("import_key").is_not_null())
    of_names = kind_of("import_key").is_not_null()
    named_rows = None if rows is None else rows.filter(of_names)
    exports = lay_out(_export_facts(known.filter(~of_names), None if rows is None else rows.filter(~of_names)))
    api = _api_facts(stored, items)
    play_rows = _exact_plays(exports, api)
    if (named_rows is not None and named_rows.height) or named_facts(stored):
        play_rows = _with_named(play_rows, _named_facts(stored, named_rows, catalogue), catalogue)
    return _differences(play_rows, stored, _core(rows, items, reconsidered), renamed or {})


def _core(
    rows: pl.DataFrame | None, items: pl.DataFrame | None, reconsidered: pl.Series | None
) -> tuple[datetime, datetime]:
    """The interval in which stored plays may change."""
    instants = [
        *([] if rows is None else rows["import_ts"].drop_nulls()),
        *([] if items is None else items["api_played_at"]),
        *([] if reconsidered is None else reconsidered),
    ]
    return min(instants) - SETTLED_BEYOND, max(instants) + SETTLED_BEYOND


def _export_facts(known: pl.DataFrame, rows: pl.DataFrame | None) -> pl.DataFrame:
    facts = [_shaped(known.rename({"id": "play"}), EXPORT_FACTS), _numbered(rows, EXPORT_FACTS)]
    return pl.concat(facts)


def _api_facts(stored: pl.DataFrame, items: pl.DataFrame | None) -> pl.DataFrame:
    known = stored.with_columns(api_played_at=API_STAMP).drop_nulls("api_played_at").rename({"id": "play"})
    facts = pl.concat([_shaped(known, API_FACTS), _numbered(items, API_FACTS)])
    # Duplicates come from a crash between writing a fact to one play and removing it from another.
    return facts.unique(["track_id", "api_played_at"], keep="first", maintain_order=True)


def _exact_plays(exports: pl.DataFrame, api: pl.DataFrame) -> pl.DataFrame:
    """Every play that the extended history or the API reports: a frame of `PLAY_ROWS`."""
    pairs = pl.DataFrame(schema={"left": pl.UInt32, "right": pl.UInt32})
    if exports.height and api.height:
        pairs = match_export_rows(exports, api)
    names = ("track_name", "artist_name", "track_id")
    exported = exports.with_row_index("left").rename({"play": "export_play", "row": "export_row"})
    reported = api.with_row_index("right").rename({"play": "api_play", "row": "api_row"})
    of_exports = exported.join(pairs, on="left", how="left").join(
        reported.drop(names), on="right", how="left", maintain_order="left"
    )
    of_api = reported.join(pairs, on="right", how="anti").with_columns(
        played_at="api_played_at", played_at_estimated=pl.lit(value=False)
    )
    play_rows = pl.concat([_shaped(of_exports, PLAY_ROWS), _shaped(of_api, PLAY_ROWS)])
    return play_rows.with_columns(number=pl.int_range(pl.len(), dtype=pl.UInt32))


def _with_named(play_rows: pl.DataFrame, named: pl.DataFrame, catalogue: TrackIds) -> pl.DataFrame:
    """Attach the facts of `NAMED_KINDS` to the plays they report; facts that fit no play become plays of their own."""
    names = play_rows.select(pl.col("artist_name", "track_name").fill_null(""))
    ended_at = pl.coalesce("import_ts", "api_played_at")
    plays = play_rows.select(
        "number",
        "ms_played",
        *compared(names.iter_rows()),
        track_ids=pl.concat_list("track_id"),
        told_by=pl.coalesce("import_key", "track_id"),
        ended_at=ended_at,
        started_at=_started_at(ended_at, pl.coalesce("ms_played", "duration_ms")),
        reported_at=pl.when(pl.col("import_ts").is_null()).then("api_played_at"),
    )
    members: list[tuple[int, int]] = []
    alone: list[int] = []
    named = named.with_row_index("fact")
    for kind in NAMED_KINDS:
        facts = named.filter(pl.col("kind") == kind)
        # Account data have the end of a play; scrobbling services have its start, some of them its end.
        starts = {} if kind in STAMPED_AT_START else {"started_at": pl.lit(None, UTC_MS)}
        lengths = {"ms_played": pl.lit(None, pl.Int64())} if kind in ROUGH_LENGTHS else {}
        candidates = plays.with_columns(**starts)
        matches = match_named_rows(facts.with_columns(**lengths), candidates, precision_ms=PRECISION_MS[kind])
        members.extend(
            zip(plays["number"].gather(matches["right"]), facts["fact"].gather(matches["left"]), strict=True)
        )
        rest = facts.with_row_index("left").join(matches, on="left", how="anti")
        # A less precise source may report the same play again.
        first = play_rows.height + len(alone)
        stamp = pl.col("import_ts")
        new = rest.select(
            number=pl.int_range(first, first + rest.height, dtype=pl.UInt32),
            ms_played="ms_played",
            **{name: pl.col(name) for name in COMPARED},
            track_ids="track_ids",
            told_by="import_key",
            ended_at=stamp,
            started_at=_started_at(stamp, pl.col("ms_played")),
            reported_at=pl.lit(None, UTC_MS),
        )
        plays = pl.concat([plays, new])
        members.extend(zip(new["number"], rest["fact"], strict=True))
        alone.extend(rest["fact"])
    first_ids = named["track_ids"].list.first().to_list()
    ids: dict[int, str] = {}
    for number, fact in members:  # The most precise fact with an id decides.
        if first_ids[fact] is not None:
            ids.setdefault(number, first_ids[fact])
    named_ids = [ids.get(number) for number in range(play_rows.height, play_rows.height + len(alone))]
    play_rows = pl.concat([play_rows, _alone(play_rows, named[alone], named_ids, catalogue)])
    by_play = (
        pl.DataFrame(members, schema={"number": pl.UInt32, "fact": pl.UInt32}, orient="row")
        .join(named.select("fact", named=pl.struct("import_key", "play", "row")), on="fact", maintain_order="left")
        .group_by("number", maintain_order=True)
        .agg("named")
    )
    return play_rows.drop("named").join(by_play, on="number", how="left", maintain_order="left")


def _alone(
    play_rows: pl.DataFrame, named: pl.DataFrame, named_ids: Sequence[str | None], catalogue: TrackIds
) -> pl.DataFrame:
    """Plays that only names report, each with its own end, in the order of `named` and of `named_ids`."""
    resolved = catalogue.resolved(named["identity"].to_list())
    pairs = zip(named_ids, named["identity"], strict=True)
    track_ids = pl.Series([named_id or resolved.get(names, names) for named_id, names in pairs], dtype=pl.String)
    placed = lay_out(named.with_columns(track_id=track_ids, offline_at=pl.lit(None, UTC_MS)))
    taken = set(play_rows.select("track_id", pl.col("played_at").dt.epoch("ms")).iter_rows())
    ends = {}
    for track, end, fact in (
        placed.sort("played_at", "fact", descending=[True, False])
        .select("track_id", pl.col("played_at").dt.epoch("ms"), "fact")
        .iter_rows()
    ):
        free = end
        while (track, free) in taken:
            free -= 1
        taken.add((track, free))
        ends[fact] = free
    numbers = pl.int_range(play_rows.height, play_rows.height + named.height, dtype=pl.UInt32)
    plays = named.with_columns(
        number=numbers,
        track_id=track_ids,
        played_at=pl.Series([ends[fact] for fact in named["fact"]], dtype=pl.Int64).cast(UTC_MS),
        played_at_estimated=pl.lit(value=True),
    )
    return _shaped(plays.drop("play", "row", "import_ts"), PLAY_ROWS)


def _named_facts(stored: pl.DataFrame, rows: pl.DataFrame | None, catalogue: TrackIds) -> pl.DataFrame:
    main = stored.filter(kind_of("import_key").is_not_null()).select("import_key", play="id")
    also = stored.explode("also_imported").drop_nulls("also_imported").select(import_key="also_imported", play="id")
    columns = {"play": pl.String(), "row": pl.UInt32(), "import_key": pl.String()}
    facts = pl.concat([_shaped(main, columns), _shaped(also, columns), _numbered(rows, columns)])
    facts = facts.unique("import_key", keep="first", maintain_order=True).sort("import_key")
    keys = [parsed_key(key) for key in facts["import_key"]]
    recordings = catalogue.recordings({key.isrc for key in keys if key.isrc})
    track_ids = [[key.track_id] if key.track_id else list(recordings.get(key.isrc or "", ())) for key in keys]
    return facts.with_columns(
        *compared((key.artist, key.title) for key in keys),
        kind=kind_of("import_key"),
        import_ts=pl.Series([key.stamp for key in keys], dtype=UTC_MS),
        ms_played=pl.Series([key.ms_played for key in keys], dtype=pl.Int64),
        track_ids=pl.Series(track_ids, dtype=pl.List(pl.String)),
    )


def _differences(
    play_rows: pl.DataFrame, stored: pl.DataFrame, core: tuple[datetime, datetime], renamed: Collection[str]
) -> Reconciliation:
    """The plays in `play_rows` that have to be written; those of `renamed` in any case."""
    facts = _facts(play_rows)
    of_stored = facts.drop_nulls("play").group_by("play").agg(facts_stored=pl.len())
    of_plays = facts.group_by("number", maintain_order=True).agg(
        pl.col("play").first(),
        facts=pl.len(),
        new=pl.col("row").is_not_null().any(),
        plays=pl.col("play").n_unique(),
    )
    was = stored.select(play="id", was_at="played_at", was_estimated="played_at_estimated", was_track="track_id")
    judged = (
        play_rows.join(of_plays, on="number").join(of_stored, on="play", how="left").join(was, on="play", how="left")
    )
    same = (
        ~pl.col("new")
        & (pl.col("plays") == 1)
        & (pl.col("facts") == pl.col("facts_stored"))
        & (pl.col("played_at") == pl.col("was_at"))
        & (pl.col("played_at_estimated") == pl.col("was_estimated"))
        & (pl.col("track_id") == pl.col("was_track"))
        & ~pl.col("play").is_in(list(renamed))
    )
    differing = judged.filter(~same.fill_null(value=False), pl.col("new") | pl.col("played_at").is_between(*core))
    of_names = pl.when(pl.col("api_row").is_null()).then(pl.col("named").list.first().struct.field("row"))
    differing = differing.with_columns(only_row=pl.when(pl.col("facts") == 1).then(pl.coalesce("export_row", of_names)))
    plain = pl.col("only_row").is_not_null()
    # If the facts of a stored play are split, the best fact keeps its id.
    owners = dict(
        facts.drop_nulls("play").unique("play", keep="first", maintain_order=True).select("play", "number").iter_rows()
    )
    changed = [_composition(play, owners) for play in differing.filter(~plain).iter_rows(named=True)]
    involved = set[str]().union(*(composition.stored for composition in changed))
    return Reconciliation(
        inserts=differing.filter(plain).select("track_id", "played_at", "played_at_estimated", row="only_row"),
        changed=changed,
        vanished=sorted(involved - {composition.play for composition in changed}),
    )


def _facts(play_rows: pl.DataFrame) -> pl.DataFrame:
    """Every fact with the ``number`` of its play and its own ``play`` and ``row``, the best kind first."""
    named = play_rows.select("number", "named").explode("named").drop_nulls("named").unnest("named")
    return pl.concat(
        [
            play_rows.select("number", play="export_play", row="export_row"),
            play_rows.select("number", play="api_play", row="api_row"),
            named.select("number", "play", "row"),
        ]
    ).filter(pl.any_horizontal(pl.col("play", "row").is_not_null()))


def _composition(row: dict[str, Any], owners: Mapping[str, int]) -> Composition:
    def source(kind: str) -> Source | None:
        found = Source(row[f"{kind}_play"], row[f"{kind}_row"])
        return None if found == (None, None) else found

    composition = Composition(
        play=None,
        track_id=row["track_id"],
        export=source("export"),
        api=source("api"),
        named=tuple(NamedFact(fact["import_key"], Source(fact["play"], fact["row"])) for fact in row["named"] or ()),
        played_at=row["played_at"],
        played_at_estimated=row["played_at_estimated"],
    )
    owned = [play for play in sorted(composition.stored) if owners[play] == row["number"]]
    best = [source.play for source in composition.sources if source.play in owned]
    return replace(composition, play=best[0] if best else None)


def _started_at(ended_at: pl.Expr, lasted_ms: pl.Expr) -> pl.Expr:
    return (ended_at - pl.duration(milliseconds=lasted_ms)).cast(UTC_MS)


def _shaped(rows: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in rows.columns]
    return rows.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def _numbered(rows: pl.DataFrame | None, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame(schema=schema) if rows is None else _shaped(rows.with_row_index("row"), schema)
