"""The whole story of one record: where it is, filters, coupling, what changed, what the next run would do and why, its history."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.diagnosis.catalogue import cause_of
from synckit.diagnosis.helping import helped, left_out, standing
from synckit.diagnosis.record import columns_of, field_values, find, is_newer, key_of, row_facts
from synckit.errors import SynckitError
from synckit.ledger.transaction import split_error
from synckit.planning.bind import DESTINATION, SIDES, SOURCE, BoundMapping, Side, bind
from synckit.planning.engine import planning_run
from synckit.planning.looking import look
from synckit.planning.mapping_plan import MappingPlanner
from synckit.planning.plan import Plan
from synckit.planning.request import Request
from synckit.reports.plan_text import lines_of

if TYPE_CHECKING:
    from synckit.workspace import Workspace

#: Up to so many rows in both tables a full synchronisation is planned, too, without being asked for.
FULL_UP_TO = 50_000
#: What a plan says of a record may rest on other mappings of the same run: then those are planned with it.
MAY_DEPEND = ("create", "restore", "will fail", "blocked")
#: What a record can wait for.
WAITED_FOR = ("create", "restore", "couple", "coupling", "will fail", "blocked")


@dataclass(frozen=True)
class Explanation:
    """The story of one record as plain values (`to_dict`), text (`to_text`) and a card in notebooks."""

    facts: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]

    @property
    def found(self) -> bool:
        return bool(self.facts["found"])

    @property
    def verdict(self) -> str:
        """The story in one sentence."""
        from synckit.diagnosis.story import verdict

        return verdict(self.facts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: mapping, asked, found, nearest, elsewhere, verdict, local, integration, coupling, changed, fields,
        next_run, full_run, retry, held, due, duplicates, jobs, errors, writes, decisions."""
        return {**self.facts, "verdict": self.verdict}

    def to_text(self) -> str:
        from synckit.diagnosis.story import story_text

        return story_text(self.facts)

    def _repr_html_(self) -> str:
        from synckit.diagnosis.story import story_html

        return story_html(self.facts)

    def __repr__(self) -> str:
        return self.to_text()


