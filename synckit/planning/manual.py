"""Plans that people make by hand: couple, uncouple, restore, delete, retry. Each is a Plan first, and planning writes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from synckit.errors import SynckitError
from synckit.ledger.couplings import integration_is_coupled, local_is_coupled
from synckit.mapping.model import PASS_DIRECTION, Pass
from synckit.mapping.order import dependency_order
from synckit.mapping.schema import nearest
from synckit.planning.bind import DESTINATION, SIDES, SOURCE, BoundMapping, Side
from synckit.planning.engine import QUIET, Planning, assemble, plan_mappings
from synckit.planning.looking import Lost, Seen, look, lost, plain_text
from synckit.planning.overlay import OverlaidLedger, Overlay
from synckit.planning.plan import Plan
from synckit.planning.planned_mapping import MappingHead, MappingPlan, fingerprint
from synckit.planning.snapshot import option_rows
from synckit.planning.tables import CHANGES, CONFLICTS, DEPENDS, DUPLICATES, ERRORS, REVIEW, ROWS

Chosen = Mapping[str, frozenset[int] | None]  #: per mapping the ids of couplings; None: all of them
Line = dict[str, Any]


# -- couple ------------------------------------------------------------------------------------------------------------------------


def coupling(
    planning: Planning, name: str, given: Sequence[tuple[str, str]], sync: Pass | None, starting_from: Side, operator: str
) -> Plan:
    """Couple the pairs `given` as (local, integration), each a key, a number or a name; with `sync` the first synchronisation of
    that direction is planned over the new couplings.

    From the local side a coupled record is re-pointed (S-028); from the integration side that is refused (M12, S-027). A coupling
    whose local row is gone gives way (S-029), any other one stands (M11); a row outside the integration filter is refused (M15).
    """
    bound = planning.bound[name]
    if sync is not None and sync not in bound.mapping.passes():
        raise SynckitError(
            f"Mapping {name} is not set up for {PASS_DIRECTION[sync].replace('_', ' ')}: its direction is {bound.mapping.direction}."
        )
    keys = {side: find_keys(planning, bound, side, [p[n] for p in given]) for n, side in enumerate(SIDES)}
    pairs = list(dict.fromkeys(zip(keys["local"], keys["integration"], strict=True)))
    couplings = planning.ledger.couplings(name).to_pylist()
    own = {c["local_key"]: (c["integration_key"], c["id"]) for c in couplings}
    holder = {c["integration_key"]: (c["local_key"], c["id"]) for c in couplings}
    locals_ = {*(p[0] for p in pairs), *(holder[i][0] for _, i in pairs if i in holder)}
    seen = _seen(planning, bound, "local", locals_), _seen(planning, bound, "integration", {*(p[1] for p in pairs), *(own[k][0] for k, _ in pairs if k in own)})  # fmt: skip
    in_pass = sync or bound.mapping.passes()[0]
    rows: list[Line] = []
    changes: list[Line] = []
    accepted: list[tuple[str, str]] = []
    wanted: list[tuple[str, str]] = []  # what a first synchronisation is asked for
    gone: set[int] = set()
    for local, integration in pairs:
        here, there = seen[0][local], seen[1][integration]
        row = row_line(name, in_pass, len(rows), here, there)
        refused = ""
        before, taken = own.get(local), holder.get(integration)
        if before is not None and before[0] == integration:
            if sync is None:
                rows.append({**row, "disposition": "skipped", "code": "already_coupled", "coupled": True,
                             "reason": f"{here.called} and {there.called} are coupled to each other already."})  # fmt: skip
            wanted.append((local, integration))
            continue
        if not there.inside:
            refused = (
                f"{name}: {there.called} cannot be coupled, because the mapping's integration filter leaves it out. "
                "Choose another record, or change the filter."
            )
            row["code"] = "outside_integration_filter"
        elif before is not None and starting_from == "integration":
            refused = local_is_coupled(name, here.called, _called(seen[1], before[0]), there.called)
            row["code"] = "local_coupled"
        elif taken is not None and taken[0] in seen[0]:
            refused = integration_is_coupled(name, there.called, _called(seen[0], taken[0]), here.called)
            row["code"] = "integration_coupled"
        if refused:
            rows.append({**row, "disposition": "will fail", "reason": refused})
            continue
        reason = f"{here.called} and {there.called} are coupled."
        if before is not None:
            reason = f"{here.called} is coupled to {there.called} instead of {_called(seen[1], before[0])}."
            changes.append(change_line(row, "coupling", "integration_key", before[0], integration, "coupling"))
            gone.add(before[1])
            holder.pop(before[0], None)
        if taken is not None:
            reason += f" The coupling of {there.called} to {taken[0]}, which no longer exists, gives way."
            changes.append(change_line(row, "coupling", "local_key", taken[0], local, "coupling"))
            gone.add(taken[1])
            own.pop(taken[0], None)
        own[local], holder[integration] = (integration, -1), (local, -1)
        rows.append({**row, "disposition": "coupling", "code": "recoupled" if before or taken else "coupled", "reason": reason,
                     "warnings": ["recoupled"] if before or taken else []})  # fmt: skip
        accepted = [p for p in accepted if own.get(p[0], ("",))[0] == p[1]] + [(local, integration)]
        wanted.append((local, integration))
    looked: dict[Side, int] = {s: len({p[n] for p in pairs}) for n, s in enumerate(SIDES)}
    part = mapping_part(planning, bound, rows, changes, [], (in_pass,), looked)
    if sync is not None and wanted:
        planning.ledger = OverlaidLedger(planning.ledger, Overlay(pairs={name: accepted}, gone={name: frozenset(gone - {-1})}))
        chosen: dict[Side, frozenset[str]] = {side: frozenset(p[n] for p in wanted) for n, side in enumerate(SIDES)}
        planning.request = replace(planning.request, chosen={name: chosen})
        part = _joined(part, plan_mappings(planning, [name])[0])
    return assembled(planning, [part], "coupling", operator)


def _joined(hand: MappingPlan, first: MappingPlan) -> MappingPlan:
    """Couplings and the synchronisation planned over them as one: the latter's records come first, and wait for their coupling."""
    start = max([-1, *first.rows.column("record").to_pylist()]) + 1
    moved = {n: t.set_column(t.schema.get_field_index("record"), "record", pa.array([r + start for r in t.column("record").to_pylist()], pa.int64()))
             for n, t in (("rows", hand.rows), ("changes", hand.changes))}  # fmt: skip
    of_key = {r["local_key"]: r["record"] for r in moved["rows"].to_pylist() if r["disposition"] == "coupling"}
    depends = [
        {"mapping": r["mapping"], "pass": r["pass"], "record": r["record"], "parent_mapping": r["mapping"], "parent_pass": r["pass"],
         "parent_record": of_key[r["local_key"]], "field": "coupling"}
        for r in first.rows.to_pylist() if r["step"] == 1 and r["local_key"] in of_key
    ]  # fmt: skip
    first.rows = pa.concat_tables([moved["rows"], first.rows])
    first.changes = pa.concat_tables([moved["changes"], first.changes])
    first.depends = pa.concat_tables([first.depends, pa.Table.from_pylist(depends, DEPENDS)])
    return first


