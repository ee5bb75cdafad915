"""Planned beside actual: the counters of a job as they became, and every row that came out differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from synckit.planning.tables import CARRIED_OUT, COUNTER_OF, COUNTERS, UNMATCHED

if TYPE_CHECKING:
    from synckit.applying.run import Applier

COUPLING = "coupling"  # type of a coupling job, and its place among the jobs of a mapping


def coupled_first(table: pa.Table) -> pa.ChunkedArray:
    """Which rows of a mapping that is coupled by match belong to its coupling job, not to the synchronisation that follows."""
    unmatched = pc.and_(pc.equal(table["disposition"], "will fail"), pc.is_in(table["code"], pa.array(UNMATCHED)))
    return pc.or_(pc.equal(table["disposition"], "coupling"), unmatched)


def actual_counters(applier: Applier, name: str, in_pass: str) -> dict[str, int]:
    """The eight counters as they became: the planned ones, with every row that came out differently moved to where it belongs.
    `in_pass` "coupling": those of the coupling job that comes first where a mapping is coupled by match."""
    head = applier.plan.base.mappings[name]
    counters = dict.fromkeys(COUNTERS, 0)
    matched = applier.plan.coupling_counters(name)
    if in_pass == COUPLING:
        counters["failed"] = matched["failed"]
    else:
        for disposition, n in applier.plan.counts[name, in_pass].items():
            counter = COUNTER_OF[disposition]
            if counter is not None and disposition not in CARRIED_OUT:
                counters[counter] += n
        if in_pass == head.passes[0]:
            counters["failed"] -= matched["failed"]
    table = applier.table(name, head.passes[0] if in_pass == COUPLING else in_pass, step=1)
    if head.matched:
        first = coupled_first(table)
        table = table.filter(first if in_pass == COUPLING else pc.invert(first))
    rows = table.filter(pc.is_in(table["disposition"], pa.array(CARRIED_OUT))).select(["disposition", "line", "table"])
    for disposition, line, written in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        if line in applier.state:
            state = applier.state[line][0]
            counters[{"done": str(COUNTER_OF[disposition]), "skipped": "skipped"}.get(state, "failed")] += 1
            counters["modified"] += state == "done" and disposition == "uncoupling" and written is not None
    return counters


def differences(applier: Applier) -> list[dict[str, object]]:
    """Every planned write that did not come out as planned."""
    found: list[dict[str, object]] = []
    done = pa.array([line for line, (state, _) in applier.state.items() if state == "done"], pa.int64())
    writes = applier.rows.filter(pc.is_in(applier.rows.column("disposition"), pa.array(CARRIED_OUT)))
    writes = writes.filter(pc.invert(pc.is_in(writes["line"], done)))
    for row in writes.to_pylist():
        state, reason = applier.state.get(row["line"], ("not attempted", "The run ended before this row."))
        found.append({"mapping": row["mapping"], "pass": row["pass"], "record": row["record"], "local_key": row["local_key"],
                      "integration_key": row["integration_key"], "planned": row["disposition"], "actual": state, "reason": reason})  # fmt: skip
    return found
