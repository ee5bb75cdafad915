"""Decisions on a plan, carried out: records left out, what that blocks, and conflicts resolved."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.planning.judging import with_couples, without_warning
from synckit.planning.tables import CARRIED_OUT, CHANGES

if TYPE_CHECKING:
    from synckit.planning.plan import Decision, PlanBase

SIDE_OF = {"to": "local", "from": "integration"}


def carried_out(base: PlanBase, decisions: tuple[Decision, ...]) -> tuple[pa.Table, pa.Table]:
    """ROWS and CHANGES with the decisions carried out in their order; then what rested on an excluded row is blocked, through any
    number of links."""
    rows, changes = _resolved(base, tuple(d for d in decisions if d.kind == "resolve"))
    on_duplicates = tuple(d for d in decisions if d.kind in ("couple", "create", "not_the_same"))
    if on_duplicates:
        rows, changes = with_couples(base, rows, changes, on_duplicates)
        rows = without_warning(base, rows, on_duplicates)
    return _excluded(base, rows, tuple(d for d in decisions if d.kind in ("exclude", "include"))), changes


def _excluded(base: PlanBase, rows: pa.Table, decisions: tuple[Decision, ...]) -> pa.Table:
    """ROWS without what is left out, and with what that blocks. Only rows that a decision names are looked at one by one."""
    if not decisions:
        return rows
    places = _places(base, rows)
    disposition = rows.column("disposition")
    writes = pc.is_in(disposition, pa.array(CARRIED_OUT)).to_numpy()
    named = pc.or_(pc.equal(rows.column("step"), 1), pc.not_equal(disposition, "unchanged")).to_numpy()
    hits = _rows_of_keys(base, rows, decisions, named)
    excluded: set[int] = set()
    for decision in decisions:
        if not decision.records:
            found = np.flatnonzero(named & (places // (2 * PLACES) == base.order.index(decision.mapping)))
        else:
            found = np.array(sorted({i for record in decision.records for i in hits(decision.mapping, record)}), dtype=np.int64)
        if decision.kind == "exclude":
            excluded.update(places[found[writes[found]]].tolist())
        elif decision.kind == "include":
            excluded.difference_update(places[found].tolist())
    order = np.argsort(places, kind="stable")
    blocked: dict[int, str] = {}
    queue = sorted(excluded)
    while queue:
        parent = queue.pop()
        for child, field in base.children.get(parent, []):
            if child not in blocked and child not in excluded:
                first = int(order[np.searchsorted(places, parent, sorter=order)])
                name = base.order[parent // (2 * PLACES)]
                blocked[child] = f"Blocked by {name} {_called(rows, first)}, which is left out ({field})."
                queue.append(child)
    left_out = writes & np.isin(places, np.fromiter(excluded, np.int64))
    waiting = writes & ~left_out & np.isin(places, np.fromiter(blocked, np.int64))
    alone = np.zeros(len(places), dtype=bool)  # second steps whose record is written, but not the record that they refer to
    references = _second_step_parents(base)
    for i in np.flatnonzero(writes & ~left_out & ~waiting & (rows.column("step").to_numpy() == 2)):
        parent = references.get(int(places[i]), int(places[i]))
        alone[i] = parent in excluded or parent in blocked
    reasons = pa.array([blocked[int(p)] for p in places[waiting]], pa.string())
    for mask, values in (
        (left_out, ("excluded", "Left out by you.", "excluded")),
        (waiting, ("blocked", reasons, "blocked")),
        (alone, ("excluded", "The record that it refers to is left out.", "excluded")),
    ):
        if mask.any():
            for column, value in zip(("disposition", "reason", "code"), values, strict=True):
                put = pa.array([value] * int(mask.sum()), pa.string()) if isinstance(value, str) else value
                changed = pc.replace_with_mask(rows.column(column).combine_chunks(), pa.array(mask), put)
                rows = rows.set_column(rows.schema.get_field_index(column), rows.schema.field(column), changed)
    return rows


#: A record's place as one number: (mapping's number in the order * 2 + pass) * PLACES + record.
PLACES = 1 << 40


def _places(base: PlanBase, table: pa.Table, prefix: str = "") -> np.ndarray:
    """The place of every line: its mapping, pass and record as one number."""
    mapping = pc.index_in(table.column(f"{prefix}mapping"), value_set=pa.array(base.order, pa.string())).to_numpy()
    in_pass = pc.equal(table.column(f"{prefix}pass"), "from").to_numpy()
    return (mapping.astype(np.int64) * 2 + in_pass) * PLACES + table.column(f"{prefix}record").to_numpy()


def children_of(base: PlanBase) -> dict[int, list[tuple[int, str]]]:
    """Place of a planned row -> the places that wait for it, and the field in which they refer to it."""
    d = base.depends
    found: dict[int, list[tuple[int, str]]] = {}
    parents, children = _places(base, d, "parent_").tolist(), _places(base, d).tolist()
    for parent, child, field in zip(parents, children, d.column("field").to_pylist(), strict=True):
        found.setdefault(parent, []).append((child, field))
    return found


def _rows_of_keys(
    base: PlanBase, rows: pa.Table, decisions: tuple[Decision, ...], named: np.ndarray
) -> Callable[[str, tuple[str, str, str]], list[int]]:
    """A function (mapping, record of a decision) -> numbers of the rows that it names."""
    sought = [record for decision in decisions for record in decision.records]
    found: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
    for side, keys in (
        ("local_key", {r[1] for r in sought if r[1]}),
        ("integration_key", {r[2] for r in sought if not r[1] and r[2]}),
    ):
        if keys:
            here = np.flatnonzero(named & pc.is_in(rows.column(side), pa.array(sorted(keys), pa.string())).to_numpy())
            lines = rows.select([side, "mapping", "pass"]).take(pa.array(here))
            for i, key, name, in_pass in zip(here.tolist(), *(c.to_pylist() for c in lines.columns), strict=True):
                found.setdefault((side, key), []).append((i, name, in_pass))

    def hits(mapping: str, record: tuple[str, str, str]) -> list[int]:
        in_pass, local, integration = record
        side, key = ("local_key", local) if local else ("integration_key", integration)
        return [i for i, name, p in found.get((side, key), ()) if name == mapping and in_pass in ("", p)]

    return hits


def _second_step_parents(base: PlanBase) -> dict[int, int]:
    """Place of a second-step row -> place of the planned record that it refers to."""
    c = base.changes
    second = c.filter(pc.and_(pc.equal(c.column("step"), 2), pc.is_valid(c.column("ref_key"))))
    if not second.num_rows:
        return {}
    creates = base.rows.filter(pc.equal(base.rows.column("disposition"), "create"))
    key = pc.if_else(pc.equal(creates.column("pass"), "to"), creates.column("local_key"), creates.column("integration_key"))
    where = dict(
        zip(zip(creates.column("mapping").to_pylist(), key.to_pylist(), strict=True), _places(base, creates).tolist(), strict=True)
    )
    references = zip(second.column("ref_mapping").to_pylist(), second.column("ref_key").to_pylist(), strict=True)
    return {place: where[ref] for place, ref in zip(_places(base, second).tolist(), references, strict=True) if ref in where}


def _called(rows: pa.Table, index: int) -> str:
    row = rows.slice(index, 1).to_pylist()[0]
    return row["local_name"] or row["integration_name"] or row["local_key"] or row["integration_key"] or ""


MERGED = "Changed in both systems, each in fields of its own: merged."  # the note of a decision that nobody had to take


def merging(base: PlanBase, rows: pa.Table) -> list[Decision]:
    """Decisions that merge every conflict among `rows` in which no field was changed on both sides."""
    from synckit.planning.plan import Decision

    found: dict[str, list[tuple[str, str, str]]] = {}
    conflicts = rows.filter(pc.equal(rows.column("disposition"), "conflict")).select(["mapping", "local_key", "integration_key"])
    for row in conflicts.group_by(conflicts.column_names).aggregate([]).to_pylist():
        record = ("", row["local_key"] or "", row["integration_key"] or "")
        with suppress(SynckitError):  # something collides, or is not known
            check_resolution(base, Decision("resolve", row["mapping"], (record,), value="merge"))
            found.setdefault(row["mapping"], []).append(record)
    return [Decision("resolve", name, tuple(sorted(records)), MERGED, value="merge") for name, records in sorted(found.items())]


def check_resolution(base: PlanBase, decision: Decision) -> None:
    """Raise SynckitError where a resolve names no conflict, an unknown side or field, or leaves a field open."""
    records = _conflicting(base, decision)
    if not records:
        key = decision.records[0][1] or decision.records[0][2]
        raise SynckitError(f'The plan has no conflict of {decision.mapping} with the key "{key}".')
    for record in records:
        _winners(base, decision, record)


def _conflicting(base: PlanBase, decision: Decision) -> list[int]:
    found = []
    for row in base.conflicting.get(decision.mapping, ()):
        for _, local, integration in decision.records:
            if row["record"] not in found and (row["local_key"] == local or (not local and row["integration_key"] == integration)):
                found.append(row["record"])
    return found


def conflicting_rows(base: PlanBase) -> dict[str, list[dict[str, Any]]]:
    """Mapping -> record and keys of its rows that are a conflict, one that a policy settles too."""
    rows = base.rows.filter(_open_to_decision(base, base.rows))
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows.select(["mapping", "record", "local_key", "integration_key"]).to_pylist():
        found.setdefault(row["mapping"], []).append(row)
    return found


def _open_to_decision(base: PlanBase, rows: pa.Table) -> pa.Array:
    """Per row whether a decision on a conflict may change it: the pass has differing fields, and nothing else stands in its way."""
    fields = pc.is_in(pa.array(_places(base, rows)), pa.array(np.unique(_places(base, base.conflicts))))
    dispositions = pa.array(["conflict", "loses to policy", "update", "unchanged"])
    first = pc.equal(rows.column("step"), pa.scalar(1, pa.int8()))
    return pc.and_(pc.and_(fields, first), pc.is_in(rows.column("disposition"), dispositions))


def _winners(base: PlanBase, decision: Decision, record: int) -> dict[str, str]:
    """Field -> the side whose value is taken, for every field that goes both ways and differs."""
    c = base.conflicts
    lines = c.filter(pc.and_(pc.equal(c.column("mapping"), decision.mapping), pc.equal(c.column("record"), record))).to_pylist()
    changed_by = {line["field"]: line["changed_by"] for line in lines if line["two_way"]}
    use = decision.value
    if use in ("local", "integration"):
        return dict.fromkeys(changed_by, use)
    chosen: dict[str, str] = {} if use == "merge" else _chosen(use)
    for field, side in chosen.items():
        if field not in changed_by:
            raise SynckitError(
                f'The conflict does not differ in the field "{field}"; it differs in {", ".join(sorted(changed_by))}.'
            )
        if side not in ("local", "integration"):
            raise SynckitError(f'"{side}" is no side. Write local or integration for the field {field}.')
    for field, who in changed_by.items():
        if field not in chosen and who not in ("local", "integration"):
            why = "both sides changed it" if who == "both" else "it is not known which side changed it"
            raise SynckitError(
                f"{field} cannot be merged: {why}. Choose a side for it: use={{{field!r}: 'local'}} or 'integration'."
            )
    return {field: chosen.get(field, who) for field, who in changed_by.items()}


def _chosen(text: str) -> dict[str, str]:
    try:
        chosen = json.loads(text)
    except ValueError:
        chosen = None
    if not isinstance(chosen, dict):
        raise SynckitError(f'A conflict is resolved with local, integration, merge or a side per field, not "{text}".')
    return {str(k): str(v) for k, v in chosen.items()}


def _resolved(base: PlanBase, decisions: tuple[Decision, ...]) -> tuple[pa.Table, pa.Table]:
    """ROWS and CHANGES in which decided conflicts have become updates; the last decision on a record counts."""
    winners: dict[tuple[str, int], tuple[dict[str, str], Decision]] = {}
    for decision in decisions:
        for record in _conflicting(base, decision):
            winners[decision.mapping, record] = (_winners(base, decision, record), decision)
    if not winners:
        return base.rows, base.changes
    added: list[dict[str, Any]] = []
    writes: set[tuple[str, str, int]] = set()
    c = base.conflicts
    for line in c.filter(pc.is_in(c.column("record"), pa.array(sorted({r for _, r in winners}), pa.int64()))).to_pylist():
        place = (line["mapping"], line["record"])
        if place not in winners:
            continue
        if not line["two_way"] or winners[place][0].get(line["field"]) == SIDE_OF[line["pass"]]:
            added.append({name: line[name] for name in CHANGES.names})
            writes.add((line["mapping"], line["pass"], line["record"]))
    rows = base.rows
    records = pa.array(sorted({record for _, record in winners}), pa.int64())
    mask = pc.and_(_open_to_decision(base, rows), pc.is_in(rows.column("record"), records))
    here = [
        (i, row) for i, row in zip(np.flatnonzero(mask.to_numpy()).tolist(), rows.filter(mask).to_pylist(), strict=True)
        if (row["mapping"], row["record"]) in winners
    ]  # fmt: skip
    at = np.zeros(rows.num_rows, dtype=bool)
    at[[i for i, _ in here]] = True
    became = ["update" if (r["mapping"], r["pass"], r["record"]) in writes else "unchanged" for _, r in here]
    decided = [winners[r["mapping"], r["record"]][1] for _, r in here]
    why = [MERGED if d.note == MERGED else f"You decided this conflict: {d.value}." for d in decided]
    for column, values in (("disposition", became), ("code", ["resolved"] * len(here)), ("reason", why)):
        put = pc.replace_with_mask(rows.column(column).combine_chunks(), pa.array(at), pa.array(values, pa.string()))
        rows = rows.set_column(rows.schema.get_field_index(column), rows.schema.field(column), put)
    # what a policy would have written gives way
    mine = np.isin(_places(base, base.changes), _places(base, rows)[at]) & (base.changes.column("step").to_numpy() == 1)
    changes = pa.concat_tables([base.changes.filter(pa.array(~mine)), pa.Table.from_pylist(added, CHANGES)])
    return rows, changes