def explain(
    ws: Workspace,
    mapping: str,
    local: str | None = None,
    integration: str | None = None,
    *,
    key: str | None = None,
    plan: Plan | Iterable[Plan] | None = None,
    full: bool | None = None,
) -> Explanation:
    """Explain the record of `mapping` called `local` or `integration` (key, number or name), or `key` on whichever side has it.

    What the next run would do comes from the engine itself: a synchronisation of modified records is planned, and a full one where
    both tables are small or `full` is True (other mappings with it where the record may wait for theirs). `plan`: plans that are there
    already, used instead. Nothing is written. A record that does not exist is explained, too: `found` is False then.
    """
    given = [(s, t) for s, t in (("local", local), ("integration", integration), (None, key)) if t is not None]
    if len(given) == 1 and not str(given[0][1]).strip():
        raise SynckitError("The key is blank. Name the record by its number, its key or its whole name.")
    if len(given) != 1:
        raise SynckitError('Name one record: local="10000", or integration="<its key or name>".')
    side, text = given[0]
    bound = bind(ws.description.mapping(mapping), ws.description, {s: ws.systems[s].schema for s in SIDES})
    with ExitStack() as stack:
        snapshots = {s: stack.enter_context(ws.systems[s].snapshot()) for s in SIDES}
        found = find(ws, bound, str(text), side, snapshots)  # type: ignore[arg-type]
        rows = {
            s: look(bound.side(s), snapshots[s], ws.systems[s], [found.keys[s]], columns_of(bound.side(s))).get(found.keys[s])
            if found.keys[s] else None
            for s in SIDES
        }  # fmt: skip
        sizes = sum(snapshots[s].count(bound.side(s).table) for s in SIDES if bound.side(s).option_set is None)
    facts: dict[str, Any] = {"mapping": bound.name, "asked": str(text), "found": found.exists, "nearest": found.nearest, "elsewhere": found.elsewhere, "side": side,
                             "titles": {s: ws.systems[s].title for s in SIDES}, "direction": bound.mapping.direction}  # fmt: skip
    if not found.exists:
        return Explanation(facts)
    users = {"local": ws.description.local.integration_user, "integration": ws.description.integration.integration_user}
    for s in SIDES:
        facts[s] = row_facts(bound, s, rows[s], found.keys[s], ws.systems[s], users[s])
    coupling = ws.ledger.coupling(bound.name, local=found.keys["local"]) if found.keys["local"] else None
    facts["coupling"] = None if coupling is None else _coupling_facts(coupling)
    facts["changed"] = (
        None if coupling is None else {s: is_newer(bound.side(s), coupling[f"{s}_stamp"], facts[s]["changed_at"]) for s in SIDES}
    )
    facts["fields"] = field_values(bound, rows)
    left = standing(ws, bound.name, found.keys, coupling)
    facts |= {"held": (left["held"] or {}).get("reason"), "held_since": left["held"], "skipped": left["skipped"]}
    facts["due"] = next((r["reason"] for r in ws.ledger.due(bound.name).to_pylist() if r["key"] == found.keys[r["side"]]), None)
    plans = {p.base.kind: p for p in ([plan] if isinstance(plan, Plan) else plan or [])}
    if plan is None:
        plans = _planned(ws, bound, found.keys, full if full is not None else sizes <= FULL_UP_TO)
    for name, kind in (("next_run", "modified"), ("full_run", "full")):
        facts[name] = _in_words(ws, bound, facts, coupling, fate(plans.get(kind), bound, found.keys, coupling is not None))
    retried = _if_retried(ws, bound, found.keys) if coupling is not None and coupling["skipped"] and plan is None else None
    facts["retry"] = _in_words(ws, bound, facts, coupling, retried)
    facts["duplicates"] = _duplicates(plans.get("full") or plans.get("modified"), bound.name, found.keys)
    facts |= _history(ws, bound.name, found.keys, coupling)
    return Explanation(json.loads(json.dumps(facts, default=str)))


# -- what a run would do -----------------------------------------------------------------------------------------------------------


def _planned(ws: Workspace, bound: BoundMapping, keys: dict[Side, str], full: bool) -> dict[str, Plan]:
    made: dict[str, Plan] = {}
    for kind, verb in (("modified", ws.plan_modified), ("full", ws.plan_full)):
        if kind == "full" and not full:
            continue
        plan = verb([bound.name])
        rows = _rows(plan, bound.name, keys)
        if any(r["disposition"] in MAY_DEPEND for r in rows):
            plan = verb(depends_on(ws, bound.name))
        made[kind] = plan
    return made


def depends_on(ws: Workspace, name: str) -> list[str]:
    """`name` and the mappings that its records may wait for in the same run, theirs included."""
    schemas = {side: ws.systems[side].schema for side in SIDES}
    bound = {m.name: bind(m, ws.description, schemas) for m in ws.description.mappings}
    wanted, waiting = {name}, [name]
    while waiting:
        one = bound[waiting.pop()]
        for other in (*one.lookups(), *one.mapping.depends_on, *(c for r in one.rules for c in r.couplings)):
            if other in bound and other not in wanted:
                wanted.add(other)
                waiting.append(other)
    return [n for n in ws.order if n in wanted]