def find_keys(planning: Planning, bound: BoundMapping, side: Side, given: Sequence[str]) -> list[str]:
    """Keys for keys, numbers or names as people write them; a name is looked up whole, else by its beginning (1.11, M14)."""
    of = bound.side(side)
    guids = of.option_set is None and of.uid.kind == "guid"
    known = _seen(planning, bound, side, {_as_guid(g) if guids else g for g in given} - {""})
    found: dict[str, str] = {g: key for g in given if (key := _as_guid(g) if guids else g) in known}
    rest = [g for g in dict.fromkeys(given) if g not in found]
    if rest:
        every = _seen(planning, bound, side, None).values()
        for text in rest:
            found[text] = _named(planning, bound, side, text, every)
    return [found[g] for g in given]


def _named(planning: Planning, bound: BoundMapping, side: Side, text: str, every: Iterable[Seen]) -> str:
    folded = text.strip().casefold()
    by_name = [(s.key, (s.name or "").casefold()) for s in every] if folded else []
    for hits in (
        [s.key for s in every if folded and s.code == text],
        [key for key, name in by_name if name == folded],
        [key for key, name in by_name if name.startswith(folded)],
    ):
        if len(hits) == 1:
            return hits[0]
        if hits:
            raise SynckitError(
                f'{len(hits)} records of {bound.name} in {planning.systems[side].title} are called "{text}". Give the key of one.'
            )
    table = bound.side(side).table
    near = nearest(text, [s.code or s.called for s in every][:5000])
    raise SynckitError(f'{planning.systems[side].title} has no record "{text}" in {table.caption or table.name}.{near}')


