"""Second steps: references that close a cycle, filled once a later mapping has created their records, and writes that rules ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.mapping.model import Pass
from synckit.planning.bind import SOURCE
from synckit.planning.creates import VALUE
from synckit.planning.snapshot import Context
from synckit.planning.tables import CHANGES, ROWS

if TYPE_CHECKING:
    from synckit.planning.engine import Planning
    from synckit.planning.mapping_plan import MappingPlanner
    from synckit.planning.planned_mapping import MappingPlan


def second_steps(planning: Planning, parts: list[MappingPlan]) -> None:
    """Add to each mapping's rows the writes of its second step, in place."""
    for part in parts:
        rows: list[dict[str, Any]] = []
        changes: list[dict[str, Any]] = []
        cleared: set[tuple[str, int, str]] = set()
        for wait in part.deferred:
            planned = _planned(planning, wait)
            if planned is None:
                continue
            mapping, source_key, key = planned
            row = _row_of(part, wait["pass"], wait["record"])
            if row is None:
                continue
            rows.append({**row, "step": 2, "disposition": "update", "code": "second_step", "warnings": [],
                         "reason": f"{wait['field']} is filled once its record of {mapping} has been created."})  # fmt: skip
            changes.append({"mapping": part.head.name, "pass": wait["pass"], "record": wait["record"], "step": 2, "field": wait["field"],
                            "column": wait["column"], "old": wait["old"], "new": key, "origin": "lookup", "ref_mapping": mapping,
                            "ref_key": source_key})  # fmt: skip
            if wait["clears"]:
                cleared.add((wait["pass"], wait["record"], wait["column"]))
        if cleared:
            _drop_clearing(part, cleared)
        if rows:
            part.rows = pa.concat_tables([part.rows, pa.Table.from_pylist(rows, ROWS)])
            part.changes = pa.concat_tables([part.changes, pa.Table.from_pylist(changes, CHANGES)])


def _planned(planning: Planning, wait: dict[str, Any]) -> tuple[str, str, str | None] | None:
    """The planned record that a reference waits for: mapping, source key, and the key that it will have on the destination side."""
    by, other = ("code", "integration_key") if wait["pass"] == "to" else ("integration_key", "code")
    for mapping in wait["lookup"].split("|"):
        known = planning.known.get(mapping)
        if known is None:
            continue
        hits = known.filter(pc.and_(pc.equal(known.column(by), wait["value"]), pc.equal(known.column("state"), "planned")))
        if hits.num_rows:
            return mapping, hits.column("source_key")[0].as_py(), hits.column(other)[0].as_py()
    return None


def _row_of(part: MappingPlan, in_pass: str, record: int) -> dict[str, Any] | None:
    rows = part.rows.filter(pc.and_(pc.equal(part.rows.column("pass"), in_pass), pc.equal(part.rows.column("record"), record)))
    return rows.to_pylist()[0] if rows.num_rows else None


def _drop_clearing(part: MappingPlan, cleared: set[tuple[str, int, str]]) -> None:
    """The first step does not clear what the second fills; a row that had nothing else to write is unchanged then."""
    keys = zip(*(part.changes.column(c).to_pylist() for c in ("pass", "record", "column", "step")), strict=True)
    keep = [step != 1 or (in_pass, record, column) not in cleared for in_pass, record, column, step in keys]
    part.changes = part.changes.filter(pa.array(keep))
    still = set(zip(*(part.changes.column(c).to_pylist() for c in ("pass", "record")), strict=True))
    emptied = {(p, r) for p, r, _ in cleared} - still
    touched = {(p, r) for p, r, _ in cleared}
    rows = part.rows.to_pylist()
    for row in rows:
        place = (row["pass"], row["record"])
        if place in touched and row["step"] == 1:
            row["warnings"] = [w for w in row["warnings"] or [] if w != "lookup_cleared"]
        if place in emptied and row["step"] == 1 and row["disposition"] == "update":
            row["disposition"], row["code"], row["reason"] = (
                "unchanged",
                "equal",
                "Equal in every field of this step; a second step follows.",
            )
    part.rows = pa.Table.from_pylist(rows, ROWS)