def fate(plan: Plan | None, bound: BoundMapping, keys: dict[Side, str], coupled: bool = True) -> dict[str, Any] | None:
    """What a plan does with the record, pass by pass: disposition, code, reason, what helps, warnings, fields, errors, what it waits for."""
    if plan is None or bound.name not in plan.base.mappings:
        return None
    name = bound.name
    rows = [r for r in _rows(plan, name, keys) if coupled or r["disposition"] != "unchanged"]  # a row that the plan itself creates
    passes = []
    for in_pass in plan.base.mappings[name].passes:
        mine = [r for r in rows if r["pass"] == in_pass]
        if not mine:
            code = "not_due" if keys[SOURCE[in_pass]] else "no_source"
            mine = [
                {
                    "disposition": "not due" if code == "not_due" else "not a source",
                    "code": code,
                    "reason": cause_of(code).meaning,
                    "warnings": [],
                }
            ]
        for row in mine:
            line: dict[str, Any] = {
                "pass": in_pass,
                "to": plan.base.sides[DESTINATION[in_pass]].title,
                **{k: row.get(k) for k in ("disposition", "code", "reason")},
            }
            line["warnings"] = list(row.get("warnings") or [])
            line["step"] = row.get("step", 1)
            line["helps"] = cause_of(row["code"]).remedy if row["code"] else ""
            record = row.get("record")
            line["changes"], line["errors"], line["waits_for"] = [], [], []
            if record is not None:
                line["changes"] = _changes(plan, row)
                line["errors"] = [{k: e[k] for k in ("code", "field", "value", "message")} | {"helps": cause_of(e["code"]).remedy}
                                  for e in plan.base.errors.to_pylist() if (e["mapping"], e["pass"], e["record"]) == (name, in_pass, record)]  # fmt: skip
                line["waits_for"] = _waits(plan, name, in_pass, record) if row.get("step", 1) == 1 else []
            passes.append(line)
    return {"kind": plan.base.kind, "planned_at": plan.base.made_at.isoformat(), "passes": passes}


def _in_words(
    ws: Workspace, bound: BoundMapping, facts: dict[str, Any], coupling: dict[str, Any] | None, run: dict[str, Any] | None
) -> dict[str, Any] | None:
    """What a plan only counts gets its reason here: the clause of the filter, the rule that leaves it out, the side it is missing on;
    what an error calls by its key gets the name that people know; and what helps is said with the record's own key."""
    left = left_out(facts)
    for line in (run or {}).get("passes", []):
        source = SOURCE[line["pass"]]
        if left is not None and line["code"] in ("not_due", left[1]):  # no run looks at it, however new it is
            line["disposition"], line["code"], line["reason"] = left
        title = facts["titles"][source]
        if line["code"] == "outside_filter":
            clauses = [c["sentence"] for c in facts[source]["clauses"] if not c["passes"]]
            line["reason"] = " ".join([f"Outside the filter of {title}.", *clauses])
        elif line["code"] == "no_source":
            gone = "It was deleted" if facts[source]["key"] else "It does not exist"
            line["reason"] = f"{gone} in {title}, so there is nothing to send from there."
        elif line["code"] == "left_out":
            line["reason"] = _left_out(ws, bound, source, facts[source]["key"]) or line["reason"]
        elif line["code"] == "fails_again":
            line["reason"] = f"It would fail as it did before: {line['reason']}"
        for error in line["errors"]:
            if error["code"] in ("lookup_not_coupled", "missing_option") and error["value"]:
                field = next((f for f in bound.fields[line["pass"]] if f.name == error["field"] and f.lookup), None)
                error["value_name"] = called(ws, field.lookup.mapping, source, error["value"]) if field and field.lookup else ""
        helps, commands = helped(facts, line, coupling)
        line["helps"], line["commands"] = helps or line.get("helps", ""), commands
    return run


def _left_out(ws: Workspace, bound: BoundMapping, side: Side, key: str) -> str:
    """What the business rules of the mapping say of one row that they leave out."""
    request = Request("records", chosen={bound.name: {side: frozenset([key])}})
    with (
        planning_run(ws.description, ws.systems, ws.ledger, request, ws.clock(), ws.rulebook) as planning,
        ThreadPoolExecutor(1) as executor,
    ):
        for batch in MappingPlanner(planning, bound, executor).readers[side].batches(False, [key]):
            reason = batch.column("r_leave")[0].as_py()
            return f"Left out: {reason}." if reason else ""
    return ""