def _as_guid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return ""


# -- uncouple ----------------------------------------------------------------------------------------------------------------------


def uncoupling(planning: Planning, chosen: Chosen, operator: str) -> Plan:
    """Remove couplings (engine-behaviour 6): the company id on the integration row is cleared where it is this workspace's, children
    of an uncoupled customer or vendor go with it, and for a whole mapping stray company ids are cleared, too."""
    couplings = {name: planning.ledger.couplings(name).to_pylist() for name in planning.bound}
    wanted = {n: [c for c in couplings[n] if ids is None or c["id"] in ids] for n, ids in chosen.items()}
    whole = {n for n, ids in chosen.items() if ids is None}
    children: dict[str, dict[int, tuple[str, str]]] = {}  # mapping -> coupling id -> (parent's mapping, parent's local key)
    for name in dependency_order(planning.workspace.mappings):
        for parent, lines in list(wanted.items()):
            if lines and any(r.children is not None for r in planning.bound[name].rules):
                for line, parent_key in _children(planning, name, parent, lines, couplings[name]):
                    children.setdefault(name, {})[line["id"]] = (parent, parent_key)
    for name, found in children.items():
        known = {c["id"] for c in wanted.get(name, [])}
        wanted[name] = [*wanted.get(name, []), *(c for c in couplings[name] if c["id"] in found and c["id"] not in known)]
    parts: list[MappingPlan] = []
    records: dict[tuple[str, str], tuple[str, int]] = {}  # (mapping, local key) -> pass and record of its uncoupling
    for name in (n for n in dependency_order(planning.workspace.mappings) if n in wanted):
        parts.append(_uncoupled(planning, name, wanted[name], name in whole, children.get(name, {}), records))
    return assembled(planning, parts, "uncoupling", operator)


def _children(planning: Planning, name: str, parent: str, lines: list[Line], couplings: list[Line]) -> list[tuple[Line, str]]:
    """Couplings of `name` that go with those of `parent`, each with its parent's local key."""
    side = planning.bound[parent].local
    seen = look(side, planning.snapshots["local"], planning.systems["local"], [c["local_key"] for c in lines])
    parents = {s.code: (c["integration_key"], s.key) for c in lines if (s := seen.get(c["local_key"])) is not None and s.code}
    by_pair = {(c["local_key"], c["integration_key"]): c for c in couplings}
    found: list[tuple[Line, str]] = []
    for rule in planning.bound[name].rules:
        if rule.children is not None and by_pair:
            children = rule.children(parent, {code: key for code, (key, _) in parents.items()}, list(by_pair), planning.tables)
            found += [(by_pair[local, integration], parents[code][1]) for local, integration, code in children]
    return found


