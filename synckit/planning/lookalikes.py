"""Possible duplicates of one mapping's planned creates, by evidence over all of its fields: a score between 0 and 1 and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.mapping.model import Pass
from synckit.planning.bind import DESTINATION, SIDES, SOURCE, BoundMapping, Side
from synckit.planning.stage import as_text
from synckit.planning.tables import DUPLICATES

if TYPE_CHECKING:
    from synckit.planning.creates import Creates
    from synckit.planning.duplicates import Duplicates, FieldPair
    from synckit.planning.mapping_plan import MappingPlanner

#: Up to so many uncoupled rows of both sides together, they are held against one another by all that says who they are; above, by
#: equal e-mail, phone and name alone, so that a dry run takes about as long as reading.
DEEP_ROWS = 2_000
#: Words of fields that say where a record belongs, or repeat another, but hardly who it is: in real lists most records share them.
#: Where a table holds persons of companies (a given name and a surname), colleagues share place, switchboard and web address as well.
COLLEAGUES = ("address", "city", "post code", "postal", "home page", "website", "phone no. telephone1")
SHARED = ("country", "county", "state", "fax", "pager", "contact", "address 2", "line2", "language", "symbol", "salutation")
THRESHOLD = 0.5
PLACES = ("city", "post code", "country", "date", "number")
AT_MOST = 5  # existing records listed for one create


def compared_fields(bound: BoundMapping) -> list[FieldPair]:
    """The field pairs of a mapping that say who a record is: text and dates with a column on both sides, what most share left out."""
    from synckit.planning.duplicates import FieldPair

    pairs = []
    names = {(row.local or "").casefold() for row in bound.mapping.fields if row.enabled}
    shared = (*SHARED, *COLLEAGUES) if {"first name", "surname"} <= names else SHARED
    for row in bound.mapping.fields:
        if row.local is None or row.integration is None or row.lookup is not None or not row.enabled:
            continue
        if row.meaning is None and any(word in f"{row.local} {row.integration}".casefold() for word in shared):
            continue
        local, integration = bound.local.table.column(row.local), bound.integration.table.column(row.integration)
        if {local.kind, integration.kind} <= {"text", "code", "date", "datetime"}:
            pairs.append(FieldPair(local.name, f"l_{local.name}", f"i_{integration.name}", row.meaning))
    return pairs


def search(planner: MappingPlanner) -> Duplicates | None:
    """Likely same pairs among the uncoupled rows inside the filters, across the sides and within each; None where the search is not
    made: too many rows, an incremental run, an option mapping, or nothing to compare by."""
    bound = planner.bound
    if bound.mapping.kind == "option" or not planner.planning.request.whole or any(r.finder for r in bound.rules):
        return None  # a mapping with a finder of its own knows its partners
    keys = {
        side: planner.column(f"SELECT key FROM lone WHERE side = '{side}' AND inf AND leave_out = '' ORDER BY key")
        for side in SIDES
    }
    if sum(len(k) for k in keys.values()) > DEEP_ROWS:
        return None
    fields = compared_fields(bound)
    if not fields:
        return None
    from synckit.planning.duplicates import find_duplicates  # loads scipy, which most commands do without

    tables = {
        side: _rows(planner, side, keys[side], [f.a_column if side == "local" else f.b_column for f in fields]) for side in SIDES
    }
    return find_duplicates(tables["local"], tables["integration"], fields)


def _rows(planner: MappingPlanner, side: Side, keys: list[str], columns: list[str]) -> pa.Table:
    """The rows of `keys` as text, in the order of their keys."""
    bound = planner.bound.side(side)
    names = list(dict.fromkeys([bound.uid.name, *(c[2:] for c in columns)]))
    rows = planner.readers[side].snapshot.read(bound.table, names, keys=keys, key_column=bound.uid.name).read_all()
    rows = rows.append_column("@key", pc.cast(rows.column(bound.uid.name), pa.string())).sort_by("@key")
    made: dict[str, Any] = {"key": rows.column("@key")}
    for column in columns:
        made[column] = as_text(rows.column(column[2:]).combine_chunks(), bound.table.column(column[2:]))
    return pa.table(made)


def scored(planner: MappingPlanner, in_pass: Pass, created: Creates, found: Duplicates) -> pa.Table:
    """The planned creates of one pass that look like existing records of the other side, or like one another, with score and why."""
    source, destination = SOURCE[in_pass], DESTINATION[in_pass]
    record_of = dict(zip(created.table.column("source_key").to_pylist(), created.table.column("record").to_pylist(), strict=True))
    a_is_source = source == "local"
    mine, other = ("a_key", "b_key") if a_is_source else ("b_key", "a_key")
    lines: list[dict[str, Any]] = []
    listed: dict[str, int] = {}
    for pair in found.pairs.select(["a_key", "b_key", "score"]).to_pylist():
        key = pair[mine]
        if pair["score"] < THRESHOLD or key not in record_of or listed.get(key, 0) >= AT_MOST:
            continue
        why = _why(found, pair["a_key"], pair["b_key"], None)
        if why is not None:
            listed[key] = listed.get(key, 0) + 1
            lines.append({"source_key": key, "existing_key": pair[other], "existing_side": destination, "existing_coupled": False,
                          "score": pair["score"], "why": why})  # fmt: skip
            planner.evidence += _evidence(planner, found, key, destination, pair[other], None, a_is_source)
    letter = "a" if a_is_source else "b"
    for pair in found.within.select(["a_key", "b_key", "side", "score"]).to_pylist():
        if pair["side"] != letter or pair["score"] < THRESHOLD:
            continue
        why = _why(found, pair["a_key"], pair["b_key"], letter)
        for key, twin in ((pair["a_key"], pair["b_key"]), (pair["b_key"], pair["a_key"])):
            if why is not None and key in record_of and listed.get(key, 0) < AT_MOST:
                listed[key] = listed.get(key, 0) + 1
                lines.append({"source_key": key, "existing_key": twin, "existing_side": source, "existing_coupled": False,
                              "score": pair["score"], "why": why})  # fmt: skip
                planner.evidence += _evidence(planner, found, key, source, twin, letter, True)
    names = {side: planner.names(side, [x["existing_key"] for x in lines if x["existing_side"] == side]) for side in SIDES}
    source_names = planner.names(source, [x["source_key"] for x in lines])
    for line in lines:
        line |= {"mapping": planner.bound.name, "pass": in_pass, "record": record_of[line["source_key"]],
                 "source_name": source_names.get(line["source_key"]), "existing_name": names[line["existing_side"]].get(line["existing_key"])}  # fmt: skip
    lines.sort(key=lambda x: (x["record"], -x["score"], x["existing_side"], x["existing_key"]))
    return pa.Table.from_pylist(lines, DUPLICATES)


def _evidence(
    planner: MappingPlanner, found: Duplicates, key: str, side: Side, other: str, within: str | None, as_a: bool
) -> list[dict[str, Any]]:
    """EVIDENCE of one pair, the planned create first."""
    a, b = (key, other) if as_a else (other, key)
    mine, theirs = ("a_value", "b_value") if as_a else ("b_value", "a_value")
    place = {"mapping": planner.bound.name, "source_key": key, "existing_side": side, "existing_key": other}
    return [
        {**place, "position": n, "field": r["field"], "source_value": r[mine], "existing_value": r[theirs], "level": r["level"],
         "log_odds": r["log_odds"], "score_so_far": r["score_so_far"]}
        for n, r in enumerate(found.why(a, b, within).to_pylist())
    ]  # fmt: skip


def _why(found: Duplicates, a_key: str, b_key: str, side: str | None) -> str | None:
    """The three strongest pieces of evidence in words, "same E-Mail; Name similar 0.93"; None where the pair shares a place or one
    part of a name, but too little of what tells one party from another."""
    rows = [
        r for r in found.why(a_key, b_key, side).to_pylist() if r["level"] not in ("", "missing", "different") and r["log_odds"] > 0
    ]
    if sum(_identity(found.meanings.get(r["field"], ""), r["level"]) for r in rows) < 2:
        return None
    rows.sort(key=lambda r: (-r["log_odds"], r["field"]))
    return "; ".join(f"same {r['field']}" if r["level"] == "equal" else f"{r['field']} {r['level']}" for r in rows[:3])


def _identity(meaning: str, level: str) -> int:
    """How much of a party's identity one field speaks for: an own number or address twice, a name or a street once."""
    if level == "equal":
        return {"email": 2, "registration": 2, "vat": 2, "company": 2, "person": 2}.get(meaning, 0 if meaning in PLACES else 1)
    alike = float(level.split()[1]) if level.startswith("similar ") else 0.0
    return (
        1 if alike >= 0.85 and meaning in ("company", "person", "given", "surname", "given name", "email", "web", "street") else 0
    )
