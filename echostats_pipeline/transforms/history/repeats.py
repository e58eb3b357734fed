"""Which rows of an extended history are new: rows of one identity may be copies, or plays of their own.

An identity is instant, track and time played. Rows that share it within one file are as many plays. Across files, those
of one import or of many, rows are copies of each other where `DETAILS` agree, as far as both sides tell them, and plays
of their own where these differ. So it does not matter how the rows of an export are split over files, nor in which
order files come; a zip beside its own folder, or an export beside a later one, adds nothing twice.

Rows of one identity are numbered in the order of their details. Where a new one comes in between, the stored ones are
numbered anew.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import polars as pl

DETAILS = ("reason_start", "reason_end", "shuffle")
"""What tells apart rows of one identity; empty where an export does not say."""
REWORDED_FROM = 20
"""So many rows of a part of a file, and one in `REWORDED_SHARE`, do not differ by chance from those stored for them: an
exporter words things otherwise, and they are copies."""
REWORDED_SHARE = 20

_NUMBERED = r"(?s)^(.*)\|([0-9]+)$"


class NumberedRow(NamedTuple):
    """A row of one identity: how it began and ended, its number, and where it stands: a play's id, or a row's place."""

    details: tuple[str, ...]
    number: int
    place: str | int


class FreshRows(NamedTuple):
    """The rows of an export that no stored play holds, and new import keys of stored plays by their ids."""

    rows: pl.DataFrame
    renamed: Mapping[str, str]


def fresh_rows(rows: pl.DataFrame, stored: pl.DataFrame) -> FreshRows:
    """Tell new rows from those stored already.

    Args:
        rows: Rows of one file of the extended history: frame of `importers.rows.EXPORT_SCHEMA`; ``import_key`` ends
            with the number of the row among those of its identity in that file.
        stored: Frame of `facts.STORED_SCHEMA` with all plays of the same instants.
    """
    given = _with_details(rows.with_row_index("place"))
    known = _with_details(stored.filter(pl.col("import_key").is_not_null()).rename({"id": "place"}))
    # The few identities that either has several times are those with a key that ends with another number than 1.
    import_keys = pl.concat([given["import_key"], known["import_key"]])
    several = import_keys.filter(~import_keys.str.ends_with("|1")).str.replace(_NUMBERED, "$1|1").unique().implode()
    once = given.filter(pl.col("import_key").str.ends_with("|1"), ~pl.col("import_key").is_in(several))
    alone = once.join(known, on="import_key", how="anti").select("place", "import_key")
    copies = once.join(known, on=["import_key", *DETAILS], how="semi").select("place", "import_key")
    undecided = _told(given.join(pl.concat([alone, copies]), on="place", how="anti"))
    if undecided.is_empty() and alone.height == rows.height:
        return FreshRows(rows, {})
    known = _told(known.head(0) if undecided.is_empty() else known).join(undecided, on="identity", how="semi")
    keys, renamed = _decided(_groups(undecided), _groups(known), rows.height)
    numbered = pl.DataFrame({"place": list(keys), "fresh": list(keys.values())}, schema=_FRESH)
    named = pl.concat([alone.rename({"import_key": "fresh"}), numbered])
    new = rows.with_row_index("place").join(named, on="place", how="inner", maintain_order="left")
    return FreshRows(new.with_columns(import_key="fresh").drop("place", "fresh"), renamed)


_FRESH = {"place": pl.UInt32(), "fresh": pl.String()}


def _with_details(rows: pl.DataFrame) -> pl.DataFrame:
    """``place``, ``import_key`` and `DETAILS` as texts."""
    return rows.select("place", "import_key", *(pl.col(name).cast(pl.String).fill_null("") for name in DETAILS))


def _told(rows: pl.DataFrame) -> pl.DataFrame:
    """The same, with ``identity`` and ``number`` in place of the key; what is no key of an identity is left out."""
    key = pl.col("import_key").str.extract_groups(_NUMBERED)
    columns = {"identity": key.struct.field("1"), "number": key.struct.field("2").cast(pl.UInt32)}
    return rows.select("place", *DETAILS, **columns).drop_nulls("identity")


def _groups(told: pl.DataFrame) -> dict[str, list[NumberedRow]]:
    groups: dict[str, list[NumberedRow]] = {}
    for identity, number, place, *details in told.select("identity", "number", "place", *DETAILS).iter_rows():
        groups.setdefault(identity, []).append(NumberedRow(tuple(details), number, place))
    return groups


def _decided(
    given: Mapping[str, list[NumberedRow]], known: Mapping[str, list[NumberedRow]], row_count: int
) -> tuple[dict[int, str], dict[str, str]]:
    """The keys of new rows by their places, and new keys of stored plays by their ids.

    Args:
        given: Rows by their identities.
        known: Stored plays by the same ones.
        row_count: How many rows there are in all.
    """
    judged = {identity: _unknown(rows, known.get(identity, ())) for identity, rows in given.items()}
    differing = sum(len(apart) for identity, (apart, _) in judged.items() if identity in known)
    reworded = differing > max(REWORDED_FROM, row_count // REWORDED_SHARE)
    keys: dict[int, str] = {}
    renamed: dict[str, str] = {}
    for identity, rows in given.items():
        apart, alike = judged[identity]
        have = known.get(identity, [])
        more = max(row.number for row in rows) - len(have)
        count = more if reworded else max(more, len(apart))
        if count <= 0:
            continue
        new = [*apart, *alike][:count]
        ordered = sorted([*have, *new], key=lambda row: (row.details, isinstance(row.place, int), row.number))
        for number, row in enumerate(ordered, 1):
            if isinstance(row.place, int):
                keys[row.place] = f"{identity}|{number}"
            elif row.number != number:
                renamed[row.place] = f"{identity}|{number}"
    return keys, renamed


def _unknown(rows: Iterable[NumberedRow], have: Iterable[NumberedRow]) -> tuple[list[NumberedRow], list[NumberedRow]]:
    """Rows of one identity that differ from all stored ones; and the others, those last that a stored one equals."""
    left = Counter(row.details for row in have)
    stored = set(left)
    apart, further, equal = [], [], []
    for row in rows:
        twin = (
            row.details
            if left[row.details] > 0
            else next((one for one in left if left[one] and _agree(row, one)), None)
        )
        if twin is not None:
            left[twin] -= 1
            equal.append(row)
        elif any(_agree(row, one) for one in stored):
            further.append(row)
        else:
            apart.append(row)
    return apart, [*further, *equal]


def _agree(row: NumberedRow, details: tuple[str, ...]) -> bool:
    return all(one == other or not one or not other for one, other in zip(row.details, details, strict=True))