def _uncoupled(
    planning: Planning,
    name: str,
    lines: list[Line],
    whole: bool,
    children: Mapping[int, tuple[str, str]],
    records: dict[tuple[str, str], tuple[str, int]],
) -> MappingPlan:
    bound = planning.bound[name]
    in_pass: Pass = "to" if "to" in bound.mapping.passes() else "from"
    company = planning.workspace.integration.company_id or planning.workspace.local.company_id or ""
    mark = company_column(bound) if in_pass == "to" and company else None
    columns = [mark] if mark is not None else []
    here = _seen(planning, bound, "local", {c["local_key"] for c in lines})
    there = _seen(planning, bound, "integration", None if whole and mark else {c["integration_key"] for c in lines}, columns)
    rows: list[Line] = []
    changes: list[Line] = []
    depends: list[Line] = []
    title = planning.systems["integration"].title
    table = f"integration:{bound.integration.table.name}"
    for c in lines:
        local, integration = here.get(c["local_key"]), there.get(c["integration_key"])
        row = row_line(name, in_pass, len(rows), local, integration, c)
        marked = integration is not None and mark is not None and _is_company(integration.values[mark], company)
        reason = "Uncoupled."
        if c["id"] in children:
            parent, key = children[c["id"]]
            reason = f"Uncoupled with its parent in {parent}."
            if (parent, key) in records:
                depends.append({"mapping": name, "pass": in_pass, "record": row["record"], "parent_mapping": parent,
                                "parent_pass": records[parent, key][0], "parent_record": records[parent, key][1], "field": "parent"})  # fmt: skip
        if local is None or integration is None:
            missing = "Neither record exists" if local is integration else "Its local record no longer exists" if local is None else "Its integration record no longer exists"  # fmt: skip
            reason += f" {missing}." if local or integration else f" {missing} any more."
        if marked:
            assert mark is not None and integration is not None
            reason += f" The company id of {integration.called} in {title} is cleared."
            changes.append(change_line(row, "company", mark, plain_text(integration.values[mark]), None, "company"))
        rows.append({**row, "disposition": "uncoupling", "code": "uncoupled", "reason": reason, "coupled": True,
                     "table": table if marked else None})  # fmt: skip
        records[name, c["local_key"]] = (in_pass, row["record"])
    if whole and mark is not None:
        coupled = set(planning.ledger.couplings(name).column("integration_key").to_pylist())
        for key in sorted(there.keys() - coupled):
            stray = there[key]
            # the filter tells customers from vendors in a table that both share (reference: rows inside the mapping's filter)
            if stray.inside and _is_company(stray.values[mark], company):
                row = row_line(name, in_pass, len(rows), None, stray)
                changes.append(change_line(row, "company", mark, plain_text(stray.values[mark]), None, "company"))
                rows.append({**row, "disposition": "update", "code": "company_cleared", "coupled": False,
                             "reason": f"Not coupled, but it carries the id of this company in {title}: that is cleared."})  # fmt: skip
    looked: dict[Side, int] = {"local": len(here), "integration": sum(1 for r in rows if r["integration_token"] is not None)}
    return mapping_part(planning, bound, rows, changes, depends, (in_pass,), looked)


def company_column(bound: BoundMapping) -> str | None:
    """The integration column that a company rule of the mapping stamps; None where it has none."""
    for rule in bound.rules:
        if rule.id.endswith(".company") and rule.columns_to:
            column = bound.integration.table.find(rule.columns_to[0].column)
            return column.name if column is not None else None
    return None


def _is_company(value: Any, company: str) -> bool:
    return str(value or "").strip("{}").casefold() == company.strip("{}").casefold()


# -- broken couplings, retry -------------------------------------------------------------------------------------------------------


def restoring(planning: Planning, chosen: Chosen, operator: str) -> Plan:
    """Recreate the missing row of broken couplings from the one that is left (S-083, S-084); skip flags are no hindrance."""
    broken = _broken(planning, chosen, "restored")
    parts: list[MappingPlan] = []
    keys: dict[str, dict[Side, frozenset[str]]] = {
        name: {side: frozenset(one.coupling[f"{side}_key"] for one in ones if one.survivor == side) for side in SIDES}
        for name, ones in broken.items()
    }
    released = {name: frozenset(one.coupling["id"] for one in ones) for name, ones in broken.items()}
    planning.ledger = OverlaidLedger(planning.ledger, Overlay(released=released))
    planning.request = replace(planning.request, chosen=keys)
    order = [n for n in dependency_order(planning.workspace.mappings) if keys.get(n, {}).get("local") or keys.get(n, {}).get("integration")]  # fmt: skip
    for part in plan_mappings(planning, order):
        part.rows = _against(planning, part)
        part.quiet = part.quiet.slice(0, 0)  # the new rows, as the second pass sees them: nobody asked for that pass (S-084)
        parts.append(part)
    return assembled(planning, parts, "restore", operator)


