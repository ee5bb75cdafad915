"""What values mean that are numbers or keys: the label of an option, the name of the record that a reference leads to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import PassingError, SynckitError
from synckit.planning.bind import DESTINATION, SIDES, Side
from synckit.planning.creates import VALUE
from synckit.planning.snapshot import option_labels
from synckit.planning.stage import canonical
from synckit.planning.tables import CALLED
from synckit.systems.protocol import Snapshot, System

if TYPE_CHECKING:
    from synckit.mapping.schema import Column, Table
    from synckit.planning.engine import Planning
    from synckit.planning.plan import PlanBase
    from synckit.planning.planned_mapping import MappingPlan

MOST = 20_000  # different values of one column that are looked up; where there are more, the keys stay as they are


def names_of(system: System, snapshot: Snapshot, table: Table, column: Column, values: Iterable[str]) -> dict[str, str]:
    """Value of a column (canonical text) -> what it is called, for those of `values` that are called anything: labels of an option
    set, or names of referenced records, in the first referenced table that has one. Texts and codes speak for themselves."""
    wanted = {v for v in values if v}
    if column.kind == "option":
        labels = {str(value): label for value, label in option_labels(table, column, snapshot, system)}
        return {v: labels[v] for v in wanted & labels.keys()}
    found: dict[str, str] = {}
    if column.kind != "guid" or len(wanted) > MOST:
        return found
    for other in filter(None, map(system.schema.find, column.references)):
        lost = sorted(wanted - found.keys())
        if lost and other.name_column and other.column(other.uid).kind == "guid" and system.physical_columns(other) is not None:
            uid, name = other.column(other.uid), other.column(other.name_column)
            read = snapshot.read(other, list(dict.fromkeys([uid.name, name.name])), keys=lost, key_column=uid.name).read_all()
            keys = canonical(pc.cast(read.column(uid.name), pa.string()), uid).to_pylist()
            found |= {k: str(n) for k, n in zip(keys, read.column(name.name).to_pylist(), strict=True) if n}
    return found


def called(planning: Planning, parts: Sequence[MappingPlan]) -> pa.Table:
    """CALLED for everything that the plan writes, overwrites, or stops at."""
    lines: list[dict[str, Any]] = []
    for part in parts:
        for in_pass, side in DESTINATION.items():
            tables = [t.filter(pc.equal(t.column("pass"), in_pass)) for t in (part.changes, part.conflicts)]
            creates = part.creates.get((part.head.name, in_pass))
            created = {} if creates is None else {n.removeprefix(VALUE): n for n in creates.column_names if n.startswith(VALUE)}
            for name in sorted({*created, *(c for t in tables for c in pc.unique(t.column("column")).to_pylist())}):
                place = _column(planning, part, side, name)
                if place is None:
                    continue
                of = [t.filter(pc.equal(t.column("column"), name)) for t in tables]
                values = [t.column(which) for t in of for which in ("old", "new")]
                if creates is not None and name in created:
                    values.append(creates.column(created[name]))
                wanted = {v for array in values for v in pc.unique(array).to_pylist() if v}
                on, table, column = place
                try:
                    names = names_of(planning.systems[on], planning.snapshots[on], table, column, wanted)
                except PassingError:
                    raise
                except (
                    SynckitError
                ):  # a table of users that this login may not read: keys must do, and the plan holds without names
                    return pa.Table.from_pylist(lines, CALLED)
                if column.kind == "guid":
                    names |= _created_names(parts, wanted - names.keys())
                lines += [{"mapping": part.head.name, "pass": in_pass, "column": name, "value": v, "name": n} for v, n in sorted(names.items())]  # fmt: skip
    return pa.Table.from_pylist(lines, CALLED)


def _column(planning: Planning, part: MappingPlan, side: Side, name: str) -> tuple[Side, Table, Column] | None:
    """The side, table and column behind a name, where its values may be called something: of the mapping's own table, or of the one
    that a second step writes into, on whichever side."""
    sides = sorted(SIDES, key=lambda s: s != side)
    tables = [(side, part.bound.side(side).table), *((s, b.side(s).table) for s in sides for b in planning.bound.values())]
    for on, table in tables:
        column = table.find(name)
        if column is not None:
            return (on, table, column) if column.kind == "option" or (column.kind == "guid" and column.references) else None
    return None


def _created_names(parts: Sequence[MappingPlan], keys: set[str]) -> dict[str, str]:
    """Keys of records that the plan itself creates -> what these will be called."""
    found: dict[str, str] = {}
    for part in parts if keys else ():
        for (_, in_pass), creates in part.creates.items():
            name = part.bound.side(DESTINATION[in_pass]).table.name_column  # type: ignore[index]
            if name is not None and VALUE + name in creates.column_names:
                mine = creates.filter(pc.is_in(creates.column("key"), value_set=pa.array(sorted(keys))))
                found |= dict(zip(mine.column("key").to_pylist(), mine.column(VALUE + name).to_pylist(), strict=True))
    return {k: v for k, v in found.items() if v}


def with_names(base: PlanBase, fields: pa.Table, rows: pa.Table) -> pa.Table:
    """`fields` (CHANGES, CONFLICTS) with the columns old_name and new_name: what the two values are called, null where they speak for
    themselves. A value that is yet to come is called by the planned row it comes from."""
    known = base.called
    touched = pc.is_in(fields.column("column").combine_chunks(), value_set=pc.unique(known.column("column")))
    mine, places = fields.filter(touched), _joined(known, "value")
    for which in ("old", "new"):
        names = pa.nulls(fields.num_rows, pa.string())
        if mine.num_rows:
            at = pc.index_in(_joined(mine, which), value_set=places)
            names = pc.replace_with_mask(names, touched, known.column("name").combine_chunks().take(at))
        if which == "new":
            names = pc.coalesce(names, _planned_names(fields, rows))
        fields = fields.append_column(f"{which}_name", names)
    return fields


def _joined(table: pa.Table, value: str) -> pa.Array:
    """mapping, pass, column and a value as one text, to compare by; null where the value is."""
    parts = [table.column(n).combine_chunks() for n in ("mapping", "pass", "column", value)]
    return pc.binary_join_element_wise(*parts, "\x1f")


def _planned_names(fields: pa.Table, rows: pa.Table) -> pa.Array:
    """The names of the planned rows that values wait for."""
    refs = fields.column("ref_key").combine_chunks()
    if refs.null_count == len(refs):
        return pa.nulls(fields.num_rows, pa.string())
    keys = pa.table({"m": fields.column("ref_mapping"), "k": refs}).filter(pc.is_valid(refs))
    mine = rows.filter(pc.is_in(rows.column("mapping"), pc.unique(keys.column("m"))))
    names: dict[tuple[str, str], str] = {}
    for side in SIDES:
        of = mine.filter(pc.is_in(mine.column(f"{side}_key"), pc.unique(keys.column("k"))))
        for mapping, key, one, other in zip(*(of.column(c).to_pylist() for c in ("mapping", f"{side}_key", f"{side}_name", "local_name")), strict=True):  # fmt: skip
            if one or other:
                names[mapping, key] = one or other
    pairs = zip(fields.column("ref_mapping").to_pylist(), refs.to_pylist(), strict=True)
    return pa.array([None if k is None else names.get((m, k)) for m, k in pairs], pa.string())


__all__ = ["called", "names_of", "with_names"]
