"""Finds the new rows of an extended history: rows with equal identity may be copies, or separate plays.

An identity is instant, track and time played. Rows that share it within one file are separate plays. Rows of different
files, in one import or in several, are copies of each other if their `DETAILS` agree as far as both have them; if these
differ, they are separate plays. So neither the split of an export into files nor the order of files matters; a zip
beside its own folder, or an export beside a later one, adds nothing twice.

Rows of one identity are numbered in the order of their details. If a new row belongs between stored ones, the stored
ones get new numbers.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import polars as pl

DETAILS = ("reason_start", "reason_end", "shuffle")
"""What distinguishes rows of one identity; empty where an export does not have it."""
REWORDED_FROM = 20
"""If more rows of one part of a file than this, and than one in `REWORDED_SHARE`, differ from the stored ones, the
exporter has changed its wording: the rows are copies."""
REWORDED_SHARE = 20

_NUMBERED = r"(?s)^(.*)\|([0-9]+)$"


class NumberedRow(NamedTuple):
    """A row of one identity: its details, its number and its place (the id of a stored play, or the row's position)."""

    details: tuple[str, ...]
    number: int
    place: str | int


class FreshRows(NamedTuple):
    """The rows of an export that no stored play contains, and new import keys of stored plays by their ids."""

    rows: pl.DataFrame
    renamed: Mapping[str, str]


def fresh_rows(rows: pl.DataFrame, stored: pl.DataFrame) -> FreshRows:
    """Separate new rows from those already stored.

    Args:
        rows: Rows of one file of the extended history: frame of `importers.rows.EXPORT_SCHEMA`; ``import_key`` ends
            with the number of the row among those of its identity in that file.
        stored: Frame of `facts.STORED_SCHEMA` with all plays of the same instants.
    """
    given = _with_details(rows.with_row_index("place"))
    known = _with_details(stored.filter(pl.col("import_key").is_not_null()).rename({"id": "place"}))
    # Few identities have several rows on either side. They have a key that ends with a number other than 1.
    import_keys = pl.concat([given["import_key"], known["import_key"]])
    several = import_keys.filter(~import_keys.str.ends_with("|1")).str.replace(_NUMBERED, "$1|1").unique().implode()
    once = given.filter(pl.col("import_key").str.ends_with("|1"), ~pl.col("import_key").is_in(several))
    alone = once.join(known, on="import_key", how="anti").select("place", "import_key")
    copies = once.join(known, on=["import_key", *DETAILS], how="semi").select("place", "import_key")
    undecided = _with_identity(given.join(pl.concat([alone, copies]), on="place", how="anti"))
    if undecided.is_empty() and alone.height == rows.height:
        return FreshRows(rows, {})
    known = _with_identity(known.head(0) if undecided.is_empty() else known).join(undecided, on="identity", how="semi")
    keys, renamed = _decided(_groups(undecided), _groups(known), rows.height)
    numbered = pl.DataFrame({"place": list(keys), "fresh": list(keys.values())}, schema=_FRESH)
    named = pl.concat([alone.rename({"import_key": "fresh"}), numbered])
    new = rows.with_row_index("place").join(named, on="place", how="inner", maintain_order="left")
    return FreshRows(new.with_columns(import_key="fresh").drop("place", "fresh"), renamed)


_FRESH = {"place": pl.UInt32(), "fresh": pl.String()}


def _with_details(rows: pl.DataFrame) -> pl.DataFrame:
    """``place``, ``import_key`` and `DETAILS` as texts."""
    return rows.select("place", "import_key", *(pl.col(name).cast(pl.String).fill_null("") for name in DETAILS))


def _with_identity(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with ``identity`` and ``number`` in place of the key; keys without an identity are left out."""
    key = pl.col("import_key").str.extract_groups(_NUMBERED)
    columns = {"identity": key.struct.field("1"), "number": key.struct.field("2").cast(pl.UInt32)}
    return rows.select("place", *DETAILS, **columns).drop_nulls("identity")


def _groups(rows: pl.DataFrame) -> dict[str, list[NumberedRow]]:
    groups: dict[str, list[NumberedRow]] = {}
    for identity, number, place, *details in rows.select("identity", "number", "place", *DETAILS).iter_rows():
        groups.setdefault(identity, []).append(NumberedRow(tuple(details), number, place))
    return groups


def _decided(
    given: Mapping[str, list[NumberedRow]], known: Mapping[str, list[NumberedRow]], row_count: int
) -> tuple[dict[int, str], dict[str, str]]:
    """The keys of new rows by their places, and new keys of stored plays by their ids.

    Args:
        given: Rows by their identities.
        known: Stored plays by the same identities.
        row_count: The number of all rows.
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
    """Split rows of one identity: those that differ from all stored ones, and the others, exact copies last."""
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