def _against(planning: Planning, part: MappingPlan) -> pa.Table:
    """Rows whose survivor stands on the side that the mapping never reads from cannot be restored: they say so."""
    name = part.head.name
    passes = part.bound.mapping.passes()
    rows = part.rows.to_pylist()
    for row in rows:
        side = DESTINATION[row["pass"]]
        if row["disposition"] == "restore":
            row["reason"] = f"Its partner was deleted in {planning.systems[side].title} and is created anew, as you asked."
        elif row["disposition"] == "not a source" and len(passes) == 1 and row["coupled"]:
            row["disposition"], row["code"] = "will fail", "against_direction"
            row["reason"] = (
                f"Mapping {name} goes {part.bound.mapping.direction.replace('_', ' ')} only, so its deleted record cannot be restored."
            )
    return pa.Table.from_pylist(rows, ROWS)


def deletion(planning: Planning, chosen: Chosen, operator: str) -> Plan:
    """Delete the surviving row of broken couplings, and the coupling with it; every value of the row is shown as its old one."""
    parts = []
    broken = _broken(planning, chosen, "deleted")
    for name in (n for n in dependency_order(planning.workspace.mappings) if n in broken):
        bound = planning.bound[name]
        rows: list[Line] = []
        changes: list[Line] = []
        for side in SIDES:
            in_pass: Pass = "from" if side == "local" else "to"
            of = bound.side(side)
            there = {} if of.option_set else {c.casefold() for c in planning.systems[side].physical_columns(of.table) or {}}
            columns = [c.name for c in of.table.columns if c.column.casefold() in there and not c.flowfield]
            mine = [one for one in broken[name] if one.survivor == side]
            seen = _seen(planning, bound, side, {one.coupling[f"{side}_key"] for one in mine}, columns)
            for one in mine:
                left = seen[one.coupling[f"{side}_key"]]
                here, partner = (left, None) if side == "local" else (None, left)
                row = row_line(name, in_pass, len(rows), here, partner, one.coupling)
                gone = planning.systems[SOURCE[in_pass]].title
                rows.append({**row, "disposition": "delete", "code": "survivor_deleted", "coupled": True,
                             "reason": f"Its partner was deleted in {gone}; it is deleted, too, and the coupling removed."})  # fmt: skip
                values = {c: plain_text(v) for c, v in left.values.items()} or {"label": left.name}
                changes += [change_line(row, c, c, v, None, "deleted") for c, v in values.items() if v is not None]
        both: tuple[Pass, Pass] = ("to", "from")
        passes = tuple(p for p in both if any(r["pass"] == p for r in rows))
        parts.append(
            mapping_part(
                planning, bound, rows, changes, [], passes, {side: sum(1 for r in rows if r[f"{side}_token"]) for side in SIDES}
            )
        )
    return assembled(planning, parts, "delete", operator)


def retrying(
    planning: Planning, chosen: Chosen, operator: str, failed: Mapping[str, Mapping[Side, frozenset[str]]] | None = None
) -> Plan:
    """Take skipped records up again and synchronise them (S-092): what failed counts as changed, whatever failed before. `failed`: per
    mapping and side the keys of records that have failed and are tried again with them, skipped or not."""
    failed = failed or {}
    skipped = {
        name: [c for c in planning.ledger.couplings(name).to_pylist() if c["skipped"] and (ids is None or c["id"] in ids)]
        for name, ids in chosen.items()
    }
    for name, ids in chosen.items():
        if ids and name not in failed and len(skipped[name]) < len(ids):
            raise SynckitError(f"{len(ids) - len(skipped[name])} of the chosen records of {name} are not skipped. `synckit skipped` lists those that are.")  # fmt: skip
    names = [n for n in dependency_order(planning.workspace.mappings) if skipped.get(n) or n in failed]
    planning.ledger = OverlaidLedger(planning.ledger, Overlay(released={n: frozenset(c["id"] for c in skipped[n]) for n in names}))
    planning.request = replace(planning.request, chosen={
        n: {s: frozenset(c[f"{s}_key"] for c in skipped[n]) | failed.get(n, {}).get(s, frozenset()) for s in SIDES} for n in names
    })  # fmt: skip
    parts = plan_mappings(planning, names)
    for part in parts:
        part.head = replace(part.head, released=tuple(sorted(c["local_key"] for c in skipped[part.head.name])))
    return assembled(planning, parts, "retry", operator)