def follow_ups(
    planner: MappingPlanner, in_pass: Pass, created: pa.Table, rows: pa.Table, changes: pa.Table
) -> tuple[pa.Table, pa.Table]:
    """Writes that business rules add once a row is written, as step-2 rows of their own (rows, changes).

    A rule sees one line per written field: key (source key), event ("create" or "update"), code (the local record's number),
    column, new; and, under its name, each column of the source that the rule reads.
    """
    bound, planning = planner.bound, planner.planning
    more_rows: list[dict[str, Any]] = []
    more_changes: list[dict[str, Any]] = []
    rules = [r for r in bound.rules if r.follow_up is not None]
    if not rules:
        return ROWS.empty_table(), CHANGES.empty_table()
    source = SOURCE[in_pass]
    lines = _written_fields(planner, in_pass, created, rows, changes)
    written = {r[f"{source}_key"]: r for r in rows.to_pylist() if r["disposition"] in ("create", "update", "couple")}
    for rule in rules:
        assert rule.follow_up is not None
        reads = [n for n in rule.reads(source) if f"raw_{n}" in planner.raw_columns(source)]
        raw = planner.raw_values(source, reads)
        schema = pa.schema([(n, pa.string()) for n in ("key", "event", "code", "column", "new", *reads)])
        batch = pa.RecordBatch.from_pylist([{**line, **raw.get(line["key"], {})} for line in lines], schema)
        context = Context(
            batch, in_pass, planning.today, planning.workspace, bound.name, planning.tables, planning.coupled, planning.done
        )
        for write in rule.follow_up(context):
            row = written[write.record_key]
            keys: dict[str, str | None] = {
                "local_key": None,
                "integration_key": None,
                "local_token": None,
                "integration_token": None,
            }
            keys[f"{write.side}_key"] = write.key
            keys[f"{write.side}_token"] = row[f"{write.side}_token"] if write.key == row[f"{write.side}_key"] else None
            table = write.table or bound.side("local" if write.side == "local" else "integration").table.name
            more_rows.append({**row, **keys, "step": 2, "disposition": "update", "code": rule.id, "reason": rule.effect, "warnings": [],
                              "table": f"{write.side}:{table}"})  # fmt: skip
            more_changes.append({"mapping": bound.name, "pass": in_pass, "record": row["record"], "step": 2, "field": rule.id,
                                 "column": write.column, "old": write.old, "new": write.new, "origin": f"rule {rule.id}",
                                 "ref_mapping": bound.name if write.new_is_this else None,
                                 "ref_key": write.record_key if write.new_is_this else None})  # fmt: skip
    return pa.Table.from_pylist(more_rows, ROWS), pa.Table.from_pylist(more_changes, CHANGES)


def _written_fields(
    planner: MappingPlanner, in_pass: Pass, created: pa.Table, rows: pa.Table, changes: pa.Table
) -> list[dict[str, Any]]:
    source = SOURCE[in_pass]
    codes = dict(planner.con.execute("SELECT key, code FROM d_local").fetchall())
    lines: list[dict[str, Any]] = []
    for row in created.to_pylist():
        lines += [{"key": row["source_key"], "event": "create", "code": codes.get(row["source_key"]), "column": c.removeprefix(VALUE),
                   "new": v} for c, v in row.items() if c.startswith(VALUE)]  # fmt: skip
    updated = {r["record"]: r for r in rows.to_pylist() if r["disposition"] in ("update", "couple")}
    for change in changes.to_pylist():
        row = updated[change["record"]]
        lines.append({"key": row[f"{source}_key"], "event": "update", "code": codes.get(row["local_key"]), "column": change["column"],
                      "new": change["new"]})  # fmt: skip
    return lines
