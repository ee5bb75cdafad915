"""Two plans, or two runs, held against each other: what is new, what is gone, what changed."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pandas as pd

from synckit.diagnosis.catalogue import cause_of
from synckit.diagnosis.causes import names_in
from synckit.diagnosis.naming import row_names
from synckit.errors import SynckitError
from synckit.planning.bind import SIDES, SOURCE
from synckit.planning.called import names_of
from synckit.planning.plan import Plan
from synckit.planning.tables import BOOKED_AS_FAILED, CARRIED_OUT
from synckit.reports.plan_text import lines_of
from synckit.reports.wording import quoted, safe, value_called

if TYPE_CHECKING:
    from synckit.workspace import Workspace

#: One line per record and pass that differs, in the order of `change`: "new", "changed", "gone"; `before` and `after`: what either has for it.
DIFFERENCES = ("change", "mapping", "pass", "local_key", "integration_key", "name", "before", "after", "what")
LOOKED_AT = [*CARRIED_OUT, *BOOKED_AS_FAILED, "skipped", "held", "excluded", "loses to policy", "remove coupling"]

#: What a line of the journal is called once it is done.
DONE = {"insert": "created", "update": "updated", "delete": "deleted", "couple": "coupled", "uncouple": "uncoupled"}

#: A run says where it wrote, a plan which pass it is; both are shown as the pass.
PASSES: dict[str, str] = {"to_integration": "to", "from_integration": "from"}
ORDER = ("new", "changed", "gone")

Place = tuple[str, str, str]
Line = dict[str, Any]


def compare_plans(a: Plan, b: Plan) -> pd.DataFrame:
    """What `b` does otherwise than `a` (DIFFERENCES): dispositions, reasons, and the fields written with their values."""
    return _compared(_of_plan(a), _of_plan(b))


def compare_runs(ws: Workspace, a: int, b: int) -> pd.DataFrame:
    """What run `b` did otherwise than run `a` (DIFFERENCES): rows written, refused and failed, from journal and errors."""
    known = set(ws.ledger.runs().column("id").to_pylist())
    for number in (a, b):
        if number not in known:
            raise SynckitError(f"There is no run {number}. `synckit jobs` lists them.")
    return _compared(_of_run(ws, a), _of_run(ws, b))


def _of_plan(plan: Plan) -> dict[Place, Line]:
    rows = lines_of(plan.records(disposition=LOOKED_AT))
    fields: dict[tuple[str, str, int], list[str]] = {}
    for c in lines_of(plan.changes()):
        fields.setdefault((c["mapping"], c["pass"], c["record"]), []).append(
            f"{c['field']}: {quoted(value_called(c, 'old'))} -> {quoted(value_called(c, 'new'))}"
        )
    found: dict[Place, Line] = {}
    for row in rows:
        source = SOURCE["to" if row["pass"] == "to" else "from"]
        key = row[f"{source}_key"] or row["local_key"] or row["integration_key"] or ""
        written = fields.get((row["mapping"], row["pass"], row["record"]), [])
        place = (row["mapping"], row["pass"], key)
        if place not in found:  # a second step belongs to its record's first row
            found[place] = {
                **row,
                "name": row[f"{source}_name"] or key,
                "outcome": row["disposition"],
                "details": sorted(written) or [row["reason"] or ""],
            }
    return found


def _of_run(ws: Workspace, run: int) -> dict[Place, Line]:
    found: dict[Place, Line] = {}

    def place(line: Line, outcome: str, details: list[str]) -> None:
        key = line["local_key"] or line["integration_key"] or ""
        in_pass = PASSES.get(line["direction"]) or line["direction"]
        at = found.setdefault(
            (line["mapping"], in_pass, key),
            {**line, "pass": in_pass, "name": key, "outcome": outcome, "details": []},
        )
        at["outcome"] = outcome if outcome not in at["outcome"] else at["outcome"]
        at["details"] = sorted({*at["details"], *details})

    journal = ws.ledger.journal(run=run).to_pylist()
    values = _values(ws, journal)
    for line in journal:
        done = DONE[line["op"]] if line["state"] == "done" else f"{line['op']} {line['state']}"
        place(line, done, _written(line, values))
    for line in ws.ledger.errors(run=run).to_pylist():
        place(line, f"failed: {cause_of(line['code']).title}", [line["message"]])
    for name in {name for name, _, _ in found}:
        mine = [line for (of, _, _), line in found.items() if of == name]
        called = names_in(ws)(name, mine)
        for line in mine:
            line["name"] = next((n for s in SIDES if (n := called.get((s, line[f"{s}_key"]), ""))), line["name"])
    # what a rule wrote in a table of another mapping
    places = {
        at: (str(line.get("side") or ""), str(line.get("table_name") or ""), at[2])
        for at, line in found.items()
        if line["name"] == at[2]
    }
    others = row_names(ws, places.values())
    for at, row in places.items():
        found[at]["name"] = others.get(row, found[at]["name"])
    return found


def _values(ws: Workspace, journal: list[Line]) -> dict[tuple[str, str, str, str], str]:
    """(side, table, column, value) -> what the value stands for, where it is the key of a record or the number of an option."""
    wanted: dict[tuple[str, str, str], set[str]] = {}
    for line in journal:
        for text in (line["before"], line["after"]) if line["op"] == "update" else ():
            for column, value in (json.loads(text) if text else {}).items():
                if value not in (None, ""):
                    wanted.setdefault((line["side"], line["table_name"], column), set()).add(str(value))
    found: dict[tuple[str, str, str, str], str] = {}
    for (side, name, column), values in wanted.items():
        system = ws.systems["local" if side == "local" else "integration"]
        table = system.schema.find(name)
        of = table.find(column) if table is not None else None
        if table is not None and of is not None and of.kind in ("option", "guid"):
            with suppress(SynckitError), system.snapshot() as snapshot:  # what cannot be read now keeps its key
                called = names_of(system, snapshot, table, of, values)
                found |= {(side, name, column, value): text for value, text in called.items()}
    return found


def _written(line: Line, called: dict[tuple[str, str, str, str], str]) -> list[str]:
    """The fields that a line of the journal wrote over, each with both values; of a new record that it is one."""
    if line["op"] != "update":
        return {"insert": ["a new record"], "delete": ["the record is gone"]}.get(line["op"], [])
    before, after = (json.loads(line[c]) if line[c] else {} for c in ("before", "after"))

    def told(column: str, value: Any) -> str:
        return quoted(called.get((line["side"], line["table_name"], column, str(value)), value))

    return [f"{safe(c)}: {told(c, before.get(c))} -> {told(c, after[c])}" for c in after]


def _compared(before: dict[Place, Line], after: dict[Place, Line]) -> pd.DataFrame:
    found = []
    for place in sorted(before.keys() | after.keys()):
        old, new = before.get(place), after.get(place)
        row = new or old or {}
        if old is None or new is None:
            change, what = ("new", "") if old is None else ("gone", "")
            what = "; ".join(safe(d) for d in row["details"][:3])
        elif old["outcome"] != new["outcome"]:
            change, what = "changed", "; ".join(safe(d) for d in new["details"][:3])
        elif old["details"] != new["details"]:
            gone, come = (
                [d for d in old["details"] if d not in new["details"]],
                [d for d in new["details"] if d not in old["details"]],
            )
            change, what = (
                "changed",
                "; ".join([*(f"no longer {safe(d)}" for d in gone[:3]), *(f"now {safe(d)}" for d in come[:3])]),
            )
        else:
            continue
        found.append((change, place[0], place[1], row.get("local_key"), row.get("integration_key"), row["name"], old["outcome"] if old else "",
                      new["outcome"] if new else "", what))  # fmt: skip
    found.sort(key=lambda line: ORDER.index(line[0]))
    return pd.DataFrame(found, columns=list(DIFFERENCES))


def differences_sentence(frame: pd.DataFrame) -> str:
    counts = {c: int((frame["change"] == c).sum()) for c in ORDER}
    return ", ".join(f"{n:,} {c}" for c, n in counts.items()) + "." if len(frame) else "No difference."


__all__ = ["DIFFERENCES", "compare_plans", "compare_runs", "differences_sentence"]