def _broken(planning: Planning, chosen: Chosen, verb: str) -> dict[str, list[Lost]]:
    """The broken couplings of what was chosen that still have one row. Raises SynckitError for a chosen one that is whole."""
    found: dict[str, list[Lost]] = {}
    for name, ids in chosen.items():
        all_lost = lost(planning.bound[name], planning.snapshots, planning.systems, planning.ledger)
        mine = [one for one in all_lost if (ids is None or one.coupling["id"] in ids) and one.survivor is not None]
        if ids is not None and len(mine) < len(ids):
            raise SynckitError(
                f"Nothing of {name} can be {verb} for {len(ids) - len(mine)} of the chosen records: exactly one of a coupling's two records "
                "must be missing. `synckit broken` lists those couplings."
            )
        if mine:
            found[name] = mine
    return found


# -- assembling --------------------------------------------------------------------------------------------------------------------


def _seen(
    planning: Planning, bound: BoundMapping, side: Side, keys: Iterable[str] | None, columns: Sequence[str] = ()
) -> dict[str, Seen]:
    return look(bound.side(side), planning.snapshots[side], planning.systems[side], keys, columns)


def _called(seen: Mapping[str, Seen], key: str) -> str:
    return seen[key].called if key in seen else key


def row_line(
    name: str, in_pass: Pass, record: int, local: Seen | None, integration: Seen | None, coupling: Line | None = None
) -> Line:
    c = coupling or {"local_key": None, "integration_key": None}
    return {
        "mapping": name, "pass": in_pass, "record": record, "step": 1, "local_key": local.key if local else c["local_key"],
        "integration_key": integration.key if integration else c["integration_key"], "local_name": local.name if local else None,
        "integration_name": integration.name if integration else None, "warnings": [], "local_token": local.token if local else None,
        "integration_token": integration.token if integration else None, "coupled": False, "table": None,
    }  # fmt: skip


def change_line(row: Line, field: str, column: str, old: str | None, new: str | None, origin: str) -> Line:
    return {"mapping": row["mapping"], "pass": row["pass"], "record": row["record"], "step": 1, "field": field, "column": column,
            "old": old, "new": new, "origin": origin, "ref_mapping": None, "ref_key": None}  # fmt: skip


def mapping_part(
    planning: Planning,
    bound: BoundMapping,
    rows: list[Line],
    changes: list[Line],
    depends: list[Line],
    passes: tuple[Pass, ...],
    looked: Mapping[Side, int],
) -> MappingPlan:
    """A mapping's share of a plan that no synchronisation stands behind. `looked`: rows of each side that were looked at."""
    counts: dict[Side, int] = {}
    for side in SIDES:
        of, snapshot, system = bound.side(side), planning.snapshots[side], planning.systems[side]
        counts[side] = snapshot.count(of.table) if of.option_set is None else len(option_rows(of, snapshot, system))
    head = MappingHead(
        name=bound.name, direction=bound.mapping.direction, kind=bound.mapping.kind, passes=passes, only_coupled=bound.mapping.only_coupled,
        recommendation="", fingerprint=fingerprint(bound), tables={s: bound.side(s).table.name for s in SIDES},
        keys={s: bound.side(s).uid.name for s in SIDES}, counts=counts, seen={}, columns=dict.fromkeys(passes, ()), drawn={},
        not_due={p: max(counts[SOURCE[p]] - looked[SOURCE[p]], 0) for p in passes},
    )  # fmt: skip
    empty = (schema.empty_table() for schema in (REVIEW, DUPLICATES, QUIET))
    review, duplicates, quiet = empty
    return MappingPlan(
        head, pa.Table.from_pylist(rows, ROWS), pa.Table.from_pylist(changes, CHANGES), ERRORS.empty_table(),
        pa.Table.from_pylist(depends, DEPENDS), review, duplicates, quiet, {}, CONFLICTS.empty_table(), [], bound,
    )  # fmt: skip


def assembled(planning: Planning, parts: list[MappingPlan], kind: str, operator: str) -> Plan:
    plan = assemble(planning, parts, order=[p.head.name for p in parts], operator=operator, whole=False)
    return Plan(replace(plan.base, kind=kind))


__all__ = [
    "Chosen",
    "assembled",
    "change_line",
    "company_column",
    "coupling",
    "deletion",
    "mapping_part",
    "restoring",
    "retrying",
    "row_line",
    "uncoupling",
]