def called(ws: Workspace, mappings: str, side: Side, key: str) -> str:
    """Name of the record with this key in the first of these mappings ("A|B") that has it on that side; "" where none has."""
    schemas = {s: ws.systems[s].schema for s in SIDES}
    for name in mappings.split("|"):
        if name in {m.name for m in ws.description.mappings}:
            of = bind(ws.description.mapping(name), ws.description, schemas).side(side)
            with ws.systems[side].snapshot() as snapshot:
                known = key_of(of, snapshot, ws.systems[side], key)
                seen = look(of, snapshot, ws.systems[side], [known]).get(known) if known else None
            if seen is not None:
                return seen.name or ""
    return ""


def _rows(plan: Plan, name: str, keys: dict[Side, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for table in (plan.rows, plan.base.quiet):
        mine = table.filter(pc.equal(table.column("mapping"), name))
        tests = [pc.fill_null(pc.equal(mine.column(f"{s}_key"), keys[s]), False) for s in SIDES if keys[s]]
        hit = tests[0] if len(tests) == 1 else pc.or_(*tests)
        found += mine.filter(hit).to_pylist()
    for row in found:
        row.setdefault("code", {"unchanged": "equal", "outside the filter": "outside_filter", "not a source": "no_source",
                                "left out by rule": "left_out"}.get(row["disposition"], ""))  # fmt: skip
        row.setdefault("reason", cause_of(row["code"]).meaning if row["code"] else "")
    return found


def _changes(plan: Plan, row: dict[str, Any]) -> list[dict[str, Any]]:
    columns = ["field", "old", "new", "origin"]
    if row["disposition"] == "conflict":
        frame = plan.conflicts(row["mapping"])
        frame = frame[(frame["local_key"] == row["local_key"]) & frame["two_way"]]
        return lines_of(frame[["field", "local_value", "integration_value", "changed_by"]])
    if row["disposition"] in ("create", "restore"):
        lines = (
            plan._expanded(row["mapping"], row["pass"])
            if (row["mapping"], row["pass"]) in plan.base.creates
            else plan.fields.slice(0, 0)
        )
    else:
        lines = plan.fields.filter(
            pc.and_(pc.equal(plan.fields.column("mapping"), row["mapping"]), pc.equal(plan.fields.column("pass"), row["pass"]))
        )
    mine = pc.and_(
        pc.equal(lines.column("record"), row["record"]), pc.equal(lines.column("step"), pa.scalar(row["step"], pa.int8()))
    )
    return lines.filter(mine).select(columns).to_pylist()


def _waits(plan: Plan, name: str, in_pass: str, record: int) -> list[dict[str, Any]]:
    found = []
    for d in plan.base.depends.to_pylist():
        if (d["mapping"], d["pass"], d["record"]) == (name, in_pass, record):
            r = plan.rows
            parent = r.filter(pc.and_(pc.and_(pc.equal(r.column("mapping"), d["parent_mapping"]), pc.equal(r.column("pass"), d["parent_pass"])),
                                      pc.equal(r.column("record"), d["parent_record"]))).slice(0, 1).to_pylist()  # fmt: skip
            row = parent[0] if parent else {}
            if row.get("disposition") not in WAITED_FOR:  # it is there, so nothing waits for it
                continue
            side = SOURCE[d["parent_pass"]]
            found.append({"mapping": d["parent_mapping"], "field": d["field"], "name": row.get(f"{side}_name") or row.get(f"{side}_key"),
                          "key": row.get(f"{side}_key"), "disposition": row.get("disposition"), "reason": row.get("reason")})  # fmt: skip
    return found


def _if_retried(ws: Workspace, bound: BoundMapping, keys: dict[Side, str]) -> dict[str, Any] | None:
    side: Side = "local" if keys["local"] else "integration"
    try:
        named: Any = {side: [keys[side]]}
        return fate(ws.plan_retry(bound.name, **named), bound, keys)
    except SynckitError:
        return None


def _duplicates(plan: Plan | None, name: str, keys: dict[Side, str]) -> list[dict[str, Any]]:
    """Records that look like this one, whether it or they are the planned creates."""
    if plan is None or name not in plan.base.mappings:
        return []
    found: list[dict[str, Any]] = []
    mine = {k for k in keys.values() if k}
    for row in lines_of(plan.duplicates(name)):
        if row["source_key"] in mine:
            found.append({"side": row["existing_side"], "key": row["existing_key"], "name": row["existing_name"], "coupled": bool(row["existing_coupled"]),
                          "score": row["score"], "why": row["why"]})  # fmt: skip
        elif row["existing_key"] in mine:
            other = "integration" if row["existing_side"] == "local" else "local"
            found.append(
                {
                    "side": other,
                    "key": row["source_key"],
                    "name": row["source_name"],
                    "coupled": False,
                    "score": row["score"],
                    "why": row["why"],
                }
            )
    best: dict[str, dict[str, Any]] = {}
    for row in sorted(found, key=lambda r: (-r["score"], r["key"])):
        best.setdefault(row["key"], row)
    return list(best.values())


# -- what the ledger knows ---------------------------------------------------------------------------------------------------------


def _coupling_facts(c: dict[str, Any]) -> dict[str, Any]:
    found = {"since": c["coupled_at"] or None, "by_run": c["coupled_by_run"], "skipped": bool(c["skipped"]), "held": c["held"],
             "stamps": {s: c[f"{s}_stamp"] for s in SIDES}, "never_synchronised": not c["local_stamp"] and not c["integration_stamp"]}  # fmt: skip
    for in_pass in ("to", "from"):
        code, message = split_error(c[f"{in_pass}_error"] or "")
        found[in_pass] = {
            "result": c[f"{in_pass}_result"] or None,
            "job": c[f"{in_pass}_job"] or None,
            "code": code,
            "error": message,
        }
    return found


def _history(ws: Workspace, name: str, keys: dict[Side, str], coupling: dict[str, Any] | None) -> dict[str, Any]:
    """Errors, writes, jobs and decisions of the record, newest first."""
    ledger = ws.ledger
    errors: dict[int, dict[str, Any]] = {}
    writes: dict[int, dict[str, Any]] = {}
    for key in {k for k in keys.values() if k}:
        errors |= {e["id"]: e for e in ledger.errors(name, key=key).to_pylist()}
        writes |= {w["id"]: w for w in ledger.journal(mapping=name, key=key).to_pylist()}
    jobs = {e["job_id"] for e in errors.values()} | {w["job_id"] for w in writes.values()}
    jobs |= {coupling[f"{p}_job"] for p in ("to", "from")} if coupling is not None else set()
    tables = {(s, t.name): t.caption or t.name for s in SIDES for t in ws.systems[s].schema.tables}
    kept = ("id", "run_id", "mapping", "direction", "type", "status", "started", "finished", "message")
    decided = [
        d
        for d in ledger.decisions(name).to_pylist()
        if any(k and k in (d["local_key"], d["integration_key"]) for k in keys.values())
    ]
    return {
        "errors": [{k: e[k] for k in ("run_id", "job_id", "direction", "code", "field", "value", "message", "at")} | {"helps": cause_of(e["code"]).remedy}
                   for e in sorted(errors.values(), key=lambda e: -e["id"])],
        "writes": [_write(w) | {"table": tables.get((w["side"], w["table_name"]), w["table_name"])} for w in sorted(writes.values(), key=lambda w: -w["id"])],
        "jobs": [{k: j[k] for k in kept} for j in ledger.jobs(name).to_pylist() if j["id"] in jobs],
        "decisions": decided[::-1],
    }  # fmt: skip


def _write(w: dict[str, Any]) -> dict[str, Any]:
    before, after = (json.loads(w[c]) if w[c] else {} for c in ("before", "after"))
    fields = (
        [{"column": c, "old": before.get(c), "new": after.get(c)} for c in dict.fromkeys([*after, *before])]
        if w["op"] not in ("couple", "uncouple")
        else []
    )
    return {k: w[k] for k in ("run_id", "job_id", "direction", "op", "side", "table_name", "state", "error", "at")} | {
        "fields": fields
    }


__all__ = ["Explanation", "called", "depends_on", "explain", "fate"]
