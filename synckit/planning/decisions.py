"""Decisions on a plan, carried out: records left out, what that blocks, and conflicts resolved."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.planning.tables import CARRIED_OUT, CHANGES

if TYPE_CHECKING:
    from synckit.planning.plan import Decision, PlanBase

SIDE_OF = {"to": "local", "from": "integration"}


def carried_out(base: PlanBase, decisions: tuple[Decision, ...]) -> tuple[pa.Table, pa.Table]:
    """ROWS and CHANGES with the decisions carried out in their order; then what rested on an excluded row is blocked, through any
    number of links."""
    rows, changes = _resolved(base, tuple(d for d in decisions if d.kind == "resolve"))
    return _excluded(base, rows, tuple(d for d in decisions if d.kind != "resolve")), changes


def _excluded(base: PlanBase, rows: pa.Table, decisions: tuple[Decision, ...]) -> pa.Table:
    """ROWS without what is left out, and with what that blocks."""
    if not decisions:
        return rows
    excluded: set[tuple[str, str, int]] = set()
    columns = {
        c: rows.column(c).to_pylist()
        for c in ("mapping", "pass", "record", "step", "local_key", "integration_key", "disposition", "reason", "code")
    }
    n = rows.num_rows
    writes = [d in CARRIED_OUT for d in columns["disposition"]]
    by_key: dict[tuple[str, str, str], list[int]] = {}
    of_mapping: dict[str, list[int]] = {}
    for i in range(n):
        if columns["step"][i] == 1 or columns["disposition"][i] != "unchanged":
            of_mapping.setdefault(columns["mapping"][i], []).append(i)
            for side in ("local_key", "integration_key"):
                if columns[side][i]:
                    by_key.setdefault((columns["mapping"][i], side, columns[side][i]), []).append(i)
    for decision in decisions:
        if not decision.records:
            hits = of_mapping.get(decision.mapping, [])
        else:
            hits = []
            for in_pass, local, integration in decision.records:
                side, key = ("local_key", local) if local else ("integration_key", integration)
                hits += [i for i in by_key.get((decision.mapping, side, key), []) if in_pass in ("", columns["pass"][i])]
        for i in hits:
            place = (columns["mapping"][i], columns["pass"][i], columns["record"][i])
            if decision.kind == "exclude" and writes[i]:
                excluded.add(place)
            elif decision.kind == "include":
                excluded.discard(place)
    names = {(columns["mapping"][i], columns["pass"][i], columns["record"][i]): i for i in range(n - 1, -1, -1)}
    blocked: dict[tuple[str, str, int], str] = {}
    children: dict[tuple[str, str, int], list[tuple[tuple[str, str, int], str]]] = {}
    for row in base.depends.to_pylist():
        parent = (row["parent_mapping"], row["parent_pass"], row["parent_record"])
        children.setdefault(parent, []).append(((row["mapping"], row["pass"], row["record"]), row["field"]))
    queue = sorted(excluded)
    while queue:
        parent = queue.pop()
        for child, field in children.get(parent, []):
            if child not in blocked and child not in excluded:
                blocked[child] = f"Blocked by {parent[0]} {_called(rows, names[parent])}, which is left out ({field})."
                queue.append(child)
    disposition, reason, code = columns["disposition"], columns["reason"], columns["code"]
    references = _second_step_parents(base)
    for i in range(n):
        place = (columns["mapping"][i], columns["pass"][i], columns["record"][i])
        if not writes[i]:
            continue
        if place in excluded:
            disposition[i], reason[i], code[i] = "excluded", "Left out by you.", "excluded"
        elif place in blocked:
            disposition[i], reason[i], code[i] = "blocked", blocked[place], "blocked"
        elif columns["step"][i] == 2 and (references.get(place, place) in excluded or references.get(place, place) in blocked):
            disposition[i], reason[i], code[i] = "excluded", "The record that it refers to is left out.", "excluded"
    for name, values in (("disposition", disposition), ("reason", reason), ("code", code)):
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), pa.array(values, pa.string()))
    return rows


def _second_step_parents(base: PlanBase) -> dict[tuple[str, str, int], tuple[str, str, int]]:
    """Second-step row -> the planned record that it refers to."""
    second = base.changes.filter(pc.and_(pc.equal(base.changes.column("step"), 2), pc.is_valid(base.changes.column("ref_key"))))
    if not second.num_rows:
        return {}
    creates = base.rows.filter(pc.equal(base.rows.column("disposition"), "create"))
    where = {}
    for row in creates.select(["mapping", "pass", "record", "local_key", "integration_key"]).to_pylist():
        key = row["local_key"] if row["pass"] == "to" else row["integration_key"]
        where[row["mapping"], key] = (row["mapping"], row["pass"], row["record"])
    return {
        (c["mapping"], c["pass"], c["record"]): where[c["ref_mapping"], c["ref_key"]]
        for c in second.to_pylist()
        if (c["ref_mapping"], c["ref_key"]) in where
    }


def _called(rows: pa.Table, index: int) -> str:
    row = rows.slice(index, 1).to_pylist()[0]
    return row["local_name"] or row["integration_name"] or row["local_key"] or row["integration_key"] or ""


def check_resolution(base: PlanBase, decision: Decision) -> None:
    """Raise SynckitError where a resolve names no conflict, an unknown side or field, or leaves a field open."""
    records = _conflicting(base, decision)
    if not records:
        key = decision.records[0][1] or decision.records[0][2]
        raise SynckitError(f'The plan has no conflict of {decision.mapping} with the key "{key}".')
    for record in records:
        _winners(base, decision, record)


def _conflicting(base: PlanBase, decision: Decision) -> list[int]:
    r = base.rows
    mine = pc.and_(
        pc.equal(r.column("mapping"), decision.mapping),
        pc.is_in(r.column("disposition"), pa.array(["conflict", "loses to policy"])),
    )
    found = []
    for row in r.filter(mine).select(["record", "local_key", "integration_key"]).to_pylist():
        for _, local, integration in decision.records:
            if row["record"] not in found and (row["local_key"] == local or (not local and row["integration_key"] == integration)):
                found.append(row["record"])
    return found


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
    for line in base.conflicts.to_pylist():
        place = (line["mapping"], line["record"])
        if place not in winners:
            continue
        if not line["two_way"] or winners[place][0].get(line["field"]) == SIDE_OF[line["pass"]]:
            added.append({name: line[name] for name in CHANGES.names})
            writes.add((line["mapping"], line["pass"], line["record"]))
    rows = base.rows.to_pylist()
    for row in rows:
        place = (row["mapping"], row["record"])
        if place in winners and row["disposition"] in ("conflict", "loses to policy"):
            decision = winners[place][1]
            row["disposition"] = "update" if (row["mapping"], row["pass"], row["record"]) in writes else "unchanged"
            row["code"], row["reason"] = "resolved", f"You decided this conflict: {decision.value}."
    changes = pa.concat_tables([base.changes, pa.Table.from_pylist(added, CHANGES)])
    return pa.Table.from_pylist(rows, base.rows.schema), changes
