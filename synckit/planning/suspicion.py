"""Suspicion before deletion: where far too many coupled rows are missing at once, a side was probably cut short, emptied or swapped."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import pyarrow as pa

from synckit.planning.bind import DESTINATION, Side
from synckit.planning.tables import ROWS

if TYPE_CHECKING:
    from synckit.planning.engine import Planning
    from synckit.planning.planned_mapping import MappingPlan

#: So many coupled rows missing on one side, and this share of a mapping's couplings, are no day's work any more.
AT_LEAST, SHARE = 10, 0.05
#: What follows from a row that is missing.
FOLLOWS = ("partner_deleted", "coupling_removed", "restored", "survivor_deleted")
CODE = "side_suspicious"


def hold_back(planning: Planning, part: MappingPlan, believed: Collection[str]) -> MappingPlan:
    """Hold everything that follows from missing rows where there are suspiciously many of them; `believed`: names of mappings whose
    missing rows somebody has said to be really gone. The rest of the mapping is planned as ever."""
    # a restoration is what somebody asks for who knows that rows are missing
    if planning.request.kind == "restore" or part.head.name in believed or not part.rows.num_rows:
        return part
    passes, codes = part.rows.column("pass").to_pylist(), part.rows.column("code").to_pylist()
    missing: dict[Side, int] = {}
    for in_pass, code in zip(passes, codes, strict=True):
        if code in FOLLOWS:
            side = DESTINATION[in_pass] if code != "survivor_deleted" else ("local" if in_pass == "to" else "integration")
            missing[side] = missing.get(side, 0) + 1
    coupled = planning.ledger.coupling_count(part.head.name)
    doubted = {s: n for s, n in missing.items() if n >= AT_LEAST and n >= SHARE * coupled}
    if not doubted:
        return part
    rows = part.rows.to_pylist()
    for row in rows:
        side = (
            DESTINATION[row["pass"]] if row["code"] != "survivor_deleted" else ("local" if row["pass"] == "to" else "integration")
        )
        if row["code"] in FOLLOWS and side in doubted:
            title, n = planning.systems[side].title, doubted[side]
            row["disposition"], row["code"] = "held", CODE
            row["reason"] = (
                f"Held: {n:,} of {coupled:,} coupled records of {part.head.name} are missing in {title}, which holds {part.head.counts[side]:,} rows. "
                f"Is it the right company, complete, and on the right side? If they are really gone, say so: --believe {part.head.name}"
            )
    part.rows = pa.Table.from_pylist(rows, ROWS)
    gone = {(r["pass"], r["record"]) for r in rows if r["code"] == CODE}
    for name in ("changes", "errors", "depends", "duplicates"):
        table = getattr(part, name)
        keep = [
            place not in gone for place in zip(table.column("pass").to_pylist(), table.column("record").to_pylist(), strict=True)
        ]
        setattr(part, name, table.filter(pa.array(keep, pa.bool_())))
    for place, created in part.creates.items():
        keep = [(place[1], record) not in gone for record in created.column("record").to_pylist()]
        part.creates[place] = created.filter(pa.array(keep, pa.bool_()))
    return part


__all__ = ["AT_LEAST", "CODE", "SHARE", "hold_back"]
