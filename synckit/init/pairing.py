"""Which tables of two systems belong together, and which of their columns: by name, by meaning, and by the values they share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from synckit.init.looking import FoundColumn, FoundTable
from synckit.init.names import VERSIONS, column_likeness, folded, is_kept_by_system, meaning, table_likeness
from synckit.mapping.schema import Column, Kind, Table

#: Kinds whose values turn into each other without surprise.
_GROUPS: tuple[frozenset[Kind], ...] = (
    frozenset({"text", "code"}),
    frozenset({"integer", "decimal"}),
    frozenset({"date", "datetime"}),
)
#: Share of values two columns of different names must have in common, and how many values at least.
_OVERLAP, _SHARED = 0.5, 5
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_TABLES_COMPARED_BY_COLUMNS = 2500
#: Meanings that tell one record from another, the surest first.
_MATCHES = ("taxid", "email", "number", "name")


@dataclass(frozen=True)
class Known:
    """A table that can take part: as its schema describes it (only columns that are there), and as it was found."""

    table: Table
    found: FoundTable

    def stored(self, column: Column) -> FoundColumn:
        hit = self.found.find(column.column, column.name)
        assert hit is not None
        return hit


@dataclass(frozen=True)
class FieldPair:
    local: Column
    integration: Column
    why: str
    direction: str = "bidirectional"
    match: bool = False
    lookup: str = ""


@dataclass(frozen=True)
class TablePair:
    name: str
    local: Known
    integration: Known
    why: str
    fields: tuple[FieldPair, ...]
    left: tuple[str, ...] = ()


def own_table(found: FoundTable) -> tuple[Table | None, str]:
    """The schema of a table as found, and a sentence on what was chosen; None (and why) where no one column names a row."""
    unique = [column for column in found.columns if column.unique]
    alone = found.primary_key[0] if len(found.primary_key) == 1 else ""
    keys = sorted(
        unique, key=lambda c: (c.type != "guid", c.name != alone, c.type not in ("integer", "text"), not _named_key(c, found))
    )
    if not keys:
        near = _nearest_key(found)
        return None, (
            f"{found.name}: no single column is unique and filled in every row, so its rows cannot be coupled."
            + (f" The nearest one to mend: {near}." if near else "")
        )
    uid = keys[0]
    version, doubt = version_of(found)
    named = next(
        (c for word in ("name", "lastname") for c in found.columns if c.type == "text" and meaning(c.name, found.name) == word),
        None,
    )
    primary = found.primary_key or (uid.name,)
    there = {column.name for column in found.columns}
    columns = tuple(
        Column(
            name=c.name,
            column=c.name,
            type=c.type,
            length=c.length,
            scale=c.scale,
            nullable=c.nullable and c.name != uid.name,
            primary_key=c.name in primary,
        )
        for c in found.columns
    )
    why = (
        "the primary key"
        if uid.name == alone
        else "a GUID in every row"
        if uid.type == "guid"
        else "unique and filled in every row"
    )
    better = doubtful_key(found, uid.name)
    why += f"; {better}" if better else ""
    table = Table(
        name=found.name,
        table=found.name,
        primary_key=tuple(name for name in primary if name in there) or (uid.name,),
        uid=uid.name,
        modified_on=version.name if version else None,
        name_column=named.name if named else None,
        columns=columns,
    )
    return table, f"uid: {why}." + (f" {doubt}" if doubt else "")


def doubtful_key(found: FoundTable, uid: str) -> str:
    """What kept the column that is called like a key from being it, where another one, such as the name, had to take its place."""
    column = found.find(uid)
    declared = found.primary_key == (uid,)
    return "" if column is None or declared or column.type == "guid" or _named_key(column, found) else _nearest_key(found)


def _nearest_key(found: FoundTable) -> str:
    """What keeps the likeliest column from being a key, so that it can be mended; "" where none is near."""
    likely: list[tuple[bool, int, str]] = []
    for column in found.columns:
        texts = [value for value in column.values if value]
        more = len(texts) - len(set(texts))
        if texts and 2 * len(set(texts)) >= len(column.values) and column.type in ("guid", "integer", "text") and not column.unique:
            faults = [f"is empty in {rows(column.nulls)}"] if column.nulls else []
            twice = next((value for value in texts if texts.count(value) > 1), "") if more else ""
            faults += [f"holds {json.dumps(twice, ensure_ascii=False)} {texts.count(twice)} times"] if twice else []
            if faults:
                likely.append((not _named_key(column, found), more + column.nulls, f"{column.name} {' and '.join(faults)}"))
    return min(likely, default=(True, 0, ""))[2]


def rows(n: int) -> str:
    return f"{n:,} {'row' if n == 1 else 'rows'}"


def _named_key(column: FoundColumn, found: FoundTable) -> bool:
    word = meaning(column.name, found.name)
    return word in ("id", "number", "guid", "uuid", "key") or folded(column.name).endswith("id")


def version_of(found: FoundTable) -> tuple[FoundColumn | None, str]:
    """The column that says when a row was last changed, and what to look at where there is none, or none without gaps."""
    by_name = {folded(column.name): column for column in found.columns}
    gaps = ""
    for name in VERSIONS:
        column = by_name.get(name)
        if column is None:
            continue
        if column.type not in ("datetime", "integer"):
            odd = next((value for value in column.values if value and not _MOMENT.match(value)), "")
            if odd:
                gaps = gaps or (
                    f"{column.name} holds {json.dumps(odd, ensure_ascii=False)}, which is no moment as synckit reads it "
                    "(2026-01-31T08:00:00), so it cannot tell versions."
                )
            continue
        if column.nulls:
            gaps = gaps or f"{column.name} is empty in {rows(column.nulls)}, so it cannot tell versions; fill it and name it here."
            continue
        return column, ""
    return None, gaps or "No column says when a row was last changed: changes are found by comparing, and writes are less guarded."


def pair_tables(local: Sequence[Known], integration: Sequence[Known]) -> list[TablePair]:
    """Tables that belong together, each in one pair at most, the surest first; names are unique and at most 20 characters long."""
    by_columns = len(local) * len(integration) <= _TABLES_COMPARED_BY_COLUMNS
    scored = []
    for one in local:
        for other in integration:
            likeness = table_likeness(one.found.name, other.found.name)
            if not likeness and not by_columns:
                continue
            fields = pair_columns(one, other)
            shared = sum("of values in common" in field.why for field in fields)
            score = likeness + 0.1 * min(len(fields), 6) + 0.1 * min(shared, 4)
            if fields and score >= 0.7 and (likeness or (len(fields) >= 3 and shared >= 2)):
                scored.append((-score, one.found.name, other.found.name, one, other, likeness, fields))
    scored.sort(key=lambda item: item[:3])
    taken: set[tuple[str, str]] = set()
    names: set[str] = set()
    pairs = []
    for _, a, b, one, other, likeness, fields in scored:
        if ("local", a) in taken or ("integration", b) in taken:
            continue
        taken |= {("local", a), ("integration", b)}
        alike = {1.0: "the same name", 0.9: "names of one meaning", 0.7: "similar names"}.get(
            likeness, "alike in columns and values"
        )
        used = {f.local.name for f in fields} | {f"{f.integration.name}\0" for f in fields}
        left = tuple(
            f"no counterpart found on the other side for {side} {', '.join(names_left)}"
            for side, names_left in (
                ("local", [c.name for c in _pairable(one) if c.name not in used]),
                ("integration", [c.name for c in _pairable(other) if f"{c.name}\0" not in used]),
            )
            if names_left
        )
        why = f"{alike}, {len(fields)} columns that belong together; {one.found.rows:,} and {rows(other.found.rows)}."
        pairs.append(TablePair(_mapping_name(one, names), one, other, why, tuple(fields), left))
    return _with_lookups(pairs)


def _mapping_name(known: Known, names: set[str]) -> str:
    base = " ".join(known.table.name.rpartition("$")[2].replace("_", " ").split()).upper()[:20].strip() or "TABLE"
    name, number = base, 2
    while name in names:
        name, number = f"{base[:17]} {number}", number + 1
    names.add(name)
    return name


def _pairable(known: Known) -> list[Column]:
    """The columns that carry something: no technical keys, no references, nothing that the system keeps itself."""
    skipped = {known.table.uid, known.table.modified_on}
    return [
        column
        for column in known.table.columns
        if not (column.name in skipped and column.kind not in ("text", "code"))
        and column.name != known.table.modified_on
        and column.kind != "guid"
        and not (column.primary_key and column.kind == "integer")
        and not is_kept_by_system(column.name)
        and not is_kept_by_system(column.column)
        and not known.stored(column).references
        and not (column.kind == "integer" and folded(column.name).endswith("id"))
    ]


def pair_columns(local: Known, integration: Known) -> list[FieldPair]:
    """Columns that belong together, each in one pair at most, in the order of the local table, with the reason of each."""
    scored = []
    for a, one in enumerate(_pairable(local)):
        for b, other in enumerate(_pairable(integration)):
            if one.kind != other.kind and not any({one.kind, other.kind} <= group for group in _GROUPS):
                continue
            if not one.writable and not other.writable:
                continue
            likeness, why = _likeness(one, other, local, integration)
            shared, share = _overlap(local.stored(one), integration.stored(other))
            by_values = one.kind != "boolean" and shared >= _SHARED and share >= _OVERLAP
            if not likeness and not by_values:
                continue
            if by_values:
                why = ", ".join(part for part in (why, f"{share:.0%} of values in common") if part)
            elif shared == 0 and min(len(local.stored(one).distinct), len(integration.stored(other).distinct)) >= 20:
                why += ", but no value in common: look at it"
            scored.append((-(likeness + 0.6 * share), a, b, one, other, why))
    scored.sort(key=lambda item: item[:3])
    taken: set[tuple[str, int]] = set()
    pairs: list[tuple[int, FieldPair]] = []
    for _, a, b, one, other, why in scored:
        if ("local", a) in taken or ("integration", b) in taken:
            continue
        taken |= {("local", a), ("integration", b)}
        direction = (
            "bidirectional" if one.writable and other.writable else "to_integration" if other.writable else "from_integration"
        )
        pairs.append((a, FieldPair(one, other, why, direction)))
    return _with_match([pair for _, pair in sorted(pairs, key=lambda item: item[0])], local, integration)


def _likeness(one: Column, other: Column, local: Known, integration: Known) -> tuple[float, str]:
    tables = (local.found.name, integration.found.name)
    by_name = column_likeness(one.name, other.name, *tables)
    by_column = column_likeness(one.column, other.column, *tables)
    return max(by_name, by_column, key=lambda pair: pair[0])


def _overlap(one: FoundColumn, other: FoundColumn) -> tuple[int, float]:
    """How many values two columns share, and which part of the shorter list that is."""
    smaller = min(len(one.distinct), len(other.distinct))
    shared = len(one.distinct & other.distinct)
    return shared, shared / smaller if smaller else 0.0


def _with_match(pairs: list[FieldPair], local: Known, integration: Known) -> list[FieldPair]:
    """The pair that tells records apart best becomes the criterion of coupling by match."""

    def rank(pair: FieldPair) -> int:
        words = (meaning(pair.local.name, local.found.name), meaning(pair.integration.name, integration.found.name))
        stored = (local.stored(pair.local), integration.stored(pair.integration))
        telling = all(len(c.distinct) >= 0.5 * max(1, sum(v is not None for v in c.values)) and c.distinct for c in stored)
        shared = _overlap(*stored)[0]
        hits = [_MATCHES.index(word) for word in words if word in _MATCHES]
        return min(hits) if hits and telling and shared else len(_MATCHES)

    best = min(pairs, key=rank, default=None)
    if best is None or rank(best) == len(_MATCHES):
        return pairs
    return [replace(pair, match=pair is best) for pair in pairs]


def _with_lookups(pairs: list[TablePair]) -> list[TablePair]:
    """Foreign keys of both tables of a pair that lead to the tables of another pair become a field that travels through its
    couplings. Planning resolves references by text, so those kept as numbers are named and left out."""

    def references(known: Known, to: Known, key: str) -> Iterable[Column]:
        for column in known.table.columns:
            referred = known.stored(column).references
            if (
                referred
                and referred[0].casefold() == to.found.name.casefold()
                and (referred[1] or key).casefold() == key.casefold()
            ):
                yield column

    result = []
    for pair in pairs:
        found: list[FieldPair] = []
        left = list(pair.left)
        for parent in pairs:
            ones = list(references(pair.local, parent.local, parent.local.table.primary_key[0]))
            others = list(references(pair.integration, parent.integration, parent.integration.table.uid))
            if not len(ones) == len(others) == 1 or parent is pair:
                continue
            one, other = ones[0], others[0]
            if {one.kind, other.kind} <= {"text", "code", "guid"}:
                found.append(FieldPair(one, other, f"both refer to the tables of {parent.name}", lookup=parent.name))
            else:
                left.append(f"references kept as numbers: {one.name} / {other.name}, to {parent.name}")
        result.append(replace(pair, fields=(*pair.fields, *found), left=tuple(left)))
    return _without_circles(result)


def _without_circles(pairs: list[TablePair]) -> list[TablePair]:
    """Lookups that would make mappings wait for each other are left out, the last first."""
    kept: dict[str, set[str]] = {pair.name: set() for pair in pairs}

    def reaches(start: str, goal: str) -> bool:
        return start == goal or any(reaches(parent, goal) for parent in kept[start])

    result = []
    for pair in pairs:
        fields = []
        for field in pair.fields:
            if field.lookup and reaches(field.lookup, pair.name):
                continue
            if field.lookup:
                kept[pair.name].add(field.lookup)
            fields.append(field)
        result.append(replace(pair, fields=tuple(fields)))
    return result
